"""Plays prepared RTP into a real peer, to the millisecond, and brings back what it plays to its user."""

from __future__ import annotations

import contextlib
import heapq
import os
import re
import socket
import subprocess
import tempfile
import threading
import time
import wave
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from offhook.media.codecs import codec
from offhook.media.codecs.kinds import kind_of
from offhook.media.resample import resample
from offhook.media.rtp import HEADER, HEADER_BYTES
from offhook.testing.peers import LOOPBACK, baresip, free_port, program

ANSWER_S: Final = 10.0
TAIL_S: Final = 0.7
BARESIP_MODULES: Final = {"G722": "module g722.so\n", "OPUS/16000": "module opus.so\n", "AMR/OCTETS": "module amr.so\n"}
BACK_KIND: Final = 97
SETTLE_S: Final = 0.5
RECORDING: Final = "heard.wav"
BARESIP_NAMES: Final = {"AMR/OCTETS": "AMR/8000", "OPUS/16000": "opus/48000/2", "G722": "G722/16000"}


@dataclass(frozen=True)
class Back:
    """Uncompressed sound, which a peer sends back (RFC 3551 4.5.11)."""

    rate: int
    channels: int = 1

    @property
    def text(self) -> str:
        """Return it as rtpmap lines have it."""
        return f"L16/{self.rate}/{self.channels}"


BARESIP_BACK: Final = {"OPUS/16000": Back(48_000, 2)}  # at the rate it plays a codec at, so that it resamples nothing


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
def called(uri: str, port: int, name: str, kind: int, fed: Fed, back: Back | None = None) -> Iterator[None]:
    """Be in a call with a SIP peer on loopback whose sound comes from `fed`; it is to send `back` if it can choose."""
    with bound() as sip:
        sip.settimeout(ANSWER_S)
        own, media = sip.getsockname()[1], fed.rtp.getsockname()[1]
        form = kind_of(name)
        kinds = f"{BACK_KIND} {kind}" if back else f"{kind}"
        lines = [
            "v=0", f"o=- 1 1 IN IP4 {LOOPBACK}", "s=-", f"c=IN IP4 {LOOPBACK}", "t=0 0", f"m=audio {media} RTP/AVP {kinds}",
            *([f"a=rtpmap:{BACK_KIND} {back.text}"] if back else []), f"a=rtpmap:{kind} {form.text}",
            *([f"a=fmtp:{kind} {form.fmtp}"] if form.fmtp else []), "a=ptime:20",
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


def returned(call: Fed, back: Back) -> bytes:
    """Return what came back as PCM of one channel, in its place on the time line, from when the first packet was sent."""
    if not call.back:
        return b""
    first, last = min(call.back), max(call.back)
    pieces = bytearray(2 * (last - first) + len(call.back[last]) // back.channels)
    for at, payload in call.back.items():
        sound = array("h", payload)
        sound.byteswap()  # RFC 3551 4.5.11: network byte order; the machine's is taken to be the other one
        start = 2 * (at - first)
        pieces[start : start + 2 * (len(sound) // back.channels)] = sound[:: back.channels].tobytes()
    early = int(max(0.0, call.began - call.answered) * back.rate)
    return bytes(pieces[2 * early :])


Calls: TypeAlias = Sequence[tuple[Sequence[bytes], Sequence[tuple[float, int]]]]


def baresip_hears(name: str, kind: int, cells: Calls) -> list[bytes]:
    """Return what baresip plays in each of these calls, at once: its player is the source of what it sends back to us.

    It sends uncompressed sound, so that only what it hears counts. It has its adaptive jitter buffer as it comes (5 to 10
    frames) and its module for packet loss (spandsp's).
    """
    rate = codec(name).rate
    back = BARESIP_BACK.get(name, Back(rate))
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        calls = []
        for number, (packets, arrivals) in enumerate(cells):
            peer = stack.enter_context(baresip(
                Path(folder, str(number)), source="aubridge,nobody", codecs=f"{back.text},{BARESIP_NAMES.get(name, name)}",
                settings=f"{BARESIP_MODULES.get(name, '')}module l16.so\nmodule plc.so\n",
            ))  # fmt: skip
            fed = Fed(packets, arrivals)
            stack.enter_context(fed.rtp)
            stack.enter_context(called(peer.uri, peer.port, name, kind, fed, back))
            calls.append(fed)
        feed(calls)
        return [resample(returned(call, back), back.rate, rate) for call in calls]


def linphone_hears(name: str, kind: int, cells: Calls) -> list[bytes]:
    """Return what linphone would play in each of these calls, at once: it writes that to a file in place of a sound card.

    Its jitter buffer and what it does about packet loss are as they come. When its file begins nobody tells, so the recording
    is of no use for delays.
    """
    command, rate = program("linphonec", "linphone-cli"), codec(name).rate
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        calls = []
        for number, (packets, arrivals) in enumerate(cells):
            home = Path(folder, str(number))
            peer = stack.enter_context(_linphone(command, home, name))
            fed = Fed(packets, arrivals)
            stack.enter_context(fed.rtp)
            stack.enter_context(called(f"sip:linphone@{LOOPBACK}:{peer.port}", peer.port, name, kind, fed))
            peer.say(f"record {home / RECORDING}")
            calls.append(fed)
        time.sleep(SETTLE_S)
        feed(calls)
        stack.close()
        return [_recorded(Path(folder, str(number), RECORDING), rate) for number in range(len(cells))]


@dataclass
class _Linphone:
    """A linphonec that answers by itself and takes commands line by line."""

    process: subprocess.Popen[str]
    port: int

    def say(self, line: str) -> None:
        if self.process.stdin is not None:
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()


@contextmanager
def _linphone(command: str, home: Path, name: str) -> Iterator[_Linphone]:
    (home / ".local/share/linphone").mkdir(parents=True)  # without it the library ends the program
    port = free_port()
    (home / "linphonerc").write_text(_linphone_settings(port, name), "utf-8")
    with Path(home, "linphone.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [command, "-c", str(home / "linphonerc"), "-a"], stdin=subprocess.PIPE, stdout=log, stderr=log, text=True,
            env={**os.environ, "HOME": str(home)},
        )  # fmt: skip
    try:
        peer = _Linphone(process, port)
        peer.say("soundcard use files")
        deadline = time.monotonic() + ANSWER_S
        while "Using wav files" not in Path(home, "linphone.log").read_text("utf-8", "replace"):
            if time.monotonic() > deadline:
                raise RuntimeError(f"linphonec does not start: {Path(home, 'linphone.log').read_text('utf-8', 'replace')}")
            time.sleep(0.05)
        yield peer
        time.sleep(SETTLE_S)
        with contextlib.suppress(BrokenPipeError):
            peer.say("quit")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(ANSWER_S)
    finally:
        process.kill()
        process.wait()


def _linphone_settings(port: int, name: str) -> str:
    mime, clock, channels = kind_of(name).format
    return f"""
[sip]
sip_port={port}
sip_tcp_port=0
sip_tls_port=0
bind_address={LOOPBACK}
use_ipv6=0
guess_hostname=0
register_only_when_network_is_up=0
[rtp]
audio_rtp_port=-1
[sound]
echocancellation=0
[audio_codec_0]
mime={mime.lower() if mime == "OPUS" else mime}
rate={clock}
channels={channels}
enabled=1
[misc]
uuid=00000000-0000-1000-8000-000000000001
"""


def _recorded(path: Path, rate: int) -> bytes:
    with wave.open(str(path)) as file:
        return resample(file.readframes(file.getnframes()), file.getframerate(), rate)
