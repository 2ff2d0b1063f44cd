"""SIP alone: `python bench/bench_sip.py [rates…]` prints the table that `bench/run.py sip` puts into RESULTS.md.

What one INVITE costs to read and to write, what a call costs whose INVITE, 200, ACK and BYE the SIP core takes as the callee,
and how many of them it takes a second on one core. SIPp calls; there is no media.
"""

from __future__ import annotations

import asyncio
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from offhook.io import clock
from offhook.io.collector import keep_collector_quiet
from offhook.io.system_ids import SystemIds
from offhook.io.transport import Transports
from offhook.sip import events, sanity
from offhook.sip.endpoint import Endpoint
from offhook.sip.events import Body
from offhook.sip.parsing import parse_message
from offhook.sip.uri import NameAddr, Uri

RATES: Final = (200, 400, 600, 800, 1000)
SECONDS: Final = 8
"""How long each rate is kept up."""
STEADY_RATE: Final = 200
RETRANSMITTED: Final = 0.01
"""A rate is held if nothing fails and no more than this share of SIPp's messages is sent again."""
MESSAGES: Final = 20_000

SDP: Final = (
    b"v=0\r\no=- 3724394400 3724394400 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n"
    b"m=audio 40000 RTP/AVP 9 0 8 101\r\na=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
    b"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
)


IDENTITY: Final = events.Identity("a", NameAddr(Uri.sip("service", "127.0.0.1")), contact_user="service")


def invite(number: int) -> bytes:
    """Return an INVITE as it comes by way of two proxies; each differs where those of a busy hour do."""
    return (
        f"INVITE sip:1001@192.0.2.20:5060 SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 192.0.2.5:5060;branch=z9hG4bK{number:x}a;rport\r\n"
        f"Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK{number:x}b;received=192.0.2.10;rport=5060\r\n"
        f"Record-Route: <sip:192.0.2.5;lr;ftag=t{number:x}>\r\nMax-Forwards: 69\r\n"
        f'From: "Alice Example" <sip:alice@example.com>;tag=t{number:x}\r\nTo: <sip:1001@example.com>\r\n'
        f"Call-ID: {number:032x}@192.0.2.10\r\nCSeq: 20 INVITE\r\nContact: <sip:alice@192.0.2.10:5060;transport=udp>\r\n"
        "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, MESSAGE, REFER, NOTIFY, UPDATE, PRACK\r\n"
        "Supported: replaces, timer, 100rel\r\nSession-Expires: 1800\r\nMin-SE: 90\r\nUser-Agent: Example 1.0\r\n"
        f"Content-Type: application/sdp\r\nContent-Length: {len(SDP)}\r\n\r\n"
    ).encode() + SDP


def microseconds_a_message() -> tuple[float, float]:
    """Return CPU microseconds to read one INVITE (parse, sanity) and to print it again."""
    wire = [invite(number) for number in range(MESSAGES)]
    begun = time.process_time()
    for data in wire:
        sanity.check(parse_message(data))
    read = time.process_time() - begun
    messages = [parse_message(data) for data in wire[:MESSAGES // 4]]
    begun = time.process_time()
    for message in messages:
        message.encode()
    printed = time.process_time() - begun
    return read * 1e6 / MESSAGES, printed * 1e6 / len(messages)


def in_dialog(method: str, number: int, cseq: int, tag: str) -> bytes:
    """Return the ACK or BYE of the call that `invite(number)` began and our end answered with this tag."""
    return (
        f"{method} sip:service@192.0.2.20:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK{number:x}{method}\r\n"
        f'From: "Alice Example" <sip:alice@example.com>;tag=t{number:x}\r\nTo: <sip:1001@example.com>;tag={tag}\r\n'
        f"Call-ID: {number:032x}@192.0.2.10\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def microseconds_a_call(calls: int, asleep: float) -> float:
    """Return the median of the microseconds in which the core takes and answers INVITE, ACK and BYE, without sockets.

    `asleep` seconds pass before the INVITE and before the BYE, after which the caches of a shared machine hold others' data.
    """
    core, flow, times = Endpoint(SystemIds()), events.Flow("udp", ("192.0.2.20", 5060), ("192.0.2.10", 5060)), []
    core.execute(events.SetIdentity(IDENTITY), 0.0)

    def take(data: bytes, now: float) -> list[events.SipOutput]:
        core.receive(events.Datagram(flow, data), now)
        return list(iter(core.poll, None))

    for number in range(calls):
        now, wire = number * 0.005, invite(number)
        time.sleep(asleep)
        begun = time.perf_counter()
        session = next(each.session for each in take(wire, now) if isinstance(each, events.SessionIncoming))
        core.execute(events.Accept(session, Body("application/sdp", SDP)), now)
        answers = [each.data for each in iter(core.poll, None) if isinstance(each, events.Transmit)]
        spent = time.perf_counter() - begun
        tag = parse_message(answers[-1]).to.tag or ""
        ack, bye = in_dialog("ACK", number, 20, tag), in_dialog("BYE", number, 21, tag)
        begun = time.perf_counter()
        take(ack, now)
        spent += time.perf_counter() - begun
        time.sleep(asleep)
        begun = time.perf_counter()
        take(bye, now)
        times.append(spent + time.perf_counter() - begun)
        core.timeout(now)
    return statistics.median(times[calls // 4:]) * 1e6


# --- the callee, a process of its own --------------------------------------------------------------------------------


class Callee:
    """The SIP core on sockets: it answers every call at once, with the same description."""

    def __init__(self) -> None:
        self.core = Endpoint(SystemIds())
        self.transports = Transports("127.0.0.1", 0, self.deliver)
        self._timer: asyncio.TimerHandle | None = None

    def deliver(self, item: events.SipInput) -> None:
        self.core.receive(item, clock.now())
        self._drain()

    def _drain(self) -> None:
        while (output := self.core.poll()) is not None:
            if isinstance(output, events.Transmit):
                self.transports.send(output.flow, output.data)
            elif isinstance(output, events.SessionIncoming):
                self.core.execute(events.Accept(output.session, Body("application/sdp", SDP)), clock.now())
        deadline = self.core.deadline()
        if deadline is not None and (self._timer is None or self._timer.cancelled()):
            self._timer = asyncio.get_running_loop().call_later(max(0.05, deadline - clock.now()), self._timeout)

    def _timeout(self) -> None:
        self._timer = None
        self.core.timeout(clock.now())
        self._drain()

    async def run(self) -> None:
        """Say the port, then answer; a line on standard input is answered with the CPU seconds used so far."""
        await self.transports.start()
        keep_collector_quiet()
        self.core.execute(events.SetIdentity(IDENTITY), clock.now())
        print(self.transports.port, flush=True)
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, sys.stdin.readline):
            used = resource.getrusage(resource.RUSAGE_SELF)
            print(used.ru_utime + used.ru_stime, flush=True)
        await self.transports.close()


class Process:
    """A running callee, on one core if there are more."""

    def __init__(self) -> None:
        self._running = subprocess.Popen(  # the program itself
            [sys.executable, __file__, "callee"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._running.stdin is not None
        assert self._running.stdout is not None
        self._say, self._hear = self._running.stdin, self._running.stdout
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(self._running.pid, {max(os.sched_getaffinity(0))})
        self.port = int(self._hear.readline())

    def cpu(self) -> float:
        """Return the CPU seconds it has used."""
        self._say.write("\n")
        self._say.flush()
        return float(self._hear.readline())

    def close(self) -> None:
        """End it."""
        self._say.close()
        try:
            self._running.wait(10)
        finally:
            self._running.kill()
            self._hear.close()


def call_it(port: int, rate: int, seconds: int) -> tuple[int, int, float, float]:
    """Let SIPp call; return (calls that succeeded, that failed, share of its messages sent again, calls a second)."""
    count = rate * seconds
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["sipp", "-sn", "uac", f"127.0.0.1:{port}", "-i", "127.0.0.1", "-m", str(count), "-r", str(rate), "-d", "0",
             "-l", str(10 * rate), "-nostdin", "-timeout", str(4 * seconds + 40), "-trace_stat", "-fd", "1"],
            cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=8 * seconds + 60,
        )  # fmt: skip
        rows = next(Path(folder).glob("*.csv")).read_text().splitlines()
    figures = dict(zip(rows[0].split(";"), rows[-1].split(";"), strict=False))
    hours, minutes, last = figures["ElapsedTime(C)"].split(":")[:3]
    elapsed = int(hours) * 3600 + int(minutes) * 60 + float(last)
    ok, failed = int(figures["SuccessfulCall(C)"]), int(figures["FailedCall(C)"])
    return ok, failed, int(figures["Retransmissions(C)"]) / (3 * count), ok / max(elapsed, 1.0)


def table(rates: tuple[int, ...]) -> str:
    """Measure; return the table."""
    read, printed = microseconds_a_message()
    busy_call, rare_call = microseconds_a_call(2000, 0.0), microseconds_a_call(150, 0.02)
    callee = Process()
    try:
        call_it(callee.port, 50, 2)  # the caches are full after that
        before = callee.cpu()
        ok, failed, _, _ = call_it(callee.port, STEADY_RATE, SECONDS)
        each = (callee.cpu() - before) * 1000 / max(ok, 1)
        tried = []
        held = 0.0
        for rate in rates:
            before, begun = callee.cpu(), time.monotonic()
            _, bad, again, reached = call_it(callee.port, rate, SECONDS)
            busy = (callee.cpu() - before) / (time.monotonic() - begun)
            tried.append(f"{rate}: {bad} failed, {again:.1%} again, {busy:.0%} of the core")
            if bad or again > RETRANSMITTED:
                break
            held = reached if reached < 0.9 * rate else float(rate)
    finally:
        with suppress(subprocess.TimeoutExpired):
            callee.close()
    return "\n".join([
        f"Made by `python bench/bench_sip.py` on {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores; the SIP core on sockets,"
        " on one core, without media; SIPp calls it.",
        "",
        "| what | measured | goal |",
        "|---|---|---|",
        f"| an INVITE of {len(invite(1))} octets: read and checked, printed again | {read:.0f} + {printed:.0f} µs "
        f"| together ≤ 60 µs |",
        f"| INVITE, ACK and BYE of a call taken and answered, without sockets | {busy_call:.0f} µs one call after the other,"
        f" {rare_call:.0f} µs after 20 ms of sleep | |",
        f"| CPU of a call as the callee, at {STEADY_RATE} a second | {each:.2f} ms ({ok} ok, {failed} failed) | ≤ 0.8 ms |",
        f"| calls a second held on one core | {held:.0f} ({'; '.join(tried)}) | ≥ 800 |",
    ])


def main(arguments: list[str]) -> None:
    """Measure, or be the callee."""
    if arguments == ["callee"]:
        asyncio.run(Callee().run())
    else:
        print(table(tuple(int(each) for each in arguments) or RATES))


if __name__ == "__main__":
    main(sys.argv[1:])
