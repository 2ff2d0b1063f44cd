"""What the command line says of sound devices and the microphone."""

from __future__ import annotations

from pathlib import Path

import pytest

from offhook.cli import main, render
from offhook.testing.backend import FakeBackend
from offhook.testing.served import served

DEVICE = {
    "id": "ab12", "kind": "output", "name": "Headset", "index": 1, "default": True,
    "latency_ms": 0, "underruns": 0, "overruns": 0,
}  # fmt: skip


def test_a_device_in_one_line() -> None:
    assert render.device_line(DEVICE) == "output 1: Headset [ab12] (default)"
    assert render.device_line(DEVICE | {"latency_ms": 70}) == "output 1: Headset [ab12] (default), in use: 70 ms"
    missed = render.device_line(DEVICE | {"latency_ms": 70, "underruns": 2, "overruns": 1})
    assert missed.endswith("in use: 70 ms (2 underruns, 1 overruns)")
    event = {"type": "device.added", "time": "2026-01-31T08:00:00.123Z", "data": {"device": DEVICE}}
    assert render.event_line(event) == "08:00:00.123  device.added  output 1: Headset [ab12] (default)"


@pytest.mark.parametrize("words", ["echo", "echo=maybe", "loud=on"])
def test_other_words_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str) -> None:
    with served(FakeBackend(), tmp_path / "s") as path:
        assert main(["voice", words, "--socket", path]) == 2
    assert "echo=on|off" in capsys.readouterr().err
