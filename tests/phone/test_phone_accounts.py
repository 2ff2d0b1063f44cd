"""Accounts: what is refused, and what is shown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from offhook.errors import InvalidArgument, NoAccount, NotFound, NotRegistered
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.identities import identity_of
from offhook.phone.inputs import ClockSet
from offhook.phone.model import CallState
from offhook.phone.settings import AccountSettings
from offhook.sip.events import Body, ConnectionTerms, Identity
from offhook.sip.message import Request
from offhook.sip.uri import NameAddr, Uri
from offhook.testing.endpoints import Peer
from offhook.testing.phones import EPOCH, VirtualPhone, settle, two_phones
from offhook.testing.wire import Wire

SDP = Body("application/sdp", b"v=0\r\no=x 7 7 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n"
                              b"m=audio 30000 RTP/AVP 0\r\n")
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


def test_what_the_endpoint_is_told_of_an_account() -> None:
    account = AccountSettings(
        "a", "pbx.example:5070", "1001", "secret", auth_username="login", display_name="Ann", transport="tls", keep_alive=25,
        proxy="one.example", backups=("two.example", ""), outbound=True, rewrite_contact=False,
        tls_name="cert.example", tls_ca="ca.pem", tls_certificate="own.pem", tls_key="own.key", tls_verify=False,
        ws_path="/sip")
    told = identity_of(account, "agent/1", "urn:uuid:1", server=1)
    one, two = Uri.parse("sip:one.example;lr"), Uri.parse("sip:two.example;lr")
    assert told == Identity(
        "a", NameAddr(Uri.sip("1001", "pbx.example", 5070), "Ann"), "login", "secret", two, "tls", "1001", user_agent="agent/1",
        terms=ConnectionTerms("cert.example", "ca.pem", "own.pem", "own.key", verify=False, path="/sip"),
        instance="urn:uuid:1", keep_alive=25.0, rewrite_contact=False, proxies=(one, two, None))
    plain = identity_of(replace(account, auth_username="", outbound=False), "agent/1", "urn:uuid:1")
    assert (plain.auth_username, plain.instance, plain.proxies, plain.proxy) == ("1001", "", (), one)


@pytest.mark.parametrize(("username", "own"), [
    ("ann@example.org", "sip:ann%40example.org@10.0.0.9"), ("jörg", "sip:j%C3%B6rg@10.0.0.9"), ("a b", "sip:a%20b@10.0.0.9"),
    ("<1001>", "sip:%3C1001%3E@10.0.0.9"),
])  # fmt: skip
def test_an_account_has_one_address_whatever_characters_its_name_has(username: str, own: str) -> None:
    alice, _ = two_phones(Wire())
    server = Peer(alice.wire, "pbx", "10.0.0.9")

    def accept(request: Request) -> None:
        contact = f"{request.contacts[0]};expires=600" if request.method == "REGISTER" else ""
        server.answer(request, 200, tag="t", contact=contact)

    server.on_request = accept
    account = AccountSettings("a", "10.0.0.9", username, "secret", mwi=True, publish_presence=True)
    alice.execute(c.AddAccount(account=account))
    settle(alice.wire, 1)
    assert str(server.requests("REGISTER")[0].to.uri) == own
    assert {str(request.uri) for method in ("SUBSCRIBE", "PUBLISH") for request in server.requests(method)} == {own}
    assert f'entity="{own}"' in server.requests("PUBLISH")[0].body.decode()
    call = alice.dial("sip:bob@10.0.0.9", account="a")
    assert (alice.snapshot().accounts[0].uri, alice.calls[call].local.uri) == (own, own)


def test_an_account_that_is_not_to_register_any_more_says_so_to_its_registrar() -> None:
    alice, _ = two_phones(Wire())
    registrar = Peer(alice.wire, "pbx", "10.0.0.9")

    def serve(request: Request) -> None:
        registrar.answer(request, 200, headers=tuple(("Contact", str(each)) for each in request.contacts if request.expires))
    registrar.on_request = serve
    alice.add_account(AccountSettings("a", "10.0.0.9", "1001", "secret"))
    settle(alice.wire, 1)
    assert [each.registration for each in alice.snapshot().accounts] == ["registered"]
    alice.execute(c.UpdateAccount(account="a", changes={"register": False}))
    settle(alice.wire, 1)
    assert [each.expires for each in registrar.requests("REGISTER")] == [300, 0]
    assert [each.registration for each in alice.snapshot().accounts] == ["unregistered"]


def registered(rport: list[int]) -> tuple[VirtualPhone, Peer]:
    """A phone that is registered at a name; `rport` says from which port the registrar sees it come."""
    wire = Wire()
    alice, pbx = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "pbx.example", "10.0.0.9")

    def serve(request: Request) -> None:
        if request.method == "REGISTER":
            seen = request.via.with_param("received", "10.0.0.1").with_param("rport", str(rport[0]))
            request.headers.replace_first("Via", str(seen))
            pbx.answer(request, 200, tag="r", contact=str(request.headers.get("Contact")), headers=(("Expires", "60"),))
    pbx.on_request = serve
    alice.add_account(AccountSettings("a", "pbx.example", "1001", "secret", keep_alive=0))
    settle(wire, 1)
    assert alice.snapshot().accounts[0].registration == "registered"
    return alice, pbx


def test_while_the_name_service_is_gone_calls_go_where_the_account_is_registered() -> None:
    alice, pbx = registered([5060])
    alice.wire.names.clear()
    alice.dial("1002")
    settle(alice.wire, 0.2)
    assert str(pbx.requests("INVITE")[-1].uri) == "sip:1002@pbx.example"
    assert alice.states == [CallState.CALLING]


def test_a_call_is_told_where_its_account_is_seen_from_now() -> None:
    port = [5060]
    alice, pbx = registered(port)
    alice.dial("1002")
    settle(alice.wire, 0.2)
    pbx.answer(pbx.requests("INVITE")[-1], 200, tag="t", body=SDP)
    settle(alice.wire, 0.2)
    assert alice.states == [CallState.ACTIVE]
    port[0] = 41000  # the box between has forgotten us
    settle(alice.wire, 60)
    again = pbx.requests("INVITE")[-1]
    assert (again.to.tag, again.contacts[0].uri.port) == ("t", 41000)


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
    ({"label": "x", "domain": "a b"}, "/account/domain"), ({"label": "x", "proxy": "a b"}, "/account/proxy"),
    ({"label": "x", "backups": ["pbx.example", "a=b"]}, "/account/backups"),
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
