"""The WebSocket: the local socket's requests and answers, events, three ways to authenticate, rude clients."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from offhook.control.backend import Cause
from offhook.control.http import guard, socket, wire
from offhook.control.http.wire import text_frames
from offhook.errors import LineBusy
from offhook.phone import commands as c
from offhook.phone.events import AuditDenied, SettingsChanged, SystemReady
from offhook.testing.backend import FakeBackend
from offhook.testing.http import Served


class Peer:
    """One client."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def read(self) -> dict[str, Any]:
        async with asyncio.timeout(10):
            return msgspec.json.decode(await self.connection.recv(), type=dict[str, Any])

    async def ask(self, **request: Any) -> dict[str, Any]:
        await self.connection.send(msgspec.json.encode(request).decode())
        return await self.read()

    async def closed(self) -> int:
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(10):
                while True:
                    await self.connection.recv()
        assert self.connection.close_code is not None
        return self.connection.close_code


@contextlib.asynccontextmanager
async def peer(served: Served, *, token: str | None = None, **options: Any) -> AsyncIterator[Peer]:
    headers = {} if token == "" else {"Authorization": f"Bearer {token or served.token}"}
    url = f"ws://127.0.0.1:{served.port}/v1/socket"
    async with connect(url, additional_headers=headers, proxy=None, **options) as connection:
        yield Peer(connection)


async def test_commands(served: Served, backend: FakeBackend) -> None:
    async with peer(served) as found:
        assert await found.ask(id=1, op="dial", to="1001") == {
            "id": 1, "ok": True, "result": {"call": "c_1", "operation": "op_1", "value": None},
        }  # fmt: skip
        assert (backend.commands, backend.causes) == ([c.Dial(to="1001")], [Cause(client="all", request_id="1")])
        backend.refuse = LineBusy("a call rings")
        refused = await found.ask(id="x", op="hold")
        assert (refused["id"], refused["error"]["code"]) == ("x", "line-busy")
        backend.refuse = None
        assert (await found.ask(op="history", limit=1))["result"] == {"entries": [{"id": "h_2"}]}
        assert (await found.ask(op="history", limit=0))["error"]["code"] == "invalid-argument"
        assert (await found.ask(op="hello", client="me"))["error"]["code"] == "invalid-argument"


async def test_events_after_the_answer_and_from_where_one_was(served: Served, backend: FakeBackend) -> None:
    backend.emit(SystemReady(address="old"))
    async with peer(served) as found:
        assert (await found.ask(op="subscribe", types=["system.*"], after="t1-0"))["result"]["after"] == "t1-0"
        assert (await found.read())["event"]["data"]["address"] == "old"

        def happen(command: c.Command) -> None:
            backend.emit(SettingsChanged(dnd=True, forwarding="", auto_answer="off"))
            backend.emit(SystemReady(address="new"))

        backend.on_execute = happen
        assert (await found.ask(id=7, op="hold"))["id"] == 7
        assert (await found.read())["event"]["id"] == "t1-3"
        assert (await found.ask(op="unsubscribe"))["result"] == {"types": []}
        backend.emit(SystemReady(address="unheard"))
        assert (await found.ask(id=8, op="ping"))["id"] == 8


async def test_what_is_lost_is_told(served: Served, backend: FakeBackend) -> None:
    backend.emit(SystemReady(address="x"))
    async with peer(served) as found:
        await found.ask(op="subscribe", after="gone-1")
        assert (await found.read())["event"]["type"] == "stream.gap"
        assert (await found.read())["event"]["id"] == "t1-1"


async def test_scopes(served: Served, backend: FakeBackend) -> None:
    async with peer(served, token=served.tokens.create("dialer", ["call"])) as found:
        assert (await found.ask(op="dial", to="1"))["ok"]
        for request in ({"op": "status"}, {"op": "subscribe"}, {"op": "history"}, {"op": "quit"}, {"op": "snapshot"}):
            assert (await found.ask(**request))["error"]["code"] == "forbidden", request


# --- who it is


async def test_the_first_message_may_authenticate(served: Served) -> None:
    async with peer(served, token="") as found:
        answer = await found.ask(id=1, op="authenticate", token=served.token)
        assert answer["result"]["client"] == "all"
        assert (await found.ask(op="status"))["ok"]


@pytest.mark.parametrize("request_", [
    {"op": "status"}, {"op": "subscribe"}, {"op": "history"}, {"op": "authenticate", "token": "wrong"}, {"op": "authenticate"},
    {"op": "authenticate", "token": 5}, {"op": "authenticate", "token": "x", "more": 1}, {"op": "moon"}, {},
])  # fmt: skip
async def test_nothing_before_that(served: Served, backend: FakeBackend, request_: dict[str, Any]) -> None:
    async with peer(served, token="") as found:
        assert not (await found.ask(**request_))["ok"]
        assert await found.closed() == socket.POLICY
    assert backend.commands == []


async def test_silence_is_no_token(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "AUTHENTICATE_WITHIN", 0.02)
    async with peer(served, token="") as found:
        assert await found.closed() == socket.POLICY


async def test_a_browser_puts_the_token_into_the_subprotocols(served: Served) -> None:
    bearer = Subprotocol(f"bearer.{served.token}")
    for offered, chosen in (([Subprotocol("offhook.v1"), bearer], "offhook.v1"), ([bearer], bearer)):
        async with peer(served, token="", subprotocols=offered) as found:
            assert found.connection.subprotocol == chosen
            assert (await found.ask(op="status"))["ok"]


@pytest.mark.parametrize(("headers", "status", "code"), [
    ({"Authorization": "Bearer wrong"}, 401, "unauthenticated"),
    ({"Sec-WebSocket-Protocol": "bearer.wrong"}, 401, "unauthenticated"),
    ({"Origin": "https://evil.example"}, 403, "forbidden"), ({"Origin": "null"}, 403, "forbidden"),
])  # fmt: skip
async def test_a_handshake_that_is_refused(
    served: Served, backend: FakeBackend, headers: dict[str, str], status: int, code: str
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://127.0.0.1:{served.port}/v1/socket", additional_headers=headers, proxy=None):
            pass
    assert refused.value.response.status_code == status
    assert msgspec.json.decode(refused.value.response.body or b"")["code"] == code
    assert [type(event) for event in backend.said] == [AuditDenied]


@pytest.mark.parametrize("path", ["/v1/moon", "/v1/status", "/"])
async def test_no_socket_elsewhere(served: Served, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://127.0.0.1:{served.port}{path}", additional_headers=served.bearer, proxy=None):
            pass
    assert refused.value.response.status_code in (404, 405)


async def test_our_own_page_may(served: Served) -> None:
    async with peer(served, origin=f"http://127.0.0.1:{served.port}") as found:
        assert (await found.ask(op="ping"))["ok"]


async def test_a_revoked_token_ends_the_conversation(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async with peer(served, token=served.tokens.create("guest")) as found:
        assert (await found.ask(op="ping"))["ok"]
        served.tokens.revoke("guest")
        assert (await found.ask(op="ping"))["error"]["code"] == "unauthenticated"
        assert await found.closed() == socket.POLICY
    monkeypatch.setattr(socket, "REVOKED_WITHIN", 0.01)
    monkeypatch.setattr(guard, "REVOKED_WITHIN", 0.01)
    async with peer(served, token=served.tokens.create("guest")) as found:
        await found.ask(op="subscribe")
        served.tokens.revoke("guest")
        assert (await found.read())["event"]["type"] == "stream.ended"
        assert await found.closed() == socket.POLICY


async def test_events_that_go_on_and_on_end_with_the_token(
    served: Served, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "REVOKED_WITHIN", 0.01)

    async def talk() -> None:
        while True:
            backend.say(SystemReady(address="x"))
            await asyncio.sleep(0.001)

    talking = asyncio.ensure_future(talk())
    async with peer(served, token=served.tokens.create("guest")) as found:
        await found.ask(op="subscribe")
        served.tokens.revoke("guest")
        assert await found.closed() == socket.POLICY
    talking.cancel()


async def test_it_stays_open_when_the_time_for_a_request_is_over(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "HEAD_WITHIN", 0.05)
    async with peer(served) as found:
        await asyncio.sleep(0.2)
        assert (await found.ask(op="ping"))["ok"]


async def test_who_is_refused_leaves_nothing_in_the_log(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InvalidStatus):
        async with peer(served, token="nonsense"):
            pass
    assert [record.message for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


# --- rude clients


@pytest.mark.parametrize("text", [
    "", "rubbish", "[]", "1", "{", '{"op":1}', '{"op":"dial"}', "[" * 5000, '{"op":"dial","to":"\\ud800"}',
])  # fmt: skip
async def test_rubbish_is_refused_and_the_connection_lives(served: Served, backend: FakeBackend, text: str) -> None:
    async with peer(served) as found:
        await found.connection.send(text)
        assert not (await found.read())["ok"]
        await found.connection.send(b"\x00\x01")
        assert not (await found.read())["ok"]
        assert (await found.ask(id=1, op="ping"))["id"] == 1
    assert backend.commands == []


async def test_a_message_that_is_too_long(served: Served) -> None:
    async with peer(served) as found:
        await found.connection.send("x" * 70_000)
        assert "at most 65536 characters" in (await found.read())["error"]["detail"]
        assert (await found.ask(id=1, op="ping"))["id"] == 1
        await found.connection.send("x" * 600_000)
        assert await found.closed() == 1009


async def raw_socket(served: Served) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=2**24)
    writer.write(
        f"GET /v1/socket HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {served.token}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    return reader, writer


def masked(payload: bytes, first: int = 0x81) -> bytes:
    return bytes((first, 0x80 | len(payload), 0, 0, 0, 0)) + payload


@pytest.mark.parametrize("frame", [masked(b"\xff\xfe"), b"\x81\x02{}", b"\xff\xff\xff", masked(b"x", 0x83), masked(b"x", 0x80)])
async def test_what_is_no_websocket_ends_it(served: Served, frame: bytes, caplog: pytest.LogCaptureFixture) -> None:
    reader, writer = await raw_socket(served)
    writer.write(frame)
    async with asyncio.timeout(10):
        found = await reader.read()
    assert found[0] == 0x88
    writer.close()
    await served.until(lambda: not served.surface.streams)
    assert caplog.records == []


async def test_a_message_in_pieces(served: Served) -> None:
    reader, writer = await raw_socket(served)
    writer.write(masked(b'{"op":', 0x01) + masked(b"", 0x89) + masked(b'"ping"}', 0x80))
    async with asyncio.timeout(10):
        assert await reader.readexactly(2) == b"\x8a\x00"
        assert b'"ok":true' in await reader.read(1000)
    writer.transport.abort()


async def test_a_client_may_vanish_at_any_moment(
    served: Served, backend: FakeBackend, caplog: pytest.LogCaptureFixture
) -> None:
    for data in (b"", masked(b'{"op":"subscribe"}'), masked(b'{"op":"history"}'), masked(b'{"op":"dial"')[:7]):
        _, writer = await raw_socket(served)
        writer.write(data)
        await served.until(lambda: served.surface.streams)
        writer.transport.abort()
        backend.emit(SystemReady(address="x"))
        await served.until(lambda: not served.server.connections and not served.surface.streams)
    assert caplog.records == []


async def test_half_open_connections_are_noticed(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "FLUSH_SECONDS", 0.02)
    monkeypatch.setattr(served.server.library, "ws_ping_interval", 0.02)
    monkeypatch.setattr(served.server.library, "ws_ping_timeout", 0.02)
    _, writer = await raw_socket(served)  # never answers a ping
    await served.until(lambda: served.surface.streams == 1)
    await served.until(lambda: not served.server.connections)
    writer.transport.abort()


@pytest.mark.slow
async def test_a_slow_reader_is_let_go_and_comes_back_without_a_loss(
    served: Served, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "STALL_SECONDS", 0.1)
    reader, writer = await raw_socket(served)
    writer.write(masked(b'{"op":"subscribe"}'))
    await reader.read(3)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    for number in range(1000):
        backend.emit(SystemReady(address="x" * 20_000))
        if number % 10 == 0:
            await asyncio.sleep(0)
    stalled = next(iter(served.server._state.connections))
    await served.until(lambda: stalled.stall.is_over)  # type: ignore[union-attr]
    writer.transport.resume_reading()  # type: ignore[attr-defined]
    async with asyncio.timeout(10):
        found = await reader.read()
    assert b"stream.slow_consumer" in found
    place = found[found.rindex(b'"last":"') + 8 :].partition(b'"')[0].decode()
    writer.close()
    seen = found.count(b'"type":"system.ready"')
    assert place == f"t1-{seen}"
    async with peer(served, max_size=None) as again:
        await again.ask(op="subscribe", after=place)
        assert (await again.read())["event"]["seq"] == seen + 1
        again.connection.transport.abort()  # the rest is long


@pytest.mark.slow
async def test_fifty_subscribers_get_every_event(served: Served, backend: FakeBackend) -> None:
    async with contextlib.AsyncExitStack() as stack:
        all_of_them = [await stack.enter_async_context(peer(served)) for _ in range(50)]
        for found in all_of_them:
            await found.ask(op="subscribe")
        for number in range(200):
            backend.emit(SystemReady(address=str(number)))
            if number % 10 == 0:
                await asyncio.sleep(0)
        for found in all_of_them:
            assert [(await found.read())["event"]["seq"] for _ in range(200)] == list(range(1, 201))


@pytest.mark.parametrize("length", [0, 125, 126, 65535, 65536])
def test_frames(length: int) -> None:
    from websockets.client import ClientProtocol
    from websockets.frames import Frame
    from websockets.protocol import State
    from websockets.uri import parse_uri

    client = ClientProtocol(parse_uri("ws://localhost/"), state=State.OPEN)
    client.receive_data(text_frames([b"x" * length, b"y"]))
    found = [event.data for event in client.events_received() if isinstance(event, Frame)]
    assert found == [b"x" * length, b"y"]


async def test_http_goes_on_beside_it(served: Served, http: httpx.AsyncClient) -> None:
    async with peer(served) as found:
        assert (await http.get("/v1/status")).status_code == 200
        assert (await found.ask(op="status"))["result"]["value"]["name"] == "IDLE"


# --- waiting


async def test_a_wait_is_answered_when_it_happens(served: Served, backend: FakeBackend) -> None:
    wait = {"op": "wait", "conditions": [{"event": "system.ready"}], "timeout": 5}
    async with peer(served) as found:
        await found.connection.send(msgspec.json.encode({"id": 1, **wait}).decode())
        assert (await found.ask(id=2, op="ping"))["id"] == 2
        backend.emit(SystemReady(address="x"))
        answer = await found.read()
        assert (answer["id"], answer["result"]["event"]["id"], answer["result"]["after"]) == (1, "t1-1", "t1-1")
        await found.connection.send(msgspec.json.encode({"id": 3, **wait}).decode())
        assert (await found.ask(id=4, op="ping"))["id"] == 4
    await served.until(lambda: not served.surface.operations._waits._by_key)


async def test_who_has_not_said_who_it_is_waits_for_nothing(served: Served) -> None:
    async with peer(served, token="") as found:
        assert (await found.ask(id=1, op="wait", conditions=[{"event": "*"}]))["error"]["code"] == "unauthenticated"


@pytest.mark.parametrize(("length", "head"), [
    (125, "817d"), (126, "817e007e"), (65535, "817effff"), (65536, "817f0000000000010000"),
])
def test_frames_say_their_length_in_the_fewest_octets(length: int, head: str) -> None:
    """RFC 6455 5.2: "the minimal number of bytes MUST be used to encode the length"."""
    assert text_frames([b"x" * length]).removesuffix(b"x" * length).hex() == head
