"""A bad network for one stream, from a seed: which packets get through, and when. In virtual time; nothing here waits."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from offhook.media.address import Address
from offhook.media.receiving import Receiver
from offhook.media.rtp import HEADER

FAR: Address = ("10.0.0.1", 4000)
PACKET_S = 0.020
TICK_S = 0.020
REVIEW_TICKS = 10


@dataclass(frozen=True, slots=True)
class BadNetwork:
    """What happens to packets. The same seed gives the same fate to each packet, whoever sends it.

    `loss` and `double` are fractions. Losses come alone, or with `burst` above 1 in runs of that mean length (Gilbert's model).
    `jitter_s` is spread evenly, each packet for itself, so packets overtake each other; the far clock is `skew_ppm` too slow.
    """

    loss: float = 0.0
    burst: float = 1.0
    jitter_s: float = 0.0
    double: float = 0.0
    skew_ppm: float = 0.0
    seed: int = 1

    def arrivals(self, count: int, interval_s: float = PACKET_S) -> list[tuple[float, int]]:
        """Return (seconds after the first was sent, number) of what arrives of `count` packets, in the order of arrival."""
        chance = random.Random(self.seed)  # noqa: S311 - repeatable is the point
        interval_s *= 1.0 + self.skew_ppm / 1e6
        found: list[tuple[float, int]] = []
        lost = self._losses(chance)
        for number in range(count):
            gone, delay = next(lost), chance.random() * self.jitter_s
            again = chance.random() < self.double
            if gone:
                continue
            found.append((number * interval_s + delay, number))
            if again:
                found.append((number * interval_s + chance.random() * (self.jitter_s + 0.001), number))
        found.sort()
        return found

    def _losses(self, chance: random.Random) -> Iterator[bool]:
        """Yield for packet after packet whether it is lost."""
        stay = 1.0 - 1.0 / self.burst if self.burst > 1.0 else self.loss
        # In the long run the share of lost ones is loss = enter / (enter + leave).
        enter = self.loss * (1.0 - stay) / (1.0 - self.loss) if self.loss < 1.0 else 1.0
        gone = False
        while True:
            gone = chance.random() < (stay if gone else enter)
            yield gone


def stream(payloads: list[bytes], kind: int, step: int, *, ssrc: int = 7, first: int = 1000) -> list[bytes]:
    """Return payloads as RTP packets of this type, timestamps `step` apart."""
    return [
        HEADER.pack(0x80, kind, first + number & 0xFFFF, step * (first + number) & 0xFFFFFFFF, ssrc) + payload
        for number, payload in enumerate(payloads)
    ]


def listen(
    receiver: Receiver, packets: list[bytes], arrivals: list[tuple[float, int]], *,
    phase_s: float = 0.007, extra_s: float = 0.4, watch: Callable[[float], object] | None = None,
) -> list[bytes]:
    """Return the frames that a configured receiver hears, one each 20 ms from `phase_s` on. `watch` is called after each."""
    heard: list[bytes] = []
    end = arrivals[-1][0] + extra_s if arrivals else extra_s
    waiting = iter(arrivals)
    following = next(waiting, None)
    tick = 0
    while (now := phase_s + TICK_S * tick) < end:
        while following is not None and following[0] <= now:
            receiver.receive(packets[following[1]], FAR, 1000.0 + following[0])
            following = next(waiting, None)
        receiver.hear(1000.0 + now)
        heard.append(receiver.far)
        if tick % REVIEW_TICKS == 0:
            receiver.buffer.review(1000.0 + now)
        if watch is not None:
            watch(now)
        tick += 1
    return heard
