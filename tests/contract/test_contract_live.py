"""Every command of the two tables, against a live pair of phones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from offhook.control.legacy.copydata import COPYDATA, run_copydata
from offhook.control.legacy.dde import DDE, run_dde
from offhook.control.legacy.dde_items import dde_request
from offhook.errors import CommandError
from offhook.phone.commands import AcceptTransfer, Answer, Dial, GetAudio, Hangup, ListCalls
from offhook.testing.live import LivePhone, connect, live_phone

Pair = tuple[LivePhone, LivePhone]


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with live_phone(status_linger=0.2, dtmf_pause_ms=50) as here, live_phone() as there:
        yield here, there


def copydata(phone: LivePhone, name: str, text: str = "") -> int:
    return run_copydata(phone.execute, COPYDATA[name].code, text.encode()).lresult


def dde(phone: LivePhone, text: str) -> str:
    return run_dde(phone.execute, text)


@pytest.mark.lengthy
async def test_a_poller_sees_0_1_2_3_2_4_0(pair: Pair) -> None:
    here, there = pair
    seen = [copydata(here, "STATUS")]
    assert copydata(here, "DIAL", there.uri) == 1
    seen.append(copydata(here, "STATUS"))
    await there.event("call.incoming")
    assert copydata(there, "ANSWER") == 1
    await here.reaches(2)
    seen.append(copydata(here, "STATUS"))
    dde(here, "[Hold]")
    await here.reaches(3)
    seen.append(copydata(here, "STATUS"))
    await there.reaches(3)
    dde(here, "[Hold]")
    await here.reaches(2)
    seen.append(copydata(here, "STATUS"))
    await there.reaches(2)
    assert copydata(here, "HANGUP") == 1
    seen.append(copydata(here, "STATUS"))
    await here.reaches(0)
    seen.append(copydata(here, "STATUS"))
    assert seen == [0, 1, 2, 3, 2, 4, 0]
    ended = await there.event("call.ended")
    assert ended.data["call"]["end"]["by"] == "remote"


async def test_dial_is_refused_while_the_line_is_busy_or_the_number_bad(pair: Pair) -> None:
    here, there = pair
    assert copydata(here, "DIAL", "") == 0
    assert copydata(here, "DIAL", "1001") == 0, "no account for a bare number"
    assert copydata(here, "DIAL", there.uri) == 1
    assert copydata(here, "DIAL", there.uri) == 0, "line busy"
    assert len(here.execute(ListCalls()).value) == 1
    await there.event("call.incoming")
    assert copydata(here, "HANGUP") == 1
    await there.event("call.ended")


@pytest.mark.lengthy
async def test_active_call_and_digits(pair: Pair) -> None:
    here, there = pair
    assert run_copydata(here.execute, 5, b"").lresult == 0
    assert copydata(here, "DTMF", "1") == 0
    await connect(here, there)
    answer = run_copydata(here.execute, COPYDATA["ACTIVECALL"].code, b"")
    assert answer.text == there.uri
    assert copydata(here, "DTMF", "12x") == 0
    assert copydata(here, "DTMF", "1,22#") == 1
    await there.until(lambda: there.types.count("dtmf.received") == 4, "four digits")
    assert "".join(e.data["digit"] for e in there.events if e.type == "dtmf.received") == "122#"
    dde(there, "[SendDTMF(*0)]")
    await here.until(lambda: here.types.count("dtmf.received") == 2, "two digits")


async def test_mute_and_volumes(pair: Pair) -> None:
    here, there = pair
    await connect(here, there)
    assert copydata(here, "MUTE", "1") == 1
    assert here.execute(GetAudio()).value.mic_muted
    assert copydata(here, "MUTE", "0") == 1
    assert not here.execute(GetAudio()).value.mic_muted
    assert copydata(here, "MUTE", "yes") == 0
    dde(here, "[Mute]")
    assert here.execute(GetAudio()).value.mic_muted
    assert copydata(here, "VOLUME", "50") == 1
    dde(here, "[VolumeUp(2)]")
    assert here.execute(GetAudio()).value.output_volume == 70
    dde(here, "[VolumeDown]")
    assert here.execute(GetAudio()).value.output_volume == 60
    for bad in ("101", "-1", "x", ""):
        assert copydata(here, "VOLUME", bad) == 0
    dde(here, "[SetVolume(35)][SetMicVolume(45)]")
    audio = here.execute(GetAudio()).value
    assert (audio.output_volume, audio.mic_volume) == (35, 45)


async def test_dial_holds_the_active_call_and_call_to_does_not(pair: Pair) -> None:
    here, there = pair
    async with live_phone() as third:
        await connect(here, there)
        dde(here, f"[CallTo({third.uri})]")
        await third.event("call.incoming")
        third.execute(Answer())
        await here.until(lambda: [c.state.status for c in here.execute(ListCalls()).value] == [2, 2], "both active")
        first, second = here.execute(ListCalls()).value
        here.execute(Hangup(call=second.id))
        await third.event("call.ended")
        since = len(third.events)
        dde(here, f"[Dial({third.uri})]")
        await third.event("call.incoming", since)
        third.execute(Answer())
        await here.until(lambda: [c.state.status for c in here.execute(ListCalls()).value] == [3, 2], "held and active")
        assert here.execute(ListCalls()).value[0].id == first.id


async def test_answer_and_reject(pair: Pair) -> None:
    here, there = pair
    with pytest.raises(CommandError):
        dde(here, "[Answer]")
    there.execute(Dial(to=here.uri))
    await here.event("call.incoming")
    assert dde_request(here.execute, "Status") == "RINGING"
    assert dde(here, "[Status]") == "RINGING"
    dde(here, "[Reject]")
    ended = await there.event("call.ended")
    assert ended.data["call"]["end"]["sip_status"] == 486
    since = len(here.events)
    there.execute(Dial(to=here.uri))
    await here.event("call.incoming", since)
    dde(here, "[Answer]")
    await there.reaches(2)
    dde(here, "[Hangup]")
    await there.until(lambda: there.types.count("call.ended") == 2)


async def test_hanging_up_a_ringing_incoming_call_declines_it(pair: Pair) -> None:
    here, there = pair
    there.execute(Dial(to=here.uri))
    await here.event("call.incoming")
    assert copydata(here, "HANGUP") == 1
    assert (await there.event("call.ended")).data["call"]["end"]["sip_status"] == 603


async def test_a_blind_transfer(pair: Pair) -> None:
    here, there = pair
    async with live_phone(auto_answer="all") as third:
        await connect(here, there)
        assert copydata(here, "TRANSFER", third.uri) == 1
        await there.event("transfer.requested")
        there.execute(AcceptTransfer())
        await here.event("transfer.completed")
        await here.event("call.ended")
        await third.event("call.active")
        await there.until(lambda: any(c.remote.uri == third.uri for c in there.execute(ListCalls()).value))


async def test_a_failed_transfer_leaves_the_call(pair: Pair) -> None:
    here, there = pair
    async with live_phone(dnd=True) as third:
        await connect(here, there)
        dde(here, f"[Transfer({third.uri})]")
        await there.event("transfer.requested")
        there.execute(AcceptTransfer())
        failed = await here.event("transfer.failed")
        assert failed.data["sip_status"] == 486
        await here.reaches(2)
        await there.reaches(2)


async def test_set_device_refuses_what_is_not_there(pair: Pair) -> None:
    here, _there = pair
    for bad in ("[SetDevice(input,nonesuch)]", "[SetDevice(sideways,0)]", "[SetDevice(input)]"):
        with pytest.raises(CommandError):
            dde(here, bad)
    await here.event("device.listed")
    dde(here, "[SetDevice(output,0)]")
    assert here.execute(GetAudio()).value.output_device


@pytest.mark.parametrize("quit_command", ["[Close]", "QUIT"])
async def test_quitting_ends_every_call(pair: Pair, quit_command: str) -> None:
    here, there = pair
    await connect(here, there)
    if quit_command == "QUIT":
        assert copydata(here, "QUIT") == 1
    else:
        dde(here, quit_command)
    await there.event("call.ended")
    await asyncio.wait_for(here.running.engine.stopped.wait(), 5)


def test_nothing_of_the_tables_is_left_out() -> None:
    """Each name appears in this file, so each is driven on a live call."""
    text = Path(__file__).read_text("utf-8")
    for name in DDE:
        assert f"[{name}" in text, name
    for name in COPYDATA:
        assert f'"{name}"' in text, name
