"""Measures the surfaces: requests, events on their way to a client, many subscribers, the journal. Prints a table."""

from __future__ import annotations

import base64
import json
import os
import re
import select
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import run

ROUNDS = 5000
CALLS = 300
SUBSCRIBERS = 200
SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9000 RTP/AVP 0\r\na=sendonly\r\n"
REQUEST = (
    "{method} sip:bench@127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{ours};branch=z9hG4bK{call}{method}\r\n"
    "From: <sip:bench@127.0.0.1>;tag=f{call}\r\nTo: <sip:bench@127.0.0.1>{tag}\r\nCall-ID: api{call}\r\n"
    "CSeq: {cseq} {cmethod}\r\n"
    "Contact: <sip:bench@127.0.0.1:{ours}>\r\nMax-Forwards: 70\r\n{more}Content-Length: {length}\r\n\r\n{body}"
)

Row = tuple[str, str, str]


class Caller:
    """A SIP client just good enough to call the phone and hang up."""

    def __init__(self, port: int) -> None:
        self.phone = ("127.0.0.1", port)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(5)
        self.ours = self.socket.getsockname()[1]

    def send(self, method: str, call: int, tag: str = "", cseq: int = 1, body: str = "") -> None:
        """Send one request of a call."""
        more = "Content-Type: application/sdp\r\n" if body else ""
        text = REQUEST.format(
            method=method, port=self.phone[1], ours=self.ours, call=call, tag=tag, cseq=cseq, more=more, body=body,
            cmethod="INVITE" if method == "ACK" else method, length=len(body),
        )  # fmt: skip
        self.socket.sendto(text.encode(), self.phone)

    def final(self, method: str) -> str:
        """Return the final answer to a method."""
        while True:
            text = self.socket.recv(65536).decode()
            if not text.startswith("SIP/2.0 1") and f" {method}\r\n" in text:
                return text

    def call(self, number: int) -> str:
        """Call; returns the tag of the phone's end."""
        self.send("INVITE", number, body=SDP)
        answer = self.final("INVITE")
        assert answer.startswith("SIP/2.0 200"), answer
        tag = re.search(r"\nTo:.*(;tag=[^\s;]+)", answer).group(1)  # type: ignore[union-attr]  # a 200 has one
        self.send("ACK", number, tag)
        return tag


def local_client(path: Path) -> socket.socket:
    """Return a connection to the local socket."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))
    return client


def http_client(port: int) -> socket.socket:
    """Return a TCP connection that does not wait (Nagle)."""
    client = socket.create_connection(("127.0.0.1", port))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def web_socket(port: int, token: str) -> socket.socket:
    """Return a WebSocket after its handshake."""
    client = http_client(port)
    key = base64.b64encode(os.urandom(16)).decode()
    client.sendall(
        f"GET /v1/socket HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += client.recv(1)
    assert answer.startswith(b"HTTP/1.1 101")
    return client


def frame(text: bytes) -> bytes:
    """Return a masked text frame (with the mask 0)."""
    length = len(text)
    head = bytes((0x81, 0x80 | length)) if length < 126 else b"\x81\xfe" + length.to_bytes(2, "big")
    return head + b"\0\0\0\0" + text


def percentiles(times: list[float]) -> str:
    """Return p50 and p99 as text, from seconds."""
    times.sort()
    return f"p50 {times[len(times) // 2] * 1000:.2f} ms, p99 {times[len(times) * 99 // 100] * 1000:.2f} ms"


def round_trips(client: socket.socket, request: bytes, complete: Callable[[bytes], bool]) -> list[float]:
    """Return how long each of many requests took."""
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        client.sendall(request)
        answer = client.recv(65536)
        while not complete(answer):
            answer += client.recv(65536)
        times.append(time.perf_counter() - begun)
    return times


def requests(port: int, token: str) -> Iterator[Row]:
    """STATUS over HTTP and over the WebSocket."""
    head = f"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    with http_client(port) as client:
        times = round_trips(client, head, lambda answer: answer.endswith(b"}"))
    yield "GET /v1/status", percentiles(times), "p50 ≤ 1.5 ms"
    with web_socket(port, token) as client:
        times = round_trips(client, frame(b'{"id":1,"op":"status"}'), lambda answer: answer.endswith(b"}}}"))
    yield "STATUS on the WebSocket", percentiles(times), "p50 ≤ 1.5 ms"


def hang_ups(port: int, client: socket.socket, name: str) -> Row:
    """From BYE on the wire to call.ended in a client that has subscribed."""
    caller, times = Caller(port), []
    for number in range(CALLS):
        call = number + (1000 if name == "WebSocket" else 0)
        tag = caller.call(call)
        time.sleep(0.02)
        while select.select([client], [], [], 0)[0]:
            client.recv(1 << 20)
        begun = time.perf_counter()
        caller.send("BYE", call, tag, cseq=2)
        seen = b""
        while b'"type":"call.ended"' not in seen:
            seen += client.recv(1 << 20)
        times.append(time.perf_counter() - begun)
        caller.final("BYE")
    return f"BYE on the wire → `call.ended`, {name}", percentiles(times), "SIP included"


def commands_to_events(path: Path, port: int, token: str) -> Row:
    """From a command on the local socket to its event in another client's WebSocket: the surfaces without SIP."""
    times = []
    with local_client(path) as asking, web_socket(port, token) as hearing:
        hearing.sendall(frame(b'{"id":1,"op":"subscribe","types":["settings.changed"]}'))
        hearing.recv(65536)
        for number in range(ROUNDS // 5):
            request = b'{"op":"set_dnd","enabled":%s}\n' % (b"false" if number % 2 else b"true")
            begun = time.perf_counter()
            asking.sendall(request)
            while b"settings.changed" not in hearing.recv(65536):
                pass
            times.append(time.perf_counter() - begun)
            asking.recv(65536)
    return "command on the local socket → its event, another's WebSocket", percentiles(times), "p50 < 1 ms"


def subscribe(path: Path, after: str = "") -> tuple[socket.socket, str]:
    """Return a subscriber to all events of calls, and the id of the event after which it reads."""
    client = local_client(path)
    place = f',"after":"{after}"' if after else ""
    client.sendall(b'{"id":1,"op":"subscribe","types":["call.*"]%s}\n' % place.encode())
    answer = b""
    while not answer.endswith(b"\n"):  # byte by byte: events may follow at once
        answer += client.recv(1)
    return client, json.loads(answer)["result"]["after"]


def many_subscribers(process: int, port: int, path: Path) -> Row:
    """SIPp calls at 100 calls/s while many read all events of calls; every one must get every event of the journal."""
    reader, writer = os.pipe()
    _, start = subscribe(path)
    child = os.fork()
    if child == 0:  # the subscribers have a process of their own, as in life
        os.write(writer, json.dumps(read_all([subscribe(path, start)[0] for _ in range(SUBSCRIBERS)])).encode())
        os._exit(0)
    os.close(writer)
    time.sleep(1.0)
    _, ok, failed = run.calls(process, port)
    counts = json.loads(os.read(reader, 65536))
    os.waitpid(child, 0)
    (expected,) = read_all([subscribe(path, start)[0]])
    lost = sum(expected - count for count in counts)
    measured = f"{ok} calls ok, {failed} failed, {expected} events each, {lost} lost"
    return f"{SUBSCRIBERS} subscribers × 100 calls/s, local socket", measured, "0 failed, 0 lost"


def read_all(clients: list[socket.socket]) -> list[int]:
    """Return how many events each client got, until all have been silent for some seconds."""
    poll = select.epoll()
    counts = {client.fileno(): 0 for client in clients}
    by_number = {client.fileno(): client for client in clients}
    for number in counts:
        poll.register(number, select.EPOLLIN)
    while ready := poll.poll(15.0 if not any(counts.values()) else 4.0):
        for number, _ in ready:
            counts[number] += by_number[number].recv(1 << 20).count(b"\n")
    return list(counts.values())


def journal() -> Row:
    """Events written down by the disk journal, seven at a time as a call makes them."""
    from offhook.io.journal import EnvelopeMaker
    from offhook.phone.events import CallActive
    from offhook.phone.model import CallState, CallView, Party, wall
    from offhook.storage.journal import DiskJournal

    party = Party("sip:1001@pbx.example.org", "Somebody")
    event = CallActive(call=CallView("c_1", "office", "incoming", CallState.ACTIVE, party, party, "x@y", wall(0.0)))
    with tempfile.TemporaryDirectory() as folder:
        kept = DiskJournal(Path(folder, "journal.sqlite3"), "bench")
        maker, count = EnvelopeMaker("bench", time.time), 70_000
        begun = time.perf_counter()
        for _ in range(count // 7):
            kept.append([maker.make(event) for _ in range(7)])
        told = time.perf_counter() - begun
        kept.close()
        whole = time.perf_counter() - begun
    return "journal", f"{count / told:,.0f} events/s told, {count / whole:,.0f} events/s on the disk", "≥ 5,000"


@contextmanager
def phone_with_http() -> Iterator[tuple[int, int, Path, int, str]]:
    """Run a phone; gives process, SIP port, local socket, HTTP port and a token."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        http = probe.getsockname()[1]
    with run.phone("--http", str(http)) as (process, port, path, _):
        token = next(path.parent.rglob("http-token")).read_text().strip()
        yield process.pid, port, path, http, token


def main() -> None:
    """Measure everything."""
    rows: list[Row] = []
    with phone_with_http() as (process, port, path, http, token):
        rows += requests(http, token)
        rows.append(commands_to_events(path, http, token))
        client, _ = subscribe(path)
        with client:
            rows.append(hang_ups(port, client, "local socket"))
        with web_socket(http, token) as client:
            client.sendall(frame(b'{"id":1,"op":"subscribe","types":["call.*"]}'))
            rows.append(hang_ups(port, client, "WebSocket"))
        rows.append(many_subscribers(process, port, path))
    rows.append(journal())
    print("| what | measured | goal |\n|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
