"""How evenly a phone sends sound, as a receiver sees it: packets a second, and how far each is from its time.

Run: python bench/bench_pacing.py [calls ...] [--seconds 20] [--requests 500]. A whole phone calls us; the kernel notes when
each packet comes. Its time is on the straight line of 20 ms steps that fits best. Once the phone has nothing else to do, once
it answers so many HTTP requests a second. Loopback, Linux.
"""

from __future__ import annotations

import argparse
import http.client
import multiprocessing
import re
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from run import phone

from offhook.control.client import LocalClient
from offhook.testing.peers import free_port

STEP = 0.020
TIMESTAMP = 35  # SO_TIMESTAMPNS of Linux
WARM_UP = 2.0
RECEIVE_BUFFER = 1 << 20


@dataclass
class Ear:
    """One call's sound: a socket, and when which packet came to it."""

    end: socket.socket = field(default_factory=lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    arrivals: list[tuple[int, float]] = field(default_factory=list)
    number: int = -1

    def __post_init__(self) -> None:
        self.end.bind(("127.0.0.1", 0))
        self.end.setsockopt(socket.SOL_SOCKET, TIMESTAMP, 1)
        self.end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self.end.settimeout(0.5)

    def listen(self, until: float) -> None:
        """Note packets by their extended numbers."""
        while time.monotonic() < until:
            try:
                packet, notes, _, _ = self.end.recvmsg(2048, 64)
            except TimeoutError:
                continue
            if len(packet) < 12 or not notes:
                continue
            sequence = int.from_bytes(packet[2:4], "big")
            self.number = sequence if self.number < 0 else self.number + ((sequence - self.number + 0x8000) & 0xFFFF) - 0x8000
            seconds, nanoseconds = struct.unpack("qq", notes[0][2])
            self.arrivals.append((self.number, seconds + nanoseconds * 1e-9))


class Answerer(threading.Thread):
    """Takes every call at once, each with an ear of its own."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.end.bind(("127.0.0.1", 0))
        self.port: int = self.end.getsockname()[1]
        self.ears: list[Ear] = []
        self._answered: dict[str, bytes] = {}

    def run(self) -> None:
        while True:
            data, source = self.end.recvfrom(8192)
            text = data.decode("utf-8", "replace")
            method = text.partition(" ")[0]
            if method in ("INVITE", "BYE", "OPTIONS"):
                self.end.sendto(self._answer(text, method), source)

    def _answer(self, text: str, method: str) -> bytes:
        call = "".join(re.findall(r"(?im)^call-id:\s*(\S+)", text))
        if method == "INVITE" and call in self._answered:
            return self._answered[call]
        kept = re.findall(r"(?im)^((?:via|v|from|f|call-id|i|cseq|record-route):.*)\r$", text)
        to = re.findall(r"(?im)^(?:to|t):\s*(.*)\r$", text)[0]
        lines = ["SIP/2.0 200 OK", *kept, f"To: {to}" + ("" if "tag=" in to else ";tag=bench")]
        body = ""
        if method == "INVITE":
            self.ears.append(Ear())
            port = self.ears[-1].end.getsockname()[1]
            lines += [f"Contact: <sip:127.0.0.1:{self.port}>", "Content-Type: application/sdp"]
            body = (
                f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
                "a=rtpmap:0 PCMU/8000\r\na=ptime:20\r\n"
            )
        answer = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]).encode()
        if method == "INVITE":
            self._answered[call] = answer
        return answer


def burden(port: int, token: str, rate: int, seconds: float, done: multiprocessing.Value) -> None:  # type: ignore[valid-type]
    """Ask for the status over HTTP so many times a second."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    began = time.monotonic()
    for number in range(int(rate * seconds)):
        wait = began + number / rate - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        connection.request("GET", "/v1/status", headers={"Authorization": f"Bearer {token}"})
        connection.getresponse().read()
        done.value += 1  # type: ignore[attr-defined]
        if time.monotonic() - began > seconds:
            return


def hear(ears: list[Ear], seconds: float) -> None:
    """Listen to all of them for so long."""
    until = time.monotonic() + seconds
    listeners = [threading.Thread(target=ear.listen, args=(until,)) for ear in ears]
    for ear in ears:
        ear.arrivals.clear()
    for each in listeners:
        each.start()
    for each in listeners:
        each.join()


def fit(arrivals: list[tuple[int, float]]) -> tuple[float, list[float]]:
    """Return packets a second, and each packet's distance in ms from the best straight line of the nominal rate."""
    count = len(arrivals)
    first, start = arrivals[0]
    steps = [(number - first, at - start) for number, at in arrivals]
    mean_number = sum(number for number, _ in steps) / count
    mean_time = sum(at for _, at in steps) / count
    spread = sum((number - mean_number) ** 2 for number, _ in steps)
    slope = sum((number - mean_number) * (at - mean_time) for number, at in steps) / spread
    offsets = sorted(at - STEP * number for number, at in steps)
    middle = offsets[count // 2]
    return 1 / slope, [1000 * abs(at - STEP * number - middle) for number, at in steps]


def row(name: str, ears: list[Ear], requests: int) -> None:
    """Print one line of the table."""
    fitted = [fit(ear.arrivals) for ear in ears if len(ear.arrivals) > 10]
    rates = [rate for rate, _ in fitted]
    off = sorted(distance for _, distances in fitted for distance in distances)
    lost = sum(ear.arrivals[-1][0] - ear.arrivals[0][0] + 1 - len(ear.arrivals) for ear in ears if ear.arrivals)
    worst = max(abs(rate - 50) for rate in rates) / 50
    print(f"{len(ears):5}  {name:8}  {requests:8}  {sum(rates) / len(rates):9.4f}  {100 * worst:8.4f} %"
          f"  {off[len(off) // 2]:6.2f}  {off[int(len(off) * 0.99)]:6.2f}  {off[-1]:7.2f}  {lost:5}", flush=True)  # fmt: skip


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("calls", nargs="*", type=int, default=[1, 20])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--requests", type=int, default=500, help="HTTP requests a second in the second run")
    arguments = parser.parse_args()
    print("calls  phone     requests  packets/s  worst rate  p50 ms  p99 ms   max ms   lost")
    http_port = free_port()
    with phone("--http", str(http_port)) as (_, _, path, _):
        token = Path(path.parent, "state", "http-token").read_text().strip()
        answerer = Answerer()
        answerer.start()
        with LocalClient(str(path)) as client:
            for calls in sorted(arguments.calls):
                while len(answerer.ears) < calls:
                    client.request("dial", to=f"sip:ear@127.0.0.1:{answerer.port}", hold_others=False)
                    time.sleep(0.02)
                time.sleep(WARM_UP)
                hear(answerer.ears, arguments.seconds)
                row("idle", answerer.ears, 0)
                done = multiprocessing.Value("i", 0)
                load = multiprocessing.Process(
                    target=burden, args=(http_port, token, arguments.requests, arguments.seconds, done)
                )
                load.start()
                hear(answerer.ears, arguments.seconds)
                load.join()
                row("busy", answerer.ears, int(done.value / arguments.seconds))


if __name__ == "__main__":
    main()
