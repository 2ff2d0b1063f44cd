"""Commands from JSON, views and errors to JSON: exact types, pointers at what is wrong, nothing unknown."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.control.backend import Cause, EnvelopeMaker
from offhook.control.schema import (
    OPERATIONS,
    command_from_json,
    command_help,
    error_from_problem,
    fields_of,
    problem,
    to_json,
)
from offhook.errors import CommandError, InvalidArgument, LineBusy
from offhook.phone.commands import COMMANDS, AddAccount, CreateConference, Dial, SetVolume
from offhook.phone.events import CallEnded, DtmfReceived, SystemReady
from offhook.phone.model import CallEnd, CallState, CallView, Party, wall
from offhook.phone.settings import AccountSettings
from offhook.testing.least import least

CALL = CallView(
    "c_1", "a_1", "incoming", CallState.ENDED, Party("sip:me@h"), Party("sip:you@h"), "x@y", wall(0), end=CallEnd("remote"),
)  # fmt: skip

@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.operation)
def test_every_command_comes_from_json_and_goes_back(command: type) -> None:
    made = command_from_json(command.operation, least(command.operation))  # type: ignore[attr-defined]
    assert type(made) is command
    assert command_from_json(made.operation, to_json(made)) == made


def test_headers_are_pairs_or_an_object() -> None:
    expected = Dial(to="1", headers=(("X-A", "b"),))
    assert command_from_json("dial", {"to": "1", "headers": {"X-A": "b"}}) == expected
    assert command_from_json("dial", {"to": "1", "headers": [["X-A", "b"]]}) == expected


def test_lists_become_tuples_and_whole_numbers_fit_seconds() -> None:
    made = command_from_json("create_conference", {"id": "b", "calls": ["c_1", "c_2"]})
    assert made == CreateConference(id="b", calls=("c_1", "c_2"))
    assert command_from_json("dial", {"to": "1", "ring_timeout": 5}) == Dial(to="1", ring_timeout=5.0)


def test_an_account_is_an_object() -> None:
    account = AccountSettings(id="a", domain="d", username="u", transport="tcp")
    assert command_from_json("add_account", {"account": to_json(account)}) == AddAccount(account=account)


@pytest.mark.parametrize(("operation", "params", "pointer"), [
    ("nothing", {}, "/op"),
    ("dial", {}, "/to"),
    ("dial", {"to": 1001}, "/to"),
    ("dial", {"to": "1", "speed": 3}, "/speed"),
    ("dial", {"to": "1", "headers": [["a", 1]]}, "/headers/0/1"),
    ("set_volume", {"volume": "80"}, "/volume"),
    ("set_volume", {"volume": True}, "/volume"),
    ("set_volume", {"volume": 8.5}, "/volume"),
    ("set_device", {"kind": "lamp", "device": ""}, "/kind"),
    ("add_account", {"account": {"id": "a", "domain": "d"}}, "/account/username"),
    ("add_account", {"account": {"id": "a", "domain": "d", "username": "u", "colour": 1}}, "/account/colour"),
    ("create_conference", {"calls": ["a", 7]}, "/calls/1"),
])  # fmt: skip
def test_what_is_wrong_is_pointed_at(operation: str, params: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        command_from_json(operation, params)
    assert [error.pointer for error in caught.value.errors] == [pointer]
    assert "`" not in caught.value.errors[0].detail or pointer == "/op"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.lengthy
@given(operation=st.sampled_from(list(OPERATIONS)), data=st.data())
def test_any_json_is_a_command_or_an_invalid_argument(operation: str, data: st.DataObject) -> None:
    names = st.sampled_from([field.name for field in fields_of(OPERATIONS[operation])] or ["x"])
    params = data.draw(st.dictionaries(names | st.text(max_size=6), json_values, max_size=4))
    with contextlib.suppress(InvalidArgument):
        assert command_from_json(operation, params).operation == operation


def errors_below(found: type[CommandError]) -> list[type[CommandError]]:
    return [found, *(inner for below in found.__subclasses__() for inner in errors_below(below))]


@pytest.mark.parametrize("error_class", errors_below(CommandError), ids=lambda found: found.code)
def test_a_problem_becomes_the_same_error_again(error_class: type[CommandError]) -> None:
    error = error_class("because", errors=InvalidArgument.field("to", "no").errors)
    found = problem(error)
    assert {"type", "title", "status", "detail", "code", "errors"} == set(found)
    assert 400 <= found["status"] < 600
    back = error_from_problem(msgspec.json.decode(msgspec.json.encode(found)))
    assert type(back) is error_class
    assert (back.detail, back.errors) == ("because", error.errors)


def test_a_problem_of_a_newer_phone_is_still_an_error() -> None:
    assert type(error_from_problem({"code": "moon-phase", "title": "x"})) is CommandError
    assert "errors" not in problem(LineBusy("a call rings"))


def test_every_command_has_help() -> None:
    assert [found.operation for found in command_help()] == [command.operation for command in COMMANDS]
    for found in command_help():
        assert len(found.summary) > 5, found.operation
    volume = next(found for found in command_help() if found.operation == "set_volume")
    assert (volume.fields[0].name, volume.fields[0].required) == ("volume", True)
    assert command_from_json("set_volume", {"volume": 1}) == SetVolume(volume=1)


def test_envelopes_count_and_name_their_subject() -> None:
    maker = EnvelopeMaker("k7", lambda: 1_700_000_000.5)
    first = maker.make(DtmfReceived(call=CALL, digit="5", method="rtp", duration_ms=100), Cause("op_1", "cli"))
    second = maker.make(SystemReady(address="127.0.0.1:5060"))
    assert (first.seq, second.seq, first.id) == (1, 2, "k7-1")
    assert (first.subject, first.account, second.subject, second.account) == ("calls/c_1", "a_1", "system", "")
    assert first.time == "2023-11-14T22:13:20.500Z"
    found = msgspec.json.decode(first.json)
    assert found["type"] == "dtmf.received"
    assert found["data"]["call"]["state"] == "ended"
    assert found["cause"] == {"op": "op_1", "client": "cli", "request_id": ""}
    assert first.json is first.json
    ended = msgspec.json.decode(maker.make(CallEnded(call=CALL, duration=1.5)).json)
    assert ended["data"]["call"]["end"]["by"] == "remote"
