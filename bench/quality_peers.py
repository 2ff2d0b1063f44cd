"""Plays prepared RTP into a real peer, to the millisecond, and brings back what it plays to its user."""

from __future__ import annotations

import contextlib
import heapq
import re
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from offhook.media.codecs import codec
from offhook.media.codecs.kinds import kind_of
from offhook.media.rtp import HEADER, HEADER_BYTES
from offhook.testing.peers import LOOPBACK, baresip

ANSWER_S: Final = 10.0
TAIL_S: Final = 0.7
BARESIP_MODULES: Final = {"PCMU": "", "PCMA": "", "G722": "module g722.so\n", "OPUS/16000": "module opus.so\n"}
BARESIP_NAMES: Final = {"OPUS/16000": "opus/48000/2", "G722": "G722/16000"}


@dataclass
class Fed:
    """One call: what is sent and when, and what has come back by timestamp."""

    packets: Sequence[bytes]
    arrivals: Sequence[tuple[float, int]]
    rtp: socket.socket = field(default_factory=lambda: bound())
    target: tuple[str, int] = ("", 0)
    back: dict[int, bytes] = field(default_factory=dict)
    began: float = 0.0  # when the first packet was due, and when the first one came back
    answered: float = 0.0


def bound() -> socket.socket:
    """Return a UDP socket on loopback."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((LOOPBACK, 0))
    return made


@contextmanager
def called(uri: str, port: int, name: str, kind: int, fed: Fed) -> Iterator[None]:
    """Be in a call with a SIP peer on loopback whose sound comes from `fed`."""
    with bound() as sip:
        sip.settimeout(ANSWER_S)
        own, media = sip.getsockname()[1], fed.rtp.getsockname()[1]
        form = kind_of(name)
        lines = [
            "v=0", f"o=- 1 1 IN IP4 {LOOPBACK}", "s=-", f"c=IN IP4 {LOOPBACK}", "t=0 0", f"m=audio {media} RTP/AVP {kind}",
            f"a=rtpmap:{kind} {form.text}", *([f"a=fmtp:{kind} {form.fmtp}"] if form.fmtp else []), "a=ptime:20",
        ]  # fmt: skip
        body = "".join(f"{line}\r\n" for line in lines)
        call = f"quality-{own}"

        def request(method: str, number: int, to: str, body: str = "") -> None:
            head = [
                f"{method} {uri} SIP/2.0", f"Via: SIP/2.0/UDP {LOOPBACK}:{own};branch=z9hG4bK{method}{own};rport",
                f"From: <sip:quality@{LOOPBACK}:{own}>;tag=q{own}", f"To: {to}", f"Call-ID: {call}", f"CSeq: {number} {method}",
                f"Contact: <sip:quality@{LOOPBACK}:{own}>", "Max-Forwards: 70",
                *(["Content-Type: application/sdp"] if body else []), f"Content-Length: {len(body)}",
            ]  # fmt: skip
            sip.sendto(("\r\n".join(head) + "\r\n\r\n" + body).encode(), (LOOPBACK, port))

        request("INVITE", 1, f"<{uri}>", body)
        while True:
            answer = sip.recv(65536).decode("utf-8", "replace")
            if answer.startswith("SIP/2.0 2"):
                break
            if not answer.startswith("SIP/2.0 1"):
                raise RuntimeError(f"refused: {answer.splitlines()[0]}")
        to = _found(r"(?im)^(?:To|t):\s*(.*?)\s*$", answer)
        fed.target = (LOOPBACK, int(_found(r"(?m)^m=audio (\d+)", answer)))
        request("ACK", 1, to)
        try:
            yield
        finally:
            request("BYE", 2, to)


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"no {pattern} in {text}")
    return match.group(1)


def feed(calls: Sequence[Fed]) -> None:
    """Send all that is to be sent in all calls, each packet at its time, and collect what comes back."""
    over = threading.Event()
    listeners = [threading.Thread(target=_collect, args=(call, over)) for call in calls]
    for listener in listeners:
        listener.start()
    begin = time.perf_counter() + 0.5
    for call in calls:
        call.began = begin
    queue = [(begin + at, number, place) for number, call in enumerate(calls) for at, place in call.arrivals]
    heapq.heapify(queue)
    while queue:
        at, number, place = heapq.heappop(queue)
        if (wait := at - time.perf_counter()) > 0:
            time.sleep(wait)
        calls[number].rtp.sendto(calls[number].packets[place], calls[number].target)
    time.sleep(TAIL_S)
    over.set()
    for listener in listeners:
        listener.join()


def _collect(call: Fed, over: threading.Event) -> None:
    call.rtp.settimeout(0.2)
    while not over.is_set():
        with contextlib.suppress(TimeoutError):
            packet = call.rtp.recv(65536)
            if len(packet) > HEADER_BYTES and packet[1] & 0x7F < 128:
                _, _, _, timestamp, _ = HEADER.unpack_from(packet)
                call.answered = call.answered or time.perf_counter()
                call.back[timestamp] = packet[HEADER_BYTES:]


def returned(call: Fed, name: str) -> bytes:
    """Return what came back as PCM, in its place on the time line, from when the first packet was sent."""
    used = codec(name)
    step, size = used.clock_rate // 50, 2 * used.rate // 50
    if not call.back:
        return b""
    first, last = min(call.back), max(call.back)
    pieces = []
    for at in range(first, last + 1, step):
        payload = call.back.get(at)
        pieces.append(used.decode(payload) if payload else bytes(size))
    early = int(max(0.0, call.began - call.answered) * used.rate)
    return b"".join(pieces)[2 * early :]


def baresip_hears(name: str, kind: int, cells: Sequence[tuple[Sequence[bytes], Sequence[tuple[float, int]]]]) -> list[bytes]:
    """Return what baresip plays in each of these calls, at once: its player is the source of what it sends back to us.

    It has its adaptive jitter buffer as it comes (5 to 10 frames) and its module for packet loss (spandsp's).
    """
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        calls = []
        for number, (packets, arrivals) in enumerate(cells):
            peer = stack.enter_context(baresip(
                Path(folder, str(number)), source="aubridge,nobody", codecs=BARESIP_NAMES.get(name, name),
                settings=f"{BARESIP_MODULES[name]}module plc.so\n",
            ))  # fmt: skip
            fed = Fed(packets, arrivals)
            stack.enter_context(fed.rtp)
            stack.enter_context(called(peer.uri, peer.port, name, kind, fed))
            calls.append(fed)
        feed(calls)
        return [returned(call, name) for call in calls]
