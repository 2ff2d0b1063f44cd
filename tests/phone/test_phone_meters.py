"""Level meters of calls: who may have them, at what rate, and what is told."""

from __future__ import annotations

import pytest

from offhook.errors import InvalidArgument, InvalidState
from offhook.media import messages as media
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.meters import LEAST_CALL_INTERVAL_MS, METERED_CALLS
from offhook.testing.phones import VirtualPhone, settle, talk, two_phones
from offhook.testing.wire import Wire


def test_levels_are_told_while_somebody_asks() -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    assert not alice.did(media.MeterStream), "off unless asked for"
    alice.execute(c.MeterCall(interval_ms=100, seconds=5))
    alice.execute(c.MeterCall(seconds=0))
    assert alice.did(media.MeterStream) == [media.MeterStream(call, 100, 5000), media.MeterStream(call, 200, 0)]
    alice.receive(media.StreamLevels(call, -20.5, -96.0))
    alice.receive(media.StreamLevels("somebody", -20.5, -96.0))
    assert [(event.call.id, event.near_db, event.far_db) for event in alice.of(e.CallLevel)] == [(call, -20.5, -96.0)]


@pytest.mark.parametrize("command", [
    c.MeterCall(interval_ms=LEAST_CALL_INTERVAL_MS - 1), c.MeterCall(interval_ms=10_001), c.MeterCall(seconds=-1),
    c.MeterCall(seconds=3601), c.MeterCall(seconds=float("nan")),
])  # fmt: skip
def test_a_meter_that_is_refused(command: c.MeterCall) -> None:
    alice, bob = two_phones(Wire())
    talk(alice, bob)
    assert isinstance(alice.refuses(command), InvalidArgument)


def test_a_call_without_sound_has_no_level() -> None:
    alice, _ = two_phones(Wire())
    settle(alice.wire, 1)
    call = alice.dial("sip:x@10.0.0.77")
    alice.calls[call].port = 0
    assert isinstance(alice.refuses(c.MeterCall(call=call)), InvalidState)


def test_so_many_calls_at_once_and_no_more() -> None:
    wire = Wire()
    ports = 2 * METERED_CALLS
    alice, bob = VirtualPhone(wire, "a", "10.0.0.1", ports=ports), VirtualPhone(wire, "b", "10.0.0.2", ports=ports)
    calls = [talk(alice, bob, hold_others=False)[0] for _ in range(METERED_CALLS + 1)]
    for call in calls[:-1]:
        alice.execute(c.MeterCall(call=call, seconds=3000))
    alice.execute(c.MeterCall(call=calls[0], seconds=3000))  # again is not one more
    assert isinstance(alice.refuses(c.MeterCall(call=calls[-1])), InvalidState)
    alice.execute(c.MeterCall(call=calls[0], seconds=0))
    alice.execute(c.MeterCall(call=calls[-1], seconds=10))
    assert isinstance(alice.refuses(c.MeterCall(call=calls[0])), InvalidState)
    settle(wire, 11)
    alice.execute(c.MeterCall(call=calls[0], seconds=3000))  # the last one's time is over
    assert isinstance(alice.refuses(c.MeterCall(call=calls[-1])), InvalidState)
    alice.execute(c.Hangup(call=calls[1]))
    alice.execute(c.MeterCall(call=calls[-1]))
