"""The routes that are more than one operation: a small function each, by the name the table gives."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, TypeVar, get_args

from offhook.control.conditions import CALL_CONDITIONS, WaitedState
from offhook.control.feed import STREAM_EVENTS
from offhook.control.http.answers import Answer
from offhook.control.http.documents import DOCUMENTS
from offhook.control.http.events import events
from offhook.control.http.limits import MAX_WAIT
from offhook.control.http.metrics import MEDIA_TYPE
from offhook.control.http.requests import Request
from offhook.control.operations import EXTRA, accepted_json, traced
from offhook.control.past_calls import wanted_calls
from offhook.control.schema import EVENT_TYPES, OPERATIONS, command_from_json, to_json
from offhook.control.spreadsheet import as_csv
from offhook.errors import InvalidArgument, InvalidState, NotFound
from offhook.phone.commands import (
    Accepted,
    Command,
    GetCall,
    GetSnapshot,
    ListAccounts,
    ListConferences,
    ListPlaybacks,
    ListRecordings,
    ListWatches,
)
from offhook.phone.model import CallView

MAX_EXPORTED: Final = 100_000
"""Calls in one file: some twenty megabytes."""

T = TypeVar("T")

Handler: TypeAlias = Callable[[Request], Awaitable[Answer | None]]
"""Returns the answer; None: it has been sent."""


def _execute(request: Request, command: Command) -> Accepted:
    return request.surface.operations.execute(command, request.client, request.request_id)


async def system(request: Request) -> Answer:
    """Version, run and abilities."""
    facts = to_json(request.surface.backend.about())
    return Answer(200, {
        **facts, "epoch": request.surface.journal.head.epoch,
        "capabilities": {
            "operations": [*OPERATIONS, *EXTRA], "events": [*EVENT_TYPES, *STREAM_EVENTS], "codecs": facts.get("codecs", []),
        },
    })  # fmt: skip


async def settings(request: Request) -> Answer:
    """What can be set under /settings."""
    found = _execute(request, GetSnapshot()).value
    return Answer(200, {"dnd": found.dnd, "forwarding": found.forwarding, "auto_answer": found.auto_answer})


async def get_account(request: Request) -> Answer:
    """One account."""
    return _one(request, "account", ListAccounts())


async def get_conference(request: Request) -> Answer:
    """One conference."""
    return _one(request, "conference", ListConferences())


async def get_watch(request: Request) -> Answer:
    """One watch."""
    return _one(request, "watch", ListWatches())


def _one(request: Request, kind: str, command: Command) -> Answer:
    """Answer the view that the path names, of those in a list."""
    name = request.path_value(kind)
    for view in _execute(request, command).value:
        if view.id == name:
            return Answer(200, to_json(view))
    raise NotFound(f"there is no {kind} {name[:64]!r}")


async def get_webhook(request: Request) -> Answer:
    """One webhook, without its secret."""
    name = request.path_value("webhook")
    for view in (await request.surface.backend.open_webhooks()).list():
        if view["id"] == name:
            return Answer(200, view)
    raise NotFound(f"there is no webhook {name[:64]!r}")


async def get_playback(request: Request) -> Answer:
    """One playback."""
    name = request.path_value("playback")
    for view in _execute(request, ListPlaybacks(call=_call_named(request))).value:
        if view.id == name:
            return Answer(200, to_json(view))
    raise NotFound(f"there is no playback {name[:64]!r} in that call")


async def get_recording(request: Request) -> Answer:
    """One recording, which may be over."""
    name = request.path_value("recording")
    for view in _execute(request, ListRecordings(call=_call_named(request))).value:
        if view.id == name:
            return Answer(200, to_json(view))
    raise NotFound(f"there is no recording {name[:64]!r} of that call")


def _call_named(request: Request) -> str:
    """Return the call's id. An empty one would mean all calls."""
    return str(_view(request).id)


async def get_history(request: Request) -> Answer:
    """One past call."""
    entry = request.path_value("entry")
    return Answer(200, to_json(await _aside(lambda: request.surface.backend.history_entry(entry))))


async def history_csv(request: Request) -> Answer:
    """Past calls, for a spreadsheet."""
    query = request.query()
    limit, wanted = query["limit"], wanted_calls(query)
    if not 1 <= limit <= MAX_EXPORTED:
        raise InvalidArgument.field("limit", f"must be 1 to {MAX_EXPORTED}")
    entries = await _aside(lambda: request.surface.backend.history(limit, "", wanted))
    headers = {"content-disposition": 'attachment; filename="calls.csv"'}
    return Answer(200, (await _aside(lambda: as_csv(entries))).encode(), headers, media_type="text/csv; charset=utf-8")


async def _aside(work: Callable[[], T]) -> T:
    """Do what waits for the disk, or takes long, on another thread."""
    return await asyncio.get_running_loop().run_in_executor(None, work)


async def create_account(request: Request) -> Answer:
    """Add one; what exists is replaced by PUT only."""
    account = request.fields()
    name = account.get("id")
    if any(view.id == name for view in request.surface.backend.execute(ListAccounts()).value):
        raise InvalidState(f"there is an account {name!r} already: PUT replaces it")
    command = command_from_json("add_account", {"account": account})
    return Answer(201, accepted_json(_execute(request, command)), {"location": f"/v1/accounts/{name}"})


async def call_trace(request: Request) -> Answer:
    """The SIP messages of a call."""
    query = request.query()
    form, media, opened = str(query["format"]), bool(query["media"]), bool(query["opened"])
    call = _view(request)
    found = await traced(request.surface.operations, request.client, call, form, media=media, opened=opened)
    if form == "text":
        return Answer(200, found["text"].encode(), media_type="text/plain; charset=utf-8")
    if form == "pcap":
        name = {"content-disposition": 'attachment; filename="call.pcap"'}
        return Answer(200, base64.b64decode(found["pcap"]), name, media_type="application/vnd.tcpdump.pcap")
    return Answer(200, found)


async def metrics(request: Request) -> Answer:
    """What the phone does, for Prometheus."""
    return Answer(200, request.surface.metrics.text().encode(), media_type=MEDIA_TYPE)


async def get_operation(request: Request) -> Answer:
    """What became of it."""
    return Answer(200, to_json(request.surface.backend.outcomes.get(request.path_value("operation"))))


async def wait_call(request: Request) -> Answer:
    """Wait for a state of a call, or an event about it."""
    fields = request.own_fields()
    condition, seconds = fields["condition"], fields["timeout"]
    if condition not in CALL_CONDITIONS:
        states = ", ".join(get_args(WaitedState))
        raise InvalidArgument.field("condition", f"one of {states}, or the type of an event about calls")
    if not 0 <= seconds <= MAX_WAIT:
        raise InvalidArgument.field("timeout", f"0-{MAX_WAIT:g} seconds")
    kind = "event" if condition in EVENT_TYPES else "state"
    wanted = {kind: condition, "call": _call_named(request)}
    found = await request.wait({"conditions": [wanted], "timeout": seconds})
    return Answer(200, found["call"])


def _view(request: Request) -> CallView:
    word = request.path_value("call")
    found = _execute(request, GetCall(call="" if word == "current" else word)).value
    assert isinstance(found, CallView)
    return found


HANDLERS: Final[dict[str, Handler]] = {
    "system": system,
    "settings": settings,
    "get_account": get_account,
    "create_account": create_account,
    "get_conference": get_conference,
    "get_playback": get_playback,
    "get_recording": get_recording,
    "get_watch": get_watch,
    "get_webhook": get_webhook,
    "get_history": get_history,
    "history_csv": history_csv,
    "call_trace": call_trace,
    "metrics": metrics,
    "wait_call": wait_call,
    "get_operation": get_operation,
    "events": events,
    **DOCUMENTS,
}
