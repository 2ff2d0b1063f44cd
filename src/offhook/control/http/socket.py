"""WebSocket /v1/socket: the local socket's requests, answers and events, one JSON message each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Any, Final

from offhook.control.access import Client
from offhook.control.feed import stream_event
from offhook.control.http.answers import Message
from offhook.control.http.guard import Standing
from offhook.control.http.limits import AUTHENTICATE_WITHIN, REVOKED_WITHIN
from offhook.control.http.requests import Request
from offhook.control.http.wire import EXTENSION, SocketConnection, text_frames
from offhook.control.session import MAX_REQUEST, Session, event_message, only, refusal
from offhook.errors import InvalidArgument, Unauthenticated

PROTOCOL: Final = "offhook.v1"
"""The subprotocol a browser names beside `bearer.<token>`, so that the token does not come back in the answer."""

BEARER: Final = "bearer."

# RFC 6455 7.4.1
GOING_AWAY: Final = 1001
POLICY: Final = 1008
TRY_AGAIN: Final = 1013


def token_of(request: Request) -> str | None:
    """Return the token that a browser put into the subprotocols."""
    return next((found[len(BEARER):] for found in request.scope["subprotocols"] if found.startswith(BEARER)), None)  # fmt: skip


async def serve(request: Request, client: Client | None) -> None:
    """Talk to one client until it, or the phone, goes. Without a `client` its first message must authenticate."""
    with request.surface.listening("" if client is None else client.name) as news:
        offered = request.scope["subprotocols"]
        chosen = PROTOCOL if PROTOCOL in offered else next((name for name in offered if name.startswith(BEARER)), None)
        await request.send({"type": "websocket.accept", "subprotocol": chosen})
        await _Conversation(request, client, news).run()


class _Conversation:
    """One open WebSocket: one task answers requests in their order, one pushes events."""

    def __init__(self, request: Request, client: Client | None, news: asyncio.Event) -> None:
        self._request = request
        self._surface = request.surface
        self._wire: SocketConnection = request.scope[EXTENSION]
        self._news = news
        own = {"authenticate": self._authenticate}
        self._session = Session(self._surface.operations, client, news.set, own, self._tell)
        self._told: list[bytes] = []

    async def run(self) -> None:
        asking = asyncio.ensure_future(self._ask())
        pushing = asyncio.ensure_future(self._push())
        try:
            await asyncio.wait({asking, pushing}, return_when=asyncio.FIRST_COMPLETED)
            code = next((task.result() for task in (asking, pushing) if task.done()), 0)
            if code:
                await self._request.send({"type": "websocket.close", "code": code, "reason": _REASONS[code]})
                self._wire.cut_soon()
        finally:
            self._session.stop_waiting()
            for task in (asking, pushing):
                task.cancel()
            await asyncio.wait({asking, pushing})

    # --- requests

    async def _ask(self) -> int:
        """Answer until the client goes (0) or must go (the code of the close)."""
        message = await self._request.receive()
        assert message["type"] == "websocket.connect"
        while True:
            try:
                async with asyncio.timeout(None if self._session.client else AUTHENTICATE_WITHIN):
                    message = await self._request.receive()
            except TimeoutError:
                return POLICY
            if message["type"] == "websocket.disconnect":
                return 0
            if not await self._answer(message):
                return POLICY

    async def _answer(self, message: Message) -> bool:
        """Answer one message; False if this was the last."""
        client = self._session.client
        if client is not None and not self._surface.guard.is_current(client):
            await self._write(refusal(None, Unauthenticated("the token was revoked")))
            return False
        text = message.get("text")
        answer: bytes | Awaitable[bytes] | None
        if text is None:
            answer = refusal(None, InvalidArgument("send text, not bytes"))
        elif len(text) > MAX_REQUEST:
            answer = refusal(None, InvalidArgument(f"a request has at most {MAX_REQUEST} characters"))
        else:
            answer = self._session.answer(text)
        if answer is not None:
            await self._write(answer if isinstance(answer, bytes) else await answer)
        return self._session.client is not None

    def _authenticate(self, params: Any) -> Any:
        only(params, "token")
        token = params.get("token")
        if not isinstance(token, str):
            raise InvalidArgument.field("token", "is required and must be a string")
        self._session.client = self._surface.guard.client_of(token, self._request.peer)
        self._surface.introduced(self._news, self._session.client.name)
        return {"client": self._session.client.name, "scopes": sorted(self._session.client.scopes)}

    def _tell(self, answer: bytes) -> None:
        """Have the answer to a wait sent."""
        self._told.append(answer)
        self._news.set()

    async def _write(self, message: bytes) -> bool:
        return await self._wire.push(text_frames([message]))

    # --- events

    async def _push(self) -> int:
        """Send events until the surface ends, the token does, or the client takes nothing any more."""
        standing = Standing(self._has_token)
        while True:
            self._news.clear()
            closing = self._surface.closing.done()  # looked at before reading: what was said before the end is still read
            more = await self._push_some()
            if self._wire.stall.is_over:
                await self._say("stream.slow_consumer")
                return TRY_AGAIN
            if standing.is_over():
                await self._say("stream.ended")
                return POLICY
            if more:
                await asyncio.sleep(0)
                continue
            if closing:
                await self._say("stream.ended")
                return GOING_AWAY
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REVOKED_WITHIN):
                    await self._news.wait()

    def _has_token(self) -> bool:
        client = self._session.client
        return client is None or self._surface.guard.is_current(client)

    async def _push_some(self) -> bool:
        """Write what was waited for, and the next events; whether there may be more."""
        if self._told:
            told, self._told = self._told, []
            await self._wire.push(text_frames(told))
        reader = self._session.reader
        if reader is None:
            return False
        frames = self._surface.shared.read(reader, _framed)
        if frames is None:
            frames = _framed(await reader.page())
            if self._session.reader is not reader:
                return True  # the subscription was changed meanwhile: its place is another
        if frames:
            await self._wire.push(frames)
        return bool(frames) or bool(reader.behind)

    async def _say(self, note: str) -> None:
        reader = self._session.reader
        if reader is not None:
            await self._write(event_message(stream_event(note, last=str(reader.cursor))))


_REASONS: Final = {GOING_AWAY: "the phone ends", POLICY: "no good token", TRY_AGAIN: "too slow"}


def _framed(events: list[bytes]) -> bytes:
    return text_frames([event_message(event) for event in events])
