"""Descriptions that come in unusual ways, from SIPp: a controller of two calls, UPDATE, sound that moves elsewhere."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from offhook.phone.commands import Answer, Dial, Hangup, Hold, ListCalls, Play, Record
from offhook.testing import peers
from offhook.testing.ears import dominant_frequency, read_wav
from offhook.testing.live import LivePhone, live_phone
from offhook.testing.peers import listening, sipp
from offhook.testing.scenarios import (
    NEAR_TAG,
    SDP,
    accepted,
    ack,
    answer,
    description,
    inside,
    invite,
    invited,
    passed_on,
    pause,
    recv,
    refused_ack,
    scenario,
    taken_over,
)

pytestmark = pytest.mark.interop


# --- a controller in the middle (RFC 3725) -------------------------------------------------------------------------

ENDED = recv("BYE") + answer("200 OK")
ONE_HALF = scenario(
    invite(body=""), accepted(action=description("offer")), passed_on("offer"), taken_over("answer"),
    ack(body="[$answer]"), ENDED,
)  # fmt: skip
OTHER_HALF = scenario(
    taken_over("offer"), invite(body="[$offer]"), accepted(action=description("answer")), ack(), passed_on("answer"), ENDED,
)  # fmt: skip


async def heard(phone: LivePhone, file: Path) -> float:
    """Return the frequency of what the far end sends, which is in the right channel."""
    phone.execute(Record(file=str(file), channels="stereo", max_seconds=1.0))
    await phone.event("recording.finished")
    return dominant_frequency(read_wav(file).channels[1])


async def test_a_controller_connects_two_of_our_phones(tmp_path: Path) -> None:
    """RFC 3725 flow I: the first is called without an offer, its offer goes to the second, whose answer is in the ACK."""
    port = peers.free_port()
    options = ("-3pcc", f"127.0.0.1:{port}")
    async with live_phone(auto_answer="all") as ann, live_phone(auto_answer="all") as bob:
        with sipp(OTHER_HALF, tmp_path / "two", remote=bob.running.address, service="offhook", options=options) as two:
            await asyncio.to_thread(two.process.wait_until, lambda: peers.port_taken(port, socket.SOCK_STREAM), "listening")
            with sipp(ONE_HALF, tmp_path / "one", remote=ann.running.address, service="offhook", options=options) as one:
                for phone, other, tone in ((ann, bob, 500.0), (bob, ann, 800.0)):
                    await phone.reaches(2)
                    await phone.event("media.started")
                    phone.execute(Play(tone=str(tone)))
                    await other.reaches(2)
                found = await asyncio.gather(heard(ann, tmp_path / "ann.wav"), heard(bob, tmp_path / "bob.wav"))
                assert found == pytest.approx([800.0, 500.0], abs=5)
                for phone in (ann, bob):
                    phone.execute(Hangup())
                for half in (one, two):
                    await asyncio.to_thread(half.wait)


# --- UPDATE (RFC 3311) ---------------------------------------------------------------------------------------------


async def test_sipp_holds_and_resumes_with_update(tmp_path: Path) -> None:
    unknown = SDP.replace("RTP/AVP 8", "RTP/AVP 77").replace(":8 PCMA", ":77 unheard-of")
    does = scenario(
        invite(), accepted(), ack(), inside("UPDATE", 2, body=SDP + "a=sendonly\n"), recv("200", "a=recvonly"),
        inside("UPDATE", 3), recv("200"), inside("UPDATE", 4, body=unknown), recv("488"),
        inside("UPDATE", 5, body=SDP), recv("200", "m=audio [1-9][0-9]* RTP/AVP 8"), inside("BYE", 6), recv("200"),
    )  # fmt: skip
    async with live_phone(auto_answer="all") as phone:
        with sipp(does, tmp_path, remote=phone.running.address, service="offhook") as peer:
            await asyncio.to_thread(peer.wait)
        await phone.over()
        told = [kind for kind in phone.types if kind.startswith("call.remote_")]
        assert told == ["call.remote_held", "call.remote_resumed"]


async def test_an_update_that_crosses_our_offer_waits(tmp_path: Path) -> None:
    """RFC 3311 5.2: 491 while our own offer is open; afterwards it is taken."""
    does = scenario(
        invited(), answer("200 OK", body=SDP, tag=NEAR_TAG, again=True), recv("ACK"), recv("INVITE", "a=sendonly", keep="ours"),
        inside("UPDATE", 1, body=SDP), recv("491"), answer("200 OK", kept="ours", body=SDP + "a=recvonly\n", again=True),
        recv("ACK"),
        inside("UPDATE", 2, body=SDP), recv("200", "a=sendonly"), ENDED,
    )  # fmt: skip
    with sipp(does, tmp_path) as peer:
        async with live_phone() as phone:
            phone.execute(Dial(to=f"sip:service@127.0.0.1:{peer.port}"))
            await phone.reaches(2)
            phone.execute(Hold())
            await phone.event("call.held")
            call_id = phone.execute(ListCalls()).value[0].sip_call_id
            await phone.until(lambda: any(m.sent and b"CSeq: 2 UPDATE" in m.data for m in phone.running.traced(call_id)))
            phone.execute(Hangup())
            await asyncio.to_thread(peer.wait)


async def test_early_sound_moves_by_update(tmp_path: Path) -> None:
    """RFC 3311 with RFC 3262: the description of a reliable 183 is changed before anybody has answered."""
    with listening() as moved:
        does = scenario(
            invited("Supported:.*100rel"), answer("183 Session Progress", "Require: 100rel", "RSeq: 1", body=SDP, tag=NEAR_TAG),
            recv("PRACK", "RAck: 1 1 INVITE"), answer("200 OK"),
            inside("UPDATE", 1, body=SDP.replace("[media_port]", str(moved.port))), recv("200", "m=audio [1-9]"),
            pause(200), answer("200 OK", kept="invite", tag=NEAR_TAG, again=True), recv("ACK"), ENDED,
        )  # fmt: skip
        with sipp(does, tmp_path) as peer:
            async with live_phone() as phone:
                phone.execute(Dial(to=f"sip:service@127.0.0.1:{peer.port}"))
                await phone.event("call.early")
                await phone.reaches(2)
                assert (await moved.received())[1] & 0x7F == 8
                phone.execute(Hangup())
                await asyncio.to_thread(peer.wait)


async def test_an_update_before_we_have_answered(tmp_path: Path) -> None:
    """While we ring the caller asks whether we are still there; answered, its sound moves."""
    with listening() as moved:
        does = scenario(
            invite(), recv("100", optional=True), recv("180", far="To"), inside("UPDATE", 2), recv("200"),
            recv("200", "m=audio [1-9]"), ack(), inside("UPDATE", 3, body=SDP.replace("[media_port]", str(moved.port))),
            recv("200", "m=audio [1-9]"), ENDED,
        )  # fmt: skip
        async with live_phone() as phone:
            with sipp(does, tmp_path, remote=phone.running.address, service="offhook") as peer:
                await phone.event("call.incoming")
                call_id = phone.execute(ListCalls()).value[0].sip_call_id
                await phone.until(lambda: any(m.sent and b"CSeq: 2 UPDATE" in m.data for m in phone.running.traced(call_id)))
                phone.execute(Answer())
                assert (await moved.received())[1] & 0x7F == 8
                phone.execute(Hangup())
                await asyncio.to_thread(peer.wait)


# --- sound that goes elsewhere -------------------------------------------------------------------------------------


async def test_a_reinvite_moves_our_sound_to_another_machine(tmp_path: Path) -> None:
    """Another address and port; then none at all, as old phones hold (RFC 2543); then back."""
    with listening(host="127.0.0.2") as there, listening(host="127.0.0.3") as beyond:
        to_there = SDP.replace("IN IP4 [media_ip]", "IN IP4 127.0.0.2").replace("[media_port]", str(there.port))
        # The address stands in the stream's own line, which goes before that of the session.
        to_beyond = SDP.replace("[media_port]", str(beyond.port)).replace("a=rtpmap", "c=IN IP4 127.0.0.3\na=rtpmap", 1)
        old_hold = SDP.replace("IN IP4 [media_ip]", "IN IP4 0.0.0.0")
        taken = recv("100", optional=True) + recv("200", "m=audio [1-9]")
        does = scenario(
            invite(), accepted(), ack(), inside("INVITE", 2, body=to_there), taken, ack(2), pause(300),
            inside("INVITE", 3, body=old_hold), taken, ack(3), pause(50), inside("INVITE", 4, body=to_beyond), taken, ack(4),
            ENDED,
        )  # fmt: skip
        async with live_phone(auto_answer="all") as phone:
            with sipp(does, tmp_path, remote=phone.running.address, service="offhook") as peer:
                await phone.reaches(2)
                assert (await there.received())[1] & 0x7F == 8
                await phone.event("call.remote_held")
                await phone.event("call.remote_resumed")
                there.empty()
                for _ in range(5):
                    assert (await beyond.received())[1] & 0x7F == 8
                assert there.empty() == 0
                phone.execute(Hangup())
                await asyncio.to_thread(peer.wait)


async def test_a_second_offer_while_ours_is_open_is_refused_and_the_call_lives(tmp_path: Path) -> None:
    """RFC 3261 14.2: two re-INVITEs of the far end at once get 500 with Retry-After, ours against theirs 491."""
    does = scenario(
        invite(), accepted(), ack(), recv("INVITE", "a=sendonly", keep="ours"), inside("INVITE", 2, body=SDP), recv("491"),
        refused_ack(2), answer("488 Not Acceptable Here", kept="ours"), recv("ACK"), inside("INVITE", 3, body=SDP),
        recv("100", optional=True), recv("200", "m=audio [1-9]"), ack(3), ENDED,
    )  # fmt: skip
    async with live_phone(auto_answer="all") as phone:
        with sipp(does, tmp_path, remote=phone.running.address, service="offhook") as peer:
            await phone.reaches(2)
            phone.execute(Hold())
            failed = await phone.event("call.hold_failed")
            assert failed.data["call"]["state"] == "active"
            call_id = phone.execute(ListCalls()).value[0].sip_call_id
            await phone.until(lambda: any(not m.sent and b"CSeq: 3 ACK" in m.data for m in phone.running.traced(call_id)))
            phone.execute(Hangup())
            await asyncio.to_thread(peer.wait)
