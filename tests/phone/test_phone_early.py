"""Before the answer: sound that nothing was said of, and hold, where early media may be changed by UPDATE."""

from __future__ import annotations

import pytest

from offhook.errors import InvalidState, MediaNegotiationFailed
from offhook.media import messages as media
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.model import CallState
from offhook.phone.settings import NatPolicy, NatSettings, PhoneSettings
from offhook.sip.events import Body, NetworkChanged
from offhook.sip.message import Request, Response
from offhook.testing.endpoints import Peer
from offhook.testing.phones import VirtualPhone, no_figures
from offhook.testing.wire import Wire

ALLOW = ("Allow", "INVITE, ACK, BYE, CANCEL, PRACK, UPDATE")


def sdp(direction: str = "sendrecv", *, port: int = 30000) -> Body:
    lines = (
        "v=0", "o=x 7 7 IN IP4 10.0.0.9", "s=-", "c=IN IP4 10.0.0.9", "t=0 0", f"m=audio {port} RTP/AVP 0",
        f"a={direction}", "",
    )  # fmt: skip
    return Body("application/sdp", "\r\n".join(lines).encode())


class Early:
    """A call of ours with early media; `invite` is what the far end got."""

    def __init__(self, *, reliable: bool = True) -> None:
        self.wire = Wire()
        self.phone = VirtualPhone(self.wire, "alice", "10.0.0.1")
        self.peer = Peer(self.wire, "peer", "10.0.0.9")
        self.phone.dial("sip:x@10.0.0.9")
        self.run()
        self.invite = self.peer.requests("INVITE")[0]
        headers = (("Require", "100rel"), ("RSeq", "1"), ALLOW) if reliable else (ALLOW,)
        self.peer.answer(self.invite, 183, tag="t", body=sdp(), headers=headers)
        self.run()
        if reliable:
            self.peer.answer(self.peer.requests("PRACK")[0], 200)
            self.run()
        assert self.is_in(CallState.EARLY)

    def run(self) -> None:
        self.wire.run(self.wire.now + 0.1)

    def is_in(self, state: CallState) -> bool:
        return self.phone.only.state is state

    def update(self) -> Request:
        return self.peer.requests("UPDATE")[-1]


def test_held_before_the_answer_and_still_after_it() -> None:
    early = Early()
    phone, peer = early.phone, early.peer
    operation = phone.execute(c.Hold()).operation
    early.run()
    assert b"a=sendonly" in early.update().body
    peer.answer(early.update(), 200, body=sdp("recvonly"))
    early.run()
    assert phone.outcome(operation) == e.OperationSucceeded(operation=operation, command="hold", call=phone.only.id)
    assert early.is_in(CallState.EARLY)
    assert phone.of(e.CallUpdated)[-1].call.media.direction == "sendonly"
    peer.answer(early.invite, 200, tag="t", body=None)
    early.run()
    assert early.is_in(CallState.HELD_LOCAL)
    assert len(peer.requests("INVITE")) == 1, "nothing has to be said again"
    assert phone.of_call(phone.only.id)[-3:] == ["call.answered", "call.active", "call.held"]
    phone.execute(c.Resume())
    early.run()
    assert b"a=sendrecv" in peer.requests("INVITE")[1].body


def test_held_and_resumed_before_the_answer() -> None:
    early = Early()
    for command, ours, theirs in ((c.Hold(), b"a=sendonly", "recvonly"), (c.Resume(), b"a=sendrecv", "sendrecv")):
        early.phone.execute(command)
        early.run()
        assert ours in early.update().body
        early.peer.answer(early.update(), 200, body=sdp(theirs))
        early.run()
    early.peer.answer(early.invite, 200, tag="t")
    early.run()
    assert early.is_in(CallState.ACTIVE)


def test_an_answer_comes_while_the_hold_is_under_way() -> None:
    early = Early()
    early.phone.execute(c.Hold())
    early.run()
    early.peer.answer(early.invite, 200, tag="t")
    early.run()
    assert early.is_in(CallState.ACTIVE)
    early.peer.answer(early.update(), 200, body=sdp("recvonly"))
    early.run()
    assert early.is_in(CallState.HELD_LOCAL)


@pytest.mark.parametrize("agreed", [True, False])
def test_what_was_held_before_the_answer_is_so_though_the_call_is_placed_anew(agreed: bool) -> None:
    """Our address changes, whether or not the far end has said to the hold what it thinks of it."""
    early = Early()
    phone, peer, node = early.phone, early.peer, early.phone.node
    phone.execute(c.Hold())
    early.run()
    if agreed:
        peer.answer(early.update(), 200, body=sdp("recvonly"))
        early.run()
    node.address, early.wire.nodes[("10.0.0.77", 5060)] = ("10.0.0.77", 5060), node
    phone.receive(NetworkChanged("our address is 10.0.0.77 now, it was 10.0.0.1"))
    early.run()
    peer.answer(peer.requests("INVITE")[-1], 200, tag="other", body=sdp())
    early.run()
    assert early.is_in(CallState.ACTIVE)
    asked = peer.requests("INVITE")[-1]
    assert b"a=sendonly" in asked.body
    peer.answer(asked, 200, body=sdp("recvonly"))
    early.run()
    assert early.is_in(CallState.HELD_LOCAL)


def test_a_refused_hold_changes_nothing() -> None:
    early = Early()
    operation = early.phone.execute(c.Hold()).operation
    early.run()
    early.peer.answer(early.update(), 488)
    early.run()
    failed = early.phone.outcome(operation)
    assert isinstance(failed, e.OperationFailed)
    assert failed.sip_status == 488
    early.peer.answer(early.invite, 200, tag="t")
    early.run()
    assert early.is_in(CallState.ACTIVE)


def test_another_phone_answers_than_the_one_that_was_held() -> None:
    early = Early()
    early.phone.execute(c.Hold())
    early.run()
    early.peer.answer(early.update(), 200, body=sdp("recvonly"))
    early.run()
    early.peer.answer(early.invite, 200, tag="other", body=sdp())
    early.run()
    assert early.is_in(CallState.ACTIVE)
    assert b"a=sendonly" in early.peer.requests("INVITE")[1].body, "this one is asked, too"


def test_without_acknowledged_early_media_it_is_refused() -> None:
    early = Early(reliable=False)
    for command in (c.Hold(), c.Resume(), c.ToggleHold()):
        assert isinstance(early.phone.refuses(command), InvalidState)
    with pytest.raises(InvalidState, match="not connected"):
        early.phone.execute(c.Hold())


def test_other_codecs_before_the_answer() -> None:
    early = Early()
    phone, peer = early.phone, early.peer
    operation = phone.execute(c.SetCodecs(codecs=("PCMA",))).operation
    early.run()
    assert b"m=audio" in early.update().body
    assert b" RTP/AVP 8 " in early.update().body
    peer.answer(early.update(), 488)
    early.run()
    failed = phone.outcome(operation)
    assert isinstance(failed, e.OperationFailed)
    assert failed.sip_status == 488
    assert phone.only.config is not None
    assert phone.only.config.codec == "PCMU"
    assert early.is_in(CallState.EARLY)


def test_sound_before_any_answer_is_early_media() -> None:
    wire = Wire()
    phone, peer = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
    call = phone.dial("sip:x@10.0.0.9")
    wire.run(wire.now + 0.1)
    peer.answer(peer.requests("INVITE")[0], 180, tag="t")
    wire.run(wire.now + 0.1)
    assert phone.states == [CallState.RINGING]
    assert phone.did(media.PlayLocalTone)[-1].tone == "ringback"
    config = phone.did(media.ConfigureStream)[0].config
    assert (config.direction, config.receive_types) == ("recvonly", ((0, "PCMU"), (8, "PCMA")))
    phone.receive(no_figures(call))
    phone.receive(media.StreamResumed(call))
    assert phone.states == [CallState.EARLY]
    assert phone.did(media.PlayLocalTone)[-1].tone == "none"  # the far end's own is heard in its place
    assert phone.of_call(call)[-2:] == ["call.early", "media.started"]
    peer.answer(peer.requests("INVITE")[0], 200, tag="t", body=sdp())
    wire.run(wire.now + 0.1)
    assert phone.states == [CallState.ACTIVE]
    assert phone.did(media.ConfigureStream)[-1].config.remote == ("10.0.0.9", 30000)
    phone.receive(no_figures(call))
    assert phone.types.count("media.stats") == 1  # as long as nothing was agreed on there was nothing to tell


@pytest.mark.parametrize("first", [180, 183])
def test_who_rings_and_sends_nothing_is_heard_to_ring(first: int) -> None:
    # RFC 3960 3.2: packets end our own ringing tone, and not the description of where they would come from
    wire = Wire()
    phone, peer = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
    call = phone.dial("sip:x@10.0.0.9")
    wire.run(wire.now + 0.1)
    for status in (first, 363 - first, 180):
        peer.answer(peer.requests("INVITE")[0], status, tag="t", body=sdp() if status == 183 else None)
        wire.run(wire.now + 0.1)
    assert phone.states == [CallState.EARLY]
    told = ["call.ringing", "call.early"]
    assert phone.of_call(call)[-2:] == (told if first == 180 else told[::-1])
    assert phone.only.ringing is not None
    assert phone.did(media.PlayLocalTone)[-1].tone == "ringback"
    phone.receive(media.StreamResumed(call))
    assert phone.did(media.PlayLocalTone)[-1].tone == "none"


def test_who_sends_nothing_and_does_not_ring_is_silent() -> None:
    assert Early().phone.did(media.PlayLocalTone) == []


def test_a_far_end_that_rings_with_its_sound_is_told_as_both() -> None:
    wire = Wire()
    phone, peer = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
    call = phone.dial("sip:x@10.0.0.9")
    wire.run(wire.now + 0.1)
    peer.answer(peer.requests("INVITE")[0], 180, tag="t", body=sdp())
    wire.run(wire.now + 0.1)
    assert phone.of_call(call)[-2:] == ["call.ringing", "call.early"]


def test_what_is_heard_before_the_answer_may_change_and_that_is_told() -> None:
    early = Early(reliable=False)
    phone, peer = early.phone, early.peer
    assert phone.types[-1] == "call.early"
    for port, told in ((30000, 0), (30002, 1), (30002, 1)):
        other = sdp(port=port).data.replace(b"AVP 0", b"AVP 8" if told else b"AVP 0")
        peer.answer(early.invite, 183, tag="t", body=Body("application/sdp", other))
        early.run()
        assert phone.types.count("call.updated") == told
    assert phone.of(e.CallUpdated)[-1].call.media.codec == "PCMA"
    assert phone.types.count("call.early") == 1


class Forks:
    """A call of ours that rings at two places, each with early media, reliably: announcements of a network, and the callee."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.phone = VirtualPhone(self.wire, "alice", "10.0.0.1")
        self.peer = Peer(self.wire, "peer", "10.0.0.9")
        self.phone.dial("sip:x@10.0.0.9")
        self.run()
        self.invite = self.peer.requests("INVITE")[0]

    def run(self) -> None:
        self.wire.run(self.wire.now + 0.1)

    def rings(self, fork: str, port: int) -> None:
        self.peer.answer(self.invite, 183, tag=fork, body=sdp(port=port), headers=(("Require", "100rel"), ("RSeq", "1"), ALLOW))
        self.run()
        self.peer.answer(self.peer.requests("PRACK")[-1], 200)
        self.run()

    def updates(self, fork: str, port: int) -> None:
        body = sdp(port=port).data
        head = (
            f"UPDATE {self.invite.contacts[0].uri} SIP/2.0", f"Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK{fork}{port}",
            f"From: {self.invite.to.with_tag(fork)}", f"To: {self.invite.from_}", f"Call-ID: {self.invite.call_id}",
            "CSeq: 1 UPDATE", "Contact: <sip:peer@10.0.0.9>", "Content-Type: application/sdp", f"Content-Length: {len(body)}",
            "", "",
        )  # fmt: skip
        self.peer.send("\r\n".join(head).encode() + body)
        self.run()
        assert self.peer.responses("UPDATE")[-1].status == 200

    def answers(self, fork: str, body: Body | None = None) -> int:
        """Answer, and return the port sound goes to."""
        self.peer.answer(self.invite, 200, tag=fork, body=body)
        self.run()
        assert self.phone.only.state is CallState.ACTIVE
        return self.phone.did(media.ConfigureStream)[-1].config.remote[1]


@pytest.mark.parametrize(("fork", "port"), [("a", 30000), ("b", 30012)])
def test_who_answers_is_talked_to_though_another_fork_has_changed_its_sound(fork: str, port: int) -> None:
    forks = Forks()
    forks.rings("a", 30000)
    forks.rings("b", 30002)
    forks.updates("b", 30012)
    assert forks.answers(fork) == port


@pytest.mark.parametrize("repeated", [None, 30000])
def test_who_has_changed_its_sound_is_talked_to_though_another_fork_was_heard_since(repeated: int | None) -> None:
    forks = Forks()
    forks.rings("a", 30000)
    forks.updates("a", 30010)
    forks.rings("b", 30002)
    # RFC 3261 13.2.1: what the answer repeats of the first description is ignored
    assert forks.answers("a", None if repeated is None else sdp(port=repeated)) == 30010


@pytest.mark.parametrize(("left", "heard"), [("b", 30000), ("a", 30002), ("c", 30002)])
def test_when_one_of_those_who_ring_has_left_another_one_is_heard(left: str, heard: int) -> None:
    forks = Forks()
    assert "199" in forks.invite.headers.values("Supported")
    forks.rings("a", 30000)
    forks.rings("b", 30002)
    forks.peer.answer(forks.invite, 199, tag=left)
    forks.run()
    assert forks.phone.only.config is not None
    assert forks.phone.only.config.remote[1] == heard
    assert forks.phone.did(media.ConfigureStream)[-1].config.remote[1] == heard
    assert forks.answers("a" if left != "a" else "b") == (30000 if left != "a" else 30002)


def test_when_the_last_one_with_sound_has_left_whoever_sends_something_is_heard() -> None:
    forks = Forks()
    forks.rings("a", 30000)
    forks.peer.answer(forks.invite, 199, tag="a", headers=(("Require", "100rel"), ("RSeq", "2")))
    forks.run()
    assert forks.peer.requests("PRACK")[-1].headers.get("RAck") == f"2 {forks.invite.cseq}"
    assert forks.phone.only.state is CallState.EARLY
    assert forks.phone.only.config is None
    assert forks.phone.did(media.ConfigureStream)[-1].config.direction == "recvonly"
    assert isinstance(forks.phone.refuses(c.Hold()), InvalidState)
    assert forks.answers("b", sdp(port=30004)) == 30004


@pytest.mark.parametrize("leaves", [True, False])
def test_a_hold_that_was_under_way_with_one_who_left_does_not_bind_the_call(leaves: bool) -> None:
    forks = Forks()
    forks.rings("a", 30000)
    operation = forks.phone.execute(c.Hold()).operation
    forks.run()
    if leaves:
        forks.peer.answer(forks.invite, 199, tag="a")
        forks.run()
    else:
        forks.answers("b", sdp(port=30004))
    forks.peer.answer(forks.peer.requests("UPDATE")[0], 200, body=sdp("recvonly"))
    forks.run()
    assert isinstance(forks.phone.outcome(operation), e.OperationFailed)
    if leaves:
        forks.answers("b", sdp(port=30004))
    forks.phone.execute(c.Hold())
    forks.run()
    assert b"a=sendonly" in forks.peer.requests("INVITE")[1].body


class Offerless:
    """A caller that makes no offer and requires what it is told to be acknowledged (a gateway, a conference server)."""

    def __init__(
        self, phone: PhoneSettings | None = None, tag: str = "Require", *, policy: NatPolicy = "off", ports: int = 10
    ) -> None:
        self.wire = Wire()
        self.phone = VirtualPhone(self.wire, "bob", "10.0.0.2", phone, nat=NatSettings(policy), ports=ports)
        self.peer = Peer(self.wire, "peer", "10.0.0.9")
        self.send("INVITE", 1, f"{tag}: 100rel")

    def send(self, method: str, number: int, *lines: str, body: Body | None = None) -> None:
        to = self.peer.responses("INVITE")[-1].to.tag if self.peer.responses("INVITE") else ""
        head = (
            f"{method} sip:bob@10.0.0.2 SIP/2.0", f"Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK{method}{number}",
            "From: <sip:peer@10.0.0.9>;tag=t", f"To: <sip:bob@10.0.0.2>{f';tag={to}' if to else ''}", "Call-ID: one",
            f"CSeq: {number} {method}", "Contact: <sip:peer@10.0.0.9>", "Max-Forwards: 70", *lines,
            *(("Content-Type: application/sdp",) if body else ()), f"Content-Length: {len(body.data) if body else 0}", "", "",
        )  # fmt: skip
        self.peer.send("\r\n".join(head).encode() + (body.data if body else b""), self.phone.node)
        self.run()

    def run(self) -> None:
        self.wire.run(self.wire.now + 0.1)

    def acknowledges(self, body: Body | None) -> None:
        self.send("PRACK", 2, f"RAck: {self.ringing().headers.get('RSeq')} 1 INVITE", body=body)
        assert self.peer.responses("PRACK")[-1].status == 200

    def ringing(self) -> Response:
        return next(each for each in self.peer.responses("INVITE") if each.status == 180)

    def answer(self) -> Response:
        return next(each for each in self.peer.responses("INVITE") if each.status == 200)

    def heard(self) -> list[int]:
        return [command.config.remote[1] for command in self.phone.did(media.ConfigureStream)]


def test_a_call_without_an_offer_gets_ours_with_the_acknowledged_ringing() -> None:
    caller = Offerless()
    assert b"m=audio" in caller.ringing().body
    caller.acknowledges(sdp())
    assert caller.heard() == [], "nobody is heard before the call is answered"
    caller.phone.execute(c.Answer())
    caller.run()
    assert caller.answer().body == b"", "it has had the offer, and answered it"
    assert caller.heard() == [30000]
    caller.send("ACK", 1)
    caller.wire.run(caller.wire.now + 40)
    assert caller.phone.states == [CallState.ACTIVE]


@pytest.mark.parametrize(("policy", "ports"), [("stun", 10), ("off", 0), ("stun", 0)])
def test_a_call_without_an_offer_is_told_that_it_rings_as_soon_as_there_is_ours(policy: NatPolicy, ports: int) -> None:
    caller = Offerless(policy=policy, ports=ports)
    if not ports:
        assert not [each for each in caller.peer.responses("INVITE") if each.status == 180]
        caller.phone.receive(caller.phone.media.fresh_ports(2))
    caller.wire.run(caller.wire.now + 1)
    assert b"m=audio" in caller.ringing().body
    caller.acknowledges(sdp())
    caller.phone.execute(c.Answer())
    caller.run()
    assert (caller.answer().body, caller.heard()) == (b"", [30000])


def test_a_call_without_an_offer_that_is_answered_before_the_ringing_is_acknowledged() -> None:
    caller = Offerless()
    caller.phone.execute(c.Answer())
    caller.run()
    assert [each.status for each in caller.peer.responses("INVITE")] == [180]
    caller.acknowledges(sdp(port=30008))
    assert caller.answer().body == b""
    assert caller.heard() == [30008]
    caller.send("ACK", 1)
    assert caller.phone.states == [CallState.ACTIVE]


@pytest.mark.parametrize(("last", "states"), [(sdp(), [CallState.ACTIVE]), (None, [])])
def test_an_offer_that_is_not_answered_when_it_should_be_is_made_again(last: Body | None, states: list[CallState]) -> None:
    caller = Offerless()
    caller.acknowledges(None)
    caller.phone.execute(c.Answer())
    caller.run()
    assert caller.answer().body == caller.ringing().body
    caller.send("ACK", 1, body=last)
    assert caller.phone.states == states


def test_codecs_wished_for_when_ours_are_offered_already_change_nothing() -> None:
    caller = Offerless()
    caller.acknowledges(sdp())
    caller.phone.execute(c.Answer(codecs=("PCMA",)))
    caller.run()
    assert caller.phone.only.config is not None
    assert caller.phone.only.config.codec == "PCMU", "as the caller has answered"


def test_an_unsuitable_answer_ends_the_call_when_it_is_answered() -> None:
    caller = Offerless()
    caller.acknowledges(sdp(port=0))
    assert caller.phone.states == [CallState.INCOMING]
    with pytest.raises(MediaNegotiationFailed):
        caller.phone.execute(c.Answer())
    caller.run()
    assert caller.peer.responses("INVITE")[-1].status == 488


def test_other_sound_before_the_answer_is_refused() -> None:
    caller = Offerless()
    caller.acknowledges(sdp())
    caller.send("UPDATE", 3, body=sdp(port=30002))
    assert caller.peer.responses("UPDATE")[-1].status == 488
    assert caller.heard() == []
    caller.phone.execute(c.Answer())
    assert caller.heard() == [30000]


def test_where_nothing_is_acknowledged_the_offer_is_in_the_answer() -> None:
    caller = Offerless(tag="Supported")
    assert caller.ringing().body == b""
    caller.phone.execute(c.Answer())
    caller.run()
    assert b"m=audio" in caller.answer().body
    caller.send("ACK", 1, body=sdp())
    assert caller.heard() == [30000]
