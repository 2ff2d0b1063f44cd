"""Hold, resume and the stream that follows from them."""

from __future__ import annotations

from offhook.errors import InvalidState, NotFound
from offhook.media import messages as media
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.model import CallState
from offhook.testing.phones import over, rings, settle, talk, two_phones
from offhook.testing.wire import Wire


def test_the_stream_follows_the_call() -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    assert [type(command).__name__ for command in alice.media.commands if getattr(command, "stream", "") == call] == [
        "OpenStream", "ConfigureStream", "ConfigureStream"]  # what comes before the answer is heard, too
    assert alice.did(media.OpenStream)[0].sound
    config = alice.did(media.ConfigureStream)[-1].config
    assert (config.codec, config.direction, config.remote[0], config.telephone_event) == ("PCMU", "sendrecv", "10.0.0.2", 101)
    assert config.remote[1] == bob.did(media.OpenStream)[0].port
    alice.execute(c.Hold())
    settle(alice.wire, 2)
    assert alice.did(media.ConfigureStream)[-1].config.direction == "sendonly"
    alice.execute(c.Hangup())
    assert alice.did(media.CloseStream) == [media.CloseStream(call)]
    over(alice, bob)


def test_hold_is_for_answered_calls() -> None:
    alice, bob = two_phones(Wire())
    settle(alice.wire, 1)
    for command in (c.Hold(), c.Resume(), c.ToggleHold()):
        assert isinstance(alice.refuses(command), NotFound)
    alice.dial(bob)
    alice.wire.run_until(rings(bob))
    for command in (c.Hold(), c.Resume(), c.ToggleHold()):
        assert isinstance(alice.refuses(command), InvalidState)
        assert isinstance(bob.refuses(command), InvalidState)


def test_what_is_held_is_resumed_by_the_same_command() -> None:
    alice, bob = two_phones(Wire())
    talk(alice, bob)
    for state, seen in ((CallState.HELD_LOCAL, CallState.HELD_REMOTE), (CallState.ACTIVE, CallState.ACTIVE)):
        operation = alice.execute(c.ToggleHold()).operation
        settle(alice.wire, 2)
        assert isinstance(alice.outcome(operation), e.OperationSucceeded)
        assert (alice.states, bob.states) == ([state], [seen])


def test_held_already_is_fine() -> None:
    alice, bob = two_phones(Wire())
    talk(alice, bob)
    assert alice.execute(c.Resume()).operation == ""
    alice.execute(c.Hold())
    settle(alice.wire, 2)
    assert alice.execute(c.Hold()).operation == ""
    assert alice.types.count("call.held") == 1


def test_a_later_command_overtakes_an_earlier_one() -> None:
    alice, bob = two_phones(Wire())
    talk(alice, bob)
    one, two, three = (alice.execute(command).operation for command in (c.Hold(), c.Resume(), c.Hold()))
    settle(alice.wire, 5)
    assert alice.states == [CallState.HELD_LOCAL]
    assert isinstance(alice.outcome(one), e.OperationSucceeded)
    assert isinstance(alice.outcome(three), e.OperationSucceeded)
    failed = alice.outcome(two)
    assert isinstance(failed, e.OperationFailed)
    assert "later command" in failed.reason


def test_a_far_end_that_vanished() -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    del alice.wire.nodes[bob.node.address]
    operation = alice.execute(c.Hold()).operation
    settle(alice.wire, 40)
    assert isinstance(alice.outcome(operation), e.OperationFailed)
    end = alice.ended(call).end
    assert end is not None
    assert end.by == "network"
    settle(alice.wire, 40)
    alice.check_laws()
    alice.check_empty()
