"""The adaptive jitter buffer: decoded audio in by RTP timestamp, one 20 ms frame out at each tick. RFC 3550 6.4.1, A.8."""

from __future__ import annotations

from typing import Final

from offhook.media import pcm
from offhook.media.conceal import crossfade
from offhook.media.sources import FRAME_BYTES, FRAME_SAMPLES

MIN_TARGET_MS: Final = 20.0
MAX_TARGET_MS: Final = 200.0
FIRST_PEAK_MS: Final = 30.0  # start cautiously; a quiet network brings it down within seconds
HEADROOM_MS: Final = 5.0  # a tick may come this much early against the packets
SURPLUS_MS: Final = 30.0  # more than a frame beyond the target: play faster
JUMP: Final = 2 * 8000  # two seconds: a wider step of the timestamp is a new timeline
LEAP_MS: Final = 1000.0  # as much against the clock is one too: a sender that stood still and went on where it was
MAX_FRAMES: Final = 60  # 1.2 s of audio; a flood gets no further
LATE_RESTART: Final = 12  # so many late packets in a row are a clock set back, not lateness
STARVED: Final = 10  # after 200 ms without anything the talkspurt is over
SURPLUS_TICKS: Final = 25  # wait half a second for a quiet frame to drop before dropping one that speaks
QUIET_RMS: Final = 150  # about -47 dBov
_PEAK_DECAY: Final = 1 / 256  # five seconds at 50 packets a second
_DRIFT_MS: Final = 0.01  # what the far clock may lose for each packet: 500 ppm
_PER_MS: Final = 0.125  # milliseconds a sample
_SILENCE: Final = bytes(FRAME_BYTES)


class JitterBuffer:
    """Orders packets, chooses how long to wait for them, and stretches or shortens silence to keep to it.

    Works on a straight line: a packet of timestamp t ideally arrives at `base + t`; how much later the packets really come,
    with a memory of some seconds, is the delay that playing should have (20-200 ms). Times are milliseconds, timestamps
    samples of 8 kHz; audio may come in pieces of any length.
    """

    __slots__ = (
        "_base", "_frames", "_jump_at", "_late_run", "_next", "_peak", "_playing", "_starved", "_surplus", "_top", "_transit",
        "delay_ms", "dropped", "duplicate", "jitter_ms", "late", "missing", "resyncs",
    )  # fmt: skip

    def __init__(self) -> None:
        self._frames: dict[int, bytes] = {}
        self._top = -1  # extended timestamp of the newest packet, -1: none yet
        self._transit = self._base = 0.0
        self._peak = FIRST_PEAK_MS
        self._next = 0
        self._playing = False
        self._starved = self._surplus = self._late_run = 0
        self._jump_at = -1
        self.delay_ms = 0.0
        self.jitter_ms = 0.0
        self.late = self.duplicate = self.missing = self.dropped = self.resyncs = 0

    def __len__(self) -> int:
        return len(self._frames)

    def reset(self) -> None:
        """Forget audio and timeline (another source speaks), keep counters and what was learnt of the network."""
        self._frames.clear()
        self._top = self._jump_at = -1
        self._playing = False
        self._starved = self._surplus = self._late_run = 0

    def put(self, timestamp: int, audio: bytes, now: float) -> bool:
        """Take decoded audio that arrived at `now` (ms). False: it is late, doubled or out of all order, and dropped."""
        step = (timestamp - self._top) & 0xFFFFFFFF
        if step >= 0x80000000:
            step -= 0x100000000
        if self._top < 0 or not -JUMP < step < JUMP:
            return self._put_apart(timestamp, audio, now)
        at = self._top + step
        transit = now - at * _PER_MS
        difference = abs(transit - self._transit)
        if difference > LEAP_MS:
            return self._put_apart(timestamp, audio, now)
        if step > 0:
            self._top = at
        # RFC 3550 6.4.1: J(i) = J(i-1) + (|D(i-1,i)| - J(i-1))/16
        self.jitter_ms += (difference - self.jitter_ms) * 0.0625
        self._transit = transit
        base = self._base + _DRIFT_MS
        if transit < base:
            base = transit
        self._base = base
        excess = transit - base - self._peak
        self._peak += excess * 0.5 if excess > 0 else excess * _PEAK_DECAY
        frames = self._frames
        if self._playing and at < self._next:
            return self._put_late(timestamp, audio, now)
        self._late_run = 0
        if at in frames:
            self.duplicate += 1
            return False
        if len(frames) >= MAX_FRAMES:
            self.dropped += 1
            return False
        frames[at] = audio
        return True

    def _put_late(self, timestamp: int, audio: bytes, now: float) -> bool:
        self.late += 1
        self._late_run += 1
        if self._late_run < LATE_RESTART:
            return False
        return self._restart(timestamp, audio, now)

    def _put_apart(self, timestamp: int, audio: bytes, now: float) -> bool:
        """The first packet, or one that does not belong with the others: a new timeline if it is not alone."""
        if self._top < 0 or not self._frames or timestamp == self._jump_at:
            return self._restart(timestamp, audio, now)
        self._jump_at = (timestamp + len(audio) // 2) & 0xFFFFFFFF
        return False

    def _restart(self, timestamp: int, audio: bytes, now: float) -> bool:
        if self._top >= 0:
            self.resyncs += 1
        self.reset()
        self._top = timestamp + 0x100000000  # a cycle ahead: room for older packets
        self._base = self._transit = now - self._top * _PER_MS
        self._frames[self._top] = audio
        return True

    def pull(self, now: float) -> bytes | None:
        """Return the frame to play at `now` (ms), or None where there is none: conceal it."""
        at = self._next
        frames = self._frames
        if not self._playing:
            if not frames:
                return None
            at = min(frames)
            if now - self._base - at * _PER_MS < self.target_ms:
                return None
            self._playing = True
            self._next = at
        frame = frames.pop(at, None)
        self.delay_ms = delay = now - self._base - at * _PER_MS
        if frame is None:
            frame = self._find(at, delay)
            if frame is None:
                return None
        elif len(frame) == FRAME_BYTES:
            self._next = at + FRAME_SAMPLES
        else:
            frame = self._gather(frame, at)
        self._starved = 0
        if delay > self._peak + (HEADROOM_MS + SURPLUS_MS):
            return self._hasten(frame, delay)
        self._surplus = 0
        return frame

    @property
    def target_ms(self) -> float:
        """Return the delay to aim at, 20-200 ms."""
        return min(MAX_TARGET_MS, max(MIN_TARGET_MS, self._peak + HEADROOM_MS))

    def _find(self, at: int, delay: float) -> bytes | None:
        """Nothing begins at `at`: play what begins a little later, wait for it, or give it up."""
        frames = self._frames
        if frames and (first := min(frames)) < at + FRAME_SAMPLES:
            # Off the grid (another packet length, a digit in between): the grid moves to the packets.
            audio = frames.pop(first)
            if first < at:
                audio = audio[2 * (at - first) :]
            return self._gather(audio, max(at, first))
        self._starved += 1
        if not frames and self._starved > STARVED:
            self._playing = False
            return None
        if delay < self.target_ms:
            return None  # it may still come: play everything 20 ms later from here on
        self.missing += 1
        self._next = at + FRAME_SAMPLES
        if frames and delay > MAX_TARGET_MS + self.target_ms:
            self._skip_to(min(frames))  # the sender left a hole in its timeline
        return None

    def _skip_to(self, at: int) -> None:
        self._next = at

    def _gather(self, audio: bytes, at: int) -> bytes:
        """Make one frame of packets that are shorter or longer than one; what is over stays for the next."""
        frames = self._frames
        self._next = at + FRAME_SAMPLES
        while len(audio) < FRAME_BYTES:
            more = frames.pop(at + len(audio) // 2, None)
            if not more:
                return audio + _SILENCE[len(audio) :]
            audio += more
        if len(audio) > FRAME_BYTES:
            frames[self._next] = audio[FRAME_BYTES:]
        return audio[:FRAME_BYTES]

    def _hasten(self, frame: bytes, delay: float) -> bytes:
        """Lose 20 ms when there is more in hand than needed: a quiet frame, or after half a second any."""
        if delay <= self.target_ms + SURPLUS_MS:
            return frame
        self._surplus += 1
        far_behind = delay > MAX_TARGET_MS + 2 * SURPLUS_MS
        if not far_behind and self._surplus < SURPLUS_TICKS and pcm.rms(frame) > QUIET_RMS:
            return frame
        following = self._frames.get(self._next)
        if following is None or len(following) != FRAME_BYTES:
            return frame
        del self._frames[self._next]
        self._next += FRAME_SAMPLES
        self._surplus = 0
        self.dropped += 1
        return crossfade(frame, following)
