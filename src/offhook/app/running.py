"""One running phone: the pure phone with its sockets, media, history and contacts; the backend of every surface."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from offhook import __version__
from offhook.app.history import CallHistory
from offhook.app.settings import check_accounts, check_workers, complete, may_encrypt
from offhook.app.texts import KeptTexts
from offhook.control.outcomes import Outcomes
from offhook.errors import CommandError, Draining, InvalidArgument, InvalidState, NotFound, SetupError
from offhook.io import clock
from offhook.io.audio_link import AudioLink, AudioLinks
from offhook.io.captures import Captured, Captures
from offhook.io.certificate import Certificate, available
from offhook.io.engine import Engine
from offhook.io.journal import Cause, Journal
from offhook.io.media_wire import MediaOptions
from offhook.io.media_workers import media_host
from offhook.io.names import Names
from offhook.io.sound_files import SoundFiles
from offhook.io.subscribing import Subscriber, Unsubscribe
from offhook.io.system_ids import SystemIds
from offhook.io.trace import TracedMessage
from offhook.io.transport import Listeners, Transports
from offhook.media.messages import AudioRate, MediaReport, StreamCaptured, StreamKeys
from offhook.phone.commands import Accepted, AddAccount, CloseAudio, Command, OpenAudio, Quit
from offhook.phone.contacts import DirectoryListed
from offhook.phone.events import CallEnded, Event, SystemError
from offhook.phone.model import LoadView, wall
from offhook.phone.phone import Phone
from offhook.phone.records import ALL_CALLS, WantedCalls
from offhook.phone.settings import AccountSettings
from offhook.phone.web_requests import WebRequest
from offhook.sip.door import Rules
from offhook.storage.config import (
    Config,
    SipSettings,
    load,
)
from offhook.storage.opening import opened
from offhook.storage.people import People

if TYPE_CHECKING:  # read where they are used: a phone without them does not pay for them
    from offhook.control.backend import WebhookBook
    from offhook.control.outgoing import OutgoingUrls
    from offhook.control.web_requests import WebRequests
    from offhook.control.webhook import Webhooks
    from offhook.storage.requests import RequestFile

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


@dataclass(frozen=True, slots=True)
class Files:
    """Where a phone keeps what outlives it; None: it is not kept."""

    history: Path | None = None
    journal: Path | None = None
    webhooks: Path | None = None
    contacts: Path | None = None
    certificate: Path | None = None
    texts: Path | None = None
    requests: Path | None = None


NO_FILES: Final = Files()


class RunningPhone:
    """One phone, running. It is the Backend of every surface.

    `await RunningPhone.start(config)`, use `execute` and `subscribe`, `await close()` (which hangs up and unregisters first).
    """

    def __init__(self, config: Config, files: Files = NO_FILES) -> None:
        check_accounts(config.accounts)
        self.certificate = Certificate(files.certificate)
        ids = SystemIds()
        epoch = ids.token(6)
        self._loop = asyncio.get_running_loop()
        agent = config.sip.user_agent or f"offhook/{__version__}"
        rules = Rules(config.sip.accept_from, config.sip.stranger_rate, config.sip.unlimited_from)
        self.phone = Phone(
            config.phone, ids, codecs=config.media.codecs, user_agent=agent, country_code=config.contacts.country_code,
            srtp=config.srtp, nat=config.nat, certificate=self.certificate, rules=rules, run=epoch,
        )
        options = MediaOptions(
            host=config.sip.host, port_range=config.media.rtp_ports, sound=config.media.sound,
            voice=config.media.voice, dtls=may_encrypt(config) and available(),
            codecs=tuple(dict.fromkeys((*config.media.codecs, *(name for each in config.accounts for name in each.codecs)))),
        )
        check_workers(config.media)
        self.media = media_host(config.media.workers, config.media.mode, options, self._media_reports)
        self._lag = self._longest_lag = 0.0
        kept = _open_journal(files.journal, epoch, self._trouble) if files.journal else None
        self.engine = Engine(self.phone, self.media, epoch, journal=kept, instance=config.phone.name)
        self.transports = Transports(
            config.sip.host, config.sip.port, self.engine.deliver, any_port=True,
            listen=_listen_for_tls(config.sip, self._trouble),
        )
        self._history = CallHistory(self.engine, files.history, self._trouble)
        self._texts = KeptTexts(self.engine, files.texts, self._trouble)
        self._config = config
        self._since = clock.wall()
        self.outcomes = Outcomes(self.engine.subscribe, clock.wall)
        self._webhooks_file = files.webhooks
        self._requests_file = files.requests
        self._allow_http = config.webhooks.allow_http
        self._webhooks: Webhooks | None = None
        self._webhooks_lock = asyncio.Lock()  # they are opened once
        self._serving: asyncio.Task[WebhookBook | None] | None = None
        self._ending = asyncio.Event()
        self.outward: list[Outward] = []
        self._closed = False
        self._searching: asyncio.Task[None] | None = None
        self.people = People(self.engine, self.phone.contacts, files.contacts, self._trouble)
        self._captures = Captures()
        self._audio = AudioLinks(self.engine.command_media, self.engine.report)
        self.media.set_audio_callback(self._audio.take)
        self.engine.subscribe(self._audio.see, CallEnded)
        self._sound_files = SoundFiles()
        self.file: Path | None = None  # what `reload` reads
        self._as_read = config
        self.engine.on_web_request = self._web_request
        self._web_requests: WebRequests | None = None

    @classmethod
    async def start(cls, config: Config, files: Files = NO_FILES) -> RunningPhone:
        """Open the sockets first (the phone answers at once), then the media, then the accounts.

        Webhooks are served, and contacts and texts read, from their first use on.
        """
        running = cls(config, files)
        await running.begin()
        return running

    async def begin(self) -> None:
        """Do what `start` says, for who subscribed before it."""
        try:
            await self.transports.start()
        except SetupError:
            await self._close_records()  # or they would stay open in a program that tries again
            raise
        self._tell_other_ports()
        self.engine.start(self.transports, Names(self._config.sip.nameservers))
        self._history.start()
        self._texts.start()
        self.people.start()
        self.media.start()
        if self._config.nat.stun or self._config.nat.turn:
            self._searching = asyncio.create_task(self._find_servers())
        if may_encrypt(self._config):  # the first time it is made; no call is to wait for that
            await self._aside(self.certificate.fingerprint)
        try:
            for account in self._config.accounts:
                self.engine.execute(AddAccount(account=account))
        except CommandError:
            await self.close()
            raise
        self._tell_missing_music(self._config)

    def _tell_missing_music(self, config: Config) -> None:
        """Say which music on hold is not there: that costs the music, not the account."""
        for text in self._sound_files.missing((config.phone.hold_music, *(each.hold_music for each in config.accounts))):
            self._trouble(text)

    def _tell_other_ports(self) -> None:
        """Say which ports could not be had: who registers us still finds us, who calls the port itself does not."""
        sip, ports = self._config.sip, self.transports.ports
        for name, wanted, found in (("SIP", sip.port, ports["udp"]), ("SIP over TLS", sip.tls_port, ports.get("tls"))):
            if wanted and found and found != wanted:
                self._trouble(f"port {wanted} cannot be had (another program has it?): {name} is on port {found}")

    async def close(self) -> None:
        """Hang up, unregister, and close everything."""
        if self._closed:
            return
        with contextlib.suppress(TimeoutError):
            if not self.phone.desk.stopping:
                self.execute(Quit())
            await asyncio.wait_for(self.engine.stopped.wait(), QUIT_PATIENCE)
        self._closed = True
        self._ending.set()
        if self._searching is not None:
            self._searching.cancel()
        if self._web_requests is not None:
            await self._web_requests.close()
        for outward in self.outward:
            await outward.close()
        if self._serving is not None:
            await self._serving
        async with self._webhooks_lock:
            if self._webhooks is not None:
                await self._webhooks.close()
        await self.people.close()
        await self._texts.close()
        await self.engine.close()
        await self.transports.close()
        await self._aside(self.media.close)
        await self._close_records()

    async def _close_records(self) -> None:
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
        self._soon(self._take_reports, (clock.now(), reports))

    def _trouble(self, text: str) -> None:
        # A file that is opened may be found damaged before there is an engine to say so.
        self._soon(lambda reason: self.engine.say(SystemError(reason=reason)), text)

    def _soon(self, function: Callable[[Any], None], argument: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to hear it
            self._loop.call_soon_threadsafe(function, argument)

    def _take_reports(self, found: tuple[float, list[MediaReport]]) -> None:
        self._lag = clock.now() - found[0]
        self._longest_lag = max(self._lag, self._longest_lag)
        if not self._closed:
            for report in found[1]:
                if isinstance(report, StreamCaptured | StreamKeys):
                    self._captures.take(report)
                    continue
                self._audio.note(report)
                self.engine.report(report)

    # --- Backend

    @property
    def journal(self) -> Journal:
        """The events so far."""
        return self.engine.journal

    def execute(self, command: Command, cause: Cause | None = None) -> Accepted:
        """Carry out a command; raises CommandError."""
        self._sound_files.check(command)
        return self.engine.execute(command, cause)

    def say(self, event: Event) -> None:
        """Add an event of a surface's own."""
        self.engine.say(event)

    def inform(self, item: DirectoryListed) -> None:
        """Take in people of the users directory."""
        self.engine.inform(item)

    def account_to_speak_for(self) -> AccountSettings | None:
        """Return the default account, or the first, as soon as it is registered (or is not to be)."""
        found = self.phone.desk.default_account()
        if found is None or (found.settings.register and found.state != "registered"):
            return None
        return found.settings

    def subscribe(self, callback: Subscriber, *kinds: type[Event]) -> Unsubscribe:
        """Call `callback` with every event from now on, or with those of some kinds."""
        return self.engine.subscribe(callback, *kinds)

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

    def history(self, limit: int, before: str, wanted: WantedCalls = ALL_CALLS) -> list[dict[str, Any]]:
        """Return past calls, newest first."""
        return self._history.list(limit, before, wanted)

    def delete_history(self, entry: str) -> None:
        """Forget one past call."""
        self._history.delete(entry)

    def history_entry(self, entry: str) -> dict[str, Any]:
        """Return one past call."""
        return self._history.get(entry)

    def texts(self, limit: int, before: str) -> list[dict[str, Any]]:
        """Return texts, newest first."""
        return self._texts.list(limit, before)

    def clear_texts(self) -> None:
        """Forget all texts."""
        self._texts.clear()

    async def reload(self) -> dict[str, Any]:
        """Read the configuration file again and do what it says. What cannot be done is refused before anything is."""
        from offhook.app import reload  # only who reloads pays for it

        if self.file is None:
            raise InvalidState("this phone was started without a configuration file")
        try:
            # A keyring may take seconds, or ask the user: not on the loop that answers calls.
            after = await self._loop.run_in_executor(None, _read_again, self.file)
        except SetupError as error:
            raise InvalidArgument(str(error)) from None
        desk, found = self.phone.desk, reload.changes(self._as_read, after)
        busy = {call.account for call in desk.calls.values()}.intersection(found.removed)
        if busy:
            raise InvalidState(f"account {min(busy)} has calls; end them first")
        self.engine.configure(reload.settings(desk.settings, after, found))
        for command in reload.commands(after, found):
            with contextlib.suppress(NotFound):  # an account that was removed meanwhile
                self.engine.execute(command)
        self.engine.configure(desk.settings, tuple(account.id for account in after.accounts))
        self._as_read = after
        self._tell_missing_music(after)
        return asdict(found)

    def follow_file(self, file: Path) -> None:
        """Have `reload` read this file, which is as it was when the phone was started."""
        self.file, self._as_read = file, _read(file)

    def clear_history(self) -> None:
        """Forget all past calls."""
        self._history.clear()

    def about(self) -> dict[str, Any]:
        """Return what this phone is, as far as the configuration file alone does not tell."""
        host, port = self.address
        media = self._config.media
        return {
            "version": __version__, "instance": self._config.phone.name, "pid": os.getpid(), "since": wall(self._since),
            "sip_host": host, "sip_port": port, "sip_tcp_port": self.transports.tcp_port,
            "sound": media.sound, "rtp_ports": media.rtp_ports, "codecs": media.codecs,
            "config": str(self.file.absolute()) if self.file is not None else "",
            "max_calls": self._config.phone.max_calls, "recordings": self._config.phone.recording_dir,
            "load": self.load(),
        }  # fmt: skip

    def load(self) -> LoadView:
        """Return how busy the phone is."""
        return LoadView(self.phone.desk.workers.views(), round(1000 * self._lag, 2), round(1000 * self._longest_lag, 2))

    def traced(self, sip_call_id: str) -> list[TracedMessage]:
        """Return the SIP messages of a call that are still kept, oldest first."""
        return self.engine.trace.about(sip_call_id, clock.wall() - clock.now())

    def captured(self, call: str) -> Captured | None:
        """Return the captured packets of a call, None if there are none."""
        return self._captures.about(call)

    def sip_messages(self) -> tuple[int, int]:
        """Return how many SIP messages were sent and received in this run."""
        return self.engine.trace.sent, self.engine.trace.received

    def dialled(self, to: str, account: str = "") -> tuple[str, ...]:
        """Return what the accounts make of a number."""
        return self.phone.accounts.dialled(to, account)

    def check_url(self, url: str, *, anywhere: bool, name: str = "") -> None:
        """Refuse a web address that may not be used."""
        self._outgoing_urls().check(url, anywhere=anywhere, name=name)

    def _outgoing_urls(self) -> OutgoingUrls:
        from offhook.control.outgoing import OutgoingUrls  # only who uses web addresses pays for it

        return OutgoingUrls(self._config.outgoing.urls, allow_http=self._config.outgoing.allow_http)

    def _web_request(self, wanted: WebRequest) -> None:
        """Do what the phone wants done on the web; the first one has the code for it read."""
        if self._web_requests is None:
            from offhook.control.web_requests import WebRequests

            self._web_requests = WebRequests(self, self.engine.report, self._outgoing_urls())
        self._web_requests.do(wanted)

    async def open_webhooks(self) -> WebhookBook:
        """Return the webhooks; the first use begins to serve them. The loop does not wait for their file."""
        if self._webhooks_file is None:
            raise NotFound("this phone keeps no webhooks")
        async with self._webhooks_lock:
            if self._webhooks is None:
                self._webhooks = await self._begin_webhooks(self._webhooks_file)
            return self._webhooks

    async def _begin_webhooks(self, file: Path) -> Webhooks:
        if self._closed:
            raise Draining("the phone stops")
        await self._loop.run_in_executor(None, importlib.import_module, "offhook.control.webhook")
        from offhook.control.webhook import Webhooks
        from offhook.storage.webhooks import WebhookStore

        store = await self._loop.run_in_executor(None, WebhookStore, file, self._trouble)
        found = Webhooks(self, store, allow_http=self._allow_http)
        try:
            await found.start()
        except BaseException:
            await self._aside(store.close)
            raise
        return found

    def serve_webhooks(self) -> None:
        """Serve the webhooks there are as soon as their file can be used; until then the journal keeps what they are to get."""
        if self._webhooks_file is not None and self._webhooks_file.exists():
            self._serving = self._loop.create_task(opened(self.open_webhooks, self._ending, self._tell_unserved))

    def _tell_unserved(self, error: Exception) -> None:
        if not self._closed:
            self._trouble(f"webhooks are not served: {error}; they get what is new when it can be used")

    def open_requests(self) -> RequestFile:
        """Open what was asked over HTTP with an Idempotency-Key. It waits for the disk; raises SetupError."""
        from offhook.storage.requests import RequestFile

        if self._requests_file is None:
            raise SetupError("this phone keeps no requests")
        return RequestFile(self._requests_file, self.engine.journal.head.epoch, self._trouble)


def _read_again(file: Path) -> Config:
    if not file.exists():  # nobody wants to lose every account to a file that is just being replaced
        raise SetupError(f"there is no {file}; nothing was changed")
    return _read(file)


def _read(file: Path) -> Config:
    return complete(load(file))


def _listen_for_tls(settings: SipSettings, tell: Callable[[str], None]) -> Listeners | None:
    if not settings.tls_certificate:
        return None
    return Listeners({"tls": settings.tls_port}, settings.tls_certificate, settings.tls_key, tell)


def _open_journal(path: Path, epoch: str, trouble: Callable[[str], None]) -> Journal | None:
    """Return the journal on the disk, None where that cannot be used: it costs the events of earlier runs, not the calls."""
    from offhook.storage.journal import IN_MEMORY, DiskJournal

    try:
        return DiskJournal(path, epoch, trouble=trouble)
    except SetupError as error:
        trouble(f"{IN_MEMORY}: {error}")
        return None
