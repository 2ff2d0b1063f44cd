"""Takes the loudspeaker's sound out of the microphone's: a Kalman filter over partitions of a block, in the frequency domain.

After Kuech, Mabande, Enzner, "State-space architecture of the partitioned-block-based acoustic echo controller" (2014): the
filter knows for each frequency how sure it is of the room, and how loud what is no echo is, and so goes on slowly while the
person at the phone speaks (double talk) and fast while only the far end does. No detector decides which of both it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORGET: Final = 0.9997  # how much of the room is still true a block later; what is not lets the filter follow a moved chair
NEAR_SMOOTH: Final = 0.6  # of the spectrum of what is no echo, from block to block
NEAR_LEAST: Final = 0.1  # of an error, as much is at least taken for no echo
FIRST_DOUBT: Final = 0.1  # the variance of a frequency of the first partition before anything is known …
DOUBT_DECAY: Final = 0.8  # … and of the next ones, for a room dies away
SHRINK: Final = 0.35  # of what theory says, the doubt goes: speech is not as white as theory has it, and a sure filter is slow
TURNS: Final = 4  # blocks in which each partition has had its turn to be cut to its length
POWER_SMOOTH: Final = 0.28
WRONG: Final = 1.2
QUIET: Final = 1e-6  # power that is nobody's loss
LEAST: Final = 1e-7  # power below any sound's, with samples of -1 to 1


@dataclass(frozen=True, slots=True)
class Cleaned:
    """One block without its echo, and what is known of it: spectra of a block behind as many zeros, `block` + 1 bins."""

    samples: NDArray[np.float32]
    echo: NDArray[np.float32]
    """What was taken out."""
    doubt: NDArray[np.float32]
    """The power by which that may be wrong."""
    error: NDArray[np.complex64]
    """The spectrum of `samples`."""
    near: NDArray[np.float32]
    """The power of what is no echo."""
    fresh: bool
    """Whether nothing is known of the room any more, after something was."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """A room as it was known at a moment."""

    room: NDArray[np.complex64]
    doubt: NDArray[np.float32]


class EchoFilter:
    """Learns the way from loudspeaker to microphone; blocks of `block` samples from -1 to 1, `partitions` blocks of room."""

    def __init__(self, block: int, partitions: int) -> None:
        import numpy

        self._np = numpy
        self.block = block
        self.reach = (partitions + 1) * block  # samples of the past that `shift` and `replay` want
        bins = block + 1
        self._spoken = numpy.zeros(2 * block, numpy.float32)
        self._far = numpy.zeros((partitions, bins), numpy.complex64)  # spectra of what was played, the latest first
        self._power = numpy.zeros((partitions, bins), numpy.float32)
        self._room = numpy.zeros((partitions, bins), numpy.complex64)
        decay = FIRST_DOUBT * DOUBT_DECAY ** numpy.arange(partitions, dtype=numpy.float32)
        self._first_doubt = numpy.repeat(decay[:, None], bins, axis=1)
        self._doubt = self._first_doubt.copy()
        self._near = numpy.full(bins, LEAST, numpy.float32)
        self._padded = numpy.zeros(2 * block, numpy.float32)
        self._fade = numpy.linspace(1.0, 0.0, block, dtype=numpy.float32)
        self._heard_power = self._left_power = 0.0
        self._turn = 0

    def process(self, heard: NDArray[np.float32], played: NDArray[np.float32]) -> Cleaned:
        """Take the echo of `played` out of `heard`."""
        numpy, block = self._np, self.block
        self._spoken[:block] = self._spoken[block:]
        self._spoken[block:] = played
        self._far[1:] = self._far[:-1]
        self._power[1:] = self._power[:-1]
        self._far[0] = numpy.fft.rfft(self._spoken)
        self._power[0] = _squared(self._far[0])
        echo = numpy.fft.irfft((self._far * self._room).sum(axis=0))[block:]
        left = heard - echo
        self._padded[block:] = left
        error = numpy.fft.rfft(self._padded)
        uncertain = 0.5 * (self._power * self._doubt).sum(axis=0)
        self._learn(error, uncertain)
        if self._right(heard, left):
            return Cleaned(left, echo, uncertain, error, self._near, fresh=False)
        self.forget()
        uncertain = 0.5 * (self._power * self._doubt).sum(axis=0)
        echo *= self._fade  # wrong as it is, it must not end in a step
        return Cleaned(heard - echo, echo, uncertain, error, self._near, fresh=True)

    @property
    def left_share(self) -> float:
        """Return how much of the microphone's power was left in the last blocks: 1 where nothing was taken out."""
        return min(2.0, (self._left_power + LEAST) / (self._heard_power + LEAST))

    def learnt(self) -> Learnt:
        """Return what is known of the room, to come back to."""
        return Learnt(self._room.copy(), self._doubt.copy())

    def restore(self, learnt: Learnt) -> None:
        """Know the room as it was then."""
        self._room[:] = learnt.room
        self._doubt[:] = learnt.doubt
        self._left_power = 0.0

    def forget(self) -> None:
        """Know nothing of the room."""
        self._room[:] = 0.0
        self._doubt[:] = self._first_doubt
        self._left_power = 0.0

    def taps(self, learnt: Learnt) -> NDArray[np.float32]:
        """Return a room's impulse response."""
        taps = self._np.fft.irfft(learnt.room)[:, : self.block].ravel()
        return taps.astype(self._np.float32, copy=False)

    def shift(self, blocks: int, played: NDArray[np.float32]) -> None:
        """From now on `played` comes so many blocks later (less than 0: earlier); the latest `reach` samples of it that way.

        What was learnt moves along; what was thought of it does not: late in the filter little was expected.
        """
        numpy, count = self._np, len(self._room)
        room = numpy.zeros_like(self._room)
        kept = max(0, count - abs(blocks))
        to, start = (0, blocks) if blocks > 0 else (-blocks, 0)
        room[to : to + kept] = self._room[start : start + kept]
        self._room, self._doubt = room, self._first_doubt.copy()
        self.replay(played)

    def replay(self, played: NDArray[np.float32]) -> None:
        """Take these latest `reach` samples for what was played until now."""
        numpy, block = self._np, self.block
        for place in range(len(self._far)):
            end = len(played) - place * block
            self._far[place] = numpy.fft.rfft(played[end - 2 * block : end])
        self._power = _squared(self._far)
        self._spoken[:] = played[-2 * block :]

    def _learn(self, error: NDArray[np.complex64], uncertain: NDArray[np.float32]) -> None:
        numpy, block = self._np, self.block
        power = _squared(error)
        # An error is what is no echo and what we do not know of the room. Taking all of it for the former would learn slowly.
        self._near += (1 - NEAR_SMOOTH) * (numpy.maximum(power - uncertain, NEAR_LEAST * power) - self._near)
        gain = self._doubt / (uncertain + self._near + LEAST)
        step = gain * self._far.conj() * error
        # A partition is `block` taps long: what the circle of the transform adds is no room. A few at a time will do.
        some = slice(self._turn, None, TURNS)
        self._turn = (self._turn + 1) % TURNS
        taps = numpy.fft.irfft(self._room[some] + step[some])
        taps[:, block:] = 0.0
        self._room += step
        self._room[some] = numpy.fft.rfft(taps)
        self._doubt *= FORGET * FORGET * (1 - SHRINK * gain * self._power)
        self._doubt += (1 - FORGET * FORGET) * _squared(self._room)

    def _right(self, heard: NDArray[np.float32], left: NDArray[np.float32]) -> bool:
        """Return False where the filter has made it louder for a tenth of a second: then the room is another one."""
        numpy = self._np
        self._heard_power += POWER_SMOOTH * (float(numpy.dot(heard, heard)) - self._heard_power)
        self._left_power += POWER_SMOOTH * (float(numpy.dot(left, left)) - self._left_power)
        return self._left_power <= WRONG * self._heard_power + QUIET * self.block


def _squared(spectrum: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Return the power; a third of the time of the absolute value, which takes a root first."""
    power: NDArray[np.float32] = spectrum.real**2 + spectrum.imag**2
    return power
