"""Asks one peer one question from a socket of its own, and tells apart answer, refusal, silence and no way to it.

Blocking, with deadlines: for the doctor and for tests, never for the running phone.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Literal, TypeAlias, TypeVar

from offhook.errors import ParseError, SetupError
from offhook.io import clock
from offhook.media import stun
from offhook.sip.events import Address, ConnectionTerms, TransportName
from offhook.sip.framing import StreamFramer, is_keep_alive
from offhook.sip.message import Request, Response
from offhook.sip.parsing import MAX_MESSAGE, parse_message
from offhook.sip.timers import T1, T2

PATIENCE: Final = 4.0
"""Seconds for one answer: with T1 of half a second a request is repeated three times in them."""

LINUX: Final = sys.platform == "linux"
_RECVERR_4: Final = (socket.IPPROTO_IP, 11)
_RECVERR_6: Final = (socket.IPPROTO_IPV6, 25)
"""IP_RECVERR and IPV6_RECVERR of linux/in.h and linux/in6.h, which Python's socket module does not name."""

How: TypeAlias = Literal["answered", "refused", "silent", "unreachable", "closed", "garbled", "distrusted"]
"""answered · nobody listens there (ICMP, RST) · nothing came · the system knows no way or forbids it · the connection was
closed without an answer · something came that is no answer · TLS did not come about, or with somebody else."""

Build: TypeAlias = Callable[[Address], Request]
"""Makes the request, given the address of our socket."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one question. `after` is seconds; `detail` the system's or the parser's word where it went wrong.

    `source` is where the answer came from, which over UDP need not be where we asked (empty where the system hides it).
    """

    how: How
    local: Address
    after: float
    response: Response | None = None
    detail: str = ""
    source: Address = ("", 0)
    certificate_days: float | None = None
    """For how many days the far end's certificate is still good; None without TLS, or where nobody looked."""


class Distrusted(OSError):
    """TLS did not come about; the text says why."""


class Probe:
    """One socket to one peer, opened with the first question. Use it with `with`; `host` "" lets the system choose ours."""

    def __init__(self, transport: TransportName, remote: Address, *, host: str = "", patience: float = PATIENCE,
                 terms: ConnectionTerms | None = None) -> None:
        self._terms = terms or ConnectionTerms(remote[0])
        self._days: float | None = None
        self.transport = transport
        self.remote = remote
        self._host = host
        self._patience = patience
        self._socket: socket.socket | None = None
        self._framer = StreamFramer()

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._socket is not None:
            self._socket.close()

    def ask(self, build: Build) -> Reply:
        """Send the request and wait for its final response. Never raises for what the network or the peer does."""
        began = clock.now()
        deadline = began + self._patience
        local = ("", 0)
        garbled: list[str] = []
        try:
            opened = self._socket = self._socket or self._open()
            local = opened.getsockname()[:2]
            request = build(local)
            read: Callable[[bytes], Response | None] = lambda data: _final(data, request, garbled)  # noqa: E731 - typed in place
            if self.transport == "udp":
                response, source = _over_udp(opened, self.remote, request.encode(), deadline, read)
            else:
                response, source = self._over_tcp(opened, request.encode(), deadline, read), self.remote
        except ParseError as error:
            return Reply("garbled", local, clock.now() - began, None, error.detail)
        except OSError as error:
            how = _how(error)
            if how == "silent" and garbled:
                return Reply("garbled", local, clock.now() - began, None, garbled[-1])
            return Reply(how, local, clock.now() - began, None, error.strerror or str(error))
        return Reply("answered", local, clock.now() - began, response, "", source, self._days)

    def _open(self) -> socket.socket:
        opened = _opened(self.transport, self.remote, self._host, self._patience)
        if self.transport not in ("tls", "wss"):
            return opened
        try:
            return self._secure(opened)
        except BaseException:
            opened.close()
            raise

    def _secure(self, opened: socket.socket) -> socket.socket:
        """Do the handshake of TLS as the phone would. Raises Distrusted."""
        import ssl

        from offhook.io import tls

        terms = self._terms
        try:
            secured = tls.context_for(terms).wrap_socket(opened, server_hostname=terms.name or None)
        except (ssl.SSLError, ConnectionError) as error:
            raise Distrusted(tls.plain_reason(error, terms.name)) from None
        except SetupError as error:
            raise Distrusted(str(error)) from None
        certificate = secured.getpeercert() or {}
        if terms.verify and (fault := tls.name_fault(certificate, terms.name)):
            secured.close()
            raise Distrusted(fault)
        end = certificate.get("notAfter")
        self._days = (ssl.cert_time_to_seconds(str(end)) - clock.wall()) / 86400 if end else None
        return secured

    def _over_tcp(self, connected: socket.socket, data: bytes, deadline: float, read: Callable[[bytes], T | None]) -> T:
        _wait_at_most(connected, deadline)
        connected.sendall(data)
        while True:
            _wait_at_most(connected, deadline)
            block = connected.recv(MAX_MESSAGE)
            if not block:
                raise ConnectionAbortedError("the connection was closed")
            for frame in self._framer.feed(block):
                if (found := read(frame)) is not None:
                    return found


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of asking a STUN server: the address it saw us under, None if it did not say."""

    how: How
    local: Address
    mapped: Address | None = None
    detail: str = ""


def ask_stun(remote: Address, transaction: bytes, *, host: str = "", patience: float = PATIENCE) -> Seen:
    """Ask a STUN server which address it sees. Never raises; `transaction` is 12 random bytes."""
    local: Address = ("", 0)
    deadline = clock.now() + patience
    try:
        with _opened("udp", remote, host, patience) as opened:
            local = opened.getsockname()[:2]
            request = stun.binding_request(transaction)
            answer, _ = _over_udp(opened, remote, request, deadline, lambda data: _binding(data, transaction))
        if answer.kind == stun.BINDING_SUCCESS and answer.mapped is not None:
            return Seen("answered", local, answer.mapped)
        code, reason = answer.error or (0, "an answer without an address")
        return Seen("garbled", local, None, f"{code or ''} {reason}".strip())
    except ParseError as error:
        return Seen("garbled", local, None, error.detail)
    except OSError as error:
        return Seen(_how(error), local, None, error.strerror or str(error))


def _binding(data: bytes, transaction: bytes) -> stun.StunMessage | None:
    """Return the answer to our request; None for anything else: RFC 8489 6.3 drops it silently."""
    try:
        message = stun.parse_stun(data)
    except ParseError:
        return None
    expected = message.transaction == transaction and message.kind in (stun.BINDING_SUCCESS, stun.BINDING_ERROR)
    return message if expected else None


def _opened(transport: TransportName, remote: Address, host: str, patience: float) -> socket.socket:
    """Return a socket to ask with. Where it can, a UDP one is not connected, so that answers from elsewhere are seen too."""
    connected = _connected(transport, remote, host, patience)
    if transport != "udp" or not LINUX:
        return connected
    with connected:
        ours = connected.getsockname()
    opened = socket.socket(connected.family, socket.SOCK_DGRAM)
    try:
        # Otherwise only a connected socket is told that nobody listens there (ip(7), ipv6(7)).
        opened.setsockopt(*(_RECVERR_6 if ":" in remote[0] else _RECVERR_4), 1)
        opened.bind((ours[0], 0, *ours[2:]))
    except BaseException:
        opened.close()
        raise
    return opened


def _connected(transport: TransportName, remote: Address, host: str, patience: float) -> socket.socket:
    family = socket.AF_INET6 if ":" in remote[0] else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM)
    try:
        opened.settimeout(patience)
        if host:
            opened.bind((host, 0))
        opened.connect(remote)
    except BaseException:
        opened.close()
        raise
    return opened


def _over_udp(opened: socket.socket, remote: Address, data: bytes, deadline: float,
              read: Callable[[bytes], T | None]) -> tuple[T, Address]:
    """Send until `read` takes something that came; return it and where it came from.

    RFC 3261 17.1.2.2: again after T1, then twice as long, up to T2.
    """
    pause = T1
    while True:
        if LINUX:
            opened.sendto(data, remote)
        else:
            opened.send(data)
        again = min(deadline, clock.now() + pause)
        pause = min(2 * pause, T2)
        while (left := again - clock.now()) > 0:
            opened.settimeout(left)
            try:
                block, source = opened.recvfrom(MAX_MESSAGE)
            except TimeoutError:
                break
            except ConnectionResetError:  # what Windows makes of "nobody listens there"
                raise ConnectionRefusedError("nobody listens there") from None
            if (found := read(block)) is not None:
                return found, source[:2]
        if clock.now() >= deadline:
            raise TimeoutError("no answer")


def _final(data: bytes, request: Request, garbled: list[str]) -> Response | None:
    """Return the final response to our request, None for anything else; what is no SIP is noted."""
    if is_keep_alive(data):
        return None
    try:
        message = parse_message(data)
        ours = isinstance(message, Response) and message.status >= 200 and message.via.branch == request.via.branch
    except ParseError as error:
        garbled.append(error.detail)
        return None
    return message if ours and isinstance(message, Response) else None


def _wait_at_most(connected: socket.socket, deadline: float) -> None:
    left = deadline - clock.now()
    if left <= 0:
        raise TimeoutError("no answer")
    connected.settimeout(left)


def _how(error: OSError) -> How:
    match error:
        case Distrusted():
            return "distrusted"
        case ConnectionRefusedError():
            return "refused"
        case TimeoutError():
            return "silent"
        case ConnectionError():
            return "closed"
        case _:
            return "unreachable"
