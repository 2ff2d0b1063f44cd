"""WAV headers and samples: every readable encoding becomes the same sound, every lie is refused."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import ParseError
from offhook.media import pcm, wav


def build(
    tag: int, channels: int, rate: int, bits: int, data: bytes, *, extra: bytes = b"", claimed: int | None = None
) -> bytes:
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", tag, channels, rate, rate * block, block, bits) + extra
    chunks = b"fmt " + struct.pack("<I", len(form)) + form
    chunks += b"data" + struct.pack("<I", len(data) if claimed is None else claimed) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def opened(text: bytes) -> wav.WavFormat:
    return wav.read_header(io.BytesIO(text), len(text))


VALUES = (0, 8192, -8192, 16384, -32768)


@pytest.mark.parametrize(
    ("tag", "bits", "data"),
    [
        (wav.PCM, 8, bytes((value >> 8) + 128 for value in VALUES)),
        (wav.PCM, 16, struct.pack("<5h", *VALUES)),
        (wav.PCM, 24, b"".join(struct.pack("<i", value << 8)[:3] for value in VALUES)),
        (wav.PCM, 32, struct.pack("<5i", *(value << 16 for value in VALUES))),
        (wav.FLOAT, 32, struct.pack("<5f", *(value / 32768 for value in VALUES))),
        (wav.FLOAT, 64, struct.pack("<5d", *(value / 32768 for value in VALUES))),
    ],
)
def test_every_encoding_is_the_same_sound(tag: int, bits: int, data: bytes) -> None:
    form = opened(build(tag, 1, 8000, bits, data))
    assert wav.to_mono(form, data) == struct.pack("<5h", *VALUES)


def test_g711() -> None:
    assert wav.to_mono(opened(build(wav.ULAW, 1, 8000, 8, b"\x10")), b"\x10") == pcm.ulaw_to_linear(b"\x10")
    assert wav.to_mono(opened(build(wav.ALAW, 1, 8000, 8, b"\x10")), b"\x10") == pcm.alaw_to_linear(b"\x10")


def test_wild_floats_are_tamed() -> None:
    data = struct.pack("<4f", 9.0, -9.0, float("nan"), float("inf"))
    samples = wav.to_mono(opened(build(wav.FLOAT, 1, 8000, 32, data)), data)
    assert struct.unpack("<4h", samples) == (32767, -32768, 0, 32767)


@pytest.mark.parametrize("channels", [2, 3, 6])
def test_channels_are_averaged(channels: int) -> None:
    data = struct.pack(f"<{channels}h", *([6000] + [0] * (channels - 1)))
    (sample,) = struct.unpack("<h", wav.to_mono(opened(build(wav.PCM, channels, 8000, 16, data)), data))
    assert abs(sample - 6000 // channels) <= channels


def test_own_header_is_read_back() -> None:
    form = opened(wav.header(2, 8000, 64) + bytes(64))
    assert form == wav.WavFormat(wav.PCM, 2, 8000, 16, 44, 64)
    assert struct.unpack_from("<IIH", wav.header(2, 8000, 64), 24) == (8000, 32_000, 4), "bytes a second, and of all channels"
    assert opened(wav.header(1, 8000, 16_000) + bytes(16_000)).duration_ms == 1000


def test_extensible_and_other_chunks() -> None:
    extra = struct.pack("<HHIH", 22, 16, 0, wav.PCM) + bytes(14)
    text = build(wav.EXTENSIBLE, 1, 16000, 16, b"\1\2", extra=extra)
    assert opened(text).tag == wav.PCM
    padded = text[:12] + b"LIST\x03\0\0\0abc\0" + text[12:]
    assert opened(padded).start == opened(text).start + 12


@pytest.mark.parametrize("claimed", [0xFFFFFFFF, 0x7FFFF000, 0x7FFFFF00, 0x80000000])  # ffmpeg, sox and espeak-ng, arecord
def test_size_unknown_goes_to_the_end(claimed: int) -> None:
    assert opened(build(wav.PCM, 1, 8000, 16, bytes(100), claimed=claimed)).length == 100


@pytest.mark.parametrize("riff", [0, 36, 0xFFFFFFFF])
def test_a_header_that_was_never_completed(riff: int) -> None:
    text = build(wav.PCM, 1, 8000, 16, bytes(100), claimed=0)
    assert opened(text[:4] + struct.pack("<I", riff) + text[8:]).length == 100


def test_what_is_known_to_be_empty_is_empty() -> None:
    assert opened(build(wav.PCM, 1, 8000, 16, b"")).length == 0
    # The whole is as long as it says, so nobody streamed it.
    assert opened(build(wav.PCM, 1, 8000, 16, b"LIST\x04\0\0\0abcd", claimed=0)).length == 0


@pytest.mark.parametrize("name", [b"RF64", b"BW64"])
def test_the_long_form(name: bytes) -> None:
    def file(promised: int) -> bytes:
        sizes = b"ds64" + struct.pack("<IQQQI", 28, 0, promised, 50, 0)
        return name + b"\xff\xff\xff\xffWAVE" + sizes + text[12:]

    text = build(wav.PCM, 1, 8000, 16, bytes(100) + b"LIST\x04\0\0\0abcd", claimed=0xFFFFFFFF)
    assert opened(file(100)).length == 100
    with pytest.raises(ParseError):
        opened(file(101 << 32))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"RIFF\0\0\0\0WAVE",
        b"RIFX" + bytes(100),
        build(wav.PCM, 1, 8000, 16, bytes(10), claimed=11),
        build(wav.PCM, 1, 8000, 16, bytes(10), claimed=0x7FFFFFFF),
        build(wav.PCM, 0, 8000, 16, bytes(10)),
        build(wav.PCM, 1, 0, 16, bytes(10)),
        build(wav.PCM, 1, 400_000, 16, bytes(10)),
        build(wav.PCM, 1, 8000, 12, bytes(10)),
        build(2, 1, 8000, 16, bytes(10)),
        b"RIFF\0\0\0\0WAVEdata\0\0\0\0",
        b"RIFF\0\0\0\0WAVEfmt \x04\0\0\0abcd",
        b"RIFF\0\0\0\0WAVELIST\xff\xff\xff\x7fabcd",
    ],
)
def test_lies_are_refused(text: bytes) -> None:
    with pytest.raises(ParseError):
        opened(text)


@given(st.integers(0, 43), st.binary(min_size=1, max_size=4))
def test_damaged_headers(place: int, damage: bytes) -> None:
    text = build(wav.PCM, 2, 44100, 16, bytes(40))
    text = text[:place] + damage + text[place + len(damage):]
    try:
        form = opened(text)
    except ParseError:
        return
    data = text[form.start:form.start + form.length]
    assert len(data) == form.length
    assert len(wav.to_mono(form, data)) == 2 * (form.length // form.frame_bytes)


def test_interleave() -> None:
    assert wav.interleave(b"aabb", b"ccdd") == b"aaccbbdd"


@pytest.mark.parametrize(("tag", "name"), [(2, "Microsoft ADPCM"), (17, "IMA ADPCM"), (49, "GSM 6.10"), (999, "encoding 999")])
def test_what_cannot_be_played_says_what_to_do(tag: int, name: str) -> None:
    with pytest.raises(ParseError, match=f"{name} with 4 bits, which is not played: convert it, as with `ffmpeg"):
        opened(build(tag, 1, 8000, 4, bytes(64)))


def test_what_has_no_bits_is_not_said_to_have_some() -> None:
    with pytest.raises(ParseError, match=r"WAV file in GSM 6\.10, which is not played"):
        opened(build(49, 1, 8000, 0, bytes(65)))
