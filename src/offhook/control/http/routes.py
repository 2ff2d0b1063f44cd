"""THE table of HTTP routes: which request means which operation. Router, OpenAPI, documents and tests are derived from it.

A route either carries out an operation (a command of the phone, or one of `control.operations.EXTRA`) or is served by a
handler of its own. Nothing here needs a web library, so that documents can be made without one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from offhook.control.schema import OPERATIONS, command_help
from offhook.phone.commands import Scope

RouteScope: TypeAlias = Scope | Literal["", "public"]
""""": any good token is enough here (what it asks for is checked one by one); "public": no token at all."""

Kind: TypeAlias = Literal["text", "whole", "number", "switch", "list"]
"""How a parameter is written: text, a whole number, a number of seconds, true or false, a list (in a query: a,b,c)."""

SOCKET: Final = "WEBSOCKET"
"""The `method` of a route that is a WebSocket."""

PREFIX: Final = "/v1"

CALL_WORDS: Final = ("active", "ringing", "last", "current")
"""What may stand for a call's id in a path; `current` is the call STATUS speaks of."""

ONLY_ELSEWHERE: Final[Mapping[str, str]] = {
    "toggle_hold": "toggles live only in the legacy tables: use hold and resume",
    "toggle_mute": "toggles live only in the legacy tables: use mute and unmute",
    "open_audio": "the WebSocket /v1/calls/{call}/audio opens its own",
    "close_audio": "the end of that WebSocket closes it",
    "get_snapshot": "snapshot is the same, with the event after which it is true",
    "about": "GET /v1/system has it, and what the phone can do",
    "trace": "GET /v1/calls/{call}/trace has it, each form as its own media type",
    "ping": "for sockets: a request of its own is a ping here",
    "help": "the sockets' form of GET /v1/system",
    "legacy": "command lines belong to the command line",
}
"""Operations without a route, and why."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One field of a query or body that is not a command's own. `default` is None where there is none."""

    name: str
    kind: Kind
    summary: str
    required: bool = False
    default: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One row.

    `path_fields` says which field each part of the path fills ("account.id" is inside the object `account`), `preset` what
    the route itself fills in. The body gives a command's other fields, or, with `body_field`, is the value of that one field.
    `query` and `body` describe fields that no command does. `status` is the answer when all is done at once (what needs the
    far end answers 202, except that a created call is 201); `location` the path of what was created, a format string over the
    answer. `key` wraps a list.
    """

    method: str
    path: str
    scope: RouteScope
    summary: str
    operation: str = ""
    handler: str = ""
    path_fields: Mapping[str, str] = field(default_factory=dict)
    preset: Mapping[str, Any] = field(default_factory=dict)
    query: tuple[Parameter, ...] = ()
    body: tuple[Parameter, ...] = ()
    body_field: str = ""
    status: int = 200
    location: str = ""
    key: str = ""

    @property
    def is_safe(self) -> bool:
        """Whether it changes nothing (RFC 9110 9.2.1)."""
        return self.method in ("GET", SOCKET)

    @property
    def path_parameters(self) -> tuple[str, ...]:
        """The names in braces, in their order."""
        return tuple(_BRACES.findall(self.path))

    @property
    def command_fields(self) -> tuple[str, ...]:
        """The fields of the command that the body (of a DELETE: the query) may give."""
        if self.operation not in OPERATIONS or self.body_field:
            return ()
        taken = {name.partition(".")[0] for name in self.path_fields.values()} | self.preset.keys()
        return tuple(name for name in _FIELDS[self.operation] if name not in taken)


_BRACES = re.compile(r"\{(\w+)\}")
_FIELDS = {entry.operation: tuple(each.name for each in entry.fields) for entry in command_help()}
_SUMMARIES = {entry.operation: entry.summary for entry in command_help()}


def _command(method: str, path: str, operation: str, summary: str = "", **more: Any) -> Route:
    """A row for a command of the phone: scope and summary are its own, parts of the path fill the fields of their names."""
    names = _BRACES.findall(path)
    fields = more.pop("path_fields", {name: name for name in names})
    return Route(
        method=method, path=PREFIX + path, operation=operation, scope=OPERATIONS[operation].scope,
        summary=summary or _SUMMARIES[operation], path_fields=fields, **more,
    )  # fmt: skip


def _extra(method: str, path: str, operation: str, scope: RouteScope, summary: str, **more: Any) -> Route:
    """A row for an operation that is not a command of the phone."""
    fields = {name: name for name in _BRACES.findall(path)}
    return Route(
        method=method, path=PREFIX + path, operation=operation, scope=scope, summary=summary, path_fields=fields, **more
    )


def _own(method: str, path: str, handler: str, scope: RouteScope, summary: str, **more: Any) -> Route:
    """A row for a handler of its own."""
    fields = {name: name for name in _BRACES.findall(path)}
    return Route(method=method, path=PREFIX + path, handler=handler, scope=scope, summary=summary, path_fields=fields, **more)


def _call(verb: str, operation: str, summary: str = "", **more: Any) -> Route:
    return _command("POST", f"/calls/{{call}}/{verb}", operation, summary, **more)


_AFTER = Parameter("after", "text", "only events after the one with this id; without it from now on")
_TYPES = Parameter("types", "list", "only these types: call.ended, call.*, *", default=["*"])
_SUBJECTS = Parameter("subjects", "list", "only events about these resources: calls/c_1", default=[])

_WANTED_CALLS: Final = (
    Parameter("direction", "text", "only incoming or outgoing ones", default=""),
    Parameter("missed", "switch", "only those that were missed", default=False),
    Parameter("account", "text", "only those of this account, by its id", default=""),
    Parameter("remote", "text", "only those with this in the far end's address or name, whatever the case", default=""),
    Parameter("tag", "text", "only those with this tag: its name, or name=value", default=""),
    Parameter("since", "text", "only those that began at this time or later: RFC 3339", default=""),
    Parameter("until", "text", "only those that began before this time: RFC 3339", default=""),
)

_WEBHOOK: Final = (
    Parameter("types", "list", "which events: call.ended, call.*, *"),
    Parameter("timeout", "number", "seconds for the receiver to answer, 0.1-60"),
    Parameter("description", "text", "what it is for"),
)

ROUTES: tuple[Route, ...] = (
    # --- calls
    _command("GET", "/calls", "list_calls", key="calls"),
    _command("POST", "/calls", "dial", status=201, location="/v1/calls/{call}"),
    _command("DELETE", "/calls", "hangup_all"),
    _command("GET", "/calls/{call}", "get_call"),
    _command("DELETE", "/calls/{call}", "hangup", status=204),
    _call("answer", "answer"),
    _call("reject", "reject"),
    _call("redirect", "redirect"),
    _call("decide", "decide"),
    _call("hangup", "hangup"),
    _call("hold", "hold"),
    _call("resume", "resume"),
    _call("codecs", "set_codecs"),
    _call("tags", "tag_call"),
    _call("meter", "meter_call"),
    _call("mute", "mute", "Send silence in place of the microphone in this call."),
    _call("unmute", "unmute", "Undo mute in this call."),
    _call("dtmf", "send_dtmf"),
    _call("transfer", "transfer"),
    _call("transfer_attended", "transfer_attended"),
    _call("accept_transfer", "accept_transfer"),
    _call("reject_transfer", "reject_transfer"),
    _call("info", "send_info"),
    _call("loopback", "loopback"),
    _own("POST", "/calls/{call}/wait", "wait_call", "read", "Wait for a state of the call, or an event about it.", body=(
        Parameter("condition", "text", "a state such as active, or an event such as dtmf.received", required=True),
        Parameter("timeout", "number", "seconds, 0-60; then the answer is the problem `timeout`", default=30.0),
    )),
    _own("GET", "/calls/{call}/trace", "call_trace", "read", "The call's SIP messages: objects, text or a pcap file.", query=(
        Parameter("format", "text", "json, text or pcap", default="json"),
        Parameter("media", "switch", "with the captured packets of its sound (pcap); needs the scope record", default=False),
        Parameter("opened", "switch", "what was encrypted in the clear; needs the scope keys", default=False),
    )),
    _call("capture", "capture"),
    _command("DELETE", "/calls/{call}/capture", "stop_capture", status=204),
    _extra("GET", "/calls/{call}/capture/keys", "capture_keys", "keys", "The keys of a captured call."),
    _command("GET", "/calls/{call}/stats", "call_stats"),
    _own(SOCKET, "/calls/{call}/audio", "audio", "media", "The call's sound both ways: PCM, or Twilio's messages.", query=(
        Parameter("rate", "whole", "samples a second: 8000, 16000, 24000 or 48000", default=16000),
        Parameter("hear", "switch", "hear the far end", default=True),
        Parameter("speak", "switch", "speak in the call", default=True),
        Parameter("buffered_every", "whole", "milliseconds between two words about what waits to be played", default=500),
    )),
    # --- the call's sound, carried to programs that want to be called
    _command("GET", "/streams", "list_audio_streams", key="streams"),
    _call("streams", "stream_audio"),
    _command("DELETE", "/streams/{stream}", "stop_audio_stream", status=204),
    # --- playing and recording
    _command("GET", "/playbacks", "list_playbacks", "What plays into all calls.", key="playbacks", preset={"call": ""}),
    _command("GET", "/calls/{call}/playbacks", "list_playbacks", "What plays into the call, and what waits.", key="playbacks"),
    _call("playbacks", "play"),
    _command("DELETE", "/calls/{call}/playbacks", "stop_play", "Stop all that plays into the call.", status=204,
             preset={"playback": ""}),
    _call("playbacks/pause", "pause_play", "Pause all that plays into the call.", preset={"paused": True, "playback": ""}),
    _call("playbacks/resume", "pause_play", "Go on with all of it.", preset={"paused": False, "playback": ""}),
    _own("GET", "/calls/{call}/playbacks/{playback}", "get_playback", "read", "One playback."),
    _command("DELETE", "/calls/{call}/playbacks/{playback}", "stop_play", "Stop one playback.", status=204),
    _call("playbacks/{playback}/pause", "pause_play", "Pause one playback.", preset={"paused": True}),
    _call("playbacks/{playback}/resume", "pause_play", "Go on with one playback.", preset={"paused": False}),
    _command("GET", "/recordings", "list_recordings", "The recordings of all calls.", key="recordings", preset={"call": ""}),
    _command("GET", "/calls/{call}/recordings", "list_recordings", "The recordings of a call.", key="recordings"),
    _call("recordings", "record", status=201, location="/v1/calls/{call}/recordings/{value[recording]}"),
    _own("GET", "/calls/{call}/recordings/{recording}", "get_recording", "read", "One recording."),
    _command("DELETE", "/calls/{call}/recordings/{recording}", "stop_record"),
    _call("recordings/{recording}/pause", "pause_record", "Pause a recording.", preset={"paused": True}),
    _call("recordings/{recording}/resume", "pause_record", "Go on recording.", preset={"paused": False}),
    # --- listening
    _call("detect", "detect"),
    _command("GET", "/taps", "list_taps", key="taps"),
    _call("taps", "tap"),
    _command("DELETE", "/taps/{by}", "stop_tap", status=204),
    # --- conferences
    _command("GET", "/conferences", "list_conferences", key="conferences"),
    _command("POST", "/conferences", "create_conference", status=201, location="/v1/conferences/{value[id]}"),
    _own("GET", "/conferences/{conference}", "get_conference", "read", "One conference and its members."),
    _command("DELETE", "/conferences/{conference}", "end_conference", status=204),
    _command("PUT", "/conferences/{conference}/members/{call}", "join_conference"),
    _command("DELETE", "/calls/{call}/conference", "leave_conference", status=204),
    _call("conference/mute", "mute_member"),
    _call("conference/unmute", "unmute_member"),
    # --- watching
    _command("GET", "/watches", "list_watches", key="watches"),
    _command("POST", "/watches", "create_watch", status=201, location="/v1/watches/{value[id]}"),
    _own("GET", "/watches/{watch}", "get_watch", "read", "One watch, and what is known by it."),
    _command("DELETE", "/watches/{watch}", "delete_watch", status=204),
    _command("POST", "/pickup", "pickup"),
    # --- the phone
    _command("GET", "/status", "status"),
    _extra("GET", "/snapshot", "snapshot", "read", "Everything at one moment, and the event after which it is true."),
    _own("GET", "/system", "system", "read", "Version, run, and what this phone can do."),
    _command("POST", "/system/drain", "drain"),
    _command("POST", "/system/shutdown", "quit"),
    _extra("POST", "/system/reload", "reload", "admin", "Read the configuration file again, and do what it says now."),
    # --- sound
    _command("GET", "/audio", "get_audio"),
    _command("PUT", "/audio/volume", "set_volume"),
    _command("PUT", "/audio/mic_volume", "set_mic_volume"),
    _command("POST", "/audio/volume_up", "volume_up"),
    _command("POST", "/audio/volume_down", "volume_down"),
    _command("POST", "/audio/mute", "mute", "Silence the microphone in all calls, present and future.", preset={"call": ""}),
    _command("POST", "/audio/unmute", "unmute", "Undo mute in all calls.", preset={"call": ""}),
    _command("PATCH", "/audio/voice", "set_voice"),
    _command("POST", "/audio/meter", "meter_audio"),
    _command("GET", "/devices", "list_devices", key="devices"),
    _command("PUT", "/devices/{kind}", "set_device"),
    _command("POST", "/devices/test", "test_device"),
    # --- accounts and settings
    _command("GET", "/accounts", "list_accounts", key="accounts"),
    _own("POST", "/accounts", "create_account", "config", "Add an account; registers if it says so.", status=201,
         body_field="account", location="/v1/accounts/{account}"),
    _own("GET", "/accounts/{account}", "get_account", "read", "One account, without its secrets."),
    _command("PUT", "/accounts/{account}", "add_account", "Add an account, or replace it whole (with its password).",
             path_fields={"account": "account.id"}, body_field="account"),
    _command("PATCH", "/accounts/{account}", "update_account", body_field="changes"),
    _command("DELETE", "/accounts/{account}", "remove_account", status=204),
    _command("POST", "/accounts/{account}/register", "register_account"),
    _command("POST", "/accounts/{account}/unregister", "unregister_account"),
    _command("POST", "/accounts/{account}/select", "select_account"),
    _own("GET", "/settings", "settings", "read", "Do not disturb, forwarding and automatic answer."),
    _command("PUT", "/settings/dnd", "set_dnd", status=204),
    _command("PUT", "/settings/forwarding", "set_forwarding", status=204),
    _command("PUT", "/settings/auto_answer", "set_auto_answer", status=204),
    _command("POST", "/messages", "send_message"),
    _extra("GET", "/messages", "messages", "read", "Texts that came and went, newest first.", query=(
        Parameter("limit", "whole", "at most so many, 1-1000", default=50),
        Parameter("before", "text", "only those older than this text", default=""),
    )),
    _extra("DELETE", "/messages", "clear_messages", "config", "Forget all texts.", status=204),
    # --- contacts
    _command("GET", "/contacts", "list_contacts", key="contacts", query=(
        Parameter("search", "text", "words that must all occur, in whichever field", default=""),
        Parameter("limit", "whole", "at most so many, 1-1000", default=100),
        Parameter("after", "text", "only those behind this contact", default=""),
    )),
    _command("POST", "/contacts", "add_contact", status=201, body_field="details", location="/v1/contacts/{value[id]}"),
    _command("POST", "/contacts/import", "import_contacts"),
    _command("GET", "/contacts/{contact}", "get_contact"),
    _command("PUT", "/contacts/{contact}", "update_contact", body_field="details"),
    _command("DELETE", "/contacts/{contact}", "remove_contact", status=204),
    # --- history
    _extra("GET", "/history", "history", "read", "Past calls, newest first.", query=(
        Parameter("limit", "whole", "at most so many, 1-1000", default=50),
        Parameter("before", "text", "only those older than this entry", default=""), *_WANTED_CALLS,
    )),
    _own("GET", "/history.csv", "history_csv", "read", "Past calls for a spreadsheet, newest first.", query=(
        Parameter("limit", "whole", "at most so many, 1-100000", default=10000), *_WANTED_CALLS,
    )),
    _own("GET", "/history/{entry}", "get_history", "read", "One past call."),
    _extra("DELETE", "/history", "clear_history", "config", "Forget all past calls.", status=204),
    _extra("DELETE", "/history/{entry}", "delete_history", "config", "Forget one past call.", status=204),
    # --- webhooks
    _extra("GET", "/webhooks", "list_webhooks", "config", "All webhooks and how they do."),
    _extra("POST", "/webhooks", "create_webhook", "config", "Have events posted to an address; needs read, too.", body=(
        Parameter("url", "text", "where to; https, or http on this machine", required=True),
        *_WEBHOOK, Parameter("secret", "text", "whsec_…; empty: a new one, shown in this answer only", default=""),
    ), status=201, location="/v1/webhooks/{id}"),
    _own("GET", "/webhooks/{webhook}", "get_webhook", "config", "One webhook and how it does."),
    _extra("PUT", "/webhooks/{webhook}", "update_webhook", "config", "Change a webhook, or switch it on or off.", body=(
        Parameter("url", "text", "where to"), *_WEBHOOK,
        Parameter("enabled", "switch", "false: deliver nothing for now; true: go on where it was"),
        Parameter("skip", "switch", "leave out what has not been delivered yet"),
    )),
    _extra("DELETE", "/webhooks/{webhook}", "delete_webhook", "config", "Forget a webhook.", status=204),
    _extra("POST", "/webhooks/{webhook}/rotate", "rotate_webhook", "config", "Give a webhook another secret.", body=(
        Parameter("secret", "text", "whsec_…; empty: a new one, shown in this answer only", default=""),
    )),
    _extra("POST", "/webhooks/{webhook}/test", "test_webhook", "config", "Send a test event.", status=202),
    # --- events and operations
    _own("GET", "/events", "events", "read", "Events: a stream (Accept: text/event-stream), or a page or long poll.", query=(
        _AFTER, _TYPES, _SUBJECTS,
        Parameter("access_token", "text", "the token, for a browser's EventSource, which can send no header (RFC 6750 2.3)"),
        Parameter("wait", "number", "seconds to wait for the first event of a page, 0-60", default=0.0),
        Parameter("limit", "whole", "at most so many events on a page, 1-500", default=500),
    )),
    _own(SOCKET, "/socket", "socket", "", "Requests, answers and events as JSON messages, as on the local socket."),
    _extra("POST", "/wait", "wait", "read", "Wait for a state, an account, an operation or an event: the first of several."),
    _own("GET", "/operations/{operation}", "get_operation", "read", "What became of something that needed the far end."),
    # --- older interfaces
    _extra("POST", "/dde", "dde", "", "Carry out a DDE string such as [Dial(1001)].", body=(
        Parameter("text", "text", "the string a DDE client would execute", required=True),
    )),
    _extra("GET", "/dde/{item}", "dde_request", "", "The answer to a DDE request such as Status or Volume."),
    _extra("POST", "/copydata", "copydata", "", "Carry out a WM_COPYDATA command and give its LRESULT.", body=(
        Parameter("code", "whole", "dwData", required=True),
        Parameter("data", "text", "lpData", default=""),
        Parameter("wide", "switch", "`data` is what MicroSIP.exe sends: UTF-16, a command line", default=False),
    )),
    Route(method="GET", path="/metrics", handler="metrics", scope="read", summary="Prometheus metrics, text format 0.0.4."),
    # --- the descriptions
    _own("GET", "/openapi.json", "openapi_json", "public", "All of this as OpenAPI 3.1."),
    _own("GET", "/asyncapi.json", "asyncapi_json", "public", "The sockets and the event stream as AsyncAPI 3.0."),
    _own("GET", "/schema.json", "schema_json", "public", "Commands, views, events and problems as JSON Schema 2020-12."),
    _own("GET", "/docs", "docs", "public", "The reference as a page to read."),
    _own("GET", "/docs.css", "docs_css", "public", "How the page looks."),
    _own("GET", "/docs.js", "docs_js", "public", "The page's search box."),
    _own("GET", "/problems/{code}", "problem_page", "public", "What a problem's `type` leads to.", status=303),
    Route(method="GET", path="/", handler="front", scope="public", summary="Leads a person to the reference.", status=303),
)  # fmt: skip
"""Every route, in the order of the documentation."""
