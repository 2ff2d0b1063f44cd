"""Accounts: what is refused, and what is shown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from offhook.errors import InvalidArgument, NoAccount, NotFound, NotRegistered
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.inputs import ClockSet
from offhook.phone.settings import AccountSettings
from offhook.testing.phones import EPOCH, settle, two_phones
from offhook.testing.wire import Wire

GOOD = AccountSettings("a_1", "10.0.0.2", "1001", "secret", register=False, label="Desk")


@pytest.mark.parametrize("changes", [
    {"id": ""}, {"id": "local"}, {"id": "a b"}, {"username": ""}, {"domain": ""}, {"domain": "a b"}, {"proxy": "sip:"},
    {"expires": 0}, {"expires": 86401}, {"display_name": "a\r\nX: 1"}, {"auth_username": "a\nb"}, {"username": "a\udfff"},
    {"hold_music": "tone:9"},
])
def test_a_bad_account_is_refused(changes: dict[str, str | int]) -> None:
    alice, _ = two_phones(Wire())
    settle(alice.wire, 1)
    assert isinstance(alice.refuses(c.AddAccount(account=replace(GOOD, **changes))), InvalidArgument)  # type: ignore[arg-type]
    assert GOOD.id not in alice.phone.desk.accounts


def test_unknown_names() -> None:
    alice, _ = two_phones(Wire())
    settle(alice.wire, 1)
    for name in ("", "nobody"):
        for command in (c.RemoveAccount(account=name), c.RegisterAccount(account=name), c.UnregisterAccount(account=name),
                        c.SelectAccount(account=name), c.UpdateAccount(account=name, changes={"label": "x"})):
            assert isinstance(alice.refuses(command), NotFound)


def test_a_change_keeps_what_it_does_not_name() -> None:
    alice, _ = two_phones(Wire())
    alice.add_account(GOOD)
    view = alice.execute(c.UpdateAccount(account=GOOD.id, changes={"label": "Hall", "backups": ["sip:b.example.org"]})).value
    assert (view.id, view.label, view.uri) == (GOOD.id, "Hall", f"sip:{GOOD.username}@{GOOD.domain}")
    settings = alice.phone.desk.accounts[GOOD.id].settings
    assert settings == replace(GOOD, label="Hall", backups=("sip:b.example.org",))


@pytest.mark.parametrize(("changes", "pointer"), [
    ({}, "/changes"),
    ({"id": "other"}, "/changes/id"), ({"colour": "red"}, "/changes/colour"), ({"label": 5}, "/changes/label"),
    ({"label": "x", "transport": "pigeon"}, "/changes/transport"), ({"label": "x", "expires": 0}, "/account/expires"),
    ({"label": "x", "display_name": "a\r\nX: 1"}, "/account/display_name"),
])
def test_a_change_is_made_whole_or_not_at_all(changes: dict[str, object], pointer: str) -> None:
    alice, _ = two_phones(Wire())
    alice.add_account(GOOD)
    error = alice.refuses(c.UpdateAccount(account=GOOD.id, changes=changes))
    assert (type(error), [each.pointer for each in error.errors]) == (InvalidArgument, [pointer])
    assert alice.phone.desk.accounts[GOOD.id].settings == GOOD


def test_secrets_are_not_shown() -> None:
    alice, _ = two_phones(Wire())
    alice.add_account(GOOD)
    assert "secret" not in repr(alice.snapshot())
    assert [view.default for view in alice.snapshot().accounts] == [True]


def test_an_account_that_does_not_register_dials_all_the_same() -> None:
    alice, bob = two_phones(Wire())
    alice.add_account(GOOD)
    call = alice.dial("1002", account="Desk")
    alice.wire.run_until(lambda: bool(bob.calls))
    assert alice.calls[call].remote.uri == "sip:1002@10.0.0.2"
    assert bob.only.remote.uri == "sip:1001@10.0.0.2"


def test_removed_is_gone() -> None:
    alice, _ = two_phones(Wire())
    alice.add_account(GOOD)
    alice.execute(c.RemoveAccount(account="Desk"))
    assert isinstance(alice.refuses(c.Dial(to="1002")), NoAccount)


def test_an_account_told_not_to_register_cannot_dial_if_it_should() -> None:
    alice, _ = two_phones(Wire())
    alice.add_account(replace(GOOD, register=True))
    alice.execute(c.UnregisterAccount(account="a_1"))
    settle(alice.wire, 60)
    assert isinstance(alice.refuses(c.Dial(to="1002")), NotRegistered)


def test_the_wait_until_the_next_attempt_gets_shorter() -> None:
    alice, _ = two_phones(Wire())
    alice.add_account(replace(GOOD, register=True))
    settle(alice.wire, 5)
    said = alice.of(e.AccountRegisterFailed)[0].account.retry_in
    assert said is not None
    assert said > 12
    settle(alice.wire, 5)
    alice.receive(ClockSet(EPOCH))
    (account,) = alice.snapshot().accounts
    assert account.retry_in is not None
    assert said - 11 < account.retry_in < said - 5
