"""Events over HTTP: a stream that resumes, a page, a long poll; slow, vanished and many readers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec
import pytest

from offhook.control.http import events, guard, surface, wire
from offhook.control.http.problems import HttpRefusal
from offhook.phone.events import SettingsChanged, SystemReady
from offhook.testing.backend import FakeBackend
from offhook.testing.http import Served


@dataclass
class Told:
    """One server-sent event."""

    id: str
    type: str
    data: dict[str, Any]


class Stream:
    """A client of the stream."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.comments = 0
        self.blocks: list[dict[str, str]] = []
        """What came without data: no event for a browser, but an `id` in it is its place all the same."""
        self._lines = response.aiter_lines()

    async def next(self) -> Told:
        found: dict[str, str] = {}
        async with asyncio.timeout(10):
            async for line in self._lines:
                name, _, value = line.partition(": ")
                if line.startswith(":"):
                    self.comments += 1
                elif line:
                    found[name] = value
                elif "data" in found:
                    return Told(found.get("id", ""), found["event"], msgspec.json.decode(found["data"]))
                else:
                    self.blocks.append(found)
                    found = {}
        raise EOFError

    async def take(self, count: int) -> list[Told]:
        return [await self.next() for _ in range(count)]


@contextlib.asynccontextmanager
async def stream(http: httpx.AsyncClient, query: str = "", last: str = "") -> AsyncIterator[Stream]:
    headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
    async with http.stream("GET", f"/v1/events{query}", headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream"
        yield Stream(response)


def ready(backend: FakeBackend, *names: object) -> None:
    for name in names:
        backend.emit(SystemReady(address=str(name)))


async def test_a_stream_tells_what_happens(served: Served, http: httpx.AsyncClient, backend: FakeBackend) -> None:
    ready(backend, "before")
    async with stream(http, "?types=system.*") as found:
        await served.until(lambda: served.surface.streams)
        backend.emit(SettingsChanged(dnd=True, forwarding="", auto_answer="off"))
        ready(backend, "now")
        event = await found.next()
        assert (event.id, event.type, event.data["data"]["address"]) == ("t1-3", "system.ready", "now")
        assert event.data["id"] == "t1-3"
    await served.until(lambda: not served.surface.streams)


async def test_a_stream_goes_on_where_it_stopped(http: httpx.AsyncClient, backend: FakeBackend) -> None:
    ready(backend, *range(5))
    async with stream(http, "?after=t1-2") as found:
        assert [event.id for event in await found.take(2)] == ["t1-3", "t1-4"]
    async with stream(http, "?after=t1-2", last="t1-4") as found:
        assert (await found.next()).id == "t1-5"
        ready(backend, 6)
        assert (await found.next()).id == "t1-6"


async def test_who_is_cut_off_before_the_first_event_misses_none(
    served: Served, http: httpx.AsyncClient, backend: FakeBackend
) -> None:
    ready(backend, "before")
    async with stream(http, "?types=system.*") as found:
        await served.until(lambda: served.surface.streams)
        ready(backend, "not heard any more")
        await found.next()
    assert [block.get("id") for block in found.blocks] == ["t1-1"]
    async with stream(http, "?types=system.*", last=found.blocks[0]["id"]) as again:
        assert (await again.next()).data["data"]["address"] == "not heard any more"


async def test_what_is_lost_is_told(http: httpx.AsyncClient, backend: FakeBackend) -> None:
    ready(backend, "x")
    async with stream(http, last="gone-7") as found:
        gap, event = await found.take(2)
        assert (gap.id, gap.type, gap.data["data"]) == ("", "stream.gap", {"after": "gone-7", "next": "t1-1"})
        assert event.id == "t1-1"


async def test_only_these_subjects(http: httpx.AsyncClient, backend: FakeBackend) -> None:
    async with stream(http, "?after=t1-0&subjects=system,calls/c_1&types=system.*,call.*&types=settings.changed") as found:
        ready(backend, 1)
        assert (await found.next()).data["subject"] == "system"


@pytest.mark.lengthy
async def test_silence_is_not_death(http: httpx.AsyncClient, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT", 0.01)
    async with stream(http) as found:
        asyncio.get_running_loop().call_later(0.1, ready, backend, "late")
        assert (await found.next()).data["data"]["address"] == "late"
        assert found.comments > 1
        assert len(found.blocks) == 1  # what it begins with: a sign of life is no block, which some clients take for an event


async def test_a_revoked_token_ends_its_stream(
    served: Served, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "REVOKED_WITHIN", 0.01)
    monkeypatch.setattr(guard, "REVOKED_WITHIN", 0.01)
    async with stream(http) as found:
        served.tokens.revoke("all")
        assert (await found.next()).type == "stream.ended"
        with pytest.raises(EOFError):
            await found.next()


@pytest.mark.parametrize(("version", "chunked"), [("1.0", False), ("1.1", True)])
async def test_a_stream_has_no_chunks_where_http_knows_none(
    served: Served, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch, version: str, chunked: bool
) -> None:
    monkeypatch.setattr(events, "REVOKED_WITHIN", 0.01)
    monkeypatch.setattr(guard, "REVOKED_WITHIN", 0.01)
    head = f"GET /v1/events HTTP/{version}\r\nHost: localhost\r\nAuthorization: Bearer {served.token}\r\nConnection: close\r\n"
    reading = asyncio.ensure_future(served.raw(f"{head}Accept: text/event-stream\r\n\r\n".encode()))
    await served.until(lambda: served.surface.streams)
    ready(backend, 1)
    served.tokens.revoke("all")
    headers, _, body = (await reading).partition(b"\r\n\r\n")
    assert (b"transfer-encoding" in headers, body.startswith(b"retry: "), b"\r\n" in body) == (chunked, not chunked, chunked)
    assert (body.count(b"event: system.ready"), body.count(b"event: stream.ended")) == (1, 1)


async def test_a_burst_is_one_write(served: Served, http: httpx.AsyncClient, backend: FakeBackend) -> None:
    async with http.stream("GET", "/v1/events", headers={"Accept": "Text/Event-Stream"}) as response:  # in whichever case
        chunks = response.aiter_raw()
        assert b"retry" in await anext(chunks)
        ready(backend, *range(100))
        assert (await anext(chunks)).count(b"event: system.ready") == 100


@pytest.mark.slow
async def test_fifty_subscribers_get_every_event(served: Served, backend: FakeBackend) -> None:
    limits = httpx.Limits(max_connections=100)
    async with (
        httpx.AsyncClient(base_url=served.url, headers=served.bearer, limits=limits, verify=False) as http,
        contextlib.AsyncExitStack() as stack,
    ):
        all_of_them = [await stack.enter_async_context(stream(http)) for _ in range(50)]
        await served.until(lambda: served.surface.streams == 50)
        for number in range(200):
            ready(backend, number)
            if number % 10 == 0:
                await asyncio.sleep(0)
        for found in all_of_them:
            assert [event.data["seq"] for event in await found.take(200)] == list(range(1, 201))


@pytest.mark.lengthy
async def test_a_client_that_never_reads_costs_nothing_and_is_let_go(
    served: Served, http: httpx.AsyncClient, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "STALL_SECONDS", 0.1)
    monkeypatch.setattr(wire, "FLUSH_SECONDS", 0.2)
    _, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=2**26)
    head = f"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {served.token}\r\n"
    writer.write(f"{head}Accept: text/event-stream\r\n\r\n".encode())
    await served.until(lambda: served.surface.streams)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    async with stream(http, "?types=settings.*") as other:
        for number in range(1000):
            ready(backend, "x" * 20_000)
            if number % 10 == 0:
                await asyncio.sleep(0)
        held = [connection.transport.get_write_buffer_size() for connection in served.server._state.connections]
        assert max(held) < 12_000_000
        backend.emit(SettingsChanged(dnd=True, forwarding="", auto_answer="off"))
        assert (await other.next()).type == "settings.changed"
        await served.until(lambda: served.surface.streams == 1)
    writer.transport.abort()


async def test_too_many_streams(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surface, "MAX_STREAMS", 0)
    answer = await http.get("/v1/events", headers={"Accept": "text/event-stream"})
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "overloaded", "5")


async def test_one_client_does_not_take_all_streams(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surface, "MAX_STREAMS", 8)
    with contextlib.ExitStack() as streams:

        def taken(name: str, wanted: int) -> int:
            for number in range(wanted):
                try:
                    news = streams.enter_context(served.surface.listening(name))
                except HttpRefusal:
                    return number
            served.surface.introduced(news, name)
            return wanted

        assert taken("", 9) == 6  # three of four shares, as nobody else wants them: strangers, say
        assert taken("crm", 1) == 1
        assert taken("", 1) == 0
        assert taken("crm", 2) == 1
        assert taken("user", 1) == 0
    assert served.surface.streams == 0


async def test_a_page(http: httpx.AsyncClient, backend: FakeBackend) -> None:
    ready(backend, *range(5))
    now = (await http.get("/v1/events")).json()
    assert now == {"events": [], "next": "t1-5"}
    page = (await http.get("/v1/events?after=t1-0&limit=2")).json()
    assert ([event["seq"] for event in page["events"]], page["next"]) == ([1, 2], "t1-2")
    rest = (await http.get(f"/v1/events?after={page['next']}&types=system.ready")).json()
    assert ([event["seq"] for event in rest["events"]], rest["next"]) == ([3, 4, 5], "t1-5")
    lost = (await http.get("/v1/events?after=gone-1")).json()
    assert [event["type"] for event in lost["events"]] == ["stream.gap"] + ["system.ready"] * 5
    assert (await http.head("/v1/events", headers={"Accept": "text/event-stream"})).status_code == 200


async def test_a_long_poll(served: Served, http: httpx.AsyncClient, backend: FakeBackend) -> None:
    asking = asyncio.ensure_future(http.get("/v1/events?wait=30&types=settings.*"))
    await served.until(lambda: served.surface.streams)
    ready(backend, "not that")
    backend.emit(SettingsChanged(dnd=True, forwarding="", auto_answer="off"))
    found = (await asking).json()
    assert ([event["type"] for event in found["events"]], found["next"]) == (["settings.changed"], "t1-2")
    assert (await http.get("/v1/events?wait=0.01&after=t1-2")).json() == {"events": [], "next": "t1-2"}


async def test_a_long_poll_whose_client_is_gone_ends(served: Served) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", served.port)
    head = f"GET /v1/events?wait=60 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {served.token}\r\n\r\n"
    writer.write(head.encode())
    await served.until(lambda: served.surface.streams)
    writer.transport.abort()
    await served.until(lambda: not served.surface.streams and not served.server._state.tasks)
