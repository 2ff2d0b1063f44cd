"""Runs a phone with its surfaces until it is told to quit: what `offhook run` does."""

from __future__ import annotations

import asyncio
import importlib
import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

from offhook.app.running import Files, Outward, RunningPhone
from offhook.app.saying import last_word, say
from offhook.app.settings import complete, kept_instance, with_address
from offhook.app.trouble import print_trouble
from offhook.control.channel import connect
from offhook.control.channel.words import already_running
from offhook.errors import ConfigError, SetupError
from offhook.io.collector import keep_collector_quiet
from offhook.io.ending import told_to_end
from offhook.io.journal import Envelope
from offhook.io.loop import run
from offhook.io.service import ServiceManager
from offhook.phone.events import SystemError
from offhook.shown import plain
from offhook.storage.config import OCCASIONS, Config, HookSettings, HttpSettings, WindowsSettings, load
from offhook.storage.paths import make_private, paths, socket_path

if TYPE_CHECKING:  # read where they are used: a phone without them does not pay for them
    from offhook.control.http.binding import Listen
    from offhook.control.http.server import HttpServer
    from offhook.control.local import LocalServer
    from offhook.control.windows.surface import WindowsSurface


LOOK_SECONDS: Final = 1.0
"""Seconds for a phone that runs already to take a connection."""


def run_phone(options: SimpleNamespace) -> int:
    """Run a phone until it is told to quit. Raises SetupError for what must be mended first."""
    file = Path(options.config) if options.config else paths().config_file
    if options.config and not file.exists():
        raise ConfigError(f"{file}: no such file; write it, or leave --config away to use {paths().config_file}")
    config = complete(load(file))
    if options.port is not None:
        config = replace(config, sip=replace(config.sip, port=options.port))
    if options.sound:
        config = replace(config, media=replace(config.media, sound=options.sound))
    if options.media:
        config = replace(config, media=replace(config.media, mode=options.media))
    if options.http:
        config = replace(config, http=with_address(config.http, options.http))
    return run(serve(config, options.socket or socket_path(), verbose=options.verbose, file=file))


async def serve(
    config: Config, socket: str, *, verbose: bool, any_http_port: bool = False, file: Path | None = None
) -> int:
    told = asyncio.Event()
    try:
        with told_to_end(told.set):
            return await _serve_until(told, config, socket, verbose=verbose, any_http_port=any_http_port, file=file)
    finally:
        last_word()


async def _serve_until(
    told: asyncio.Event, config: Config, socket: str, *, verbose: bool, any_http_port: bool = False, file: Path | None = None
) -> int:
    _refuse_a_second(socket)
    where = paths()
    manager = ServiceManager(os.environ)
    http: HttpServer | None = None
    token: Path | None = None
    listen = _listen(config.http, any_http_port) if config.http.enabled else None  # refused before anything runs
    make_private(where.state)
    unkept = ""
    if not config.phone.instance_id:
        urn, unkept = kept_instance(where.state / "instance-id")
        config = replace(config, phone=replace(config.phone, instance_id=urn))
    make_private(Path(config.phone.recording_dir))
    phone = RunningPhone(
        config,
        Files(
            history=where.history_file, journal=where.journal_file, webhooks=where.webhooks_file, contacts=where.contacts_file,
            certificate=where.certificate_file, texts=where.texts_file, requests=where.requests_file,
        ),
    )  # fmt: skip
    print_trouble(phone)
    if unkept:
        phone.say(SystemError(reason=f"{unkept}; registrars will take the phone for another one when it is started again"))
    await phone.begin()
    if file is not None:
        phone.follow_file(file)
    # SIP is answered from here on; the surfaces are read beside it, on a thread, which takes a while.
    await asyncio.get_running_loop().run_in_executor(None, importlib.import_module, "offhook.control.local")
    from offhook.control.local import LocalServer

    surface: LocalServer | None = None
    windows: WindowsSurface | None = None
    try:
        if verbose:
            phone.subscribe(_print_event)
        surface = LocalServer(phone, socket)
        await surface.start()
        if listen is not None:
            http, token = await _start_http(phone, listen)
        windows = await _start_windows(phone, config.windows)
        await _start_outward(phone, config, socket)
        keep_collector_quiet()
        host, port = phone.address
        say(f"offhook is running: SIP on {host}:{port}, commands on {socket}")
        if http is not None:
            _tell_http(http.url, token)
        if not config.accounts:
            say("There is no account yet: `offhook accounts add NAME --keep` or the configuration file adds one.")
        manager.ready(f"SIP on {host}:{port}, commands on {socket}")
        await until_told(phone, told)
    finally:
        manager.stopping()
        await phone.close()
        if windows is not None:
            await windows.close()
        if http is not None:
            await http.close()
        if surface is not None:
            await surface.close()
    say("offhook has stopped.")
    return 0


def _refuse_a_second(socket: str) -> None:
    """Raise SetupError where a phone runs already. Later would be too late: its accounts would be registered at our port."""
    try:
        connect(socket, LOOK_SECONDS).close()
    except OSError:  # nobody is there; of two that start at the same moment, the second is refused when it listens
        return
    raise SetupError(already_running(socket))


def _listen(settings: HttpSettings, any_port: bool) -> Listen:
    """Return where HTTP is spoken; raises SetupError for what would be dangerous."""
    from offhook.control.http.binding import Listen, check_bind
    from offhook.storage.tokens import TokenFile

    fields = {each: getattr(settings, each) for each in ("host", "port", "hosts", "origins", "certificate", "key")}
    listen = Listen(**fields, any_port=any_port)
    check_bind(listen, bool(TokenFile(paths().tokens_file).list()))
    return listen


async def _start_http(phone: RunningPhone, listen: Listen) -> tuple[HttpServer, Path | None]:
    """Start the HTTP surface; its libraries are read beside the phone, which answers meanwhile.

    Returns it, and the file with a token of this user that it takes, if there is one.
    """
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, importlib.import_module, "offhook.control.http.server")
    from offhook.control.http.server import HttpServer
    from offhook.storage.tokens import TokenFile, token_for_user

    tokens = TokenFile(paths().tokens_file)
    file = paths().http_token_file
    try:
        good = await loop.run_in_executor(None, token_for_user, tokens, file)
    except SetupError as error:  # on a full disk: it costs the token, not the calls
        phone.say(SystemError(reason=f"there is no token for HTTP yet: {error}"))
        good = False
    server = HttpServer(phone, tokens, listen, phone.open_requests)
    await server.start()
    return server, file if good else None


def _tell_http(url: str, file: Path | None) -> None:
    """Say where HTTP is, and in which file this user's token for it: one that was revoked or replaced is of no use."""
    say(f"HTTP is on {url}")
    if file is not None:
        # PowerShell reads this like a shell, but its curl is another program.
        curl, path = "curl.exe" if sys.platform == "win32" else "curl", shlex.quote(str(file))
        say(f'A token for it is in {file}: {curl} -H "Authorization: Bearer $(cat {path})" {url}/v1/status')


async def _start_windows(phone: RunningPhone, settings: WindowsSettings) -> WindowsSurface | None:
    """Start the window and the DDE service, where there are such things; another phone may have them, and keeps them."""
    if sys.platform != "win32" or not (settings.window or settings.dde):
        return None
    from offhook.control.windows.surface import WindowsSurface

    found = WindowsSurface(
        phone, window=settings.window, dde=settings.dde, calls_per_minute=settings.calls_per_minute
    )
    try:
        await found.start()
    except SetupError as error:
        say(f"No window and no DDE: {error}")
        return None
    return found


async def _start_outward(phone: RunningPhone, config: Config, socket: str) -> None:
    """Start the hooks and webhooks there are; what nobody uses is not even read."""
    loop = asyncio.get_running_loop()
    if config.hook or config.hooks != HookSettings():
        phone.outward += await loop.run_in_executor(None, _make_hooks, phone, config, socket)
        for each in phone.outward:
            each.start()
    if config.contacts.directory:
        from offhook.storage.directory import Directory

        directory = Directory(phone, config.contacts, phone.account_to_speak_for)
        phone.outward.append(directory)
        directory.start()
    phone.serve_webhooks()


def _make_hooks(phone: RunningPhone, config: Config, socket: str) -> list[Outward]:
    from offhook.control import decisions
    from offhook.control.hooks import Hook, Hooks
    from offhook.phone.urls import Url

    settings = config.hooks
    named = ((name, getattr(settings, name)) for name in OCCASIONS)
    hooks = [Hook(name, run, occasion=name, timeout=settings.timeout) for name, run in named if run]
    hooks += [Hook(f"hook_{n}", each.run, each.events, timeout=each.timeout) for n, each in enumerate(config.hook, 1)]
    environment = {**os.environ, "OFFHOOK_SOCKET": socket}  # so that `offhook …` in a hook means this phone
    found: list[Outward] = [Hooks(phone, hooks, at_once=settings.at_once, environment=environment)] if hooks else []
    if settings.decide:
        found.append(decisions.by_program(phone, settings.decide, environment))
    elif settings.decide_url:
        url = Url.parse(settings.decide_url, plain=config.webhooks.allow_http)
        found.append(decisions.by_web(phone, url, settings.decide_secret))
    return found


async def until_told(phone: RunningPhone, told: asyncio.Event) -> None:
    """Wait for Quit, or until `told` is set, which means the same."""
    loop = asyncio.get_running_loop()
    waits = [loop.create_task(told.wait()), loop.create_task(phone.engine.stopped.wait())]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


def _print_event(envelope: Envelope) -> None:
    if envelope.type == SystemError.type:
        return  # printed already
    call = envelope.data.get("call")
    about = f" {call['remote']['uri']} ({call['state']})" if isinstance(call, dict) else ""
    about += "".join(f" {key}={value}" for key, value in envelope.data.items() if isinstance(value, str | int) and value != "")
    say(plain(f"{envelope.time[11:23]} {envelope.type} {envelope.subject}{about}"))
