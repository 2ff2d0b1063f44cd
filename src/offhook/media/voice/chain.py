"""The whole way of a microphone's frame: echo canceller, suppression, level; each can be switched without a click."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Protocol

from offhook.media.fades import crossfade
from offhook.media.messages.card import VoiceProcessing
from offhook.media.voice.gain import GainControl

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from offhook.media.voice.canceller import EchoCanceller
    from offhook.media.voice.suppress import Suppressor

BLOCK_MS: Final = 10
FADE: Final = 0.1  # how fast the measured attenuation follows, a frame
LOUD: Final = 1e-6
NOTHING: Final = VoiceProcessing()


class Voice(Protocol):
    """Something that cleans the microphone."""

    def process(self, frame: bytes, played: bytes | None, moved: int = 0) -> bytes:
        """Return the frame of 20 ms cleaned. `played` is what the loudspeaker was given beside it, None if nothing.

        Where sound was skipped, `played` begins with what was played meanwhile, and is longer than the frame. `moved` samples
        of the difference are no sound that was skipped: from now on the loudspeaker's sound is taken from so much later.
        """
        ...

    def change(self, wanted: VoiceProcessing) -> None:
        """Switch parts on or off, keeping what was learnt of the room. Any thread may do so."""
        ...

    def restart(self) -> None:
        """Another device is used from now on: what was learnt of the room may be wrong."""
        ...


class GainVoice:
    """Only the level: needs no numpy."""

    def __init__(self) -> None:
        self.gain = GainControl()
        self._on = True

    def process(self, frame: bytes, played: bytes | None, moved: int = 0) -> bytes:
        """Return the frame at an even level."""
        return self.gain.process(frame) if self._on else self.gain.leave(frame)

    def change(self, wanted: VoiceProcessing) -> None:
        """Nothing else can be switched here."""
        self._on = wanted.gain_control

    def restart(self) -> None:
        """Nothing is known here of a room."""


class OwnVoice:
    """Echo and noise by the numpy code of this folder, at 8 to 48 kHz. Raises ImportError where numpy is not installed."""

    def __init__(self, rate: int, wanted: VoiceProcessing, gain: GainControl | None = None) -> None:
        import numpy

        from offhook.media.voice.canceller import EchoCanceller
        from offhook.media.voice.suppress import Suppressor

        self._np = numpy
        self._rate = rate
        self._block = rate * BLOCK_MS // 1000
        self._canceller: EchoCanceller = EchoCanceller(rate)
        self._suppressor: Suppressor = Suppressor(self._block, echo=False, noise=False)
        self._gain = gain or GainControl()
        self._before = self._after = 0.0
        self._last = bytes(4 * self._block)
        self._wanted, self._done = wanted, NOTHING

    def change(self, wanted: VoiceProcessing) -> None:
        """Switch parts on or off, with the next frame."""
        self._wanted = wanted

    def restart(self) -> None:
        """Begin again; the room is tried once more as soon as there is an echo, for the device may be the same one."""
        self._canceller.restart()
        self._suppressor.forget()

    @property
    def delay_ms(self) -> int | None:
        """Return how long the echo is under way, None while that is not known."""
        found = self._canceller.found
        return None if found is None else found * 1000 // self._rate

    @property
    def drift_ppm(self) -> float:
        """Return by how many millionths the loudspeaker's clock is slower than the microphone's."""
        return self._canceller.drift * 1e6

    @property
    def attenuation_db(self) -> float:
        """Return by how much the microphone is turned down while the loudspeaker plays (the echo return loss enhancement)."""
        return 10.0 * math.log10((self._before + 1e-12) / (self._after + 1e-12))

    def process(self, frame: bytes, played: bytes | None, moved: int = 0) -> bytes:
        """Return the frame cleaned, 10 ms later."""
        was, now = self._done, self._wanted
        self._done = now
        made = frame
        if now.echo_cancellation or now.noise_suppression or was.echo_cancellation or was.noise_suppression:
            made = self._cleaned(was, now, frame, played, moved)
        self._last = frame
        if now.gain_control or was.gain_control:
            made = self._gain.process(made) if now.gain_control else self._gain.leave(made)
        return made

    def _cleaned(self, was: VoiceProcessing, now: VoiceProcessing, frame: bytes, played: bytes | None, moved: int) -> bytes:
        """Return the frame without echo and noise; where that begins or ends, and 10 ms with it, the frame fades over."""
        begins = not (was.echo_cancellation or was.noise_suppression)
        ends = not (now.echo_cancellation or now.noise_suppression)
        if begins:
            self._suppressor.begin(self._samples(self._last))
        if not ends:
            self._suppressor.echo, self._suppressor.noise = now.echo_cancellation, now.noise_suppression
        heard = self._samples(frame)
        if now.echo_cancellation or was.echo_cancellation:
            if not was.echo_cancellation:
                self._canceller.resume()
            far = self._samples(played) if played is not None else self._np.zeros(max(0, len(heard) + moved), self._np.float32)
            made = self._without_echo(heard, far, moved, float(was.echo_cancellation), float(now.echo_cancellation))
        else:
            made = self._suppressed(heard)
        cleaned = bytes(self._np.clip(self._np.rint(made * 32768.0), -32768, 32767).astype("<i2").tobytes())
        if begins:
            return crossfade(frame, cleaned)
        return crossfade(cleaned, frame) if ends else cleaned

    def _samples(self, frame: bytes) -> NDArray[np.float32]:
        return self._np.frombuffer(frame, "<i2").astype(self._np.float32) / 32768.0

    def _suppressed(self, heard: NDArray[np.float32]) -> NDArray[np.float32]:
        block = self._block
        parts = [self._suppressor.process(heard[start : start + block]) for start in range(0, len(heard), block)]
        made: NDArray[np.float32] = self._np.concatenate(parts)
        return made

    def _without_echo(
        self, heard: NDArray[np.float32], played: NDArray[np.float32], moved: int, before: float, after: float
    ) -> NDArray[np.float32]:
        """Take the echo out, fading from a share of it `before` to one of it `after` the frame."""
        numpy, block = self._np, self._block
        cleaned = self._canceller.process(heard, played, moved)
        if cleaned.fresh:
            self._suppressor.forget()
        left, echo = cleaned.samples, cleaned.echo
        if before != after:
            echo = echo * numpy.linspace(before, after, len(echo), dtype=numpy.float32)
            left = heard - echo
        # Spectra of 20 ms behind zeros have twice the bins of windows of that length, and twice the power.
        doubt = 0.5 * cleaned.doubt[::2]
        made: NDArray[np.float32] = numpy.concatenate([
            self._suppressor.process(left[start : start + block], echo[start : start + block], doubt)
            for start in range(0, len(heard), block)
        ])
        if float(numpy.dot(played, played)) / max(1, len(played)) > LOUD:
            self._before += FADE * (float(numpy.dot(heard, heard)) - self._before)
            self._after += FADE * (float(numpy.dot(made, made)) - self._after)
        return made
