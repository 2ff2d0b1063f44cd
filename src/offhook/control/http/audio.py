"""WebSocket /v1/calls/{call}/audio: a call's sound, in our own dialect or in the messages of Twilio's Media Streams."""

from __future__ import annotations

import asyncio
from typing import Final, cast, get_args

from offhook.control.access import Client
from offhook.control.audio.conversation import Conversation
from offhook.control.audio.dialects import BUFFERED_EVERY_MS, Dialect, MediaStreams, Message, Native
from offhook.control.http.answers import Message as Received
from offhook.control.http.limits import AUTHENTICATE_WITHIN, REVOKED_WITHIN
from offhook.control.http.requests import Request
from offhook.control.http.socket import BEARER, GOING_AWAY, POLICY
from offhook.control.http.wire import EXTENSION, SocketConnection
from offhook.errors import InvalidArgument, Unauthenticated
from offhook.media.messages import AudioRate

NATIVE: Final = "offhook.audio.v1"
MEDIA_STREAMS: Final = "twilio.media-streams.v1"
"""The subprotocols. Without one of them it is ours."""

NORMAL: Final = 1000


async def serve(request: Request, client: Client | None) -> None:
    """Carry sound until the call, the program or the phone ends it."""
    if client is None:
        raise Unauthenticated("send a token: Authorization: Bearer …, or the subprotocol bearer.<token>")
    client.check("media")
    offered = request.scope["subprotocols"]
    dialect, chosen = _dialect(request, offered)
    options = request.query()
    wire: SocketConnection = request.scope[EXTENSION]

    async def send(message: Message) -> bool:
        return await _send(request, wire, message)

    conversation = Conversation(request.surface.operations, client, dialect, send)
    call = request.path_value("call")
    conversation.open("" if call == "current" else call, hear=options["hear"], speak=options["speak"])
    await request.send({"type": "websocket.accept", "subprotocol": chosen})
    await _talk(request, client, wire, conversation)


def _dialect(request: Request, offered: list[str]) -> tuple[Dialect, str | None]:
    if MEDIA_STREAMS in offered:
        return MediaStreams(), MEDIA_STREAMS
    options = request.query()
    rate, every = options["rate"], options["buffered_every"]
    if every not in BUFFERED_EVERY_MS:
        first, last = BUFFERED_EVERY_MS[0], BUFFERED_EVERY_MS[-1]
        raise InvalidArgument.field("buffered_every", f"{first} to {last} ms")
    if rate not in get_args(AudioRate):
        raise InvalidArgument.field("rate", f"one of {', '.join(map(str, get_args(AudioRate)))}")
    fallback = next((name for name in offered if name.startswith(BEARER)), None)
    return Native(cast(AudioRate, rate), every), NATIVE if NATIVE in offered else fallback


async def _send(request: Request, wire: SocketConnection, message: Message) -> bool:
    if wire.disconnected or wire.close_sent or wire.stall.is_over:
        return False
    part = "text" if isinstance(message, str) else "bytes"
    await request.send({"type": "websocket.send", part: message})
    return True


async def _talk(request: Request, client: Client, wire: SocketConnection, conversation: Conversation) -> None:
    speaking = asyncio.ensure_future(conversation.run())
    listening = asyncio.ensure_future(_listen(request, conversation))
    closing = asyncio.ensure_future(asyncio.shield(request.surface.closing))
    revoked = asyncio.ensure_future(_revoked(request, client))
    tasks = {speaking, listening, closing, revoked}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if closing in done:
            conversation.close("the phone ends")
        if revoked in done:
            conversation.close("the token was revoked")
        if listening not in done:
            listening.cancel()  # nothing is done any more of what it says
            async with asyncio.timeout(AUTHENTICATE_WITHIN):
                await speaking
            code = GOING_AWAY if closing in done else POLICY if revoked in done else NORMAL
            await request.send({"type": "websocket.close", "code": code, "reason": ""})
            wire.cut_soon()
    finally:
        conversation.close()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _revoked(request: Request, client: Client) -> None:
    """Return when the client's token does not stand any more."""
    while request.surface.guard.is_current(client):  # noqa: ASYNC110 - a file says so, which sets no event
        await asyncio.sleep(REVOKED_WITHIN)


async def _listen(request: Request, conversation: Conversation) -> None:
    """Give the program's messages to the conversation until it goes."""
    message: Received = await request.receive()  # websocket.connect
    while True:
        message = await request.receive()
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text")
        conversation.take(text if text is not None else message["bytes"])
