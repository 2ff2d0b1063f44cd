"""Recordings: whatever their format, valid at every moment, never blocking, honest about trouble."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from offhook.io.audio import writing
from offhook.io.audio.reading import open_source
from offhook.io.audio.writing import open_recorder
from offhook.media.messages import RecordingFormat
from offhook.media.sources import FRAME_MS, SILENCE, Recorder, silence
from offhook.media.tones import tone_source
from offhook.testing import ears

LIMIT = 20_000_000
ENCODED: tuple[RecordingFormat, ...] = ("flac", "mp3", "opus")


def tone(duration_ms: int, frequency: float = 440.0) -> list[bytes]:
    return list(iter(tone_source((frequency,), duration_ms).read, None))


def complete(recorder: Recorder) -> None:
    recorder.close()
    assert recorder.is_complete


def test_stereo_recording(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    recorder = open_recorder(str(path), "stereo")
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
    recorder = open_recorder(str(tmp_path / "a.wav"), "mono")
    recorder.write(struct.pack("<h", 1000) * 160, struct.pack("<h", 200) * 160)
    recorder.close()
    assert ears.read_wav(tmp_path / "a.wav").channels == (struct.pack("<h", 1200) * 160,)


def test_recording_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"mine")
    recorder = open_recorder(str(path), "mono")
    complete(recorder)
    assert (recorder.error, recorder.is_open, path.read_bytes()) == (f"{path}: File exists", False, b"mine")
    recorder = open_recorder(str(tmp_path / "a\0b.wav"), "mono")
    complete(recorder)
    assert recorder.error.startswith("embedded null")
    assert not recorder.is_open
    recorder = open_recorder(str(tmp_path / "no" / "a.wav"), "mono")
    complete(recorder)
    assert recorder.error == f"{tmp_path / 'no' / 'a.wav'}: No such file or directory"


def test_recording_is_valid_before_it_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "WRITE_EVERY", 0.001)
    path = tmp_path / "a.wav"
    recorder = open_recorder(str(path), "mono")
    for _ in range(LIMIT):
        if recorder.is_open:
            break
    assert ears.read_wav(path).duration_ms == 0
    recorder.write(tone(20)[0], SILENCE)
    for _ in range(LIMIT):
        if ears.read_wav(path).duration_ms == 20:
            break
    assert ears.read_wav(path).duration_ms == 20
    recorder.close()


def test_a_folder_that_is_gone_is_made_again_where_it_is_the_phones_own(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "recordings" / "a.wav"
    recorder = open_recorder(str(path), "mono")
    recorder.close()
    assert recorder.error == f"{path}: No such file or directory"
    recorder = open_recorder(str(path), "mono", make_folder=True)
    recorder.write(SILENCE, SILENCE)
    recorder.close()
    assert recorder.error == ""
    assert ears.read_wav(path).duration_ms == 20
    assert sys.platform == "win32" or path.parent.stat().st_mode & 0o777 == 0o700


def test_disk_that_fills_up_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = open_recorder(str(tmp_path / "a.wav"), "mono")

    def full(_self: object, _place: int, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing._WavWriter, "_put", full)
    recorder.write(SILENCE, SILENCE)
    recorder.close()
    recorder.write(SILENCE, SILENCE)
    assert recorder.error == "No space left on device"


def test_disk_that_stands_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "WRITE_EVERY", 30.0)
    recorder = open_recorder(str(tmp_path / "a.wav"), "mono")
    for _ in range(writing.MAX_PENDING + 1):
        recorder.write(SILENCE, SILENCE)
    assert recorder.error == "the disk is too slow"
    recorder.close()
    assert ears.read_wav(tmp_path / "a.wav").duration_ms == writing.MAX_PENDING * 20


def heard(path: Path, rate: int) -> bytes:
    source = open_source(str(path), loop=False, rate=rate)
    frames: list[bytes] = []
    for _ in range(LIMIT):
        frame = source.read()
        if frame is None:
            return b"".join(frames)
        if frame is not SILENCE:
            frames.append(frame)
    raise AssertionError("no end")


@pytest.mark.lengthy
@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
@pytest.mark.parametrize("form", ["wav", *ENCODED])
def test_every_format_at_every_rate(tmp_path: Path, form: RecordingFormat, rate: int) -> None:
    pytest.importorskip("soundfile", reason="needs the extra `recording`")
    path = tmp_path / f"a.{form}"
    recorder = open_recorder(str(path), "mono", rate, form)
    for frame in iter(tone_source((600.0,), 2000, rate=rate).read, None):
        recorder.write(silence(rate), frame)
    complete(recorder)
    assert (recorder.error, recorder.size) == ("", path.stat().st_size)
    audio = heard(path, rate)
    assert abs(len(audio) / 2 / rate - 2.0) < 0.2  # MP3 adds some silence
    assert abs(ears.dominant_frequency(audio[len(audio) // 4 : len(audio) // 2], rate) - 600) < 4


@pytest.mark.parametrize("form", ENCODED)
def test_both_sides_are_kept_apart(tmp_path: Path, form: RecordingFormat) -> None:
    soundfile = pytest.importorskip("soundfile", reason="needs the extra `recording`")
    path = tmp_path / f"a.{form}"
    recorder = open_recorder(str(path), "stereo", 8000, form)
    for near, far in zip(tone(1000, 440.0), tone(1000, 900.0), strict=True):
        recorder.write(near, far)
    complete(recorder)
    samples, rate = soundfile.read(str(path), dtype="int16")
    for side, frequency in ((0, 440.0), (1, 900.0)):
        assert abs(ears.dominant_frequency(samples[rate // 4 : rate * 3 // 4, side].tobytes(), rate) - frequency) < 5


def test_what_needs_a_package_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    recorder = open_recorder(str(tmp_path / "a.flac"), "mono", 8000, "flac")
    complete(recorder)
    assert "pip install 'offhook[recording]'" in recorder.error
    assert not (tmp_path / "a.flac").exists()


RECORD_UNTIL_KILLED = """
import sys, time
from offhook.io.audio.writing import open_recorder
from offhook.media.tones import tone_source
path, form, rate = sys.argv[1], sys.argv[2], int(sys.argv[3])
recorder = open_recorder(path, "stereo", rate, form)
source = tone_source((600.0,), 0, rate=rate)
for number in range(250):  # five seconds of sound, ten times as fast
    frame = source.read()
    recorder.write(frame, frame)
    time.sleep(0.002)
while recorder._pending:
    time.sleep(0.05)
time.sleep(1.0)
print(recorder.error or "recorded", flush=True)
time.sleep(60)
"""

KEPT_MS: dict[RecordingFormat, int] = {"wav": 5000, "flac": 4400, "mp3": 4700, "opus": 4300}
"""What is on the disk of five seconds that were handed to the writer: what encoders hold back is lost."""


@pytest.mark.slow
@pytest.mark.parametrize("rate", [8_000, 48_000])
@pytest.mark.parametrize("form", ["wav", *ENCODED])
def test_a_killed_process_leaves_what_was_recorded(tmp_path: Path, form: RecordingFormat, rate: int) -> None:
    pytest.importorskip("soundfile", reason="needs the extra `recording`")
    path = tmp_path / f"a.{form}"
    command = [sys.executable, "-c", RECORD_UNTIL_KILLED, str(path), form, str(rate)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "recorded"
        process.kill()
    kept_ms = len(heard(path, rate)) // 2 * 1000 // rate
    assert KEPT_MS[form] <= kept_ms <= 5000 + 5 * FRAME_MS


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits of files are Unix's")
@pytest.mark.parametrize("form", ENCODED)
def test_a_full_disk_ends_it(tmp_path: Path, form: RecordingFormat) -> None:
    pytest.importorskip("soundfile", reason="needs the extra `recording`")
    code = f"""
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))  # a disk of 20 kB
from offhook.io.audio.writing import open_recorder
from random import Random
recorder = open_recorder({str(tmp_path / "a")!r}, "mono", 48000, {form!r})
chance = Random(1)
for _ in range(1000):
    recorder.write(chance.randbytes(1920), bytes(1920))
recorder.close()
print(recorder.error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("the disk is full", "the disk is full, or refuses to be written"), done.stderr
    assert (tmp_path / "a").stat().st_size <= 20_000
