"""Subscribers that come and go while the phone is killed and started again: what each saw is exactly the journal."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from offhook.control.feed import COALESCED
from offhook.testing.process import PhoneProcess, phone_process

pytestmark = pytest.mark.slow

CLIENTS = 6
KILLS = 4
CALLS_BETWEEN = 6


class Follower(threading.Thread):
    """A client that reads events, breaks off at random moments, and goes on after the last one it has seen."""

    def __init__(self, path: str, seed: int) -> None:
        super().__init__(daemon=True)
        self.path = path
        self.start_after = self.last = ""
        self.seen: list[str] = []
        self.gaps: list[object] = []
        self.ready = threading.Event()
        self.done = threading.Event()
        self._random = random.Random(seed)

    def run(self) -> None:
        while not self.done.is_set():
            with contextlib.suppress(OSError, ValueError):
                self._visit()
            time.sleep(self._random.uniform(0, 0.02))

    def _visit(self) -> None:
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
            connection.settimeout(0.2)
            connection.connect(self.path)
            after = {"after": self.last} if self.last else {}
            connection.sendall(json.dumps({"id": 1, "op": "subscribe", **after}).encode() + b"\n")
            left = self._random.randrange(1, 60)
            pending = b""
            while left and not self.done.is_set():
                try:
                    data = connection.recv(self._random.choice((100, 3000, 65536)))
                except TimeoutError:
                    continue
                if not data:
                    return
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    self._take(json.loads(line))
                    left = max(0, left - 1)

    def _take(self, line: dict[str, dict[str, str]]) -> None:
        if "event" not in line:
            self.last = self.last or line["result"]["after"]
            self.start_after = self.start_after or self.last
            self.ready.set()
            return
        event = line["event"]
        if event["type"].startswith("stream."):
            self.gaps.append(event)
            return
        if event["type"] not in COALESCED:
            self.seen.append(event["id"])
        self.last = event["id"]


def journal_of(path: Path) -> list[tuple[str, str]]:
    """Return the id and type of every event that was kept."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        rows = database.execute(
            "SELECT name, seq, type FROM events JOIN epochs ON number = epoch ORDER BY epoch, seq"
        ).fetchall()
    return [(f"{name}-{seq}", kind) for name, seq, kind in rows]


def make_calls(near: PhoneProcess, far: PhoneProcess) -> None:
    for _ in range(CALLS_BETWEEN):
        near.ask("dial", to=f"sip:offhook@127.0.0.1:{far.port}")
        near.until("status", lambda r: r["value"]["code"] == 2)
        near.ask("hangup")
    near.ask("dial", to=f"sip:offhook@127.0.0.1:{far.port}")


def test_what_every_subscriber_saw_is_exactly_the_journal(tmp_path: Path) -> None:
    rng = random.Random(11)
    with phone_process(tmp_path / "b", '[phone]\nauto_answer = "all"\n') as far, phone_process(tmp_path / "a") as near:
        followers = [Follower(near.socket, seed) for seed in range(CLIENTS)]
        for follower in followers:
            follower.start()
            assert follower.ready.wait(10)
        for _ in range(KILLS):
            make_calls(near, far)
            time.sleep(rng.uniform(0, 0.05))
            near.kill()  # in the middle of a call
            near.start()
        make_calls(near, far)
        near.ask("hangup_all")
        near.until("status", lambda r: r["value"]["code"] == 0)
        head = near.ask("snapshot")["as_of"]
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and any(follower.last != head for follower in followers):
            time.sleep(0.05)
        for follower in followers:
            follower.done.set()
            follower.join(5)
        assert "Traceback" not in near.stop()
    kept = journal_of(tmp_path / "a" / "state" / "journal.sqlite3")
    assert len({found.rpartition("-")[0] for found, _ in kept}) == KILLS + 1
    places = {found: place for place, (found, _) in enumerate(kept)}
    for follower in followers:
        assert follower.gaps == []
        start = 0 if follower.start_after.endswith("-0") else places[follower.start_after] + 1
        expected = [found for found, kind in kept[start : places[head] + 1] if kind not in COALESCED]
        assert follower.seen == expected
        assert len(follower.seen) > KILLS * CALLS_BETWEEN * 4
