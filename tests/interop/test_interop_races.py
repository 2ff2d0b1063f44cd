"""What crosses on the wire, with SIPp: re-INVITEs of both sides, CANCEL and 200, answers of several forks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from offhook.phone.commands import Dial, Hangup, Hold, ListCalls
from offhook.testing.live import LivePhone, live_phone
from offhook.testing.peers import Sipp, listening, sipp
from offhook.testing.scenarios import (
    NEAR_TAG,
    SDP,
    accepted,
    ack,
    answer,
    cancel,
    inside,
    invite,
    invited,
    pause,
    recv,
    refused_ack,
    scenario,
)

pytestmark = pytest.mark.interop


def dial(phone: LivePhone, peer: Sipp) -> None:
    phone.execute(Dial(to=f"sip:service@127.0.0.1:{peer.port}"))


# --- both sides change the call at once (RFC 3261 14.1) ------------------------------------------------------------


def crossing(cseq: int) -> str:
    """Return what SIPp does with our re-INVITE while its own is under way: each refuses the other's."""
    return (
        recv("INVITE", "a=sendonly", keep="ours") + inside("INVITE", cseq, body=SDP) + recv("491") + refused_ack(cseq)
        + answer("491 Request Pending", kept="ours") + recv("ACK")
    )  # fmt: skip


def again() -> str:
    return recv("INVITE", "a=sendonly") + answer("200 OK", body=SDP, again=True) + recv("ACK") + recv("BYE") + answer("200 OK")


def waited(phone: LivePhone) -> float:
    """Return the seconds between the 491 we got and our next INVITE."""
    messages = phone.running.traced(phone.execute(ListCalls()).value[0].sip_call_id)
    refused = next(m.at for m in messages if not m.sent and m.data.startswith(b"SIP/2.0 491"))
    return next(m.at for m in messages if m.sent and m.at > refused and m.data.startswith(b"INVITE")) - refused


async def test_glare_in_a_call_we_made(tmp_path: Path) -> None:
    """Who made the call waits 2.1 to 4 seconds; SIPp goes first, and is answered."""
    does = scenario(
        invited(), answer("200 OK", body=SDP, tag=NEAR_TAG, again=True), recv("ACK"), crossing(1),
        inside("INVITE", 2, body=SDP), recv("100", optional=True), recv("200", "a=recvonly|a=sendonly"), ack(2), again(),
    )  # fmt: skip
    with sipp(does, tmp_path) as peer:
        async with live_phone() as phone:
            dial(phone, peer)
            await phone.reaches(2)
            phone.execute(Hold())
            await phone.event("call.held")
            # The timers of the machine are let run late a little.
            assert 2.1 <= waited(phone) <= 4.5
            phone.execute(Hangup())
            await asyncio.to_thread(peer.wait)


async def test_glare_in_a_call_sipp_made(tmp_path: Path) -> None:
    """Who was called waits at most two seconds, so that it is through before the other comes again."""
    does = scenario(invite(), accepted(), ack(), crossing(2), again())
    async with live_phone(auto_answer="all") as phone:
        with sipp(does, tmp_path, remote=phone.running.address, service="offhook") as peer:
            await phone.reaches(2)
            phone.execute(Hold())
            await phone.event("call.held")
            assert 0.0 <= waited(phone) <= 2.5
            phone.execute(Hangup())
            await asyncio.to_thread(peer.wait)


async def test_both_sides_hang_up_at_once(tmp_path: Path) -> None:
    does = scenario(
        invited(), answer("200 OK", body=SDP, tag=NEAR_TAG, again=True), recv("ACK"), recv("BYE", keep="ours"),
        inside("BYE", 1), recv("200"), answer("200 OK", kept="ours"),
    )  # fmt: skip
    with sipp(does, tmp_path) as peer:
        async with live_phone() as phone:
            dial(phone, peer)
            await phone.reaches(2)
            phone.execute(Hangup())
            await asyncio.to_thread(peer.wait)
            assert (await phone.over())["by"] == "local"


# --- CANCEL against 200 --------------------------------------------------------------------------------------------


async def test_sipp_takes_its_call_back(tmp_path: Path) -> None:
    does = scenario(
        invite(), recv("100", optional=True), recv("180", keep="rings"),
        cancel("rings", 'Reason: SIP;cause=200;text="Call completed elsewhere"'),
        recv("200", "CSeq: 1 CANCEL"), recv("487", "CSeq: 1 INVITE"), refused_ack(),
    )  # fmt: skip
    async with live_phone() as phone:
        with sipp(does, tmp_path, remote=phone.running.address, service="offhook") as peer:
            await asyncio.to_thread(peer.wait)
        end = await phone.over()
        assert end["by"] == "remote"
        assert "answered" not in str(phone.types)


async def test_a_cancel_that_comes_after_our_200_changes_nothing(tmp_path: Path) -> None:
    does = scenario(
        invite(), accepted(keep="rings"), cancel("rings"), recv("200", "CSeq: 1 CANCEL"), ack(), inside("OPTIONS", 2),
        recv("200"), inside("BYE", 3), recv("200"),
    )  # fmt: skip
    async with live_phone(auto_answer="all") as phone:
        with sipp(does, tmp_path, remote=phone.running.address, service="offhook") as peer:
            await phone.reaches(2)
            await asyncio.to_thread(peer.wait)
        assert (await phone.over())["by"] == "remote"


async def test_a_cancel_for_nothing(tmp_path: Path) -> None:
    does = scenario(
        invite(), recv("100", optional=True), recv("180", keep="rings"), cancel("rings", branch="z9hG4bK-other"),
        recv("481", "CSeq: 1 CANCEL"), cancel("rings"), recv("200", "CSeq: 1 CANCEL"), recv("487"), refused_ack(),
    )  # fmt: skip
    async with live_phone() as phone:
        with sipp(does, tmp_path, remote=phone.running.address, service="offhook") as peer:
            await asyncio.to_thread(peer.wait)
        await phone.over()


async def test_our_cancel_waits_for_a_first_answer(tmp_path: Path) -> None:
    """RFC 3261 9.1: no CANCEL before a provisional response."""
    does = scenario(
        invited(), pause(300), answer("100 Trying", kept="invite"), recv("CANCEL"), answer("200 OK"),
        answer("487 Request Terminated", kept="invite", tag=NEAR_TAG), recv("ACK"),
    )  # fmt: skip
    with sipp(does, tmp_path) as peer:
        async with live_phone() as phone:
            dial(phone, peer)
            await phone.event("call.calling")
            phone.execute(Hangup())
            await asyncio.to_thread(peer.wait)
            assert (await phone.over())["by"] == "local"


@pytest.mark.parametrize("status", ["200 OK", "481 Call/Transaction Does Not Exist"])
async def test_a_200_that_crosses_our_cancel_is_acknowledged_and_ended(tmp_path: Path, status: str) -> None:
    does = scenario(
        invited(), answer("180 Ringing", tag=NEAR_TAG), recv("CANCEL"), answer(status),
        answer("200 OK", kept="invite", tag=NEAR_TAG, body=SDP), recv("ACK"), recv("BYE"), answer("200 OK"),
    )  # fmt: skip
    with sipp(does, tmp_path) as peer:
        async with live_phone() as phone:
            dial(phone, peer)
            await phone.event("call.ringing")
            phone.execute(Hangup())
            await asyncio.to_thread(peer.wait)
            assert (await phone.over())["by"] == "local"
            assert "call.answered" not in phone.types


# --- forks ---------------------------------------------------------------------------------------------------------

TALK = recv("BYE", "To: .*tag={}") + answer("200 OK")


@pytest.mark.parametrize("winner", ["A", "B", "C"])
async def test_one_of_several_forks_answers(tmp_path: Path, winner: str) -> None:
    """Two forks have early sound; the second, the first, or one that was never heard of before answers."""
    with listening() as sound, listening() as elsewhere:
        early = "".join(
            answer("183 Session Progress", kept="invite", tag=tag, body=SDP.replace("[media_port]", str(elsewhere.port)))
            for tag in "AB"
        )
        final = answer("200 OK", kept="invite", tag=winner, body=SDP.replace("[media_port]", str(sound.port)), again=True)
        does = scenario(invited(), early, final, recv("ACK", f"To: .*tag={winner}"), TALK.format(winner))
        with sipp(does, tmp_path) as peer:
            async with live_phone() as phone:
                dial(phone, peer)
                await phone.reaches(2)
                assert "call.early" in phone.types
                assert (await sound.received())[1] & 0x7F == 8
                phone.execute(Hangup())
                await asyncio.to_thread(peer.wait)


async def test_a_second_fork_that_answers_late_is_sent_home(tmp_path: Path) -> None:
    """RFC 3261 13.2.2.4: its 200 is acknowledged, and its dialog ended; copies of the first are acknowledged again."""
    def ok(tag: str) -> str:
        return answer("200 OK", kept="invite", tag=tag, body=SDP)

    does = scenario(
        invited(), ok("A"), recv("ACK", "To: .*tag=A"), ok("B"), recv("ACK", "To: .*tag=B"), TALK.format("B"),
        ok("A"), recv("ACK", "To: .*tag=A"), TALK.format("A"),
    )  # fmt: skip
    with sipp(does, tmp_path) as peer:
        async with live_phone() as phone:
            dial(phone, peer)
            await phone.reaches(2)
            call_id = phone.execute(ListCalls()).value[0].sip_call_id

            def acks() -> int:
                return sum(m.sent and m.data.startswith(b"ACK") for m in phone.running.traced(call_id))

            await phone.until(lambda: acks() == 3, "the third ACK")
            assert phone.status == 2
            phone.execute(Hangup())
            await asyncio.to_thread(peer.wait)
            assert (await phone.over())["by"] == "local"
