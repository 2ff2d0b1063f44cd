"""L16: 16-bit samples as they are, in network byte order. RFC 3551 4.5.11; 8, 16 and 48 kHz mono, all of them dynamic."""

from __future__ import annotations

from offhook.media import pcm
from offhook.media.sources import frame_bytes


class L16:
    """Audio as it is, for networks of one's own: 128 kbit/s at 8 kHz; a packet of 48 kHz is longer than an Ethernet frame."""

    payload_type = -1
    remembers = False
    expect_loss = steer = ask = conceal = recover = resume = None

    def __init__(self, rate: int) -> None:
        self.name = f"L16/{rate}"
        self.clock_rate = self.rate = rate
        self.frame_payload = frame_bytes(rate)

    encode = staticmethod(pcm.swapped)

    @staticmethod
    def decode(payload: bytes) -> bytes:
        """Return the samples; half a one at the end is not heard."""
        return pcm.swapped(payload[:-1] if len(payload) % 2 else payload)

    @staticmethod
    def units(payload: bytes) -> int:
        """Return the number of samples."""
        return len(payload) // 2
