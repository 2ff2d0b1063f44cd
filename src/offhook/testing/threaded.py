"""Servers on threads of their own, for tests of programs that block: a peer that answers as told, and a practice exchange."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import TypeAlias

from offhook.errors import ParseError
from offhook.exchange.server import Exchange
from offhook.sip.events import Address
from offhook.sip.message import Request, Response
from offhook.sip.parsing import parse_message

Answers: TypeAlias = Callable[[Request, Address], Response | bytes | None]
"""Returns what to send back to a request from an address; None: nothing."""

LOOPBACK = "127.0.0.1"
POLL = 0.05


class UdpPeer:
    """A UDP socket that hands each datagram to `reply` and sends back what that returns. `address` is where it is."""

    def __init__(self, reply: Callable[[bytes, Address], bytes | None]) -> None:
        self.heard: list[bytes] = []
        self._reply = reply
        self._stop = threading.Event()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(POLL)
        self._socket.bind((LOOPBACK, 0))
        self.address: Address = self._socket.getsockname()
        self._thread = threading.Thread(target=self._run, name="udp-peer", daemon=True)

    def __enter__(self) -> UdpPeer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def send(self, data: bytes, target: Address) -> None:
        """Send something by itself."""
        self._socket.sendto(data, target)

    def _run(self) -> None:
        while not self._stop.is_set():
            # ConnectionError: the far end of an answer has gone, which Windows reports here.
            with contextlib.suppress(TimeoutError, ConnectionError):
                data, source = self._socket.recvfrom(65535)
                self.heard.append(data)
                if (answer := self._reply(data, source)) is not None:
                    self.send(answer, source)


def sip_peer(answers: Answers) -> UdpPeer:
    """Return a UDP peer that answers SIP requests; what is no request is dropped."""

    def reply(data: bytes, source: Address) -> bytes | None:
        try:
            request = parse_message(data)
        except ParseError:
            return None
        answer = answers(request, source) if isinstance(request, Request) else None
        return answer.encode() if isinstance(answer, Response) else answer

    return UdpPeer(reply)


@contextlib.contextmanager
def tcp_peer(serve: Callable[[socket.socket], object]) -> Iterator[Address]:
    """Accept TCP connections while the block runs; each is given to `serve`, then closed."""
    stop = threading.Event()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.settimeout(POLL)
        listener.bind((LOOPBACK, 0))
        listener.listen()

        def run() -> None:
            while not stop.is_set():
                with contextlib.suppress(TimeoutError, ConnectionError):
                    accepted, _ = listener.accept()
                    with accepted:
                        accepted.settimeout(2)
                        serve(accepted)

        thread = threading.Thread(target=run, name="tcp-peer", daemon=True)
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            stop.set()
            thread.join()


@contextlib.contextmanager
def exchange_beside(tls: str = "", ports: dict[str, int] | None = None) -> Iterator[Address]:
    """Run a practice exchange on a thread while the block runs; gives its address, and fills `ports` (by transport)."""
    ready = threading.Event()
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Event, Address]] = []

    async def serve() -> None:
        exchange = Exchange(port=0, tls=tls)
        await exchange.start()
        if ports is not None:
            ports.update({str(kind): port for kind, port in exchange.ports.items()})
        end = asyncio.Event()
        running.append((asyncio.get_running_loop(), end, exchange.address))
        ready.set()
        await end.wait()
        await exchange.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="exchange", daemon=True)
    thread.start()
    assert ready.wait(10), "the exchange did not start"
    loop, end, address = running[0]
    try:
        yield address
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(10)
