"""HTTP requests to real servers that answer well, badly, slowly, endlessly or not at all."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from offhook.io.web import MAX_HEAD, WebError, post
from offhook.phone.urls import Url

Behaviour = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(behave: Behaviour, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[Url, list[bytes]]]:
    """Run a server that reads one request and then behaves as told; gives its URL and what it has read."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            seen.append(head + await reader.readexactly(length))
            await behave(seen[-1], writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port = running.sockets[0].getsockname()[1]
    try:
        yield Url.parse(f"http{'s' if tls else ''}://127.0.0.1:{port}/hook?x=1"), seen
    finally:
        running.close()


def says(data: bytes) -> Behaviour:
    async def behave(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return behave


async def hangs(request: bytes, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def floods(request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def drips(request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X: y\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def test_a_request_and_its_answer() -> None:
    async with server(says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello...")) as (url, seen):
        answer = await post(url, {"X-B": "c"}, b'{"a":1}', within=5, keep=100)
    assert (answer.status, answer.headers["x-a"], answer.body) == (200, "b", b"hello")
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /hook?x=1 HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"X-B: c" in head
    assert body == b'{"a":1}'


@pytest.mark.parametrize(("data", "status", "body"), [
    (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 204, b""),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 202\r\n\r\nrest", 202, b"rest"),
    (b"HTTP/1.0 500 Oh\r\n\r\n" + b"x" * 50_000, 500, b"x" * 1000),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", 200, b"abcde"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n" + b"y" * 65535, 200, b"y" * 1000),
    (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", 302, b""),
])
async def test_answers(data: bytes, status: int, body: bytes) -> None:
    async with server(says(data)) as (url, _):
        answer = await post(url, {}, b"", within=5, keep=1000)
    assert (answer.status, answer.body) == (status, body)


@pytest.mark.parametrize(("behave", "reason"), [
    (says(b""), "ended before the answer"), (says(b"HTTP/1.1 200 OK\r\nX: "), "ended before the answer"),
    (says(b"hello\r\n\r\n"), "not HTTP"), (says(b"X" * (MAX_HEAD + 10)), "not HTTP"),
    (says(b"HTTP/1.1 9 x\r\n\r\n"), "not HTTP"),
    (says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), "ended before"),
    (says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"), "not HTTP"),
    (says(b"HTTP/1.1 100 x\r\n\r\n" * 20), "interim"),
])
async def test_what_is_no_answer(behave: Behaviour, reason: str) -> None:
    async with server(behave) as (url, _):
        with pytest.raises(WebError, match=reason):
            await post(url, {}, b"x", within=5, keep=100)


@pytest.mark.lengthy
@pytest.mark.parametrize("behave", [hangs, drips])
async def test_there_is_one_time_limit_for_everything(behave: Behaviour) -> None:
    async with server(behave) as (url, _):
        began = time.monotonic()
        with pytest.raises(WebError, match=r"no answer within 0\.2 s"):
            await post(url, {}, b"x", within=0.2)
        assert time.monotonic() - began < 5


async def test_a_huge_answer_is_not_read() -> None:
    async with server(floods) as (url, _):
        assert (await post(url, {}, b"x", within=5)).body == b""
        assert (await post(url, {}, b"x", within=5, keep=10)).body == b"x" * 10


async def test_nobody_there() -> None:
    async with server(says(b"")) as (url, _):
        pass
    with pytest.raises(WebError, match="no connection"):
        await post(url, {}, b"x", within=5)
    with pytest.raises(WebError, match="no connection"):
        await post(Url.parse("https://nowhere.invalid/"), {}, b"x", within=5)


async def test_a_server_that_does_not_know_tls_is_told_of() -> None:
    async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.close()

    deaf = await asyncio.start_server(hangs_up, "127.0.0.1", 0)
    async with deaf:
        url = Url.parse(f"https://127.0.0.1:{deaf.sockets[0].getsockname()[1]}/")
        with pytest.raises(WebError, match="no connection: the other side ended it before TLS stood"):
            await post(url, {}, b"x", within=5)


async def test_certificates_are_checked(certificates: Path) -> None:
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(certificates / "peer.pem")
    async with server(says(b"HTTP/1.1 200 OK\r\n\r\n"), own) as (url, seen):
        with pytest.raises(WebError, match="the certificate is not good"):
            await post(url, {}, b"x", within=5)
        assert not seen, "nothing was sent to somebody who may be anybody"
        trusting = ssl.create_default_context(cafile=certificates / "ca.pem")
        assert (await post(url, {}, b"x", within=5, tls=lambda: trusting)).status == 200


@pytest.mark.parametrize("text", [
    "https://h.example/a?b=c", "http://localhost/", "http://127.0.0.1:8080", "http://[::1]:8/x", "https://[2001:db8::1]/",
])
def test_good_urls(text: str) -> None:
    assert Url.parse(text).text == text


@pytest.mark.parametrize(("text", "reason"), [
    ("http://h.example/", "in the clear"), ("http://127.0.0.1.example/", "in the clear"), ("ftp://h/", "begins with"),
    ("file:///etc/passwd", "begins with"), ("https://", "host"), ("https://u:p@h/", "without a user"),
    ("https://h/#x", "fragment"), ("https://h/a b", "blanks"), ("https://h/\r\nX: y", "blanks"), ("", "blanks"),
    ("https://h:99999/", "[Pp]ort"), ("https://h:x/", "[Pp]ort"), ("https://h/" + "x" * 3000, "at most"),
    ("/x", "begins with"), ("https://é/", "blanks"),
])
def test_bad_urls(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Url.parse(text)


def test_a_url_in_the_clear_where_it_is_allowed() -> None:
    url = Url.parse("http://h.example/", plain=True)
    assert (url.port, url.authority, url.target, url.secure) == (80, "h.example", "/", False)
    assert Url.parse("https://[::1]:8443/").authority == "[::1]:8443"
