"""Sound files as sources: whatever their format, complete, never blocking, honest about trouble."""

from __future__ import annotations

import math
import os
import struct
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offhook.errors import OffhookError, ParseError, SetupError, reason_of
from offhook.io.audio import reading
from offhook.io.audio.reading import open_source
from offhook.media import wav
from offhook.media.sources import FRAME_BYTES, SILENCE, Source
from offhook.media.tones import tone_source
from offhook.testing import ears

LIMIT = 20_000
BEHIND = 0.001
"""Seconds in which the reader thread has the processor for itself; asking without a rest takes it away from it."""


def tone(duration_ms: int, frequency: float = 440.0) -> list[bytes]:
    return list(iter(tone_source((frequency,), duration_ms).read, None))


def write(path: Path, audio: bytes, rate: int = 8000, channels: int = 1) -> str:
    path.write_bytes(wav.header(channels, rate, len(audio)) + audio)
    return str(path)


def drain(source: Source) -> list[bytes]:
    """Read to the end; silence only means that the reader thread is behind (no file here is silent): it is let work."""
    frames: list[bytes] = []
    for _ in range(LIMIT):
        frame = source.read()
        if frame is None:
            return frames
        if frame != SILENCE:
            frames.append(frame)
        else:
            time.sleep(BEHIND)
    raise AssertionError("no end")


def test_short_file(tmp_path: Path) -> None:
    frames = tone(100)
    source = open_source(write(tmp_path / "a.wav", b"".join(frames)), loop=False)
    assert drain(source) == frames
    assert source.read() is None


def test_long_file_comes_whole_and_in_order(tmp_path: Path) -> None:
    frames = [struct.pack("<160h", *([number + 1] * 160)) for number in range(1_500)]
    assert drain(open_source(write(tmp_path / "a.wav", b"".join(frames)), loop=False)) == frames


def test_last_frame_is_padded(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "a.wav", b"\1\1" * 161), loop=False)
    assert drain(source) == [b"\1\1" * 160, b"\1\1" + bytes(FRAME_BYTES - 2)]


def test_other_rate_and_channels(tmp_path: Path) -> None:
    mono = b"".join(tone(1000, 880.0))
    path = write(tmp_path / "a.wav", wav.interleave(mono, mono), rate=16_000, channels=2)
    audio = b"".join(drain(open_source(path, loop=False)))
    assert abs(len(audio) - len(mono) // 2) <= FRAME_BYTES
    assert abs(ears.dominant_frequency(audio) - 1760) < 5


def test_loop_and_gain(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "a.wav", struct.pack("<h", 1000) * 320), loop=True, gain_db=-20.0)
    frames = [source.read() for _ in range(10)]
    assert set(frames) == {struct.pack("<h", 100) * 160}
    source.close()
    assert source.read() is None


def test_empty_file_loops_to_its_end(tmp_path: Path) -> None:
    assert open_source(write(tmp_path / "a.wav", b""), loop=True).read() is None


def test_what_cannot_be_played(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_source(str(tmp_path / "none.wav"), loop=False)
    with pytest.raises(OSError):
        open_source(str(tmp_path), loop=False)
    liar = tmp_path / "liar.wav"
    liar.write_bytes(wav.header(1, 8000, 10_000) + bytes(10))
    with pytest.raises(ParseError):
        open_source(str(liar), loop=False)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes have names in the file system on POSIX")
@pytest.mark.parametrize("kind", ["pipe", "terminal", "device", "descriptor"])
def test_only_files_are_played(tmp_path: Path, kind: str) -> None:
    """A pipe would never end, and what comes by a descriptor of ours is not for the ear."""
    os.mkfifo(tmp_path / "pipe.wav")
    descriptors = os.pipe()
    path = {
        "pipe": str(tmp_path / "pipe.wav"),
        "terminal": "/dev/ptmx",
        "device": "/dev/zero",
        "descriptor": f"/dev/fd/{descriptors[0]}",
    }[kind]
    os.write(descriptors[1], b"for somebody else")
    try:
        with pytest.raises(OSError, match="not a file") as raised:
            open_source(path, loop=False)
        assert reason_of(raised.value) == f"{path}: not a file"
        assert os.read(descriptors[0], 100) == b"for somebody else"
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def test_closing_ends_the_reader(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "a.wav", b"\1\1" * 160_000), loop=True)
    reader = next(thread for thread in threading.enumerate() if thread.name == "offhook-sound-reader")
    source.close()
    reader.join(5)
    assert not reader.is_alive()


def encoded(path: Path, kind: str, subtype: str, rate: int = 16_000, channels: int = 1, seconds: float = 2.0) -> Path:
    """Write a tone of 880 Hz in another format."""
    soundfile = pytest.importorskip("soundfile", reason="needs the extra `recording`")
    import numpy

    samples = (9000 * numpy.sin(math.tau * 880 * numpy.arange(int(rate * seconds)) / rate)).astype(numpy.int16)
    shown = samples / numpy.float32(32768) if subtype == "FLOAT" else samples
    soundfile.write(str(path), numpy.repeat(shown[:, None], channels, 1), rate, subtype, format=kind)
    return path


FORMATS = [
    ("FLAC", "PCM_16", 16_000), ("FLAC", "PCM_24", 44_100), ("MP3", "MPEG_LAYER_III", 44_100), ("MP3", "MPEG_LAYER_III", 8_000),
    ("OGG", "VORBIS", 22_050), ("OGG", "OPUS", 48_000), ("WAV", "PCM_24", 96_000), ("WAV", "FLOAT", 11_025),
    ("WAV", "ULAW", 8_000),
]  # fmt: skip


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8_000, 16_000])
@pytest.mark.parametrize(("kind", "subtype", "its_rate"), FORMATS)
def test_every_format(tmp_path: Path, kind: str, subtype: str, its_rate: int, rate: int, channels: int) -> None:
    path = encoded(tmp_path / "a.sound", kind, subtype, its_rate, channels)
    source = open_source(str(path), loop=False, rate=rate)
    audio = b"".join(drain(source))
    assert abs(len(audio) / 2 / rate - 2.0) < 0.13  # MP3 begins with some silence
    middle = audio[len(audio) // 4 : len(audio) // 2]
    assert abs(ears.dominant_frequency(middle, rate) - 880) < 4
    loss = 4.0 if kind == "MP3" and channels == 2 else 1.0  # joint stereo is of no use to a lone tone
    assert abs(ears.level_dbfs(middle) - 20 * math.log10(9000 / 32767)) < loss


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("kind", "subtype"), [("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS"), ("OGG", "OPUS")])
def test_what_is_as_loud_as_can_be_does_not_turn_over(tmp_path: Path, kind: str, subtype: str, channels: int) -> None:
    """Such a codec returns peaks that are higher than those it was given."""
    soundfile = pytest.importorskip("soundfile", reason="needs the extra `recording`")
    import numpy

    wave = numpy.where(numpy.arange(48_000) % 240 < 120, 32767, -32768).astype("int16")  # 200 Hz
    soundfile.write(str(tmp_path / "a.sound"), numpy.repeat(wave[:, None], channels, 1), 48_000, subtype, format=kind)
    heard = numpy.frombuffer(b"".join(drain(open_source(str(tmp_path / "a.sound"), loop=False, rate=48_000))), "<i2")
    assert numpy.sum(numpy.abs(numpy.diff(heard.astype(int))) > 30_000) <= 410, "no more steps than the wave has"


@pytest.mark.parametrize(("kind", "subtype"), [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS")])
def test_a_loop_begins_again(tmp_path: Path, kind: str, subtype: str) -> None:
    source = open_source(str(encoded(tmp_path / "a.sound", kind, subtype, seconds=0.3)), loop=True)
    heard = 0
    for _ in range(LIMIT):
        frame = source.read()
        assert frame is not None
        heard += frame != SILENCE
        if heard > 100:
            break
        if frame == SILENCE:
            time.sleep(BEHIND)
    source.close()
    assert heard > 100


def failure(path: Path) -> str:
    """Return why a file cannot be played to its end, "" if it can."""
    try:
        source = open_source(str(path), loop=False)
    except (OSError, OffhookError) as error:
        return str(error)
    drain(source)
    return str(getattr(source, "error", ""))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.5, 0.9])
@pytest.mark.parametrize(("kind", "subtype"), [("FLAC", "PCM_16"), ("WAV", "PCM_16")])
def test_files_that_break_off_say_so(tmp_path: Path, kind: str, subtype: str, share: float) -> None:
    path = encoded(tmp_path / "a.sound", kind, subtype)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert failure(path)


def test_what_a_killed_phone_left_is_played(tmp_path: Path) -> None:
    """A FLAC file whose encoder never came back to write how long it is."""
    path = encoded(tmp_path / "a.flac", "FLAC", "PCM_16")
    whole = bytearray(path.read_bytes())
    whole[21] &= 0xF0
    whole[22:26] = bytes(4)
    path.write_bytes(whole[: len(whole) * 3 // 4])
    assert failure(path) == ""


@pytest.mark.parametrize("claim", [10 * 1000**3, 0xFFFFFFFE])
def test_headers_that_lie_about_the_length(tmp_path: Path, claim: int) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav.header(1, 8000, 320)[:40] + struct.pack("<I", claim & 0xFFFFFFFF) + bytes(320))
    assert "promises more" in failure(path)


@pytest.mark.parametrize("head", [
    b"", b"R", b"fLaC", b"fLaC" + bytes(60), b"OggS" + bytes(60), b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f", b"\xff\xfb\x90\x00",
    b"GIF89a" + bytes(100), b"fLaC\x00\x00\x00\x22" + b"\xff" * 34, b"RIFF\xff\xff\xff\xffWAVE" + b"\xff" * 40,
])  # fmt: skip
def test_what_is_no_sound_file(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "a.sound"
    path.write_bytes(head)
    assert failure(path)


@pytest.mark.lengthy
@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["FLAC", "MP3", "OGG"]), st.data())
def test_damage_is_survived(tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    subtype = {"FLAC": "PCM_16", "MP3": "MPEG_LAYER_III", "OGG": "VORBIS"}[kind]
    path = encoded(folder / "a.sound", kind, subtype, 8_000, seconds=0.5)
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole)
    failure(path)  # whatever it says: it ends, and raises nothing else


def test_without_a_decoder_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encoded(tmp_path / "a.mp3", "MP3", "MPEG_LAYER_III")

    def missing(*_: object) -> None:
        raise ImportError

    monkeypatch.setattr(reading, "_MiniaudioSamples", missing)
    assert failure(path) == ""  # soundfile can, too
    monkeypatch.setattr(reading, "_SoundfileSamples", missing)
    with pytest.raises(SetupError, match=r"offhook\[recording\]"):
        open_source(str(path), loop=False)


def test_noise_before_the_first_frame_of_an_mp3_is_passed_over(tmp_path: Path) -> None:
    path = encoded(tmp_path / "a.mp3", "MP3", "MPEG_LAYER_III")
    tag = b"ID3\x03\x00\x00" + bytes((0, 0, 2, 0)) + b"T" * 256
    path.write_bytes(tag + path.read_bytes())
    assert failure(path) == ""
