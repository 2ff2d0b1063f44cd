"""The media host with real sockets on 127.0.0.1, in a thread and in a worker process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import wave
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TypeVar

import pytest

import offhook.io.media_watch
from offhook.errors import NO_THREAD
from offhook.io.media_host import MediaHost
from offhook.io.media_loop import SystemIds
from offhook.io.media_studio import LateCard, LateSource
from offhook.io.media_wire import MediaOptions
from offhook.media.messages import (
    CloseStream,
    ConfigureStream,
    DevicesListed,
    DigitReceived,
    DigitsDone,
    EngineTrouble,
    ListDevices,
    MediaReport,
    OpenStream,
    PlaybackDone,
    PortsReady,
    RecordingDone,
    SendDigits,
    StartPlayback,
    StartRecording,
    StopRecording,
    StreamClosed,
    StreamConfig,
    StreamFailed,
    StreamResumed,
)
from offhook.media.rtp import HEADER, PLAIN
from offhook.media.sources import SILENCE, Source

Mode = Literal["thread", "process"]
R = TypeVar("R")
OPTIONS = MediaOptions(host="127.0.0.1", pool=4, sound="null")


class Listener:
    """Collects the reports of a host and waits for those that must come."""

    def __init__(self, mode: Mode, options: MediaOptions = OPTIONS) -> None:
        self.reports: list[MediaReport] = []
        self._taken = 0
        self._arrived = threading.Condition()
        self.host = MediaHost(mode=mode, options=options, on_reports=self._take)
        self.host.start()
        self.ports = list(self.wait(PortsReady).ports)

    def _take(self, reports: list[MediaReport]) -> None:
        with self._arrived:
            self.reports += reports
            self._arrived.notify_all()

    def wait(self, kind: type[R], fits: Callable[[R], bool] = lambda report: True) -> R:
        """Return the first such report since the one waited for last; fail after five seconds."""
        deadline = time.monotonic() + 5.0
        with self._arrived:
            while True:
                for place in range(self._taken, len(self.reports)):
                    report = self.reports[place]
                    if isinstance(report, kind) and fits(report):
                        self._taken = place + 1
                        return report
                left = deadline - time.monotonic()
                assert left > 0, f"no {kind.__name__} among {self.reports[self._taken:]}"
                self._arrived.wait(left)

    def connect(self, name: str, port: int, other: int) -> None:
        self.host.send(OpenStream(name, port, "x@test"))
        self.host.send(
            ConfigureStream(
                name,
                StreamConfig(
                    ("127.0.0.1", other), ("127.0.0.1", other + 1), "PCMU", 0, ((0, "PCMU"),),
                    telephone_event=101, receive_events=((101, 8000),),
                ),
            )
        )  # fmt: skip

    def call(self) -> None:
        """Two streams that talk to each other."""
        here, there = self.ports.pop(), self.ports.pop()
        self.connect("a", here, there)
        self.connect("b", there, here)


@pytest.fixture(params=["thread", "process"])
def listener(request: pytest.FixtureRequest) -> Iterator[Listener]:
    made = Listener(request.param)
    yield made
    made.host.close()


@pytest.mark.lengthy
def test_tone_and_digits_over_real_sockets(listener: Listener, tmp_path: Path) -> None:
    listener.call()
    path = tmp_path / "heard.wav"
    listener.host.send(StartRecording("b", "r", str(path), "stereo"))
    listener.host.send(StartPlayback("a", "p", "tone", frequencies=(500.0,), duration_ms=200))
    assert listener.wait(PlaybackDone).played_ms == 200
    listener.host.send(SendDigits("a", "d", "7", duration_ms=60))
    digit = listener.wait(DigitReceived)
    assert (digit.stream, digit.digit, digit.duration_ms) == ("b", "7", 60)
    listener.wait(DigitsDone)
    listener.host.send(StopRecording("b", "r"))
    done = listener.wait(RecordingDone)
    listener.host.send(CloseStream("a"))
    listener.host.send(CloseStream("b"))
    for name in ("a", "b"):
        closed = listener.wait(StreamClosed)
        assert closed.stream == name
        assert closed.stats.packets_received > 10
        assert closed.stats.packets_lost == 0
    listener.host.close()
    assert (done.reason, done.error) == ("stopped", "")
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getframerate()) == (2, 8000)
        far = array("h", file.readframes(file.getnframes()))[1::2]
    crossings = [place for place in range(1, len(far)) if far[place - 1] <= 0 < far[place] and abs(far[place]) > 50]
    assert len(crossings) == pytest.approx(100, abs=10)  # 200 ms of 500 Hz


@pytest.mark.lengthy
@pytest.mark.plain
def test_a_late_loop_records_what_came_before_a_recording_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands wait for the ticks whose time was before them; or a busy machine would lose the end of a recording."""
    monkeypatch.setattr("offhook.io.media_loop.TOO_LATE_S", 10.0)  # however long this machine stands still
    listener = Listener("thread")
    listener.call()
    engine = listener.host._loop.engine  # type: ignore[union-attr]  # it runs: there are ports
    tick, stalled, go_on = engine.tick, threading.Event(), threading.Event()

    def stall(phase: int, now: float) -> None:
        engine.tick = tick  # type: ignore[method-assign]
        stalled.set()
        go_on.wait(5)
        tick(phase, now)
    engine.tick = stall  # type: ignore[method-assign]
    assert stalled.wait(5)
    for command in (StartRecording("b", "r", str(tmp_path / "late.wav"), "mono"), StopRecording("b", "r")):
        listener.host.send(command)
    time.sleep(0.14)
    go_on.set()
    done = listener.wait(RecordingDone)
    assert done.duration_ms >= 120
    with wave.open(str(tmp_path / "late.wav")) as file:
        assert file.getnframes() == 8 * done.duration_ms
    listener.host.close()


@pytest.mark.lengthy
def test_close_leaves_nothing_behind(listener: Listener) -> None:
    listener.call()
    listener.wait(StreamResumed)
    worker = listener.host._worker
    listener.host.close()
    listener.host.close()
    assert len([report for report in listener.reports if isinstance(report, StreamClosed)]) == 2
    assert worker is None or worker.poll() == 0
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("offhook-media")]
    bound = [port for report in listener.reports if isinstance(report, PortsReady) for port in report.ports]
    assert len(bound) == 6  # four at the start, one for each that was taken
    for port in bound:
        for number in (port, port + 1):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
                end.bind(("127.0.0.1", number))
    listener.host.send(ListDevices())  # after the end: dropped


@pytest.mark.lengthy
def test_what_cannot_be_opened_is_told(listener: Listener) -> None:
    listener.host.send(OpenStream("x", 2, "x@test"))
    assert listener.wait(StreamFailed) == StreamFailed("x", "port 2 is not ready")
    port = listener.ports[0]
    listener.host.send(OpenStream("y", port, "x@test"))
    listener.host.send(ConfigureStream("y", StreamConfig(("name.example", 5), ("1.2.3.4", 6), "PCMU", 0, ((0, "PCMU"),))))
    assert "name.example" in listener.wait(StreamFailed).reason
    listener.host.send(OpenStream("y", listener.ports[1], "x@test"))
    assert listener.wait(StreamFailed) == StreamFailed("y", "already open")


@pytest.mark.lengthy
def test_devices_without_a_sound_card(listener: Listener) -> None:
    listener.host.send(ListDevices())
    assert [(device.id, device.kind) for device in listener.wait(DevicesListed).devices] == [
        ("null", "input"), ("null", "output"),
    ]  # fmt: skip


@pytest.mark.lengthy
def test_a_file_that_is_not_there(listener: Listener) -> None:
    listener.call()
    listener.host.send(StartPlayback("a", "p", "file", path="/nowhere/at/all.wav"))
    done = listener.wait(PlaybackDone)
    assert done.reason == "failed"
    assert "No such file" in done.error or "cannot find" in done.error


def calls_again(listener: Listener) -> None:
    """Look on as the streams fail with their engine, and call with the next one."""
    assert [listener.wait(StreamFailed).stream for _ in "ab"] == ["a", "b"]
    listener.ports = list(listener.wait(PortsReady).ports)
    listener.call()
    listener.wait(StreamResumed)


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced() -> None:
    listener = Listener("process")
    try:
        listener.call()
        listener.wait(StreamResumed)
        worker = listener.host._worker
        assert worker is not None
        worker.kill()
        assert "ended with exit code" in listener.wait(EngineTrouble).reason
        calls_again(listener)
    finally:
        listener.host.close()


@pytest.mark.slow
def test_a_worker_for_whose_watching_there_is_no_thread_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The phone went on without any sound, for as long as it lived."""
    start = offhook.io.media_watch.Watchdog.start
    refused: list[offhook.io.media_watch.Watchdog] = []

    def one_too_many(watchdog: offhook.io.media_watch.Watchdog) -> None:
        if not refused:
            refused.append(watchdog)
            raise RuntimeError(NO_THREAD)
        start(watchdog)

    monkeypatch.setattr(offhook.io.media_watch.Watchdog, "start", one_too_many)
    listener = Listener("process")
    try:
        reasons = [report.reason for report in listener.reports if isinstance(report, EngineTrouble)]
        assert [reason.split(":")[:2] for reason in reasons] == [
            ["the media worker cannot be started", " the system gives no more threads"]
        ]
        listener.call()
        listener.wait(StreamResumed)
    finally:
        listener.host.close()
    assert refused[0]._worker.returncode is not None


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no process can be stopped here")
@pytest.mark.parametrize("blocked", [False, True])
def test_a_worker_that_hangs_is_replaced(blocked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offhook.io.media_watch, "LOOK_S", 0.6)
    listener = Listener("process")
    try:
        listener.call()
        listener.wait(StreamResumed)
        worker = listener.host._worker
        assert worker is not None
        worker.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        if blocked:  # what is sent now waits for the worker, and no longer than for its end
            listener.host.send(*[SendDigits("a", "d", "1" * 1000) for _ in range(200)])
        assert "did not answer any more" in listener.wait(EngineTrouble).reason
        assert time.monotonic() - began < 6.0
        calls_again(listener)
    finally:
        listener.host.close()


@pytest.mark.slow
def test_a_worker_with_nothing_to_do_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offhook.io.media_watch, "LOOK_S", 0.6)
    listener = Listener("process")
    try:
        time.sleep(2 * 0.6 * offhook.io.media_watch.SILENT_LOOKS)
        assert not [report for report in listener.reports if not isinstance(report, PortsReady)]
    finally:
        listener.host.close()


@pytest.mark.lengthy
@pytest.mark.plain
def test_a_loop_that_breaks_is_replaced(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    listener = Listener("thread")
    try:
        loop = listener.host._loop
        assert loop is not None

        def broken(command: object, now: float) -> None:
            raise ZeroDivisionError("just so")

        monkeypatch.setattr(loop.engine, "execute", broken)
        listener.host.send(ListDevices())
        assert "just so" in listener.wait(EngineTrouble).reason
        listener.wait(PortsReady)
        listener.host.send(ListDevices())
        listener.wait(DevicesListed)
        assert "ZeroDivisionError" in capsys.readouterr().err
    finally:
        listener.host.close()


@pytest.mark.lengthy
def test_the_worker_ends_with_its_parent() -> None:
    worker = subprocess.Popen(
        [sys.executable, "-m", "offhook.io.media_worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with worker:
        from offhook.io.media_wire import read_message, write_message

        assert worker.stdin is not None
        assert worker.stdout is not None
        write_message(worker.stdin, OPTIONS)
        reports = read_message(worker.stdout)
        assert isinstance(reports, list)
        assert isinstance(reports[0], PortsReady)
        worker.stdin.close()
        assert worker.wait(5.0) == 0


@pytest.mark.lengthy
def test_the_worker_is_light() -> None:
    check = "import offhook.io.media_worker, sys; print([m for m in ('asyncio', 'numpy', 'sqlite3') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.lengthy
def test_the_libraries_of_configured_codecs_are_read_before_there_is_a_call() -> None:
    """Each reads its library when one is first made, which in a call would be heard."""
    check = (
        "import sys; from offhook.io.media_host import MediaHost; from offhook.io.media_wire import MediaOptions; import time\n"
        "host = MediaHost(mode='thread', options=MediaOptions('127.0.0.1', sound='null', codecs=('none', 'opus', 'G722')))\n"
        "host.start()\n"
        "wanted, until = {'offhook.media.codecs.opus_library', 'offhook.media.codecs.g722'}, time.monotonic() + 20\n"
        "while not wanted <= sys.modules.keys() and time.monotonic() < until: time.sleep(0.01)\n"
        "host.close(); print(sorted(wanted - sys.modules.keys()))"
    )
    out = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_reports_wait_for_who_asks() -> None:
    host = MediaHost(options=OPTIONS)
    host.start()
    try:
        assert isinstance(host.drain(5.0)[0], PortsReady)
        assert host.drain() == []
        host.send(ListDevices())
        arrived = threading.Event()
        host.set_report_callback(lambda reports: arrived.set())
        assert arrived.wait(5.0)
    finally:
        host.close()


def test_commands_before_the_start_are_kept() -> None:
    host = MediaHost(options=OPTIONS)
    host.send(ListDevices())
    host.start()
    try:
        found: list[MediaReport] = []
        deadline = time.monotonic() + 5.0
        while not any(isinstance(report, DevicesListed) for report in found) and time.monotonic() < deadline:
            found += host.drain(0.1)
        assert any(isinstance(report, DevicesListed) for report in found)
    finally:
        host.close()


def test_closing_what_never_started() -> None:
    MediaHost(options=OPTIONS).close()


@pytest.mark.lengthy
def test_long_packets_are_read_whole(listener: Listener) -> None:
    port = listener.ports.pop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind(("127.0.0.1", 0))
        far.settimeout(5.0)
        listener.connect("a", port, far.getsockname()[1])
        for number in range(10):
            far.recv(300)
            far.sendto(rtp_packet(number)[:12] + bytes(640), ("127.0.0.1", port))
        for _ in range(5):
            far.recv(300)
    listener.host.send(CloseStream("a"))
    stats = listener.wait(StreamClosed).stats
    assert stats.packets_received == 10
    assert stats.bytes_received == 640 * stats.packets_received


@pytest.mark.lengthy
def test_a_far_end_that_closes_its_port_and_comes_back(listener: Listener) -> None:
    port = listener.ports.pop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind(("127.0.0.1", 0))
        far.settimeout(5.0)
        address = far.getsockname()
        listener.connect("a", port, address[1])
        packet = far.recv(300)
        for number in range(3):
            far.sendto(rtp_packet(number), ("127.0.0.1", port))
        listener.wait(StreamResumed)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind(address)
        far.settimeout(5.0)
        heard = [far.recv(300) for _ in range(3)]
        assert {text[8:12] for text in heard} == {packet[8:12]}
        far.sendto(rtp_packet(3), ("127.0.0.1", port))
        far.recv(300)
        far.recv(300)
        listener.host.send(CloseStream("a"))
        stats = listener.wait(StreamClosed).stats
    assert (stats.packets_received, stats.packets_lost) == (4, 0)
    assert not [report for report in listener.reports if isinstance(report, StreamFailed)]


def rtp_packet(number: int) -> bytes:
    return HEADER.pack(PLAIN, 0, number, 160 * number, 77) + bytes(160)


def test_identifiers() -> None:
    ids = SystemIds()
    assert len(ids.token(12)) == 12
    assert ids.token(12) != ids.token(12)
    assert all(0 <= ids.integer(5) < 32 for _ in range(100))
    assert all(2.0 <= ids.uniform(2.0, 3.0) <= 3.0 for _ in range(100))


class Counted:
    """A source that tells whether it was closed."""

    closed = False

    def read(self) -> bytes | None:
        return SILENCE

    def close(self) -> None:
        self.closed = True


def test_a_source_that_is_closed_while_it_opens() -> None:
    gate = threading.Event()
    inner = Counted()

    def opening() -> Source:
        gate.wait(5.0)
        return inner

    source = LateSource(opening)
    assert source.read() == b""
    source.close()
    assert source.read() is None
    gate.set()
    for thread in threading.enumerate():
        if thread.name == "offhook-open-file":
            thread.join(5.0)
    assert inner.closed


def test_a_card_that_refuses_to_open_is_reported() -> None:
    def opening() -> LateCard:
        raise OSError("no such device")

    card = LateCard(opening, 8000)
    card.list_devices()
    card.play(SILENCE)
    card.ring(SILENCE)
    assert card.capture() == SILENCE
    found: list[object] = []
    deadline = time.monotonic() + 5.0
    while len(found) < 2 and time.monotonic() < deadline:
        found += filter(None, [card.poll()])
    card.close()
    assert getattr(found[0], "reason", "") == "no such device"
    assert isinstance(found[1], DevicesListed)


@pytest.mark.skipif(sys.platform == "win32", reason="counts descriptors in /proc or /dev/fd")
def test_no_descriptor_leaks() -> None:
    def count() -> int:
        return len(os.listdir("/dev/fd"))

    MediaHost(options=OPTIONS).close()
    before = count()
    for _ in range(3):
        host = MediaHost(options=OPTIONS)
        host.start()
        host.drain(5.0)
        host.close()
    assert count() == before
