"""One request as a handler sees it: its route, who asks, its fields with their exact types, and whether they still listen."""

from __future__ import annotations

import asyncio
from codecs import BOM_UTF8
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

import msgspec
from starlette.datastructures import Headers, QueryParams

from offhook.control.access import Client
from offhook.control.http.answers import Receive, Send, common_headers
from offhook.control.http.limits import MAX_BODY, MAX_DEPTH, MAX_DISCARDED, MAX_REQUEST_ID, MAX_WAIT
from offhook.control.http.problems import HttpRefusal
from offhook.control.http.routes import Parameter, Route
from offhook.control.http.wire import UNFRAMED
from offhook.errors import Draining, FieldError, InvalidArgument

if TYPE_CHECKING:
    from offhook.control.http.surface import Surface

T = TypeVar("T")
_decode = msgspec.json.Decoder().decode
_FALSE_TRUE = {"false": False, "true": True}


class ClientGone(Exception):
    """Nobody listens to the answer any more."""


class Request:
    """One request. `client` is known once the guard has seen it."""

    def __init__(self, surface: Surface, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        self.surface = surface
        self.scope = scope
        self.receive = receive
        self.send = send
        self.method: str = scope.get("method", "")
        self.path: str = scope["raw_path"].decode("ascii", "replace")
        self.headers = Headers(raw=scope["headers"])
        self.peer: str = (scope.get("client") or ("",))[0]
        self.client = Client("", frozenset())
        self.route: Route = NOWHERE
        self.path_values: dict[str, str] = {}
        self.extra_headers: dict[str, str] = {}
        self.body = b""

    @property
    def request_id(self) -> str:
        """What the client calls this request; it stands in the events that come of it."""
        found = self.headers.get("x-request-id", "")
        return found[:MAX_REQUEST_ID] if found.isascii() and found.isprintable() else ""

    @property
    def target(self) -> str:
        """Path and query, as the client wrote them."""
        query = self.scope["query_string"].decode("ascii", "replace")
        return f"{self.path}?{query}" if query else self.path

    # --- what the client gave

    def path_value(self, name: str) -> str:
        """Return one part of the path."""
        return self.path_values[name]

    def query(self) -> dict[str, Any]:
        """Return the fields of the query with their types; raises InvalidArgument for others than the route names."""
        known = {parameter.name: parameter for parameter in self.route.query}
        plain = () if self.route.method == "POST" else self.route.command_fields
        given = QueryParams(self.scope["query_string"]).multi_items()
        found: dict[str, Any] = {}
        for name, text in given:
            if name in known and known[name].kind == "list":
                found.setdefault(name, []).extend(part.strip() for part in text.split(",") if part.strip())
            elif name in found:
                raise InvalidArgument.field(name, "is given twice")
            elif name in known:
                found[name] = _typed(known[name], text)
            elif name in plain:
                found[name] = text
            else:
                names = ", ".join(dict.fromkeys((*known, *plain))) or "none"
                raise InvalidArgument.field(name[:64], f"no such field in the query; there are: {names}")
        for parameter in self.route.query:
            if parameter.name not in found and parameter.default is not None:
                found[parameter.name] = parameter.default
        return found

    async def read_body(self) -> None:
        """Take the body in; raises HttpRefusal when it is too long, ClientGone when it never ends."""
        length = self.headers.get("content-length", "")
        if length.isdecimal() and len(length) < 18 and int(length) > MAX_DISCARDED:
            raise _too_long()
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            part = message.get("body", b"")
            size += len(part)
            if size > MAX_BODY:
                parts.clear()
            else:
                parts.append(part)
            over = not message.get("more_body", False)
            if size > MAX_DISCARDED or (over and size > MAX_BODY):
                raise _too_long()
            if over:
                self.body = b"".join(parts)
                return

    def fields(self) -> dict[str, Any]:
        """Return the body's object; {} without a body."""
        if not self.body:
            return {}
        kind, _, parameters = self.headers.get("content-type", "").partition(";")
        kind = kind.strip().lower()
        if not (kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))):
            raise HttpRefusal("unsupported-media-type", "send the body as application/json", {"accept": "application/json"})
        charset = parameters.lower().replace(" ", "").partition("charset=")[2].strip('"')
        if charset not in ("", "utf-8") or self.headers.get("content-encoding", "identity").lower() != "identity":
            raise HttpRefusal("unsupported-media-type", "send JSON in UTF-8, not compressed", {"accept": "application/json"})
        try:
            found = _decode(self.body.removeprefix(BOM_UTF8))  # which some writers of Windows' languages begin with
        except (msgspec.DecodeError, UnicodeError) as error:
            raise HttpRefusal("malformed", f"the body is not JSON: {error}") from None
        except RecursionError:
            raise HttpRefusal("malformed", f"at most {MAX_DEPTH} objects and lists inside each other") from None
        if not isinstance(found, dict):
            raise InvalidArgument("the body must be a JSON object", errors=(FieldError("", "must be an object"),))
        if not _is_shallow(found):
            raise HttpRefusal("malformed", f"at most {MAX_DEPTH} objects and lists inside each other")
        return found

    def own_fields(self) -> dict[str, Any]:
        """Return the body's fields as the route's `body` describes them, for handlers of their own."""
        given = self.fields()
        found = {parameter.name: parameter.default for parameter in self.route.body}
        for name, value in given.items():
            if name not in found:
                raise InvalidArgument.field(name[:64], f"no such field; there are: {', '.join(found) or 'none'}")
            found[name] = value
        for parameter in self.route.body:
            if parameter.name in given:
                _check_kind(parameter, found[parameter.name])
            elif parameter.required:
                raise InvalidArgument.field(parameter.name, "is required")
        return found

    # --- streams and waiting

    async def start_stream(self, media_type: str) -> None:
        """Begin an answer whose end is not known."""
        headers = [*common_headers(), (b"content-type", media_type.encode()), (b"x-accel-buffering", b"no")]
        headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.extra_headers.items()]
        if UNFRAMED in self.scope:
            self.scope[UNFRAMED].chunked_encoding = False  # RFC 9112 6.1
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})

    async def write(self, part: bytes, *, more: bool = True) -> None:
        """Write a part of a stream."""
        if UNFRAMED in self.scope:
            self.scope[UNFRAMED].expected_content_length = len(part)  # what uvicorn lets through unframed
        await self.send({"type": "http.response.body", "body": part, "more_body": more})

    async def gone(self) -> None:
        """Return when the client has hung up."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def wait(self, params: Mapping[str, Any], client: Client | None = None) -> dict[str, Any]:
        """Wait as the operation `wait` does, at most MAX_WAIT; raises Draining when the surface closes, ClientGone."""
        task = self.surface.operations.wait(params, client or self.client, longest=MAX_WAIT)
        found = await self.until(task)
        if found is None:
            raise Draining("the phone ends; wait again when it is back")
        return found

    async def until(self, future: asyncio.Future[T], seconds: float | None = None) -> T | None:
        """Wait for the future at most so long, or until the surface closes (None); raises ClientGone."""
        if not future.done():
            gone = asyncio.ensure_future(self.gone())
            ends: set[asyncio.Future[Any]] = {future, gone, self.surface.closing}
            try:
                await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
                if gone.done() and not future.done():
                    raise ClientGone
            finally:
                gone.cancel()
                if not future.done():
                    future.cancel()
        return None if future.cancelled() or not future.done() else future.result()


NOWHERE = Route(method="", path="", scope="", summary="")
"""The route of a request that has none (yet)."""


def decoded(part: str) -> str:
    """Return a part of a path without its percent signs; raises HttpRefusal for what is not UTF-8."""
    try:
        return unquote(part, errors="strict")
    except UnicodeDecodeError:
        raise HttpRefusal("malformed", "the path is not UTF-8") from None


def _too_long() -> HttpRefusal:
    return HttpRefusal("content-too-large", f"at most {MAX_BODY} bytes", {"connection": "close"})


def _typed(parameter: Parameter, text: str) -> Any:
    kind = parameter.kind
    if kind == "whole" and text.isascii() and text.lstrip("-").isdecimal() and len(text) < 18:
        return int(text)
    if kind == "number" and text.isascii():
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
        if abs(number) < 1e9:
            return number
    if kind == "switch" and text.lower() in _FALSE_TRUE:
        return _FALSE_TRUE[text.lower()]
    if kind == "text":
        return text
    raise InvalidArgument.field(parameter.name, f"must be {_WANTED[kind]}")


def _check_kind(parameter: Parameter, value: Any) -> None:
    good = isinstance(value, _TYPES[parameter.kind]) and (parameter.kind == "switch" or not isinstance(value, bool))
    if not good:
        raise InvalidArgument.field(parameter.name, f"must be {_WANTED[parameter.kind]}")


_WANTED = {"text": "text", "whole": "a whole number", "number": "a number", "switch": "true or false", "list": "a list"}
_TYPES: dict[str, type | tuple[type, ...]] = {"text": str, "whole": int, "number": (int, float), "switch": bool, "list": list}


def _is_shallow(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return True
    return False


def _inside(value: Any) -> list[Any]:
    found = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [inner for inner in found if isinstance(inner, dict | list)]
