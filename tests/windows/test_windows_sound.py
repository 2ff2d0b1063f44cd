"""Windows' sound system: the devices it lists, and a tone played and recorded through it, measured at a sound server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from offhook.io.audio.backend import CARD_RATE
from offhook.media.tones import tone_source
from offhook.testing import ears
from offhook.testing.pulse import PulseServer
from offhook.testing.windows import Windows, WindowsProcess, windows_path

pytestmark = [pytest.mark.windows, pytest.mark.timeout(120)]

OUR_TONE = 440.0
THEIR_TONE = 1000.0

PLAY = """
import json, sys, time
from offhook.io.audio.miniaudio_backend import MiniaudioBackend
from offhook.io.audio.sound import open_sound_card
from offhook.media.devices import resolve_device
from offhook.media.tones import tone_source

devices = [[d.info.kind, d.info.name] for d in MiniaudioBackend().find()]
print("devices", json.dumps(devices), flush=True)
card = open_sound_card("auto")
for kind, name in (("output", "SinkOne"), ("input", "Monitor of SinkTwo")):
    card.select(kind, resolve_device(card.devices().devices, kind, name).id)
tone, heard, due, ready = tone_source((440.0,), 0, rate=card.rate), [], time.perf_counter(), False
while len(heard) < 300:
    card.play(tone.read())
    frame = card.capture()
    if any(frame) or heard:
        heard.append(frame)
    if heard and not ready:
        ready = print("heard something", flush=True) or True
    due += 0.02
    time.sleep(max(0.0, due - time.perf_counter()))
open(sys.argv[1], "wb").write(b"".join(heard))
card.close()
print("done", flush=True)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PulseServer]:
    """Return a sound server of the test's own."""
    running = PulseServer(tmp_path)
    yield running
    running.close()


def devices(process: WindowsProcess) -> list[Any]:
    found: list[Any] = json.loads(process.wait_for("devices").removeprefix("devices "))
    return found


def test_a_tone_goes_out_and_another_comes_in(windows: Windows, server: PulseServer, tmp_path: Path) -> None:
    file = tmp_path / "heard"
    sound = {name: server.environment[name] for name in ("PULSE_SERVER", "PULSE_RUNTIME_PATH", "XDG_RUNTIME_DIR")}
    source = tone_source((THEIR_TONE,), 0)
    (tmp_path / "tone").write_bytes(b"".join(source.read() or b"" for _ in range(50 * 90)))
    playing = server.play("two", tmp_path / "tone")
    recording = server.record("one")
    process = windows.start("-c", PLAY, windows_path(file), environment=sound)
    try:
        listed = devices(process)
        process.wait_for("done")
    finally:
        process.stop()
        recording.terminate()
        at_sink, _ = recording.communicate(timeout=10)
        playing.kill()
        playing.wait()
    assert {name for kind, name in listed if kind == "output"} >= {"SinkOne", "SinkTwo"}
    assert {name for kind, name in listed if kind == "input"} >= {"Monitor of SinkOne", "Monitor of SinkTwo"}

    # The middle of what there was: it begins and ends with silence.
    middle = at_sink.strip(b"\0")
    middle = middle[len(middle) // 4 & ~1 :][:16_000]
    assert ears.dominant_frequency(middle) == pytest.approx(OUR_TONE, abs=5)
    assert ears.level_dbfs(middle) == pytest.approx(-13.0, abs=3.0)
    captured = file.read_bytes()[-64_000:-32_000]
    assert ears.dominant_frequency(captured, CARD_RATE) == pytest.approx(THEIR_TONE, abs=10)
    assert ears.level_dbfs(captured) > -20
