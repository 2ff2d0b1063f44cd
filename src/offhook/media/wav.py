"""WAV files as bytes: reading the header, making 16-bit mono of what follows, and writing headers. No file is opened here."""

from __future__ import annotations

import math
import struct
import sys
from array import array
from dataclasses import dataclass
from functools import reduce
from typing import BinaryIO, Final, Literal

from offhook.errors import ParseError
from offhook.media import pcm

PCM, FLOAT, ALAW, ULAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_NAMES: Final = {2: "Microsoft ADPCM", 17: "IMA ADPCM", 49: "GSM 6.10", 64: "G.726", 85: "MP3"}
CONVERT: Final = "which is not played: convert it, as with `ffmpeg -i FILE -c:a pcm_s16le new.wav`"
"""What to do with a file that cannot be played."""
# (format tag, bits a sample) this program reads
READABLE: Final = frozenset(
    {(PCM, 8), (PCM, 16), (PCM, 24), (PCM, 32), (FLOAT, 32), (FLOAT, 64), (ALAW, 8), (ULAW, 8)}
)
HEADER_BYTES: Final = 44
MAX_DATA_BYTES: Final = 0xFFFFFFFF - HEADER_BYTES  # sizes in the header have 32 bits
UNKNOWN_SIZE: Final = 0xFFFFFFFF  # written by ffmpeg when it streams into a pipe; in RF64 the size stands elsewhere
PIPED_SIZE: Final = 0x7FFFF000
"""The same, by sox and espeak-ng; sox makes it whole frames."""
ENDLESS_SIZES: Final = frozenset({UNKNOWN_SIZE, PIPED_SIZE, 0x7FFFFF00, 0x80000000})
"""All of these; the last two by arecord."""
MAX_CHUNKS: Final = 1_000
MAX_CHANNELS: Final = 64
MAX_RATE: Final = 384_000
MIN_RATE: Final = 1_000


@dataclass(frozen=True, slots=True)
class WavFormat:
    """What the header says: `tag` (PCM, FLOAT, ALAW, ULAW), samples a second, and where the audio lies in the file (bytes)."""

    tag: int
    channels: int
    rate: int
    bits: int
    start: int
    length: int

    @property
    def frame_bytes(self) -> int:
        """Return the bytes of one sample of all channels."""
        return self.channels * self.bits // 8

    @property
    def duration_ms(self) -> int:
        """Return the length in milliseconds."""
        return self.length // self.frame_bytes * 1000 // self.rate


def read_header(file: BinaryIO, size: int) -> WavFormat:
    """Read the header of a file of `size` bytes; afterwards the file stands anywhere.

    Raises ParseError if it is no WAV file, its header does not fit the file, or the encoding cannot be read.
    """
    riff = file.read(12)
    if not is_wav(riff):
        raise ParseError("not a WAV file")
    found: tuple[int, int, int, int] | None = None
    long_size = 0
    place = 12
    for _ in range(MAX_CHUNKS):
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            break
        name, length = struct.unpack("<4sI", head)
        if name == b"data":
            if found is None:
                raise ParseError("WAV file: audio before its format")
            if length == UNKNOWN_SIZE and long_size:
                length = long_size
            elif not length and int.from_bytes(riff[4:8], "little") != size - 8:
                length = UNKNOWN_SIZE  # who wrote the header did not know how long the file was to be
            return _located(found, place + 8, length, size)
        if place + 8 + length > size:
            raise ParseError("WAV file: a chunk is longer than the file")
        if name == b"fmt ":
            found = _format(file.read(min(length, 40)))
        elif name == b"ds64" and length >= 16:
            long_size = int.from_bytes(file.read(16)[8:], "little")  # EBU Tech 3306: sizes of RIFF and data, in 64 bits
        place += 8 + length + length % 2  # chunks are padded to even lengths
    raise ParseError("WAV file without audio")


def is_wav(head: bytes) -> bool:
    """Tell whether a file that begins with these 12 bytes says that it is WAV: RIFF, or RF64 for what is longer than 4 GB."""
    return head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE"


def _format(text: bytes) -> tuple[int, int, int, int]:
    if len(text) < 16:
        raise ParseError("WAV file: format chunk too short")
    tag, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", text)
    if tag == EXTENSIBLE:
        if len(text) < 26:
            raise ParseError("WAV file: format chunk too short")
        (tag,) = struct.unpack_from("<H", text, 24)
    if (tag, bits) not in READABLE:
        width = f" with {bits} bits" if bits else ""  # GSM has none
        raise ParseError(f"WAV file in {_NAMES.get(tag, f'encoding {tag}')}{width}, {CONVERT}")
    if not 1 <= channels <= MAX_CHANNELS or not MIN_RATE <= rate <= MAX_RATE or block != channels * bits // 8:
        raise ParseError("WAV file: impossible channels, rate or block size")
    return tag, channels, rate, bits


def _located(found: tuple[int, int, int, int], start: int, length: int, size: int) -> WavFormat:
    tag, channels, rate, bits = found
    frame = channels * bits // 8
    if length in ENDLESS_SIZES or length == PIPED_SIZE - PIPED_SIZE % frame:
        length = min(length, size - start)
    if start + length > size:
        raise ParseError("WAV file: the header promises more audio than the file holds")
    return WavFormat(tag, channels, rate, bits, start, length - length % frame)


def to_mono(form: WavFormat, data: bytes) -> bytes:
    """Return whole sample frames of the file as 16-bit mono at the file's rate; channels are averaged."""
    samples = _to_16_bit(form, data)
    if form.channels == 1:
        return samples
    values = array("h", samples)
    share = 1.0 / form.channels
    parts = [pcm.scale(values[channel::form.channels].tobytes(), share) for channel in range(form.channels)]
    return reduce(pcm.add, parts)


def _to_16_bit(form: WavFormat, data: bytes) -> bytes:
    if form.tag == ALAW:
        return pcm.alaw_to_linear(data)
    if form.tag == ULAW:
        return pcm.ulaw_to_linear(data)
    if form.tag == FLOAT:
        return _floats(data, "f" if form.bits == 32 else "d")
    return data if form.bits == 16 else pcm.to_16_bit(data, form.bits // 8)


def _floats(data: bytes, code: Literal["f", "d"]) -> bytes:
    values = array(code, data)
    if sys.byteorder == "big":
        values.byteswap()
    samples = array("h", (_clipped(value) for value in values))
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tobytes()


def _clipped(value: float) -> int:
    # Not-a-number has no place in a sound and no meaning as one.
    return 0 if math.isnan(value) else int(max(-32768.0, min(32767.0, value * 32768.0)))


def header(channels: int, rate: int, data_bytes: int) -> bytes:
    """Return the 44 bytes before `data_bytes` of 16-bit PCM."""
    block = 2 * channels
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, PCM, channels, rate, rate * block, block, 16)
    return b"RIFF" + struct.pack("<I", 36 + data_bytes) + b"WAVE" + form + b"data" + struct.pack("<I", data_bytes)


def interleave(left: bytes, right: bytes) -> bytes:
    """Return two mono pieces of equal length as stereo."""
    both = array("h", bytes(2 * len(left)))
    both[0::2] = array("h", left)
    both[1::2] = array("h", right)
    return both.tobytes()
