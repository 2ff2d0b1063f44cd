"""The meter of the packet loop."""

from __future__ import annotations

import time

import pytest

from offhook.io.media_load import LoadMeter
from offhook.io.media_wire import MediaOptions
from offhook.media.messages import EngineLoad


def test_a_second_in_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = iter((5.0, 5.0, 5.25, 5.25, 5.75, 5.75))
    monkeypatch.setattr(time, "thread_time", lambda: next(cpu))
    meter = LoadMeter(2)
    meter.rest(100.0)
    for late in (0.001, 0.011, 0.004, 0.030):
        meter.note(late)
    assert meter.due == 101.0
    assert meter.report(101.0, 7) == EngineLoad(2, 7, cpu=0.25, late=0.5, latest_ms=30.0, cpu_s=5.25, ticks=4, late_ticks=2)
    meter.note(0.002)
    assert meter.report(103.0, 0) == EngineLoad(2, 0, cpu=0.25, late=0.0, latest_ms=2.0, cpu_s=5.75, ticks=5, late_ticks=2)


def test_workers_share_the_ports() -> None:
    options = MediaOptions(port_range=(40001, 40999))
    ranges = [options.share(worker, 3).port_range for worker in range(3)]
    assert ranges == [(40002, 40333), (40334, 40665), (40666, 40999)]
    assert MediaOptions().share(1, 2) == MediaOptions(worker=1, workers=2)
