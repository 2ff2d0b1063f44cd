"""What PBXs ask of a phone, by SIPp, Kamailio and tshark: PRACK, session timers, UPDATE, late offers, transfer, traces."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from offhook.control.tracing import ladder, pcap
from offhook.phone.commands import AcceptTransfer, Answer, Dial, Hangup, ListCalls, TransferAttended
from offhook.phone.settings import AccountSettings
from offhook.testing import peers
from offhook.testing.kamailio import Kamailio, kamailio
from offhook.testing.live import LivePhone, connect, live_phone, quiet_config
from offhook.testing.peers import sipp
from offhook.testing.scenarios import (
    NEAR_TAG,
    SDP,
    accepted,
    ack,
    answer,
    inside,
    invite,
    invited,
    pause,
    recv,
    refused_ack,
    scenario,
)

pytestmark = pytest.mark.interop

BYE = recv("BYE") + answer("200 OK")

# RFC 4028 9: too short is refused with Min-SE; then the caller refreshes, and the timer is agreed upon anew each time
TIMER = scenario(
    invite("Supported: timer", "Session-Expires: 30"), recv("100", optional=True), recv("422", "Min-SE: 90"), refused_ack(),
    invite("Supported: timer", "Session-Expires: 200", cseq=2), accepted("Session-Expires: 200;refresher=uac"), ack(2),
    inside("UPDATE", 3, "Supported: timer", "Session-Expires: 300;refresher=uac"),
    recv("200", "Session-Expires: 300;refresher=uac"),
    inside("UPDATE", 4, body=SDP), recv("200", "m=audio [1-9]"), inside("BYE", 5), recv("200"),
)  # fmt: skip

# RFC 3262: the caller requires acknowledged progress
RSEQ = '<ereg regexp="[0-9]+" search_in="hdr" header="RSeq:" check_it="true" assign_to="rseq"/>'
PRACKED = scenario(
    invite("Require: 100rel"), recv("100", optional=True), recv("180", far="To", action=RSEQ),
    inside("PRACK", 2, "RAck: [$rseq] 1 INVITE"), recv("200"), recv("200", "m=audio"), ack(), inside("BYE", 3), recv("200"),
)  # fmt: skip

# RFC 3725: a controller that offers nothing, at first and again
OFFERLESS = scenario(
    invite(body=""), accepted("m=audio [1-9]"), ack(body=SDP), inside("INVITE", 2), recv("100", optional=True),
    recv("200", "m=audio [1-9]"), ack(2, body=SDP), inside("BYE", 3), recv("200"),
)  # fmt: skip

# The callee sends its early media reliably, takes its time, and wants the calls refreshed by itself
EARLY = scenario(
    invited("Supported:.*100rel"), answer("183 Session Progress", "Require: 100rel", "RSeq: 77", body=SDP, tag=NEAR_TAG),
    recv("PRACK", "RAck: 77 1 INVITE"), answer("200 OK"), pause(300),
    answer("200 OK", "Session-Expires: 200;refresher=uas", kept="invite", tag=NEAR_TAG, again=True), recv("ACK"), BYE,
)  # fmt: skip


@pytest.fixture(autouse=True)
def needed() -> None:
    for name, package in (("sipp", "sip-tester"), ("kamailio", "kamailio"), ("tshark", "tshark")):
        peers.program(name, package)


@pytest.mark.parametrize("scenario", [TIMER, PRACKED, OFFERLESS], ids=["session timer", "PRACK", "late offer"])
async def test_sipp_calls_in_the_ways_of_pbxs(tmp_path: Path, scenario: str) -> None:
    async with live_phone(auto_answer="all", auto_answer_delay=0.3) as phone:
        with sipp(scenario, tmp_path, remote=("127.0.0.1", phone.running.transports.port), service="offhook") as peer:
            await asyncio.to_thread(peer.wait)
        await phone.over()


async def test_reliable_early_media_and_an_answer_without_a_description(tmp_path: Path) -> None:
    async with live_phone() as phone:
        with sipp(EARLY, tmp_path) as peer:
            phone.execute(Dial(to=f"sip:service@127.0.0.1:{peer.port}"))
            await phone.event("call.early")
            await phone.event("call.active")
            phone.execute(Hangup())
            await asyncio.to_thread(peer.wait)


# --- attended transfer through a proxy

PASSWORDS = {"1001": "secret-1", "1002": "secret-2", "1003": "secret-3"}


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kamailio]:
    if shutil.which("kamailio") is None:
        pytest.skip("Kamailio is not installed (Debian package kamailio)")
    with kamailio(tmp_path_factory.mktemp("kamailio"), PASSWORDS) as running:
        yield running


async def test_an_attended_transfer_through_kamailio(proxy: Kamailio) -> None:
    async with AsyncExitStack() as stack:
        phones: list[LivePhone] = []
        for user, password in PASSWORDS.items():
            account = AccountSettings(id="kam", domain=proxy.domain, username=user, password=password)
            phones.append(await stack.enter_async_context(live_phone(replace(quiet_config(), accounts=(account,)))))
            await phones[-1].event("account.registered")
        alice, bob, carol = phones
        for callee, number in ((bob, "1002"), (carol, "1003")):
            alice.execute(Dial(to=number))
            await callee.event("call.incoming")
            callee.execute(Answer())
            await alice.until(lambda: [c.state for c in alice.execute(ListCalls()).value][-1] == "active", "active")
        await alice.event("call.held")
        alice.execute(TransferAttended())
        assert (await bob.event("transfer.requested")).data["attended"]
        bob.execute(AcceptTransfer())
        await alice.event("transfer.completed")
        await alice.over()
        await carol.event("call.replaced")
        await carol.until(lambda: [c.state for c in carol.execute(ListCalls()).value] == ["active"], "talking")
        await bob.until(lambda: [c.state for c in bob.execute(ListCalls()).value] == ["active"], "talking")
        assert carol.execute(ListCalls()).value[0].remote.uri.startswith("sip:1002@")


# --- traces


async def test_tshark_reads_the_trace_of_a_call(tmp_path: Path) -> None:
    async with live_phone() as alice, live_phone() as bob:
        await connect(alice, bob)
        call = alice.execute(ListCalls()).value[0]
        alice.execute(Hangup())
        await bob.event("call.ended")
        await asyncio.sleep(0)
        messages = alice.running.traced(call.sip_call_id)
        assert "INVITE +sdp" in ladder(messages)
        file = tmp_path / "call.pcap"
        file.write_bytes(pcap(messages))
    ports = {str(message.flow.local[1]) for message in messages} | {str(message.flow.remote[1]) for message in messages}
    decode = [part for port in sorted(ports) for part in ("-d", f"udp.port=={port},sip")]
    command = ["tshark", "-r", str(file), *decode, "-Y", "sip", "-T", "fields", "-e", "sip.Method", "-e", "sip.Status-Code"]
    found = (await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=True)).stdout
    lines = [line.split("\t")[:2] for line in found.splitlines()]
    assert len(lines) == len(messages)
    methods = [method for method, _ in lines if method]
    assert methods == ["INVITE", "ACK", "BYE"]
