"""AMR of 8 kHz, what mobile phones speak: 4.75 to 12.2 kbit/s. 3GPP TS 26.071; in RTP: RFC 4867. The arithmetic is PyAV's."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any, Final

from offhook.media.codecs.opus import parameters
from offhook.media.sources import SAMPLE_RATE, frame_bytes

FRAME_UNITS: Final = 160
FRAME_BYTES: Final = frame_bytes(SAMPLE_RATE)
BIT_RATES: Final = (4750, 5150, 5900, 6700, 7400, 7950, 10200, 12200)  # by mode
# By frame type (3GPP TS 26.101 table 1a); 8 is the description of silence, 15 nothing at all.
SPEECH_BITS: Final = {0: 95, 1: 103, 2: 118, 3: 134, 4: 148, 5: 159, 6: 204, 7: 244, 8: 39, 15: 0}
NO_REQUEST: Final = 15  # "no mode request" (RFC 4867 4.3.1)
MAX_FRAMES: Final = 12  # 240 ms, the longest packet that anybody makes
_UNSUPPORTED: Final = ("crc", "robust-sorting", "interleaving")


def is_plain(fmtp: str) -> bool:
    """Say whether these parameters ask for the bandwidth-efficient form, and for nothing besides."""
    wishes = parameters(fmtp)
    return not wishes.get("octet-align") and not any(wishes.get(name) for name in _UNSUPPORTED)


def is_aligned(fmtp: str) -> bool:
    """Say whether these parameters ask for the octet-aligned form, and for nothing besides."""
    wishes = parameters(fmtp)
    return wishes.get("octet-align") == 1 and not any(wishes.get(name) for name in _UNSUPPORTED)


def mode_for(fmtp: str) -> int:
    """Return the best mode that the far end's `mode-set` allows (RFC 4867 8.1)."""
    found = re.search(r"(?:^|;)\s*mode-set\s*=\s*([0-7](?:\s*,\s*[0-7])*)\s*(?:;|$)", fmtp, re.IGNORECASE)
    return max(int(digit) for digit in re.findall("[0-7]", found[1])) if found else 7


class Amr:
    """AMR, `aligned` to octets or not. Raises ImportError where PyAV is not installed, or has no encoder for it."""

    payload_type = -1
    clock_rate = rate = SAMPLE_RATE
    frame_payload = 0
    remembers = True
    expect_loss = conceal = recover = None

    def __init__(self, aligned: bool, fmtp: str = "") -> None:
        import av
        from av.error import FFmpegError

        self.name = "AMR/OCTETS" if aligned else "AMR"
        self._av = av
        self._errors = (FFmpegError, ValueError)
        self._aligned = aligned
        try:
            self._encoder: Any = av.CodecContext.create("libopencore_amrnb", "w")
            self._decoder: Any = av.CodecContext.create("libopencore_amrnb", "r")
        except self._errors as error:  # what is unknown to it is a ValueError
            raise ImportError(f"this PyAV has no AMR: {error}") from error
        for context in (self._encoder, self._decoder):
            context.sample_rate = SAMPLE_RATE
            context.layout = "mono"
        self._encoder.format = "s16"
        self._encoder.time_base = Fraction(1, SAMPLE_RATE)
        self._encoder.bit_rate = BIT_RATES[mode_for(fmtp)]
        self._sent = 0

    # --- out -------------------------------------------------------------------------------------------------------

    def encode(self, frames: bytes) -> bytes:
        """Return the payload for whole frames."""
        stored = [self._encode(frames[start:start + FRAME_BYTES]) for start in range(0, len(frames), FRAME_BYTES)]
        return _payload(stored, self._aligned) if all(stored) else b""

    def _encode(self, samples: bytes) -> bytes:
        frame = self._av.AudioFrame(format="s16", layout="mono", samples=FRAME_UNITS)
        frame.sample_rate = SAMPLE_RATE
        frame.pts = self._sent
        frame.time_base = Fraction(1, SAMPLE_RATE)
        frame.planes[0].update(samples)
        self._sent += FRAME_UNITS
        return b"".join(bytes(packet) for packet in self._encoder.encode(frame))

    # --- in --------------------------------------------------------------------------------------------------------

    def units(self, payload: bytes) -> int:
        """Return the samples of a payload, 0 for one that is broken."""
        return FRAME_UNITS * len(_frames(payload, self._aligned))

    def decode(self, payload: bytes) -> bytes:
        """Return the PCM; silence for what the library refuses."""
        return b"".join(self._decode(stored) for stored in _frames(payload, self._aligned))

    def _decode(self, stored: bytes) -> bytes:
        try:
            made = b"".join(bytes(frame.planes[0]) for frame in self._decoder.decode(self._av.Packet(stored)))
        except self._errors:
            made = b""
        return made[:FRAME_BYTES].ljust(FRAME_BYTES, b"\0")


def _payload(stored: list[bytes], aligned: bool) -> bytes:
    """Return frames as PyAV makes them (a header octet, then the speech) as a payload (RFC 4867 4.3, 4.4)."""
    last = len(stored) - 1
    # The header octet is 0 FT FT FT FT Q 0 0; a table of contents has F (more follow) in front, and the same behind it.
    contents = [frame[0] | 0x80 * (place < last) for place, frame in enumerate(stored)]
    if aligned:
        return bytes((NO_REQUEST << 4, *contents)) + b"".join(frame[1:] for frame in stored)
    bits, count = NO_REQUEST, 4
    for octet in contents:
        bits, count = bits << 6 | octet >> 2, count + 6
    for frame in stored:
        size = SPEECH_BITS[frame[0] >> 3 & 0x0F]
        bits, count = bits << size | int.from_bytes(frame[1:], "big") >> 8 * len(frame[1:]) - size, count + size
    spare = -count % 8
    return (bits << spare).to_bytes((count + spare) // 8, "big")


def _frames(payload: bytes, aligned: bool) -> list[bytes]:
    """Return the frames of a payload as PyAV takes them; none for one that is broken."""
    left = 8 * len(payload)
    bits = int.from_bytes(payload, "big")
    step = 8 if aligned else 6

    def take(count: int) -> int:
        nonlocal left
        left -= count
        return bits >> left & (1 << count) - 1 if left >= 0 else 0

    take(8 if aligned else 4)  # what mode the far end would like: ours is what was agreed
    contents: list[int] = []
    while left >= step and len(contents) < MAX_FRAMES:
        entry = take(step) >> (2 if aligned else 0)
        contents.append(entry)
        if not entry & 0x20:
            break
    else:
        return []  # the last entry never came, or there are too many
    frames = []
    for entry in contents:
        size = SPEECH_BITS.get(entry >> 1 & 0x0F, -1)
        if size < 0 or left < size:
            return []
        octets = (size + 7) // 8
        speech = take(8 * octets) if aligned and left >= 8 * octets else take(size) << 8 * octets - size
        frames.append(bytes((entry << 2 & 0x7C,)) + speech.to_bytes(octets, "big"))
    return frames
