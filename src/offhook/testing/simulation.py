"""Deterministic simulation: a seed makes phones, an exchange and a hostile network, and laws that must hold at the end.

    python -m offhook.testing.simulation --seeds 1-2000        run them, print what failed and how to see it again
    python -m offhook.testing.simulation --seeds 17 --trace    one of them, with everything it did

Everything happens in virtual time: loss, delay, reordering, duplication, corruption, partitions, broken connections, phones and
exchanges that crash and start again. Then the weather clears, and it is asked whether both ends of every call agree, every
event came in a legal order, nobody was called twice for one dial, every account is registered again, and, after everybody has
hung up, nothing is left.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, Literal

from offhook.errors import CommandError
from offhook.exchange.authority import practice_accounts
from offhook.exchange.switch import Switch
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.call import CONNECTED, TRANSITIONS
from offhook.phone.incoming import RING_LONGEST
from offhook.phone.model import CallState
from offhook.phone.settings import AccountSettings, PhoneSettings
from offhook.sip.events import Address, Flow
from offhook.sip.message import Request
from offhook.sip.parsing import MessageError, parse_message
from offhook.testing.ids import SeededIds
from offhook.testing.phones import MediaStandIn, VirtualPhone
from offhook.testing.wire import Node, Raw, Weather, Wire

EXCHANGE: Final[Address] = ("10.0.0.100", 5060)
MOST_PHONES: Final = 4
ACTIONS: Final = (30, 90)
"""Actions of one run: enough for several calls at once, few enough that a failure can be read."""
CALM: Final = 120.0
"""Seconds after which every transaction of the storm is over (RFC 3261: 64*T1 is 32), with what it set off."""
SESSION: Final = 90
"""Seconds: the shortest session timer (RFC 4028), so that a run sees a dead far end noticed."""
BACKOFF: Final = 3700.0
"""Seconds until the longest wait for another registration is over (RFC 5626 4.5: half an hour; Retry-After: an hour)."""
LINES: Final = ("echo", "busy", "tone", "1005")

STEPS: Final = {(before, after) for (before, _), after in TRANSITIONS.items()}
PARTNER: Final = {
    CallState.ACTIVE: CallState.ACTIVE, CallState.HELD_BOTH: CallState.HELD_BOTH,
    CallState.HELD_LOCAL: CallState.HELD_REMOTE, CallState.HELD_REMOTE: CallState.HELD_LOCAL,
}


class Violation(AssertionError):
    """A law was broken."""


class StormWire(Wire):
    """A network that also corrupts datagrams and can be cut in two."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, Weather())
        self.corruption = 0.0
        self.cut: set[str] = set()

    def _send_datagram(self, node: Node, flow: Flow, data: bytes) -> None:
        if (node.address[0] in self.cut) != (flow.remote[0] in self.cut):
            return
        if self.corruption and self._random.random() < self.corruption:
            damaged = bytearray(data)
            for _ in range(self._random.randint(1, 5)):
                damaged[self._random.randrange(len(damaged))] = self._random.randrange(256)
            data = bytes(damaged)
        super()._send_datagram(node, flow, data)

    def clear(self) -> None:
        """The storm is over."""
        self.weather, self.corruption, self.cut = Weather(), 0.0, set()


@dataclass(slots=True)
class Line:
    """One account's phone: the one that runs now, and those that crashed before it."""

    name: str
    host: str
    user: str
    settings: PhoneSettings
    transport: Literal["udp", "tcp"]
    phone: VirtualPhone
    incarnation: int = 0
    dead: list[VirtualPhone] = field(default_factory=list)
    down: bool = False

    @property
    def lives(self) -> list[VirtualPhone]:
        """Every phone that was here, the latest last."""
        return [*self.dead, self.phone]


class World:
    """One run."""

    def __init__(self, seed: int, trace: Callable[[str], None] | None = None) -> None:
        self.seed = seed
        self.chance = random.Random(f"world {seed}")  # noqa: S311  # repeatable is the point
        self.wire = StormWire(seed)
        self.trace = trace
        self.exchanges = 0
        self.exchange: Node = self._start_exchange()
        self.exchange_down = False
        self.corrupted = self.crashed = False
        self.lines = [self._line(number) for number in range(1, self.chance.randint(2, MOST_PHONES) + 1)]

    def say(self, text: str) -> None:
        """Note what is done, for who reads a failed run."""
        if self.trace is not None:
            self.trace(f"{self.wire.now:9.3f} {text}")

    # --- who is there

    def _start_exchange(self) -> Node:
        self.exchanges += 1
        ids = SeededIds(f"exchange {self.seed} {self.exchanges}")
        switch = Switch(EXCHANGE, practice_accounts(), ids, music="", recording=lambda name: f"/{name}", domains=(EXCHANGE[0],))
        node = self.wire.add("exchange", switch, EXCHANGE)  # type: ignore[arg-type]  # it takes no commands: four verbs
        media = MediaStandIn(lambda report, delay: self.wire.at(self.wire.now + delay, lambda: node.receive(report)), 40000)
        node.on_output = lambda output, _now: media.take(output) if not hasattr(output, "text") else None
        node.receive(media.fresh_ports(16))
        return node

    def _line(self, number: int) -> Line:
        name, host, user = f"phone{number}", f"10.0.0.{number}", f"100{number}"
        settings = PhoneSettings(
            name=name, session_expires=SESSION, session_least=SESSION, ring_timeout=60.0,
            reliable=self.chance.choice(("off", "supported", "supported")),
        )
        transport: Literal["udp", "tcp"] = self.chance.choice(("udp", "udp", "tcp"))
        line = Line(name, host, user, settings, transport, self._phone(name, host, settings, 0))
        self._account(line)
        return line

    def _phone(self, name: str, host: str, settings: PhoneSettings, incarnation: int) -> VirtualPhone:
        return VirtualPhone(self.wire, name, host, settings, seed=f"{self.seed} {incarnation} ", ports=64)

    def _account(self, line: Line) -> None:
        line.phone.add_account(AccountSettings("a", EXCHANGE[0], line.user, f"practice-{line.user}", expires=60,
                                               transport=line.transport))

    @property
    def up(self) -> list[Line]:
        """Those who run."""
        return [line for line in self.lines if not line.down]

    # --- what happens to them

    def crash(self, line: Line) -> None:
        """Let a phone die without a word."""
        self.say(f"{line.name} crashes")
        self.crashed = line.down = True
        self._bury(line.phone.node)

    def restart(self, line: Line) -> None:
        """Start it again: it knows nothing of before."""
        self.say(f"{line.name} starts again")
        line.incarnation += 1
        line.dead.append(line.phone)
        line.phone = self._phone(line.name, line.host, line.settings, line.incarnation)
        line.down = False
        self._account(line)

    def crash_exchange(self) -> None:
        """Let the exchange die: its registrations and calls are forgotten."""
        self.say("the exchange crashes")
        self.crashed = self.exchange_down = True
        self._bury(self.exchange)

    def restart_exchange(self) -> None:
        """Start it again, empty."""
        self.say("the exchange starts again")
        self.exchange_down = False
        self.exchange = self._start_exchange()

    def _bury(self, node: Node) -> None:
        node.core = Raw()
        node.on_output = None
        for other in list(self.wire.nodes):
            self.wire.break_connection(node.address, other)
        self.wire.nodes.pop(node.address, None)
        self.wire.names[node.name].remove(node.address)

    # --- the storm

    def storm(self) -> None:
        """Let anything happen, in any order."""
        chance = self.chance
        self.wire.weather = Weather(
            loss=chance.choice((0.0, 0.05, 0.1, 0.3)), duplicate=chance.choice((0.0, 0.05, 0.15)),
            delay=chance.choice((0.005, 0.05, 0.2)), jitter=chance.choice((0.0, 0.02, 0.3)),
        )
        self.wire.corruption = chance.choice((0.0, 0.0, 0.0, 0.02))
        self.corrupted = bool(self.wire.corruption)
        self.say(f"{self.wire.weather}, corruption {self.wire.corruption}")
        for _ in range(chance.randint(*ACTIONS)):
            if chance.random() < 0.08:
                self._chaos()
            elif self.up:
                self._act(chance.choice(self.up))
            self.wire.run(self.wire.now + chance.choice((0.0, 0.01, 0.05, 0.3, 1.0, 4.0, 12.0)))

    def _chaos(self) -> None:
        chance = self.chance
        kind = chance.choice(("cut", "heal", "crash", "restart", "restart", "exchange", "exchange", "break", "break"))
        line = chance.choice(self.lines)
        if kind == "cut":
            self.wire.cut = set(chance.sample([EXCHANGE[0], *(each.host for each in self.lines)], k=chance.randint(1, 2)))
            self.say(f"cut off: {sorted(self.wire.cut)}")
        elif kind == "heal":
            self.say("healed")
            self.wire.cut = set()
        elif kind == "crash" and not line.down:
            self.crash(line)
        elif kind == "restart" and line.down:
            self.restart(line)
        elif kind == "break":
            self.say(f"the connection of {line.name} breaks")
            self.wire.break_connection((line.host, 5060), EXCHANGE)
        elif kind == "exchange":
            self.restart_exchange() if self.exchange_down else self.crash_exchange()

    def _act(self, line: Line) -> None:
        command = self._command(line)
        try:
            line.phone.execute(command)
        except CommandError as error:
            self.say(f"{line.name} {command}: {error.code}")
        else:
            self.say(f"{line.name} {command}")

    def _command(self, line: Line) -> c.Command:
        chance = self.chance
        other = chance.choice([each for each in self.lines if each is not line])
        someone = chance.choice((other.user, other.user, f"sip:offhook@{other.host}", chance.choice(LINES)))
        states = set() if chance.random() < 0.15 else {call.state for call in line.phone.calls.values()}
        if CallState.INCOMING in states and chance.random() < 0.8:
            refusals = c.Reject(), c.Hangup(call="ringing"), c.Redirect(to=someone)
            return chance.choice((*(c.Answer() for _ in range(6)), *refusals))
        if states & CONNECTED and chance.random() < 0.8:
            return chance.choice((
                c.Hold(), c.Hold(call="last"), c.Resume(), c.Resume(call="last"), c.ToggleHold(), c.ToggleHold(),
                c.SetCodecs(codecs=chance.choice((("PCMA",), ("PCMU", "PCMA"), ("L16/8000",), ()))), c.MeterCall(),
                c.Transfer(to=someone), c.Transfer(to=someone, call="last"), c.AcceptTransfer(), c.AcceptTransfer(call="last"),
                c.RejectTransfer(), c.SendDtmf(digits="1,2", method=chance.choice(("info", "auto"))), c.Hangup(),
                c.Hangup(call="last"), *self._attended(line),
            ))
        return chance.choice((
            *(c.Dial(to=someone, hold_others=chance.random() < 0.7) for _ in range(8)), c.Answer(), c.Hangup(), c.Hold(),
            c.Resume(call="last"), c.Redirect(to=someone), c.AcceptTransfer(call="last"),
            c.SendMessage(to=someone, text="hello"), c.RegisterAccount(account="a"), c.UnregisterAccount(account="a"),
            c.HangupAll(),
        ))

    def _attended(self, line: Line) -> list[c.Command]:
        talking = [call.id for call in line.phone.calls.values() if call.state in CONNECTED]
        return [c.TransferAttended(call=talking[0], with_call=talking[1])] if len(talking) > 1 else []

    # --- the calm behind it

    def calm(self) -> None:
        """Clear the weather, start what is down, and ask the laws."""
        self.say("calm")
        self.wire.clear()
        if self.exchange_down:
            self.restart_exchange()
        for line in self.lines:
            if line.down:
                self.restart(line)
        self.wire.run(self.wire.now + CALM)
        self._registrations_converge()
        self.wire.run(self.wire.now + RING_LONGEST + SESSION)
        self.check_events()
        self.check_calls()
        self._nothing_left()
        self.check_events()
        self.check_dialled_once()

    def _registrations_converge(self) -> None:
        for line in self.lines:
            if line.phone.snapshot().accounts[0].registration != "registered":
                line.phone.execute(c.RegisterAccount(account="a"))
        end = self.wire.now + BACKOFF
        while not all(line.phone.snapshot().accounts[0].registration == "registered" for line in self.lines):
            if self.wire.now > end:
                raise Violation(f"not registered: {[line.phone.snapshot().accounts for line in self.lines]}")
            self.wire.run(self.wire.now + 10)

    def _nothing_left(self) -> None:
        for line in self.lines:
            line.phone.execute(c.HangupAll())
            line.phone.execute(c.UnregisterAccount(account="a"))
        switch: Any = self.exchange.core
        switch.hang_up(self.wire.now)  # lines that were connected with each other talk for ever
        self.wire.drain(self.exchange)
        self.wire.run(self.wire.now + CALM)
        for line in self.lines:
            _lawful(line.phone.check_laws)
            _lawful(line.phone.check_empty)
        left = {
            "proxy": len(switch.proxy.transactions.servers) + len(switch.proxy.transactions.clients),
            "lines": {key: count for key, count in switch.lines.statistics().items() if count},
        }
        if any(left.values()):
            raise Violation(f"the exchange keeps {left}")

    # --- the laws

    def check_calls(self) -> None:
        """Both ends of each call agree. After corruption they need not: what a damaged Contact said, nobody can mend."""
        if self.corrupted:
            return
        ends: dict[str, list[tuple[str, CallState]]] = {}
        for line in self.lines:
            for call in line.phone.calls.values():
                if call.state not in CONNECTED:
                    raise Violation(f"{line.name}: {call.id} is {call.state} long after the storm")
                if not any(f":{name}@" in call.remote.uri for name in LINES):
                    ends.setdefault(call.sip_call_id, []).append((line.name, call.state))
        for name, states in ends.items():
            if len(states) != 2 or PARTNER[states[0][1]] is not states[1][1]:
                raise Violation(f"the ends of {name} do not agree: {states}")

    def check_events(self) -> None:
        """The states that a call's events show follow each other as its table says."""
        for line in self.lines:
            for phone in line.lives:
                seen: dict[str, list[CallState]] = {}
                for event in phone.events:
                    if isinstance(event, e.CallEvent):
                        seen.setdefault(event.call.id, []).append(event.call.state)
                for call, states in seen.items():
                    for before, after in pairwise(states):
                        if before is not after and (before, after) not in STEPS:
                            raise Violation(f"{line.name}: {call} went from {before} to {after}")

    def check_dialled_once(self) -> None:
        """No dial makes two calls: one Call-ID on the wire for each, and each phone is told of it once."""
        sent: dict[str, set[str]] = {}
        for packet in self.wire.sent:
            if packet.data.startswith(b"INVITE ") and packet.source != EXCHANGE:
                try:
                    request = parse_message(packet.data)
                except MessageError as error:
                    raise Violation(f"{packet.source} sent what cannot be read: {error.detail}") from None
                if isinstance(request, Request) and not request.to.tag:
                    sent.setdefault(packet.source[0], set()).add(request.call_id)
        # Who was sent elsewhere may come back.
        phones = [phone for line in self.lines for phone in line.lives]
        sent_on = Counter(event.call.sip_call_id for phone in phones for event in phone.of(e.CallRedirected))
        for line in self.lines:
            dialled = sum(len(phone.of(e.CallCreated)) for phone in line.lives)
            if len(sent.get(line.host, ())) > dialled:
                raise Violation(f"{line.name} dialled {dialled} times and sent {len(sent[line.host])} calls")
            for phone in line.lives:
                told = Counter(event.call.sip_call_id for event in phone.of(e.CallIncoming))
                for name, times in told.items():
                    if times > 1 + sent_on[name] and not self.corrupted:
                        raise Violation(f"{line.name} was called {times} times by one dial, {name}")

    def digest(self) -> str:
        """Return a name for everything that was sent, and when: the same seed gives the same."""
        sha = hashlib.sha256()
        for packet in self.wire.sent:
            sha.update(f"{packet.at:.9f} {packet.source} {packet.destination} ".encode() + packet.data)
        return sha.hexdigest()[:16]


def _lawful(check: Callable[[], None]) -> None:
    try:
        check()
    except AssertionError as error:
        raise Violation(str(error)) from None


def simulate(seed: int, trace: Callable[[str], None] | None = None) -> World:
    """Run one seed; Violation (or whatever broke) if a law does not hold."""
    world = World(seed, trace)
    world.storm()
    world.calm()
    return world


# --- many of them --------------------------------------------------------------------------------------------------


def again(seed: int) -> str:
    """Return the command that shows a seed once more, exactly."""
    return f"PYTHONHASHSEED=0 {sys.executable} -m offhook.testing.simulation --seeds {seed} --trace"


def _attempt(seed: int) -> tuple[int, str]:
    try:
        simulate(seed)
    except Exception as error:  # a run that breaks, in whatever way, is what is looked for
        return seed, f"{type(error).__name__}: {error}"
    return seed, ""


def _seeds(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def run_many(seeds: range, jobs: int, seconds: float) -> Iterator[tuple[int, str]]:
    """Yield each seed and what was wrong with it ("": nothing), until all are done or the time is up."""
    end = time.monotonic() + seconds if seconds else float("inf")
    with ProcessPoolExecutor(jobs) as pool:
        for start in range(0, len(seeds), 64):
            if time.monotonic() > end:
                return
            yield from pool.map(_attempt, seeds[start:start + 64], chunksize=4)


def main(arguments: list[str]) -> int:
    """Run from the command line; 1 if a seed failed."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets must not differ from one run to the next.
        os.execve(sys.executable, [sys.executable, "-m", "offhook.testing.simulation", *arguments],  # noqa: S606
                  {**os.environ, "PYTHONHASHSEED": "0"})
    import argparse

    parser = argparse.ArgumentParser(prog="python -m offhook.testing.simulation")
    parser.add_argument("--seeds", type=_seeds, default=range(1, 2001), metavar="FIRST-LAST")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=0.0, help="stop after that time (0: when all are done)")
    parser.add_argument("--trace", action="store_true", help="show what happens; for one seed")
    options = parser.parse_args(arguments)
    if options.trace:
        world = simulate(options.seeds[0], print)
        print(f"seed {world.seed}: every law holds; {world.digest()}")
        return 0
    begun, done, bad = time.monotonic(), 0, 0
    for seed, wrong in run_many(options.seeds, options.jobs, options.seconds):
        done += 1
        if wrong:
            bad += 1
            print(f"seed {seed}: {wrong}\n  {again(seed)}", flush=True)
    print(f"{done} seeds in {time.monotonic() - begun:.0f} s, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
