"""Composition: reads the configuration, builds the phone with its sockets, media, history and surfaces, and runs it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import re
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import structs

from offhook import __version__
from offhook.errors import CommandError, ConfigError, InvalidArgument, InvalidState, NotFound, SetupError
from offhook.io import clock
from offhook.io.audio_link import AudioLink, AudioLinks
from offhook.io.certificate import Certificate, available
from offhook.io.collector import keep_collector_quiet
from offhook.io.ending import told_to_end
from offhook.io.engine import Engine, Subscriber
from offhook.io.journal import Cause, Envelope, Journal
from offhook.io.loop import run
from offhook.io.media_host import MediaHost
from offhook.io.media_wire import MediaOptions
from offhook.io.names import Names
from offhook.io.system_ids import SystemIds
from offhook.io.trace import TracedMessage
from offhook.io.transport import Listeners, Transports
from offhook.media.messages import AudioRate, MediaReport
from offhook.phone.closing import ANSWERED_ELSEWHERE
from offhook.phone.commands import Accepted, AddAccount, CloseAudio, Command, OpenAudio, Quit
from offhook.phone.contacts import DirectoryListed
from offhook.phone.errands import Errand
from offhook.phone.events import (
    CallActive,
    CallCreated,
    CallEnded,
    CallEvent,
    CallIncoming,
    Event,
    HistoryAdded,
    SystemError,
)
from offhook.phone.model import CallEnd, wall
from offhook.phone.phone import Phone
from offhook.phone.settings import AccountSettings
from offhook.shown import plain
from offhook.sip.door import Rules
from offhook.storage.config import (
    OCCASIONS,
    Config,
    HookSettings,
    HttpSettings,
    SipSettings,
    WindowsSettings,
    load,
    write_private,
)
from offhook.storage.history import CallRecord, History
from offhook.storage.paths import make_private, paths, socket_path
from offhook.storage.people import People
from offhook.storage.secrets import open_secrets

if TYPE_CHECKING:  # read where they are used: a phone without them does not pay for them
    from offhook.control.backend import WebhookBook
    from offhook.control.errands import Errands
    from offhook.control.http.binding import Listen
    from offhook.control.http.server import HttpServer
    from offhook.control.outgoing import OutgoingUrls
    from offhook.control.webhook import Webhooks
    from offhook.control.windows.surface import WindowsSurface

TURN_SECRET: Final = "turn"  # noqa: S105 - a name
"""The name under which the TURN server's password is kept: `offhook password turn`."""

SERVERS_EVERY: Final = 600.0
"""Seconds after which the names of STUN and TURN servers are looked up again."""

QUIT_PATIENCE: Final = 6.0
"""Seconds until a phone that was told to stop is taken down even if it has not said that it is done."""


class Outward(Protocol):
    """What goes out from the phone to programs and web addresses."""

    def start(self) -> None:
        """Begin."""
        ...

    async def close(self) -> None:
        """Come to an end."""
        ...


class RunningPhone:
    """One phone, running. It is the Backend of every surface.

    `await RunningPhone.start(config)`, use `execute` and `subscribe`, `await close()` (which hangs up and unregisters first).
    """

    def __init__(
        self, config: Config, *, history: Path | None = None, journal: Path | None = None, webhooks: Path | None = None,
        contacts: Path | None = None, certificate: Path | None = None,
    ) -> None:  # fmt: skip
        self.certificate = Certificate(certificate)
        ids = SystemIds()
        epoch = ids.token(6)
        self._loop = asyncio.get_running_loop()
        agent = config.sip.user_agent or f"offhook/{__version__}"
        rules = Rules(config.sip.accept_from, config.sip.stranger_rate, config.sip.unlimited_from)
        self.phone = Phone(
            config.phone, ids, codecs=config.media.codecs, user_agent=agent, country_code=config.contacts.country_code,
            srtp=config.srtp, nat=config.nat, certificate=self.certificate, rules=rules,
        )
        options = MediaOptions(
            host=config.sip.host, port_range=config.media.rtp_ports, sound=config.media.sound,
            dtls=_may_encrypt(config) and available(),
        )
        self.media = MediaHost(mode=config.media.mode, options=options, on_reports=self._media_reports)
        kept = _open_journal(journal, epoch, self._trouble) if journal else None
        self.engine = Engine(self.phone, self.media, epoch, journal=kept, instance=config.phone.name)
        self.transports = Transports(
            config.sip.host, config.sip.port, self.engine.deliver, any_port=True, listen=_listen_for_tls(config.sip)
        )
        self._history = History(history, trouble=self._trouble) if history else None
        self._config = config
        self._since = clock.wall()
        self._webhooks_file = webhooks
        self._allow_http = config.webhooks.allow_http
        self._webhooks: Webhooks | None = None
        self.outward: list[Outward] = []
        self._closed = False
        self._searching: asyncio.Task[None] | None = None
        self.people = People(self.engine, self.phone.contacts, contacts, self._trouble)
        self._audio = AudioLinks(self.media.send, self.engine.report)
        self.media.set_audio_callback(self._audio.take)
        self.engine.subscribe(self._audio.see)
        self.file: Path | None = None  # what `reload` reads
        self._as_read = config
        self.engine.on_errand = self._errand
        self._errands: Errands | None = None

    @classmethod
    async def start(
        cls, config: Config, *, history: Path | None = None, journal: Path | None = None, webhooks: Path | None = None,
        contacts: Path | None = None, certificate: Path | None = None,
    ) -> RunningPhone:  # fmt: skip
        """Open the sockets first (the phone answers at once), then the media, then the accounts.

        The files are where these are kept. Webhooks are served, and contacts read, from their first use on.
        """
        running = cls(
            config, history=history, journal=journal, webhooks=webhooks, contacts=contacts, certificate=certificate
        )
        await running.transports.start()
        running.engine.start(running.transports, Names(config.sip.nameservers))
        if history:
            running.engine.subscribe(running._keep)
        running.people.start()
        running.media.start()
        if config.nat.stun or config.nat.turn:
            running._searching = asyncio.create_task(running._find_servers())
        if _may_encrypt(config):  # the first time it is made; no call is to wait for that
            await running._aside(running.certificate.fingerprint)
        try:
            for account in config.accounts:
                running.execute(AddAccount(account=account))
        except CommandError:
            await running.close()
            raise
        return running

    async def close(self) -> None:
        """Hang up, unregister, and close everything."""
        if self._closed:
            return
        with contextlib.suppress(TimeoutError):
            if not self.phone.desk.stopping:
                self.execute(Quit())
            await asyncio.wait_for(self.engine.stopped.wait(), QUIT_PATIENCE)
        self._closed = True
        if self._searching is not None:
            self._searching.cancel()
        if self._errands is not None:
            await self._errands.close()
        for outward in self.outward:
            await outward.close()
        if self._webhooks is not None:
            await self._webhooks.close()
        await self.people.close()
        await self.engine.close()
        await self.transports.close()
        await self._aside(self.media.close)
        if self._history is not None:
            await self._aside(self._history.close)
        await self._aside(self.engine.journal.close)

    async def _find_servers(self) -> None:
        """Tell the phone where the STUN and TURN servers are, and look again now and then: addresses change."""
        from offhook.io.nat import find_servers

        while True:
            self.engine.tell(await find_servers(self._config.nat))
            await asyncio.sleep(SERVERS_EVERY)

    async def _aside(self, function: Callable[[], object]) -> None:
        """Run what may take a moment on another thread; right here when the interpreter ends and gives no threads any more."""
        try:
            waiting = self._loop.run_in_executor(None, function)
        except RuntimeError:
            function()
        else:
            await waiting

    @property
    def address(self) -> tuple[str, int]:
        """Where our SIP socket is."""
        return self.transports.host, self.transports.port

    # --- from other threads

    def _media_reports(self, reports: list[MediaReport]) -> None:
        self._soon(self._take_reports, reports)

    def _trouble(self, text: str) -> None:
        self._soon(self.engine.say, SystemError(reason=text))

    def _soon(self, function: Callable[[Any], None], argument: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to hear it
            self._loop.call_soon_threadsafe(function, argument)

    def _take_reports(self, reports: list[MediaReport]) -> None:
        if not self._closed:
            for report in reports:
                self._audio.note(report)
                self.engine.report(report)

    # --- Backend

    @property
    def journal(self) -> Journal:
        """The events so far."""
        return self.engine.journal

    def execute(self, command: Command, cause: Cause | None = None) -> Accepted:
        """Carry out a command; raises CommandError."""
        return self.engine.execute(command, cause)

    def say(self, event: Event) -> None:
        """Add an event of a surface's own."""
        self.engine.say(event)

    def inform(self, item: DirectoryListed) -> None:
        """Take in people of the users directory."""
        self.engine.inform(item)

    def account_to_speak_for(self) -> AccountSettings | None:
        """Return the default account, or the first, as soon as it is registered (or is not to be)."""
        accounts = self.phone.desk.accounts
        found = accounts.get(self.phone.desk.settings.default_account) or next(iter(accounts.values()), None)
        if found is None or (found.settings.register and found.state != "registered"):
            return None
        return found.settings

    def subscribe(self, callback: Subscriber) -> Callable[[], None]:
        """Call `callback` with every event from now on."""
        return self.engine.subscribe(callback)

    def open_audio(
        self, call: str = "", rate: AudioRate = 16000, *, hear: bool = True, speak: bool = True, near: bool = False,
        cause: Cause | None = None,
    ) -> AudioLink:  # fmt: skip
        """Return a link through which a program hears and speaks in a call; raises CommandError."""
        accepted = self.execute(OpenAudio(call=call, rate=rate, hear=hear, speak=speak, near=near), cause)
        return self._audio.add(accepted.call, accepted.value["audio"], rate, hear, speak, self._close_audio)

    def _close_audio(self, audio: str) -> None:
        with contextlib.suppress(CommandError):  # it is closed already, or all are about to be
            self.execute(CloseAudio(audio=audio))

    def history(self, limit: int, before: str) -> list[dict[str, Any]]:
        """Return past calls, newest first."""
        return [_entry(record) for record in self._kept().list(limit, before)]

    def delete_history(self, entry: str) -> None:
        """Forget one past call."""
        if not self._kept().delete(entry):
            raise NotFound(f"there is no entry {entry!r} in the history")

    def history_entry(self, entry: str) -> dict[str, Any]:
        """Return one past call."""
        found = self._kept().get(entry)
        if found is None:
            raise NotFound(f"there is no entry {entry!r} in the history")
        return _entry(found)

    def reload(self) -> dict[str, Any]:
        """Read the configuration file again and do what it says. What cannot be done is refused before anything is."""
        from offhook import reload  # only who reloads pays for it

        if self.file is None:
            raise InvalidState("this phone was started without a configuration file")
        try:
            after = complete(load(self.file))
        except SetupError as error:
            raise InvalidArgument(str(error)) from None
        desk, found = self.phone.desk, reload.changes(self._as_read, after)
        busy = {call.account for call in desk.calls.values()}.intersection(found.removed)
        if busy:
            raise InvalidState(f"account {min(busy)} has calls; end them first")
        self.engine.configure(reload.settings(desk.settings, after, found))
        for command in reload.commands(after, found):
            with contextlib.suppress(NotFound):  # an account that was removed meanwhile, a device that is not plugged in
                self.execute(command)
        self._as_read = after
        return asdict(found)

    def follow_file(self, file: Path) -> None:
        """Have `reload` read this file, which is as it was when the phone was started."""
        self.file, self._as_read = file, complete(load(file))

    def clear_history(self) -> None:
        """Forget all past calls."""
        self._kept().clear()

    def about(self) -> dict[str, Any]:
        """Return what this phone is, as far as the configuration file alone does not tell."""
        host, port = self.address
        media = self._config.media
        return {
            "version": __version__, "instance": self._config.phone.name, "pid": os.getpid(), "since": wall(self._since),
            "sip_host": host, "sip_port": port, "sip_tcp_port": self.transports.tcp_port,
            "sound": media.sound, "rtp_ports": media.rtp_ports, "codecs": media.codecs,
            "max_calls": self._config.phone.max_calls, "recordings": self._config.phone.recording_dir,
        }  # fmt: skip

    def traced(self, sip_call_id: str) -> list[TracedMessage]:
        """Return the SIP messages of a call that are still kept, oldest first."""
        return self.engine.trace.about(sip_call_id, clock.wall() - clock.now())

    def sip_messages(self) -> tuple[int, int]:
        """Return how many SIP messages were sent and received in this run."""
        return self.engine.trace.sent, self.engine.trace.received

    def check_url(self, url: str, *, anywhere: bool, name: str = "") -> None:
        """Refuse a web address that may not be used."""
        self._outgoing_urls().check(url, anywhere=anywhere, name=name)

    def _outgoing_urls(self) -> OutgoingUrls:
        from offhook.control.outgoing import OutgoingUrls  # only who uses web addresses pays for it

        return OutgoingUrls(self._config.outgoing.urls, allow_http=self._config.outgoing.allow_http)

    def _errand(self, errand: Errand) -> None:
        """Do what the phone wants done on the web; the first one has the code for it read."""
        if self._errands is None:
            from offhook.control.errands import Errands

            self._errands = Errands(self, self.engine.report, self._outgoing_urls())
        self._errands.do(errand)

    @property
    def webhooks(self) -> WebhookBook:
        """The webhooks; the first use begins to serve them."""
        if self._webhooks is None:
            if self._webhooks_file is None:
                raise NotFound("this phone keeps no webhooks")
            from offhook.control.webhook import Webhooks
            from offhook.storage.webhooks import WebhookStore

            store = WebhookStore(self._webhooks_file, self._trouble)
            self._webhooks = Webhooks(self, store, allow_http=self._allow_http)
            self._webhooks.start()
        return self._webhooks

    @property
    def has_webhooks(self) -> bool:
        """Whether there were webhooks once, so that `webhooks` should be used from the start."""
        return self._webhooks_file is not None and self._webhooks_file.exists()

    def _kept(self) -> History:
        if self._history is None:
            raise NotFound("this phone keeps no history")
        return self._history

    # --- history

    def _keep(self, envelope: Envelope) -> None:
        """Keep a call from its first moment, so that even a crash leaves its trace; later events complete the record."""
        event = envelope.event
        if isinstance(event, CallIncoming | CallCreated | CallActive | CallEnded):
            self._loop.call_soon(self._keep_call, event)  # after the event is on its way to everybody

    def _keep_call(self, event: CallEvent) -> None:
        if self._history is None:
            return
        record = _record(event)
        self._history.add(record)
        if isinstance(event, CallEnded):
            self.engine.say(HistoryAdded(entry=_entry(record)))


def _listen_for_tls(settings: SipSettings) -> Listeners | None:
    if not settings.tls_certificate:
        return None
    return Listeners({"tls": settings.tls_port}, settings.tls_certificate, settings.tls_key)


def _open_journal(path: Path, epoch: str, trouble: Callable[[str], None]) -> Journal:
    from offhook.storage.journal import DiskJournal

    return DiskJournal(path, epoch, trouble=trouble)


def _record(event: CallEvent) -> CallRecord:
    call = event.call
    end = call.end or CallEnd("local")
    over = isinstance(event, CallEnded)
    incoming = call.direction == "incoming"
    return CallRecord(
        id=call.id,
        account=call.account,
        direction="in" if incoming else "out",
        remote_uri=call.remote.uri,
        remote_display=call.remote.display,
        started=call.created.timestamp(),
        answered=call.answered.timestamp() if call.answered else None,
        ended=call.ended.timestamp() if call.ended else clock.wall(),
        duration_s=event.duration if isinstance(event, CallEnded) else 0.0,
        sip_status=end.sip_status,
        reason=end.reason if over else "not ended when last seen",
        end_by=end.by if call.end else "",
        missed=incoming and over and call.answered is None and end.by != "local" and end.cause != ANSWERED_ELSEWHERE,
    )


def _entry(record: CallRecord) -> dict[str, Any]:
    return structs.asdict(record)


# --- running from the command line ---------------------------------------------------------------------------------


def complete(config: Config) -> Config:
    """Fill in what the file leaves to the system: passwords from the keyring or secrets file, the recordings folder."""
    where = paths()
    accounts = config.accounts
    nat = config.nat
    unknown = bool(nat.turn and not nat.turn_password)
    if unknown or not all(account.password for account in accounts):
        secrets = open_secrets(where.secrets_file)  # a keyring is slow and large: only where something is missing
        accounts = tuple(a if a.password else replace(a, password=secrets.get(a.id) or "") for a in accounts)
        nat = replace(nat, turn_password=secrets.get(TURN_SECRET) or "") if unknown else nat
    folder = config.phone.recording_dir or str(where.recordings)
    decide = config.phone.decide or bool(config.hooks.decide or config.hooks.decide_url)
    return replace(config, accounts=accounts, nat=nat, phone=replace(config.phone, recording_dir=folder, decide=decide))


def kept_instance(file: Path) -> str:
    """Return this phone's URN (RFC 5626 4.1: the same after a restart), made and kept at its first start."""
    try:
        urn = file.read_text("ascii").strip()
        if re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", urn):
            return urn
    except (OSError, UnicodeError):
        pass  # the first start, or a file that is none of ours: a new one
    import uuid

    urn = f"urn:uuid:{uuid.uuid4()}"
    write_private(file, urn + "\n")
    return urn


def run_phone(options: SimpleNamespace) -> int:
    """Run a phone until it is told to quit. Raises SetupError for what must be mended first."""
    file = Path(options.config) if options.config else paths().config_file
    if options.config and not file.exists():
        raise ConfigError(f"{file}: no such file; write it, or leave --config away to use {paths().config_file}")
    config = complete(load(file))
    if options.port:
        config = replace(config, sip=replace(config.sip, port=options.port))
    if options.sound:
        config = replace(config, media=replace(config.media, sound=options.sound))
    if options.media:
        config = replace(config, media=replace(config.media, mode=options.media))
    if options.http:
        config = replace(config, http=with_address(config.http, options.http))
    return run(_serve(config, options.socket or socket_path(), verbose=options.verbose, file=file))


def with_address(settings: HttpSettings, text: str) -> HttpSettings:
    """Return the settings, switched on, with the address of `--http [HOST:]PORT`. Raises SetupError for what is none."""
    host, colon, port = text.rpartition(":")
    if not (port.isascii() and port.isdecimal() and int(port) < 65536) or (colon and not host):
        raise SetupError(f"--http {text}: write [HOST:]PORT, as 5080 or 127.0.0.1:5080")
    return replace(settings, enabled=True, host=host.strip("[]") or settings.host, port=int(port))


def _may_encrypt(config: Config) -> bool:
    return config.srtp.policy != "off" or any(account.srtp not in ("default", "off") for account in config.accounts)


async def _serve(
    config: Config, socket: str, *, verbose: bool, any_http_port: bool = False, file: Path | None = None
) -> int:
    told = asyncio.Event()
    with told_to_end(told.set):
        return await _serve_until(told, config, socket, verbose=verbose, any_http_port=any_http_port, file=file)


async def _serve_until(
    told: asyncio.Event, config: Config, socket: str, *, verbose: bool, any_http_port: bool = False, file: Path | None = None
) -> int:
    where = paths()
    http: HttpServer | None = None
    listen = _listen(config.http, any_http_port) if config.http.enabled else None  # refused before anything runs
    make_private(where.state)
    if not config.phone.instance_id:
        config = replace(config, phone=replace(config.phone, instance_id=kept_instance(where.state / "instance-id")))
    make_private(Path(config.phone.recording_dir))
    phone = await RunningPhone.start(
        config, history=where.history_file, journal=where.journal_file, webhooks=where.webhooks_file,
        contacts=where.contacts_file, certificate=where.certificate_file,
    )  # fmt: skip
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
            http = await _start_http(phone, listen)
        windows = await _start_windows(phone, config.windows)
        await _start_outward(phone, config, socket)
        keep_collector_quiet()
        host, port = phone.address
        print(f"offhook is running: SIP on {host}:{port}, commands on {socket}", flush=True)
        if http is not None:
            _tell_http(http.url)
        if not config.accounts:
            print("There is no account yet: `offhook accounts add` or the configuration file adds one.", flush=True)
        await until_told(phone, told)
    finally:
        await phone.close()
        if windows is not None:
            await windows.close()
        if http is not None:
            await http.close()
        if surface is not None:
            await surface.close()
    print("offhook has stopped.", flush=True)
    return 0


def _listen(settings: HttpSettings, any_port: bool) -> Listen:
    """Return where HTTP is spoken; raises SetupError for what would be dangerous."""
    from offhook.control.http.binding import Listen, check_bind
    from offhook.storage.tokens import TokenFile

    fields = {each: getattr(settings, each) for each in ("host", "port", "hosts", "origins", "certificate", "key")}
    listen = Listen(**fields, any_port=any_port)
    check_bind(listen, bool(TokenFile(paths().tokens_file).list()))
    return listen


async def _start_http(phone: RunningPhone, listen: Listen) -> HttpServer:
    """Start the HTTP surface; its libraries are read beside the phone, which answers meanwhile."""
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, importlib.import_module, "offhook.control.http.server")
    from offhook.control.http.server import HttpServer
    from offhook.storage.tokens import TokenFile, token_for_user

    tokens = TokenFile(paths().tokens_file)
    await loop.run_in_executor(None, token_for_user, tokens, paths().http_token_file)
    server = HttpServer(phone, tokens, listen)
    await server.start()
    return server


def _tell_http(url: str) -> None:
    file = paths().http_token_file
    print(f"HTTP is on {url}", flush=True)
    if file.exists():
        print(f'A token for it is in {file}: curl -H "Authorization: Bearer $(cat {file})" {url}/v1/status', flush=True)


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
        print(f"No window and no DDE: {error}", flush=True)
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
    if phone.has_webhooks:
        await loop.run_in_executor(None, importlib.import_module, "offhook.control.webhook")
        phone.webhooks.list()  # the first use begins to serve them


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
    call = envelope.data.get("call")
    about = f" {call['remote']['uri']} ({call['state']})" if isinstance(call, dict) else ""
    about += "".join(f" {key}={value}" for key, value in envelope.data.items() if isinstance(value, str | int) and value != "")
    print(plain(f"{envelope.time[11:23]} {envelope.type} {envelope.subject}{about}"), flush=True)


# --- the practice exchange -----------------------------------------------------------------------------------------

PRACTICE_HINTS: Final = """
Now, in a second terminal:

    . .venv/bin/activate
    offhook dial echo --wait        talk to yourself (tone, music, keypad, busy, callback, recorder, conference … answer too)
    offhook status                  idle, ringing, active …
    offhook dtmf 12#                digits
    offhook hold                    and: offhook resume
    offhook hangup
    offhook events --follow         every state change as it happens

Ctrl+C here ends everything. Events:
"""


def run_exchange(options: SimpleNamespace) -> int:
    """Run the practice exchange until interrupted."""
    return run(_run_exchange(options))


async def _run_exchange(options: SimpleNamespace) -> int:
    from offhook.exchange.server import Exchange

    trusted = paths().state / "exchange-ca.pem"
    if options.tls:
        make_private(trusted.parent)
    exchange = Exchange(
        options.host, options.port, on_event=lambda text: print(text, flush=True), tls=str(trusted) if options.tls else ""
    )
    await exchange.start()
    try:
        host, port = exchange.address
        print(f"The practice exchange is on {host}:{port}. Accounts 1001 to 1009, password practice-<number>.", flush=True)
        if options.tls:
            ports = exchange.ports
            print(
                f"TLS is on port {ports['tls']}, WebSocket on {ports['ws']} (ws) and {ports['wss']} (wss). "
                "An account for it:\n\n"
                f"    domain = \"{host}:{port}\"\n    proxy = \"sip:{host}:{ports['tls']}\"\n    transport = \"tls\"\n"
                f'    tls_ca = "{trusted}"\n',
                flush=True,
            )
        stop = asyncio.Event()
        with told_to_end(stop.set):
            await stop.wait()
    finally:
        await exchange.close()
    return 0


def run_practice(options: SimpleNamespace) -> int:
    """Run the practice exchange and a phone registered to it, and say what to try."""
    return run(_run_practice(options))


async def _run_practice(options: SimpleNamespace) -> int:
    from offhook.exchange.server import Exchange

    exchange = Exchange("127.0.0.1", options.port)
    await exchange.start()
    try:
        host, port = exchange.address
        print(f"The practice exchange is on {host}:{port}.", flush=True)
        account = AccountSettings(id="practice", domain=f"{host}:{port}", username="1001", password="practice-1001")  # noqa: S106
        config = complete(load(paths().config_file))
        config = replace(
            config,
            accounts=(account,),
            sip=replace(config.sip, host=host, port=0),
            media=replace(config.media, sound=options.sound or config.media.sound),
            http=replace(config.http, enabled=True),
        )
        print(PRACTICE_HINTS, flush=True)
        return await _serve(config, options.socket or socket_path(), verbose=True, any_http_port=True)
    finally:
        await exchange.close()


def main_practice() -> int:
    """`python -m offhook.app`: what `make run` starts."""
    try:
        return run_practice(SimpleNamespace(port=0, sound="", socket=""))
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main_practice())
