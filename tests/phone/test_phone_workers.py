"""Media workers as the phone sees them: which calls go where, when one is full, and who can be joined."""

from __future__ import annotations

import pytest

from offhook.errors import InvalidState, NotFound
from offhook.media import messages as media
from offhook.phone import commands as c
from offhook.phone.workers import LATE_STREAMS, PATIENCE, PORTS_HELD, Workers
from offhook.testing.phones import VirtualPhone, settle, two_phones
from offhook.testing.wire import Wire


def load(cpu: float, streams: int = 100, late: float = 0.0, worker: int = 0) -> media.EngineLoad:
    return media.EngineLoad(worker, streams, cpu=cpu, late=late)


def three() -> Workers:
    workers = Workers(0.8)
    for number in range(3):
        workers.ready(number, range(1000 * number, 1000 * number + 20, 2))
    return workers


def test_calls_go_where_there_are_fewest() -> None:
    workers = three()
    assert sorted(workers.place() for _ in range(6)) == [0, 0, 1, 1, 2, 2]
    workers.leave(1)
    assert workers.place() == 1
    assert workers.place(beside=2) == 2


def test_a_worker_without_ports_or_with_too_much_to_do_is_spared() -> None:
    workers = three()
    while workers.has_port(0):
        workers.take_port(0)
    for _ in range(PATIENCE):
        workers.note(load(0.9, worker=1))
    assert {workers.place() for _ in range(20)} == {2}
    assert workers.busy() == ""


def test_all_must_be_busy_before_a_call_is_refused() -> None:
    workers = three()
    for number in range(3):
        assert workers.busy() == ""
        for _ in range(PATIENCE):
            workers.note(load(0.9, worker=number))
    assert workers.busy() == "the media uses 90 % of a core, the limit is 80 %"
    for _ in range(PATIENCE):
        workers.note(load(0.75))
    assert workers.busy(), "not yet well below the limit"
    for _ in range(10):
        workers.note(load(0.5))
    assert workers.busy() == ""


def test_one_bad_second_is_none() -> None:
    workers = Workers(0.8)
    workers.note(load(0.2))
    for _ in range(PATIENCE - 1):
        workers.note(load(0.2, late=0.5))
    workers.note(load(0.2))
    workers.note(load(0.2, late=0.5))
    assert not workers.views()[0].full


def test_lateness_counts_where_it_is_our_doing() -> None:
    workers = Workers(0.8)
    for _ in range(PATIENCE):
        workers.note(load(0.2, streams=LATE_STREAMS - 1, late=0.5))
    assert workers.busy() == ""
    for _ in range(PATIENCE):
        workers.note(load(0.2, streams=LATE_STREAMS, late=0.5))
    assert workers.busy() == "sound is late: 50.0 % of its ticks came more than 10 ms after their time"


def test_a_rush_is_foreseen() -> None:
    """The figures are a second old; calls that have come since cost something, too."""
    workers = Workers(0.8)
    for _ in range(100):
        workers.place()
    workers.note(load(0.1, streams=100))
    for _ in range(600):
        workers.place()
    assert workers.busy() == ""
    for _ in range(101):
        workers.place()
    assert "80 % of a core" in workers.busy()


def test_a_few_calls_say_little_about_many() -> None:
    workers = Workers(0.8)
    workers.place()
    workers.note(load(0.05, streams=1))
    for _ in range(300):
        workers.place()
    assert workers.busy() == ""


def test_a_worker_without_calls_is_free_at_once() -> None:
    """Its last report is of the second in which the calls ended; there will be no other."""
    workers = Workers(0.8)
    for _ in range(PATIENCE):
        workers.note(load(0.95))
    workers.note(load(0.95, streams=0))
    assert workers.busy() == ""


def test_without_a_limit_there_is_none() -> None:
    workers = Workers(0.0)
    for _ in range(10):
        workers.note(load(1.0, late=1.0))
    assert workers.busy() == ""


def test_a_worker_that_was_started_again_begins_anew() -> None:
    workers = Workers(0.8)
    workers.ready(0, range(0, 2 * PORTS_HELD + 100, 2))
    assert workers.ports == PORTS_HELD
    workers.place()
    for _ in range(PATIENCE):
        workers.note(load(0.9))
    workers.gone(0)
    assert (workers.ports, workers.busy(), workers.views()[0].calls) == (0, "", 1)


# --- in a phone


def two_workers() -> tuple[VirtualPhone, VirtualPhone]:
    alice, bob = two_phones(Wire())
    alice.receive(media.PortsReady((6000, 6002, 6004, 6006), 1))
    return alice, bob


def connect(alice: VirtualPhone, bob: VirtualPhone, **options: object) -> str:
    call = alice.dial(bob, **options)
    settle(alice.wire, 1)
    bob.execute(c.Answer())
    settle(alice.wire, 1)
    return call


def test_calls_are_spread_and_their_commands_follow_them() -> None:
    alice, bob = two_workers()
    first, second = connect(alice, bob), connect(alice, bob, hold_others=False)
    assert [alice.calls[name].worker for name in (first, second)] == [0, 1]
    assert alice.did(media.PlaceStream) == [media.PlaceStream(second, 1)]
    assert alice.calls[second].port == 6000
    alice.execute(c.Hangup(call=second))
    assert alice.did(media.CloseStream) == [media.CloseStream(second)]
    assert [view.calls for view in alice.phone.desk.workers.views()] == [1, 0]


def test_calls_that_belong_together_are_in_one_place() -> None:
    alice, bob = two_workers()
    first = connect(alice, bob)
    held_for = connect(alice, bob)
    beside = connect(alice, bob, hold_others=False, beside=first)
    assert {alice.calls[name].worker for name in (first, held_for, beside)} == {0}
    alice.execute(c.CreateConference(calls=(first, held_for, beside)))
    assert isinstance(alice.refuses(c.Dial(to="sip:x@10.0.0.2", beside="nobody")), NotFound)


def test_calls_in_different_workers_cannot_be_joined() -> None:
    alice, bob = two_workers()
    first, second = connect(alice, bob), connect(alice, bob, hold_others=False)
    refusal = alice.refuses(c.CreateConference(id="room", calls=(first, second)))
    assert isinstance(refusal, InvalidState)
    assert f"dial one of them again with beside={first}" in str(refusal)
    alice.execute(c.CreateConference(id="room", calls=(second,)))
    assert isinstance(alice.refuses(c.JoinConference(conference="room", call=first)), InvalidState)


def test_a_worker_that_dies_takes_only_its_calls_along() -> None:
    alice, bob = two_workers()
    first, second = connect(alice, bob), connect(alice, bob, hold_others=False)
    alice.execute(c.OpenAudio(call=first))
    alice.execute(c.OpenAudio(call=second))
    alice.receive(media.EngineTrouble("media worker 1 ended with exit code -9", worker=1, streams=(second,)))
    alice.receive(media.StreamFailed(second, "media worker 1 ended with exit code -9"))
    settle(alice.wire, 1)
    assert set(alice.calls) == {first}
    assert set(alice.phone.audio.links.values()) == {first}
    assert "system.error" in alice.types
    third = alice.dial(bob, hold_others=False)
    assert alice.calls[third].worker == 0, "the other one has no port yet"
    alice.receive(media.PortsReady((7000,), 1))
    assert connect(alice, bob, hold_others=False) in alice.calls


def test_an_unanswered_call_leaves_no_trace_in_its_worker() -> None:
    alice, bob = two_workers()
    connect(alice, bob)
    while alice.phone.desk.workers.has_port(1):
        alice.phone.desk.workers.take_port(1)
    while alice.phone.desk.workers.has_port(0):
        alice.phone.desk.workers.take_port(0)
    waiting = alice.dial(bob, hold_others=False)
    assert (alice.calls[waiting].worker, alice.calls[waiting].port) == (1, 0)
    alice.execute(c.Hangup(call=waiting))
    assert media.CloseStream(waiting) in alice.did(media.CloseStream)


@pytest.mark.parametrize("late_ms", [0.0, 300.0])
def test_only_an_engine_that_was_started_again_loses_its_ports(late_ms: float) -> None:
    alice, _ = two_workers()
    before = alice.phone.desk.workers.ports
    alice.receive(media.EngineTrouble("trouble", late_ms, worker=1))
    assert alice.phone.desk.workers.ports == (before if late_ms else before - 4)
