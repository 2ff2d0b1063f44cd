"""Wireshark's tshark reads what was captured of a call: its SIP, its streams with their figures, and, with keys, its sound."""

from __future__ import annotations

import asyncio
import base64
import re
import struct
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from baresips import THEIR_TONE, started
from test_interop_secure import phone_with

from offhook.control import tracing
from offhook.control.access import ALL_SCOPES, Client
from offhook.control.operations import BLOCKING, Operations
from offhook.errors import Forbidden, NotFound
from offhook.io.captures import Captured
from offhook.media.codecs import codec
from offhook.media.messages import CapturedPacket
from offhook.media.sdes import parse_crypto
from offhook.media.srtp import Opening
from offhook.phone.commands import Capture, Dial, Hangup
from offhook.phone.settings import SrtpSettings
from offhook.testing import peers
from offhook.testing.ears import dominant_frequency
from offhook.testing.live import LivePhone

pytestmark = pytest.mark.interop

UNHEARD = 10
"""Packets at most that come before the answer was read, or after the call: they were on the wire, and nobody heard them."""
OWNER = Client("owner", ALL_SCOPES)
READER = Client("reader", frozenset({"read", "record"}))


@pytest.fixture(autouse=True)
def tshark() -> str:
    return peers.program("tshark", "tshark")


def fields(program: str, file: Path, wanted: str, *names: str, decode: tuple[str, ...] = ()) -> list[list[str]]:
    """Return these fields of the packets that a display filter chooses."""
    options = [option for name in names for option in ("-e", name)]
    rules = [option for rule in decode for option in ("-d", rule)]
    command = [program, "-n", "-r", str(file), *rules, "-Y", wanted, "-T", "fields", *options]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return [line.split("\t") for line in found.stdout.splitlines()]


def streams(program: str, file: Path, *decode: str) -> dict[tuple[int, int], tuple[int, int]]:
    """Return (packets, lost) of each RTP stream by its ports."""
    rules = [option for rule in decode for option in ("-d", rule)]
    command = [program, "-n", "-q", "-r", str(file), *rules, "-z", "rtp,streams"]
    text = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    row = re.compile(r"\S+ +(\d+) +\S+ +(\d+) +0x[0-9A-F]+ +.+? +(\d+) +(-?\d+) \(")
    found = (row.search(line) for line in text.splitlines())
    return {(int(each[1]), int(each[2])): (int(each[3]), int(each[4])) for each in found if each}


@asynccontextmanager
async def captured_call(
    folder: Path, srtp: SrtpSettings, mediaenc: str, *, keys: bool = False, seconds: float = 6.0
) -> AsyncIterator[tuple[LivePhone, str]]:
    """Call baresip, capture from the beginning to the end, and hang up; both ends talk all the time."""
    async with started(folder / "bob", mediaenc=mediaenc) as peer, phone_with(srtp.policy, srtp.keying) as phone:
        call = phone.execute(Dial(to=peer.uri)).call
        await phone.until(lambda: phone.running.phone.desk.calls[call].port, "a port")
        phone.execute(Capture(call=call, keys=keys))
        await phone.reaches(2)
        await phone.event("media.started")
        await asyncio.sleep(seconds)  # of sound, and of reports every five seconds
        phone.execute(Hangup())
        await phone.over()
        await phone.event("capture.finished")
        yield phone, call


async def asked(phone: LivePhone, operation: str, client: Client = OWNER, **params: Any) -> Mapping[str, Any]:
    operations = Operations(phone.running)
    if operation in BLOCKING:
        found: Mapping[str, Any] = await operations.run_aside(operation, params, client)
    else:
        found = operations.run(operation, params, client)
    return found


async def written(phone: LivePhone, call: str, file: Path, **params: Any) -> Path:
    answer = await asked(phone, "trace", call=call, format="pcap", **params)
    await asyncio.to_thread(file.write_bytes, base64.b64decode(answer["pcap"]))
    return file


def figures(phone: LivePhone) -> tuple[int, int, int]:
    """Return how many packets were received, lost and sent in the call."""
    stats = next(event for event in reversed(phone.events) if event.type == "media.stats").data["stats"]
    return stats["packets_received"], stats["packets_lost"], stats["packets_sent"]


def tone_of(payloads: list[bytes]) -> float:
    return dominant_frequency(codec("PCMU").decode(b"".join(payloads)), 8000)


def port_of(phone: LivePhone, call: str) -> int:
    """Return the port of our RTP."""
    kept = phone.running.captured(call)
    assert kept is not None
    return kept.packets[0][2][1] & ~1


def check_streams(program: str, file: Path, phone: LivePhone, call: str, *, waits: bool = False) -> None:
    """See that tshark counts in the file what the phone has counted in the call; `waits`: which waited for a handshake."""
    received, lost, sent = figures(phone)
    assert received > 200
    port = port_of(phone, call)
    found = streams(program, file, f"udp.port=={port},rtp")
    assert len(found) == 2
    for (source, _), (count, missing) in found.items():
        if source == port:
            assert missing == 0
            # Sound that there were no keys for yet was made and counted, and did not leave.
            assert count == sent or (waits and count < sent)
        else:
            assert received <= count <= received + UNHEARD
            assert missing == lost


async def test_a_plain_call_is_found_whole(tshark: str, tmp_path: Path) -> None:
    async with captured_call(tmp_path, SrtpSettings("off"), "") as (phone, call):
        file = await written(phone, call, tmp_path / "call.pcap", media=True)
        methods = [row[0] for row in fields(tshark, file, "sip.Request-Line", "sip.Method")]
        assert methods == ["INVITE", "ACK", "BYE"]
        assert len({row[0] for row in fields(tshark, file, "sip", "sip.Call-ID")}) == 1
        check_streams(tshark, file, phone, call)
        assert {"200", "203"} <= {kind for row in fields(tshark, file, "rtcp", "rtcp.pt") for kind in row[0].split(",")}
        assert not fields(tshark, file, "_ws.malformed", "frame.number")
        alone = await written(phone, call, tmp_path / "sip.pcap")
        assert len(fields(tshark, alone, "frame", "frame.number")) == len(fields(tshark, file, "sip", "frame.number"))
        with pytest.raises(NotFound):
            await asked(phone, "trace", call=call, format="pcap", media=True, opened=True)
        with pytest.raises(Forbidden):
            await asked(phone, "trace", Client("x", frozenset({"read"})), call=call, format="pcap", media=True)


@pytest.mark.parametrize(("keying", "mediaenc"), [("sdes", "srtp-mand"), ("dtls", "dtls_srtp")])
async def test_the_keys_of_a_capture_open_its_packets(
    tshark: str, tmp_path: Path, keying: Literal["sdes", "dtls"], mediaenc: str
) -> None:
    async with captured_call(tmp_path, SrtpSettings("required", keying), mediaenc, keys=True) as (phone, call):
        file = await written(phone, call, tmp_path / "sealed.pcap", media=True)
        with pytest.raises(Forbidden):
            await asked(phone, "capture_keys", READER, call=call)
        with pytest.raises(Forbidden):
            await asked(phone, "trace", READER, call=call, format="pcap", media=True, opened=True)
        answer = await asked(phone, "capture_keys", call=call)
        keys = {(each["component"], each["direction"]): each for each in answer["keys"]}
        # Nowhere but in the answer to who asked for them.
        said = file.read_bytes() + str([event.data for event in phone.events]).encode()
        assert not any(each["key"].encode() in said or base64.b64decode(each["key"]) in said for each in keys.values())
        await phone.event("audit.command")
        audits = [event.data for event in phone.events if event.type == "audit.command"]
        assert [(audit["command"], audit["client"], audit["call"]) for audit in audits] == [("capture_keys", "owner", call)]

        # The far end's tone, out of the packets as they were on the wire, with the line of the key file and SRTP itself.
        line = next(row for row in answer["text"].splitlines() if " rtp received " in row)
        crypto = parse_crypto(line.partition(" received ")[2])
        opening = Opening(crypto.suite, crypto.key)
        port = port_of(phone, call)
        packets = [bytes.fromhex(row[0]) for row in fields(tshark, file, f"udp.dstport == {port}", "udp.payload")]
        clear = [opened for packet in packets if packet[0] >> 6 == 2 and (opened := opening.open(packet))]
        assert figures(phone)[0] <= len(clear) <= figures(phone)[0] + UNHEARD
        assert tone_of([packet[12:] for packet in clear[50:150]]) == pytest.approx(THEIR_TONE, abs=5)

        # And as tshark has it from the file in which they are open.
        opened_file = await written(phone, call, tmp_path / "open.pcap", media=True, opened=True)
        check_streams(tshark, opened_file, phone, call, waits=keying == "dtls")
        rule = (f"udp.port=={port},rtp",)
        payloads = fields(tshark, opened_file, f"rtp and udp.dstport == {port}", "udp.payload", decode=rule)
        assert tone_of([bytes.fromhex(row[0])[12:] for row in payloads[50:150]]) == pytest.approx(THEIR_TONE, abs=5)
        # Of our reports: baresip's goodbye may come when it has put its keys away, and is in the clear then.
        rule, ours = (f"udp.port=={port + 1},rtcp",), f"udp.srcport == {port + 1}"
        assert fields(tshark, opened_file, f"rtcp.pt == 200 and {ours}", "rtcp.pt", decode=rule)
        assert fields(tshark, opened_file, f"rtcp.sdes.text and {ours}", "rtcp.sdes.text", decode=rule)
        assert fields(tshark, file, f"rtcp.sdes.text and {ours}", "rtcp.sdes.text", decode=rule) == []


def test_lost_packets_are_missing_in_the_file_too(tshark: str, tmp_path: Path) -> None:
    """Every twentieth of two hundred packets never came."""
    packets: list[CapturedPacket] = [
        (1000.0 + number / 50, False, ("10.0.0.1", 4000), ("10.0.0.2", 6000),
         struct.pack("!BBHII", 0x80, 0, number, 160 * number, 99) + bytes(160))
        for number in range(1, 201) if number % 20
    ]  # fmt: skip
    file = tmp_path / "lossy.pcap"
    file.write_bytes(tracing.pcap([], Captured(packets).packets))
    assert streams(tshark, file, "udp.port==4000,rtp") == {(6000, 4000): (190, 9)}  # that the last is missing nobody can see
