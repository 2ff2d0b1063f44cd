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
from offhook.testing.live import LivePhone, connect, live_phone, quiet_config
from offhook.testing.peers import Kamailio, PeerMissing, kamailio, sipp

pytestmark = pytest.mark.interop

HEAD = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<!DOCTYPE scenario SYSTEM "sipp.dtd">
<scenario name="features">
"""

SDP = """
v=0
o=user1 53655765 2353687637 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 8
a=rtpmap:8 PCMA/8000
"""


def send(first: str, number: int, method: str, *lines: str, body: str = "", retrans: bool = True) -> str:
    """Return a request of the caller, inside the dialog once there is one."""
    to = "[last_To:]" if number > 1 or method == "ACK" else "To: phone <sip:[service]@[remote_ip]:[remote_port]>"
    head = [
        f"{first} sip:[service]@[remote_ip]:[remote_port] SIP/2.0",
        "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
        "From: sipp <sip:sipp@[local_ip]:[local_port]>;tag=[pid]SIPpTag00[call_number]", to, "Call-ID: [call_id]",
        f"CSeq: {number} {method}", "Contact: sip:sipp@[local_ip]:[local_port]", "Max-Forwards: 70", *lines,
        *(["Content-Type: application/sdp"] if body else []), "Content-Length: [len]",
    ]
    again = ' retrans="500"' if retrans else ""
    return f"<send{again}><![CDATA[\n" + "\n".join(head) + "\n" + body + "\n]]></send>\n"


def answer(status: str, *lines: str, body: str = "") -> str:
    """Return an answer of the callee."""
    head = [f"SIP/2.0 {status}", "[last_Via:]", "[last_From:]", "[last_To:];tag=[pid]SIPpTag01[call_number]", "[last_Call-ID:]",
            "[last_CSeq:]", "Contact: <sip:[local_ip]:[local_port]>", *lines,
            *(["Content-Type: application/sdp"] if body else []), "Content-Length: [len]"]
    return "<send><![CDATA[\n" + "\n".join(head) + "\n" + body + "\n]]></send>\n"


def recv(what: str, *, finds: str = "", optional: bool = False) -> str:
    """Return a message that must (or may) come; `finds` must be in it."""
    check = f'<action><ereg regexp="{finds}" search_in="msg" check_it="true" assign_to="1"/></action>' if finds else ""
    kind = "response" if what.isdigit() else "request"
    may = ' optional="true"' if optional else ""
    return f'<recv {kind}="{what}"{may}>{check}</recv>\n'


END = '<Reference variables="1"/>\n</scenario>\n'

TAKEN = recv("100", optional=True) + recv("180", optional=True)

# RFC 4028 9: too short is refused with Min-SE; then the caller refreshes, and the timer is agreed upon anew each time
TIMER = HEAD + send("INVITE", 1, "INVITE", "Supported: timer", "Session-Expires: 30", body=SDP) \
    + recv("422", finds="Min-SE: 90") + send("ACK", 1, "ACK", retrans=False) + "".join([
        send("INVITE", 2, "INVITE", "Supported: timer", "Session-Expires: 200", body=SDP).replace(
            "[last_To:]", "To: phone <sip:[service]@[remote_ip]:[remote_port]>"),
        TAKEN, recv("200", finds="Session-Expires: 200;refresher=uac"), send("ACK", 2, "ACK", retrans=False),
        send("UPDATE", 3, "UPDATE", "Supported: timer", "Session-Expires: 300;refresher=uac"),
        recv("200", finds="Session-Expires: 300;refresher=uac"),
        send("UPDATE", 4, "UPDATE", body=SDP), recv("200", finds="m=audio [1-9]"),
        send("BYE", 5, "BYE"), recv("200"), END,
    ])

# RFC 3262: the caller requires acknowledged progress
PRACKED = HEAD + send("INVITE", 1, "INVITE", "Require: 100rel", body=SDP) + recv("100", optional=True) + (
    '<recv response="180"><action><ereg regexp="[0-9]+" search_in="hdr" header="RSeq:" check_it="true" assign_to="1"/></action>'
    "</recv>\n"
) + send("PRACK", 2, "PRACK", "RAck: [$1] 1 INVITE") + recv("200") + recv("200", finds="m=audio") \
    + send("ACK", 1, "ACK", retrans=False) + send("BYE", 3, "BYE") + recv("200") + END

# RFC 3725: a controller that offers nothing, at first and again
OFFERLESS = HEAD + send("INVITE", 1, "INVITE") + TAKEN + recv("200", finds="m=audio [1-9]") \
    + send("ACK", 1, "ACK", body=SDP, retrans=False) + send("INVITE", 2, "INVITE") + recv("100", optional=True) \
    + recv("200", finds="m=audio [1-9]") + send("ACK", 2, "ACK", body=SDP, retrans=False) \
    + send("BYE", 3, "BYE") + recv("200") + END

# The callee sends its early media reliably, takes its time, and wants the calls refreshed by itself
IN_DIALOG = answer("200 OK").replace(";tag=[pid]SIPpTag01[call_number]", "")
LATE = """<send retrans="500"><![CDATA[
SIP/2.0 200 OK
Via:[$2]
[last_From:]
[last_To:]
[last_Call-ID:]
CSeq: 1 INVITE
Contact: <sip:[local_ip]:[local_port]>
Session-Expires: 200;refresher=uas
Content-Length: 0

]]></send>
"""
KEPT_VIA = '<ereg regexp=".*" search_in="hdr" header="Via:" check_it="true" assign_to="2"/></action>'
EARLY = HEAD + recv("INVITE", finds="Supported:.*100rel").replace("</action>", KEPT_VIA) \
    + answer("183 Session Progress", "Require: 100rel", "RSeq: 77", body=SDP) + recv("PRACK", finds="RAck: 77 1 INVITE") \
    + IN_DIALOG + '<pause milliseconds="300"/>\n' + LATE + recv("ACK") + recv("BYE") + IN_DIALOG + END.replace('"1"', '"1,2"')


@pytest.fixture(autouse=True)
def needed() -> None:
    for name, package in (("sipp", "sip-tester"), ("kamailio", "kamailio"), ("tshark", "tshark")):
        try:
            peers.program(name, package)
        except PeerMissing as exc:
            pytest.skip(str(exc))


@pytest.mark.parametrize("scenario", [TIMER, PRACKED, OFFERLESS], ids=["session timer", "PRACK", "late offer"])
async def test_sipp_calls_in_the_ways_of_pbxs(tmp_path: Path, scenario: str) -> None:
    async with live_phone(auto_answer="all", auto_answer_delay=0.3) as phone:
        with sipp(scenario, tmp_path, remote=("127.0.0.1", phone.running.transports.port), service="offhook") as peer:
            await asyncio.to_thread(peer.wait)
        await phone.until(lambda: not phone.execute(ListCalls()).value, "the call is over")


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
        await alice.until(lambda: not alice.execute(ListCalls()).value, "both calls are over")
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
