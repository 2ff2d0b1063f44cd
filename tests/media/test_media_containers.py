"""What kind of sound file some bytes begin; whatever the bytes are, the answer is one or a ParseError."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import ParseError
from offhook.media.containers import Container, is_sound, look, tag_bytes

FLAC = b"fLaC\x00\x00\x00\x22" + bytes(10) + ((44100 << 44 | 1 << 41 | 15 << 36 | 88200).to_bytes(8, "big")) + bytes(16)
OPUS = b"OggS" + bytes(22) + b"\x01\x13" + b"OpusHead\x01\x02" + bytes(9)
VORBIS = b"OggS" + bytes(22) + b"\x01\x1e" + b"\x01vorbis" + bytes(4) + b"\x01" + (22050).to_bytes(4, "little") + bytes(14)
MP3 = (b"\xff\xfb\x90\x44" + bytes(413)) * 2  # 128 kbit/s, 44.1 kHz, joint stereo: 417 bytes a frame


@pytest.mark.parametrize(("head", "expected"), [
    (FLAC, Container("flac", 44100, 2, 88200)), (OPUS, Container("opus", 48000, 2)), (VORBIS, Container("vorbis", 22050, 1)),
    (MP3, Container("mp3", 44100, 2)), (b"\x00junk" + MP3, Container("mp3", 44100, 2)), (b"RIFF", Container("wav", 0, 0)),
])  # fmt: skip
def test_kinds(head: bytes, expected: Container) -> None:
    assert look(head) == expected


@pytest.mark.parametrize("head", [FLAC, OPUS, VORBIS, MP3, b"RIFF\0\0\0\0WAVE", b"ID3\4\0\0\0\0\0\0"])
def test_is_sound(head: bytes) -> None:
    assert is_sound(head[:12])
    assert not is_sound(b"<html>" + head)


@pytest.mark.parametrize("head", [
    b"", b"RIF", b"fLaC", FLAC[:41], b"fLaC\x04" + FLAC[5:], FLAC[:18] + bytes(24), OPUS[:30],
    OPUS.replace(b"Head\x01\x02", b"Head\x01\0"),
    b"OggS" + bytes(60), b"\xff" * 500, b"GIF89a",
])  # fmt: skip
def test_what_is_none(head: bytes) -> None:
    with pytest.raises(ParseError):
        look(head)


def test_tags() -> None:
    assert tag_bytes(b"ID3\4\0\0" + bytes((0, 0, 2, 1)) + b"rest") == 257 + 10
    assert tag_bytes(b"ID3\4\0\x10" + bytes((0, 0, 0, 5))) == 5 + 20
    assert tag_bytes(MP3) == 0
    with pytest.raises(ParseError):
        tag_bytes(b"ID3\4\0\0\x7f\x7f\x7f\x7f")


@given(st.sampled_from([b"", b"RIFF", b"fLaC", b"OggS", b"ID3", b"\xff\xfb", FLAC, OPUS, VORBIS, MP3]), st.binary(max_size=200))
def test_any_bytes(start: bytes, rest: bytes) -> None:
    head = start + rest
    is_sound(head[:12])
    try:
        tag_bytes(head)
        found = look(head)
    except ParseError:
        return
    assert found.kind == "wav" or found.rate >= 1000


@pytest.mark.parametrize(("head", "name"), [
    (b"riff.\x91\xcf\x11\xa5\xd6(\xdb", "a Wave64 file"), (b"FORM\0\0\0\0AIFF", "an AIFF file"),
    (b"\0\0\0 ftypM4A ", "an MP4 or M4A file"), (b"0&\xb2u\x8ef\xcf\x11\xa6\xd9\0\xaa", "a WMA file"),
])
def test_other_sound_files_are_named(head: bytes, name: str) -> None:
    with pytest.raises(ParseError, match=f"{name}, which is not played: convert it, as with `ffmpeg"):
        look(head)
