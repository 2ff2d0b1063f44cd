"""Answers to our offers that are missing, or refuse the sound of a running call."""

from __future__ import annotations

import pytest

from offhook.errors import InvalidState
from offhook.media import messages as media
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.model import CallState
from offhook.phone.settings import AccountSettings
from offhook.sip.events import Body
from offhook.sip.message import Request
from offhook.testing.endpoints import Peer
from offhook.testing.phones import VirtualPhone
from offhook.testing.wire import Wire


def sdp(port: int = 30000) -> Body:
    lines = (
        "v=0", "o=x 7 7 IN IP4 10.0.0.9", "s=-", "c=IN IP4 10.0.0.9", "t=0 0", f"m=audio {port} RTP/AVP 0", "",
    )  # fmt: skip
    return Body("application/sdp", "\r\n".join(lines).encode())


def state(phone: VirtualPhone) -> CallState:
    return phone.only.state


class Talk:
    """A call of the phone that a far end has answered; `invite` is what it got."""

    def __init__(self, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self.wire = Wire()
        self.phone = VirtualPhone(self.wire, "alice", "10.0.0.1")
        self.peer = Peer(self.wire, "peer", "10.0.0.9")
        self.call = self.phone.dial("sip:x@10.0.0.9")
        self.run()
        self.invite = self.latest("INVITE")
        self.peer.answer(self.invite, 200, tag="t", body=sdp(), headers=headers)
        self.run()
        assert self.phone.only.state is CallState.ACTIVE

    def run(self, seconds: float = 0.1) -> None:
        self.wire.run(self.wire.now + seconds)

    def latest(self, method: str) -> Request:
        return self.peer.requests(method)[-1]

    def offer(self, offer: bytes, number: int) -> None:
        """Have the far end offer this, by an UPDATE."""
        self.send("UPDATE", number, f"u{number}", "Content-Type: application/sdp", body=offer)

    def send(self, method: str, number: int, branch: str, *lines: str, body: bytes = b"") -> None:
        head = (
            f"{method} {self.invite.contacts[0].uri} SIP/2.0", f"Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK{branch}",
            f"From: {self.invite.to.with_tag('t')}", f"To: {self.invite.from_}", f"Call-ID: {self.invite.call_id}",
            f"CSeq: {number} {method}", "Contact: <sip:peer@10.0.0.9>", *lines, f"Content-Length: {len(body)}", "", "",
        )  # fmt: skip
        self.peer.send("\r\n".join(head).encode() + body)
        self.run()


# --- digits, where the far end takes none as RTP


@pytest.mark.parametrize(("allow", "method"), [((), "info"), ((("Allow", "INVITE, BYE, Info"),), "info"),
                                               ((("Allow", "INVITE, BYE"),), "inband")])
def test_digits_go_the_way_the_far_end_knows(allow: tuple[tuple[str, str], ...], method: str) -> None:
    talk = Talk(allow)
    assert isinstance(talk.phone.refuses(c.SendDtmf(digits="1", method="rtp")), InvalidState)
    talk.phone.execute(c.SendDtmf(digits="1"))
    talk.run()
    assert len(talk.peer.requests("INFO")) == (method == "info")
    assert [sent.method for sent in talk.phone.did(media.SendDigits)] == ["inband"] * (method == "inband")


def test_a_digit_that_is_refused_ends_its_operation_and_the_next_one_goes_on() -> None:
    talk = Talk()
    first, second = (talk.phone.execute(c.SendDtmf(digits=digits, method="info")).operation for digits in ("12", "3"))
    talk.run()
    (info,) = talk.peer.requests("INFO")
    talk.peer.answer(info, 415)
    talk.run()
    failed = talk.phone.outcome(first)
    assert isinstance(failed, e.OperationFailed)
    assert (failed.sip_status, failed.reason) == (415, "the far end refused the digit: 415 Unsupported Media Type")
    assert [event.reason for event in talk.phone.of(e.DtmfSendFailed)] == [failed.reason]
    assert b"Signal=3" in talk.latest("INFO").body
    talk.peer.answer(talk.latest("INFO"), 200)
    talk.run(1)
    assert isinstance(talk.phone.outcome(second), e.OperationSucceeded)
    assert [event.digit for event in talk.phone.of(e.DtmfSent)] == ["3"]
    assert state(talk.phone) is CallState.ACTIVE


# --- transfers


def test_a_far_end_that_took_the_transfer_and_hangs_up_has_carried_it_out() -> None:
    talk = Talk()
    operation = talk.phone.execute(c.Transfer(to="sip:z@10.0.0.8")).operation
    talk.run()
    talk.peer.answer(talk.latest("REFER"), 202)
    talk.run()
    talk.send("BYE", 1, "b")
    assert talk.phone.of(e.TransferCompleted)
    assert isinstance(talk.phone.outcome(operation), e.OperationSucceeded)
    assert talk.phone.ended(talk.call).end is not None


@pytest.mark.parametrize(("dialled", "there"), [(True, "sip:1003@10.0.0.9"), (False, "sip:z@192.168.7.7")])
def test_who_is_to_be_called_is_named_as_others_reach_it(dialled: bool, there: str) -> None:
    # RFC 5589 7.3: a Contact is often good for one's own server alone; what was dialled led there once
    wire = Wire()
    phone, peer = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
    phone.add_account(AccountSettings("a", "10.0.0.9", "1001", register=False))
    consulted = ""
    for number in ("1002", "1003") if dialled else ("1002",):
        consulted = phone.dial(number)
        wire.run(wire.now + 0.1)
        peer.answer(peer.requests("INVITE")[-1], 200, tag=f"t{number}", body=sdp(), contact="<sip:z@192.168.7.7>",
                    headers=(("Record-Route", "<sip:10.0.0.9;lr>"),))
        wire.run(wire.now + 0.1)
        if peer.requests("INVITE")[-1].to.tag:
            peer.answer(peer.requests("INVITE")[-1], 200, body=sdp())
            wire.run(wire.now + 0.1)
    if not dialled:
        head = ("INVITE sip:1001@10.0.0.1 SIP/2.0", "Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKi", "Max-Forwards: 70",
                "From: <sip:z@elsewhere.example>;tag=i", "To: <sip:1001@10.0.0.9>", "Call-ID: i", "CSeq: 1 INVITE",
                "Contact: <sip:z@192.168.7.7>", "Record-Route: <sip:10.0.0.9;lr>", "Content-Type: application/sdp", "", "")
        peer.send("\r\n".join(head).encode() + sdp().data, phone.node)
        wire.run(wire.now + 0.2)
        consulted = phone.execute(c.Answer()).call
        wire.run(wire.now + 0.1)
        ack = "\r\n".join(head).replace("INVITE", "ACK").replace("z9hG4bKi", "z9hG4bKa").partition("Content-Type")[0] + "\r\n"
        tag = peer.responses("INVITE")[-1].to.tag or ""
        peer.send(ack.replace("To: <sip:1001@10.0.0.9>", f"To: <sip:1001@10.0.0.9>;tag={tag}").encode(), phone.node)
        wire.run(wire.now + 0.1)
    phone.execute(c.TransferAttended(with_call=consulted))
    wire.run(wire.now + 0.1)
    named = peer.requests("REFER")[-1].headers.get("Refer-To") or ""
    assert named.startswith(f"<{there}?Replaces="), named


# --- session timers, where the far end has no UPDATE


@pytest.mark.parametrize("held", [False, True])
def test_a_call_is_kept_alive_by_saying_again_what_is_agreed(held: bool) -> None:
    talk = Talk((("Session-Expires", "90;refresher=uac"), ("Allow", "INVITE, BYE")))
    if held:
        talk.phone.execute(c.Hold())
        talk.run()
        answer = Body("application/sdp", sdp().data + b"a=recvonly\r\n")
        talk.peer.answer(talk.latest("INVITE"), 200, body=answer, headers=(("Session-Expires", "90;refresher=uac"),))
        talk.run()
    before, said = talk.latest("INVITE"), len(talk.phone.events)
    talk.run(46)
    again = talk.latest("INVITE")
    assert again.cseq.number == before.cseq.number + 1
    assert again.headers.get("Session-Expires") == "90;refresher=uac"
    assert (b"a=sendonly" in again.body) is held
    talk.peer.answer(again, 200, body=sdp() if not held else answer, headers=(("Session-Expires", "90;refresher=uac"),))
    talk.run(30)
    assert state(talk.phone) is (CallState.HELD_LOCAL if held else CallState.ACTIVE)
    assert len(talk.phone.events) == said, "nobody is told of a sign of life"


@pytest.mark.parametrize("stated", ["inactive", "sendonly"])
def test_a_call_that_is_answered_on_hold_is_held_until_it_is_resumed(stated: str) -> None:
    wire = Wire()
    phone, peer = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
    phone.dial("sip:x@10.0.0.9")
    wire.run(0.1)
    held = Body("application/sdp", sdp().data + f"a={stated}\r\n".encode())
    peer.answer(peer.requests("INVITE")[-1], 200, tag="t", body=held)
    wire.run(0.2)
    assert phone.types[-2:] == ["call.remote_held", "operation.succeeded"]
    assert (state(phone), phone.execute(c.Status()).value.code) == (CallState.HELD_REMOTE, 3)
    phone.execute(c.Hold())
    wire.run(0.3)
    assert state(phone) is CallState.HELD_REMOTE
    peer.answer(peer.requests("INVITE")[-1], 200, body=sdp())
    wire.run(0.4)
    assert state(phone) is CallState.HELD_LOCAL
    assert phone.types.count("call.remote_resumed") == 1


def test_of_two_audio_lines_the_one_in_use_says_who_holds() -> None:
    talk = Talk()
    offer = sdp().data.replace(b"m=audio", b"m=audio 30002 RTP/AVP 18\r\na=inactive\r\nm=audio")
    talk.offer(offer, 1)
    assert state(talk.phone) is CallState.ACTIVE
    assert talk.phone.only.view().media.direction == "sendrecv"
    talk.offer(offer.replace(b"a=inactive", b"a=sendrecv") + b"a=sendonly\r\n", 2)
    assert state(talk.phone) is CallState.HELD_REMOTE


def test_a_hold_that_is_answered_without_sound_is_taken_back() -> None:
    talk = Talk()
    operation = talk.phone.execute(c.Hold()).operation
    talk.run()
    assert b"a=sendonly" in talk.latest("INVITE").body
    talk.peer.answer(talk.latest("INVITE"), 200, body=sdp(0))
    talk.run()
    assert isinstance(talk.phone.outcome(operation), e.OperationFailed)
    again = talk.latest("INVITE")
    assert b"a=sendrecv" in again.body, "the far end believes in a call without sound, and is offered it anew"
    talk.peer.answer(again, 200, body=sdp())
    talk.run(1)
    assert talk.phone.only.state is CallState.ACTIVE
    assert len(talk.peer.requests("INVITE")) == 3
    assert talk.phone.types.count("call.hold_failed") == 1


@pytest.mark.parametrize(("answer", "is_held"), [
    (sdp().data + b"a=sendonly\r\n", False), (sdp().data + b"a=inactive\r\n", True),
    (sdp().data.replace(b"c=IN IP4 10.0.0.9", b"c=IN IP4 0.0.0.0") + b"a=sendonly\r\n", True),
])
def test_a_far_end_that_answers_our_hold_with_its_own_words_hears_our_music(answer: bytes, is_held: bool) -> None:
    talk = Talk()
    talk.phone.execute(c.Hold())
    talk.run()
    talk.peer.answer(talk.latest("INVITE"), 200, body=Body("application/sdp", answer))
    talk.run()
    assert state(talk.phone) is (CallState.HELD_BOTH if is_held else CallState.HELD_LOCAL)
    media = talk.phone.only.view().media
    assert media is not None
    assert media.direction == ("inactive" if is_held else "sendonly")


def test_a_far_end_that_holds_us_holds_us_still_when_it_answers_our_hold_with_its_own() -> None:
    talk = Talk()
    talk.offer(sdp().data + b"a=sendonly\r\n", 1)
    assert state(talk.phone) is CallState.HELD_REMOTE
    talk.phone.execute(c.Hold())
    talk.run()
    talk.peer.answer(talk.latest("INVITE"), 200, body=Body("application/sdp", sdp().data + b"a=sendonly\r\n"))
    talk.run()
    assert state(talk.phone) is CallState.HELD_BOTH


def test_a_far_end_that_wants_no_sound_at_all_any_more() -> None:
    talk = Talk()
    talk.phone.execute(c.Hold())
    for _ in range(2):
        talk.run()
        talk.peer.answer(talk.latest("INVITE"), 200, body=sdp(0))
    talk.run()
    end = talk.phone.ended(talk.call).end
    assert end is not None
    assert "no media" in end.reason
    assert talk.peer.requests("BYE")
    assert len(talk.peer.requests("INVITE")) == 3


def test_an_offer_that_the_far_end_asked_for_and_has_not_answered() -> None:
    talk = Talk()
    talk.send("INVITE", 1, "1")
    assert talk.peer.responses("INVITE")[-1].body
    talk.send("ACK", 1, "2")
    assert talk.phone.only.state is CallState.ACTIVE
    assert "call.hold_failed" not in talk.phone.types, "nobody has asked for hold"


def test_what_the_far_end_answers_to_an_offer_it_asked_for_is_told() -> None:
    talk = Talk()
    for number, (codec, direction, told) in enumerate([
        (b"0", b"sendrecv", []), (b"8", b"sendrecv", ["call.updated"]), (b"8", b"inactive", ["call.remote_held"]),
        (b"0", b"sendonly", ["call.updated"]), (b"8", b"sendrecv", ["call.remote_resumed"]),
    ], 1):  # fmt: skip
        before = len(talk.phone.types)
        talk.send("INVITE", number, f"i{number}")
        answer = sdp().data.replace(b"AVP 0", b"AVP " + codec) + b"a=" + direction + b"\r\n"
        talk.send("ACK", number, f"a{number}", "Content-Type: application/sdp", body=answer)
        assert talk.phone.types[before:] == told
        assert talk.phone.only.view().media.codec == ("PCMU" if codec == b"0" else "PCMA")


class Asked:
    """A call of a far end that wants our offer and has it; its answer is to be in the ACK."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.phone, self.peer = VirtualPhone(self.wire, "bob", "10.0.0.2"), Peer(self.wire, "peer", "10.0.0.9")
        self.wire.run(0.1)
        self.send("INVITE", "1", "<sip:bob@10.0.0.2>")
        self.call = self.phone.only.id
        self.phone.execute(c.Answer())
        self.wire.run(self.wire.now + 0.1)
        accepted = self.peer.responses("INVITE")[-1]
        assert accepted.body
        self.to = str(accepted.to)

    def send(self, method: str, branch: str, to: str, *lines: str, body: bytes = b"") -> None:
        head = (
            f"{method} sip:bob@10.0.0.2 SIP/2.0", f"Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK{branch}",
            "From: <sip:peer@10.0.0.9>;tag=t", f"To: {to}", "Call-ID: one", f"CSeq: 1 {method}",
            "Contact: <sip:peer@10.0.0.9>", *lines, f"Content-Length: {len(body)}", "", "",
        )  # fmt: skip
        self.peer.send("\r\n".join(head).encode() + body, self.phone.node)
        self.wire.run(self.wire.now + 0.1)


def test_a_call_whose_offer_is_not_answered_in_the_ack_ends() -> None:
    asked = Asked()
    asked.send("ACK", "2", asked.to)
    end = asked.phone.ended(asked.call).end
    assert end is not None
    assert end.reason == "no media: the far end has not answered our offer"
    assert asked.peer.requests("BYE")


@pytest.mark.parametrize(("line", "told"), [("a=sendrecv", "call.updated"), ("a=sendonly", "call.remote_held")])
def test_the_answer_in_the_ack_is_told(line: str, told: str) -> None:
    asked = Asked()
    assert asked.phone.types[-1] == "call.active"
    asked.send("ACK", "2", asked.to, "Content-Type: application/sdp", body=sdp().data + f"{line}\r\n".encode())
    assert asked.phone.types[-1] == told
    assert asked.phone.only.view().media.codec == "PCMU"


def test_a_hold_that_is_never_answered_does_not_bind_the_call_for_ever() -> None:
    talk = Talk()
    operation = talk.phone.execute(c.Hold()).operation
    talk.run()
    asked = talk.latest("INVITE")
    talk.peer.answer(asked, 100)
    talk.run(39)
    assert not talk.peer.requests("CANCEL")
    talk.run(2)
    talk.peer.answer(talk.latest("CANCEL"), 200)
    talk.peer.answer(asked, 487)
    talk.run()
    assert isinstance(talk.phone.outcome(operation), e.OperationFailed)
    assert talk.phone.types.count("call.hold_failed") == 1
    assert talk.phone.only.state is CallState.ACTIVE
    again = talk.phone.execute(c.Hold()).operation
    talk.run()
    talk.peer.answer(talk.latest("INVITE"), 200, body=sdp())
    talk.run(100)
    assert isinstance(talk.phone.outcome(again), e.OperationSucceeded)
    assert {each.cseq.number for each in talk.peer.requests("CANCEL")} == {asked.cseq.number}


def test_a_refusal_with_an_unreadable_contact_ends_the_call() -> None:
    wire = Wire()
    phone, peer = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
    call = phone.dial("sip:x@10.0.0.9")
    wire.run(wire.now + 0.1)
    peer.answer(peer.requests("INVITE")[-1], 180, tag="t", headers=(("Contact", "<sip:@10.0.0.9>"),))
    wire.run(wire.now + 0.1)
    assert phone.only.state is CallState.RINGING
    peer.answer(peer.requests("INVITE")[-1], 486, tag="t", headers=(("Contact", "<sip:@10.0.0.9>"),))
    wire.run(wire.now + 0.1)
    end = phone.ended(call).end
    assert end is not None
    assert end.sip_status == 486
    assert peer.requests("ACK")


def test_a_gateway_that_adds_its_own_messages_rings_and_answers() -> None:
    wire = Wire()
    phone, peer = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
    phone.dial("sip:x@10.0.0.9")
    wire.run(wire.now + 0.1)
    invite, isup = peer.requests("INVITE")[-1], Body("application/ISUP;version=itu-t92+", b"\x06\x12")
    peer.answer(invite, 180, tag="t", body=isup)
    wire.run(wire.now + 0.1)
    assert phone.states == [CallState.RINGING]
    peer.answer(invite, 183, tag="t", body=sdp(), headers=(("Require", "100rel"), ("RSeq", "1")))
    wire.run(wire.now + 0.1)
    peer.answer(invite, 200, tag="t", body=isup)  # RFC 3262 5: the answer was in the 183
    wire.run(wire.now + 0.1)
    assert phone.states == [CallState.ACTIVE]


def test_it_rings_though_the_sound_before_the_answer_will_not_do() -> None:
    wire = Wire()
    phone, peer = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
    phone.dial("sip:x@10.0.0.9")
    wire.run(wire.now + 0.1)
    peer.answer(peer.requests("INVITE")[-1], 180, tag="t", body=sdp(0))
    wire.run(wire.now + 0.1)
    assert phone.only.state is CallState.RINGING


NEAREST = "<sip:10.0.0.9:5060;transport=udp;lr>"


@pytest.mark.parametrize(("recorded", "routes"), [
    ("<sip:@10.0.0.9;lr>", [NEAREST]), ("<sip:10.0.0.9;lr", [NEAREST]), ("", []),
    ("<sip:far.example;lr>, <sip: ;lr>", [NEAREST, "<sip:far.example;lr>"]),
    ("<sip:p p;lr>, <sip:10.0.0.9;lr>", ["<sip:10.0.0.9;lr>"]),
])
def test_an_unreadable_record_route_does_not_cost_the_call(recorded: str, routes: list[str]) -> None:
    wire = Wire()
    phone, peer = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
    call, headers = phone.dial("sip:x@10.0.0.9"), (("Record-Route", recorded),)
    wire.run(wire.now + 0.1)
    peer.answer(peer.requests("INVITE")[-1], 180, tag="t", headers=headers)
    wire.run(wire.now + 0.1)
    assert phone.states == [CallState.RINGING]
    peer.answer(peer.requests("INVITE")[-1], 200, tag="t", body=sdp(), headers=headers)
    wire.run(wire.now + 0.1)
    assert phone.states == [CallState.ACTIVE]
    assert [str(each) for each in peer.requests("ACK")[0].routes] == routes
    phone.execute(c.Hangup(call=call))
    wire.run(wire.now + 0.1)
    assert [str(each) for each in peer.requests("BYE")[0].routes] == routes
