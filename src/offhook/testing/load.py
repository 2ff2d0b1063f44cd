"""Load: very many calls in virtual time, and from SIPp against a running phone, with memory and descriptors watched."""

from __future__ import annotations

import gc
import mmap
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.settings import PhoneSettings
from offhook.testing.peers import program
from offhook.testing.phones import VirtualPhone
from offhook.testing.process import PhoneProcess
from offhook.testing.wire import Weather, Wire

EVERY: Final = 0.05
"""Virtual seconds between two dials: 20 calls a second, each a second long."""
TIDY: Final = 50
"""Calls after which what only the test's own wire and phones remember is dropped."""
SETTLE: Final = 40.0
"""Seconds until the last transaction has died (RFC 3261: 64*T1 is 32 s, forgotten in steps of half a second)."""


@dataclass(slots=True)
class Growth:
    """What a run did to memory: bytes after the warm-up and at its end, and how many calls succeeded."""

    calls: int
    ended: int
    before: int
    after: int

    @property
    def percent(self) -> float:
        """How much more there is than after the warm-up."""
        return 100.0 * (self.after - self.before) / self.before


def resident(pid: int | str = "self") -> int:
    """Return the bytes of memory a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * mmap.PAGESIZE


def virtual_calls(count: int, warm_up: int, tell: Callable[[str], None] = lambda _text: None) -> Growth:
    """Let one phone call another `count` times through a network that loses one datagram in fifty."""
    wire = Wire(1, Weather(loss=0.02, duplicate=0.01, jitter=0.01))
    alice = VirtualPhone(wire, "alice", "10.0.0.1", ports=256)
    bob = VirtualPhone(wire, "bob", "10.0.0.2", PhoneSettings(auto_answer="all"), ports=256)
    ended = before = 0
    for number in range(1, count + 1):
        call = alice.dial(bob, hold_others=False)
        wire.at(wire.now + 1.0, lambda call=call: _hang_up(alice, call))  # type: ignore[misc]  # bound to this call
        wire.run(wire.now + EVERY)
        if number % TIDY == 0:
            ended += _tidy(wire, alice, bob)
        if number == warm_up:
            gc.collect()
            before = resident()
        if number % 10_000 == 0:
            tell(f"{number} calls, {resident() / 1e6:.1f} MB")
    wire.run(wire.now + SETTLE)
    ended += _tidy(wire, alice, bob)
    gc.collect()
    after = resident()
    wire.run(wire.now + 2 * SETTLE)
    alice.check_empty()
    bob.check_empty()
    return Growth(count, ended, before, after)


def _hang_up(phone: VirtualPhone, call: str) -> None:
    if call in phone.calls:
        phone.execute(c.Hangup(call=call))


def _tidy(wire: Wire, *phones: VirtualPhone) -> int:
    """Drop what the wire and the stand-ins keep for tests; return how many of the first phone's calls had ended."""
    ended = len(phones[0].of(e.CallEnded))
    wire.sent.clear()
    for phone in phones:
        phone.events.clear()
        phone.media.commands.clear()
        phone.node.outputs.clear()
    return ended


# --- a running phone -----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Holdings:
    """What a phone's processes hold: bytes, descriptors, threads."""

    memory: int
    descriptors: int
    threads: int

    @classmethod
    def of(cls, phone: PhoneProcess) -> Holdings:
        """Look at the phone and its workers."""
        assert phone.process is not None
        found = [phone.process.pid, *phone.children()]
        return cls(
            sum(resident(pid) for pid in found), sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in found),
            sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in found),
        )


@dataclass(slots=True)
class RealLoad:
    """Real calls: how many succeeded and failed, and what the phone held after the warm-up and at the end."""

    succeeded: int
    failed: int
    before: Holdings
    after: Holdings
    seconds: float

    @property
    def percent(self) -> float:
        """How much more memory there is than after the warm-up."""
        return 100.0 * (self.after.memory - self.before.memory) / self.before.memory


def real_calls(phone: PhoneProcess, count: int, warm_up: int, rate: float, settle: float = SETTLE) -> RealLoad:
    """Let SIPp call a running phone that answers by itself; raises PeerMissing without SIPp."""
    _sipp(phone.port, warm_up, rate)
    time.sleep(settle)
    before = Holdings.of(phone)
    begun = time.monotonic()
    succeeded, failed = _sipp(phone.port, count, rate)
    seconds = time.monotonic() - begun
    time.sleep(settle)
    return RealLoad(succeeded, failed, before, Holdings.of(phone), seconds)


def _sipp(port: int, count: int, rate: float) -> tuple[int, int]:
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(  # noqa: S603 - an argument list, for tests
            [program("sipp", "sip-tester"), "-sn", "uac", f"127.0.0.1:{port}", "-i", "127.0.0.1", "-m", str(count), "-r",
             f"{rate:g}", "-d", "20", "-nostdin", "-trace_stat", "-fd", "1", "-recv_timeout", "20000", "-timeout",
             f"{3 * count / rate + 60:.0f}"],
            cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False,
        )
        rows = next(Path(folder).glob("*.csv")).read_text().splitlines()
        figures = dict(zip(rows[0].split(";"), rows[-1].split(";"), strict=False))
        if done.returncode not in (0, 1):
            raise AssertionError(f"SIPp ended with {done.returncode}: {done.stderr.decode()[-500:]}")
        return int(figures["SuccessfulCall(C)"]), int(figures["FailedCall(C)"])
