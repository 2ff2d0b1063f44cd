"""A real sound server: a PulseAudio of the test's own, with null sinks, heard through their monitors."""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from offhook.testing import ears
from offhook.testing.pulse import PulseServer, Recording

pytest.importorskip("miniaudio")
EDGE = 1600
"""Bytes of a tone's beginning or end in which a click is looked for: 100 ms at 8 kHz."""
pytestmark = [
    pytest.mark.sound,
    pytest.mark.slow,
]

# What the phone does in this test, in a process whose environment names the server.
PHONE = """
import json, sys, time
from offhook.io.audio.sound import open_sound_card
from offhook.media.devices import resolve_device
from offhook.media.sources import solid
from offhook.media.tones import tone_source

card = open_sound_card("auto")
tone = tone_source((440.0,), 0, rate=card.rate)
heard = []

def say(**what):
    print(json.dumps(what), flush=True)

def select(kind, text):
    found = resolve_device(card.devices().devices, kind, text)
    card.select(kind, found.id if found else "")

def run(seconds, half=None):
    if half:  # looked up before: the loop below has to keep its time
        found = resolve_device(card.devices().devices, half[0], half[1])
    due = time.perf_counter()
    for turn in range(int(seconds * 50)):
        if half and turn == seconds * 25:
            card.select(half[0], found.id)
        card.play(tone.read())
        heard.append(solid(card.capture(), card.rate))
        due += 0.02
        time.sleep(max(0.0, due - time.perf_counter()))

for line in sys.stdin:
    order, *words = line.strip().split(" ", 3)
    if order == "devices":
        say(devices=[[d.id, d.kind, d.name, d.index, d.default, d.latency_ms, d.underruns, d.overruns]
                     for d in card.devices().devices])
    elif order == "select":
        select(words[0], " ".join(words[1:]))
        say()
    elif order == "run":  # SECONDS, and perhaps KIND DEVICE to be selected half way
        heard.clear()
        known = [(d.name, d.default) for d in card.devices().devices]
        run(float(words[0]), words[1:])
        reports = []
        while (report := card.poll()) is not None:
            if type(report).__name__ == "DevicesListed":  # also told when only figures are others
                names = [(d.name, d.default) for d in report.devices]
                if names == known:
                    continue
                known = names
            reports.append([type(report).__name__, getattr(report, "kind", "")])
        say(reports=reports, heard=b"".join(heard).hex(), rate=card.rate)
card.close()
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PulseServer]:
    running = PulseServer(tmp_path)
    yield running
    running.close()


def start_phone(server: PulseServer) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PHONE], env=server.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


class Phone:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def begin(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, list[list[str]]]:
        assert self.process.stdout is not None
        answer: dict[str, list[list[str]]] = json.loads(self.process.stdout.readline())
        return answer

    def order(self, text: str) -> dict[str, list[list[str]]]:
        self.begin(text)
        return self.answer()


@pytest.fixture
def phone(server: PulseServer) -> Iterator[Phone]:
    process = start_phone(server)
    yield Phone(process)
    process.communicate("", timeout=20)


def edge_of_end(tone: bytes) -> bytes:
    """Return the last moment of sound, and silence."""
    ends = (len(tone.rstrip(b"\0")) + 1) & ~1
    return tone[max(0, ends - EDGE) : ends] + bytes(EDGE)


def test_devices_have_stable_names(server: PulseServer, phone: Phone) -> None:
    listed = phone.order("devices")["devices"]
    assert {row[2] for row in listed if row[1] == "output"} == {"SinkOne", "SinkTwo"}
    assert {row[2] for row in listed if row[1] == "input"} == {"Monitor of SinkOne", "Monitor of SinkTwo"}
    assert [str(row[3]) for row in listed if row[1] == "output"] == ["0", "1"]
    again = Phone(start_phone(server))
    assert again.order("devices")["devices"] == listed
    again.process.communicate("", timeout=20)


def test_tone_arrives_and_follows_the_selection(server: PulseServer, phone: Phone) -> None:
    phone.order("select output SinkOne")
    phone.order("select input Monitor of SinkOne")
    recording = Recording(server, "one")
    answer = phone.order("run 4")
    at_monitor = recording.end(1.0)
    assert answer["reports"] == []
    assert ears.dominant_frequency(at_monitor) == pytest.approx(440, abs=2)
    assert ears.level_dbfs(at_monitor) == pytest.approx(-13.0, abs=1.0)
    captured = bytes.fromhex(str(answer["heard"]))[-32_000:]
    assert ears.dominant_frequency(captured, 16_000) == pytest.approx(440, abs=2)

    phone.order("select output SinkTwo")
    recording = Recording(server, "two")
    assert phone.order("run 3")["reports"] == []
    assert ears.dominant_frequency(recording.end(0.5)) == pytest.approx(440, abs=2)


def test_a_device_is_exchanged_without_a_click(server: PulseServer, phone: Phone) -> None:
    phone.order("select output SinkOne")
    phone.order("select input Monitor of SinkOne")
    phone.order("run 3")
    recordings = {name: Recording(server, name) for name in ("one", "two")}
    assert phone.order("run 10 output SinkTwo")["reports"] == []
    old, new = recordings["one"].end(10.0), recordings["two"].end(10.0)
    assert ears.dominant_frequency(old[16_000:32_000]) == pytest.approx(440, abs=2)
    assert ears.level_dbfs(old[-8000:]) < -90
    assert ears.dominant_frequency(new[-16_000:]) == pytest.approx(440, abs=2)
    # Both fade in 20 ms. A cut would show as a step of a third of the amplitude.
    assert ears.click(edge_of_end(old), 440) < 0.05
    begins = (len(new) - len(new.lstrip(b"\0"))) & ~1
    assert ears.click(bytes(EDGE) + new[begins : begins + EDGE], 440) < 0.05


def test_the_microphone_is_exchanged_without_a_click(server: PulseServer, phone: Phone) -> None:
    phone.order("select output SinkOne")
    phone.order("select input Monitor of SinkOne")
    phone.order("run 3")
    answer = phone.order("run 10 input Monitor of SinkTwo")
    assert answer["reports"] == []
    heard = bytes.fromhex(str(answer["heard"]))
    assert ears.level_dbfs(heard[:32_000]) == pytest.approx(-13.0, abs=1.0)
    assert ears.level_dbfs(heard[-16_000:]) < -90
    assert ears.click(edge_of_end(heard), 440, 16_000) < 0.05


def test_the_default_device_is_followed(server: PulseServer, phone: Phone) -> None:
    phone.order("run 3")
    phone.begin("run 8")
    recording = Recording(server, "one")
    assert ears.dominant_frequency(recording.first(2)[-16_000:]) == pytest.approx(440, abs=2)
    server.control("set-default-sink", "two")
    # The server moves recordings, too, so others are begun.
    following, left = Recording(server, "two"), Recording(server, "one")
    reports = phone.answer()["reports"]
    assert not [report for report in reports if report[0] == "DeviceFailed"]
    assert ["DevicesListed", ""] in reports
    assert ears.dominant_frequency(following.end(1.0)) == pytest.approx(440, abs=2)
    assert ears.level_dbfs(left.end(1.0)) < -90
    recording.end(1.0)


def test_devices_come_and_go_during_a_call(server: PulseServer, phone: Phone) -> None:
    phone.order("select output SinkOne")
    phone.order("select input Monitor of SinkOne")
    before = {row[2] for row in phone.order("devices")["devices"]}
    phone.order("run 3")
    recording = Recording(server, "one")
    phone.begin("run 9")
    recording.first(1)
    number = server.control("load-module", "module-null-sink", "sink_name=usb", "sink_properties=device.description=UsbHeadset")
    recording.first(4.5)
    server.control("unload-module", str(number).strip())
    assert phone.answer()["reports"] == 2 * [["DevicesListed", ""]]
    assert {row[2] for row in phone.order("devices")["devices"]} == before
    assert ears.dominant_frequency(recording.end(1.0)) == pytest.approx(440, abs=2)


def test_a_device_in_use_tells_its_latency(server: PulseServer, phone: Phone) -> None:
    phone.order("run 4")
    rows = {row[2]: row for row in phone.order("devices")["devices"]}
    assert 10 <= int(rows["SinkOne"][5]) <= 200
    assert 10 <= int(rows["Monitor of SinkOne"][5]) <= 200
    assert int(rows["SinkTwo"][5]) == 0


def speak_in_bursts(pipe: Path, milliseconds: int, stop: threading.Event) -> None:
    """Write a tone into a sound server's pipe, so many milliseconds of 16 kHz at a time, each when it is over."""
    burst = 16 * milliseconds
    due = time.monotonic()
    with pipe.open("wb", buffering=0) as stream:
        for turn in itertools.count():
            places = range(turn * burst, (turn + 1) * burst)
            stream.write(array("h", [round(8000 * math.sin(2 * math.pi * 440 * place / 16_000)) for place in places]).tobytes())
            due += milliseconds / 1000
            if stop.wait(max(0.0, due - time.monotonic())):
                return


def test_a_microphone_that_hands_over_much_at_once_is_heard_whole(server: PulseServer, phone: Phone, tmp_path: Path) -> None:
    pipe = tmp_path / "microphone"
    server.control(
        "load-module", "module-pipe-source", "source_name=bursts", f"file={pipe}", "rate=16000", "channels=1", "format=s16le",
        "source_properties=device.description=Bursts",
    )  # fmt: skip
    stop = threading.Event()
    speaker = threading.Thread(target=speak_in_bursts, args=(pipe, 60, stop))
    speaker.start()
    try:
        deadline = time.monotonic() + 20
        while not any(row[2] == "Bursts" for row in phone.order("devices")["devices"]):
            assert time.monotonic() < deadline
            phone.order("run 0.5")
        phone.order("select input Bursts")
        phone.order("run 3")
        answer = phone.order("run 3")
    finally:
        stop.set()
        speaker.join()
    frames = [bytes.fromhex(str(answer["heard"]))[at : at + 640] for at in range(0, 3 * 32_000, 640)]
    silent = sum(not any(frame) for frame in frames)
    assert silent < 50  # a busy machine may cost some of the 150; where each burst lost what the server did not keep, 130 were


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
    recording = Recording(server, "two")
    assert ["DeviceRecovered", "output"] in phone.order("run 8")["reports"]
    assert ears.dominant_frequency(recording.end(0.5)) == pytest.approx(440, abs=2)


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
