"""Opus: speech and music from 6 to 510 kbit/s. RFC 6716; in RTP and SDP: RFC 7587.

The library is read when the first encoder or decoder is made: a stream needs one of each, but no object needs both.
"""

from __future__ import annotations

from typing import Final

from offhook.media.codecs import opus_library as lib
from offhook.media.sources import FRAMES_A_SECOND, silence

CLOCK: Final = 48_000  # RFC 7587 4.1, whatever the sampling rate
FRAME_UNITS: Final = CLOCK // FRAMES_A_SECOND
RATES: Final = (8000, 12000, 16000, 24000, 48000)
# Of 10, by bench/bench_quality.py: 6 costs what 5 does and is 0.09 of PESQ ahead of it; 8 costs half as much again (0.1 ms a
# frame) and is 0.07 ahead of 6, but 0.12 where copies have taken their share of the bits.
COMPLEXITY: Final = 6
COMPLEXITY_WITH_FEC: Final = 8
# RFC 7587 3.1.1: 8-12 kbit/s for narrowband, 16-20 wideband, 28-40 fullband speech; more, so that libopus finds room for copies
# (it makes none below 20 to 24 kbit/s) also when a fifth is taken away.
BITRATES: Final = {8000: 26_000, 12000: 28_000, 16000: 30_000, 24000: 32_000, 48000: 40_000}
BITRATE_RANGE: Final = (6_000, 510_000)
LONGEST_UNITS: Final = lib.MAX_FRAME_MS * CLOCK // 1000
MAX_SINGLE: Final = 1_276  # bytes of a packet of one frame with its TOC (RFC 6716 3.2.1)
UNSENT: Final = 2  # bytes: a packet no longer than this says that nothing has to be sent (DTX)
# By the first five bits of a packet (RFC 6716 3.1, table 2): the units of each of its frames.
DURATIONS: Final = (
    *(480, 960, 1920, 2880) * 3,  # SILK
    *(480, 960) * 2,  # hybrid
    *(120, 240, 480, 960) * 4,  # CELT
)
FIRST_CELT: Final = 16
STEREO: Final = 0x04
LOSS_WITH_FEC: Final = 0.01  # from here on the next packet carries a copy of this one
LOSS_OF_CONGESTION: Final = 0.10  # from here on a fifth less is sent: the network seems to be full
FOR_COPIES: Final = 6 / 5  # so much more is sent then, or the sound itself would be the worse for them
FEC_PERCENT: Final = (10, 30)  # what libopus is told then; for less than the first it is sparing with copies


class Opus:
    """Opus of mono PCM at `rate`. `fmtp` is what the far end said it wants to receive (RFC 7587 6.1)."""

    payload_type = -1
    clock_rate = CLOCK
    frame_payload = 0
    remembers = True
    steer = ask = resume = None

    def __init__(self, rate: int = CLOCK, fmtp: str = "") -> None:
        wishes = parameters(fmtp)
        self.rate = min(rate, _rate_for(wishes.get("maxplaybackrate", CLOCK)))
        self.name = "OPUS" if rate == CLOCK else f"OPUS/{rate}"
        lib.library()  # say now what is missing, not in the middle of a call
        self._size = self.rate // FRAMES_A_SECOND
        self._limit = _clipped(wishes.get("maxaveragebitrate", BITRATE_RANGE[1]), *BITRATE_RANGE)
        self._dtx = wishes.get("usedtx") == 1
        self._constant = wishes.get("cbr") == 1
        self._fec = wishes.get("useinbandfec") == 1
        self._encoder: lib.Encoder | None = None
        self._decoder: lib.Decoder | None = None

    # --- out -------------------------------------------------------------------------------------------------------

    def encode(self, frames: bytes) -> bytes:
        """Return one packet for 20, 40 or 60 ms; b"" where the far end asked for silence not to be sent."""
        encoder = self._encoder
        if encoder is None:
            encoder = self._encoder = self._new_encoder()
        packet = encoder.encode(frames)
        return packet if len(packet) > UNSENT or not self._dtx else b""

    def _new_encoder(self) -> lib.Encoder:
        encoder = lib.Encoder(self.rate)
        encoder.set(lib.SET_COMPLEXITY, COMPLEXITY)
        encoder.set(lib.SET_BITRATE, self._bitrate(0.0))
        encoder.set(lib.SET_VBR, int(not self._constant))
        encoder.set(lib.SET_DTX, int(self._dtx))
        return encoder

    def expect_loss(self, fraction: float) -> None:
        """Be told how much the far end loses (0-1, from its RTCP)."""
        encoder = self._encoder
        if encoder is None:
            return
        copies = self._copies(fraction)
        encoder.set(lib.SET_INBAND_FEC, int(copies))
        encoder.set(lib.SET_PACKET_LOSS_PERC, _clipped(round(100 * fraction), *FEC_PERCENT) if copies else 0)
        encoder.set(lib.SET_COMPLEXITY, COMPLEXITY_WITH_FEC if copies else COMPLEXITY)
        encoder.set(lib.SET_BITRATE, self._bitrate(fraction))

    def _copies(self, loss: float) -> bool:
        return self._fec and loss >= LOSS_WITH_FEC

    def _bitrate(self, loss: float) -> int:
        """Return the bit/s to send at this loss, within what the far end wants."""
        wanted = BITRATES[self.rate] * (FOR_COPIES if self._copies(loss) else 1.0)
        wanted = min(round(wanted), self._limit)
        return max(BITRATE_RANGE[0], wanted * 4 // 5 if loss >= LOSS_OF_CONGESTION else wanted)

    # --- in --------------------------------------------------------------------------------------------------------

    def decode(self, payload: bytes) -> bytes:
        """Return the PCM; what the library refuses although `units` did not is silence of that length."""
        decoder = self._decoder
        if decoder is None:
            decoder = self._decoder = lib.Decoder(self.rate)
        units = self.units(payload)
        samples = units * self.rate // CLOCK
        made = decoder.decode(payload, samples) if units else b""
        return made.ljust(2 * samples, b"\0")

    def conceal(self) -> bytes:
        """Return what might have been said in a frame that did not come."""
        made = self._decoder.decode(None, self._size) if self._decoder is not None else b""
        return made or silence(self.rate)

    def recover(self, payload: bytes) -> bytes:
        """Return the frame before this packet from the copy in it; b"" if there is none."""
        if self._decoder is None or not has_copy(payload):
            return b""
        made = self._decoder.decode(payload, self._size, recover=True)
        return made if len(made) == 2 * self._size else b""

    @staticmethod
    def units(payload: bytes) -> int:
        """Return the units of a packet, 0 for one that is broken."""
        if not payload:
            return 0
        each = DURATIONS[payload[0] >> 3]
        if not payload[0] & 0x03:
            return each if len(payload) <= MAX_SINGLE else 0
        count = lib.frames_in(payload)
        return each * count if each * count <= LONGEST_UNITS else 0


def has_copy(payload: bytes) -> bool:
    """Say whether a packet of 20 ms holds a copy of what was said before it (LBRR, RFC 6716 4.2.4)."""
    # Only SILK has copies. Its first bits are one of voice activity, for 20 ms, and then this flag.
    if len(payload) < 2 or payload[0] >> 3 >= FIRST_CELT or payload[0] & 0x03:
        return False
    return bool(payload[1] & 0x40) or bool(payload[0] & STEREO and payload[1] & 0x10)


def parameters(fmtp: str) -> dict[str, int]:
    """Return the numbers in format parameters; what is none is left out."""
    found = {}
    for part in fmtp.split(";"):
        name, _, value = part.partition("=")
        if value.strip().isascii() and value.strip().isdecimal() and len(value.strip()) <= 9:
            found[name.strip().lower()] = int(value)
    return found


def _rate_for(wanted: int) -> int:
    """Return the lowest rate that carries what a far end plays."""
    return next((rate for rate in RATES if rate >= wanted), CLOCK)


def _clipped(value: int, low: int, high: int) -> int:
    return max(low, min(high, value))
