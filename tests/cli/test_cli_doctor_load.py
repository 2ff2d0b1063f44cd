"""What the doctor says of a running phone's load: room for more calls, sound in time, a slow event loop."""

from __future__ import annotations

from pathlib import Path

import pytest
from doctor_case import case_in, settings
from msgspec import to_builtins

from offhook.cli.doctor import load
from offhook.cli.doctor.case import Case, PhoneFacts
from offhook.cli.doctor.finding import Finding
from offhook.phone.model import LoadView, WorkerView


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.setattr("offhook.storage.secrets._keyring_backend", lambda: None)
    return case_in(tmp_path)


def busy(case: Case, *workers: WorkerView, lag_ms: float = 0.0) -> dict[str, Finding]:
    case.phone = PhoneFacts({"load": to_builtins(LoadView(workers, lag_ms, 120.0)), "max_calls": case.config.phone.max_calls})
    return {finding.name: finding for finding in load.look_at_load(case)}


def worker(
    number: int = 0, *, calls: int = 0, cpu: float = 0.0, late: float = 0.0, full: bool = False, ticks: int = 50_000
) -> WorkerView:
    return WorkerView(number, calls, calls, cpu, 10.0, late, 34.0, ticks, round(late * ticks), full)


def test_there_is_nothing_to_say_of_a_phone_that_does_not_run_or_tell(case: Case) -> None:
    assert list(load.look_at_load(case)) == []
    case.phone = PhoneFacts()
    assert list(load.look_at_load(case)) == []


def test_room_by_what_a_call_costs(case: Case) -> None:
    found = busy(case, worker(calls=200, cpu=0.20))
    assert found["capacity"] == Finding(
        "capacity", "ok", "200 calls; the media uses 20 % of a core: room for about 650 more calls")
    assert found["capacity, sound"].text == "in time: 0.0 % of the media's ticks came more than 10 ms late"
    found = busy(case, worker(calls=2, cpu=0.05))
    assert "2 calls; the media uses 5 % of a core: room for about 400 more calls" in found["capacity"].text
    assert "1 call;" in busy(case, worker(calls=1))["capacity"].text
    found = busy(case, worker(calls=100, cpu=0.45), worker(1, calls=100, cpu=0.65))
    assert "the media uses 45 %, 65 % of a core each: room for about 118 more calls" in found["capacity"].text


def test_room_by_a_stated_number(case: Case) -> None:
    settings(case, "phone", max_calls=20)
    found = busy(case, worker(calls=12, cpu=0.02))["capacity"]
    assert (found.level, found.text) == (
        "ok", "12 calls; the media uses 2 % of a core; phone.max_calls is 20: room for 8 more calls")
    found = busy(case, worker(calls=19, cpu=0.02))["capacity"]
    assert (found.level, found.advice) == ("warning", "raise phone.max_calls, or let callers go elsewhere")
    assert found.text.endswith("room for 1 more call")
    found = busy(case, worker(calls=20, cpu=0.02))["capacity"]
    assert (found.level, found.advice) == ("wrong", "raise phone.max_calls, or let callers go elsewhere")
    assert found.text.endswith("new calls are refused")


def test_a_worker_that_is_full(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    found = busy(case, worker(calls=800, cpu=0.80))["capacity"]
    assert found.level == "warning", "room for 50 more is little beside 800"
    assert found.advice == 'this machine has 4 cores: set media.workers = 2, sound = "null" (docs/capacity.md)'
    found = busy(case, worker(calls=800, cpu=0.90, full=True))["capacity"]
    assert (found.level, found.text) == ("wrong", "800 calls; the media uses 90 % of a core: new calls are refused")
    assert "media.workers = 2" in found.advice
    settings(case, "media", sound="null")
    found = busy(case, worker(calls=800, cpu=0.90, full=True), worker(1, calls=10, cpu=0.01))["capacity"]
    assert found.level == "ok", "the other one takes them"
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert "another machine" in busy(case, worker(calls=800, cpu=0.90, full=True))["capacity"].advice


def test_no_limit_at_all(case: Case) -> None:
    settings(case, "phone", max_load=0.0)
    found = busy(case, worker(calls=800, cpu=0.99))["capacity"]
    assert (found.level, "phone.max_load = 0.85" in found.advice) == ("warning", True)
    settings(case, "phone", max_calls=900)
    assert busy(case, worker(calls=10, cpu=0.01))["capacity"].text.endswith("room for 890 more calls")


def test_sound_that_is_late(case: Case) -> None:
    found = busy(case, worker(calls=3, cpu=0.1, late=0.03))["capacity, sound"]
    assert (found.level, found.text) == (
        "warning", "3.0 % of media worker 0's ticks came more than 10 ms late, the latest of the last second by 34 ms: "
        "callers hear gaps")
    assert "something else keeps this machine busy" in found.advice
    assert "phone.max_calls" in busy(case, worker(calls=300, cpu=0.7, late=0.03))["capacity, sound"].advice
    assert "capacity, sound" not in busy(case, worker(calls=1, late=0.5, ticks=100)), "too few to judge by"
    assert busy(case, worker(), worker(1, late=0.2))["capacity, sound"].level == "warning"


def test_a_slow_event_loop(case: Case) -> None:
    assert "capacity, commands" not in busy(case, worker(), lag_ms=3.0)
    found = busy(case, worker(), lag_ms=80.0)["capacity, commands"]
    assert "wait 80 ms for the phone's own process (the longest so far: 120 ms)" in found.text
