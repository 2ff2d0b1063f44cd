"""What kind of sound file some first bytes begin, and at which rate it plays: WAV, FLAC, Ogg (Vorbis or Opus), MP3."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from msgspec import Struct

from offhook.errors import ParseError
from offhook.media.wav import CONVERT, MAX_CHANNELS, MAX_RATE, MIN_RATE, is_wav

ContainerKind: TypeAlias = Literal["wav", "flac", "vorbis", "opus", "mp3"]

ENOUGH: Final = 12
"""Bytes that tell whether it is a sound file at all."""
HEAD_BYTES: Final = 4096
"""Bytes in which the rate stands, behind any ID3v2 tag."""
MAX_TAG: Final = 16 * 1024 * 1024
"""Bytes of an ID3v2 tag: a big picture, and then some."""

_OTHERS: Final = (
    (0, b"riff", "a Wave64 file"), (0, b"FORM", "an AIFF file"), (0, b"#!AMR", "an AMR file"), (0, b".snd", "an AU file"),
    (4, b"ftyp", "an MP4 or M4A file"), (0, b"0&\xb2u", "a WMA file"),
)  # fmt: skip
"""Where and by what files are known that are sound as well, and that telephone systems and voice recorders write."""

# ISO/IEC 11172-3 and 13818-3: kbit/s of layer III by version (1; 2 and 2.5), Hz by version and index.
_MP3_RATES: Final = {0b11: (44100, 48000, 32000), 0b10: (22050, 24000, 16000), 0b00: (11025, 12000, 8000)}
_MP3_KBITS: Final = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


class Container(Struct, frozen=True):
    """A sound file: its kind, samples a second, channels, and how many samples it promises (0: it does not say)."""

    kind: ContainerKind
    rate: int
    channels: int
    samples: int = 0


def is_sound(head: bytes) -> bool:
    """Tell whether a file that begins with these (`ENOUGH`) bytes may be one of those that can be played."""
    return is_wav(head) or head[:4] in (b"fLaC", b"OggS") or head[:3] == b"ID3" or _is_mp3_frame(head)


def tag_bytes(head: bytes) -> int:
    """Return how long the ID3v2 tag is that the file begins with, 0 if there is none. Raises ParseError for an absurd one."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    size = 0
    for octet in head[6:10]:
        size = size << 7 | octet & 0x7F
    if size > MAX_TAG:
        raise ParseError("sound file: its tag is longer than 16 MB")
    return size + (20 if head[5] & 0x10 else 10)


def look(head: bytes) -> Container:
    """Return what file begins with these bytes (`HEAD_BYTES`, without any tag); raises ParseError."""
    if head[:4] == b"RIFF" or is_wav(head):
        return Container("wav", 0, 0)  # `media.wav` reads the rest
    if head[:4] == b"fLaC":
        return _flac(head)
    if head[:4] == b"OggS":
        return _ogg(head)
    if (place := _mp3_start(head)) >= 0:
        return _mp3(head[place:])
    for place, mark, name in _OTHERS:
        if head[place : place + len(mark)] == mark:
            raise ParseError(f"{name}, {CONVERT}")
    raise ParseError("not a WAV, FLAC, Ogg or MP3 file")


def _checked(found: Container) -> Container:
    if not 1 <= found.channels <= MAX_CHANNELS or not MIN_RATE <= found.rate <= MAX_RATE:
        raise ParseError(f"{found.kind} file: impossible channels or rate")
    return found


def _flac(head: bytes) -> Container:
    # RFC 9639 8.2: the first block is STREAMINFO; rate 20 bits, channels 3, bits a sample 5, samples 36.
    if len(head) < 42 or head[4] & 0x7F:
        raise ParseError("FLAC file: it begins without its description")
    bits = int.from_bytes(head[18:26], "big")
    return _checked(Container("flac", bits >> 44, (bits >> 41 & 7) + 1, bits & 0xFFFFFFFFF))


def _ogg(head: bytes) -> Container:
    # RFC 3533 6: 27 bytes, a table of segments, then the first packet.
    if len(head) < 28:
        raise ParseError("Ogg file: too short")
    packet = head[27 + head[26] :]
    if packet[:8] == b"OpusHead" and len(packet) >= 19:
        return _checked(Container("opus", 48000, packet[9]))
    if packet[:7] == b"\x01vorbis" and len(packet) >= 30:
        return _checked(Container("vorbis", int.from_bytes(packet[12:16], "little"), packet[11]))
    raise ParseError("Ogg file: it holds neither Vorbis nor Opus")


def _is_mp3_frame(head: bytes) -> bool:
    """Tell whether a header of layer III stands here."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return False
    return head[1] >> 3 & 3 in _MP3_RATES and head[2] >> 4 not in (0, 15) and head[2] >> 2 & 3 != 3


def _mp3_start(head: bytes) -> int:
    """Return where the first two frames follow each other, -1 if nowhere: two bytes of chance are soon found."""
    place = head.find(b"\xff")
    while 0 <= place < len(head) - 4:
        if _is_mp3_frame(head[place:]):
            following = place + _mp3_frame_bytes(head[place:])
            if following + 4 > len(head) or _is_mp3_frame(head[following:]):
                return place
        place = head.find(b"\xff", place + 1)
    return -1


def _mp3_frame_bytes(head: bytes) -> int:
    first = head[1] >> 3 & 3 == 0b11
    kbits = _MP3_KBITS[first][head[2] >> 4]
    return (144 if first else 72) * kbits * 1000 // _MP3_RATES[head[1] >> 3 & 3][head[2] >> 2 & 3] + (head[2] >> 1 & 1)


def _mp3(head: bytes) -> Container:
    return _checked(Container("mp3", _MP3_RATES[head[1] >> 3 & 3][head[2] >> 2 & 3], 1 if head[3] >> 6 == 3 else 2))
