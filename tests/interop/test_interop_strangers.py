"""Strangers during a call with baresip: forged requests that name it, and SIPp calling a thousand times a second."""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from baresips import OUR_TONE, THEIR_TONE, heard_by, loudest_frequency, says, started

from offhook.phone.commands import Dial, Hangup, ListCalls, Play, Record
from offhook.sip.message import Response
from offhook.sip.parsing import parse_message
from offhook.testing.ears import dominant_frequency, longest_gap_ms, read_wav
from offhook.testing.live import LivePhone, live_phone, quiet_config
from offhook.testing.peers import baresip, sipp
from offhook.testing.process import PhoneProcess
from offhook.testing.scenarios import invite, outside, recv, scenario

pytestmark = pytest.mark.interop

STRANGER = "127.0.0.66"
SHOUTER = "127.0.0.67"
RATE = 1000
SECONDS = 2

ELSEWHERE = (
    f"v=0\r\no=- 1 9 IN IP4 {STRANGER}\r\ns=-\r\nc=IN IP4 {STRANGER}\r\nt=0 0\r\nm=audio 9000 RTP/AVP 0\r\n"
)
BODIES = {
    "NOTIFY": ("message/sipfrag", "SIP/2.0 200 OK\r\n"),
    "INVITE": ("application/sdp", ELSEWHERE),
    "UPDATE": ("application/sdp", ELSEWHERE),
    "INFO": ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n"),
}
LINES = {
    "NOTIFY": "Event: refer\r\nSubscription-State: terminated\r\n",
    "REFER": f"Refer-To: <sip:premium@{STRANGER}>\r\n",
    "PRACK": "RAck: 1 1 INVITE\r\n",
}
METHODS = ("BYE", "NOTIFY", "REFER", "INVITE", "UPDATE", "INFO", "PRACK", "CANCEL", "ACK")


# --- forged requests -----------------------------------------------------------------------------------------------


def dialog(phone: LivePhone) -> tuple[str, str, str]:
    """Return what an eavesdropper may know of the call: Call-ID, our tag, their tag."""
    messages = phone.running.traced(phone.execute(ListCalls()).value[0].sip_call_id)
    answer = next(parse_message(m.data) for m in messages if not m.sent and m.data.startswith(b"SIP/2.0 200"))
    assert isinstance(answer, Response)
    return answer.call_id, answer.from_.tag or "", answer.to.tag or ""


def forgeries(phone: LivePhone, port: int) -> Iterator[tuple[str, bytes]]:
    """Make each request with the call's own Call-ID, and tags that are guessed, in part or both, or the wrong way round."""
    call_id, ours, theirs = dialog(phone)
    number = itertools.count(1)
    for method, (far, near) in itertools.product(METHODS, ((theirs, "x"), ("x", ours), ("x", "y"), (ours, theirs))):
        kind, body = BODIES.get(method, ("", ""))
        described = f"Content-Type: {kind}\r\n" if kind else ""
        yield method, (
            f"{method} {phone.uri} SIP/2.0\r\nVia: SIP/2.0/UDP {STRANGER}:{port};branch=z9hG4bKforged{next(number)}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:bob@127.0.0.1>;tag={far}\r\nTo: <{phone.uri}>;tag={near}\r\nCall-ID: {call_id}\r\n"
            f"CSeq: 500 {method}\r\nContact: <sip:bob@{STRANGER}:{port}>\r\n{LINES.get(method, '')}{described}"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


async def forge(phone: LivePhone) -> list[int]:
    """Send all of them and return the answers' statuses; an ACK has none."""
    loop = asyncio.get_running_loop()
    statuses = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind((STRANGER, 0))
        stranger.setblocking(False)
        target = phone.running.address
        for method, data in forgeries(phone, stranger.getsockname()[1]):
            await loop.sock_sendto(stranger, data, target)
            if method != "ACK":
                async with asyncio.timeout(5):
                    answer = parse_message(await loop.sock_recv(stranger, 65535))
                assert isinstance(answer, Response)
                assert answer.cseq.method == method
                statuses.append(answer.status)
    return statuses


async def test_forged_requests_change_nothing_in_a_call(tmp_path: Path) -> None:
    config = quiet_config()
    config = replace(config, sip=replace(config.sip, unlimited_from=("127.0.0.1",), stranger_rate=1000.0))
    async with started(tmp_path / "bob") as peer, live_phone(config) as phone:
        phone.execute(Dial(to=peer.uri))
        await phone.reaches(2)
        await phone.event("media.started")
        since = len(phone.events)
        phone.execute(Play(tone=str(OUR_TONE)))
        phone.execute(Record(file=str(tmp_path / "heard.wav"), channels="stereo", max_seconds=1.5))
        assert set(await forge(phone)) == {481}
        await phone.event("recording.finished", since)
        heard = read_wav(tmp_path / "heard.wav").channels[1][4800:]  # without what came before the first sound
        assert dominant_frequency(heard) == pytest.approx(THEIR_TONE, abs=5)
        assert longest_gap_ms(heard) <= 20
        told = {event.type for event in phone.events[since:]}
        assert told - {"media.stats", "device.listed"} == {
            "playback.started", "recording.started", "recording.finished", "audit.denied"
        }  # fmt: skip
        # The one who may still can.
        assert phone.status == 2
        phone.execute(Hangup())
        await says(peer, "CALL_CLOSED")
        theirs = await heard_by(peer)
        assert loudest_frequency(theirs.channels[0], theirs.rate) == pytest.approx(OUR_TONE, abs=5)


# --- floods --------------------------------------------------------------------------------------------------------

# Without that all of loopback is let through, and answered.
LIMITED = 'stranger_rate = 20\nunlimited_from = ["127.0.0.1"]\n'
FLOODS = {
    "INVITE": scenario(invite(), recv("180")),
    "OPTIONS": scenario(outside("OPTIONS"), recv("200")),
}


@pytest.mark.parametrize(("kind", "limits"), [
    ("INVITE", LIMITED), ("INVITE", ""), ("OPTIONS", "")
], ids=["INVITE, limited", "INVITE", "OPTIONS"])  # fmt: skip
def test_a_flood_by_sipp_disturbs_no_call_with_baresip(tmp_path: Path, kind: str, limits: str) -> None:
    """The phone is a process of its own, as usual. Its call is heard without a gap, and it does as it is told."""
    near = PhoneProcess(tmp_path / "phone")
    near.file.write_text(near.file.read_text().replace("[media]", f"{limits}[media]"))
    recording = tmp_path / "heard.wav"
    near.start()
    try:
        with baresip(tmp_path / "bob") as peer:
            call = near.ask("dial", to=peer.uri)["call"]
            near.until("get_call", lambda r: r["value"]["state"] == "active" and r["value"]["media"]["codec"], call=call)
            near.ask("record", file=str(recording), channels="stereo")
            slowest = 0.0
            target = ("127.0.0.1", near.port)
            with sipp(FLOODS[kind], tmp_path / "flood", remote=target, calls=RATE * 60, rate=RATE, host=SHOUTER) as flood:
                end = time.monotonic() + SECONDS
                while time.monotonic() < end:
                    asked = time.monotonic()
                    assert near.ask("status")["value"]["call"] == call
                    slowest = max(slowest, time.monotonic() - asked)
                    time.sleep(0.1)
                assert flood.messages().count(f"\n{kind} sip:") > RATE * SECONDS / 4  # else it was no flood
            assert slowest < 1.0
            near.ask("stop_record", call=call)
            loss = near.ask("get_call", call=call)["value"]["media"]["loss"]
            assert (loss or 0.0) < 0.01
            near.ask("hangup", call=call)
            peer.wait_event("CALL_CLOSED")
    finally:
        near.stop()
    heard = read_wav(recording)
    sound = heard.channels[1][heard.rate:]  # without the first half second
    assert len(sound) >= (SECONDS - 1) * heard.rate * 2
    assert dominant_frequency(sound, heard.rate) == pytest.approx(THEIR_TONE, abs=5)
    assert longest_gap_ms(sound, heard.rate) <= 20
