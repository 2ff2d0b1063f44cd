"""Captures of calls: what is asked of the media, how they end, and how many there may be."""

from __future__ import annotations

import pytest

from offhook.errors import InvalidArgument, InvalidState, NotFound
from offhook.media import messages as media
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.captures import MOST_AT_ONCE, MOST_BYTES, MOST_SECONDS
from offhook.testing.phones import VirtualPhone, talk, two_phones
from offhook.testing.wire import Wire


def talking() -> tuple[VirtualPhone, VirtualPhone, str]:
    alice, bob = two_phones(Wire())
    return alice, bob, talk(alice, bob)[0]


def finished(phone: VirtualPhone) -> list[str]:
    return [event.reason for event in phone.events if isinstance(event, e.CaptureFinished)]


def test_a_capture_is_begun_told_and_stopped() -> None:
    alice, _, call = talking()
    assert alice.execute(c.Capture(keys=True)).call == call
    assert alice.did(media.CaptureStream) == [media.CaptureStream(call, MOST_BYTES, True)]
    started = next(event for event in alice.events if isinstance(event, e.CaptureStarted))
    assert (started.call.id, started.seconds, started.keys) == (call, 600.0, True)
    assert isinstance(alice.refuses(c.Capture()), InvalidState)
    assert alice.execute(c.StopCapture()).call == call
    alice.wire.run(alice.wire.now + 1)
    assert finished(alice) == ["stopped"]
    assert isinstance(alice.refuses(c.StopCapture()), NotFound)
    alice.execute(c.Capture())
    assert alice.did(media.CaptureStream)[-1] == media.CaptureStream(call, MOST_BYTES, False)


def test_it_ends_with_its_time_and_with_the_call() -> None:
    alice, bob, call = talking()
    alice.execute(c.Capture(seconds=5))
    alice.wire.run(alice.wire.now + 4.9)
    assert finished(alice) == []
    alice.wire.run(alice.wire.now + 0.2)
    assert finished(alice) == ["time"]
    alice.execute(c.Capture(seconds=5))
    bob.execute(c.Hangup())
    alice.wire.run(alice.wire.now + 10)
    assert finished(alice) == ["time", "call ended"]
    last = [event for event in alice.events if isinstance(event, e.CaptureFinished)][-1]
    assert (last.call.id, last.packets, last.size) == (call, 100, 20_000)


def test_a_full_capture_gives_the_stream_its_sockets_back() -> None:
    alice, _, call = talking()
    alice.execute(c.Capture())
    alice.receive(media.CaptureEnded(call, "full", 7, MOST_BYTES))
    assert finished(alice) == ["full"]
    assert alice.did(media.EndCapture) == [media.EndCapture(call)]
    alice.wire.run(alice.wire.now + 700)
    assert finished(alice) == ["full"]


def test_an_engine_that_died_takes_its_captures_along() -> None:
    alice, _, call = talking()
    alice.execute(c.Capture())
    alice.receive(media.EngineTrouble("it died", streams=(call,)))
    assert finished(alice) == ["engine failed"]


@pytest.mark.lengthy
def test_bounds() -> None:
    alice, bob, _ = talking()
    for seconds in (0.0, 0.5, MOST_SECONDS + 1):
        assert isinstance(alice.refuses(c.Capture(seconds=seconds)), InvalidArgument)
    alice.receive(alice.media.fresh_ports(8))
    bob.receive(bob.media.fresh_ports(8))
    calls = [talk(alice, bob, hold_others=False)[0] for _ in range(MOST_AT_ONCE)]
    for call in calls:
        alice.execute(c.Capture(call=call))
    refused = alice.refuses(c.Capture(call=next(iter(alice.calls))))
    assert "captured already" in refused.detail
    alice.execute(c.StopCapture(call=calls[0]))
    alice.wire.run(alice.wire.now + 1)
    alice.execute(c.Capture(call=next(iter(alice.calls))))


def test_a_call_without_sound_cannot_be_captured() -> None:
    wire = Wire()
    alice, bob = VirtualPhone(wire, "alice", "10.0.0.1"), VirtualPhone(wire, "bob", "10.0.0.2", ports=0)
    alice.dial(bob)
    wire.run_until(lambda: bool(bob.calls), 60)
    assert isinstance(bob.refuses(c.Capture()), InvalidState)


@pytest.mark.parametrize("command", [c.Capture(call="c_99"), c.StopCapture(call="c_99")])
def test_what_is_no_call(command: c.Command) -> None:
    alice, _, _ = talking()
    assert isinstance(alice.refuses(command), NotFound)
