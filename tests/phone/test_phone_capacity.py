"""At its limit the phone refuses new calls and says so; those that run do not notice."""

from __future__ import annotations

import pytest

from offhook.errors import TooManyCalls
from offhook.media import messages as media
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.capacity import AGAIN
from offhook.phone.settings import PhoneSettings
from offhook.phone.workers import PATIENCE
from offhook.testing.phones import VirtualPhone, settle
from offhook.testing.wire import Wire

CALLS = 40


def world(**settings: object) -> tuple[VirtualPhone, VirtualPhone]:
    """A phone that answers everything, and one that calls it."""
    wire = Wire()
    server = VirtualPhone(
        wire, "server", "10.0.0.1", PhoneSettings(auto_answer="all", **settings), ports=3 * CALLS  # type: ignore[arg-type]
    )  # fmt: skip
    caller = VirtualPhone(wire, "caller", "10.0.0.2", PhoneSettings(call_waiting=True), ports=3 * CALLS)
    return server, caller


def rush(caller: VirtualPhone, server: VirtualPhone, count: int) -> list[str]:
    """Dial so many times, as fast as it goes."""
    calls = [caller.dial(server, hold_others=False) for _ in range(count)]
    settle(caller.wire, 3)
    return calls


def ends(phone: VirtualPhone) -> list[int]:
    return [event.call.end.sip_status for event in phone.of(e.CallEnded) if event.call.end is not None]


@pytest.mark.lengthy
@pytest.mark.parametrize(("setting", "status"), [(0, 486), (486, 486), (503, 503)])
def test_twice_as_many_calls_as_there_can_be(setting: int, status: int) -> None:
    server, caller = world(max_calls=CALLS, overload_status=setting)
    calls = rush(caller, server, 2 * CALLS)
    assert len(server.calls) == CALLS
    assert ends(caller) == [status] * CALLS
    assert len(set(calls) & set(caller.calls)) == CALLS
    assert all(call.state == "active" for call in server.calls.values())
    (told,) = server.of(e.SystemOverloaded)
    assert (told.reason, told.calls, told.status) == (f"{CALLS} calls are running, which is the limit", CALLS, status)
    assert not server.of(e.SystemRelieved)
    settle(caller.wire, 60)
    assert len(server.calls) == CALLS, "who runs goes on"
    caller.execute(c.Hangup(call=next(iter(caller.calls))))
    settle(caller.wire, 1)
    assert [event.refused for event in server.of(e.SystemRelieved)] == [CALLS]
    rush(caller, server, 2)
    assert len(server.calls) == CALLS
    assert len(server.of(e.SystemOverloaded)) == 2


@pytest.mark.lengthy
def test_what_the_media_can_carry_is_a_limit_too() -> None:
    server, caller = world()
    rush(caller, server, CALLS)
    for _ in range(PATIENCE):
        server.receive(media.EngineLoad(0, CALLS, cpu=0.95))
    assert not server.of(e.SystemOverloaded), "nobody has asked for anything yet"
    rush(caller, server, CALLS)
    assert len(server.calls) == CALLS
    assert ends(caller) == [503] * CALLS
    assert server.of(e.SystemOverloaded)[0].reason == "the media uses 95 % of a core, the limit is 85 %"
    refusal = server.refuses(c.Dial(to="sip:x@10.0.0.2"))
    assert isinstance(refusal, TooManyCalls)
    assert "95 % of a core" in str(refusal)
    for _ in range(2 * PATIENCE):
        server.receive(media.EngineLoad(0, CALLS, cpu=0.3))
    assert [event.refused for event in server.of(e.SystemRelieved)] == [CALLS]
    rush(caller, server, 1)
    assert len(server.calls) == CALLS + 1


def test_the_refusal_says_when_to_try_again() -> None:
    server, caller = world()
    for _ in range(PATIENCE):
        server.receive(media.EngineLoad(0, 1, cpu=0.95))
    rush(caller, server, 1)
    (answer,) = [data for data in sent_by(server) if data.startswith(b"SIP/2.0 503")]
    assert f"\r\nRetry-After: {AGAIN}\r\n".encode() in answer


def sent_by(phone: VirtualPhone) -> list[bytes]:
    return [sent.data for sent in phone.wire.sent if sent.data.startswith(b"SIP/2.0")]


def test_the_load_can_be_no_limit() -> None:
    server, caller = world(max_load=0.0)
    for _ in range(PATIENCE):
        server.receive(media.EngineLoad(0, 100, cpu=1.0, late=1.0))
    rush(caller, server, 2)
    assert len(server.calls) == 2
