"""AMR of 8 kHz, what mobile phones speak: 4.75 to 12.2 kbit/s. 3GPP TS 26.071; in RTP: RFC 4867. The arithmetic is PyAV's."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from offhook.media.codecs.opus import parameters
from offhook.media.sources import SAMPLE_RATE, frame_bytes

if TYPE_CHECKING:
    from offhook.media.codecs.contract import Codec

FRAME_UNITS: Final = 160
FRAME_BYTES: Final = frame_bytes(SAMPLE_RATE)
BIT_RATES: Final = (4750, 5150, 5900, 6700, 7400, 7950, 10200, 12200)  # by mode
# By frame type (3GPP TS 26.101 table 1a); 8 is the description of silence, 15 nothing at all.
SPEECH_BITS: Final = {0: 95, 1: 103, 2: 118, 3: 134, 4: 148, 5: 159, 6: 204, 7: 244, 8: 39, 15: 0}
NO_REQUEST: Final = 15  # "no mode request" (RFC 4867 4.3.1)
MODES: Final = tuple(range(len(BIT_RATES)))
# Of what comes, so much must be lost for a slower mode to be asked for, and no more for a better one again. Asked is once for
# each of our RTCP reports, every five seconds; what makes a queue overflow gets time to drain.
LOSS_TO_SLOW_DOWN: Final = 0.05
LOSS_TO_SPEED_UP: Final = 0.01
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


def modes_for(fmtp: str) -> tuple[int, ...]:
    """Return the modes that the far end's `mode-set` allows, in both directions (RFC 4867 8.1, 8.3.1), the slowest first."""
    found = re.search(r"(?:^|;)\s*mode-set\s*=\s*([0-7](?:\s*,\s*[0-7])*)\s*(?:;|$)", fmtp, re.IGNORECASE)
    return tuple(sorted({int(digit) for digit in re.findall("[0-7]", found[1])})) if found else MODES


class Amr:
    """AMR, `aligned` to octets or not. Raises ImportError where PyAV is not installed, or has no encoder for it.

    The object that hears a stream takes the far end's mode requests out of its payloads, for the one that speaks (`steer`).
    """

    payload_type = -1
    clock_rate = rate = SAMPLE_RATE
    frame_payload = 0
    remembers = True
    expect_loss = conceal = recover = resume = None

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
        self._modes = modes_for(fmtp)
        wishes = parameters(fmtp)
        self._period = 2 if wishes.get("mode-change-period") == 2 else 1  # modes change in every frame, or in every other
        self._neighbours = wishes.get("mode-change-neighbor") == 1
        self._mode = self._wanted = self._modes[-1]
        self._request = NO_REQUEST  # what we ask of the far end
        self._encoder.bit_rate = BIT_RATES[self._mode]
        self._sent = 0
        self._steered: Amr | None = None

    # --- out -------------------------------------------------------------------------------------------------------

    def encode(self, frames: bytes) -> bytes:
        """Return the payload for whole frames."""
        stored = [self._encode(frames[start:start + FRAME_BYTES]) for start in range(0, len(frames), FRAME_BYTES)]
        return _payload(stored, self._aligned, self._request) if all(stored) else b""

    def obey(self, request: int) -> None:
        """Take a mode request of the far end: it wants no better mode than this, or (15) has no preference any more.

        RFC 4867 4.3.1, erratum 4347. What is no mode is ignored; a mode that was not agreed on becomes the next slower one.
        """
        if request == NO_REQUEST:
            self._wanted = self._modes[-1]
        elif request in MODES:
            self._wanted = max((mode for mode in self._modes if mode <= request), default=self._modes[0])

    def _change_mode(self) -> None:
        """Go towards the mode that is wanted, as fast as the far end can follow (RFC 4867 8.1)."""
        if self._sent // FRAME_UNITS % self._period:
            return
        step = 1 if self._wanted > self._mode else -1
        self._mode = self._modes[self._modes.index(self._mode) + step] if self._neighbours else self._wanted
        self._encoder.bit_rate = BIT_RATES[self._mode]

    def ask(self, lost: float) -> None:
        """Be told how much of what the far end sends was lost of late: ask for a slower mode, or again for a better one."""
        at = self._modes.index(self._request) if self._request != NO_REQUEST else len(self._modes) - 1
        if lost >= LOSS_TO_SLOW_DOWN and at > 0:
            self._request = self._modes[at - 1]
        elif lost <= LOSS_TO_SPEED_UP and self._request != NO_REQUEST:
            # RFC 4867 4.3.1: who has no preference says so in all payloads.
            self._request = self._modes[at + 1] if at + 2 < len(self._modes) else NO_REQUEST

    def _encode(self, samples: bytes) -> bytes:
        if self._mode != self._wanted:
            self._change_mode()
        frame = self._av.AudioFrame(format="s16", layout="mono", samples=FRAME_UNITS)
        frame.sample_rate = SAMPLE_RATE
        frame.pts = self._sent
        frame.time_base = Fraction(1, SAMPLE_RATE)
        frame.planes[0].update(samples)
        self._sent += FRAME_UNITS
        return b"".join(bytes(packet) for packet in self._encoder.encode(frame))

    # --- in --------------------------------------------------------------------------------------------------------

    def steer(self, speaking: Codec) -> None:
        """Be told which codec speaks in this stream: the far end's mode requests are for that."""
        self._steered = speaking if isinstance(speaking, Amr) else None

    def units(self, payload: bytes) -> int:
        """Return the samples of a payload, 0 for one that is broken. Its mode request is obeyed."""
        count = len(_frames(payload, self._aligned))
        if count and self._steered is not None:
            self._steered.obey(payload[0] >> 4)
        return FRAME_UNITS * count

    def decode(self, payload: bytes) -> bytes:
        """Return the PCM; silence for what the library refuses."""
        return b"".join(self._decode(stored) for stored in _frames(payload, self._aligned))

    def _decode(self, stored: bytes) -> bytes:
        try:
            made = b"".join(bytes(frame.planes[0]) for frame in self._decoder.decode(self._av.Packet(stored)))
        except self._errors:
            made = b""
        return made[:FRAME_BYTES].ljust(FRAME_BYTES, b"\0")


def _payload(stored: list[bytes], aligned: bool, request: int) -> bytes:
    """Return frames as PyAV makes them (a header octet, then the speech) as a payload (RFC 4867 4.3, 4.4)."""
    last = len(stored) - 1
    # The header octet is 0 FT FT FT FT Q 0 0; a table of contents has F (more follow) in front, and the same behind it.
    contents = [frame[0] | 0x80 * (place < last) for place, frame in enumerate(stored)]
    if aligned:
        return bytes((request << 4, *contents)) + b"".join(frame[1:] for frame in stored)
    bits, count = request, 4
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

    take(8 if aligned else 4)  # the mode request
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
