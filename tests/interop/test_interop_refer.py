"""Transfers with SIPp: it asks us, we ask it, and every NOTIFY of the way is looked at."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from offhook.phone.commands import (
    AcceptTransfer,
    Answer,
    Dial,
    Hangup,
    ListCalls,
    Reject,
    RejectTransfer,
    Transfer,
    TransferAttended,
)
from offhook.testing.live import LivePhone, live_phone, over
from offhook.testing.peers import sipp
from offhook.testing.scenarios import SDP, accepted, ack, answer, inside, invite, invited, recv, scenario

pytestmark = pytest.mark.interop


def told(status: int, state: str) -> str:
    """Return the NOTIFY that has to come, and its answer."""
    found = ("Event: refer", f"Subscription-State: {state}", "Content-Type: message/sipfrag", f"SIP/2.0 {status} ")
    return recv("NOTIFY", *found) + answer("200 OK")


def tells(cseq: int, fragment: str, state: str) -> str:
    """Return a NOTIFY of SIPp's and the answer that has to come."""
    lines = ("Event: refer", f"Subscription-State: {state}", "Content-Type: message/sipfrag;version=2.0")
    return inside("NOTIFY", cseq, *lines, body=fragment) + recv("200")


def reinvited(direction: str) -> str:
    """Return a re-INVITE that has to come, and its answer."""
    return recv("INVITE", direction) + answer("200 OK", body=SDP, again=True)


ANSWERED = re.compile(rb"^CSeq: *(\d+) NOTIFY\r$", re.MULTILINE)


def notified(phone: LivePhone, sip_call_id: str) -> int:
    """Return how many NOTIFYs of ours in a call have been answered."""
    received = [message.data for message in phone.running.traced(sip_call_id) if not message.sent]
    return len({number for data in received if data.startswith(b"SIP/2.0 200 ") for number in ANSWERED.findall(data)})


# --- SIPp asks us --------------------------------------------------------------------------------------------------

CALL = invite() + accepted() + ack()
REFERS = "Refer-To: <sip:offhook@127.0.0.1:{}>"


@pytest.mark.parametrize("answered", [True, False], ids=["answered", "refused"])
async def test_sipp_transfers_us(tmp_path: Path, answered: bool) -> None:
    # While we call the target, the call with SIPp is on hold; a target that refuses has it taken off hold again.
    last = told(200, "terminated") if answered else told(486, "terminated") + reinvited("a=sendrecv") + recv("ACK")
    asks = scenario(
        CALL, inside("REFER", 2, "REFER_TO", "Referred-By: <sip:boss@sipp.example>"), recv("202"), told(100, "active"),
        reinvited("a=sendonly"), recv("ACK", whenever=True), told(180, "active"), last, inside("BYE", 3), recv("200"),
    )  # fmt: skip
    async with live_phone(auto_answer="all") as phone, live_phone() as target:
        text = asks.replace("REFER_TO", REFERS.format(target.running.transports.port))
        with sipp(text, tmp_path, remote=phone.running.address, service="offhook") as peer:
            requested = await phone.event("transfer.requested")
            assert (requested.data["target"], requested.data["referred_by"]) == (target.uri, "<sip:boss@sipp.example>")
            placed = phone.execute(AcceptTransfer()).call
            assert (await target.event("call.incoming")).data["call"]["state"] == "incoming"
            # SIPp wants one after the other: "100" and "180" have arrived there before there is more to tell.
            await phone.until(lambda: notified(phone, requested.data["call"]["sip_call_id"]) == 2, "two NOTIFYs answered")
            target.execute(Answer() if answered else Reject(status=486))
            await asyncio.to_thread(peer.wait)
        if answered:
            await phone.until(lambda: [c.id for c in phone.execute(ListCalls()).value] == [placed], "only the new call")
            await target.reaches(2)
            phone.execute(Hangup(call=placed))
        await over(phone, target)


async def test_we_refuse_to_be_transferred(tmp_path: Path) -> None:
    asks = scenario(CALL, inside("REFER", 2, "Refer-To: <sip:nobody@127.0.0.1:9>"), recv("603"), inside("BYE", 3), recv("200"))
    async with live_phone(auto_answer="all") as phone:
        with sipp(asks, tmp_path, remote=phone.running.address, service="offhook") as peer:
            await phone.event("transfer.requested")
            phone.execute(RejectTransfer())
            await asyncio.to_thread(peer.wait)
        await phone.over()


async def test_a_refer_without_one_target_is_a_bad_request(tmp_path: Path) -> None:
    none, two = (), ("Refer-To: <sip:a@127.0.0.1>", "Refer-To: <sip:b@127.0.0.1>")
    asks = scenario(
        CALL, inside("REFER", 2, *none), recv("400"), inside("REFER", 3, *two), recv("400"),
        inside("REFER", 4, "Refer-To: <sip:a@127.0.0.1;method=MESSAGE>"), recv("603"), inside("BYE", 5), recv("200"),
    )  # fmt: skip
    async with live_phone(auto_answer="all") as phone:
        with sipp(asks, tmp_path, remote=phone.running.address, service="offhook") as peer:
            await asyncio.to_thread(peer.wait)
        await phone.over()
        assert "transfer.requested" not in phone.types


# --- we ask SIPp ---------------------------------------------------------------------------------------------------

TAKES = invited() + answer("200 OK", body=SDP, tag="[pid]SIPpTag[call_number]", again=True) + recv("ACK")
REFERRED = recv("REFER", "Refer-To: <sip:target@127.0.0.1:5999>", "Referred-By: <sip:")


ACCEPTED = answer("202 Accepted")
TRYING = tells(1, "SIP/2.0 100 Trying\n", "active")


async def test_we_transfer_sipp_and_follow_its_way(tmp_path: Path) -> None:
    does = scenario(
        TAKES, REFERRED, ACCEPTED,
        tells(1, "SIP/2.0 100 Trying\n", "active;expires=60"), tells(2, "SIP/2.0 180 Ringing\n", "active;expires=60"),
        tells(3, "SIP/2.0 183 Session Progress\nServer: x\n", "active;expires=60"),
        tells(4, "SIP/2.0 200 OK\n", "terminated;reason=noresource"), recv("BYE"), answer("200 OK"),
    )  # fmt: skip
    with sipp(does, tmp_path) as peer:
        async with live_phone() as phone:
            phone.execute(Dial(to=f"sip:service@127.0.0.1:{peer.port}"))
            await phone.reaches(2)
            operation = phone.execute(Transfer(to="sip:target@127.0.0.1:5999")).operation
            await phone.event("transfer.completed")
            await asyncio.to_thread(peer.wait)
            await phone.over()
            progress = [(e.data["sip_status"], e.data["reason"]) for e in phone.events if e.type == "transfer.progress"]
            assert progress == [(100, "Trying"), (180, "Ringing"), (183, "Session Progress")]
            done = await phone.event("operation.succeeded", phone.types.index("transfer.started"))
            assert done.data["operation"] == operation


@pytest.mark.parametrize(
    ("way", "status"),
    [
        (ACCEPTED + TRYING + tells(2, "SIP/2.0 486 Busy Here\n", "terminated"), 486),
        (ACCEPTED + tells(1, "SIP/2.0 503 Service Unavailable\n", "terminated;reason=giveup"), 503),
        (answer("603 Decline"), 603),
        (answer("405 Method Not Allowed"), 405),
        # RFC 3265 3.2.4: the subscription is over although no final status was told.
        (ACCEPTED + tells(1, "SIP/2.0 180 Ringing\n", "terminated;reason=timeout"), 180),
        # A NOTIFY may overtake the answer to its REFER.
        (tells(1, "SIP/2.0 404 Not Found\n", "terminated") + answer("202 Accepted", kept="refer"), 404),
    ],
    ids=["busy", "unavailable", "declined", "unknown here", "timeout", "overtaken"],
)  # fmt: skip
async def test_a_transfer_of_sipp_that_fails_leaves_the_call(tmp_path: Path, way: str, status: int) -> None:
    referred = REFERRED if "refer_Via" not in way else recv("REFER", keep="refer")
    does = scenario(TAKES, referred, way, recv("BYE"), answer("200 OK"))
    with sipp(does, tmp_path) as peer:
        async with live_phone() as phone:
            phone.execute(Dial(to=f"sip:service@127.0.0.1:{peer.port}"))
            await phone.reaches(2)
            phone.execute(Transfer(to="sip:target@127.0.0.1:5999"))
            assert (await phone.event("transfer.failed")).data["sip_status"] == status
            assert phone.status == 2
            phone.execute(Hangup())
            await asyncio.to_thread(peer.wait)
            await phone.over()


async def test_we_connect_two_sipps_with_each_other(tmp_path: Path) -> None:
    """An attended transfer: the first is asked to take our place with the second."""
    consulted = scenario(TAKES, recv("BYE"), answer("200 OK"))
    held = reinvited("a=sendonly") + recv("ACK")
    replaces = "Refer-To: <sip:second@127.0.0.1:[0-9]+[?]Replaces=[^>]*to-tag%3D[^>]*from-tag%3D"
    asked = scenario(
        TAKES, held, recv("REFER", replaces, "Referred-By: "), ACCEPTED, TRYING,
        tells(2, "SIP/2.0 200 OK\n", "terminated"), recv("BYE"), answer("200 OK"),
    )  # fmt: skip
    with sipp(asked, tmp_path / "one") as one, sipp(consulted, tmp_path / "two") as two:
        async with live_phone() as phone:
            first = phone.execute(Dial(to=f"sip:first@127.0.0.1:{one.port}")).call
            await phone.reaches(2)
            phone.execute(Dial(to=f"sip:second@127.0.0.1:{two.port}"))
            await phone.event("call.held")
            await phone.until(lambda: [c.state for c in phone.execute(ListCalls()).value][-1] == "active", "the second active")
            phone.execute(TransferAttended(call=first))
            await phone.event("transfer.completed")
            for each in (one, two):
                await asyncio.to_thread(each.wait)
            await phone.over()
