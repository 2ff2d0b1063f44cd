"""Whom a token may call: the patterns, the ways around them that there are not, and how many calls run at once."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from offhook.control.access import Client, Gate
from offhook.control.dial_rules import DialRules
from offhook.errors import CommandError, DialPlanDenied, InvalidArgument, TooManyCalls
from offhook.phone.commands import (
    AcceptTransfer,
    AddAccount,
    Command,
    CreateWatch,
    Decide,
    Dial,
    Hangup,
    Pickup,
    Redirect,
    SendMessage,
    SetForwarding,
    Transfer,
)
from offhook.phone.settings import AccountSettings
from offhook.testing.backend import FakeBackend
from offhook.testing.http import serving
from offhook.testing.live import live_phone


def allowed(rules: DialRules, to: str) -> bool:
    try:
        rules.check(to, "crm")
    except DialPlanDenied:
        return False
    return True


@pytest.mark.parametrize(("pattern", "to", "fits"), [
    ("1???", "1001", True), ("1???", "10011", False), ("1???", "101", False), ("+49*", "+49 (30) 123-45", True),
    ("+49*", "tel:+4930123", True), ("+49*", "0049301", False), ("*", "anybody", True), ("echo", "ECHO", True),
    ("*@example.org", "sip:1001@example.org", True), ("*@example.org", "ada@EXAMPLE.org", True),
    ("*@example.org", "sip:1001@example.org.evil.net", False), ("*@example.org", "1001", False),
    ("1001@*", "sip:1001@10.0.0.1:5070;transport=tcp", True), ("[0-9]", "5", False), ("1.01", "1x01", False),
    ("1001", "sip:1001@evil.example", False), ("*", "sip:1001@evil.example", False),
])
def test_what_a_pattern_allows(pattern: str, to: str, fits: bool) -> None:
    assert allowed(DialRules(allow=(pattern,)), to) is fits


@pytest.mark.parametrize("to", [
    "0900123", "0900 123", "tel:0900-123", "tel:0900123;phone-context=+49", "sip:0900123@pbx.example",
    "sip:%30900123@pbx.example",
    "sip:0900123;x=y@pbx.example", "sip:0-9-0-0123;npdi@pbx.example", "sip:0/900.123@pbx.example",
    "sip:0%E2%80%8B900123@pbx.example", "sip:%EF%BC%90900123@pbx.example", "sip:0-9-0-0123@pbx.example",
    "0900123@pbx.example", "sips:0900123@pbx.example",
])
def test_a_denied_number_is_denied_however_it_is_written(to: str) -> None:
    for rules in (DialRules(deny=("0900*",)), DialRules(deny=("0900123",)), DialRules(allow=("*", "*@*"), deny=("0900*",))):
        assert not allowed(rules, to)


@pytest.mark.parametrize("to", [
    "sip:1001@example.org;maddr=192.0.2.1", "sip:1001@account.invalid;maddr=192.0.2.1",
    "sip:1001@[2001:db8::1];maddr=192.0.2.1",
])
def test_who_may_call_one_host_may_not_be_led_to_another(to: str) -> None:
    assert not allowed(DialRules(allow=("1001", "1001@example.org", "*@[2001:db8::1]")), to)
    assert not allowed(DialRules(deny=("*@192.0.2.1",)), to)
    assert allowed(DialRules(allow=("*@*",)), to)


def test_a_dot_behind_a_host_is_the_same_host() -> None:
    assert not allowed(DialRules(deny=("*@example.org",)), "sip:1001@example.org.")
    assert allowed(DialRules(allow=("*@example.org",)), "sip:1001@example.org.")


def test_without_patterns_everybody_may_be_called_and_nonsense_stays_nonsense() -> None:
    DialRules().check("anything at all", "crm")
    for to in ("", "sip:", "sip:1@h?Subject=x", "a\nb"):
        with pytest.raises(InvalidArgument):
            DialRules(allow=("*",)).check(to, "crm")


@pytest.mark.parametrize("command", [
    Dial(to="5"), Transfer(to="5"), Redirect(to="5"), SetForwarding(to="5"), SendMessage(to="5", text="x"),
    Decide(action="redirect", to="5"), AcceptTransfer(),
    Pickup(to="5"), CreateWatch(kind="dialog", to="5", id="1000"),  # whose pickup would be one of 1000
], ids=lambda command: command.operation)
def test_every_command_that_calls_somebody_is_checked(command: Command) -> None:
    backend = FakeBackend()
    gate = Gate(backend, lambda: 0.0)
    with pytest.raises(DialPlanDenied, match="'crm'"):
        gate.execute(command, Client("crm", rules=DialRules(allow=("1???",))))
    assert not backend.commands
    gate.execute(command, Client("crm"))
    if not isinstance(command, AcceptTransfer):
        gate.execute(command, Client("crm", rules=DialRules(allow=("5",))))
    gate.execute(SetForwarding(to=""), Client("crm", rules=DialRules(allow=("1???",))))
    gate.execute(Decide(action="answer"), Client("crm", rules=DialRules(allow=("1???",))))


async def test_what_an_account_makes_of_a_number_is_denied_too() -> None:
    async with live_phone() as there, live_phone() as phone:
        domain = there.uri.rpartition("@")[2]
        prefixed = AccountSettings(id="work", username="1", domain=domain, dialing_prefix="0", register=False)
        planned = AccountSettings(id="home", username="2", domain=domain, dial_plan="(<8:09>x.|1xxx)", register=False)
        for settings in (prefixed, planned):
            phone.execute(AddAccount(account=settings))
        gate = Gate(phone.running, lambda: 0.0)
        client = Client("crm", rules=DialRules(deny=("0900*",)))
        for command in (Dial(to="900 123"), Dial(to="900123", account="work"), Dial(to="800123", account="home"),
                        Dial(to="800123", account="2"), Redirect(to="800123")):  # fmt: skip
            with pytest.raises(DialPlanDenied):
                gate.execute(command, client)
        gate.execute(Dial(to="1001", account="home"), client)
        gate.execute(Dial(to="800123", account="work"), client)  # which makes 0800123 of it


async def test_so_many_calls_at_once_for_each_token() -> None:
    async with live_phone() as there, live_phone() as phone:  # the other one stays until all is hung up
        gate = Gate(phone.running, lambda: 0.0)
        one, other = Client("one", max_calls=2), Client("other", max_calls=1)
        calls = [gate.execute(Dial(to=there.uri), one).call for _ in range(2)]
        with pytest.raises(TooManyCalls, match="'one' has 2 calls"):
            gate.execute(Dial(to=there.uri), one)
        gate.execute(Dial(to=there.uri), other)
        gate.execute(Hangup(call=calls[0]), one)
        gate.execute(Dial(to=there.uri), one)
        with pytest.raises(CommandError):
            gate.execute(Dial(to=there.uri), one)


@pytest.mark.lengthy
async def test_over_http_with_stable_codes(tmp_path: Path) -> None:
    async with live_phone() as here, live_phone() as there, serving(here.running, tmp_path) as served:
        token = served.tokens.create("crm", ["call", "read"], max_calls=1, allow=["*@127.0.0.1"])
        async with httpx.AsyncClient(base_url=served.url, headers={"Authorization": f"Bearer {token}"}) as http:
            refused = await http.post("/v1/calls", json={"to": "sip:x@127.0.0.2"})
            assert (refused.status_code, refused.json()["code"]) == (403, "dial-plan-denied")
            placed = await http.post("/v1/calls", json={"to": there.uri})
            assert placed.status_code == 201
            second = await http.post("/v1/calls", json={"to": there.uri})
            assert second.json()["code"] == "too-many-calls"
            served.tokens.change("crm", max_calls=2)
            assert (await http.post("/v1/calls", json={"to": there.uri})).status_code == 201
            assert (await http.post("/v1/calls", json={"to": there.uri})).json()["code"] == "too-many-calls"
