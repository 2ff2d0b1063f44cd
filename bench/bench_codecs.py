"""CPU of every codec for one 20 ms frame, of changing rates, and of a conference whose members speak different ones.

Run: python bench/bench_codecs.py [codec ...] [--frames 1000]. CPU time of this thread, speech-like sound; microseconds a frame.
A core has 20,000 of them for each frame of a call.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from array import array
from collections.abc import Callable

from offhook.io.media_studio import LocalStudio
from offhook.io.system_ids import SystemIds
from offhook.media.codecs import codec
from offhook.media.codecs.kinds import missing, usable
from offhook.media.engine import PHASES, Engine
from offhook.media.messages import ConfigureStream, OpenStream, SetBridge, StartPlayback, StreamConfig
from offhook.media.rates import fast_filter, plain_filter, tail_bytes

RATES = (8000, 16000, 24000, 48000)
MEMBERS = ("PCMU", "G722", "OPUS/16000", "OPUS")


def main() -> None:
    """Print one row for each codec, each pair of rates, and each mixture of members."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("codecs", nargs="*", default=usable())
    parser.add_argument("--frames", type=int, default=1000)
    arguments = parser.parse_args()
    print("codec         encode  decode  conceal   bytes")
    for name in arguments.codecs:
        _codec_row(name, arguments.frames)
    print("\nrates            with numpy  without")
    for rate_in, rate_out in itertools.permutations(RATES, 2):
        _rate_row(rate_in, rate_out, arguments.frames)
    members = [name for name in MEMBERS if not missing(name)]
    print("\na conference of four who all speak                          for each member")
    for names in ((members[0],) * 4, (members[-1],) * 4, tuple(itertools.islice(itertools.cycle(members), 4))):
        print(f"{', '.join(names):58}  {_conference(names, max(50, arguments.frames // 4)):8.1f}")


def voice(rate: int, seconds: float) -> list[bytes]:
    """Return frames of syllables: pulses of about 110 Hz through a formant of 700 Hz."""
    radius = math.exp(-math.pi * 120 / rate)
    one, two = 2 * radius * math.cos(math.tau * 700 / rate), -radius * radius
    samples, last, before, turn = array("h"), 0.0, 0.0, 0.0
    for place in range(int(rate * seconds)):
        turn += (110 + 20 * math.sin(math.tau * 1.3 * place / rate)) / rate
        pulse, turn = (9000.0, turn - 1) if turn >= 1 else (0.0, turn)
        last, before = pulse + one * last + two * before, last
        samples.append(max(-32000, min(32000, int(0.3 * last * max(0.0, math.sin(math.tau * 2.1 * place / rate))))))
    text, size = samples.tobytes(), rate // 25
    return [text[start:start + size] for start in range(0, len(text), size)]


def cost(work: Callable[[], object], count: int) -> float:
    """Return microseconds of CPU for one of `count` calls, the best of three."""
    best = math.inf
    for _ in range(3):
        begin = time.thread_time()
        for _ in range(count):
            work()
        best = min(best, time.thread_time() - begin)
    return 1e6 * best / count


def _codec_row(name: str, count: int) -> None:
    if reason := missing(name):
        print(f"{name:12}  {reason}")
        return
    out, back = codec(name), codec(name)
    frames = itertools.cycle(voice(out.rate, 2.0))
    payloads = [out.encode(next(frames)) for _ in range(100)]
    coming = itertools.cycle(payloads)
    encode = cost(lambda: out.encode(next(frames)), count)
    decode = cost(lambda: back.decode(next(coming)), count)
    conceal = f"{cost(back.conceal, count):7.1f}" if back.conceal is not None else "      –"
    print(f"{name:12}  {encode:6.1f}  {decode:6.1f}  {conceal}  {sum(map(len, payloads)) / len(payloads):6.1f}")


def _rate_row(rate_in: int, rate_out: int, count: int) -> None:
    samples = bytes(tail_bytes(rate_in, rate_out)) + voice(rate_in, 0.5)[12]
    fast, plain = fast_filter(rate_in, rate_out), plain_filter(rate_in, rate_out)
    costs = cost(lambda: fast(samples), count), cost(lambda: plain(samples), max(20, count // 10))
    print(f"{rate_in:5} to {rate_out:5}     {costs[0]:7.1f}  {costs[1]:7.1f}")


def _conference(names: tuple[str, ...], count: int) -> float:
    """Return microseconds of CPU a frame and member: receive, decode, bring to each rate, mix, encode, send."""
    near, far = (Engine(SystemIds(), LocalStudio("null")) for _ in range(2))
    hosts = ("10.0.0.1", "10.0.0.2")
    for place, name in enumerate(names):
        port, stream = 4000 + 2 * place, f"s{place}"
        chosen = codec(name)
        for engine, other in ((near, hosts[1]), (far, hosts[0])):
            engine.execute(OpenStream(stream, port, "bench"), 0.0)
            config = StreamConfig(
                remote=(other, port), remote_rtcp=(other, port + 1), codec=name, payload_type=96,
                receive_types=((96, name),), clock_rate=chosen.clock_rate,
            )  # fmt: skip
            engine.execute(ConfigureStream(stream, config), 0.0)
        far.execute(StartPlayback(stream, "p", "tone", frequencies=(300.0 + 170.0 * place,)), 0.0)
    near.execute(SetBridge("b", tuple(f"s{place}" for place in range(len(names)))), 0.0)
    spent = now = 0.0
    for tick in range(count + 20):
        now += 0.020
        for phase in range(PHASES):
            far.tick(phase, now)
        packets, far.outbox[:] = far.outbox[:], []
        begin = time.thread_time()
        for port, packet, _ in packets:
            near.receive(port, packet, (hosts[1], port), now)
        for phase in range(PHASES):
            near.tick(phase, now)
        near.outbox.clear()
        spent += (time.thread_time() - begin) if tick >= 20 else 0.0
    return 1e6 * spent / count / len(names)


if __name__ == "__main__":
    main()
