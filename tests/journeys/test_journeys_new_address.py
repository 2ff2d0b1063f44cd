"""Accounts that get another address while the phone runs: what was told under the former one is taken back there."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.settings import AccountSettings
from offhook.sip.message import Request
from offhook.testing.endpoints import Peer
from offhook.testing.phones import VirtualPhone, settle
from offhook.testing.wire import Wire

ACCOUNT = AccountSettings("a_1", "10.0.0.9", "1001", "secret", mwi=True, publish_presence=True)
ELSEWHERE = "10.0.0.8"


class Server:
    """Grants everything after a challenge, and keeps what it was told; silent while it is `down`.

    As many registrars do, it tells bindings apart by their contacts alone.
    """

    def __init__(self, wire: Wire, host: str) -> None:
        self.peer = Peer(wire, host, host)
        self.peer.on_request = self.play
        self.down = False
        self.bound: dict[str, str] = {}
        self.told: list[tuple[str, str, str]] = []

    def play(self, request: Request) -> None:
        if self.down:
            return
        challenged = request.headers.get("Authorization")
        if not challenged:
            challenge = f'Digest realm="x", nonce="{len(self.peer.got)}", algorithm=MD5'
            self.peer.answer(request, 401, tag="t", headers=(("WWW-Authenticate", challenge),))
            return
        user, expires = str(request.to.uri), request.headers.get("Expires") or ""
        self.told.append((request.method, user, expires))
        contact = ""
        if request.method == "REGISTER":
            uri = str(request.contacts[0].uri)
            self.bound.pop(uri, None)
            if expires != "0":
                self.bound[uri] = user
                contact = f"<{uri}>;expires={expires}"
        self.peer.answer(request, 200, tag="t", contact=contact, headers=(("Expires", expires), ("SIP-ETag", "e1")))


def world(account: AccountSettings = ACCOUNT) -> tuple[VirtualPhone, Server, Server]:
    wire = Wire()
    here, there = Server(wire, ACCOUNT.domain), Server(wire, ELSEWHERE)
    alice = VirtualPhone(wire, "alice", "10.0.0.1")
    alice.add_account(account)
    settle(wire, 2)
    assert list(here.bound.values()) == ["sip:1001@10.0.0.9"]
    return alice, here, there


def change(phone: VirtualPhone, seconds: float = 2, **changes: object) -> None:
    phone.execute(c.UpdateAccount(account=ACCOUNT.id, changes=dict(changes)))
    settle(phone.wire, seconds)


def registration(phone: VirtualPhone) -> tuple[str, str]:
    (account,) = phone.snapshot().accounts
    return account.registration, account.uri


def test_the_former_number_does_not_lead_here_any_more() -> None:
    alice, here, _ = world()
    change(alice, username="1002")
    assert list(here.bound.values()) == ["sip:1002@10.0.0.9"]
    assert registration(alice) == ("registered", "sip:1002@10.0.0.9")
    assert not alice.of(e.AccountUnregistered), "it was never meant to be without a registration"


def test_nor_does_the_former_server() -> None:
    alice, here, there = world()
    change(alice, domain=ELSEWHERE)
    assert (list(here.bound.values()), list(there.bound.values())) == ([], ["sip:1001@10.0.0.8"])
    assert registration(alice) == ("registered", "sip:1001@10.0.0.8")


def test_another_name_of_the_same_server_keeps_the_phone_reachable() -> None:
    """The registrar finds the binding by our contact, so the former name must not be taken back after the new one."""
    alice, here, _ = world()
    change(alice, domain="10.0.0.9:5060")
    assert list(here.bound.values()) == ["sip:1001@10.0.0.9:5060"]
    assert registration(alice)[0] == "registered"


def test_a_former_server_that_is_gone_delays_nobody() -> None:
    alice, here, there = world()
    here.down = True
    change(alice, 5, domain=ELSEWHERE)
    assert list(there.bound.values()) == ["sip:1001@10.0.0.8"]
    settle(alice.wire, 60)
    assert registration(alice) == ("registered", "sip:1001@10.0.0.8")


def test_what_is_dialled_meanwhile_is_placed_under_the_new_address() -> None:
    alice, here, _ = world()
    alice.execute(c.UpdateAccount(account=ACCOUNT.id, changes={"username": "1002"}))
    alice.dial("1003")
    settle(alice.wire, 2)
    assert {str(each.from_.uri) for each in here.peer.requests("INVITE")} == {"sip:1002@10.0.0.9"}


@pytest.mark.parametrize("register", [True, False])
def test_commands_that_come_while_the_former_address_is_left(register: bool) -> None:
    alice, here, _ = world()
    alice.execute(c.UpdateAccount(account=ACCOUNT.id, changes={"username": "1002"}))
    alice.execute(c.RegisterAccount(account=ACCOUNT.id) if register else c.UnregisterAccount(account=ACCOUNT.id))
    settle(alice.wire, 40)
    assert registration(alice) == ("registered" if register else "unregistered", "sip:1002@10.0.0.9")
    assert ("sip:1002@10.0.0.9" in here.bound.values()) == register


def test_a_change_that_ends_the_registration_ends_that_of_the_former_address() -> None:
    alice, here, _ = world()
    change(alice, username="1002", register=False)
    assert not here.bound
    assert registration(alice) == ("unregistered", "sip:1002@10.0.0.9")
    assert len(alice.of(e.AccountUnregistered)) == 1


def test_two_changes_at_once_and_the_end() -> None:
    alice, here, _ = world()
    for number in ("1002", "1003"):
        alice.execute(c.UpdateAccount(account=ACCOUNT.id, changes={"username": number}))
    settle(alice.wire, 2)
    assert list(here.bound.values()) == ["sip:1003@10.0.0.9"]
    alice.execute(c.UpdateAccount(account=ACCOUNT.id, changes={"username": "1004"}))
    alice.execute(c.Quit())
    settle(alice.wire, 10)
    assert not here.bound
    assert alice.types[-1] == "system.stopped"


def test_the_mailbox_and_the_presence_of_the_former_address_are_left() -> None:
    alice, here, _ = world()
    here.told.clear()
    change(alice, username="1002")
    told = Counter(here.told)
    assert told["PUBLISH", "sip:1001@10.0.0.9", "0"] == told["PUBLISH", "sip:1002@10.0.0.9", "3600"] == 1
    assert told["SUBSCRIBE", "sip:1001@10.0.0.9", "0"] == told["SUBSCRIBE", "sip:1002@10.0.0.9", "3600"] == 1
    assert [watch.target for watch in alice.execute(c.ListWatches()).value] == ["sip:1002@10.0.0.9"]


def test_what_is_not_wanted_any_more_is_not_watched_nor_published() -> None:
    alice, here, _ = world()
    here.told.clear()
    change(alice, mwi=False, publish_presence=False)
    assert {(method, expires) for method, _, expires in here.told if method != "REGISTER"} == {
        ("PUBLISH", "0"), ("SUBSCRIBE", "0")
    }
    assert alice.execute(c.ListWatches()).value == ()
    alice.dial("1003")
    settle(alice.wire, 2)
    assert [each for each in here.told if each[0] == "PUBLISH"] == [("PUBLISH", "sip:1001@10.0.0.9", "0")]


def test_other_changes_leave_them_alone() -> None:
    alice, here, _ = world(replace(ACCOUNT, label="Desk"))
    here.told.clear()
    change(alice, label="Hall", expires=600)
    assert {method for method, _, _ in here.told} == {"REGISTER"}


def test_an_account_that_is_removed_and_added_again_watches_its_mailbox_again() -> None:
    """The last word of the former subscription is not waited for: the server's NOTIFY may take its time."""
    alice, here, _ = world()
    here.told.clear()
    alice.execute(c.RemoveAccount(account=ACCOUNT.id))
    alice.execute(c.AddAccount(account=ACCOUNT))
    settle(alice.wire, 2)
    assert [expires for method, _, expires in here.told if method == "SUBSCRIBE"] == ["0", "3600"]
    assert registration(alice)[0] == "registered"
