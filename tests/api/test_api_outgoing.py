"""A call's sound on its way to a program's WebSocket, and sounds from the web, as a program orders them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from offhook import CallHandle, OperationFailed, Softphone

Peer = tuple[Softphone, str]


@asynccontextmanager
async def program(*, leaves: bool = False, breaks: bool = False) -> AsyncIterator[str]:
    """Run a program that stays, leaves after the start, or breaks off."""

    async def talk(wire: ServerConnection) -> None:
        async for text in wire:
            if json.loads(text)["event"] == "start" and (leaves or breaks):
                break
        if breaks:
            wire.transport.abort()

    async with serve(talk, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def talk(phone: Softphone, peer: Peer) -> CallHandle:
    far, uri = peer
    incoming = far.incoming
    call = await phone.dial(uri)
    await (await anext(incoming)).answer()
    await call.wait_active(timeout=5)
    return call


async def test_a_stream_is_connected_listed_and_stopped(phone: Softphone, peer: Peer) -> None:
    call = await talk(phone, peer)
    async with program() as url:
        stream = await call.stream(url, parameters={"language": "de"})
        assert [(found.id, found.call, found.state) for found in await phone.streams()] == [(stream.id, call.id, "connected")]
        assert not stream.is_over
        assert await stream.stop() == "stopped"
        assert await stream.stop() == "stopped"
        assert not call.is_ended
        other = await call.stream(url)
        await call.hangup()
        assert await other.wait(timeout=10) == "the call ended"


async def test_a_program_that_leaves_or_breaks_off(phone: Softphone, peer: Peer) -> None:
    call = await talk(phone, peer)
    async with program(breaks=True) as url:
        broken = await call.stream(url)
        with pytest.raises(OperationFailed, match="broke"):
            await broken.wait(timeout=10)
        with pytest.raises(OperationFailed, match="no connection"):
            await call.stream("ws://127.0.0.1:1/")
    async with program(leaves=True) as url:
        stream = await call.stream(url, end_call=True)
        assert await stream.wait(timeout=10) == "the program ended it"
    await call.wait_ended(timeout=10)


async def test_a_sound_that_cannot_be_had(phone: Softphone, peer: Peer) -> None:
    call = await talk(phone, peer)
    playback = await call.play(url="http://127.0.0.1:1/hello.wav")
    with pytest.raises(OperationFailed, match="no connection"):
        await playback.wait(timeout=10)
    await call.hangup()
