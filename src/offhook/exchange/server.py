"""The practice exchange on real sockets: `Exchange`."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

from offhook.exchange.authority import ALGORITHMS, practice_accounts
from offhook.exchange.proxy import DOMAINS, Note
from offhook.exchange.switch import Switch
from offhook.exchange.tune import melody
from offhook.io import clock
from offhook.io.certificate import Certificate, available
from offhook.io.media_host import MediaHost
from offhook.io.media_wire import MediaOptions
from offhook.io.resolver import Resolver
from offhook.io.system_ids import SystemIds
from offhook.io.transport import Listeners, Transports
from offhook.media.messages import MediaReport, PortsReady
from offhook.sip.events import (
    Address,
    CloseFlow,
    Datagram,
    FlowFailed,
    FlowUp,
    Resolve,
    SipInput,
    StreamChunk,
    Transmit,
    TransportName,
)

MEDIA_PATIENCE: Final = 10.0
"""Seconds the media engine may take to open its first ports."""

FAREWELL: Final = 0.5
"""Seconds that closing waits for phones to answer its BYEs."""


class Exchange:
    """A registrar, a proxy and lines to call, on one UDP and TCP port; with `tls`, on three more for TLS and WebSocket.

    `accounts` maps names to passwords (without it: 1001-1009, password `practice-<name>`). `on_event` gets one line of text
    for everything worth watching, on the event loop. `port` 0 takes a free one; `address` is right after `start`.
    `recordings` is the folder of the recorder line; without it, one that is removed at the end. `tls` is a file: there the
    exchange writes who signed its self-made certificate (an account's `tls_ca`). `algorithms` are those by which passwords are
    asked for, the preferred one first.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 5070, accounts: dict[str, str] | None = None,
                 on_event: Callable[[str], None] | None = None, media: Literal["thread", "process"] = "thread", *,
                 recordings: str = "", domains: tuple[str, ...] = DOMAINS, tls: str = "",
                 algorithms: tuple[str, ...] = ALGORITHMS) -> None:
        self.accounts = practice_accounts() if accounts is None else accounts
        self._on_event = on_event
        self._domains = domains
        self._algorithms = algorithms
        self._recordings = recordings
        self._tls = tls
        self._folder = tempfile.mkdtemp(prefix="offhook-exchange-")
        listen = self._certify(host, port, Path(tls)) if tls else None
        self._transports = Transports(host, port, self._deliver, listen=listen)
        self._resolver = Resolver(self._transports)
        # Phones in web pages come by WebSocket, and need a handshake.
        self._own_certificate = Certificate()
        self._media = MediaHost(mode=media, options=MediaOptions(host=_media_host(host), dtls=bool(tls) and available()))
        self._switch: Switch | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._lookups: set[asyncio.Task[None]] = set()
        self._media_ready = asyncio.Event()
        self._quiet = asyncio.Event()
        self._closing = self._closed = False

    @property
    def address(self) -> Address:
        """Where phones reach the exchange: host and port. An exchange on all interfaces names loopback."""
        host = self._transports.host
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), self._transports.port

    async def start(self) -> None:
        """Open the port and begin. Raises SetupError if the port is taken, TimeoutError if no media port can be opened."""
        try:
            await self._transports.start()
            await asyncio.to_thread(self._prepare_files)
            if self._tls:
                await asyncio.to_thread(self._own_certificate.fingerprint)
            self._switch = Switch(self.address, self.accounts, SystemIds(), music=str(Path(self._folder, "melody.wav")),
                                  recording=self._recording_path, domains=self._domains,
                                  ports=self._transports.ports, algorithms=self._algorithms,
                                  certificate=self._own_certificate)
            loop = asyncio.get_running_loop()
            self._media.set_report_callback(lambda reports: loop.call_soon_threadsafe(self._report, reports))
            self._media.start()
            async with asyncio.timeout(MEDIA_PATIENCE):
                await self._media_ready.wait()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Hang up all lines and close everything that `start` opened. Harmless when repeated."""
        if self._closing:
            return
        self._closing = True
        if self._switch is not None:
            await self._hang_up(self._switch)
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for task in self._lookups:
            task.cancel()
        if self._lookups:
            await asyncio.wait(self._lookups)
        await self._transports.close()
        await asyncio.to_thread(self._media.close)
        await asyncio.to_thread(shutil.rmtree, self._folder, True)

    async def _hang_up(self, switch: Switch) -> None:
        """End all calls of the lines, and give the phones a moment to say that they know."""
        switch.hang_up(clock.now())
        self._drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await self._quiet.wait()

    @property
    def ports(self) -> Mapping[TransportName, int]:
        """The port of each transport that is spoken."""
        return self._transports.ports

    def _certify(self, host: str, port: int, trusted: Path) -> Listeners:
        """Make a certificate for this exchange, and tell where the one is that vouches for it."""
        from offhook.io.certificates import Authority

        names = ("localhost", *(name for name in self._domains if name != "localhost"), "127.0.0.1", "::1")
        authority = Authority("offhook practice exchange")
        certificate = Path(self._folder, "exchange.pem")
        authority.issue(certificate, tuple(dict.fromkeys((*names, *(() if host in ("0.0.0.0", "::") else (host,))))))
        authority.write(trusted)
        # the next three ports, or any
        further: Sequence[TransportName] = ("tls", "ws", "wss")
        return Listeners({kind: port and port + n for n, kind in enumerate(further, 1)}, str(certificate))

    def _prepare_files(self) -> None:
        Path(self._folder, "melody.wav").write_bytes(melody())
        if self._recordings:
            Path(self._recordings).mkdir(parents=True, exist_ok=True)

    def _recording_path(self, name: str) -> str:
        return str(Path(self._recordings or self._folder, f"{name}.wav"))

    # --- one mutation, one drain -------------------------------------------------------------------------------------

    def _deliver(self, item: Datagram | StreamChunk | FlowUp | FlowFailed) -> None:
        self._receive(item)

    def _report(self, reports: list[MediaReport]) -> None:
        for report in reports:
            self._receive(report)
            if isinstance(report, PortsReady):
                self._media_ready.set()

    def _receive(self, item: SipInput | MediaReport) -> None:
        if self._switch is not None and not self._closed:
            self._switch.receive(item, clock.now())
            self._drain()

    def _timeout(self) -> None:
        if self._switch is not None and not self._closed:
            self._switch.timeout(clock.now())
            self._drain()

    def _drain(self) -> None:
        switch = self._switch
        if switch is None:
            return
        while (output := switch.poll()) is not None:
            if isinstance(output, Transmit):
                self._transports.send(output.flow, output.data)
            elif isinstance(output, CloseFlow):
                self._transports.close_flow(output.flow)
            elif isinstance(output, Resolve):
                self._look_up(output)
            elif isinstance(output, Note):
                if self._on_event is not None:
                    self._on_event(output.text)
            else:
                self._media.send(output)
        if self._closing and not switch.lines.talking:
            self._quiet.set()
        self._arm(switch.deadline())

    def _arm(self, deadline: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            delay = max(0.0, deadline - clock.now())
            self._timer = asyncio.get_running_loop().call_later(delay, self._timeout)

    def _look_up(self, query: Resolve) -> None:
        async def look_up() -> None:
            self._receive(await self._resolver.resolve(query))

        task = asyncio.get_running_loop().create_task(look_up())
        self._lookups.add(task)
        task.add_done_callback(self._lookups.discard)


def _media_host(host: str) -> str:
    """Return the IPv4 address that audio binds to: loopback stays loopback."""
    return host if host.startswith("127.") else "0.0.0.0"
