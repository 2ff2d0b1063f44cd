"""The adaptive jitter buffer: packets in by RTP timestamp, one 20 ms frame out at each tick. RFC 3550 6.4.1, A.8."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from offhook.media import pcm
from offhook.media.items import Item, Linear
from offhook.media.lateness import LEAST_S, Lateness
from offhook.media.missing import Missing
from offhook.media.pacing import SHORTAGE_S, SURPLUS_S, Pace
from offhook.media.sources import FRAMES_A_SECOND, SAMPLE_RATE, frame_bytes

MIN_TARGET_S: Final = 0.004
MAX_TARGET_S: Final = 0.200
HEADROOM_S: Final = 0.003  # a tick may come this much early against the packets
JUMP_S: Final = 2  # a wider step of the timestamp is a new timeline
LEAP_S: Final = 1.0  # as much against the clock is one too: a sender that stood still and went on where it was
MOST_BRIDGED: Final = 3  # frames that are filled from both ends: sound of longer ago, or from later, is not like it any more
MAX_FRAMES: Final = 60  # 1.2 s of audio; a flood gets no further
LATE_RESTART: Final = 12  # so many late packets in a row are a clock set back, not lateness
STARVED: Final = 10  # after 200 ms without anything the talkspurt is over
REVIEW_TICKS: Final = 10  # how often `review` is to be called
_DRIFT_S: Final = REVIEW_TICKS * 0.000_01  # what the far clock may lose from review to review: 500 ppm
_FRAME_S: Final = 0.020


class JitterBuffer:
    """Orders packets, chooses how long to wait for them, and plays a little faster or slower to keep to it.

    Works on a straight line: a packet of timestamp t ideally arrives at `base + t`; how much later the packets really come
    (their lag, see `lateness`), is the delay that playing should have (4-200 ms), up to a frame more. `now` is in seconds,
    timestamps count the codec's RTP clock (which need not be the rate of its PCM); audio may come in pieces of any length.

    While packets come in order and in time they wait in a queue, and neither end of it counts anything. Whatever disturbs
    that spreads the queue out into a dictionary by timestamp, where all cases are dealt with; calm brings it back, once a
    quiet moment has brought what is played back to the grid of the packets.
    """

    __slots__ = (
        "_astray", "_begins", "_between", "_blind", "_decode", "_frame_bytes", "_frames", "_jump", "_jump_at",
        "_lag", "_late_run", "_lateness", "_missed", "_missing", "_next", "_pace", "_playing", "_previous",
        "_recover", "_reviewed", "_shift", "_starved", "_steady", "_step", "_top", "_unit_s", "_worst", "bridges",
        "broke", "clock", "delay", "dropped", "duplicate", "following", "forgets", "gave_up", "jitter", "late", "missing",
        "queue", "rate", "reordered", "resyncs", "shrunk", "stretched",
    )  # fmt: skip

    def __init__(
        self, decode: Callable[[bytes], bytes], clock: int = SAMPLE_RATE, rate: int = SAMPLE_RATE, *,
        recover: Callable[[bytes], bytes] = lambda _: b"", between: Callable[[bytes, bytes], bytes] = lambda *_: b"",
        astray: Callable[[bytes], object] = lambda _: None,
    ) -> None:  # fmt: skip
        self._decode = decode  # from packet to PCM
        self._recover = recover  # from packet to the PCM before it, b"" if it holds none
        self._between = between  # from the PCM on both sides of a missing frame to that frame, b"" if there is none
        self._astray = astray  # is told the PCM before a missing frame, before what is behind that is decoded
        self.forgets = True  # packets may be decoded in any order
        self.bridges = True  # gaps are filled from both ends; else by the codec, which must not hear what is behind one before
        self._pace = Pace(self._collect, clock, rate)
        self._set(clock, rate)
        self.queue: deque[bytes] = deque()  # up to `_top`, while `_steady`
        self._frames: dict[int, Item] = {}  # by extended timestamp, otherwise
        self._steady = False
        self._top = -1  # extended timestamp of the newest packet, -1: none yet
        self._previous = 0.0  # when a packet of the last one's lag would have come in the place of the newest
        self._lag = 0.0  # how much later than ideal the last packet came
        self._lateness = Lateness()
        self._worst = LEAST_S  # the greatest lag since the last review
        self._missing = Missing()
        self._missed = -1  # the timestamp behind the last one given up
        self._blind = 0  # frames given up with nothing behind them: a loss or a pause, the next packet tells
        self._shift = 0  # how far after the grid of the packets the next frame begins, in timestamps
        self._begins: set[int] = set()  # of `_frames`, those before which nothing is missing
        self._next = 0  # what to play next, unless `_steady`
        self._reviewed = 0.0
        self.delay = 0.0  # seconds from the ideal arrival of a frame until it was played, as of the last review
        self._playing = False
        self._starved = self._late_run = 0
        self._jump_at = -1
        self.broke = False  # what is played next is not what follows on what was played; for the caller to note and take back
        self.gave_up = False  # `pull` has just given a frame up; else, where it returns none, that frame may still come
        self.following: bytes | None = None  # the packet behind the frame that was given up
        self.jitter = 0.0  # seconds
        self.late = self.duplicate = self.reordered = self.missing = self.resyncs = 0
        self.dropped = 0  # frames not played because there was too much in hand
        self.stretched = self.shrunk = 0  # times that a period was heard twice, and left out

    def _set(self, clock: int, rate: int) -> None:
        self.clock, self.rate = clock, rate
        self._step = clock // FRAMES_A_SECOND  # from frame to frame
        self._unit_s = 1 / clock
        self._jump = JUMP_S * clock
        self._frame_bytes = frame_bytes(rate)
        self._pace.tune(clock, rate)

    def tune(self, clock: int, rate: int) -> None:
        """Count another RTP clock, or be about PCM of another rate: what is here is forgotten then."""
        if (clock, rate) != (self.clock, self.rate):
            self.reset()
            self._set(clock, rate)

    def retune(self, clock: int, rate: int, timestamp: int, missing: int) -> None:
        """As `tune`, from the packet of this timestamp on, but what is here is heard before it.

        That packet follows the newest one here, with `missing` frames between them. (What a far end adds to its timestamps
        where their clock changes is its own affair, RFC 7160 3.)
        """
        if (clock, rate) == (self.clock, self.rate):
            return
        self.decode_all()
        top, step, rate_before, whole_before = self._top, self._step, self.rate, self._frame_bytes
        self._set(clock, rate)
        if top < 0:
            return
        first, old_first = timestamp + 0x100000000, top + step * (1 + missing)

        def moved(at: int) -> int:
            return first + (at - old_first) * self._step // step

        state: object | None = None
        frames, self._frames = self._frames, {}
        for at in sorted(frames):
            audio = self._linear(frames[at])
            made, state = pcm.change_rate(audio, rate_before, rate, state)
            if len(audio) == whole_before:  # the first line has no sample to begin at
                made = made[:2] * ((self._frame_bytes - len(made)) // 2) + made[: self._frame_bytes]
            self._frames[moved(at)] = Linear(made)
        self._begins = {moved(at) for at in self._begins}
        self._top, self._next = moved(top), moved(self._next)
        self._shift = self._shift * self._step // step
        self._jump_at = -1

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
        """Return the least delay to aim at, 4-200 ms."""
        return 1000.0 * self._target

    @property
    def _target(self) -> float:
        peak = self._lateness.peak
        wanted = peak + HEADROOM_S
        longer = self._missing.longer(bridged=self.bridges and self.forgets)
        if longer:
            wanted = max(wanted, longer + HEADROOM_S + 0.75 * peak)
        return min(MAX_TARGET_S, max(MIN_TARGET_S, wanted))

    def _delay_of(self, at: int, now: float) -> float:
        return now - self._previous + self._lag + (self._top - at) * self._unit_s

    def reset(self) -> None:
        """Forget audio and timeline (another source speaks), keep counters and what was learnt of the network."""
        self.queue.clear()
        self._frames.clear()
        self._begins.clear()
        self._top = self._jump_at = -1
        self.following = None
        self.broke = True
        self._steady = self._playing = False
        self._starved = self._late_run = self._blind = self._shift = 0
        self._pace.restart()

    def decode_all(self) -> None:
        """Decode what is here, in its order: the types of payload are about to change, or what follows is decoded already."""
        if self._steady:
            self._spread()
        for at in sorted(self._frames):
            item = self._frames[at]
            if isinstance(item, bytes):
                self._frames[at] = Linear(self._decode(item))

    def review(self, now: float) -> None:
        """Forget a little of what was learnt; to be called after every tenth `pull`, with its time."""
        if self._previous == self._reviewed:
            return  # nothing came, nothing was learnt
        self._reviewed = self._previous
        self._lateness.review(self._worst)
        drift = min(self._lag, _DRIFT_S)
        self._lag -= drift
        self._lateness.move(-drift)
        self._worst = LEAST_S
        self._missing.review()
        if self._steady:
            self.delay = self._delay_of(self._top - self._step * len(self.queue), now)
            self._settle_down()

    def _settle_down(self) -> None:
        """Go on with care where there is too little in hand, or too much."""
        if not -SHORTAGE_S <= self.delay - self._target <= SURPLUS_S:
            self._spread()

    # --- in --------------------------------------------------------------------------------------------------------

    def put_next(self, packet: bytes, now: float) -> None:
        """Take a packet of one frame that follows the newest one without a gap, as nearly all do."""
        step = now - self._previous - _FRAME_S
        lag = self._lag + step
        if self._steady and 0.0 <= lag <= self._worst:
            self._lag = lag
            self._previous = now
            self._top += self._step
            # RFC 3550 6.4.1: J(i) = J(i-1) + (|D(i-1,i)| - J(i-1))/16
            self.jitter += ((step if step > 0.0 else -step) - self.jitter) * 0.0625
            self.queue.append(packet)
        elif not self._steady or len(self.queue) >= MAX_FRAMES or not -LEAP_S < step < LEAP_S:
            self.put((self._top + self._step) & 0xFFFFFFFF, packet, now)
        else:
            self._previous = now
            self._top += self._step
            self.jitter += (abs(step) - self.jitter) * 0.0625
            self.queue.append(packet)
            self._learn(lag)
            self._settle_down()

    def _learn(self, lag: float) -> None:
        """Learn of a packet that was earlier than all, or the latest since the last review."""
        if lag < 0.0:
            self._lag = 0.0  # the ideal packet is as early as this one
            if self._worst > LEAST_S:
                self._worst -= lag
            self.delay -= lag
            self._lateness.move(-lag)
            return
        self._lag = lag
        if lag > self._worst:
            self._worst = lag
            self._lateness.late(lag)

    def put(self, timestamp: int, item: Item, now: float, *, begins: bool = False) -> bool:
        """Take audio that arrived at `now`. False: it is late, doubled or out of all order, and dropped.

        `begins`: it is known that nothing is missing before it, whatever its timestamp says: the far end was silent.
        """
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
        self._learn(self._lag + difference)
        if not self._store(timestamp, at, item, now):
            return False
        if step < 0:
            self.reordered += 1
        self._note_gap(at, begins, step)
        return True

    def _note_gap(self, at: int, begins: bool, step: int) -> None:
        """Find out what the frames were that were given up with nothing behind them."""
        if not begins:
            self.missing += self._blind
            self._missing.note(self._blind)
        elif step > self._step:
            if len(self._begins) >= MAX_FRAMES:
                self._begins.clear()
            self._begins.add(at)
        self._blind = 0

    def _store(self, timestamp: int, at: int, item: Item, now: float) -> bool:
        frames = self._frames
        if self._playing and at < self._next and at + self._length(item) <= self._next:
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
        self._jump_at = (timestamp + self._length(item)) & 0xFFFFFFFF
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
            self._begins.clear()
            self._steady = True
            self._late_run = self._pace.waited = 0

    # --- out -------------------------------------------------------------------------------------------------------

    def pull(self, now: float, *, heard: bool = True) -> Item | None:
        """Return the frame to play at `now`, or None where there is none: conceal it.

        While there is something in the `queue`, that is what comes; the caller may take it from there. `heard`: somebody
        listens, so that what is left out or doubled has to be chosen with care.
        """
        return self.queue.popleft() if self.queue else self._pull_with_care(now, heard)

    def _pull_with_care(self, now: float, heard: bool) -> Item | None:
        self.following, self.gave_up = None, False
        if self._steady:
            self._spread()
        at = self._next
        frames = self._frames
        if not self._playing:
            if not frames:
                return None
            at = min(frames)
            if self._lag > MAX_TARGET_S:
                self._straighten()
            if self._delay_of(at, now) < self._target:
                return None
            self._playing = True
            self._next = at
            self._shift = 0
        item = frames.pop(at, None)
        self.delay = delay = self._delay_of(at, now)
        if item is None:
            item = self._find(at, delay)
        elif isinstance(item, bytes):
            self._next = at + self._step
        else:
            item = self._gather(item.pcm, at, delay)
        if item is None:
            return None
        self._begins.discard(at)
        self._starved = 0
        spare = delay - self._target
        off = self._shift
        if not heard and isinstance(item, bytes):
            return self._skip(item, at, spare)
        if off or not -SHORTAGE_S <= spare <= SURPLUS_S:
            return self._paced(item, spare, off)
        self._pace.waited = 0
        self._line_up()
        return item

    def _straighten(self) -> None:
        """Let the newest packet be the ideal one: it came later than can be waited for, and so may all that follow.

        The far end's clock stood still while it was silent, or the way here has become longer.
        """
        self._lag = 0.0
        self._worst = LEAST_S
        self.resyncs += 1

    def _linear(self, item: Item) -> bytes:
        return self._decode(item) if isinstance(item, bytes) else item.pcm

    def _units(self, audio: bytes) -> int:
        """Return how long PCM is by the RTP clock."""
        return len(audio) * self._step // self._frame_bytes

    def _length(self, item: Item) -> int:
        """Return how long audio is by the RTP clock."""
        return self._units(item.pcm) if isinstance(item, Linear) else self._step

    def _find(self, at: int, delay: float) -> Item | None:
        """Nothing begins at `at`: play what begins a little later, wait for it, or give it up."""
        frames = self._frames
        first = min(frames) if frames else at + self._step
        if first in self._begins:
            self._playing = False  # a pause: what comes now may wait as long as is best
            return None
        if first < at + self._step:
            # Off the grid (another packet length, a digit in between, a period doubled): the grid moves to the packets.
            if first > at and delay - (first - at) * self._unit_s < self._target:
                self._next = first
                self._shift = 0
                return None
            audio = self._linear(frames.pop(first))
            if first > at:
                self._shift = 0
                self.broke = True
            elif first < at:
                audio = audio[(at - first) * self._frame_bytes // self._step & ~1 :]
            return self._gather(audio, max(at, first), delay)
        self._starved += 1
        if not frames and self._starved > STARVED:
            self._playing = False
            return None
        if delay < self._target - (_FRAME_S / 2 if frames else 0.0):
            return None  # it may still come: play everything 20 ms later from here on
        self._give_up(at)
        if frames and delay > MAX_TARGET_S + self._target:
            self._next = min(frames)  # the sender left a hole in its timeline
        return None

    def _give_up(self, at: int) -> None:
        if self._frames:
            self.missing += 1
            self._missing.note()
        else:
            self._blind += 1
        if at == self._missed:
            self._missing.note_run()
        self._next = self._missed = at + self._step
        following = self._frames.get(self._next)
        self.following = following if isinstance(following, bytes) else None
        self.gave_up = True

    def look_ahead(self) -> tuple[int, bytes] | None:
        """Return how many frames are missing, from the one on that `pull` has just given up, and the PCM behind them.

        None where that is not here, or not whole.
        """
        frames = self._frames
        if not self.gave_up or not frames or not self.bridges:
            return None
        at = min(frames)
        further, off = divmod(at - self._next, self._step)
        # What is decoded before its time must not be wrong once one comes that was believed to be missing.
        if off or not 0 <= further < (MOST_BRIDGED if self.forgets else 1):
            return None
        audio = self._linear(frames[at])
        frames[at] = Linear(audio)  # a codec with a memory hears each packet once
        return (1 + further, audio) if len(audio) == self._frame_bytes else None

    def _gather(self, audio: bytes, at: int, delay: float) -> Linear | None:
        """Make one frame of packets that are shorter or longer than one; what is over stays for the next."""
        audio, end = self._collect(audio, at, self._frame_bytes)
        if len(audio) < self._frame_bytes and delay >= self._target - _FRAME_S / 2 and (filled := self._fill(audio, end)):
            audio, end = self._collect(audio + filled, at, self._frame_bytes)
        if len(audio) < self._frame_bytes:
            # The rest is missing. There is time for it if we wait (its own time, not that of the beginning: where periods were
            # left out, frames begin anywhere in a packet), else it is made up and left out.
            if delay - (end - at) * self._unit_s < self._target + SURPLUS_S - _FRAME_S:
                self._next, self._shift = end, 0
            else:
                self._next = at + self._step
            return Linear(audio) if audio else None
        return self._play(audio, end)

    def _fill(self, before: bytes, at: int) -> bytes:
        """Return the frame that is missing at `at`, if the one behind it is here; b"" if it is not, or is no whole one."""
        item = self._frames.get(at + self._step)
        if item is None or not before:
            return b""
        filled = self._recover(item) if isinstance(item, bytes) else b""
        if not filled and self.bridges:
            self._astray(before)
            audio = self._linear(item)
            self._frames[at + self._step] = Linear(audio)
            filled = self._between(before, audio) if len(audio) == self._frame_bytes else b""
        if filled:
            self.missing += 1
            self._missing.note()
        return filled

    def _collect(self, audio: bytes, at: int, size: int) -> tuple[bytes, int]:
        """Return what is heard from `at` on, `audio` first, until it is `size` bytes or more; and the timestamp of its end."""
        frames = self._frames
        while len(audio) < size:
            more = frames.pop(at + self._units(audio), None)
            if more is None or not (piece := self._linear(more)):
                break
            audio += piece
        return audio, at + self._units(audio)

    def _play(self, audio: bytes, end: int) -> Linear:
        """Return the first frame of audio; what is over stays for the next."""
        rest = audio[self._frame_bytes :]
        self._next = end - self._units(rest)
        if rest:
            self._frames[self._next] = Linear(rest)
        return Linear(audio[: self._frame_bytes])

    # --- pace ------------------------------------------------------------------------------------------------------

    def _skip(self, packet: bytes, at: int, spare: float) -> bytes | None:
        """Leave out a frame or wait for 20 ms, while nobody listens: without a look at the sound."""
        if spare < -SHORTAGE_S:
            self._frames[at] = packet
            self._next = at
            return None
        if spare > SURPLUS_S and isinstance(following := self._frames.get(self._next), bytes):
            del self._frames[self._next]
            self._next += self._step
            self.dropped += 1
            packet = following
        self._shift = 0
        self._line_up()
        return packet

    def _paced(self, item: Item, spare: float, off: int) -> Linear:
        """Return a frame, or what is heard in its place, faster or slower."""
        # From here on it stays decoded: a codec with a memory hears each packet once.
        audio = self._decode(item) if isinstance(item, bytes) else item.pcm
        if len(audio) < self._frame_bytes:
            return Linear(audio)
        begin = self._next - self._step
        sound, end = self._pace.apply(audio, begin, spare, off)
        if sound is audio:
            return Linear(audio)
        left_out = end - begin - self._units(sound)
        if left_out < 0:
            self.stretched += 1
        elif left_out > 0:
            self.shrunk += 1
            self.dropped += left_out == self._step
        self._shift = (off + left_out) % self._step
        return self._play(sound, end)
