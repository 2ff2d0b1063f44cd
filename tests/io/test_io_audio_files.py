"""Two files as a sound card."""

from __future__ import annotations

from pathlib import Path

from offhook.io.audio.files import FileCard
from offhook.media import wav
from offhook.media.sources import SILENCE
from offhook.testing import ears

LIMIT = 20_000_000

def write(path: Path, audio: bytes, rate: int = 8000, channels: int = 1) -> str:
    path.write_bytes(wav.header(channels, rate, len(audio)) + audio)
    return str(path)


def test_card_of_files(tmp_path: Path) -> None:
    card = FileCard(write(tmp_path / "in.wav", b"\1\1" * 160), str(tmp_path / "out.wav"))
    assert [card.capture(), card.capture()] == [b"\1\1" * 160, SILENCE]
    card.play(b"\2\2" * 160)
    card.close()
    assert ears.read_wav(tmp_path / "out.wav").channels == (b"\2\2" * 160,)
    assert card.poll() is None


def test_card_of_missing_files(tmp_path: Path) -> None:
    card = FileCard(str(tmp_path / "in.wav"), str(tmp_path / "no" / "out.wav"))
    kinds = []
    for _ in range(LIMIT):
        if (report := card.poll()) is not None:
            kinds.append(getattr(report, "kind", ""))
        if len(kinds) == 2:
            break
    assert kinds == ["input", "output"]
    assert card.poll() is None
    assert card.capture() == SILENCE
    card.play(SILENCE)
    card.close()
