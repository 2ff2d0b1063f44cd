"""What one window message is answered: the ten commands, the atom of ACTIVECALL, requests in JSON."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from windows_world import ENDED, FakeReach

from offhook.control.access import Client
from offhook.control.legacy.copydata import COPYDATA
from offhook.control.operations import Operations
from offhook.control.windows.messages import Answer, Messages
from offhook.control.windows.reach import REQUEST
from offhook.control.windows.subscribers import SUBSCRIBE
from offhook.phone import commands as c
from offhook.phone.events import AuditCommand
from offhook.phone.model import StatusView
from offhook.testing.backend import FakeBackend

OWN = 7
ACTIVECALL = COPYDATA["ACTIVECALL"].code


def messages(backend: FakeBackend, reach: FakeReach, calls_per_minute: int = 0) -> Messages:
    return Messages(Operations(backend, clock=lambda: 0.0), Client("window", calls_per_minute=calls_per_minute), reach)


def in_a_call(backend: FakeBackend, remote: str = "sip:ü@pbx") -> None:
    backend.status = StatusView(code=2, name="ACTIVE", call="c_1", remote=remote, calls=1)


async def test_activecall_is_an_atom_and_a_message(backend: FakeBackend) -> None:
    reach = FakeReach()
    desk = messages(backend, reach)
    assert desk.take(ACTIVECALL, b"", OWN) == Answer(0)
    in_a_call(backend)
    answer = desk.take(ACTIVECALL, b"", OWN)
    assert isinstance(answer, Answer)
    assert reach.atoms == {answer.lresult: "sip:ü@pbx"}
    assert answer.reply == "sip:ü@pbx\0".encode()
    assert desk.take(ACTIVECALL, b"", OWN) == answer, "the same atom as long as it is the same call"


async def test_an_atom_that_could_not_be_had_is_asked_for_again(
    backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    reach = FakeReach()
    desk = messages(backend, reach)
    in_a_call(backend)
    with monkeypatch.context() as full:
        full.setattr(reach, "add_atom", lambda uri: 0)
        assert desk.take(ACTIVECALL, b"", OWN) == Answer(0, "sip:ü@pbx\0".encode()), "the text tells, as always"
    answer = desk.take(ACTIVECALL, b"", OWN)
    assert isinstance(answer, Answer)
    assert reach.atoms == {answer.lresult: "sip:ü@pbx"}


async def test_the_atom_goes_when_the_far_end_changes(backend: FakeBackend) -> None:
    reach = FakeReach()
    desk = messages(backend, reach)
    in_a_call(backend)
    desk.take(ACTIVECALL, b"", OWN)
    in_a_call(backend, "sip:other@pbx")
    answer = desk.take(ACTIVECALL, b"", OWN)
    assert isinstance(answer, Answer)
    assert reach.atoms == {answer.lresult: "sip:other@pbx"}
    await desk.close()
    assert not reach.atoms


async def test_the_atom_goes_with_the_call(backend: FakeBackend) -> None:
    reach = FakeReach()
    desk = messages(backend, reach)
    in_a_call(backend)
    desk.take(ACTIVECALL, b"", OWN)
    backend.emit(ENDED)
    await asyncio.sleep(0)
    assert reach.atoms, "another call ended; this one goes on"
    backend.status = StatusView(code=4, name="DISCONNECTED")
    backend.emit(ENDED)
    await asyncio.sleep(0)
    assert not reach.atoms
    in_a_call(backend)
    assert isinstance(desk.take(ACTIVECALL, b"", OWN), Answer)
    assert len(reach.atoms) == 1


async def test_a_request_is_answered_as_on_the_local_socket(backend: FakeBackend) -> None:
    desk = messages(backend, FakeReach())
    answer = desk.take(REQUEST, b'{"id":3,"op":"dial","to":"1001"}\0\xcd\xcd', OWN)
    assert isinstance(answer, Answer)
    assert answer.lresult == 1
    assert json.loads(answer.reply.rstrip(b"\0"))["result"]["call"] == "c_1"
    refused = desk.take(REQUEST, b'{"id":4,"op":"nothing"}', OWN)
    assert isinstance(refused, Answer)
    assert refused.lresult == 0
    assert json.loads(refused.reply.rstrip(b"\0"))["error"]["code"] == "invalid-argument"
    assert backend.commands == [c.Dial(to="1001")]


@pytest.mark.parametrize("text", ['{"op":"dial","to":"ü"}', '\ufeff{"op":"dial","to":"ü"}\0junk'])
async def test_a_request_may_be_utf_16(backend: FakeBackend, text: str) -> None:
    """As most programs in C# and AutoHotkey send every string."""
    answer = messages(backend, FakeReach()).take(REQUEST, text.encode("utf-16-le"), OWN)
    assert isinstance(answer, Answer)
    assert json.loads(answer.reply.rstrip(b"\0"))["ok"], "the answer is UTF-8"
    assert backend.commands == [c.Dial(to="ü")]


async def test_what_waits_for_the_disk_is_answered_later(backend: FakeBackend) -> None:
    found = messages(backend, FakeReach()).take(REQUEST, b'{"op":"history"}', OWN)
    assert not isinstance(found, Answer)
    answer = await found
    assert answer.lresult == 1
    assert b"h_2" in answer.reply


async def test_commands_are_audited_and_what_costs_money_is_bounded(backend: FakeBackend) -> None:
    desk = messages(backend, FakeReach(), calls_per_minute=2)
    assert [desk.take(1, b"1001", 0) for _ in range(3)] == [Answer(1), Answer(1), Answer(0)]
    outcomes = [(said.client, said.command, said.outcome) for said in backend.said if isinstance(said, AuditCommand)]
    assert outcomes == [("window", "dial", "accepted")] * 2 + [("window", "dial", "rate-limited")]
    assert desk.take(4, b"", 0) == Answer(0)
    assert len(backend.said) == 3, "STATUS is asked many times a second and changes nothing"


@pytest.mark.parametrize("payload", [
    b"{", b"[]", b'{"types":"x"}', b'{"types":["x"]}', b'{"after":"?"}', b'{"x":1}', b"\xff", b"1", b'{}},{"op":"quit"',
    b'{},"op":"quit","params":{}',
])  # fmt: skip
async def test_subscriptions_that_make_no_sense(backend: FakeBackend, payload: bytes) -> None:
    assert messages(backend, FakeReach(OWN)).take(SUBSCRIBE, payload, OWN) == Answer(0)


@given(st.integers(0, 2**64 - 1) | st.integers(0, 110), st.binary(max_size=60), st.sampled_from([0, OWN, 8]))
def test_no_message_raises(code: int, payload: bytes, sender: int) -> None:
    async def take() -> None:
        desk = messages(FakeBackend(), FakeReach(OWN))
        found = desk.take(code, payload, sender)
        if not isinstance(found, Answer):
            await found
        await desk.close()

    asyncio.run(take())
