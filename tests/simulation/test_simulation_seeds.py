"""A handful of simulated storms, each with its laws; `make simulate SEEDS=2000` runs many more."""

from __future__ import annotations

import pytest

from offhook.phone import commands as c
from offhook.phone.model import CallState
from offhook.testing import simulation
from offhook.testing.simulation import Violation, World, again, simulate

SEEDS = (1, 2, 3, 1969)  # and 4 and 5 further down
"""In 1969 a REFER in a call whose ACK never came was left without an answer for ever."""


@pytest.mark.lengthy
@pytest.mark.parametrize("seed", SEEDS)
def test_every_law_holds_after_the_storm(seed: int) -> None:
    try:
        simulate(seed)
    except Violation as error:
        pytest.fail(f"{error}\nto see it again: {again(seed)}")


@pytest.mark.lengthy
def test_a_seed_is_one_run_exactly() -> None:
    assert simulate(4).digest() == simulate(4).digest() != simulate(5).digest()


@pytest.mark.lengthy
def test_what_happens_can_be_read() -> None:
    lines: list[str] = []
    simulate(2, lines.append)
    assert any("Dial" in line for line in lines)
    assert any(line.endswith(" calm") for line in lines)


def test_ends_that_do_not_agree_are_found() -> None:
    world = World(9)
    one, two = world.lines[:2]
    world.wire.run(5.0)
    call = one.phone.dial(two.phone)
    world.wire.run(10.0)
    with pytest.raises(Violation, match="long after the storm"):
        world.check_calls()
    two.phone.execute(c.Answer())
    world.wire.run(15.0)
    world.check_calls()
    one.phone.calls[call].state = CallState.HELD_REMOTE
    with pytest.raises(Violation, match="do not agree"):
        world.check_calls()


def test_an_illegal_order_of_events_is_found() -> None:
    world = World(9)
    one, two = world.lines[:2]
    world.wire.run(5.0)
    one.phone.dial(two.phone)
    world.wire.run(10.0)
    world.check_events()
    one.phone.events.reverse()
    with pytest.raises(Violation, match="went from"):
        world.check_events()


def test_a_call_that_nobody_dialled_is_found() -> None:
    world = World(9)
    one, two = world.lines[:2]
    world.wire.run(5.0)
    one.phone.dial(two.phone)
    world.wire.run(10.0)
    world.check_dialled_once()
    one.phone.events.clear()
    with pytest.raises(Violation, match="dialled 0 times"):
        world.check_dialled_once()


def test_the_command_line_counts_and_names_what_failed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    monkeypatch.setattr(simulation, "run_many", lambda seeds, jobs, seconds: ((seed, "broken" * (seed == 2)) for seed in seeds))
    assert simulation.main(["--seeds", "1-3"]) == 1
    told = capsys.readouterr().out
    assert "3 seeds" in told
    assert "1 failed" in told
    assert "--seeds 2 --trace" in told
