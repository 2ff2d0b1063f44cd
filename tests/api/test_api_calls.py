"""Calls as a program makes and takes them, the same from inside and over the socket."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from offhook import (
    Busy,
    CallFailed,
    CallHandle,
    Cancelled,
    Conference,
    Declined,
    EventStream,
    NoAnswer,
    OperationFailed,
    Softphone,
    Unreachable,
)
from offhook.errors import InvalidArgument, InvalidState, NotFound
from offhook.phone.events import Event, PlaybackStarted
from offhook.phone.model import CallState

Peer = tuple[Softphone, str]


async def talk(phone: Softphone, peer: Peer) -> tuple[CallHandle, CallHandle]:
    """Return both ends of an answered call."""
    far, uri = peer
    incoming = far.incoming
    call = await phone.dial(uri)
    theirs = await anext(incoming)
    await theirs.answer()
    await call.wait_active(timeout=5)
    return call, theirs


def state(call: CallHandle) -> CallState:
    """Return the state, which a type checker must not believe to be the last one compared."""
    return call.state


def members(room: Conference) -> tuple[CallHandle, ...]:
    """Return the members as they are now."""
    return room.members


async def test_a_call_from_the_first_ring_to_its_end(phone: Softphone, peer: Peer) -> None:
    far, uri = peer
    incoming = far.incoming
    call = await phone.dial(uri, headers={"X-Queue": "7"}, tags={"job": "12"})
    assert state(call) in (CallState.CALLING, CallState.RINGING)
    assert phone.calls == (call,)
    assert phone.call(call.id) is call
    theirs = await anext(incoming)
    assert ("X-Queue", "7") in theirs.view.headers
    assert call.view.tags == (("job", "12"),)
    await call.wait_ringing(timeout=5)
    await theirs.answer()
    assert state(theirs) is CallState.ACTIVE
    await call.wait_active(timeout=5)
    assert state(call) is CallState.ACTIVE
    assert (await phone.status()).code == 2
    await theirs.hangup()
    view = await call.wait_ended(timeout=5)
    assert view.end is not None
    assert view.end.by == "remote"
    assert call.is_ended
    assert not phone.calls
    await call.hangup()  # harmless
    await call.tag({"outcome": "sold"})
    assert call.view.tags == (("job", "12"), ("outcome", "sold"))
    assert call.is_ended


async def test_events_of_a_call_come_from_its_beginning_and_end_with_it(phone: Softphone, peer: Peer) -> None:
    call, _theirs = await talk(phone, peer)
    await call.hangup()
    types = [event.type async for event in call.events]
    assert types[0] == "call.created"
    assert types[-1] == "call.ended"
    assert types.index("call.ringing") < types.index("call.active")


async def test_hold_resume_and_mute_are_done_when_they_return(phone: Softphone, peer: Peer) -> None:
    call, theirs = await talk(phone, peer)
    await call.hold()
    assert state(call) is CallState.HELD_LOCAL
    assert state(theirs) is CallState.HELD_REMOTE
    await call.resume()
    assert state(call) is CallState.ACTIVE
    await call.mute()
    assert call.view.muted
    await call.unmute()
    assert not call.view.muted


@pytest.mark.lengthy
async def test_digits_are_read_from_the_first_key_on(phone: Softphone, peer: Peer) -> None:
    call, theirs = await talk(phone, peer)
    await theirs.dtmf("12#345", duration_ms=40, gap_ms=40)
    assert await call.digits.read(9, end="#", timeout=5) == "12"
    assert await call.digits.read(2, timeout=5) == "34"
    assert await anext(call.digits) == "5"
    assert await call.digits.read(1, timeout=0.01) == ""
    await theirs.dtmf("9", duration_ms=40)
    await theirs.hangup()
    assert [digit async for digit in call.digits] == ["9"]
    assert await call.digits.read(4) == ""


@pytest.mark.lengthy
async def test_a_cancelled_reading_leaves_its_digits_to_the_next(phone: Softphone, peer: Peer) -> None:
    call, theirs = await talk(phone, peer)
    reading = asyncio.create_task(call.digits.read(9, end="#"))
    await theirs.dtmf("12", duration_ms=40, gap_ms=40)
    while [event.type for event in call._events].count("dtmf.received") < 2:
        await call._bell.wait()
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await theirs.dtmf("3#", duration_ms=40, gap_ms=40)
    assert await call.digits.read(9, end="#", timeout=5) == "123"


async def test_a_cancelled_dial_leaves_no_call_behind(phone: Softphone, peer: Peer) -> None:
    far, uri = peer
    incoming = far.incoming
    dialing = asyncio.create_task(phone.dial(uri, id="forsaken"))
    async with phone.events(["call.created", "call.ended"]) as events:
        await asyncio.sleep(0)  # the request is on its way
        assert "forsaken" in phone._book._expected
        dialing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialing
        async with asyncio.timeout(5):
            ended = [event.type async for event in _until_ended(events)]
    assert ended in (["call.created", "call.ended"], ["call.ended"])
    await phone.hangup_all()
    assert not phone.calls
    del incoming


async def _until_ended(events: EventStream) -> AsyncIterator[Event]:
    async for event in events:
        yield event
        if event.type == "call.ended":
            return


async def test_an_id_that_is_in_use_is_refused_and_the_first_call_goes_on(phone: Softphone, peer: Peer) -> None:
    first, second = await asyncio.gather(
        phone.dial(peer[1], id="mine"), phone.dial(peer[1], id="mine"), return_exceptions=True
    )
    assert isinstance(first, CallHandle)
    assert isinstance(second, InvalidState)
    again = asyncio.create_task(phone.dial(peer[1], id="mine"))
    async with phone.events(["audit.command", "call.ended"]) as events:
        await asyncio.sleep(0)  # the request is on its way
        again.cancel()
        with pytest.raises((asyncio.CancelledError, InvalidState)):
            await again
        assert (await anext(events)).type == "audit.command"
    assert not phone._book._forsaken
    assert not first.is_ended
    await first.hangup()
    assert not phone._book._expected



@pytest.mark.lengthy
async def test_playing_is_waited_for_and_stopped(phone: Softphone, peer: Peer) -> None:
    call, _theirs = await talk(phone, peer)
    playback = await call.play(tone="440", duration_ms=100)
    assert await playback.wait(timeout=5) == 100
    assert playback.is_finished
    endless = await call.play(tone="350+440")
    assert await endless.stop() >= 0
    assert await endless.stop() >= 0


@pytest.mark.lengthy
async def test_how_much_was_heard_before_the_far_end_hung_up(phone: Softphone, peer: Peer) -> None:
    call, theirs = await talk(phone, peer)
    playback = await call.play(tone="440", duration_ms=60000)
    async for event in call.events:
        if isinstance(event, PlaybackStarted):
            break
    await asyncio.sleep(0.2)  # of the tone
    await theirs.hangup()
    assert 100 <= await playback.wait(timeout=5) < 5000
    assert await playback.stop() == await playback.wait()


async def test_a_file_that_cannot_be_played_says_so(phone: Softphone, peer: Peer, tmp_path: Path) -> None:
    call, _theirs = await talk(phone, peer)
    with pytest.raises(InvalidArgument, match=r"missing\.wav"):
        await call.play(tmp_path / "missing.wav")
    (tmp_path / "text.wav").write_text("no sound")
    playback = await call.play(tmp_path / "text.wav")
    with pytest.raises(OperationFailed, match="play"):
        await playback.wait(timeout=5)


@pytest.mark.lengthy
async def test_a_recording_is_complete_when_stop_returns(phone: Softphone, peer: Peer, tmp_path: Path) -> None:
    call, theirs = await talk(phone, peer)
    recording = await call.record(tmp_path / "talk.wav")
    playback = await theirs.play(tone="440", duration_ms=200)
    await playback.wait(timeout=5)
    path = await recording.stop()
    assert path == tmp_path / "talk.wav"
    (view,) = await call.recordings()
    with wave.open(str(path)) as file:
        assert file.getnframes() == 8 * view.duration_ms, "nothing is missing; a machine that stood still records less"
    assert view.duration_ms > 0
    assert await recording.stop() == path


async def test_a_recording_whose_call_ended_is_complete_too(phone: Softphone, peer: Peer, tmp_path: Path) -> None:
    call, theirs = await talk(phone, peer)
    recording = await call.record(tmp_path / "talk.wav")
    await theirs.hangup()
    assert (await recording.wait(timeout=5)).exists()


async def test_a_recording_into_no_folder_fails(phone: Softphone, peer: Peer, tmp_path: Path) -> None:
    call, _theirs = await talk(phone, peer)
    recording = await call.record(tmp_path / "no" / "talk.wav")
    with pytest.raises(OperationFailed, match="record"):
        await recording.wait(timeout=5)


async def test_a_busy_phone(phone: Softphone, peer: Peer) -> None:
    far, uri = peer
    await far.set_dnd(True)
    call = await phone.dial(uri)
    with pytest.raises(Busy) as caught:
        await call.wait_active(timeout=5)
    assert caught.value.sip_status == 486
    assert caught.value.call.id == call.id
    with pytest.raises(Busy):
        await call.wait_ringing()
    assert (await call.wait_ended()).end is not None


@pytest.mark.parametrize(("status", "failure"), [(603, Declined), (480, NoAnswer), (503, Unreachable), (488, CallFailed)])
async def test_a_call_that_is_refused(phone: Softphone, peer: Peer, status: int, failure: type[CallFailed]) -> None:
    far, uri = peer
    incoming = far.incoming
    call = await phone.dial(uri)
    await (await anext(incoming)).reject(status)
    with pytest.raises(failure) as caught:
        await call.wait_active(timeout=5)
    assert type(caught.value) is failure
    assert caught.value.sip_status == status


@pytest.mark.lengthy
async def test_nobody_answers_within_the_ring_timeout(phone: Softphone, peer: Peer) -> None:
    call = await phone.dial(peer[1], ring_timeout=0.2)
    with pytest.raises(NoAnswer):
        await call.wait_active(timeout=5)


async def test_hanging_up_before_the_answer_is_cancelling(phone: Softphone, peer: Peer) -> None:
    call = await phone.dial(peer[1])
    waiting = asyncio.ensure_future(call.wait_active())
    await call.wait_ringing(timeout=5)
    await call.hangup()
    with pytest.raises(Cancelled):
        await waiting


async def test_the_far_end_gives_up(phone: Softphone, peer: Peer) -> None:
    far, uri = peer
    incoming = far.incoming
    async with await phone.dial(uri):
        theirs = await anext(incoming)
    with pytest.raises(CallFailed):
        await theirs.wait_active(timeout=5)


async def test_what_is_asked_of_a_call_that_is_over_says_so(phone: Softphone, peer: Peer) -> None:
    call, theirs = await talk(phone, peer)
    await theirs.hangup()
    await call.wait_ended(timeout=5)
    with pytest.raises(NotFound, match=f"call {call.id} is over"):
        await call.play(tone="440")
    await call.stop_playing()  # harmless
    await call.hangup()


async def test_one_codec_and_one_thing_to_listen_for_need_no_list(phone: Softphone, peer: Peer) -> None:
    far, uri = peer
    incoming = far.incoming
    call = await phone.dial(uri, codecs="PCMA", detect="vad")  # type: ignore[arg-type]
    theirs = await anext(incoming)
    await theirs.answer(codecs="PCMA")
    await call.wait_active(timeout=5)
    assert call.view.media.codec == "PCMA"
    await call.set_codecs("PCMA")
    await call.hangup()


async def test_what_is_refused_changes_nothing(phone: Softphone, peer: Peer) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await phone.dial(peer[1], ring_timeout=-1)
    assert caught.value.errors[0].pointer == "/ring_timeout"
    with pytest.raises(NotFound):
        phone.call("nobody")
    call = await phone.dial(peer[1], id="mine")
    with pytest.raises(InvalidState):
        await phone.dial(peer[1], id="mine")
    with pytest.raises(InvalidState):
        await call.hold()
    await call.hangup()


async def test_a_transfer_ends_the_call_and_makes_another(phone: Softphone, peer: Peer, tmp_path: Path) -> None:
    call, theirs = await talk(phone, peer)
    far, uri = peer
    incoming = far.incoming
    transferring = asyncio.ensure_future(call.transfer(uri))
    async for event in theirs.events:
        if event.type == "transfer.requested":
            break
    new = await theirs.accept_transfer()
    assert new.view.parent == theirs.id
    await (await anext(incoming)).answer()
    await transferring
    await call.wait_ended(timeout=5)
    await new.hangup()


async def test_a_transfer_that_is_refused_leaves_the_call(phone: Softphone, peer: Peer) -> None:
    call, theirs = await talk(phone, peer)
    transferring = asyncio.ensure_future(call.transfer(peer[1]))
    async for event in theirs.events:
        if event.type == "transfer.requested":
            break
    await theirs.reject_transfer()
    with pytest.raises(OperationFailed) as caught:
        await transferring
    assert caught.value.sip_status == 603
    assert state(call) is CallState.ACTIVE
    await call.hangup()


async def test_without_waiting_a_command_returns_at_once(phone: Softphone, peer: Peer) -> None:
    call, _theirs = await talk(phone, peer)
    await call.dtmf("1234567890", wait=False)
    await call.hangup()


async def test_a_conference_knows_its_members(phone: Softphone, peer: Peer) -> None:
    first, _ = await talk(phone, peer)
    second, _ = await talk(phone, peer)
    await first.resume()
    room = await phone.create_conference([first], id="room")
    await room.add(second)
    assert room.view.members == (first.id, second.id)
    assert members(room) == (first, second)
    await room.mute(second)
    assert room.view.muted == (second.id,)
    await room.unmute(second)
    assert [found.id for found in phone.conferences] == ["room"]
    await room.remove(first)
    assert members(room) == (second,)
    await room.end()
    assert members(room) == ()
    await phone.hangup_all()


async def test_a_conference_does_not_reach_into_another(phone: Softphone, peer: Peer) -> None:
    first, _ = await talk(phone, peer)
    second, _ = await talk(phone, peer)
    await first.resume()
    one, two = await phone.create_conference([first], id="one"), await phone.create_conference([second], id="two")
    for ask in (one.remove, one.mute, one.unmute):
        with pytest.raises(NotFound, match="not in the conference one"):
            await ask(second)
    assert (members(one), members(two)) == ((first,), (second,))
    await phone.hangup_all()


async def test_calls_that_ring_already_are_found(phone: Softphone, peer: Peer) -> None:
    call = await phone.dial(peer[1])
    await call.wait_ringing(timeout=5)
    async for theirs in peer[0].incoming:
        await theirs.reject()
        break
    await call.wait_ended(timeout=5)


@pytest.mark.lengthy
async def test_a_wait_that_takes_too_long_leaves_the_call_alone(phone: Softphone, peer: Peer) -> None:
    call = await phone.dial(peer[1])
    with pytest.raises(TimeoutError):
        await call.wait_active(timeout=0.05)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await call.wait_ended()
    assert not call.is_ended
    assert not call._bell._sleepers
    await call.hangup()
