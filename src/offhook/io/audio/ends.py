"""What devices are connected to: a loudspeaker that mixes rings, a microphone that goes from one device to the next."""

from __future__ import annotations

from offhook.io.audio.rings import Capture, Playout, Reference, Ring
from offhook.media import pcm
from offhook.media.fades import crossfade


class Speaker:
    """What one output device plays: all that is in some rings, noted down in `reference` while that is set."""

    def __init__(self, *parts: Playout) -> None:
        self._parts = parts
        self.reference: Reference | None = None

    def pull(self, count: int) -> bytes:
        """Return this many samples. Called by the device's thread; waits for nothing."""
        mixed: bytes | None = None
        for part in self._parts:
            samples = part.pull(count)
            if samples is not None:
                mixed = samples if mixed is None else pcm.add(mixed, samples)
        if mixed is None:
            mixed = bytes(2 * count)
        if self.reference is not None:
            self.reference.ring.write(mixed)
        return mixed

    def fade_in(self) -> None:
        """Be heard from now on."""
        for part in self._parts:
            part.fade_in()

    def fade_out(self) -> None:
        """Be heard no more, in a moment."""
        for part in self._parts:
            part.fade_out()

    @property
    def ahead_ms(self) -> int:
        """Return how much sound waits."""
        return max(part.ahead_ms for part in self._parts)

    @property
    def underruns(self) -> int:
        """Return how often there was nothing to play in the middle of something."""
        return sum(part.underruns for part in self._parts)

    @property
    def overruns(self) -> int:
        """Return how often sound was skipped because too much waited."""
        return sum(part.overruns for part in self._parts)


class Microphone:
    """Frames from whichever input device is in use; who comes next is faded in as soon as it has something to say."""

    def __init__(self) -> None:
        self.coming: Capture | None = None  # set by the card: who is to be heard as soon as possible
        self._current: Capture | None = None

    def read(self) -> tuple[bytes, Ring, int] | None:
        """Return a frame, the device's ring and the frame's position in it; None stands for silence."""
        current, coming = self._current, self.coming
        if coming is not None and coming is not current and (current is None or coming.ready):
            return self._change(coming)
        if current is None:
            return None
        got = current.read()
        return None if got is None else (got[0], current.ring, got[1])

    def _change(self, new: Capture) -> tuple[bytes, Ring, int] | None:
        old = self._current.read() if self._current is not None else None
        self._current = new
        got = new.read()
        if got is None:
            return None
        before = old[0] if old is not None else bytes(len(got[0]))
        return crossfade(before, got[0]), new.ring, got[1]
