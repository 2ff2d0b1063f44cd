"""Who is at the other end: the account's server says who has answered, and whom it has put in somebody's place later."""

from __future__ import annotations

import pytest

from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.model import CallState, ContactDetails, Party
from offhook.phone.settings import AccountSettings
from offhook.sip.events import Body
from offhook.sip.message import Request
from offhook.testing.endpoints import Peer
from offhook.testing.phones import VirtualPhone
from offhook.testing.wire import Wire

SERVER = "10.0.0.9"
BOB, CAT = '"Bob" <sip:1002@10.0.0.9>', '"Cat" <sip:1003@10.0.0.9>'
SDP = Body("application/sdp", "\r\n".join((
    "v=0", f"o=x 7 7 IN IP4 {SERVER}", "s=-", f"c=IN IP4 {SERVER}", "t=0 0", "m=audio 30000 RTP/AVP 0", "",
)).encode())  # fmt: skip


class Pbx:
    """A phone with an account at a server that is played by hand, and a call of 1002 by way of it."""

    def __init__(self, *, own: bool = True) -> None:
        self.wire = Wire()
        self.phone = VirtualPhone(self.wire, "alice", "10.0.0.1")
        self.server = Peer(self.wire, "server", SERVER)
        domain = SERVER if own else "10.0.0.8"
        self.phone.add_account(AccountSettings(id="pbx", domain=domain, username="1001", register=False))
        self.phone.execute(c.Dial(to=f"sip:1002@{SERVER}"))
        self.run()
        self.cseq = 1

    @property
    def invite(self) -> Request:
        return self.server.requests("INVITE")[-1]

    @property
    def remote(self) -> Party:
        return self.phone.only.remote

    def run(self) -> None:
        self.wire.run(self.wire.now + 0.1)

    def answers(self, status: int, identity: str, name: str = "P-Asserted-Identity") -> None:
        body = SDP if status == 200 else None
        self.server.answer(self.invite, status, tag="t", body=body, headers=((name, identity),) if identity else ())
        self.run()

    def says(self, method: str, identity: str, body: bytes = b"") -> None:
        """Send a request of the call that names somebody."""
        self.cseq += 1
        invite = self.invite
        head = (
            f"{method} {invite.contacts[0].uri} SIP/2.0", f"Via: SIP/2.0/UDP {SERVER};branch=z9hG4bK{method}{self.cseq}",
            f"From: {invite.to.with_tag('t')}", f"To: {invite.from_}", f"Call-ID: {invite.call_id}",
            f"CSeq: {self.cseq} {method}", f"Contact: <sip:pbx@{SERVER}>", f"P-Asserted-Identity: {identity}",
            *(["Content-Type: application/sdp"] if body else []), f"Content-Length: {len(body)}", "", "",
        )  # fmt: skip
        self.server.send("\r\n".join(head).encode() + body)
        self.run()


@pytest.mark.parametrize("name", ["P-Asserted-Identity", "Remote-Party-ID"])
def test_who_is_called_has_a_name_as_soon_as_it_rings(name: str) -> None:
    pbx = Pbx()
    pbx.answers(180, BOB, name)
    (ringing,) = pbx.phone.of(e.CallRinging)
    assert (ringing.call.remote.display, ringing.call.remote.asserted) == ("Bob", BOB)
    assert ringing.call.remote.uri == f"sip:1002@{SERVER}"
    assert not pbx.phone.of(e.CallUpdated)
    pbx.answers(200, BOB, name)
    assert not pbx.phone.of(e.CallUpdated), "no news"


def test_somebody_else_answers() -> None:
    pbx = Pbx()
    pbx.answers(180, BOB)
    pbx.answers(200, CAT)
    assert [event.call.remote.display for event in pbx.phone.of(e.CallUpdated)] == ["Cat"]
    assert [event.call.remote.display for event in pbx.phone.of(e.CallAnswered)] == ["Cat"]


def test_whoever_a_call_is_sent_on_to_is_named_anew_though_it_be_the_same() -> None:
    pbx = Pbx()
    pbx.answers(180, BOB)
    pbx.server.answer(pbx.invite, 302, tag="t", headers=(("Contact", f"<sip:1005@{SERVER}>"),))
    pbx.run()
    assert (pbx.remote.display, pbx.remote.asserted) == ("", ""), "Bob is not called any more"
    pbx.answers(180, BOB)
    assert (pbx.remote.uri, pbx.remote.display) == (f"sip:1005@{SERVER}", "Bob")


def test_of_several_who_ring_the_one_that_answers_is_named() -> None:
    pbx = Pbx()
    for tag, identity in (("a", BOB), ("b", CAT)):
        pbx.server.answer(pbx.invite, 180, tag=tag, headers=(("P-Asserted-Identity", identity),))
        pbx.run()
    assert pbx.remote.display == "Cat"
    pbx.server.answer(pbx.invite, 200, tag="a", body=SDP)  # who it is was said when it rang
    pbx.run()
    assert [event.call.remote.display for event in pbx.phone.of(e.CallAnswered)] == ["Bob"]


def test_who_answers_and_was_never_named_has_nobody_elses_name() -> None:
    pbx = Pbx()
    pbx.server.answer(pbx.invite, 180, tag="a", headers=(("P-Asserted-Identity", BOB),))
    pbx.server.answer(pbx.invite, 180, tag="b")
    pbx.run()
    pbx.server.answer(pbx.invite, 200, tag="b", body=SDP)
    pbx.run()
    (answered,) = pbx.phone.of(e.CallAnswered)
    assert (answered.call.remote.display, answered.call.remote.asserted) == ("", "")
    assert answered.call.remote.uri == f"sip:1002@{SERVER}"


@pytest.mark.parametrize(("method", "body"), [("UPDATE", b""), ("UPDATE", SDP.data), ("INVITE", SDP.data)])
def test_whom_a_transfer_has_put_in_its_place_is_told(method: str, body: bytes) -> None:
    pbx = Pbx()
    pbx.answers(200, BOB)
    pbx.says(method, CAT, body)
    assert pbx.phone.only.state is CallState.ACTIVE
    told = [event.call.remote for event in pbx.phone.of(e.CallUpdated)]
    assert told[0] == Party(f"sip:1002@{SERVER}", "Cat", CAT, "Cat")
    pbx.says(method, CAT, body)
    assert [each.display for each in told] == ["Cat"] * len(told)


def test_who_answers_our_later_offer_may_be_somebody_else() -> None:
    pbx = Pbx()
    pbx.answers(200, BOB)
    pbx.phone.execute(c.Hold())
    pbx.run()
    pbx.answers(200, CAT)
    assert pbx.remote == Party(f"sip:1002@{SERVER}", "Cat", CAT, "Cat")


def test_a_stranger_names_nobody() -> None:
    pbx = Pbx(own=False)
    pbx.answers(180, BOB)
    pbx.answers(200, BOB)
    pbx.says("UPDATE", CAT)
    assert pbx.remote.asserted == pbx.remote.display == ""


def test_the_contact_is_that_of_who_is_there_now() -> None:
    pbx = Pbx()
    for name, number in (("Robert", "1002"), ("Catherine", "1003")):
        pbx.phone.execute(c.AddContact(details=ContactDetails(name=name, number=number)))
    pbx.answers(200, "<sip:1002@10.0.0.9>")
    assert (pbx.remote.display, pbx.remote.contact) == ("Robert", "Robert")
    pbx.says("UPDATE", CAT)
    assert (pbx.remote.display, pbx.remote.contact) == ("Cat", "Catherine")
    pbx.says("UPDATE", "<sip:1004@10.0.0.9>")
    assert (pbx.remote.display, pbx.remote.contact) == ("", "")


def test_an_identity_that_cannot_be_read_changes_nothing() -> None:
    pbx = Pbx()
    pbx.answers(200, BOB)
    pbx.says("UPDATE", "<sip:@nobody>")
    assert pbx.remote.display == "Bob"
