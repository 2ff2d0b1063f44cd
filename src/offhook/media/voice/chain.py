"""The whole way of a microphone's frame: delay, echo filter, suppression, level."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Protocol

from offhook.media.messages.card import VoiceProcessing
from offhook.media.voice.gain import GainControl

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from offhook.media.voice.echo import EchoFilter
    from offhook.media.voice.suppress import Suppressor

BLOCK_MS: Final = 10
ROOM_MS: Final = 200  # what the echo filter covers
REACH_MS: Final = 40  # an echo that begins later than this in the filter leaves too little of it for the room
LEAD_MS: Final = 10  # … and it should not begin earlier
FADE: Final = 0.05  # how fast the measured attenuation follows, a block
LOUD: Final = 1e-6


class Voice(Protocol):
    """Something that cleans the microphone."""

    def process(self, frame: bytes, played: bytes | None) -> bytes:
        """Return the frame of 20 ms cleaned; `played` is what the loudspeaker was given beside it, None if nothing."""
        ...

    def change(self, wanted: VoiceProcessing) -> None:
        """Switch parts on or off, keeping what was learnt of the room."""
        ...


class GainVoice:
    """Only the level: needs no numpy."""

    def __init__(self) -> None:
        self._gain = GainControl()

    def process(self, frame: bytes, played: bytes | None) -> bytes:
        """Return the frame at an even level."""
        return self._gain.process(frame)

    def change(self, wanted: VoiceProcessing) -> None:
        """Nothing else can be switched on here."""


class OwnVoice:
    """Echo and noise by the numpy code of this folder, at 8 to 48 kHz. Raises ImportError where numpy is not installed."""

    def __init__(self, rate: int, wanted: VoiceProcessing) -> None:
        import numpy

        from offhook.media.voice.delay import DelayFinder
        from offhook.media.voice.echo import EchoFilter
        from offhook.media.voice.suppress import Suppressor

        self._np = numpy
        self._rate = rate
        self._block = rate * BLOCK_MS // 1000
        self._finder = DelayFinder(rate)
        self._filter: EchoFilter = EchoFilter(self._block, ROOM_MS // BLOCK_MS)
        self._suppressor: Suppressor = Suppressor(self._block, echo=True, noise=False)
        self._gain = GainControl()
        self._line = numpy.zeros(rate, numpy.float32)  # the latest second of what was played
        self._before = self._after = 0.0
        self.delay = 0  # samples by which what was played is held back
        self.found: int | None = None
        self._wanted = wanted
        self.change(wanted)

    def change(self, wanted: VoiceProcessing) -> None:
        """Switch parts on or off."""
        self._wanted = wanted
        self._suppressor.echo, self._suppressor.noise = wanted.echo_cancellation, wanted.noise_suppression

    @property
    def delay_ms(self) -> int | None:
        """Return how long the echo is under way, None while that is not known."""
        return None if self.found is None else self.found * 1000 // self._rate

    @property
    def attenuation_db(self) -> float:
        """Return by how much the microphone is turned down while the loudspeaker plays (the echo return loss enhancement)."""
        return 10.0 * math.log10((self._before + 1e-12) / (self._after + 1e-12))

    def process(self, frame: bytes, played: bytes | None) -> bytes:
        """Return the frame cleaned, 10 ms later."""
        wanted = self._wanted
        if wanted.echo_cancellation or wanted.noise_suppression:
            frame = self._clean(frame, played if wanted.echo_cancellation else None)
        return self._gain.process(frame) if wanted.gain_control else frame

    def _clean(self, frame: bytes, played: bytes | None) -> bytes:
        numpy, block = self._np, self._block
        heard = numpy.frombuffer(frame, "<i2").astype(numpy.float32) / 32768.0
        if self._wanted.echo_cancellation:
            far = numpy.frombuffer(played or bytes(len(frame)), "<i2").astype(numpy.float32) / 32768.0
            beside = self._aligned(heard, far)
            made = numpy.concatenate([
                self._without_echo(heard[start : start + block], beside[start : start + block])
                for start in range(0, len(heard), block)
            ])
        else:
            made = numpy.concatenate([
                self._suppressor.process(heard[start : start + block]) for start in range(0, len(heard), block)
            ])
        return bytes(numpy.clip(numpy.rint(made * 32768.0), -32768, 32767).astype("<i2").tobytes())

    def _without_echo(self, heard: NDArray[np.float32], played: NDArray[np.float32]) -> NDArray[np.float32]:
        numpy = self._np
        cleaned = self._filter.process(heard, played)
        made = self._suppressor.process(cleaned.samples, cleaned.echo, cleaned.doubt)
        if float(numpy.dot(played, played)) / len(played) > LOUD:
            self._before += FADE * (float(numpy.dot(heard, heard)) - self._before)
            self._after += FADE * (float(numpy.dot(made, made)) - self._after)
        return made

    def _aligned(self, heard: NDArray[np.float32], far: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what was played `delay` before; the delay moves only when the echo does not lie well in the filter."""
        count = len(far)
        self._line = self._np.concatenate((self._line[count:], far))
        found = self._finder.feed(heard, far)
        if found is not None:
            self.found = found
            begins = found - self.delay
            if not 0 <= begins <= self._rate * REACH_MS // 1000:
                self._hold_back(max(0, found - self._rate * LEAD_MS // 1000), count)
        end = len(self._line) - self.delay
        return self._line[end - count : end]

    def _hold_back(self, delay: int, count: int) -> None:
        blocks = round((delay - self.delay) / self._block)
        self.delay += blocks * self._block
        end = len(self._line) - count - self.delay  # what came with this frame has not been through the filter yet
        if blocks:
            self._filter.shift(blocks, self._line[end - self._filter.reach : end])
