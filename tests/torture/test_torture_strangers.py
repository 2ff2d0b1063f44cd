"""A flood of strangers at a running phone: its call is heard without a gap, commands are obeyed, nobody is flooded in turn."""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
import sys
import threading
import time
import wave
from pathlib import Path

import pytest

from offhook.control.client import LocalClient, TimedOut
from offhook.testing.ears import dominant_frequency
from offhook.testing.process import PhoneProcess, phone_process

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="needs many loopback addresses, so Linux")]

AUTO = '[phone]\nauto_answer = "all"\n'
SECONDS = 4.0
RATE = 4000
"""Datagrams a second: far more than a desk phone ever gets, and as many as a busy machine can send."""
STRANGERS = tuple(f"127.66.{n // 250}.{n % 250 + 1}" for n in range(40))


STRICT = "stranger_rate = 20\nunlimited_from = []\n"


class Flood:
    """Sends from many addresses on a thread of its own, and counts what comes back."""

    def __init__(self, port: int, kinds: tuple[str, ...]) -> None:
        self.target = ("127.0.0.1", port)
        self.sent = self.sent_bytes = self.back = self.back_bytes = 0
        self._sockets = [self._bound(host) for host in STRANGERS]
        self._kinds = kinds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @staticmethod
    def _bound(host: str) -> socket.socket:
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.bind((host, 0))
        opened.setblocking(False)
        return opened

    def __enter__(self) -> Flood:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for each in self._sockets:
            self._count(each)
            each.close()

    def _run(self) -> None:
        chance = random.Random(1)
        begun = time.perf_counter()
        for number, opened in enumerate(itertools.cycle(self._sockets)):
            if self._stop.is_set():
                return
            data = self._message(chance.choice(self._kinds), opened.getsockname(), number, chance)
            try:
                opened.sendto(data, self.target)
            except BlockingIOError:
                continue
            self.sent += 1
            self.sent_bytes += len(data)
            self._count(opened)
            if self.sent % 40 == 0:
                time.sleep(max(0.0, begun + self.sent / RATE - time.perf_counter()))

    def _count(self, opened: socket.socket) -> None:
        while True:
            try:
                data = opened.recv(65535)
            except BlockingIOError:
                return
            self.back += 1
            self.back_bytes += len(data)

    def _message(self, kind: str, source: tuple[str, int], number: int, chance: random.Random) -> bytes:
        if kind == "garbage":
            return chance.randbytes(200)
        host, port = source
        return (f"{kind} sip:{number % 10000}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{number}\r\n"
                f"Max-Forwards: 70\r\nFrom: <sip:{number}@{host}>;tag={number}\r\nTo: <sip:{number}@127.0.0.1>\r\n"
                f"Call-ID: {number}@{host}\r\nCSeq: 1 {kind}\r\nContact: <sip:x@{host}:{port}>\r\nUser-Agent: scanner\r\n"
                f"Content-Length: 0\r\n\r\n").encode()


def told(client: LocalClient) -> list[str]:
    """Return the types of the events that were subscribed to, as far as there are any now."""
    types = []
    with contextlib.suppress(TimedOut):
        for event in client.events(timeout=1.0):
            types.append(event["type"])
    return types


def heard_without_a_gap(recording: Path) -> None:
    """Assert that the tone is there in each half second, from the first to the last."""
    with wave.open(str(recording)) as kept:
        pcm = kept.readframes(kept.getnframes())
    windows = [pcm[at:at + 8000] for at in range(8000, len(pcm) - 8000, 8000)]
    assert len(windows) >= 2 * SECONDS - 2
    assert all(abs(dominant_frequency(window, 8000) - 440) < 6 for window in windows)


@pytest.mark.parametrize("kinds", [("INVITE",), ("OPTIONS",), ("INVITE", "OPTIONS", "BYE", "REGISTER", "garbage")],
                         ids=["invite flood", "options scan", "everything"])
def test_a_flood_disturbs_no_call(kinds: tuple[str, ...], tmp_path: Path) -> None:
    recording = tmp_path / "heard.wav"
    home = tmp_path / "a"
    with phone_process(tmp_path / "b", AUTO) as far:
        near = PhoneProcess(home)
        near.file.write_text(near.file.read_text().replace("[media]", STRICT + "[media]"))
        near.start()
        try:
            talk_in_a_flood(near, far, recording, kinds)
        finally:
            near.stop()
    heard_without_a_gap(recording)


def talk_in_a_flood(near: PhoneProcess, far: PhoneProcess, recording: Path, kinds: tuple[str, ...]) -> None:
    with LocalClient(near.socket) as client:
        client.subscribe("audit.denied", "call.incoming")
        _talk_in_a_flood(near, far, recording, kinds, client)


def _talk_in_a_flood(
    near: PhoneProcess, far: PhoneProcess, recording: Path, kinds: tuple[str, ...], client: LocalClient
) -> None:
    call = near.ask("dial", to=f"sip:offhook@127.0.0.1:{far.port}")["call"]
    near.until("status", lambda r: r["value"]["code"] == 2)
    far.ask("play", tone="440")
    near.ask("record", file=str(recording))
    slowest = 0.0
    with Flood(near.port, kinds) as flood:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            asked = time.monotonic()
            assert near.ask("status")["value"]["call"] == call
            slowest = max(slowest, time.monotonic() - asked)
            time.sleep(0.1)
    assert flood.sent > RATE * SECONDS / 4  # a machine that could not even send it has shown nothing
    # All strangers together have ten times the rate of one, and two seconds' worth at once.
    assert flood.back <= 200 * (SECONDS + 3) * 2
    assert flood.back_bytes <= flood.sent_bytes / 4
    assert slowest < 1.0
    near.ask("stop_record", call=call)
    statistics = near.ask("get_call", call=call)["value"]["media"]
    assert (statistics["loss"] or 0.0) < 0.01
    # The phone has not changed for it: the call can be held, and the far end hears of the end.
    near.ask("hold", call=call)
    near.until("get_call", lambda r: r["value"]["state"] == "held_local", call=call)
    near.ask("hangup", call=call)
    far.until("status", lambda r: r["value"]["code"] in (0, 4))
    types = told(client)
    assert 1 <= types.count("audit.denied") <= 2 * 64 + 2
    assert types.count("call.incoming") <= 16


def test_only_accounts_may_call(tmp_path: Path) -> None:
    near = PhoneProcess(tmp_path / "a", AUTO)
    near.file.write_text(near.file.read_text().replace("[media]", 'accept_from = "accounts"\n' + STRICT + "[media]"))
    near.start()
    try:
        with LocalClient(near.socket) as client, Flood(near.port, ("INVITE", "OPTIONS")) as flood:
            client.subscribe("audit.denied")
            assert "audit.denied" in told(client)
        assert flood.back == 0
        assert near.ask("status")["value"]["calls"] == 0
    finally:
        near.stop()
