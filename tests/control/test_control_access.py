"""Scopes, the bound on what costs money, and the audit of everything that changes something."""

from __future__ import annotations

import pytest

from offhook.control.access import ALL_SCOPES, Client, Gate
from offhook.control.backend import Cause
from offhook.errors import Forbidden, LineBusy, RateLimited, TooManyCalls
from offhook.phone import commands as c
from offhook.phone.commands import COMMANDS
from offhook.phone.events import AuditCommand
from offhook.phone.model import CallState, CallView, Party, wall
from offhook.phone.settings import AccountSettings
from offhook.testing.backend import FakeBackend

PARTY = Party("sip:1@example.org")


def gate(backend: FakeBackend, now: list[float]) -> Gate:
    return Gate(backend, lambda: now[0])


def test_every_command_has_a_scope_that_exists() -> None:
    assert {command.scope for command in COMMANDS} == ALL_SCOPES - {"keys"}  # which is asked for besides: `capture`, `trace`


@pytest.mark.parametrize("scope", sorted(ALL_SCOPES - {"keys"}))
def test_a_scope_allows_its_commands_and_no_others(scope: c.Scope, backend: FakeBackend) -> None:
    client = Client("crm", frozenset({scope}))
    for command in (c.Status(), c.Dial(to="1"), c.Mute(), c.SetVolume(volume=1), c.Record(), c.SetDnd(enabled=True), c.Quit()):
        if command.scope == scope:
            gate(backend, [0.0]).execute(command, client)
        else:
            with pytest.raises(Forbidden, match=command.scope):
                gate(backend, [0.0]).execute(command, client)
    assert {command.scope for command in backend.commands} == {scope}


@pytest.mark.parametrize("kind", [c.Dial, c.Answer])
@pytest.mark.parametrize(
    ("wish", "scope"), [({"record": True}, "record"), ({"play": "/a.wav"}, "media"), ({"detect": ("vad",)}, "media")]
)
def test_what_is_done_once_a_call_is_answered_needs_its_own_scope(
    kind: type[c.Dial | c.Answer], wish: dict[str, object], scope: c.Scope, backend: FakeBackend
) -> None:
    command = kind(**wish, **({"to": "1"} if kind is c.Dial else {}))  # type: ignore[arg-type]
    with pytest.raises(Forbidden, match=scope):
        gate(backend, [0.0]).execute(command, Client("crm", frozenset({"call"})))
    gate(backend, [0.0]).execute(command, Client("crm", frozenset({"call", scope})))
    assert backend.commands == [command]


def test_the_sound_of_a_call_needs_its_scope(backend: FakeBackend) -> None:
    with pytest.raises(Forbidden, match="media"):
        gate(backend, [0.0]).open_audio(c.OpenAudio(), Client("crm", ALL_SCOPES - {"media"}))


def test_what_makes_a_call_counts_and_what_moves_one_does_not(backend: FakeBackend) -> None:
    door, client = gate(backend, [0.0]), Client("crm", max_calls=1)
    backend.calls = (CallView("c_1", "", "incoming", CallState.ACTIVE, PARTY, PARTY, "x", wall(0.0)),)
    door.execute(c.Transfer(to="2", call="c_1"), client)
    door.execute(c.Dial(to="1", id="c_1"), client)
    for command in (c.Dial(to="1"), c.Pickup(to="1"), c.AcceptTransfer()):
        with pytest.raises(TooManyCalls):
            door.execute(command, client)
    door.execute(c.Transfer(to="2", call="c_1"), client)


@pytest.mark.parametrize("command", [c.Hangup(call="z" * 60_000), c.Dial(to="z" * 60_000)], ids=["call", "to"])
def test_an_audit_event_is_short_however_long_the_request_was(backend: FakeBackend, command: c.Command) -> None:
    with pytest.raises(Forbidden):
        gate(backend, [0.0]).execute(command, Client("crm", frozenset({"read"})))
    assert len(str(backend.said[0])) < 2000


def test_a_refusal_is_audited_with_the_call_it_was_about(backend: FakeBackend) -> None:
    with pytest.raises(Forbidden):
        gate(backend, [0.0]).execute(c.Hangup(call="c_7"), Client("crm", frozenset({"read"})))
    assert [event.call for event in backend.said if isinstance(event, AuditCommand)] == ["c_7"]


def test_what_costs_money_is_bounded_by_the_minute(backend: FakeBackend) -> None:
    now = [0.0]
    client, door = Client("dialer", calls_per_minute=2), gate(backend, now)
    door.execute(c.Dial(to="1"), client)
    now[0] = 30.0
    door.execute(c.Transfer(to="2"), client)
    with pytest.raises(RateLimited, match="30 s"):
        door.execute(c.SendMessage(to="3", text="x"), client)
    door.execute(c.Hangup(), client)
    now[0] = 60.0
    door.execute(c.Dial(to="4"), client)
    assert [type(command) for command in backend.commands] == [c.Dial, c.Transfer, c.Hangup, c.Dial]


def test_every_change_is_audited_and_reading_is_not(backend: FakeBackend) -> None:
    door, client = gate(backend, [0.0]), Client("crm")
    door.execute(c.Status(), client)
    door.execute(c.Dial(to="1001"), client, "r1")
    backend.refuse = LineBusy("a call is in the way")
    with pytest.raises(LineBusy):
        door.execute(c.Dial(to="1002"), client)
    assert backend.said == [
        AuditCommand(client="crm", command="dial", outcome="accepted", call="c_1", to="1001"),
        AuditCommand(client="crm", command="dial", outcome="line-busy", to="1002", detail="a call is in the way"),
    ]
    assert backend.causes[:2] == [Cause(client="crm"), Cause(client="crm", request_id="r1")]


def test_keys_have_a_scope_of_their_own_and_their_capture_is_told(backend: FakeBackend) -> None:
    door, recorder, owner = gate(backend, [0.0]), Client("crm", frozenset({"read", "record"})), Client("owner")
    door.execute(c.Capture(), recorder)
    with pytest.raises(Forbidden, match="keys"):
        door.execute(c.Capture(keys=True), recorder)
    with pytest.raises(Forbidden, match="record"):
        door.execute(c.Capture(keys=True), Client("k", frozenset({"keys"})))
    door.execute(c.Capture(keys=True), owner)
    said = [(event.client, event.outcome, event.detail) for event in backend.said if isinstance(event, AuditCommand)]
    assert [each[:2] for each in said] == [("crm", "accepted"), ("crm", "forbidden"), ("k", "forbidden"), ("owner", "accepted")]
    assert (said[0][2], said[3][2]) == ("", "with keys")


def test_no_audit_event_shows_a_secret(backend: FakeBackend) -> None:
    settings = AccountSettings(id="a", domain="d", username="u", password="very-secret")
    gate(backend, [0.0]).execute(c.AddAccount(account=settings), Client("crm"))
    gate(backend, [0.0]).execute(c.SendMessage(to="1", text="very-secret"), Client("crm"))
    assert "very-secret" not in repr(backend.said)


@pytest.mark.parametrize("command", [
    c.Record(file="/home/ada/.bash_profile", format="wav"), c.Record(file="settings.toml"), c.Record(file="//evil/a.wav"),
    c.Play(file="\\\\evil\\share\\a.wav"), c.Play(file="/\\evil/a.wav"), c.Dial(to="1", play="//evil/a.wav"),
    c.Answer(play="//evil/a.wav"),
], ids=repr)
def test_files_that_are_more_than_a_sound_here_are_for_who_may_do_everything(command: c.Command, backend: FakeBackend) -> None:
    with pytest.raises(Forbidden, match="admin"):
        gate(backend, [0.0]).execute(command, Client("crm", ALL_SCOPES - {"admin"}))
    gate(backend, [0.0]).execute(command, Client("crm"))


@pytest.mark.parametrize("command", [c.Record(), c.Record(file="/srv/a.WAV"), c.Record(file="b.opus"), c.Play(file="/a")])
def test_other_sound_files_are_for_who_records_and_plays(command: c.Command, backend: FakeBackend) -> None:
    gate(backend, [0.0]).execute(command, Client("crm", frozenset({"record", "media"})))
