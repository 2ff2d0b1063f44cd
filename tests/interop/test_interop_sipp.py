"""SIPp as the far end: calls both ways, many at once, digits from a capture."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from offhook.phone.commands import Dial, Hangup, ListCalls
from offhook.testing.ipv6 import NO_IPV6, has_ipv6
from offhook.testing.live import live_phone, quiet_config
from offhook.testing.peers import free_pair, free_port

pytestmark = pytest.mark.interop

DIGIT_CALL = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<!DOCTYPE scenario SYSTEM "sipp.dtd">
<scenario name="digit">
  <send retrans="500"><![CDATA[
INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: sipp <sip:sipp@[local_ip]:[local_port]>;tag=[pid]SIPpTag00[call_number]
To: phone <sip:[service]@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: sip:sipp@[local_ip]:[local_port]
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

v=0
o=user1 53655765 2353687637 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 8 101
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
]]></send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="200" rtd="true"/>
  <send><![CDATA[
ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: sipp <sip:sipp@[local_ip]:[local_port]>;tag=[pid]SIPpTag00[call_number]
[last_To:]
Call-ID: [call_id]
CSeq: 1 ACK
Contact: sip:sipp@[local_ip]:[local_port]
Max-Forwards: 70
Content-Length: 0

]]></send>
  <nop><action><exec play_pcap_audio="PCAP"/></action></nop>
  <pause milliseconds="2500"/>
  <send retrans="500"><![CDATA[
BYE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: sipp <sip:sipp@[local_ip]:[local_port]>;tag=[pid]SIPpTag00[call_number]
[last_To:]
Call-ID: [call_id]
CSeq: 2 BYE
Contact: sip:sipp@[local_ip]:[local_port]
Max-Forwards: 70
Content-Length: 0

]]></send>
  <recv response="200"/>
</scenario>
"""


@pytest.fixture
def sipp() -> str:
    program = shutil.which("sipp")
    if program is None:
        pytest.skip("SIPp is not installed (Debian package sip-tester)")
    return program


async def run(program: str, *arguments: str, cwd: Path, host: str = "127.0.0.1") -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        program, *arguments, "-i", host, "-nostdin", "-timeout", "40", "-timeout_error",
        cwd=cwd, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        out, _ = await asyncio.wait_for(process.communicate(), 50)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, out.decode("utf-8", "replace")[-3000:]


@pytest.mark.parametrize("transport", ["u1", "t1"])
async def test_sipp_calls_the_phone_many_times(sipp: str, tmp_path: Path, transport: str) -> None:
    async with live_phone(auto_answer="all", max_calls=0) as phone:
        port = phone.running.transports.port
        code, out = await run(
            sipp, "-sn", "uac", f"127.0.0.1:{port}", "-s", "offhook", "-m", "30", "-r", "15", "-d", "300", "-t", transport,
            "-p", str(free_port()), cwd=tmp_path,
        )  # fmt: skip
        assert code == 0, out
        await phone.until(lambda: phone.types.count("call.ended") == 30, "30 calls ended")
        ends = [e.data["call"]["end"] for e in phone.events if e.type == "call.ended"]
        assert {end["by"] for end in ends} == {"remote"}
        assert not phone.execute(ListCalls()).value


@pytest.mark.skipif(not has_ipv6(), reason=NO_IPV6)
@pytest.mark.parametrize("transport", ["u1", "t1"])
async def test_sipp_calls_the_phone_over_ipv6(sipp: str, tmp_path: Path, transport: str) -> None:
    config = quiet_config(auto_answer="all", max_calls=0)
    async with live_phone(replace(config, sip=replace(config.sip, host="::"))) as phone:
        port = phone.running.transports.port
        code, out = await run(
            sipp, "-sn", "uac", f"[::1]:{port}", "-s", "offhook", "-m", "10", "-r", "10", "-d", "300", "-t", transport,
            "-p", str(free_port()), cwd=tmp_path, host="::1",
        )  # fmt: skip
        assert code == 0, out
        await phone.until(lambda: phone.types.count("call.ended") == 10, "10 calls ended")
        calls = [e.data["call"] for e in phone.events if e.type == "call.ended"]
        assert {call["end"]["by"] for call in calls} == {"remote"}
        trace = phone.running.engine.trace.about(calls[0]["sip_call_id"], 0)
        lines = [line for message in trace for line in message.data.split(b"\r\n") if line.startswith(b"c=")]
        assert lines == [b"c=IN IP6 ::1"] * 2


@pytest.mark.skipif(not has_ipv6(), reason=NO_IPV6)
async def test_the_phone_calls_sipp_over_ipv6(sipp: str, tmp_path: Path) -> None:
    port = free_port()
    config = quiet_config()
    async with live_phone(replace(config, sip=replace(config.sip, host="::"))) as phone:
        peer = asyncio.create_task(run(sipp, "-sn", "uas", "-p", str(port), "-m", "1", cwd=tmp_path, host="::1"))
        phone.execute(Dial(to=f"sip:service@[::1]:{port}"))
        await phone.until(lambda: phone.status == 2, "active")
        phone.execute(Hangup())
        code, out = await peer
        assert code == 0, out


async def test_the_phone_calls_sipp(sipp: str, tmp_path: Path) -> None:
    port = free_port()
    async with live_phone() as phone:
        peer = asyncio.create_task(run(sipp, "-sn", "uas", "-p", str(port), "-m", "3", cwd=tmp_path))
        for number in range(3):
            # SIPp needs a moment to open its socket: the INVITE is retransmitted until it answers.
            phone.execute(Dial(to=f"sip:service@127.0.0.1:{port}"))
            await phone.until(lambda: phone.status == 2, "active")
            phone.execute(Hangup())
            await phone.until(lambda n=number: phone.types.count("call.ended") == n + 1)  # type: ignore[misc]
        code, out = await peer
        assert code == 0, out


@pytest.mark.parametrize("name", ["0", "5", "9", "star", "pound"])
async def test_digits_of_a_capture_are_heard(sipp: str, tmp_path: Path, testdata: Path, name: str) -> None:
    scenario = tmp_path / "digit.xml"
    scenario.write_text(DIGIT_CALL.replace("PCAP", str(testdata / "dtmf-pcap" / f"dtmf_2833_{name}.pcap")))
    async with live_phone(auto_answer="all") as phone:
        code, out = await run(
            sipp, "-sf", str(scenario), f"127.0.0.1:{phone.running.transports.port}", "-s", "offhook", "-m", "1",
            "-p", str(free_port()), "-mp", str(free_pair()), cwd=tmp_path,
        )  # fmt: skip
        assert code == 0, out
        digits = "".join(e.data["digit"] for e in phone.events if e.type == "dtmf.received")
        assert digits == {"star": "*", "pound": "#"}.get(name, name)
