"""One HTTP request at a time, from the event loop: POST or GET, a bounded answer, no redirects, certificates checked."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from offhook.phone.urls import Url

MAX_HEAD: Final = 32 * 1024
"""Bytes of an answer's status line and headers."""

PIECE: Final = 64 * 1024
"""Bytes of a body that are taken in at a time."""

MAX_INTERIM: Final = 8
"""Answers 1xx before the real one."""


ENDED_EARLY: Final = "the other side ended it before TLS stood: it may speak http and ws there, without encryption"
"""What a server that is sent TLS and does not know it comes to; Python has no words for it."""


class WebError(Exception):
    """No answer: not connected, not in time, no valid certificate, or not HTTP. The text says which."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer. `headers` have lower-case names; of repeated ones the last counts. `body` is the part kept."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


@cache
def verifying() -> ssl.SSLContext:
    """Return what checks certificates against the system's authorities. Reads files at the first use."""
    return ssl.create_default_context()


async def post(
    url: Url, headers: Mapping[str, str], body: bytes, *, within: float, keep: int = 0,
    tls: Callable[[], ssl.SSLContext] = verifying,
) -> Answer:  # fmt: skip
    """Send one request and return the answer, of its body the first `keep` bytes. Raises WebError.

    `within` seconds are for everything together, from the name's look-up on.
    """
    head = {"Host": url.authority, "Connection": "close", "Content-Length": str(len(body)), **headers}
    with _plain_words(within):
        async with asyncio.timeout(within), _talking(url, _request("POST", url, head) + body, tls) as reader:
            status, found = await _head(reader)
            return Answer(status, found, b"".join([part async for part in _body(reader, found, keep)]) if keep else b"")


async def download(
    url: Url, take: Callable[[bytes], Awaitable[None]], *, within: float, most: int,
    tls: Callable[[], ssl.SSLContext] = verifying,
) -> Mapping[str, str]:  # fmt: skip
    """Get a document and give it to `take` piece by piece; returns its headers. Raises WebError, and what `take` raises.

    Redirects are not followed: who may name an address need not be trusted with all that it may lead to. `within` seconds
    and `most` bytes are for the whole.
    """
    head = {"Host": url.authority, "Connection": "close", "Accept": "*/*", "Accept-Encoding": "identity"}
    with _plain_words(within):
        async with asyncio.timeout(within), _talking(url, _request("GET", url, head), tls) as reader:
            status, found = await _head(reader)
            if status != 200:
                also = "; write the address it leads to, redirects are not followed" if 300 <= status < 400 else ""
                raise WebError(f"the answer is {status}{also}")
            size = 0
            async for part in _body(reader, found, most + 1):
                size += len(part)
                if size > most:
                    raise WebError(f"it is longer than {most} bytes")
                await take(part)
            return found


@contextlib.contextmanager
def _plain_words(within: float) -> Iterator[None]:
    """Turn what went wrong into a WebError."""
    try:
        yield
    except TimeoutError:
        raise WebError(f"no answer within {within:g} s") from None
    except ssl.SSLCertVerificationError as error:
        raise WebError(f"the certificate is not good: {error.verify_message}") from None
    except ssl.SSLError as error:
        raise WebError(f"TLS failed: {error.reason or error}") from None
    except (OSError, UnicodeError) as error:  # UnicodeError: a host name that the resolver cannot even encode
        raise WebError(f"no connection: {getattr(error, 'strerror', None) or str(error) or ENDED_EARLY}") from None


def _request(method: str, url: Url, head: Mapping[str, str]) -> bytes:
    lines = [f"{method} {url.target} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


@contextlib.asynccontextmanager
async def _talking(url: Url, request: bytes, tls: Callable[[], ssl.SSLContext]) -> AsyncIterator[asyncio.StreamReader]:
    """Connect and send the request; what comes is read in the block."""
    loop = asyncio.get_running_loop()
    context = await loop.run_in_executor(None, tls) if url.secure else None
    # RFC 8305: a name's addresses of both families, nearly at once. Loops of other makes (uvloop) try one after the other.
    delay = {} if _is_address(url.host) or not isinstance(loop, asyncio.BaseEventLoop) else {"happy_eyeballs_delay": 0.25}
    reader, writer = await asyncio.open_connection(url.host, url.port, ssl=context, limit=MAX_HEAD, **delay)
    try:
        writer.write(request)
        yield reader
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        raise WebError("the connection ended before the answer, or the answer is not HTTP") from None
    finally:
        writer.transport.abort()  # whatever else comes is of no interest


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    for _ in range(MAX_INTERIM):
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        found = re.match(r"HTTP/1\.[01] (\d{3})(?: |$)", first)
        if found is None:
            raise WebError("the answer is not HTTP")
        status = int(found[1])
        if status >= 200:
            pairs = (line.partition(":") for line in lines if line)
            return status, {name.strip().lower(): value.strip() for name, _, value in pairs}
    raise WebError("too many interim answers")


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str], keep: int) -> AsyncIterator[bytes]:
    """Yield the body in pieces, of a longer one the first `keep` bytes."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        async for part in _chunks(reader, keep):
            yield part
        return
    length = headers.get("content-length", "")
    if length.isascii() and length.isdecimal() and len(length) < 16:
        async for part in _exactly(reader, min(int(length), keep)):
            yield part
        return
    while keep > 0 and (more := await reader.read(min(keep, PIECE))):
        keep -= len(more)
        yield more


async def _exactly(reader: asyncio.StreamReader, size: int) -> AsyncIterator[bytes]:
    while size > 0:
        part = await reader.readexactly(min(size, PIECE))
        size -= len(part)
        yield part


async def _chunks(reader: asyncio.StreamReader, keep: int) -> AsyncIterator[bytes]:
    while keep > 0:
        line = (await reader.readuntil(b"\r\n")).partition(b";")[0].strip()
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", line):
            raise WebError("the answer is not HTTP")
        size = int(line, 16)
        if not size:
            break
        wanted = min(size, keep)
        async for part in _exactly(reader, wanted):
            yield part
        keep -= wanted
        if wanted < size:
            break
        await reader.readexactly(2)
