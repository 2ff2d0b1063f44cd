"""When a call is given up because its packets cannot be sent."""

from __future__ import annotations

from offhook.io.media_failures import PATIENCE_S, Failures


def fail(failures: Failures, since: float, seconds: float) -> list[bool]:
    """Let a packet fail every 20 ms."""
    return [failures.failed(4000, since + number * 0.02, for_good=False) for number in range(round(seconds / 0.02))]


def test_a_network_that_is_gone_for_a_while_costs_no_call() -> None:
    failures = Failures()
    assert not any(fail(failures, 0.0, PATIENCE_S - 0.1))


def test_one_that_stays_away_does_and_is_told_once() -> None:
    failures = Failures()
    assert fail(failures, 0.0, PATIENCE_S * 2).count(True) == 1


def test_short_troubles_do_not_add_up() -> None:
    failures = Failures()
    for number in range(20):
        assert not any(fail(failures, number * 100.0, 5.0))  # what was sent between, by another socket, nobody has told
    for number in range(20):
        assert not any(fail(failures, 5000 + number * 6.0, 5.0))
        failures.forget(4000)
    assert not failures


def test_a_socket_that_is_broken_is_told_at_once_and_once() -> None:
    failures = Failures()
    assert failures.failed(4000, 0.0, for_good=True)
    assert not failures.failed(4000, 0.0, for_good=True)
    failures.forget(4000)
    assert failures.failed(4000, 1.0, for_good=True)
