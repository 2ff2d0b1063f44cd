"""Several media workers as one: who gets which command, and real ones that die."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

from offhook.io.media_wire import MediaOptions
from offhook.io.media_workers import MediaWorkers
from offhook.media.messages import (
    CloseStream,
    ConfigureStream,
    DevicesListed,
    EngineLoad,
    EngineTrouble,
    ListDevices,
    MediaCommand,
    MediaReport,
    OpenAudio,
    OpenStream,
    PlaceStream,
    PortsReady,
    SetBridge,
    SetLevels,
    SetLoopback,
    StreamClosed,
    StreamConfig,
    StreamFailed,
    StreamResumed,
)

R = TypeVar("R", bound=MediaReport)


def test_each_command_goes_to_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = MediaWorkers(3, MediaOptions(), lambda reports: None)
    sent: list[tuple[int, MediaCommand]] = []
    for number, host in enumerate(workers.hosts):
        monkeypatch.setattr(host, "send", lambda *commands, n=number: sent.extend((n, each) for each in commands))
    workers.send(PlaceStream("b", 2), OpenAudio("b", "x", 8000), OpenStream("a", 4000, ""), SetLoopback("b", True))
    assert sorted((number, type(each).__name__) for number, each in sent) == [
        (0, "OpenStream"), (2, "OpenAudio"), (2, "SetLoopback"),
    ]  # fmt: skip
    sent.clear()
    workers.send(SetBridge("room", ("b",)), SetBridge("room", ()), SetBridge("hall", ("a",)), SetLevels(1, 2, False))
    workers.send(CloseStream("b"), CloseStream("b"))
    assert [number for number, _ in sent] == [2, 2, 0, 0, 2, 0]


class Listener:
    """Two workers and everything they said."""

    def __init__(self) -> None:
        self.reports: list[MediaReport] = []
        self._arrived = threading.Condition()
        self.workers = MediaWorkers(2, MediaOptions(host="127.0.0.1", pool=4, sound="null"), self._take)
        self.workers.start()

    def _take(self, reports: list[MediaReport]) -> None:
        with self._arrived:
            self.reports += reports
            self._arrived.notify_all()

    def wait(self, kind: type[R], fits: Callable[[R], bool] = lambda report: True) -> R:
        """Return the first such report that was not returned yet."""
        deadline = time.monotonic() + 20.0
        with self._arrived:
            while True:
                for place, report in enumerate(self.reports):
                    if isinstance(report, kind) and fits(report):
                        del self.reports[place]
                        return report
                assert self._arrived.wait(deadline - time.monotonic()), f"no {kind.__name__} among {self.reports}"

    def call(self, here: int, there: int) -> None:
        """A stream in worker 0 that talks to one in worker 1."""
        self.workers.send(PlaceStream("b", 1))
        for name, port, other in (("a", here, there), ("b", there, here)):
            config = StreamConfig(("127.0.0.1", other), ("127.0.0.1", other + 1), "PCMU", 0, ((0, "PCMU"),))
            self.workers.send(OpenStream(name, port, "x@test"), ConfigureStream(name, config))


@pytest.mark.slow
def test_two_workers_and_one_that_dies() -> None:
    listener = Listener()
    workers = listener.workers
    try:
        ports = [listener.wait(PortsReady, lambda report, n=number: report.worker == n).ports[0] for number in range(2)]  # type: ignore[misc]
        listener.call(*ports)
        assert {listener.wait(StreamResumed).stream for _ in "ab"} == {"a", "b"}
        loads = [listener.wait(EngineLoad, lambda report, n=number: report.worker == n) for number in range(2)]  # type: ignore[misc]
        assert [load.streams for load in loads] == [1, 1]
        assert all(0 < load.cpu < 1 and load.ticks > 20 for load in loads)
        workers.send(ListDevices())
        listener.wait(DevicesListed)
        process = workers.hosts[1]._worker
        assert process is not None
        process.kill()
        trouble = listener.wait(EngineTrouble)
        assert (trouble.worker, trouble.streams) == (1, ("b",))
        assert trouble.reason.startswith("media worker 1 ended with exit code")
        assert listener.wait(StreamFailed).stream == "b"
        again = listener.wait(PortsReady, lambda report: report.worker == 1).ports[0]
        workers.send(CloseStream("b"))
        listener.call(ports[0], again)  # the stream in worker 0 still runs, and refuses to be opened again
        assert listener.wait(StreamFailed).reason == "already open"
        assert listener.wait(StreamResumed).stream == "b"
    finally:
        workers.close()
    assert {report.stream for report in listener.reports if isinstance(report, StreamClosed)} == {"a", "b"}
