"""Many calls leave nothing: a short form of `bench/bench_load.py`, which makes 200,000 in virtual time and 20,000 real ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from offhook.testing.load import Growth, Holdings, RealLoad, real_calls, virtual_calls
from offhook.testing.process import phone_process


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_calls_in_virtual_time_leave_memory_as_it_was() -> None:
    grown = virtual_calls(4000, 2000)
    assert grown.ended == grown.calls == 4000
    # Only a twentieth of the long run: the interpreter's own store still moves a little.
    assert grown.percent < 10.0


@pytest.mark.interop
@pytest.mark.timeout(300)
def test_real_calls_leave_descriptors_threads_and_memory_as_they_were(tmp_path: Path) -> None:
    with phone_process(tmp_path, '[phone]\nauto_answer = "all"\n') as phone:
        load = real_calls(phone, 400, 200, 20.0)
        assert (load.succeeded, load.failed) == (400, 0)
        assert phone.ask("status")["value"]["calls"] == 0
    assert load.after.descriptors <= load.before.descriptors
    assert load.after.threads <= load.before.threads
    assert load.percent < 20.0


def test_growth_is_told_in_percent_of_what_was_there() -> None:
    assert Growth(10, 10, 100, 104).percent == pytest.approx(4.0)
    held = Holdings(200, 1, 1)
    assert RealLoad(1, 0, held, Holdings(190, 1, 1), 1.0).percent == pytest.approx(-5.0)
