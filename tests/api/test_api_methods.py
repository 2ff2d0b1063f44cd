"""What programs ask for less often: each method does what its line says, whichever way the phone is driven."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from offhook import CallFailed, CallHandle, Softphone
from offhook.errors import InvalidState, NotFound
from offhook.exchange.server import Exchange
from offhook.phone import events as e
from offhook.phone.settings import AccountSettings, PhoneSettings
from offhook.testing.live import quiet_config
from offhook.testing.softphones import own_phone, own_uri, phone_by

Peer = tuple[Softphone, str]
T = TypeVar("T", bound=e.Event)


async def talk(phone: Softphone, peer: Peer) -> tuple[CallHandle, CallHandle]:
    """Return both ends of an answered call."""
    incoming = peer[0].incoming
    call = await phone.dial(peer[1])
    theirs = await anext(incoming)
    await theirs.answer()
    await call.wait_active(timeout=5)
    return call, theirs


async def first(events: AsyncIterator[e.Event], kind: type[T]) -> T:
    """Return the first event of this kind."""
    async with asyncio.timeout(5):
        return await anext(event async for event in events if isinstance(event, kind))


async def test_a_call_is_metered_measured_captured_and_sent_back(phone: Softphone, peer: Peer) -> None:
    call, _ = await talk(phone, peer)
    assert (call.id in repr(call), "active" in repr(call)) == (True, True)
    await call.meter(100, 5)
    assert (await first(call.events, e.CallLevel)).far_db == -96.0
    await call.meter(seconds=0)
    assert (await call.stats()).state == "active"
    await call.loopback()
    await call.loopback(False)
    await call.send_info("Signal=1", content_type="application/dtmf-relay")
    with pytest.raises(NotFound):
        await call.stop_capture()
    await call.capture(seconds=5)
    await call.stop_capture()
    await call.hangup()
    assert (await call.stats()).state == "ended"
    for method in (call.meter, call.loopback, call.capture, call.stop_capture):
        with pytest.raises(NotFound, match="is over"):
            await method()


async def test_what_plays_and_what_records_pauses(phone: Softphone, peer: Peer, tmp_path: Path) -> None:
    call, _ = await talk(phone, peer)
    playback, recording = await call.play(tone="440", duration_ms=60_000), await call.record(tmp_path / "talk.wav")
    for thing, views in ((playback, call.playbacks), (recording, call.recordings)):
        await thing.pause()
        assert [view.state for view in await views()] == ["paused"]
        await thing.go_on()
        assert [view.state for view in await views()] != ["paused"]
    assert not playback.is_finished
    assert not recording.is_finished
    assert await playback.stop() == await playback.stop()
    assert await recording.stop() == tmp_path / "talk.wav"
    with pytest.raises(NotFound):
        await playback.pause()
    with pytest.raises(NotFound):
        await recording.pause()


async def test_two_calls_are_connected_with_each_other(phone: Softphone, peer: Peer) -> None:
    far, _ = peer
    one, theirs = await talk(phone, peer)
    other, _ = await talk(phone, peer)
    requests = theirs.events
    transferring = asyncio.ensure_future(one.transfer_attended(other))
    await first(requests, e.TransferRequested)
    new = await theirs.accept_transfer()
    assert new.view.parent == theirs.id
    await transferring
    for call in (one, other):
        await call.wait_ended(timeout=5)
    assert far.calls


@pytest.mark.parametrize("way", ["own", "socket", "web"])
async def test_a_ringing_call_is_sent_elsewhere(way: str, tmp_path: Path, peer: Peer) -> None:
    async with phone_by(way, tmp_path) as (phone, uri), own_phone() as (third, elsewhere):
        incoming, there = phone.incoming, third.incoming
        calling = await peer[0].dial(uri)
        theirs = await anext(incoming)
        await theirs.redirect(elsewhere)
        assert theirs.view.end is not None
        assert theirs.view.end.sip_status == 302
        await (await anext(there)).answer()
        await calling.wait_active(timeout=5)


async def test_a_program_decides_about_a_call(peer: Peer) -> None:
    async with Softphone(replace(quiet_config(), phone=PhoneSettings(decide=True)), journal="") as phone:
        incoming = phone.incoming
        calling = await peer[0].dial(own_uri(phone))
        await (await anext(incoming)).decide("reject", status=480)
        with pytest.raises(CallFailed) as caught:
            await calling.wait_active(timeout=5)
        assert caught.value.sip_status == 480


async def test_texts_are_kept_and_forgotten(tmp_path: Path, peer: Peer) -> None:
    async with Softphone(quiet_config(), kept_texts=tmp_path / "t.sqlite3") as phone:
        await phone.send_message(peer[1], "one")
        await phone.send_message(peer[1], "two")
        newest, _ = await phone.texts()
        assert newest["text"] == "two"
        assert [kept["text"] for kept in await phone.texts(before=newest["id"])] == ["one"]
        await phone.clear_texts()
        assert await phone.texts() == []
        with pytest.raises(InvalidState, match="without a configuration file"):
            await phone.reload()
    with pytest.raises(NotFound):
        await peer[0].texts()


async def test_the_sound_of_the_phone_is_metered_and_chosen(phone: Softphone) -> None:
    events = phone.events("audio.level")
    await phone.meter_audio(100, 5)
    assert (await first(events, e.AudioLevel)).output_db == -96.0
    events.close()
    assert (await phone.set_voice(gain_control=True)).gain_control


async def test_an_account_is_changed_and_others_are_watched(exchange: Exchange, phone: Softphone) -> None:
    host, port = exchange.address
    await phone.add_account(
        AccountSettings(id="office", username="1001", password="practice-1001", domain=f"{host}:{port}", pickup_prefix="**")
    )
    await phone.wait_registered("office", timeout=5)
    assert (await phone.update_account("office", label="Desk")).label == "Desk"
    watch = await phone.watch("dialog", "1002", id="bob")
    assert (watch.id, watch.kind, [each.id for each in await phone.watches()]) == ("bob", "dialog", ["bob"])
    await phone.unwatch("bob")
    with pytest.raises(CallFailed) as caught:  # the exchange has no such feature
        await (await phone.pickup("1002")).wait_active(timeout=5)
    assert caught.value.sip_status == 404
