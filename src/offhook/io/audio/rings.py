"""Samples on their way between the tick and a device: rings with one writer and many readers, none of whom takes a lock.

A writer moves `written` only after the samples are in place, and a reader owns its position; the interpreter makes both steps
indivisible. So a device's callback waits for nobody, and the same sound can be read by the device that is being left and
the one that is being taken up.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from offhook.media.fades import crossfade, ramp

RING_MS: Final = 1_000
START_MS: Final = 40  # after running dry, wait for so much, so that one late tick is not heard again
MOST_MS: Final = 160  # older sound falls out
FADE_MS: Final = 20  # from one device to another, and over a seam
FRAME_MS: Final = 20
SLACK_MS: Final = 10
REVIEW_MS: Final = 2_000  # what was never needed for so long is delay for nothing
SOON_MS: Final = 500  # a gap that ends within this was no end of a call
LONGEST_MS: Final = 400  # what a loudspeaker may ask for at once, and a little: PipeWire's longest quantum is 170 ms


class Ring:
    """The latest second of 16-bit samples; `written` counts all there ever were."""

    __slots__ = ("_bytes", "_size", "written")

    def __init__(self, rate: int) -> None:
        self._size = 2 * rate * RING_MS // 1000
        self._bytes = bytearray(self._size)
        self.written = 0

    def write(self, samples: bytes) -> None:
        """Append at most a ring's length."""
        samples = samples[-self._size:]
        place = 2 * self.written % self._size
        end = place + len(samples)
        if end <= self._size:
            self._bytes[place:end] = samples
        else:
            split = self._size - place
            self._bytes[place:] = samples[:split]
            self._bytes[: end - self._size] = samples[split:]
        self.written += len(samples) // 2

    def read(self, at: int, count: int) -> bytes:
        """Return the samples from position `at`; silence for those that are not there yet or not any more."""
        before = min(count, max(0, self.written - self._size // 2 - at, -at))
        after = min(count - before, max(0, at + count - self.written))
        place = 2 * (at + before) % self._size
        end = place + 2 * (count - before - after)
        inside = bytes(self._bytes[place:end])
        if end > self._size:
            inside += bytes(self._bytes[: end - self._size])
        return bytes(2 * before) + inside + bytes(2 * after) if before or after else inside


class Playout:
    """One device's reading of a ring: waits for a little ahead, sheds what piles up, fades in and out.

    A device that asks for much at once, and so runs dry again and again, has as much wait for it, and a little more.
    """

    def __init__(self, ring: Ring, rate: int, *, silent: bool = False) -> None:
        self._ring = ring
        self._rate = rate
        self._start, self._most = rate * START_MS // 1000, rate * MOST_MS // 1000
        self._fade = rate * FADE_MS // 1000
        self._at = 0
        self._running = False
        self._dry = rate  # samples since there was nothing to play
        self._least, self._seen = rate, 0
        self._written = self._burst = 0  # what was there when it was last asked, and what it was asked for since that came
        self._most_asked = self._asked_before = 0  # the most of that within two seconds, and within the two before
        self._flowed = rate * REVIEW_MS // 1000  # samples since it ran dry last
        self._thirsty = False  # it ran dry twice within two seconds
        self._gain = self._aim = 0.0 if silent else 1.0
        self.underruns = self.overruns = 0

    def fade_in(self) -> None:
        """Be heard from now on."""
        self._aim = 1.0

    def fade_out(self) -> None:
        """Be heard no more."""
        self._aim = 0.0

    @property
    def ahead_ms(self) -> int:
        """Return how much sound waits."""
        return (self._ring.written - self._at) * 1000 // self._rate if self._running else 0

    def pull(self, count: int) -> bytes | None:
        """Return this many samples; None stands for silence."""
        self._note_asked(count)
        ahead = self._ring.written - self._at
        begins = not self._running
        if begins:
            start = self._enough
            if self._at == 0 or ahead > max(self._most, start):  # what was said before anybody listened
                self._at = max(0, self._ring.written - start)
                ahead = self._ring.written - self._at
            if ahead < start:
                self._dry += count
                return None
            self._running = True
            self._least, self._seen = self._rate, 0
            self.underruns += self._dry < self._rate * SOON_MS // 1000
        samples = self._ring.read(self._at, count)
        self._at += count
        if ahead < count:
            samples = ramp(samples[: 2 * ahead], 1.0, 0.0) + bytes(2 * (count - ahead))
            self._at = self._ring.written
            self._running, self._dry = False, count - ahead
            self._thirsty = self._thirsty or self._flowed < self._rate * REVIEW_MS // 1000
            self._flowed = 0
        else:
            samples = self._shed(samples, ahead - count, count)
        if begins:
            samples = ramp(samples, 0.0, 1.0)  # after a gap, too
        return self._faded(samples, count)

    @property
    def _enough(self) -> int:
        """Return how many samples are waited for before it begins."""
        if not self._thirsty:
            return self._start
        most = max(self._most_asked, self._asked_before) + self._rate * FRAME_MS // 1000
        return max(self._start, min(most, self._rate * LONGEST_MS // 1000))

    def _note_asked(self, count: int) -> None:
        """Learn how much is asked for before anything more comes: the device's own measure, or a tick that is late.

        More than may wait is neither: nobody had anything to say.
        """
        if self._ring.written != self._written:
            if self._burst <= self._rate * LONGEST_MS // 1000:
                self._most_asked = max(self._most_asked, self._burst)
            self._written, self._burst = self._ring.written, 0
        self._burst += count
        self._flowed += count

    def _shed(self, samples: bytes, left: int, count: int) -> bytes:
        """Skip sound where more waits than was needed for two seconds, or more than may wait; the seam is faded."""
        self._least = min(self._least, left)
        self._seen += count
        enough = self._enough
        excess = left - enough if left > max(self._most, 2 * enough) else 0
        if self._seen >= self._rate * REVIEW_MS // 1000:
            spare = self._least - self._rate * SLACK_MS // 1000
            if spare > self._rate * FRAME_MS // 1000:
                excess = max(excess, spare)
            self._least, self._seen = self._rate, 0
            self._thirsty = self._thirsty and self._most_asked > self._start
            self._asked_before, self._most_asked = self._most_asked, 0
        if excess <= 0:
            return samples
        self.overruns += 1
        self._at += excess
        return crossfade(samples, self._ring.read(self._at - count, count))

    def _faded(self, samples: bytes, count: int) -> bytes | None:
        if self._gain == self._aim:
            return samples if self._gain else None
        step = count / self._fade
        gain = min(self._aim, self._gain + step) if self._aim > self._gain else max(self._aim, self._gain - step)
        samples = ramp(samples, self._gain, gain)
        self._gain = gain
        return samples


class Capture:
    """What one device has heard, read by the tick a frame at a time."""

    def __init__(self, rate: int) -> None:
        self.ring = Ring(rate)
        self._rate = rate
        self._frame = rate * FRAME_MS // 1000
        self._most = rate * MOST_MS // 1000
        self._at = 0
        self._running = False
        self._late = rate  # samples of silence that stood for what had not come
        self._least, self._seen = rate, 0
        self.underruns = self.overruns = 0

    @property
    def ready(self) -> bool:
        """Return whether there is a frame."""
        return self.ring.written - self._at >= self._frame

    @property
    def ahead_ms(self) -> int:
        """Return how much sound waits."""
        return (self.ring.written - self._at) * 1000 // self._rate

    def read(self) -> tuple[bytes, int] | None:
        """Return the oldest frame and its position in the stream, or None (silence) if there is none.

        What comes behind a short gap is kept: a device that hands over 40 ms at once has one before each, until as much waits.
        """
        frame = self._frame
        ahead = self.ring.written - self._at
        if not self._running and ahead > (self._most if self._has_a_gap else 2 * frame):
            self._at = self.ring.written - frame
            ahead = frame
        if ahead < frame:
            self._running = False
            self._late += frame
            return None
        if not self._running:
            self._running = True
            self._least, self._seen = self._rate, 0
            self.underruns += self._has_a_gap
        self._late = 0
        at = self._at
        samples = self.ring.read(at, frame)
        self._at += frame
        return self._shed(samples, ahead - frame), at

    @property
    def _has_a_gap(self) -> bool:
        """Return whether the silence of now is one in the middle of something."""
        return self._late < self._rate * SOON_MS // 1000

    def _shed(self, samples: bytes, left: int) -> bytes:
        frame = self._frame
        self._least = min(self._least, left)
        self._seen += frame
        excess = left - frame if left > self._most else 0
        if self._seen >= self._rate * REVIEW_MS // 1000:
            spare = self._least - self._rate * SLACK_MS // 1000
            if spare > frame // 2:
                excess = max(excess, spare)
            self._least, self._seen = self._rate, 0
        if excess <= 0:
            return samples
        self.overruns += 1
        self._at += excess
        return crossfade(samples, self.ring.read(self._at - frame, frame))


class Beside(NamedTuple):
    """What a loudspeaker was given while a microphone's frame came in; see `media.voice.chain.Voice.process`."""

    samples: bytes
    """What was given out since the frame before: longer than a frame where sound was skipped."""
    moved: int
    """By how many samples of that another difference of the counts is used from now on."""
    fresh: bool
    """Whether devices have changed, so that nothing before holds any more."""


class Reference:
    """What a loudspeaker was given, found again for each frame of the microphone: the echo canceller's other ear.

    Both devices count samples. The difference of the counts is constant but for the steps of their callbacks and for two clocks
    that are not quite the same, so the least one of two seconds is kept, and given up only when it is 20 ms too small.
    Who reads is told of each step, and of what the microphone skipped: an echo that is known need not be looked for again.
    """

    def __init__(self, rate: int) -> None:
        self.ring = Ring(rate)
        self._rate = rate
        self._capture: Ring | None = None
        self._offset: int | None = None
        self._least: int | None = None
        self._seen = 0
        self._end = 0  # the position behind what was read last

    def beside(self, capture: Ring, at: int, count: int) -> Beside:
        """Return what was given out when the samples from `at` on came in, or a constant moment before."""
        if capture is not self._capture:
            self._capture = capture
            self.restart()
        fresh = self._offset is None
        before = self._follow(self.ring.written - capture.written, count)
        assert self._offset is not None
        moved = self._offset - before
        end = at + self._offset + count
        start, self._end = self._end, end
        longest = self._rate * RING_MS // 1000
        if fresh or not 0 <= end - start - count - moved <= longest - count or abs(moved) >= longest - count:
            return Beside(self.ring.read(end - count, count), 0, True)
        return Beside(self.ring.read(start, max(0, end - start)), moved, False)

    def restart(self) -> None:
        """Forget the difference: another device counts from somewhere else."""
        self._offset = self._least = None
        self._seen = 0

    def _follow(self, offset: int, count: int) -> int:
        """See to it that the difference of the counts still holds; return the one before."""
        before = offset if self._offset is None else self._offset
        self._least = offset if self._least is None else min(self._least, offset)
        self._seen += count
        slack = self._rate * SLACK_MS // 1000
        if self._offset is None or offset < self._offset:
            self._offset = offset - slack // 2
        elif self._seen >= self._rate * REVIEW_MS // 1000:
            if self._least - self._offset > 2 * slack:
                self._offset = self._least - slack // 2
            self._least, self._seen = None, 0
        return before
