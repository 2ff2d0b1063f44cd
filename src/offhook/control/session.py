"""One client of a socket, whichever socket: requests become answers, and a subscription its place in the journal."""

from __future__ import annotations

import asyncio
import logging
from codecs import BOM_UTF8
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from offhook.control.access import Client
from offhook.control.backend import Cursor, Journal
from offhook.control.feed import Choice, Reader, cursor_from, event_types
from offhook.control.operations import BLOCKING, Operations
from offhook.control.schema import problem
from offhook.errors import CommandError, InvalidArgument, RateLimited, Unauthenticated, operators

MAX_REQUEST: Final = 64 * 1024
"""Longest request in bytes: no command comes near it, and a client that never ends one must not fill the memory."""

MAX_UNSENT: Final = 256 * 1024
"""Bytes that may wait for a client that does not read; its further events stay in the journal until it does."""

STALL_SECONDS: Final = 30.0
"""How long a client may take nothing at all while something waits for it; then it is let go, and can come back."""

FLUSH_SECONDS: Final = 2.0
"""How long a closing connection may take to read its last lines."""

MAX_SUBJECTS: Final = 100
"""Most subjects one subscription names."""

MAX_WAITS: Final = 100
"""Waits of one connection at once. A program with more to wait for subscribes to events."""

MAX_SHARED: Final = 64
"""Most places whose bytes are kept for others at the same place."""

Params: TypeAlias = Mapping[str, Any]
Own: TypeAlias = Callable[[Params], Any]
Tell: TypeAlias = Callable[[bytes], None]

_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Session:
    """What one connection asks and hears. `changed` is called after every change of the subscription.

    `own` are operations about the connection itself that only this kind of socket has. While there is no `client`, nothing
    but these is done. `tell` sends what comes out of its order: the answer to a wait; without it nothing is waited for.
    Call `stop_waiting` when the connection is gone.
    """

    def __init__(
        self, operations: Operations, client: Client | None, changed: Callable[[], None], own: Mapping[str, Own] | None = None,
        tell: Tell | None = None,
    ) -> None:  # fmt: skip
        self.client = client
        self.reader: Reader | None = None
        self._operations = operations
        self._changed = changed
        self._tell = tell
        self._waits: dict[asyncio.Task[dict[str, Any]], bytes] = {}
        self._open = frozenset(own or ())
        self._own = {
            "subscribe": self._subscribe, "unsubscribe": self._unsubscribe, "cancel_wait": self._cancel_wait, **(own or {}),
        }  # fmt: skip

    @property
    def waits(self) -> bool:
        """Whether an answer is still to be told."""
        return bool(self._waits)

    def stop_waiting(self) -> None:
        """Wait for nothing any more; nobody is told."""
        waits, self._waits = self._waits, {}
        for wait in waits:
            wait.cancel()

    def answer(self, text: bytes | str) -> bytes | Awaitable[bytes] | None:
        """Return the answer to one request as JSON; where that waits for the disk, what gives it when awaited.

        None: the answer is told when it is there, and other requests are answered meanwhile.
        """
        name: object = None
        try:
            request = _request(text)
            name = request.pop("id", None)
            operation = request.pop("op", None)
            if not isinstance(operation, str):
                raise InvalidArgument.field("op", "is required and must be a string")
            params = _params(request)
            if operation == "wait" and self.client is not None:
                self._wait(name, params, self.client)
                return None
            if operation in BLOCKING and self.client is not None:
                return self._answer_later(name, operation, params)
            return _encode({"id": name, "ok": True, "result": self._run(operation, params, name)})
        except Exception as error:
            return refusal(name, error)

    async def _answer_later(self, name: object, operation: str, params: Params) -> bytes:
        try:
            result = await self._operations.run_aside(operation, params, self.client)
            return _encode({"id": name, "ok": True, "result": result})
        except Exception as error:
            return refusal(name, error)

    def _run(self, operation: str, params: Params, name: object) -> Any:
        if self.client is None and operation not in self._open:
            raise Unauthenticated('say who you are first: {"op":"authenticate","token":"…"}')
        own = self._own.get(operation)
        if own is not None:
            return own(params)
        request_id = str(name)[:64] if isinstance(name, str | int) else ""
        return self._operations.run(operation, params, self.client, request_id)

    # --- waiting

    def _wait(self, name: object, params: Params, client: Client) -> None:
        tell = self._tell
        if tell is None:
            raise InvalidArgument.field("op", "nothing can be waited for here; subscribe to events instead")
        if len(self._waits) >= MAX_WAITS:
            raise RateLimited(f"at most {MAX_WAITS} waits of a connection at once: subscribe to events instead", retry_after=1)
        wait = self._operations.wait(params, client)
        self._waits[wait] = _encode(name)

        def over(wait: asyncio.Task[dict[str, Any]]) -> None:
            if self._waits.pop(wait, None) is not None:  # else nobody wants to know
                tell(_outcome(name, wait))

        wait.add_done_callback(over)

    def _cancel_wait(self, params: Params) -> Any:
        only(params, "wait")
        if "wait" not in params:
            raise InvalidArgument.field("wait", "is required: the id of the request that waits")
        named = [wait for wait, name in self._waits.items() if name == _encode(params["wait"])]
        for wait in named:
            wait.cancel()
        return {"cancelled": len(named)}

    # --- events

    def _subscribe(self, params: Params) -> Any:
        only(params, "types", "subjects", "after")
        if self.client is not None:
            self.client.check("read")
        types, subjects = event_types(params.get("types", ["*"])), subjects_from(params.get("subjects", []))
        after = cursor_from(params["after"]) if isinstance(params.get("after"), str) else None
        if params.get("after") is not None and after is None:
            raise InvalidArgument.field("after", "must be an event's id")
        before = self.reader
        if before is not None:
            types, subjects = types | before.choice.types, subjects | before.choice.subjects
        place = after or (before.cursor if before is not None else None)
        self.reader = Reader(self._journal, Choice(types, subjects), place)
        self._changed()
        return {"types": sorted(types), "after": str(self.reader.cursor)}

    def _unsubscribe(self, params: Params) -> Any:
        only(params, "types")
        gone = event_types(params.get("types", ["*"]))
        left = self.reader.choice.types - gone if self.reader is not None else frozenset()
        if self.reader is not None:
            self.reader.choice = Choice(left, self.reader.choice.subjects)
        if not left:
            self.reader = None
        self._changed()
        return {"types": sorted(left)}

    @property
    def _journal(self) -> Journal:
        return self._operations.backend.journal


class Shared:
    """Events read and framed once for all subscribers that are at the same place with the same choice."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._head = journal.head
        self._found: dict[tuple[Cursor, Choice, object], tuple[Cursor, bytes]] = {}

    def read(self, reader: Reader, frame: Callable[[list[bytes]], bytes]) -> bytes | None:
        """Return what memory holds behind the reader's cursor, and move it on; None: its `page` is needed."""
        head = self._journal.head
        if head != self._head or len(self._found) >= MAX_SHARED:
            self._head = head
            self._found.clear()
        place = (reader.cursor, reader.choice, frame)
        found = self._found.get(place)
        if found is None:
            lines = reader.at_once()
            if lines is None:
                return None
            found = self._found[place] = (reader.cursor, frame(lines) if lines else b"")
        reader.cursor, written = found
        return written


# --- what requests are made of ---------------------------------------------------------------------------------------


def only(params: Params, *names: str) -> None:
    """Refuse fields by any other name."""
    unknown = [name for name in params if name not in names]
    if unknown:
        raise InvalidArgument.field(unknown[0][:64], f"no such field; there are: {', '.join(names)}")


def subjects_from(given: object) -> frozenset[str]:
    """Return the subjects of a subscription."""
    if not isinstance(given, list) or not all(isinstance(subject, str) for subject in given) or len(given) > MAX_SUBJECTS:
        raise InvalidArgument.field("subjects", f'must be a list of at most {MAX_SUBJECTS}, such as ["calls/c_1"]')
    return frozenset(given)


def refusal(name: object, error: Exception) -> bytes:
    """Return the answer to a request that failed; what is no error of the tree is a mistake of ours, and logged."""
    mend = operators(error)
    if mend is not None:  # a full disk, a locked file
        _log.warning("a request failed: %s", mend)
        error = CommandError(str(mend))
    elif not isinstance(error, CommandError):
        # The outermost loop: one request that meets a mistake of ours must not end the others' connections.
        _log.error("a request failed unexpectedly", exc_info=error)
        error = CommandError("something went wrong inside the phone; its log has the details")
    return _encode({"id": name, "ok": False, "error": problem(error)})


def _outcome(name: object, wait: asyncio.Task[dict[str, Any]]) -> bytes:
    """Return the answer to a wait that is over."""
    if wait.cancelled():
        return refusal(name, CommandError("the wait was cancelled"))
    error = wait.exception()
    if isinstance(error, Exception):
        return refusal(name, error)
    return _encode({"id": name, "ok": True, "result": wait.result()})


def event_message(event: bytes) -> bytes:
    """Return an event as it is pushed on a socket."""
    return b'{"event":' + event + b"}"


def yield_later(function: Callable[[], object]) -> None:
    """Run `function` in the loop's next turn: what a burst of packets brought is then seen in one go."""
    asyncio.get_running_loop().call_soon(function)


def _request(text: bytes | str) -> dict[str, Any]:
    # Some writers of Windows' languages begin with a mark; RFC 8259 8.1 lets us pass it over.
    text = text.removeprefix(BOM_UTF8) if isinstance(text, bytes) else text.removeprefix("\ufeff")
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidArgument(f"the line is not a JSON object: {error}") from None


def _params(request: dict[str, Any]) -> dict[str, Any]:
    params = request.pop("params", None)
    if params is None:
        return request
    if not isinstance(params, dict) or request:
        raise InvalidArgument.field("params", "must be an object, with no other fields than id and op beside it")
    return params
