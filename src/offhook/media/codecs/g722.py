"""G.722: 7 kHz of audio in 64 kbit/s. ITU-T G.722, RFC 3551 4.5.2. The arithmetic is the `G722` package's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from offhook.media import pcm
from offhook.media.sources import frame_bytes

RATE = 16_000
BIT_RATE = 64_000
DELAY: Final = 22  # samples, of the filters at both ends


class G722:
    """Sub-band ADPCM of 16 kHz audio; static payload type 9. Raises ImportError where the package is not installed."""

    name = "G722"
    payload_type = 9
    # RFC 3551 4.5.2: "Even though the actual sampling rate for G.722 audio is 16,000 Hz, the RTP clock rate … is 8,000 Hz".
    clock_rate = 8000
    rate = RATE
    frame_payload = 160
    remembers = True
    units = staticmethod(len)
    expect_loss = steer = ask = conceal = recover = None

    def __init__(self) -> None:
        import G722 as package  # noqa: N811 - it is called like its only class

        self._new: Callable[[int, int], Any] = package.G722
        self._coder = self._new(RATE, BIT_RATE)

    def encode(self, frames: bytes) -> bytes:
        """Return half a byte a sample."""
        # As samples, for bytes it would take for samples of 8 bits.
        coded: bytes = self._coder.encode(pcm.samples(frames))
        return coded

    def decode(self, payload: bytes) -> bytes:
        """Return two samples a byte."""
        decoded: bytes = self._coder.decode(payload).tobytes()
        return decoded

    def resume(self, heard: bytes) -> None:
        """Decode what comes next as what follows `heard` without its last frame.

        What the far end has sent is not known, but what it would have sent for this sound: a new encoder says that, and a new
        decoder hears it, whose predictors and steps are near those of the far end then. The idea is that of ITU-T G.722
        Appendix IV.
        """
        # The encoder is ahead of what is heard.
        sound = pcm.samples(heard[: len(heard) - frame_bytes(RATE) + 2 * DELAY])
        self._coder = self._new(RATE, BIT_RATE)
        self._coder.decode(self._new(RATE, BIT_RATE).encode(sound))
