"""The adaptive jitter buffer: packets in by RTP timestamp, one 20 ms frame out at each tick. RFC 3550 6.4.1, A.8."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from offhook.media import pcm
from offhook.media.pitch import fade, samples
from offhook.media.sources import FRAMES_A_SECOND, SAMPLE_RATE, frame_bytes, silence

MIN_TARGET_S: Final = 0.020
MAX_TARGET_S: Final = 0.200
FIRST_PEAK_S: Final = 0.030  # start cautiously; a quiet network brings it down within seconds
HEADROOM_S: Final = 0.005  # a tick may come this much early against the packets
SURPLUS_S: Final = 0.030  # more than a frame beyond the target: play faster
JUMP_S: Final = 2  # a wider step of the timestamp is a new timeline
LEAP_S: Final = 1.0  # as much against the clock is one too: a sender that stood still and went on where it was
MAX_FRAMES: Final = 60  # 1.2 s of audio; a flood gets no further
LATE_RESTART: Final = 12  # so many late packets in a row are a clock set back, not lateness
STARVED: Final = 10  # after 200 ms without anything the talkspurt is over
SURPLUS_TICKS: Final = 25  # wait half a second for a quiet frame to drop before dropping one that speaks
QUIET_RMS: Final = 150  # about -47 dBov
REVIEW_TICKS: Final = 10  # how often `review` is to be called
_PEAK_DECAY: Final = REVIEW_TICKS / 256  # five seconds
_DRIFT_S: Final = REVIEW_TICKS * 0.000_01  # what the far clock may lose from review to review: 500 ppm
_FRAME_S: Final = 0.020


@dataclass(frozen=True, slots=True)
class Linear:
    """Audio that is decoded already, because it was not one whole frame when it came."""

    pcm: bytes


class Gap:
    """Nothing, where there should be a frame. Each is another one."""

    __slots__ = ()


Item: TypeAlias = bytes | Linear  # a whole packet of exactly one frame, decoded by whoever wants to hear it; or PCM


class JitterBuffer:
    """Orders packets, chooses how long to wait for them, and stretches or shortens silence to keep to it.

    Works on a straight line: a packet of timestamp t ideally arrives at `base + t`; how much later the packets really come
    (their lag), with a memory of some seconds, is the delay that playing should have (20-200 ms). `now` is in seconds,
    timestamps count the codec's RTP clock (which need not be the rate of its PCM); audio may come in pieces of any length.

    While packets come in order and in time they wait in a queue, and neither end of it counts anything. Whatever disturbs
    that spreads the queue out into a dictionary by timestamp, where all cases are dealt with; calm brings it back.
    """

    __slots__ = (
        "_decode", "_frame_bytes", "_frames", "_jump", "_jump_at", "_lag", "_late_run", "_next", "_peak", "_playing",
        "_previous", "_reviewed", "_starved", "_steady", "_step", "_surplus", "_top", "_unit_s", "clock", "delay", "dropped",
        "duplicate", "following", "jitter", "late", "missing", "queue", "rate", "resyncs",
    )  # fmt: skip

    def __init__(self, decode: Callable[[bytes], bytes], clock: int = SAMPLE_RATE, rate: int = SAMPLE_RATE) -> None:
        self._decode = decode  # from packet to PCM
        self._set(clock, rate)
        self.queue: deque[bytes] = deque()  # up to `_top`, while `_steady`
        self._frames: dict[int, Item] = {}  # by extended timestamp, otherwise
        self._steady = False
        self._top = -1  # extended timestamp of the newest packet, -1: none yet
        self._previous = 0.0  # when a packet of the last one's lag would have come in the place of the newest
        self._lag = 0.0  # how much later than ideal the last packet came
        self._peak = FIRST_PEAK_S
        self._next = 0  # what to play next, unless `_steady`
        self._reviewed = 0.0
        self.delay = 0.0  # seconds from the ideal arrival of a frame until it was played, as of the last review
        self._playing = False
        self._starved = self._surplus = self._late_run = 0
        self._jump_at = -1
        self.following: bytes | None = None  # the packet behind the frame that `pull` has just given up
        self.jitter = 0.0  # seconds
        self.late = self.duplicate = self.missing = self.dropped = self.resyncs = 0

    def _set(self, clock: int, rate: int) -> None:
        self.clock, self.rate = clock, rate
        self._step = clock // FRAMES_A_SECOND  # from frame to frame
        self._unit_s = 1 / clock
        self._jump = JUMP_S * clock
        self._frame_bytes = frame_bytes(rate)

    def tune(self, clock: int, rate: int) -> None:
        """Count another RTP clock, or be about PCM of another rate: what is here is forgotten then."""
        if (clock, rate) != (self.clock, self.rate):
            self.reset()
            self._set(clock, rate)

    def __len__(self) -> int:
        return len(self.queue) + len(self._frames)

    @property
    def newest(self) -> int:
        """Return the timestamp of the newest packet: `put_next` is for the one after it."""
        return self._top & 0xFFFFFFFF

    @property
    def jitter_ms(self) -> float:
        """Return the interarrival jitter."""
        return 1000.0 * self.jitter

    @property
    def delay_ms(self) -> float:
        """Return how long after its ideal arrival a frame is played."""
        return 1000.0 * self.delay

    @property
    def target_ms(self) -> float:
        """Return the delay to aim at, 20-200 ms."""
        return 1000.0 * self._target

    @property
    def _target(self) -> float:
        return min(MAX_TARGET_S, max(MIN_TARGET_S, self._peak + HEADROOM_S))

    def _delay_of(self, at: int, now: float) -> float:
        return now - self._previous + self._lag + (self._top - at) * self._unit_s

    def reset(self) -> None:
        """Forget audio and timeline (another source speaks), keep counters and what was learnt of the network."""
        self.queue.clear()
        self._frames.clear()
        self._top = self._jump_at = -1
        self.following = None
        self._steady = self._playing = False
        self._starved = self._surplus = self._late_run = 0

    def decode_all(self) -> None:
        """Decode what is here: the types of payload are about to change."""
        if self._steady:
            self._spread()
        for at, item in self._frames.items():
            self._frames[at] = Linear(self._linear(item))

    def review(self, now: float) -> None:
        """Forget a little of what was learnt; to be called after every tenth `pull`, with its time."""
        if self._steady:
            self.delay = self._delay_of(self._top - self._step * len(self.queue), now)
        if self._previous == self._reviewed:
            return  # nothing came, nothing was learnt
        self._reviewed = self._previous
        self._lag = max(0.0, self._lag - _DRIFT_S)
        if self._lag < self._peak:
            self._peak += (self._lag - self._peak) * _PEAK_DECAY
        if self._steady and self.delay > self._peak + HEADROOM_S + SURPLUS_S:
            self._spread()

    # --- in --------------------------------------------------------------------------------------------------------

    def put_next(self, packet: bytes, now: float) -> None:
        """Take a packet of one frame that follows the newest one without a gap, as nearly all do."""
        step = now - self._previous - _FRAME_S
        lag = self._lag + step
        if self._steady and 0.0 <= lag <= self._peak:
            self._lag = lag
        elif not self._steady or not self._adapt(lag, step):
            self.put((self._top + self._step) & 0xFFFFFFFF, packet, now)
            return
        self._previous = now
        self._top += self._step
        # RFC 3550 6.4.1: J(i) = J(i-1) + (|D(i-1,i)| - J(i-1))/16
        self.jitter += ((step if step > 0.0 else -step) - self.jitter) * 0.0625
        self.queue.append(packet)

    def _adapt(self, lag: float, step: float) -> bool:
        """Learn of a packet that was earlier or later than all; False: that is more than lateness."""
        if not -LEAP_S < step < LEAP_S or len(self.queue) >= MAX_FRAMES:
            return False
        if lag < 0.0:
            self._lag = 0.0  # the ideal packet is as early as this one
        else:
            self._lag = lag
            self._peak += (lag - self._peak) * 0.5
        return True

    def put(self, timestamp: int, item: Item, now: float) -> bool:
        """Take audio that arrived at `now`. False: it is late, doubled or out of all order, and dropped."""
        if self._steady:
            self._spread()
        step = (timestamp - self._top) & 0xFFFFFFFF
        if step >= 0x80000000:
            step -= 0x100000000
        if self._top < 0 or not -self._jump < step < self._jump:
            return self._put_apart(timestamp, item, now)
        at = self._top + step
        difference = now - self._previous - step * self._unit_s
        if not -LEAP_S < difference < LEAP_S:
            return self._put_apart(timestamp, item, now)
        if step > 0:
            self._top = at
            self._previous = now
        else:
            self._previous = now - step * self._unit_s
        self.jitter += (abs(difference) - self.jitter) * 0.0625
        self._lag = lag = max(0.0, self._lag + difference)
        if lag > self._peak:
            self._peak += (lag - self._peak) * 0.5
        return self._store(timestamp, at, item, now)

    def _store(self, timestamp: int, at: int, item: Item, now: float) -> bool:
        frames = self._frames
        if self._playing and at < self._next:
            return self._put_late(timestamp, item, now)
        self._late_run = 0
        if at in frames:
            self.duplicate += 1
            return False
        if len(frames) >= MAX_FRAMES:
            self.dropped += 1
            return False
        frames[at] = item
        return True

    def _put_late(self, timestamp: int, item: Item, now: float) -> bool:
        self.late += 1
        self._late_run += 1
        if self._late_run < LATE_RESTART:
            return False
        return self._restart(timestamp, item, now)

    def _put_apart(self, timestamp: int, item: Item, now: float) -> bool:
        """The first packet, or one that does not belong with the others: a new timeline if it is not alone."""
        if self._top < 0 or not self._frames or timestamp == self._jump_at:
            return self._restart(timestamp, item, now)
        units = self._units(item.pcm) if isinstance(item, Linear) else self._step
        self._jump_at = (timestamp + units) & 0xFFFFFFFF
        return False

    def _restart(self, timestamp: int, item: Item, now: float) -> bool:
        if self._top >= 0:
            self.resyncs += 1
        self.reset()
        self._top = timestamp + 0x100000000  # a cycle ahead: room for older packets
        self._previous = now
        self._lag = 0.0
        self._frames[self._top] = item
        return True

    # --- queue and dictionary --------------------------------------------------------------------------------------

    def _spread(self) -> None:
        """From the queue to the dictionary."""
        self._steady = False
        self._next = at = self._top - self._step * (len(self.queue) - 1)
        for packet in self.queue:
            self._frames[at] = packet
            at += self._step
        self.queue.clear()

    def _line_up(self) -> None:
        """From the dictionary to the queue, if there is no gap and no odd piece."""
        frames, at, step = self._frames, self._next, self._step
        if len(frames) * step != self._top - at + step:
            return
        packets = [frames.get(at + step * number) for number in range(len(frames))]
        whole = [packet for packet in packets if isinstance(packet, bytes)]
        if len(whole) == len(packets):
            self.queue.extend(whole)
            frames.clear()
            self._steady = True
            self._late_run = 0

    # --- out -------------------------------------------------------------------------------------------------------

    def pull(self, now: float) -> Item | None:
        """Return the frame to play at `now`, or None where there is none: conceal it.

        While there is something in the `queue`, that is what comes; the caller may take it from there.
        """
        return self.queue.popleft() if self.queue else self._pull_with_care(now)

    def _pull_with_care(self, now: float) -> Item | None:
        self.following = None
        if self._steady:
            self._spread()
        at = self._next
        frames = self._frames
        if not self._playing:
            if not frames:
                return None
            at = min(frames)
            if self._delay_of(at, now) < self._target:
                return None
            self._playing = True
            self._next = at
        item = frames.pop(at, None)
        self.delay = delay = self._delay_of(at, now)
        if item is None:
            item = self._find(at, delay)
            if item is None:
                return None
        elif isinstance(item, bytes):
            self._next = at + self._step
        else:
            item = self._gather(item.pcm, at)
        self._starved = 0
        if delay > self._peak + (HEADROOM_S + SURPLUS_S):
            return self._hasten(item, delay)
        self._surplus = 0
        self._line_up()
        return item

    def _linear(self, item: Item) -> bytes:
        return self._decode(item) if isinstance(item, bytes) else item.pcm

    def _units(self, audio: bytes) -> int:
        """Return how long PCM is by the RTP clock."""
        return len(audio) * self._step // self._frame_bytes

    def _find(self, at: int, delay: float) -> Item | None:
        """Nothing begins at `at`: play what begins a little later, wait for it, or give it up."""
        frames = self._frames
        if frames and (first := min(frames)) < at + self._step:
            # Off the grid (another packet length, a digit in between): the grid moves to the packets.
            audio = self._linear(frames.pop(first))
            if first < at:
                audio = audio[(at - first) * self._frame_bytes // self._step & ~1 :]
            return self._gather(audio, max(at, first))
        self._starved += 1
        if not frames and self._starved > STARVED:
            self._playing = False
            return None
        if delay < self._target:
            return None  # it may still come: play everything 20 ms later from here on
        self.missing += 1
        self._next = at + self._step
        following = frames.get(self._next)
        self.following = following if isinstance(following, bytes) else None
        if frames and delay > MAX_TARGET_S + self._target:
            self._next = min(frames)  # the sender left a hole in its timeline
        return None

    def look_ahead(self) -> bytes | None:
        """Return the PCM of the frame behind the one that `pull` has just given up; None where it is not here, or not whole."""
        item = self._frames.get(self._next)
        if self.following is None or item is None:
            return None
        audio = self._linear(item)
        self._frames[self._next] = Linear(audio)  # a codec with a memory hears each packet once
        return audio if len(audio) == self._frame_bytes else None

    def _gather(self, audio: bytes, at: int) -> Linear:
        """Make one frame of packets that are shorter or longer than one; what is over stays for the next."""
        frames, size = self._frames, self._frame_bytes
        self._next = at + self._step
        while len(audio) < size:
            more = frames.pop(at + self._units(audio), None)
            if more is None or not (piece := self._linear(more)):
                return Linear(audio + silence(self.rate)[len(audio) :])
            audio += piece
        if len(audio) > size:
            frames[self._next] = Linear(audio[size:])
        return Linear(audio[:size])

    def _hasten(self, item: Item, delay: float) -> Item:
        """Lose 20 ms when there is more in hand than needed: a quiet frame, or after half a second any."""
        if delay <= self._target + SURPLUS_S:
            return item
        self._surplus += 1
        far_behind = delay > MAX_TARGET_S + 2 * SURPLUS_S
        # From here on it stays decoded: a codec with a memory hears each packet once.
        frame = self._linear(item)
        if not far_behind and self._surplus < SURPLUS_TICKS and pcm.rms(frame) > QUIET_RMS:
            return Linear(frame)
        following = self._frames.get(self._next)
        if following is None:
            return Linear(frame)
        second = self._linear(following)
        if len(second) != self._frame_bytes:
            self._frames[self._next] = Linear(second)
            return Linear(frame)
        del self._frames[self._next]
        self._next += self._step
        self._surplus = 0
        self.dropped += 1
        return Linear(fade(samples(frame), samples(second)).tobytes())
