"""GET /v1/events: a stream of server-sent events that goes on where it stopped, or a page of JSON with a long poll."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from offhook.control.backend import Recorded
from offhook.control.feed import PAGE, STREAM_EVENTS, Choice, Note, Reader, cursor_from, event_types, stream_event
from offhook.control.http.answers import Answer
from offhook.control.http.guard import Standing
from offhook.control.http.limits import HEARTBEAT, MAX_WAIT, RETRY_MS, REVOKED_WITHIN
from offhook.control.http.requests import ClientGone, Request
from offhook.control.http.wire import EXTENSION
from offhook.control.session import subjects_from
from offhook.errors import InvalidArgument, Unauthenticated

EVENT_STREAM: Final = "text/event-stream"


async def events(request: Request) -> Answer | None:
    """Answer with a stream if that is what the client accepts, else with a page."""
    query = request.query()
    choice = Choice(event_types(query["types"]), subjects_from(query["subjects"]))
    if request.method == "HEAD":
        query["wait"] = 0
    elif EVENT_STREAM in request.headers.get("accept", "").lower():
        await _stream(request, choice, query)
        return None
    return await _page(request, choice, query)


# --- a page, or a long poll


async def _page(request: Request, choice: Choice, query: dict[str, Any]) -> Answer:
    wait, limit = query["wait"], query["limit"]
    if not 0 <= wait <= MAX_WAIT:
        raise InvalidArgument.field("wait", f"0-{MAX_WAIT:g} seconds")
    if not 1 <= limit <= PAGE:
        raise InvalidArgument.field("limit", f"1-{PAGE}")
    after = cursor_from(query["after"]) if "after" in query else None
    reader = Reader(request.surface.journal, choice, after, limit=limit)
    found = await reader.page()
    if not found and wait:
        found = await _poll(request, reader, wait)
    return Answer(200, b'{"events":[%s],"next":"%s"}' % (b",".join(found), str(reader.cursor).encode()))


async def _poll(request: Request, reader: Reader, seconds: float) -> list[bytes]:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    with request.surface.listening(request.client.name) as news:
        while True:
            found = await reader.page()
            left = deadline - loop.time()
            if found or left <= 0 or request.surface.closing.done():
                return found
            news.clear()
            await request.until(asyncio.ensure_future(news.wait()), left)
            if not request.surface.guard.is_current(request.client):
                raise Unauthenticated("the token was revoked")


# --- a stream


def rendered(event: Recorded) -> bytes:
    """Return an event as server-sent events write it. Notes about the stream have no id: the client's place stays."""
    head = b"" if event.type in STREAM_EVENTS else b"id: %s\n" % str(event.cursor).encode()
    return b"%sevent: %s\ndata: %s\n\n" % (head, event.type.encode(), event.json)


def _opening(reader: Reader) -> bytes:
    """Return what a stream begins with. A client that is cut off before its first event comes back with this place."""
    return b"retry: %d\nid: %s\n\n" % (RETRY_MS, str(reader.cursor).encode())


async def _stream(request: Request, choice: Choice, query: dict[str, Any]) -> None:
    # The header is what a browser sends when it comes back; the address it uses is still the first one.
    place = request.headers.get("last-event-id") or query.get("after")
    reader = Reader(request.surface.journal, choice, cursor_from(place) if place else None, render=rendered)
    with request.surface.listening(request.client.name) as news:
        watch = asyncio.ensure_future(request.gone())
        watch.add_done_callback(lambda _: news.set())
        try:
            await request.start_stream(EVENT_STREAM)
            await request.write(_opening(reader))
            note = await _follow(request, reader, news, watch)
            if note:
                last = Note(reader.cursor, note, stream_event(note, last=str(reader.cursor)))
                await request.write(rendered(last), more=False)
        except ClientGone:
            return
        finally:
            watch.cancel()


async def _follow(request: Request, reader: Reader, news: asyncio.Event, gone: asyncio.Future[None]) -> str:
    """Write events until something ends it; returns which note is the last word, "" when nobody listens."""
    surface = request.surface
    connection = request.scope.get(EXTENSION)
    standing = Standing(lambda: surface.guard.is_current(request.client))
    clock = asyncio.get_running_loop().time
    beat = clock() + HEARTBEAT
    while True:
        news.clear()
        closing = surface.closing.done()  # looked at before reading: what was said before the end is still read
        written = surface.shared.read(reader, b"".join)
        if written is None:
            written = b"".join(await reader.page())
        if written:
            await request.write(written)
            beat = clock() + HEARTBEAT
        if gone.done():
            return ""
        if standing.is_over():
            return "stream.ended"
        if connection is not None and connection.stall.is_over:
            return "stream.slow_consumer"
        if written or reader.behind:
            await asyncio.sleep(0)
            continue
        if closing:
            return "stream.ended"
        try:
            async with asyncio.timeout(min(HEARTBEAT, REVOKED_WITHIN)):
                await news.wait()
        except TimeoutError:
            if clock() >= beat:
                await request.write(b":\n")  # without an empty line, which some clients take for an event
                beat = clock() + HEARTBEAT
