"""G.722: 7 kHz of audio in 64 kbit/s. ITU-T G.722, RFC 3551 4.5.2. The arithmetic is the `G722` package's."""

from __future__ import annotations

from typing import Any

from offhook.media import pcm

RATE = 16_000
BIT_RATE = 64_000


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

        self._coder: Any = package.G722(RATE, BIT_RATE)

    def encode(self, frames: bytes) -> bytes:
        """Return half a byte a sample."""
        # As samples, for bytes it would take for samples of 8 bits.
        coded: bytes = self._coder.encode(pcm.samples(frames))
        return coded

    def decode(self, payload: bytes) -> bytes:
        """Return two samples a byte."""
        decoded: bytes = self._coder.decode(payload).tobytes()
        return decoded
