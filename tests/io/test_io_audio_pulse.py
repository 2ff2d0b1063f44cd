"""A real sound server: a PulseAudio of the test's own, with null sinks, heard through their monitors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from offhook.testing import ears
from offhook.testing.peers import PeerMissing
from offhook.testing.pulse import PulseServer

pytest.importorskip("miniaudio")
pytestmark = [
    pytest.mark.sound,
    pytest.mark.slow,
]

# What the phone does in this test, in a process whose environment names the server.
PHONE = """
import json, sys, time
from offhook.io.audio.sound import open_sound_card
from offhook.media.devices import resolve_device
from offhook.media.tones import tone_source

card = open_sound_card("auto")
tone = tone_source((440.0,), 0)
heard = []
due = time.perf_counter()

def say(**what):
    print(json.dumps(what), flush=True)

def run(seconds):
    global due
    due = time.perf_counter()
    for _ in range(int(seconds * 50)):
        card.play(tone.read())
        heard.append(card.capture())
        due += 0.02
        time.sleep(max(0.0, due - time.perf_counter()))

for line in sys.stdin:
    order, _, argument = line.strip().partition(" ")
    if order == "devices":
        say(devices=[[d.id, d.kind, d.name, d.index, d.default] for d in card.devices().devices])
    elif order == "select":
        kind, _, text = argument.partition(" ")
        found = resolve_device(card.devices().devices, kind, text)
        card.select(kind, found.id)
        say(selected=found.id)
    elif order == "run":
        heard.clear()
        run(float(argument))
        reports = []
        while (report := card.poll()) is not None:
            reports.append([type(report).__name__, getattr(report, "kind", "")])
        say(reports=reports, heard=b"".join(heard).hex())
card.close()
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PulseServer]:
    try:
        running = PulseServer(tmp_path)
    except PeerMissing as missing:
        pytest.skip(str(missing))
    yield running
    running.close()


def start_phone(server: PulseServer) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PHONE], env=server.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


class Phone:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def order(self, text: str) -> dict[str, list[list[str]]]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        answer: dict[str, list[list[str]]] = json.loads(self.process.stdout.readline())
        return answer


@pytest.fixture
def phone(server: PulseServer) -> Iterator[Phone]:
    process = start_phone(server)
    yield Phone(process)
    process.communicate("", timeout=20)


def ending(recording: subprocess.Popen[bytes], seconds: float) -> bytes:
    recording.terminate()
    audio, _ = recording.communicate(timeout=10)
    return audio[-int(16_000 * seconds):]


def test_devices_have_stable_names(server: PulseServer, phone: Phone) -> None:
    listed = phone.order("devices")["devices"]
    assert {name for _, kind, name, *_ in listed if kind == "output"} == {"SinkOne", "SinkTwo"}
    assert {name for _, kind, name, *_ in listed if kind == "input"} == {"Monitor of SinkOne", "Monitor of SinkTwo"}
    assert [str(index) for _, kind, _, index, _ in listed if kind == "output"] == ["0", "1"]
    again = Phone(start_phone(server))
    assert again.order("devices")["devices"] == listed
    again.process.communicate("", timeout=20)


def test_tone_arrives_and_follows_the_selection(server: PulseServer, phone: Phone) -> None:
    phone.order("select output SinkOne")
    phone.order("select input Monitor of SinkOne")
    recording = server.record("one")
    answer = phone.order("run 4")
    at_monitor = ending(recording, 1.0)
    assert answer["reports"] == []
    assert ears.dominant_frequency(at_monitor) == pytest.approx(440, abs=2)
    assert ears.level_dbfs(at_monitor) == pytest.approx(-13.0, abs=1.0)
    captured = bytes.fromhex(str(answer["heard"]))[-16_000:]
    assert ears.dominant_frequency(captured) == pytest.approx(440, abs=2)

    phone.order("select output SinkTwo")
    recording = server.record("two")
    assert phone.order("run 3")["reports"] == []
    assert ears.dominant_frequency(ending(recording, 0.5)) == pytest.approx(440, abs=2)


def test_unplugging_is_reported_and_mended(server: PulseServer, phone: Phone) -> None:
    phone.order("select output SinkTwo")
    phone.order("select input Monitor of SinkOne")
    assert phone.order("run 3")["reports"] == []
    number = next(
        line.split()[0] for line in (server.control("list", "short", "modules") or "").splitlines() if "name=two" in line
    )
    server.control("unload-module", number)
    assert ["DeviceFailed", "output"] in phone.order("run 3")["reports"]
    server.control("load-module", *server.modules["two"].split())
    recording = server.record("two")
    assert ["DeviceRecovered", "output"] in phone.order("run 8")["reports"]
    assert ears.dominant_frequency(ending(recording, 0.5)) == pytest.approx(440, abs=2)


def test_the_doctor_opens_what_the_phone_would_use(server: PulseServer, tmp_path: Path) -> None:
    environment = {**server.environment, "OFFHOOK_HOME": str(tmp_path / "home"), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-m", "offhook", "doctor", "--json"], env=environment, capture_output=True, text=True, timeout=30
    )
    found = {item["name"]: item for item in json.loads(done.stdout)}
    assert "SinkOne" in found["loudspeaker"]["text"]
    assert "SinkTwo" in found["loudspeaker"]["text"]
    for name in ("loudspeaker, default", "microphone, default"):
        assert found[name]["level"] == "ok", found[name]
        assert "opens, and sound passes after" in found[name]["text"]
    assert done.stderr == ""
