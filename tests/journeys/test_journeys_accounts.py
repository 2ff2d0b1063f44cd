"""Phones with accounts at an exchange: registering, waiting for it, being called by number."""

from __future__ import annotations

from dataclasses import replace

import pytest

from offhook.errors import InvalidState, NotRegistered
from offhook.exchange.authority import practice_accounts
from offhook.exchange.switch import Switch
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.model import CallEnd, CallState
from offhook.phone.settings import AccountSettings, PhoneSettings
from offhook.testing.ids import SeededIds
from offhook.testing.phones import VirtualPhone, rings, settle
from offhook.testing.wire import Node, Raw, Wire

EXCHANGE = ("10.0.0.100", 5060)


def add_exchange(wire: Wire) -> Node:
    switch = Switch(EXCHANGE, practice_accounts(), SeededIds("exchange"), music="", recording=lambda name: f"/{name}",
                    domains=("10.0.0.100",))
    return wire.add("exchange", switch, EXCHANGE)  # type: ignore[arg-type]  # it takes no commands: four verbs


def account(user: str, password: str = "") -> AccountSettings:
    return AccountSettings(f"a_{user}", "10.0.0.100", user, password or f"practice-{user}", display_name=f"Number {user}")


def lines(wire: Wire) -> tuple[VirtualPhone, VirtualPhone]:
    add_exchange(wire)
    alice, bob = VirtualPhone(wire, "alice", "10.0.0.1"), VirtualPhone(wire, "bob", "10.0.0.2")
    alice.add_account(account("1001"))
    bob.add_account(account("1002"))
    return alice, bob


def registered(*phones: VirtualPhone) -> None:
    wire = phones[0].wire
    wire.run_until(lambda: all(phone.of(e.AccountRegistered) for phone in phones), 120)


def test_a_call_by_number(wire: Wire) -> None:
    alice, bob = lines(wire)
    registered(alice, bob)
    assert alice.types.count("account.registering") == alice.types.count("account.registered") == 1
    assert [view.registration for view in alice.snapshot().accounts] == ["registered"]
    call = alice.dial("1002")
    assert alice.calls[call].account == "a_1001"
    wire.run_until(rings(bob), 60)
    assert bob.only.account == "a_1002"
    assert bob.only.remote.display == "Number 1001"
    bob.execute(c.Answer())
    wire.run_until(lambda: alice.states == [CallState.ACTIVE], 60)
    settle(wire, 5)
    bob.execute(c.Hangup())
    wire.run_until(lambda: not alice.calls, 60)
    alice.check_laws()
    bob.check_laws()


def test_dial_waits_for_the_registration(wire: Wire) -> None:
    alice, bob = lines(wire)
    call = alice.dial("1002")
    settle(wire, 0.0)
    assert alice.of_call(call) == ["call.created"], "nothing may leave before the registrar's answer"
    assert alice.status == 1
    registered(alice, bob)
    if not alice.calls:
        assert wire.weather.loss, "only where packets are lost can it take longer than register_timeout"
        return
    wire.run_until(lambda: bool(alice.of(e.CallCalling)), 10)


def test_the_registrar_is_silent() -> None:
    wire = Wire(1)
    wire.add("exchange", Raw(), EXCHANGE)
    alice = VirtualPhone(wire, "alice", "10.0.0.1", PhoneSettings(register_timeout=7.0))
    alice.add_account(account("1001"))
    alice.dial("1002")
    settle(wire, 6.9)
    assert alice.calls
    settle(wire, 0.2)
    end = alice.ended().end
    assert end is not None
    assert (end.by, end.sip_status, end.reason) == ("network", 408, "not registered in time")
    wire.run_until(lambda: bool(alice.of(e.AccountRegisterFailed)), 60)
    with pytest.raises(NotRegistered, match="not registered"):
        alice.dial("1002")
    assert alice.types.count("call.created") == 1
    alice.check_laws()


@pytest.mark.parametrize("asked", [c.UnregisterAccount(account="a"), c.UpdateAccount(account="a", changes={"register": False})])
def test_a_call_does_not_wait_for_a_registration_that_is_not_wanted_any_more(asked: c.Command) -> None:
    wire = Wire(1)
    wire.add("exchange", Raw(), EXCHANGE)  # which is silent
    alice = VirtualPhone(wire, "alice", "10.0.0.1")
    alice.add_account(replace(account("1001"), id="a"))
    call = alice.dial("1002")
    settle(wire, 1)
    assert alice.of_call(call) == ["call.created"]
    alice.execute(asked)
    settle(wire, 1)
    if isinstance(asked, c.UpdateAccount):
        assert alice.of_call(call) == ["call.created", "call.calling"]
        alice.execute(c.Hangup())
    else:
        assert alice.ended(call).end == CallEnd("local", reason="the account was unregistered")
    settle(wire, 60)
    alice.check_laws()


def test_a_wrong_password(wire: Wire) -> None:
    add_exchange(wire)
    alice = VirtualPhone(wire, "alice", "10.0.0.1", PhoneSettings(register_timeout=60.0))
    alice.add_account(account("1001", "guessed"))
    call = alice.dial("1002")
    wire.run_until(lambda: bool(alice.of(e.AccountRegisterFailed)), 60)
    view = alice.of(e.AccountRegisterFailed)[0].account
    assert (view.registration, view.sip_status) in (("failed", 401), ("failed", 403))
    end = alice.ended(call).end
    assert end is not None
    assert end.reason.startswith("not registered: 40")
    with pytest.raises(NotRegistered):
        alice.dial("1002")
    alice.add_account(account("1001"))
    wire.run_until(lambda: bool(alice.of(e.AccountRegistered)), 60)
    alice.dial("1002")
    wire.run_until(lambda: not alice.calls, 60)


def test_unregistered_and_removed(wire: Wire) -> None:
    alice, bob = lines(wire)
    registered(alice, bob)
    bob.execute(c.UnregisterAccount(account="1002"))
    wire.run_until(lambda: bool(bob.of(e.AccountUnregistered)), 60)
    with pytest.raises(NotRegistered):
        bob.dial("1001")
    alice.dial("1002")
    wire.run_until(lambda: not alice.calls, 60)
    end = alice.ended().end
    assert end is not None
    assert end.sip_status == 480
    bob.execute(c.RegisterAccount(account="a_1002"))
    wire.run_until(lambda: len(bob.of(e.AccountRegistered)) == 2, 60)
    alice.dial("1002")
    wire.run_until(rings(bob), 60)
    with pytest.raises(InvalidState, match="has calls"):
        bob.execute(c.RemoveAccount(account="a_1002"))
    bob.execute(c.Reject())
    wire.run_until(lambda: not alice.calls, 60)
    bob.execute(c.RemoveAccount(account="a_1002"))
    settle(wire, 60)
    assert bob.snapshot().accounts == ()
    assert bob.types.count("account.removed") == 1
    assert any((sent.line.startswith("REGISTER") and b"expires=0" in sent.data) or b"Expires: 0" in sent.data
               for sent in wire.sent)
    bob.check_empty()


def test_a_removed_account_is_not_registered_again() -> None:
    wire = Wire(1)
    alice, bob = lines(wire)
    registered(alice, bob)
    alice.execute(c.RemoveAccount(account="a_1001"))
    settle(wire, 5)
    sent = len(wire.sent)
    bob.execute(c.RemoveAccount(account="a_1002"))
    settle(wire, 5)
    more = len(wire.sent)
    settle(wire, 1000)
    assert len(wire.sent) == more > sent


def test_a_registration_is_kept_alive() -> None:
    wire = Wire(1)
    alice, bob = lines(wire)
    registered(alice, bob)
    settle(wire, 3600)
    assert alice.types.count("account.registered") == 1, "a refresh is no news"
    alice.dial("1002")
    wire.run_until(rings(bob), 60)


def test_quit_unregisters(wire: Wire) -> None:
    alice, bob = lines(wire)
    registered(alice, bob)
    alice.execute(c.Quit())
    settle(wire, 5)
    assert alice.types[-1] == "system.stopped"
    if not wire.weather.loss:
        assert "account.unregistered" in alice.types
    bob.dial("1001")
    wire.run_until(lambda: not bob.calls, 60)


def test_quit_with_a_silent_registrar_ends_all_the_same() -> None:
    wire = Wire(1)
    node = add_exchange(wire)
    alice = VirtualPhone(wire, "alice", "10.0.0.1")
    alice.add_account(account("1001"))
    registered(alice)
    del wire.nodes[node.address]
    began = wire.now
    alice.execute(c.Quit())
    wire.run_until(lambda: "system.stopped" in alice.types, 10)
    assert wire.now - began < 5


def test_two_accounts_and_the_one_that_dials() -> None:
    wire = Wire(1)
    alice, bob = lines(wire)
    alice.add_account(replace(account("1003"), label="Door"))
    wire.run_until(lambda: len(alice.of(e.AccountRegistered)) == 2 and bool(bob.of(e.AccountRegistered)), 60)
    for options, expected in (({}, "a_1001"), ({"account": "Door"}, "a_1003"), ({"account": "1003"}, "a_1003")):
        call = alice.dial("1002", **options)
        assert alice.calls[call].account == expected
        alice.execute(c.Hangup(call=call))
    view = alice.execute(c.SelectAccount(account="Door")).value
    assert view.default
    assert alice.calls == {}
    call = alice.dial("1002")
    assert alice.calls[call].account == "a_1003"
    wire.run_until(rings(bob), 60)
    assert bob.only.remote.uri == "sip:1003@10.0.0.100"
