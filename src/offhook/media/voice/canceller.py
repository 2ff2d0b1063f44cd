"""Takes the echo out of a microphone: finds it, follows it as it drifts and jumps, and knows the room by a filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from offhook.media.voice.delay import DelayFinder
from offhook.media.voice.drift import Drift
from offhook.media.voice.echo import Cleaned, EchoFilter, Learnt
from offhook.media.voice.jumps import JumpFinder
from offhook.media.voice.line import PlayedLine

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK_MS: Final = 20
ROOM_MS: Final = 400  # what the filter covers: in a room of 0.5 s what comes later is 48 dB below the first wave
REACH_MS: Final = 40  # an echo that begins later than this in the filter leaves too little of it for the room
LEAD_MS: Final = 10  # … and it should not begin earlier
LOUD: Final = 1e-6  # mean power of what was played; below there is nothing to be learnt
GOOD: Final = 0.1  # of the microphone's power is left: the room is known …
BAD: Final = 0.3  # … and here something has happened, or somebody speaks
NOTE_EVERY: Final = 25  # blocks between two notes of a room that is known, …
NOTE_FIRST: Final = 10  # … and before the first one
LOOK_EVERY: Final = 4  # blocks between two looks for a jump …
LOOKS: Final = 12  # … so many; then it is somebody who speaks, and …
LOOK_SELDOM: Final = 25  # … a look costs as much as three blocks


@dataclass(frozen=True, slots=True)
class Note:
    """A room while it was known well, to come back to after a jump."""

    learnt: Learnt
    begins: float | None
    """Where in the filter the delay finder saw the echo, in samples."""
    drift: float


class EchoCanceller:
    """One microphone and one loudspeaker, blocks of 20 ms at `rate`, samples from -1 to 1."""

    def __init__(self, rate: int) -> None:
        import numpy

        self._np = numpy
        self._rate = rate
        self._block = rate * BLOCK_MS // 1000
        self._finder = DelayFinder(rate)
        self._line = PlayedLine(rate)
        self._filter = EchoFilter(self._block, ROOM_MS // BLOCK_MS)
        self._drift = Drift(self._block)
        self._jumps = JumpFinder(rate)
        self._move = 0.0
        self._note: Note | None = None
        self._good = self._bad = 0  # blocks in a row
        self.found: int | None = None

    @property
    def drift(self) -> float:
        """Return by how many samples the echo gets later in each sample."""
        return self._drift.rate

    def restart(self) -> None:
        """Begin again, with other devices; what was known of the room is tried as soon as there is an echo."""
        self.resume()
        self._filter.forget()
        self._drift.rate = 0.0
        self.found = None

    def resume(self) -> None:
        """Go on after a gap in what was processed."""
        self._finder.restart()
        self._jumps.restart()
        self._line.clear()
        self._move, self._good = 0.0, 0
        self._replay()

    def process(self, heard: NDArray[np.float32], played: NDArray[np.float32], moved: int = 0) -> Cleaned:
        """Take the echo out of a block. `played` and `moved` are as in `chain.Voice.process`."""
        line, block = self._line, self._block
        recent = self._np.concatenate((line.newest(block), played))[-block:]
        more = len(played) - block
        if abs(moved) > line.longest or not 0 <= more - moved <= line.longest:
            self.restart()
        elif more or moved:
            self._leap(played[: max(0, more)], min(0, more), moved)
        self._jumps.feed(heard)
        self._find(heard, recent)
        line.feed(recent)
        beside = line.read(block, self._move)
        cleaned = self._filter.process(heard, beside)
        self._move = self._drift.update(cleaned)
        self._watch(beside)
        return cleaned

    def _leap(self, skipped: NDArray[np.float32], again: int, moved: int) -> None:
        """Have the line end where the block begins: behind what was skipped, or before what is played again."""
        line = self._line
        line.feed(skipped)
        line.take_back(-again)
        if moved:
            line.later(moved)
            self._finder.moved(moved)
        if len(skipped) + again != moved:
            self._replay()

    def _find(self, heard: NDArray[np.float32], recent: NDArray[np.float32]) -> None:
        """Have the echo begin early in the filter."""
        found = self._finder.feed(heard, recent)
        if found is None:
            return
        self.found = found
        line, rate, note = self._line, self._rate, self._note
        if 0 <= found - line.delay <= rate * REACH_MS // 1000:
            return
        if note is not None and note.begins is not None:
            if not self._good:  # a filter that works is better proof of where the echo is
                line.later(found - note.begins - line.delay)
                self._come_back(note)
        elif blocks := int((max(0, found - rate * LEAD_MS // 1000) - line.delay) // self._block):
            line.later(blocks * self._block)
            self._filter.shift(blocks, self._past(self._filter.reach))
            self._note = None

    def _watch(self, beside: NDArray[np.float32]) -> None:
        """Note the room while it is well known; look where the echo has gone when it is not any more."""
        if float(self._np.dot(beside, beside)) < LOUD * len(beside):
            return
        share = self._filter.left_share
        if share < GOOD:
            self._good, self._bad = self._good + 1, 0
            if self._good % NOTE_EVERY == NOTE_FIRST:
                begins = None if self.found is None else self.found - self._line.delay
                self._note = Note(self._filter.learnt(), begins, self._drift.rate)
            return
        self._good = 0
        if share < BAD or self._note is None:
            return
        self._bad += 1
        if self._bad % (LOOK_EVERY if self._bad <= LOOK_EVERY * LOOKS else LOOK_SELDOM) == 0:
            self._look(self._note)

    def _look(self, note: Note) -> None:
        taps = self._filter.taps(note.learnt)
        reach = self._jumps.reach(len(taps))
        late = self._jumps.find(taps, self._past(reach)[-reach:])
        if late is not None:
            self._line.later(late)
            self._finder.moved(late)
            self._come_back(note)

    def _come_back(self, note: Note) -> None:
        self._filter.restore(note.learnt)
        self._drift.rate = note.drift
        self._bad = 0
        self._replay()

    def _past(self, count: int) -> NDArray[np.float32]:
        """Return at least the latest `count` samples of what was played, behind the delay."""
        blocks = -(-count // self._block)
        return self._line.history(blocks, self._block, self._drift.rate * self._block)

    def _replay(self) -> None:
        self._filter.replay(self._past(self._filter.reach))
