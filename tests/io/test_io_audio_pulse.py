"""A real sound server: a PulseAudio of the test's own, with null sinks, heard through their monitors."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from offhook.testing import ears

pytest.importorskip("miniaudio")
PROGRAMS = ("pulseaudio", "pactl", "parec", "pacat")
pytestmark = [
    pytest.mark.sound,
    pytest.mark.slow,
    pytest.mark.skipif(any(shutil.which(name) is None for name in PROGRAMS), reason="PulseAudio is not installed"),
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


class Server:
    """A private PulseAudio with two null sinks, one and two."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "native"
        self.environment = {
            **os.environ, "XDG_RUNTIME_DIR": str(folder), "PULSE_RUNTIME_PATH": str(folder), "HOME": str(folder),
            "PULSE_SERVER": f"unix:{self.socket}",
        }
        self.modules = {
            "one": "module-null-sink sink_name=one sink_properties=device.description=SinkOne",
            "two": "module-null-sink sink_name=two sink_properties=device.description=SinkTwo",
        }
        loads = [f"module-native-protocol-unix socket={self.socket} auth-anonymous=1", *self.modules.values()]
        self.process = subprocess.Popen(
            ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--disable-shm", "--use-pid-file=no",
             *(part for load in loads for part in ("-L", load))],
            env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while self.control("info", check=False) is None:
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.close()
                pytest.skip("PulseAudio does not start here")
            time.sleep(0.05)

    def control(self, *words: str, check: bool = True) -> str | None:
        done = subprocess.run(["pactl", *words], env=self.environment, capture_output=True, text=True, check=check)
        return done.stdout if done.returncode == 0 else None

    def record(self, sink: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["parec", "-d", f"{sink}.monitor", "--rate=8000", "--channels=1", "--format=s16le", "--latency-msec=20"],
            env=self.environment, stdout=subprocess.PIPE,
        )

    def phone(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", PHONE], env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path)
    yield running
    running.close()


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
def phone(server: Server) -> Iterator[Phone]:
    process = server.phone()
    yield Phone(process)
    process.communicate("", timeout=20)


def ending(recording: subprocess.Popen[bytes], seconds: float) -> bytes:
    recording.terminate()
    audio, _ = recording.communicate(timeout=10)
    return audio[-int(16_000 * seconds):]


def test_devices_have_stable_names(server: Server, phone: Phone) -> None:
    listed = phone.order("devices")["devices"]
    assert {name for _, kind, name, *_ in listed if kind == "output"} == {"SinkOne", "SinkTwo"}
    assert {name for _, kind, name, *_ in listed if kind == "input"} == {"Monitor of SinkOne", "Monitor of SinkTwo"}
    assert [str(index) for _, kind, _, index, _ in listed if kind == "output"] == ["0", "1"]
    again = Phone(server.phone())
    assert again.order("devices")["devices"] == listed
    again.process.communicate("", timeout=20)


def test_tone_arrives_and_follows_the_selection(server: Server, phone: Phone) -> None:
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


def test_unplugging_is_reported_and_mended(server: Server, phone: Phone) -> None:
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


def test_the_doctor_opens_what_the_phone_would_use(server: Server, tmp_path: Path) -> None:
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
