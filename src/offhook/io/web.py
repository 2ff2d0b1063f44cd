"""One HTTP request at a time, from the event loop: POST, a bounded answer, no redirects, certificates checked."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final
from urllib.parse import urlsplit

MAX_HEAD: Final = 32 * 1024
"""Bytes of an answer's status line and headers."""

MAX_INTERIM: Final = 8
"""Answers 1xx before the real one."""

MAX_URL: Final = 2048

_PRINTABLE = re.compile(r"[\x21-\x7e]+")


class WebError(Exception):
    """No answer: not connected, not in time, no valid certificate, or not HTTP. The text says which."""


@dataclass(frozen=True, slots=True)
class Url:
    """Where a request goes."""

    text: str
    secure: bool
    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, text: str, *, plain: bool = False) -> Url:
        """Return the parts of an http or https URL; ValueError says what to write instead.

        http goes in the clear, so it is for this machine itself, or wherever `plain` allows it.
        """
        if len(text) > MAX_URL or not _PRINTABLE.fullmatch(text):
            raise ValueError(f"a URL has at most {MAX_URL} characters, without blanks; others are written %20")
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https"):
            raise ValueError("write a URL that begins with https:// or http://")
        if not parts.hostname or parts.username is not None or parts.password is not None or parts.fragment:
            raise ValueError("write https://host/path, without a user, a password or a #fragment")
        port = parts.port  # ValueError for what is none
        secure = parts.scheme == "https"
        if not (secure or plain or _is_loopback(parts.hostname)):
            raise ValueError("http sends everything in the clear: write https, or set webhooks.allow_http = true")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(text, secure, parts.hostname, port or (443 if secure else 80), target)

    @property
    def authority(self) -> str:
        """The Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
    try:
        async with asyncio.timeout(within):
            return await _exchange(url, _request(url, headers, body), keep, tls)
    except TimeoutError:
        raise WebError(f"no answer within {within:g} s") from None
    except ssl.SSLCertVerificationError as error:
        raise WebError(f"the certificate is not good: {error.verify_message}") from None
    except ssl.SSLError as error:
        raise WebError(f"TLS failed: {error.reason or error}") from None
    except (OSError, UnicodeError) as error:  # UnicodeError: a host name that the resolver cannot even encode
        raise WebError(f"no connection: {getattr(error, 'strerror', None) or error}") from None


def _request(url: Url, headers: Mapping[str, str], body: bytes) -> bytes:
    head = {"Host": url.authority, "Connection": "close", "Content-Length": str(len(body)), **headers}
    lines = [f"POST {url.target} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


async def _exchange(url: Url, request: bytes, keep: int, tls: Callable[[], ssl.SSLContext]) -> Answer:
    context = await asyncio.get_running_loop().run_in_executor(None, tls) if url.secure else None
    reader, writer = await asyncio.open_connection(
        url.host, url.port, ssl=context, limit=MAX_HEAD, happy_eyeballs_delay=None if _is_address(url.host) else 0.25
    )
    try:
        writer.write(request)
        status, headers = await _head(reader)
        return Answer(status, headers, await _body(reader, headers, keep) if keep else b"")
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


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str], keep: int) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _chunks(reader, keep)
    length = headers.get("content-length", "")
    if length.isascii() and length.isdecimal() and len(length) < 16:
        return await reader.readexactly(min(int(length), keep))
    body = b""
    while len(body) < keep and (more := await reader.read(keep - len(body))):
        body += more
    return body


async def _chunks(reader: asyncio.StreamReader, keep: int) -> bytes:
    body = b""
    while len(body) < keep:
        line = (await reader.readuntil(b"\r\n")).partition(b";")[0].strip()
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", line):
            raise WebError("the answer is not HTTP")
        size = int(line, 16)
        if not size:
            break
        wanted = min(size, keep - len(body))
        body += await reader.readexactly(wanted)
        if wanted < size:
            break
        await reader.readexactly(2)
    return body
