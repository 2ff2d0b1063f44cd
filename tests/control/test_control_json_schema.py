"""The JSON Schemas say what the phone does: what they accept is a command, what is sent fits, limits are the phone's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from schema_examples import ANY, examples

from offhook.control import shapes
from offhook.control.feed import STREAM_EVENTS, stream_event
from offhook.control.fields import LIMITS, meaning
from offhook.control.json_schema import NOTE_PARTS, components, document, value_schema
from offhook.control.operations import EXTRA
from offhook.control.schema import OPERATIONS, RESULTS, command_from_json, problem, to_json
from offhook.errors import CommandError, InvalidArgument
from offhook.io.journal import Cause, EnvelopeMaker
from offhook.phone import commands as c
from offhook.phone.commands import COMMANDS, Command
from offhook.phone.events import EVENTS, CallEnded, DtmfReceived, Event, HistoryAdded, SystemReady
from offhook.phone.model import CallEnd, CallState, CallView, ContactDetails, Party, wall
from offhook.phone.records import HistoryEntry
from offhook.phone.settings import AccountSettings
from offhook.testing.phones import VirtualPhone, no_figures, rings, talk
from offhook.testing.wire import Weather, Wire

DEFS = components()

LIMIT_WORDS = {"minimum", "maximum", "pattern", "minLength", "maxLength", "maxItems", "maxProperties", "minProperties", "not"}

CALL = CallView(
    "c_1", "a_1", "incoming", CallState.ENDED, Party("sip:me@h"), Party("sip:you@h"), "x@y", wall(0), answered=wall(1),
    end=CallEnd("remote"), headers=(("X-A", "b"),),
)  # fmt: skip


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": DEFS}, format_checker=Draft202012Validator.FORMAT_CHECKER)


def sent(value: object) -> Any:
    """Return what a client reads."""
    return msgspec.json.decode(msgspec.json.encode(value))


@pytest.mark.slow
def test_it_is_json_schema_and_names_everything() -> None:
    whole = document()
    Draft202012Validator.check_schema(whole)
    wanted = {each.__name__ for each in (*COMMANDS, *EVENTS)}
    assert wanted <= whole["$defs"].keys()
    for name, part in whole["$defs"].items():
        assert part["description"], name
    assert not {command.__name__ for command in COMMANDS} & {event.__name__ for event in EVENTS}


def test_every_field_a_client_sends_is_explained() -> None:
    for shape in (*COMMANDS, AccountSettings):
        for name in DEFS[shape.__name__]["properties"]:
            assert meaning(shape, name), f"{shape.__name__}.{name} has no line in control/fields.py"


@pytest.mark.lengthy
@given(command=st.sampled_from(COMMANDS), data=st.data())
def test_what_the_schema_accepts_is_a_command(command: type[Command], data: st.DataObject) -> None:
    params = data.draw(examples(DEFS[command.__name__], DEFS))
    assert validator(command.__name__).is_valid(params)
    assert type(command_from_json(command.operation, params)) is command


@pytest.mark.lengthy
@given(command=st.sampled_from(COMMANDS), data=st.data())
def test_what_is_a_command_fits_the_schema_but_for_limits(command: type[Command], data: st.DataObject) -> None:
    params = data.draw(examples(DEFS[command.__name__], DEFS))
    names = st.sampled_from([*DEFS[command.__name__]["properties"], "stranger"])
    values = ANY | st.floats(allow_nan=False, allow_infinity=False) | st.lists(ANY)
    params |= data.draw(st.dictionaries(names, values, max_size=2))
    try:
        command_from_json(command.operation, params)
    except InvalidArgument:
        return
    assert not [error for error in wrong(validator(command.__name__), params) if error not in LIMIT_WORDS]


def wrong(check: Draft202012Validator, value: Any) -> Iterator[str]:
    """Yield the keywords that refuse `value`; of alternatives only if none gets its type right."""
    for error in check.iter_errors(value):
        branches = [{inner.validator for inner in error.context if inner.schema_path[0] == at} for at in range(9)]
        if error.validator == "anyOf" and any(branch and branch <= LIMIT_WORDS | {"const"} for branch in branches):
            continue
        yield str(error.validator)


# --- what the phone sends ------------------------------------------------------------------------------------------

SAMPLE_EVENTS: tuple[Event, ...] = (
    DtmfReceived(call=CALL, digit="5", method="rtp", duration_ms=100),
    CallEnded(call=CALL, duration=1.5, stats=no_figures("c_1")),
    SystemReady(address="127.0.0.1:5060"),
    HistoryAdded(entry=to_json(HistoryEntry("c", "a", "incoming", "sip:x", "", wall(1), None, wall(2), 0.0, 0, "", "", True))),
)


@pytest.mark.lengthy
@pytest.mark.parametrize("event", SAMPLE_EVENTS, ids=lambda event: event.type)
def test_events_fit(event: Event) -> None:
    whole = Draft202012Validator(document())
    for cause in (None, Cause("op_1", "cli", "r1")):
        found = msgspec.json.decode(EnvelopeMaker("k7", lambda: 1.5).make(event, cause).json)
        whole.validate(found)
        assert not whole.is_valid({**found, "data": {}})


def test_every_event_of_a_call_between_two_phones_fits() -> None:
    wire = Wire(1, Weather())
    alice, bob = VirtualPhone(wire, "alice", "10.0.0.1"), VirtualPhone(wire, "bob", "10.0.0.2")
    call, _ = talk(alice, bob)
    alice.execute(c.SendDtmf(digits="12"))
    alice.execute(c.Record(call=call))
    alice.execute(c.Play(call=call))
    wire.run(wire.now + 5)
    alice.execute(c.Hangup())
    wire.run(wire.now + 5)
    assert len({event.type for event in alice.events}) > 10
    for event in (*alice.events, *bob.events):
        validator(type(event).__name__).validate(sent(event))


def answers() -> Iterator[tuple[Command, c.Accepted]]:
    """Yield commands and their answers, from a phone with a call, an account and a device."""
    wire = Wire(2, Weather())
    alice, bob = VirtualPhone(wire, "alice", "10.0.0.1"), VirtualPhone(wire, "bob", "10.0.0.2")
    wire.run(1)
    call, _ = talk(alice, bob)
    for command in (
        c.AddAccount(account=AccountSettings(id="a", domain="10.0.0.9", username="u", register=False)),
        c.Dial(to="sip:offhook@10.0.0.2", hold_others=False), c.Hangup(call="last"),
        c.Status(), c.ListCalls(), c.GetCall(), c.CallStats(), c.GetAudio(), c.ListDevices(), c.ListAccounts(), c.GetSnapshot(),
        c.SetVolume(volume=3), c.VolumeUp(), c.VolumeDown(steps=2), c.SetMicVolume(volume=4), c.ToggleMute(), c.Mute(),
        c.Unmute(), c.Mute(call=call), c.Unmute(call=call), c.SetDevice(kind="input", device="mic-2"), c.Play(tone="440"),
        c.PausePlay(), c.ListPlaybacks(), c.StopPlay(), c.Record(), c.PauseRecord(), c.StopRecord(), c.ListRecordings(),
        c.Capture(), c.StopCapture(), c.Loopback(), c.Detect(what=("vad",)), c.MeterCall(), c.ListTaps(), c.SetVoice(),
        c.OpenAudio(), c.CloseAudio(audio="aud_1"), c.StreamAudio(url="wss://bot.example.org"), c.ListAudioStreams(),
        c.StopAudioStream(stream="as_1"), c.CreateConference(id="r", calls=(call,)), c.ListConferences(),
        c.MuteMember(call=call), c.UnmuteMember(call=call), c.LeaveConference(call=call), c.CreateConference(id="r"),
        c.JoinConference(conference="r", call=call), c.EndConference(conference="r"), c.Drain(),
        c.CreateWatch(kind="presence", to="sip:x@10.0.0.7", id="w"), c.ListWatches(), c.DeleteWatch(watch="w"),
        c.Drain(enabled=False),
        c.SendDtmf(digits="1"), c.SendInfo(body="x"), c.SendMessage(to="sip:x@10.0.0.2", text="x"), c.SetDnd(enabled=False),
        c.SetForwarding(to=""), c.SetAutoAnswer(mode="off"), c.Hold(call=call), c.Resume(call=call),
        c.SetCodecs(codecs=("PCMA",), call=call), c.TagCall(tags=(("order", "4711"),), call=call),
        c.ToggleHold(call=call), c.ToggleHold(call=call), c.Transfer(to="sip:x@10.0.0.7", call=call),
        c.UpdateAccount(account="a", changes={"label": "A"}),
        c.SelectAccount(account="a"), c.RegisterAccount(account="a"), c.UnregisterAccount(account="a"),
        c.RemoveAccount(account="a"), c.ListContacts(), c.ImportContacts(contacts=(ContactDetails(name="Ada"),)),
    ):  # fmt: skip
        yield command, alice.execute(command)
        wire.run(wire.now + 1)
    bob.execute(c.Dial(to="sip:alice@10.0.0.1", hold_others=False))
    wire.run(wire.now + 1)
    by = alice.execute(c.Answer(hold_others=False)).call
    wire.run(wire.now + 1)
    for tap in (c.Tap(by=by, call=call), c.ListTaps(), c.StopTap(by=by)):
        yield tap, alice.execute(tap)
    yield from answers_about_contacts(alice)
    yield c.HangupAll(), alice.execute(c.HangupAll())
    yield c.TestDevice(), alice.execute(c.TestDevice())
    yield c.Quit(), alice.execute(c.Quit())
    slow = VirtualPhone(wire, "slow", "10.0.0.3", ports=0)  # its media engine is still starting
    bob.dial(slow)
    wire.run_until(rings(slow), 60)
    yield c.Answer(), slow.execute(c.Answer())


def answers_about_contacts(phone: VirtualPhone) -> Iterator[tuple[Command, c.Accepted]]:
    added = c.AddContact(details=ContactDetails(name="Bob", number="1002"))
    accepted = phone.execute(added)
    yield added, accepted
    bob = accepted.value.id
    changed = c.UpdateContact(contact=bob, details=ContactDetails(name="Bob", starred=True))
    for command in (c.GetContact(contact=bob), changed, c.RemoveContact(contact=bob)):
        yield command, phone.execute(command)


@pytest.mark.lengthy
def test_answers_fit() -> None:
    seen, pending = set(), set()
    for command, accepted in answers():
        schema = {**value_schema(type(command)), "$defs": DEFS}
        Draft202012Validator(schema).validate(sent(accepted.value))
        validator("Accepted").validate(sent(accepted))
        seen.add(type(command))
        if accepted.operation:
            pending.add(type(command))
    assert set(shapes.VALUES) <= seen, "an answer that is described is not seen here"
    assert shapes.PENDING - {c.AcceptTransfer, c.TransferAttended, c.Pickup} == pending


def test_problems_fit() -> None:
    for error in (InvalidArgument.field("to", "no"), CommandError("x", retry_after=2.5)):
        validator("Problem").validate(problem(error))


# --- what is written by hand keeps up ------------------------------------------------------------------------------


def test_answers_that_are_views_are_read_back_as_views() -> None:
    described = {command for command, shape in shapes.VALUES.items() if "offhook.phone.model" in str(shape)}
    assert described <= RESULTS.keys()


def test_shapes_keep_up() -> None:
    assert shapes.EXCHANGES.keys() == EXTRA.keys()
    assert set(shapes.STREAM_SHAPES) == set(STREAM_EVENTS)
    gap = msgspec.json.decode(stream_event("stream.gap", after="a-1", next="a-9"))
    validator("StreamNote").validate(gap)
    assert all(gap.keys() == components()[name]["properties"].keys() for name in NOTE_PARTS.values())


def test_times_are_rfc_3339_everywhere() -> None:
    """Lengths of time are numbers, moments are not: a client needs one way to read them."""
    moments = {"at", "time", "created", "started", "ringing", "answered", "ended", "since", "failing_since", "began"}
    found = {
        (name, field): str(schema)
        for name, part in components().items() for field, schema in part.get("properties", {}).items()
        if field in moments and name != "EndedAnswer"
    }  # fmt: skip
    assert {("HistoryEntry", "started"), ("MessageEntry", "at"), ("WebhookView", "failing_since")} <= found.keys()
    assert [field for field, schema in found.items() if "'date-time'" not in schema] == []


# --- the limits are the phone's ------------------------------------------------------------------------------------

AROUND: list[tuple[type, str, bool, Any]] = []
"""A command's or account's field, whether the phone takes the value, the value."""
for _shape, _fields in LIMITS.items():
    for _name, _words in _fields.items():
        if "minimum" in _words:
            low, high = _words["minimum"], _words["maximum"]
            AROUND += [(_shape, _name, True, low), (_shape, _name, True, high)]
            AROUND += [(_shape, _name, False, low - 1), (_shape, _name, False, high + 1)]
        if _words.get("minLength"):
            AROUND.append((_shape, _name, False, ""))
        if "maxLength" in _words:
            AROUND.append((_shape, _name, False, "x/" + "x" * (_words["maxLength"] - 1)))
        if "pattern" in _words:
            AROUND.append((_shape, _name, False, "é"))
AROUND += [
    (c.Dial, "headers", True, (("X-A", "b"),) * 32), (c.Dial, "headers", False, (("X-A", "b"),) * 33),
    (c.Dial, "id", True, "x" * 64), (c.Dial, "id", False, "x" * 65), (c.Dial, "to", True, "sip:" + "a" * 497 + "@10.0.0.9.x"),
    (c.Dial, "digits", True, " 1" + "a" * 255 + "\t"), (c.Dial, "digits", False, "1" * 257),
    (c.Reject, "status", True, 300), (c.Reject, "status", False, 1), (c.Reject, "status", False, 299),
    (c.SendInfo, "content_type", True, "a/" + "b" * 126), (c.SendInfo, "content_type", False, "/a"),
    (c.SendMessage, "text", True, "x" * 16384), (c.Play, "tone", True, "440.5+3800"), (c.Play, "tone", False, "440+"),
    (AccountSettings, "id", False, "local"), (AccountSettings, "id", True, "x" * 64),
    (ContactDetails, "comment", True, "x" * 4096), (ContactDetails, "name", True, "x" * 512),
    (AccountSettings, "expires", True, 1), (AccountSettings, "expires", True, 86400),
]  # fmt: skip

BASE: dict[type, dict[str, Any]] = {
    c.Dial: {"to": "sip:1001@10.0.0.9"}, c.Redirect: {"to": "sip:1001@10.0.0.9"}, c.Transfer: {"to": "sip:1001@10.0.0.9"},
    c.SendDtmf: {"digits": "1", "call": "active"}, c.SendInfo: {"body": "x", "call": "active"},
    c.SendMessage: {"to": "sip:1001@10.0.0.9", "text": "x"}, c.SetForwarding: {"to": ""},
    c.CreateWatch: {"kind": "presence", "to": "sip:1001@10.0.0.9"}, c.Pickup: {"to": "1001"},
    c.SetAutoAnswer: {"mode": "off"}, ContactDetails: {"name": "Ada"},
    AccountSettings: {"id": "a", "domain": "10.0.0.9", "username": "u"},
}  # fmt: skip


INSIDE: dict[type, Callable[[Any], Command]] = {
    AccountSettings: lambda made: c.AddAccount(account=made), ContactDetails: lambda made: c.AddContact(details=made),
}  # fmt: skip
"""What is no command itself, and the command it is a part of."""


def short(found: object) -> str:
    return getattr(found, "__name__", str(found)[:12])


@pytest.mark.parametrize(("shape", "name", "fits", "value"), AROUND, ids=short)
def test_the_phone_draws_its_lines_where_the_table_says(shape: type, name: str, fits: bool, value: Any) -> None:
    schema = DEFS[shape.__name__]["properties"][name]
    assert Draft202012Validator(schema).is_valid(list(map(list, value)) if isinstance(value, tuple) else value) is fits
    made = shape(**{**BASE.get(shape, {}), name: value})
    refused = refusal(INSIDE[shape](made) if shape in INSIDE else made)
    pointers = [error.pointer for error in refused.errors] if isinstance(refused, InvalidArgument) else []
    assert any(re.fullmatch(rf"(/account|/details)?/{name}", pointer) for pointer in pointers) is not fits, refused


def refusal(command: Command) -> CommandError | None:
    """Give a command to a phone with one active and one ringing call; return why it is refused, None if it is not."""
    wire = Wire(3, Weather())
    alice, bob, carol = (VirtualPhone(wire, name, f"10.0.0.{at}") for at, name in enumerate(("alice", "bob", "carol"), 1))
    alice.add_account(AccountSettings(id="b", domain="10.0.0.9", username="u", register=False))
    talk(alice, bob)
    carol.dial(alice)
    wire.run_until(rings(alice), 60)
    try:
        alice.execute(command)
    except CommandError as error:
        return error
    return None


def test_every_operation_can_be_described() -> None:
    assert {command.__name__ for command in OPERATIONS.values()} <= DEFS.keys()
