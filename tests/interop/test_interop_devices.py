"""A phone at a sound server, in a call: heard and hearing at the far end, while devices come, go and change."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from offhook.media.tones import tone_source
from offhook.phone import commands as c
from offhook.testing import ears
from offhook.testing.live import LivePhone, live_phone, quiet_config
from offhook.testing.pulse import PulseServer, until_heard

pytest.importorskip("miniaudio")
pytestmark = [pytest.mark.sound, pytest.mark.slow]

OURS, THEIRS = 1000.0, 440.0
LATEST = 16_000
"""Bytes of the latest second at 8 kHz."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PulseServer]:
    running = PulseServer(tmp_path)
    for name in ("PULSE_SERVER", "PULSE_RUNTIME_PATH", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, running.environment[name])
    yield running
    running.close()


@pytest.fixture
async def desk(server: PulseServer) -> AsyncIterator[LivePhone]:
    """Return the phone of a person: it speaks what sink two plays, and is heard at sink one."""
    config = quiet_config(input_device="Monitor of SinkTwo", output_device="SinkOne")
    async with live_phone(replace(config, media=replace(config.media, sound="auto", mode="process"))) as running:
        yield running


async def test_devices_in_a_call(server: PulseServer, desk: LivePhone, tmp_path: Path) -> None:
    spoken = tone_source((OURS,), 0)
    (tmp_path / "spoken").write_bytes(b"".join(spoken.read() or b"" for _ in range(50 * 120)))
    speaking = server.play("two", tmp_path / "spoken")
    await desk.event("device.listed")
    async with live_phone(quiet_config()) as far:
        call = desk.execute(c.Dial(to=far.uri)).call
        await far.event("call.incoming")
        there = far.execute(c.Answer()).call
        await desk.reaches(2)
        far.execute(c.Play(call=there, tone=f"{THEIRS:g}"))
        far.execute(c.Record(call=there, file=str(tmp_path / "far.wav"), channels="stereo"))
        desk.execute(c.MeterAudio(interval_ms=100, seconds=60))
        await until_heard(server, "one", THEIRS)

        # A headset is plugged in and chosen, in the call.
        module = server.control("load-module", "module-null-sink", "sink_name=usb",
                                "sink_properties=device.description=UsbHeadset")
        added = await desk.event("device.added")
        assert added.data["device"]["name"] in ("UsbHeadset", "Monitor of UsbHeadset")
        await desk.until(lambda: any(device.name == "UsbHeadset" for device in desk.execute(c.ListDevices()).value))
        desk.execute(c.SetDevice(kind="output", device="UsbHeadset"))
        await until_heard(server, "usb", THEIRS)
        await desk.until(lambda: any(
            device.name == "UsbHeadset" and 10 < device.latency_ms < 300 for device in desk.execute(c.ListDevices()).value
        ), "its latency")  # fmt: skip

        # It is pulled out: the call goes on, and the microphone too.
        server.control("unload-module", str(module).strip())
        error = await desk.event("device.error")
        assert error.data["kind"] == "output"
        await desk.event("device.removed")
        assert desk.status == far.status == 2
        desk.execute(c.SetDevice(kind="output", device="SinkOne"))
        await until_heard(server, "one", THEIRS)

        levels = [envelope.data["input_db"] for envelope in desk.events if envelope.type == "audio.level"]
        assert levels[-1] == pytest.approx(-16.0, abs=3)
        far.execute(c.StopRecord(call=there))
        await far.event("recording.finished")
        desk.execute(c.Hangup(call=call))
        await far.event("call.ended")
    speaking.kill()
    speaking.wait()
    wav = ears.read_wav(tmp_path / "far.wav")
    latest = wav.channels[1][-2 * wav.rate :]
    assert ears.dominant_frequency(latest, wav.rate) == pytest.approx(OURS, abs=3)
    assert ears.level_dbfs(latest) == pytest.approx(-13.0, abs=2)
