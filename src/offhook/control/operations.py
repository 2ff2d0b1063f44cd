"""What a client can ask for by name: every command, and the few things around them (history, help, the older interfaces)."""

from __future__ import annotations

import asyncio
import base64
import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from offhook.control.access import Client, Gate, local_client
from offhook.control.backend import Accepted, Backend, Execute
from offhook.control.conditions import MAX_SECONDS
from offhook.control.feed import STREAM_EVENTS
from offhook.control.legacy.command_line import run_command_line
from offhook.control.legacy.copydata import run_copydata
from offhook.control.legacy.dde import run_dde
from offhook.control.legacy.dde_items import dde_request
from offhook.control.legacy.steps import SpeakerMemory
from offhook.control.past_calls import WISHES, wanted_calls
from offhook.control.schema import EVENT_TYPES, OPERATIONS, command_from_json, command_help, to_json
from offhook.control.waiting import Waits
from offhook.errors import InvalidArgument, NotFound
from offhook.io.audio_link import AudioLink
from offhook.io.captures import Captured
from offhook.media.messages import AudioRate
from offhook.phone.commands import Command, GetCall, GetSnapshot, OpenAudio
from offhook.phone.events import AuditCommand
from offhook.phone.model import CallView

_REQUIRED: Any = object()

TRACE_FORMS = ("json", "text", "pcap")

MAX_HISTORY = 1000
"""Most entries one request for the history gets; older ones by `before`."""


class Operations:
    """Carries out operations for one surface. Holds nothing but what an older form has to remember."""

    def __init__(self, backend: Backend, clock: Callable[[], float] = time.monotonic) -> None:
        self.backend = backend
        self.memory = SpeakerMemory()
        self._gate = Gate(backend, clock)
        self._waits = Waits(backend)
        self._local = local_client()

    def run(self, operation: str, params: Mapping[str, Any], client: Client | None = None, request_id: str = "") -> Any:
        """Return the JSON-able result of one operation; raise CommandError if it is refused."""
        client = client or self._local
        extra = EXTRA.get(operation)
        if extra is not None:
            return extra(Request(self, params, client, request_id))
        return accepted_json(self.execute(command_from_json(operation, params), client, request_id))

    async def run_aside(self, operation: str, params: Mapping[str, Any], client: Client | None = None) -> Any:
        """Do what `run` does for one of BLOCKING: the phone's loop waits for nothing."""
        extra, request = EXTRA[operation], Request(self, params, client or self._local, "")
        if inspect.iscoroutinefunction(extra):
            return await extra(request)
        return await asyncio.get_running_loop().run_in_executor(None, extra, request)

    def audit(self, client: Client, operation: str, call: str, detail: str = "") -> None:
        """Let everybody know who has seen what is secret of a call."""
        self.backend.say(AuditCommand(client=client.name, command=operation, outcome="accepted", call=call, detail=detail))

    def execute(self, command: Command, client: Client, request_id: str = "") -> Accepted:
        """Carry out a command for a client."""
        accepted = self._gate.execute(command, client, request_id)
        if accepted.operation:
            self.backend.outcomes.begin(accepted.operation, command.operation, accepted.call)
        return accepted

    def wait(self, params: Mapping[str, Any], client: Client, longest: float = MAX_SECONDS) -> asyncio.Task[dict[str, Any]]:
        """Return the task that waits for what the fields of a WaitRequest say; cancel it when nobody wants its answer."""
        return self._waits.begin(params, client, lambda command: self.execute(command, client), longest=longest)

    def open_audio(
        self, client: Client, call: str, rate: AudioRate, *, hear: bool = True, speak: bool = True, near: bool = False
    ) -> AudioLink:
        """Open an audio link for a client; raises CommandError."""
        return self._gate.open_audio(OpenAudio(call=call, rate=rate, hear=hear, speak=speak, near=near), client)


@dataclass(frozen=True, slots=True)
class Request:
    """One operation that is not a command of the phone, and who asks for it."""

    operations: Operations
    params: Mapping[str, Any]
    client: Client
    request_id: str

    @property
    def backend(self) -> Backend:
        """The phone."""
        return self.operations.backend

    @property
    def execute(self) -> Execute:
        """Carries out commands for this client."""
        return lambda command: self.operations.execute(command, self.client, self.request_id)

    def audit(self, operation: str, about: str) -> None:
        """Let everybody know who changed what."""
        self.backend.say(AuditCommand(client=self.client.name, command=operation, outcome="accepted", detail=about))

    def only(self, *names: str) -> None:
        """Refuse fields by any other name."""
        unknown = [name for name in self.params if name not in names]
        if unknown:
            raise InvalidArgument.field(unknown[0][:64], f"no such field; there are: {', '.join(names) or 'none'}")

    def value(self, name: str, kind: type, default: Any = _REQUIRED) -> Any:
        """Return one field, which must be of that kind."""
        value = self.params.get(name, default)
        if value is _REQUIRED:
            raise InvalidArgument.field(name, "is required")
        if kind is int and isinstance(value, float) and value.is_integer():
            return int(value)  # JSON does not tell 5.0 from 5
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise InvalidArgument.field(name, f"expected {kind.__name__}, got {type(value).__name__}")
        return value


def _ping(request: Request) -> Any:
    """Answers the place in the journal after the latest event, to go on from there."""
    request.only()
    return {"as_of": str(request.backend.journal.head)}


def _about(request: Request) -> Any:
    request.only()
    return to_json(request.backend.about())


def _help(request: Request) -> Any:
    request.only()
    return {"commands": to_json(command_help()), "operations": list(EXTRA), "events": [*EVENT_TYPES, *STREAM_EVENTS]}


def _snapshot(request: Request) -> Any:
    """Everything at one moment, and the event after which it is true: subscribe with `after` from there."""
    request.only()
    found = to_json(request.execute(GetSnapshot()).value)
    return {"as_of": str(request.backend.journal.head), **found}


async def _trace(request: Request) -> Any:
    """Answers the SIP messages of a call, secrets masked: objects, a ladder as text, or a pcap file in base64.

    `media` adds the captured packets of its sound to the file, which needs the scope record; `opened` shows those that were
    encrypted in the clear, which needs the scope keys.
    """
    request.only("call", "format", "media", "opened")
    request.client.check("read")
    call = request.execute(GetCall(call=request.value("call", str, ""))).value
    form = request.value("format", str, "json")
    media, opened = (request.value(name, bool, False) for name in ("media", "opened"))
    return await traced(request.operations, request.client, call, form, media=media, opened=opened)


async def traced(
    operations: Operations, client: Client, call: CallView, form: str, *, media: bool = False, opened: bool = False
) -> dict[str, Any]:
    """Return a call's SIP messages in one of the forms, and for who may have it its sound.

    Raises InvalidArgument for another form, Forbidden, NotFound without a capture.
    """
    from offhook.control import tracing  # read by who looks at calls, which most phones are spared

    if form not in TRACE_FORMS:
        raise InvalidArgument.field("format", f"one of {', '.join(TRACE_FORMS)}")
    if opened and not media:
        raise InvalidArgument.field("opened", "goes with media")
    if media and form != "pcap":
        raise InvalidArgument.field("media", "goes with format pcap")
    found = Captured()
    if media:
        client.check("record")
    if opened:
        client.check("keys")
    if media:
        kept = captured(operations.backend, call, keys=opened)
        found = Captured(list(kept.packets), list(kept.keys))  # as it is now: more may come while it is written down
    if opened:
        operations.audit(client, "trace", call.id, "opened with its keys")
    messages = operations.backend.traced(call.sip_call_id)

    def shown() -> dict[str, Any]:
        answer: dict[str, Any] = {"call": call.id, "sip_call_id": call.sip_call_id, "messages": [], "text": "", "pcap": ""}
        if form == "json":
            answer["messages"] = tracing.as_json(messages)
        elif form == "text":
            answer["text"] = tracing.ladder(messages)
        else:
            packets = tracing.opened(found) if opened else found.packets
            answer["pcap"] = base64.b64encode(tracing.pcap(messages, packets)).decode()
        return answer

    if not media:
        return shown()
    return await asyncio.get_running_loop().run_in_executor(None, shown)  # some hundred thousand packets take a second


def captured(backend: Backend, call: CallView, *, keys: bool) -> Captured:
    """Return what was captured of a call; raises NotFound."""
    found = backend.captured(call.id)
    if found is None:
        raise NotFound(f"nothing of the sound of call {call.id} was captured (`capture` does that)")
    if keys and not found.keys:
        raise NotFound(f"no keys of call {call.id} were captured: it has none, or they were not asked for with `capture`")
    return found


def _capture_keys(request: Request) -> Any:
    """Answers the keys of a captured call whose sound is encrypted: who has them can listen."""
    from offhook.control import tracing

    request.only("call")
    request.client.check("keys")
    call = request.backend.execute(GetCall(call=request.value("call", str, ""))).value
    keys = captured(request.backend, call, keys=True).keys
    request.operations.audit(request.client, "capture_keys", call.id)
    return {"call": call.id, "keys": tracing.keys_json(keys), "text": tracing.keys_text(call.id, keys)}


def _history(request: Request) -> Any:
    request.only("limit", "before", *WISHES)
    request.client.check("read")
    return {"entries": to_json(request.backend.history(*_page(request), wanted_calls(request.params)))}


def _page(request: Request) -> tuple[int, str]:
    """Return how many of a list are wanted, and before which one."""
    limit = request.value("limit", int, 50)
    if not 1 <= limit <= MAX_HISTORY:
        raise InvalidArgument.field("limit", f"must be 1 to {MAX_HISTORY}")
    return limit, request.value("before", str, "")


def _delete_history(request: Request) -> Any:
    request.only("entry")
    request.client.check("config")
    request.backend.delete_history(request.value("entry", str))
    return {}


def _texts_page(request: Request) -> Any:
    request.only("limit", "before")
    request.client.check("read")
    return {"messages": to_json(request.backend.texts(*_page(request)))}


def _clear_messages(request: Request) -> Any:
    request.only()
    request.client.check("config")
    request.backend.clear_texts()
    return {}


def _clear_history(request: Request) -> Any:
    request.only()
    request.client.check("config")
    request.backend.clear_history()
    return {}


async def _reload(request: Request) -> Any:
    """Answers what has changed, and what takes effect only with the next start."""
    request.only()
    request.client.check("admin")
    changed = await request.backend.reload()
    request.audit("reload", ", ".join(changed["settings"]) or "nothing")
    return changed


async def _wait(request: Request) -> Any:
    """Answers the first condition that is true, and what it is true of."""
    return await request.operations.wait(request.params, request.client)


def _dde(request: Request) -> Any:
    request.only("text")
    return {"text": run_dde(request.execute, request.value("text", str))}


def _dde_request(request: Request) -> Any:
    request.only("item")
    return {"text": dde_request(request.execute, request.value("item", str))}


def _copydata(request: Request) -> Any:
    """`data` as a client in UTF-8 sends it; `wide` as MicroSIP.exe does (UTF-16LE, a command line)."""
    request.only("code", "data", "wide")
    encoding = "utf-16-le" if request.value("wide", bool, False) else "utf-8"
    payload = request.value("data", str, "").encode(encoding, errors="replace")
    result = run_copydata(request.execute, request.value("code", int), payload, request.operations.memory)
    return {"lresult": result.lresult, "text": result.text}


def _legacy(request: Request) -> Any:
    request.only("args")
    arguments = request.value("args", list)
    if not all(isinstance(argument, str) for argument in arguments):
        raise InvalidArgument.field("args", "must be a list of strings")
    return {"text": run_command_line(request.execute, arguments, request.operations.memory)}


async def _list_webhooks(request: Request) -> Any:
    request.only()
    request.client.check("config")
    return {"webhooks": (await request.backend.open_webhooks()).list()}


async def _create_webhook(request: Request) -> Any:
    """Answers the webhook with its `secret`, which no later answer shows."""
    request.only("url", "types", "secret", "timeout", "description")
    request.client.check("config")
    request.client.check("read")  # what a webhook is told its maker is told
    webhooks = await request.backend.open_webhooks()
    made = await webhooks.create(
        request.value("url", str), _texts(request, "types", ["*"]), secret=request.value("secret", str, ""),
        timeout=_seconds(request, "timeout", 10.0), description=request.value("description", str, ""),
    )  # fmt: skip
    request.audit("create_webhook", made["id"])
    return made


async def _update_webhook(request: Request) -> Any:
    request.only("webhook", "url", "types", "timeout", "description", "enabled", "skip")
    request.client.check("config")
    if "url" in request.params or "types" in request.params:
        request.client.check("read")
    changes = {name: request.value(name, str) for name in ("url", "description") if name in request.params}
    if "types" in request.params:
        changes["types"] = _texts(request, "types", [])
    if "timeout" in request.params:
        changes["timeout"] = _seconds(request, "timeout", 0.0)
    enabled = request.value("enabled", bool) if "enabled" in request.params else None
    webhook = request.value("webhook", str)
    skip = request.value("skip", bool, False)
    changed = await (await request.backend.open_webhooks()).update(webhook, skip=skip, enabled=enabled, **changes)
    request.audit("update_webhook", webhook)
    return changed


async def _rotate_webhook(request: Request) -> Any:
    request.only("webhook", "secret")
    request.client.check("config")
    webhook = request.value("webhook", str)
    secret = request.value("secret", str, "")
    changed = await (await request.backend.open_webhooks()).rotate(webhook, secret)
    request.audit("rotate_webhook", webhook)
    return changed


async def _delete_webhook(request: Request) -> Any:
    request.only("webhook")
    request.client.check("config")
    webhook = request.value("webhook", str)
    await (await request.backend.open_webhooks()).delete(webhook)
    request.audit("delete_webhook", webhook)
    return {}


async def _test_webhook(request: Request) -> Any:
    """The outcome is the event `webhook.tested` with the answered `test`."""
    request.only("webhook")
    request.client.check("config")
    webhook = request.value("webhook", str)
    return (await request.backend.open_webhooks()).test(webhook)


def _texts(request: Request, name: str, default: list[str]) -> list[str]:
    found: list[str] = request.value(name, list, default)
    if not all(isinstance(text, str) for text in found):
        raise InvalidArgument.field(name, "must be a list of strings")
    return found


def _seconds(request: Request, name: str, default: float) -> float:
    found = request.params.get(name, default)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise InvalidArgument.field(name, f"expected a number, got {type(found).__name__}")
    return float(found)


EXTRA: dict[str, Callable[[Request], Any]] = {
    "ping": _ping,
    "about": _about,
    "help": _help,
    "snapshot": _snapshot,
    "trace": _trace,
    "capture_keys": _capture_keys,
    "history": _history,
    "delete_history": _delete_history,
    "clear_history": _clear_history,
    "messages": _texts_page,
    "clear_messages": _clear_messages,
    "reload": _reload,
    "wait": _wait,
    "list_webhooks": _list_webhooks,
    "create_webhook": _create_webhook,
    "update_webhook": _update_webhook,
    "rotate_webhook": _rotate_webhook,
    "delete_webhook": _delete_webhook,
    "test_webhook": _test_webhook,
    "dde": _dde,
    "dde_request": _dde_request,
    "copydata": _copydata,
    "legacy": _legacy,
}
"""Operations that are not commands of the phone."""

BLOCKING = frozenset({
    "trace", "history", "delete_history", "clear_history", "messages", "clear_messages", "reload", "wait",
    "list_webhooks", "create_webhook", "update_webhook", "rotate_webhook", "delete_webhook", "test_webhook",
})  # fmt: skip
"""Those that wait, most for the disk: by `run_aside`. What is no coroutine function touches nothing of the phone's."""

assert not EXTRA.keys() & OPERATIONS.keys()


def accepted_json(accepted: Accepted) -> dict[str, Any]:
    """Return the answer to a command as every socket sends it."""
    return {"call": accepted.call, "operation": accepted.operation, "value": to_json(accepted.value)}
