"""WAV files as sources and recordings: complete, never blocking, honest about trouble."""

from __future__ import annotations

import struct
import threading
from pathlib import Path

import pytest

from offhook.errors import ParseError
from offhook.io.audio import files
from offhook.io.audio.files import FileCard, open_wav_recorder, open_wav_source
from offhook.media import wav
from offhook.media.sources import FRAME_BYTES, SILENCE, Source
from offhook.media.tones import tone_source
from offhook.testing import ears

LIMIT = 20_000_000


def tone(duration_ms: int, frequency: float = 440.0) -> list[bytes]:
    return list(iter(tone_source((frequency,), duration_ms).read, None))


def write(path: Path, audio: bytes, rate: int = 8000, channels: int = 1) -> str:
    path.write_bytes(wav.header(channels, rate, len(audio)) + audio)
    return str(path)


def drain(source: Source) -> list[bytes]:
    """Read to the end; silence only means that the reader thread is behind (the files here are never silent)."""
    frames: list[bytes] = []
    for _ in range(LIMIT):
        frame = source.read()
        if frame is None:
            return frames
        if frame != SILENCE:
            frames.append(frame)
    raise AssertionError("no end")


def test_short_file(tmp_path: Path) -> None:
    frames = tone(100)
    source = open_wav_source(write(tmp_path / "a.wav", b"".join(frames)), loop=False)
    assert drain(source) == frames
    assert source.read() is None


def test_long_file_comes_whole_and_in_order(tmp_path: Path) -> None:
    frames = [struct.pack("<160h", *([number + 1] * 160)) for number in range(1_500)]
    assert drain(open_wav_source(write(tmp_path / "a.wav", b"".join(frames)), loop=False)) == frames


def test_last_frame_is_padded(tmp_path: Path) -> None:
    source = open_wav_source(write(tmp_path / "a.wav", b"\1\1" * 161), loop=False)
    assert drain(source) == [b"\1\1" * 160, b"\1\1" + bytes(FRAME_BYTES - 2)]


def test_other_rate_and_channels(tmp_path: Path) -> None:
    mono = b"".join(tone(1000, 880.0))
    path = write(tmp_path / "a.wav", wav.interleave(mono, mono), rate=16_000, channels=2)
    audio = b"".join(drain(open_wav_source(path, loop=False)))
    assert abs(len(audio) - len(mono) // 2) <= FRAME_BYTES
    assert abs(ears.dominant_frequency(audio) - 1760) < 5


def test_loop_and_gain(tmp_path: Path) -> None:
    source = open_wav_source(write(tmp_path / "a.wav", struct.pack("<h", 1000) * 320), loop=True, gain_db=-20.0)
    frames = [source.read() for _ in range(10)]
    assert set(frames) == {struct.pack("<h", 100) * 160}
    source.close()
    assert source.read() is None


def test_empty_file_loops_to_its_end(tmp_path: Path) -> None:
    assert open_wav_source(write(tmp_path / "a.wav", b""), loop=True).read() is None


def test_what_cannot_be_played(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_wav_source(str(tmp_path / "none.wav"), loop=False)
    with pytest.raises(OSError):
        open_wav_source(str(tmp_path), loop=False)
    liar = tmp_path / "liar.wav"
    liar.write_bytes(wav.header(1, 8000, 10_000) + bytes(10))
    with pytest.raises(ParseError):
        open_wav_source(str(liar), loop=False)


def test_closing_ends_the_reader(tmp_path: Path) -> None:
    source = open_wav_source(write(tmp_path / "a.wav", b"\1\1" * 160_000), loop=True)
    reader = next(thread for thread in threading.enumerate() if thread.name == "offhook-wav-reader")
    source.close()
    reader.join(5)
    assert not reader.is_alive()


def test_stereo_recording(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    recorder = open_wav_recorder(str(path), "stereo")
    for near, far in zip(tone(500, 440.0), tone(500, 900.0), strict=True):
        recorder.write(near, far)
    recorder.close()
    recorder.close()
    recorder.write(SILENCE, SILENCE)
    heard = ears.read_wav(path)
    assert heard.duration_ms == 500
    assert [round(ears.dominant_frequency(side), -1) for side in heard.channels] == [440, 900]
    assert recorder.error == ""


def test_mono_recording_holds_both(tmp_path: Path) -> None:
    recorder = open_wav_recorder(str(tmp_path / "a.wav"), "mono")
    recorder.write(struct.pack("<h", 1000) * 160, struct.pack("<h", 200) * 160)
    recorder.close()
    assert ears.read_wav(tmp_path / "a.wav").channels == (struct.pack("<h", 1200) * 160,)


def test_recording_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        open_wav_recorder(str(path), "mono")
    assert path.read_bytes() == b"mine"
    with pytest.raises(OSError):
        open_wav_recorder(str(tmp_path / "no" / "a.wav"), "mono")


def test_recording_is_valid_before_it_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "WRITE_EVERY", 0.001)
    path = tmp_path / "a.wav"
    recorder = open_wav_recorder(str(path), "mono")
    assert ears.read_wav(path).duration_ms == 0
    recorder.write(tone(20)[0], SILENCE)
    for _ in range(LIMIT):
        if ears.read_wav(path).duration_ms == 20:
            break
    assert ears.read_wav(path).duration_ms == 20
    recorder.close()


def test_disk_that_fills_up_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = open_wav_recorder(str(tmp_path / "a.wav"), "mono")

    def full(_self: object, _place: int, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files._WavRecorder, "_put", full)
    recorder.write(SILENCE, SILENCE)
    recorder.close()
    recorder.write(SILENCE, SILENCE)
    assert recorder.error == "No space left on device"


def test_disk_that_stands_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "WRITE_EVERY", 30.0)
    recorder = open_wav_recorder(str(tmp_path / "a.wav"), "mono")
    for _ in range(files.MAX_PENDING + 1):
        recorder.write(SILENCE, SILENCE)
    assert recorder.error == "the disk is too slow"
    recorder.close()
    assert ears.read_wav(tmp_path / "a.wav").duration_ms == files.MAX_PENDING * 20


def test_card_of_files(tmp_path: Path) -> None:
    card = FileCard(write(tmp_path / "in.wav", b"\1\1" * 160), str(tmp_path / "out.wav"))
    assert [card.capture(), card.capture()] == [b"\1\1" * 160, SILENCE]
    card.play(b"\2\2" * 160)
    card.close()
    assert ears.read_wav(tmp_path / "out.wav").channels == (b"\2\2" * 160,)
    assert card.poll() is None


def test_card_of_missing_files(tmp_path: Path) -> None:
    card = FileCard(str(tmp_path / "in.wav"), str(tmp_path / "no" / "out.wav"))
    reports = [card.poll(), card.poll(), card.poll()]
    assert [getattr(report, "kind", None) for report in reports] == ["input", "output", None]
    assert card.capture() == SILENCE
    card.play(SILENCE)
    card.close()
