"""Everything malformed becomes a problem object with the right status, and the phone goes on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest

from offhook.control.http import wire
from offhook.control.http.limits import MAX_BODY, MAX_DEPTH, MAX_HEAD, MAX_TARGET, UNHEARD_SECONDS
from offhook.control.http.problems import HTTP_PROBLEMS
from offhook.control.schema import PROBLEM_STATUS, problem
from offhook.errors import CommandError, SetupError
from offhook.phone.commands import Dial
from offhook.testing.backend import FakeBackend
from offhook.testing.http import Served, serving

JSON = {"Content-Type": "application/json"}


def check(answer: httpx.Response, status: int, code: str) -> None:
    found = answer.json()
    assert (answer.status_code, found["code"], found["status"]) == (status, code, status), answer.text
    assert answer.headers["content-type"] == "application/problem+json; charset=utf-8"
    assert found["type"] == f"/v1/problems/{code}"
    assert found["title"]
    assert found["detail"]


@pytest.mark.parametrize(("method", "path", "status", "code"), [
    ("GET", "/v1", 404, "no-route"), ("GET", "/v1/moon", 404, "no-route"), ("GET", "/v1/calls/a%2Fb/x", 404, "no-route"),
    ("POST", "/v1/calls/c_1/moon", 404, "no-route"), ("PATCH", "/v1/calls", 405, "method-not-allowed"),
    ("POST", "/v1/status", 405, "method-not-allowed"), ("GET", "/v1/calls/c_1/hold", 405, "method-not-allowed"),
    ("OPTIONS", "/v1/calls", 405, "method-not-allowed"), ("TRACE", "/v1/calls", 405, "method-not-allowed"),
    ("GET", "/v1/socket", 426, "upgrade-required"), ("GET", "/v1/calls/%ff", 400, "malformed"),
    ("GET", "/v1/status?x=1", 422, "invalid-argument"), ("GET", "/v1/history?limit=x", 422, "invalid-argument"),
    ("GET", "/v1/history?limit=1&limit=2", 422, "invalid-argument"), ("GET", "/v1/history?limit=1.5", 422, "invalid-argument"),
    ("GET", "/v1/history?limit=0", 422, "invalid-argument"), ("GET", "/v1/events?after=x", 422, "invalid-argument"),
    ("GET", "/v1/events?types=moon", 422, "invalid-argument"), ("GET", "/v1/events?wait=61", 422, "invalid-argument"),
    ("GET", "/v1/events?wait=nan", 422, "invalid-argument"), ("GET", "/v1/events?limit=0", 422, "invalid-argument"),
    ("PUT", "/v1/devices/nose", 422, "invalid-argument"), ("POST", "/v1/calls?to=1", 422, "invalid-argument"),
    ("GET", "/v1/calls/c_9", 404, "not-found"), ("GET", "/v1/system?x=1", 422, "invalid-argument"),
    ("POST", "/v1/accounts?id=a", 422, "invalid-argument"),
])  # fmt: skip
async def test_paths_and_queries(http: httpx.AsyncClient, method: str, path: str, status: int, code: str) -> None:
    answer = await http.request(method, path, json={"device": "x"} if method == "PUT" else None)
    check(answer, status, code)
    assert answer.json()["instance"] == path.partition("?")[0]
    if status == 405:
        assert answer.headers["allow"]


@pytest.mark.parametrize(("body", "status", "code", "pointer"), [
    (b"{", 400, "malformed", None), (b"rubbish", 400, "malformed", None), (b"\xff\xfe", 400, "malformed", None),
    (b'{"to":NaN}', 400, "malformed", None), (b'{"to":"1"}{}', 400, "malformed", None),
    (b'{"to":"\\ud800"}', 400, "malformed", None),
    (b"[" * 5000, 400, "malformed", None), (b'{"to":' + b"[" * 20 + b"]" * 20 + b"}", 400, "malformed", None),
    (b"[]", 422, "invalid-argument", ""), (b"1", 422, "invalid-argument", ""), (b"null", 422, "invalid-argument", ""),
    (b"{}", 422, "invalid-argument", "/to"), (b'{"to":5}', 422, "invalid-argument", "/to"),
    (b'{"to":"1","moon":1}', 422, "invalid-argument", "/moon"),
    (b'{"to":"1","ring_timeout":"5"}', 422, "invalid-argument", "/ring_timeout"),
    (b'{"to":"1","hold_others":1}', 422, "invalid-argument", "/hold_others"),
])  # fmt: skip
async def test_bodies(
    http: httpx.AsyncClient, backend: FakeBackend, body: bytes, status: int, code: str, pointer: str | None
) -> None:
    answer = await http.post("/v1/calls", content=body, headers=JSON)
    check(answer, status, code)
    assert answer.json()["op"] == "dial"
    if pointer is not None:
        assert answer.json()["errors"][0]["pointer"] == pointer
    assert backend.commands == []


async def test_a_body_as_deep_as_allowed(http: httpx.AsyncClient) -> None:
    deep = b'{"to":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}"
    assert (await http.post("/v1/calls", content=deep, headers=JSON)).json()["code"] == "invalid-argument"


@pytest.mark.parametrize(("headers", "status"), [
    ({"Content-Type": "text/plain"}, 415), ({"Content-Type": ""}, 415),
    ({"Content-Type": "application/json; charset=latin1"}, 415),
    ({**JSON, "Content-Encoding": "gzip"}, 415), ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ({"Content-Type": 'application/json; charset="UTF-8"'}, 201), ({"Content-Type": "application/vnd.crm+json"}, 201),
    ({"Content-Type": "APPLICATION/JSON;charset=utf-8"}, 201),
])  # fmt: skip
async def test_media_types(http: httpx.AsyncClient, headers: dict[str, str], status: int) -> None:
    assert (await http.post("/v1/calls", content=b'{"to":"1"}', headers=headers)).status_code == status


async def test_a_field_that_stands_in_the_path(http: httpx.AsyncClient) -> None:
    check(await http.post("/v1/calls/c_1/hold", json={"call": "c_2"}), 422, "invalid-argument")


async def test_a_body_where_none_belongs(http: httpx.AsyncClient, backend: FakeBackend) -> None:
    check(await http.request("DELETE", "/v1/calls/c_1", json={"call": "c_2"}), 400, "malformed")
    check(await http.request("GET", "/v1/status", json={}), 400, "malformed")
    check(await http.request("GET", "/v1/system", json={}), 400, "malformed")
    assert backend.commands == []


async def test_a_body_that_is_too_long(http: httpx.AsyncClient, backend: FakeBackend) -> None:
    check(await http.post("/v1/calls", content=b" " * (MAX_BODY + 1), headers=JSON), 413, "content-too-large")

    async def pieces(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b" " * 10_000

    check(await http.post("/v1/calls", content=pieces(50), headers=JSON), 413, "content-too-large")
    with contextlib.suppress(httpx.NetworkError):  # cut off while it was still sending: that much nobody reads
        check(await http.post("/v1/calls", content=pieces(10_000), headers=JSON), 413, "content-too-large")
    assert (await http.get("/v1/status")).status_code == 200


async def test_a_mistake_of_ours_is_told_without_details(
    http: httpx.AsyncClient, backend: FakeBackend, caplog: pytest.LogCaptureFixture
) -> None:
    backend.refuse = ZeroDivisionError("a secret")
    answer = await http.get("/v1/status")
    check(answer, 500, "internal")
    assert "secret" not in answer.text
    assert "ZeroDivisionError" in caplog.text


async def test_what_this_machine_lacks_is_said(
    http: httpx.AsyncClient, backend: FakeBackend, caplog: pytest.LogCaptureFixture
) -> None:
    backend.refuse = SetupError("cannot open the call history /x: database or disk is full")
    answer = await http.get("/v1/status")
    check(answer, 500, "internal")
    assert answer.json()["detail"] == "cannot open the call history /x: database or disk is full"
    assert "database or disk is full" in caplog.text
    assert all(record.exc_info is None for record in caplog.records)


async def test_a_program_that_was_replaced_under_the_phone_is_told(
    http: httpx.AsyncClient, backend: FakeBackend, caplog: pytest.LogCaptureFixture
) -> None:
    backend.refuse = ImportError("No module named 'offhook.control.webhook'", name="offhook.control.webhook")
    answer = await http.get("/v1/status")
    check(answer, 500, "internal")
    assert "was upgraded or removed while this phone ran: start it again" in answer.json()["detail"]
    assert all(record.exc_info is None for record in caplog.records)


def test_the_codes_of_http_are_not_those_of_commands() -> None:
    commands: set[str] = set()
    waiting = [CommandError]
    while waiting:
        found = waiting.pop()
        commands.add(problem(found("x"))["code"])
        waiting += found.__subclasses__()
    assert not commands & HTTP_PROBLEMS.keys()
    assert commands == PROBLEM_STATUS.keys(), "each has its status, its place in the descriptions, its class for Node.js"


# --- below the application


async def split(found: bytes) -> tuple[int, dict[str, object]]:
    head, _, body = found.partition(b"\r\n\r\n")
    return int(head.split()[1]), msgspec.json.decode(body) if body else {}


@pytest.mark.parametrize(("data", "status"), [
    (b"rubbish\r\n\r\n", 400), (b"\x16\x03\x01\x02\x00\x01\x00", 400), (b"GET /v1/status HTTP/9.9\r\n\r\n", 400),
    (b"GET /v1/status HTTP/1.1\r\nHost localhost\r\n\r\n", 400), (b"GET http:// HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 401),
    (b"POST /v1/calls HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n", 400),
    (b"POST /v1/calls HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    (b"GET /" + b"x" * (MAX_TARGET + 1) + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
    (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * (MAX_HEAD // 2), 431),
    (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * (MAX_HEAD + 1), 431),
])  # fmt: skip
async def test_what_is_not_http(served: Served, data: bytes, status: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    found, problem_ = await split(await served.raw(data))
    assert (found, problem_["status"]) == (status, status)
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]


@pytest.mark.lengthy
async def test_a_request_that_never_ends(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "HEAD_WITHIN", 0.05)
    begun = time.monotonic()
    for data in (b"", b"GET / HT", b"\r\n", b"POST /v1/calls HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"):
        found = await served.raw(data)
        assert (await split(found))[0] in (408, 401), data
    assert time.monotonic() - begun < 5
    await served.until(lambda: not served.server.connections)


async def test_a_body_that_cannot_be_read_or_never_ends(
    served: Served, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = f"Host: localhost\r\nAuthorization: Bearer {served.token}\r\nContent-Type: application/json\r\n"
    chunked = f"POST /v1/calls HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\n".encode()
    for garbage in (b"zz\r\n", b"3\r\n{}xxxx\r\n", b"-1\r\n"):
        status, found = await split(await served.raw(chunked + garbage))
        assert (status, found["code"]) == (400, "malformed")
    # Behind a request that has no answer yet it gets none: the first one would take it for its own.
    assert await served.raw(f"GET /v1/status HTTP/1.1\r\n{head}\r\n".encode() + chunked + b"zz\r\n") == b""
    monkeypatch.setattr(wire, "HEAD_WITHIN", 0.05)
    status, found = await split(await served.raw(f'POST /v1/calls HTTP/1.1\r\n{head}Content-Length: 9\r\n\r\n{{"to'.encode()))
    assert (status, found["code"]) == (408, "request-timeout")
    assert not [each for each in backend.commands if isinstance(each, Dial)]
    await served.until(lambda: not served.server.connections)


@pytest.mark.lengthy
async def test_many_requests_at_once_are_answered_in_order(served: Served) -> None:
    one = f"GET /v1/history?limit=%d HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {served.token}\r\n"
    count = 200
    data = "".join(one % (number + 1) + "\r\n" for number in range(count - 1)) + one % count + "Connection: close\r\n\r\n"
    found = await served.raw(data.encode())
    assert found.count(b"HTTP/1.1 200 OK") == count
    assert found.count(b'{"entries":[{"id":"h_2"}]}') == 1
    assert found.index(b'{"entries":[{"id":"h_2"}]}') < 1000


async def test_too_many_connections(served: Served, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await http.get("/v1/status")).status_code == 200
    monkeypatch.setattr(wire, "MAX_CONNECTIONS", 1)
    status, found = await split(await served.raw(b""))
    assert (status, found["code"], found["retry_after"]) == (503, "overloaded", 5)
    assert (await http.get("/v1/status")).status_code == 200


async def test_who_reads_again_in_time_is_kept(
    served: Served, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "STALL_SECONDS", 0.0)
    assert (await http.get("/v1/status")).status_code == 200
    connection = next(iter(served.server._state.connections))
    assert isinstance(connection, wire.HttpConnection)
    connection.pause_writing()
    connection.resume_writing()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not connection.stall.is_over
    assert (await http.get("/v1/status")).status_code == 200


async def test_a_client_whose_machine_is_gone_is_noticed(served: Served, http: httpx.AsyncClient) -> None:
    assert (await http.get("/v1/status")).status_code == 200
    found = next(iter(served.server._state.connections)).transport.get_extra_info("socket")
    assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), "small answers wait for no acknowledgement"
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1000 * UNHEARD_SECONDS


@pytest.mark.slow
async def test_who_does_not_read_the_answers_is_cut_off(
    backend: FakeBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "STALL_SECONDS", 0.05)
    monkeypatch.setattr(wire, "FLUSH_SECONDS", 0.05)
    async with serving(backend, tmp_path) as served:
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        # Long answers: a few of them fill every buffer on the way, however busy the machine is.
        writer.write(b"GET /v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
        await served.until(lambda: served.server.connections == 0)
        writer.transport.abort()
