"""Many calls through a bad network: every one is told in a legal order and leaves nothing behind."""

from __future__ import annotations

import random
import re

import pytest

from offhook.errors import CommandError
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.testing.phones import VirtualPhone, over, settle
from offhook.testing.wire import Weather, Wire

pytestmark = pytest.mark.slow

NAMES = ("alice", "bob", "carol")


def act(phone: VirtualPhone, others: list[VirtualPhone], chance: random.Random) -> None:
    """Do anything a person might, whether or not it fits; a refusal must change nothing."""
    def someone() -> str:
        return f"sip:offhook@{chance.choice(others).host}"

    command = chance.choice((
        *(c.Dial(to=someone(), hold_others=chance.random() < 0.7, ring_timeout=15.0) for _ in range(3)),
        *(c.Answer() for _ in range(9)), *(c.Transfer(to=someone(), call="last") for _ in range(2)),
        *(c.AcceptTransfer(call="last") for _ in range(4)), c.Hold(call="last"), c.Resume(call="last"), c.Reject(), c.Hangup(),
        c.Hangup(call="last"), c.Hold(), c.Resume(), c.ToggleHold(),
        c.SendDtmf(digits="12", method=chance.choice(("info", "auto"))), c.Transfer(to=someone()), c.AcceptTransfer(),
        c.RejectTransfer(), c.Redirect(to=someone()), c.SetDnd(enabled=chance.random() < 0.1), c.StopPlay(), c.StopRecord(),
        c.SendMessage(to=someone(), text="hello"), c.Mute(call="last"), c.Play(tone="440"), c.Record(),
        c.TransferAttended(), c.TransferAttended(), c.TransferAttended(call="last", with_call="active"),
    ))
    before, said = phone.snapshot(), len(phone.events)
    try:
        phone.execute(command)
    except CommandError as error:
        if not re.search(r"call \S+: .*(common|codec|description)", error.detail):
            assert phone.snapshot() == before, command
            assert len(phone.events) == said, command


@pytest.mark.parametrize(("loss", "seed"), [(loss, seed) for loss in (0.0, 0.1, 0.3) for seed in range(4)])
def test_anything_at_any_moment(loss: float, seed: int) -> None:
    wire = Wire(seed, Weather(loss=loss, duplicate=loss / 2, jitter=0.05))
    phones = [VirtualPhone(wire, name, f"10.0.0.{number}", ports=64) for number, name in enumerate(NAMES, 1)]
    chance = random.Random(seed)
    for _ in range(800):
        phone = chance.choice(phones)
        act(phone, [other for other in phones if other is not phone], chance)
        settle(wire, chance.choice((0.0, 0.01, 0.05, 0.5, 2.0, 8.0)))
    for phone in phones:
        phone.check_laws()
        phone.execute(c.HangupAll())
    over(*phones)
    for phone in phones:
        operations = {event.operation for event in phone.events if isinstance(event, e.OperationSucceeded | e.OperationFailed)}
        for operation in operations:
            phone.outcome(operation)
        begun = phone.phone.desk._operations
        missing = [f"op_{number}" for number in range(1, begun + 1) if f"op_{number}" not in operations]
        assert not missing, f"{phone.name}: never ended: {missing}"


def test_two_hundred_calls_leave_nothing() -> None:
    wire = Wire(7, Weather(loss=0.1, duplicate=0.05, jitter=0.02))
    alice, bob = VirtualPhone(wire, "alice", "10.0.0.1"), VirtualPhone(wire, "bob", "10.0.0.2")

    def answer(event: e.Event) -> None:
        if isinstance(event, e.CallIncoming):
            wire.at(wire.now + 0.5, lambda: reply(event.call.id))

    def reply(call: str) -> None:
        if call in bob.calls:
            number = len(bob.of(e.CallIncoming)) % 3
            bob.execute((c.Answer(call=call), c.Reject(call=call), c.Hangup(call=call))[number])

    bob.on_event = answer
    for number in range(200):
        call = alice.dial(bob, hold_others=False)
        wire.run_until(lambda call=call: call not in alice.calls or alice.calls[call].is_connected, 60)  # type: ignore[misc]
        settle(wire, 1)
        if call in alice.calls:
            (alice if number % 2 else bob).execute(c.HangupAll())
    over(alice, bob)
    assert len(alice.of(e.CallEnded)) == 200
    assert len(bob.of(e.CallEnded)) == len(bob.of(e.CallIncoming))
    assert len(alice.phone.desk.ended) == 100, "only so many ended calls are remembered"
    assert alice.phone.desk.workers.ports == 4, "every port came back"
    ends = [event.call.end for event in alice.of(e.CallEnded)]
    assert {end.sip_status for end in ends if end is not None} == {0, 486, 603}
