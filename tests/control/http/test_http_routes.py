"""The table: every operation has its route, every route its scope, and each of them answers."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from offhook.control import access
from offhook.control.access import ALL_SCOPES
from offhook.control.http.dispatch import Router
from offhook.control.http.handlers import HANDLERS
from offhook.control.http.routes import ONLY_ELSEWHERE, ROUTES, SOCKET, Route
from offhook.control.operations import EXTRA
from offhook.control.schema import OPERATIONS
from offhook.phone.events import AuditDenied
from offhook.testing.backend import FakeBackend
from offhook.testing.http import Served

BODIES: dict[str, dict[str, Any]] = {
    "dial": {"to": "1001"}, "redirect": {"to": "2"}, "send_dtmf": {"digits": "1"}, "transfer": {"to": "3"},
    "send_info": {"body": "x"}, "set_volume": {"volume": 5}, "set_mic_volume": {"volume": 6}, "set_device": {"device": "hdmi"},
    "create_account": {"id": "a", "domain": "d", "username": "u"}, "add_account": {"domain": "d", "username": "u"},
    "set_dnd": {"enabled": True}, "set_forwarding": {"to": "4"}, "set_auto_answer": {"mode": "off"},
    "send_message": {"to": "5", "text": "hi"}, "dde": {"text": "[Status]"}, "copydata": {"code": 4},
    "create_conference": {"id": "meet", "calls": ["c_1"]}, "drain": {"enabled": False},
    "create_webhook": {"url": "http://127.0.0.1:9/"}, "decide": {"action": "ring"},
    "stream_audio": {"url": "wss://bot.example.org/"},
    "add_contact": {"name": "Ada"}, "update_contact": {"name": "Ada"}, "import_contacts": {"contacts": []},
    "create_watch": {"kind": "mwi"}, "pickup": {"to": "1002"},
    "detect": {"what": ["vad"]}, "tap": {"by": "c_2"}, "set_codecs": {"codecs": ["PCMU"]},
    "tag_call": {"tags": [["order", "4711"]]},
    "wait_call": {"condition": "call.active", "timeout": 0},
    "wait": {"conditions": [{"registered": ""}], "timeout": 0},
}  # fmt: skip
HTTP_ROUTES = [route for route in ROUTES if route.method != SOCKET]


def name_of(route: Route) -> str:
    return f"{route.method} {route.path}"


def path_of(route: Route) -> str:
    words = {"call": "c_1", "account": "a", "kind": "output", "entry": "h_1", "operation": "op_1", "item": "Status"}
    return route.path.format_map({
        **words, "conference": "conf_1", "code": "timeout", "webhook": "wh_1", "stream": "as_1", "contact": "ct_1",
        "watch": "watch_1", "playback": "pb_1", "recording": "rec_1", "by": "c_2",
    })  # fmt: skip


def test_every_operation_has_a_route_or_a_reason() -> None:
    routed = {route.operation for route in ROUTES if route.operation}
    assert routed | ONLY_ELSEWHERE.keys() == OPERATIONS.keys() | EXTRA.keys()
    assert not routed & ONLY_ELSEWHERE.keys()


def test_every_handler_exists() -> None:
    assert {route.handler for route in HTTP_ROUTES if route.handler} == HANDLERS.keys()
    assert [route.handler for route in ROUTES if route.method == SOCKET] == ["audio", "socket"]


@pytest.mark.parametrize("route", ROUTES, ids=name_of)
def test_a_row_is_consistent(route: Route) -> None:
    assert bool(route.operation) != bool(route.handler)
    assert set(route.path_fields) == set(route.path_parameters)
    assert route.summary.endswith((".", ")"))
    if route.method == "GET":
        # An address may have a key in it.
        secret = (route.operation or route.handler) in ("list_webhooks", "get_webhook", "capture_keys")
        assert route.scope in ("read", "", "public") or secret, "a GET that changes something"
    assert route.scope != "public" or route.is_safe
    if route.operation in OPERATIONS:
        assert route.scope == OPERATIONS[route.operation].scope
        fields = OPERATIONS[route.operation].__struct_fields__
        assert {field.partition(".")[0] for field in route.path_fields.values()} | route.preset.keys() <= set(fields)


def test_two_routes_for_one_request_are_refused() -> None:
    with pytest.raises(ValueError, match="two routes"):
        Router((ROUTES[0], ROUTES[0]))


def test_fixed_parts_go_before_any() -> None:
    router = Router(ROUTES)
    assert router.find("/v1/calls/x/playbacks/pause")[0].keys() == {"POST"}
    assert router.find("/v1/calls/x/playbacks/pb_1/pause")[1] == ["x", "pb_1"]
    assert router.find("/v1/calls/x")[1] == ["x"]
    for nothing in ("//", "", "/v1", "/v1/calls/", "/v1/calls//hold", "/v1//calls", "/v2/calls", "/v1/calls/x/hold/y", "*"):
        assert router.find(nothing) == ({}, [])


async def ask(http: httpx.AsyncClient, route: Route, headers: dict[str, str] | None = None) -> httpx.Response:
    body = BODIES.get(route.operation or route.handler)
    return await http.request(route.method, path_of(route), json=body, headers=headers)


ABSENT = {
    "get_call", "call_stats", "call_trace", "wait_call", "wait", "get_account", "get_operation", "get_playback",
    "get_recording", "capture_keys",
}
"""What the stand-in has nothing to show for: the tests of these routes bring their own."""


@pytest.mark.lengthy
async def test_each_route_reaches_its_operation(http: httpx.AsyncClient, backend: FakeBackend) -> None:
    for route in HTTP_ROUTES:  # at one server: to start it takes longer than all that is asked of it
        backend.commands.clear()
        backend.entries = [{"id": "h_1"}]  # which the route before may have deleted
        answer = await ask(http, route)
        if "webhook" in (route.operation or route.handler):
            continue  # the stand-in keeps none: test_http_webhooks.py asks a phone that does
        if route.operation in ABSENT or route.handler in ABSENT:
            continue
        assert answer.status_code in (200, 201, 202, 204, route.status), f"{name_of(route)}: {answer.text}"
        if route.operation in OPERATIONS:
            kind = OPERATIONS[route.operation]
            found = next((command for command in backend.commands if isinstance(command, kind)), None)
            assert found is not None, name_of(route)
            for name, value in route.preset.items():
                assert getattr(found, name) == value, name_of(route)
            for name, value in BODIES.get(route.operation, {}).items():
                assert getattr(found, name, value) in (value, _frozen(value)), name_of(route)


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


@pytest.mark.lengthy
async def test_each_route_needs_a_token_and_its_scope(
    served: Served, http: httpx.AsyncClient, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "MINUTE", 0.0)  # each attempt is told by itself, and none counts against the next
    only = {scope: served.tokens.create(f"only-{scope}", [scope]) for scope in ALL_SCOPES}
    making = served.tokens.create("maker", ["config", "read"])  # who has events posted elsewhere is told them
    others = {scope: served.tokens.create(f"no-{scope}", sorted(ALL_SCOPES - {scope})) for scope in ALL_SCOPES}

    async def asked(route: Route, token: str) -> tuple[str, int, httpx.Response]:
        answer = await ask(http, route, {"Authorization": f"Bearer {token}" if token else ""})
        return name_of(route), answer.status_code, answer

    for route in HTTP_ROUTES:
        if route.scope == "public":
            continue
        backend.said.clear()
        backend.commands.clear()
        name, status, answer = await asked(route, "")
        assert (name, status, answer.json()["code"]) == (name, 401, "unauthenticated")
        assert backend.commands == [], name
        if not route.scope:
            continue
        name, status, answer = await asked(route, others[route.scope])
        assert (name, status, answer.json()["code"]) == (name, 403, "forbidden")
        assert "insufficient_scope" in answer.headers["www-authenticate"], name
        assert backend.commands == [], name
        name, status, answer = await asked(route, making if route.operation == "create_webhook" else only[route.scope])
        assert status not in (401, 403), name
        assert sum(isinstance(event, AuditDenied) for event in backend.said) == 1, name


@pytest.mark.parametrize("path", ["/v1/dde", "/v1/copydata"])
async def test_the_older_forms_check_what_they_are_told_to_do(
    served: Served, http: httpx.AsyncClient, backend: FakeBackend, path: str
) -> None:
    reader = served.tokens.create("reader", ["read"])
    body = {"text": "[Hangup]"} if path == "/v1/dde" else {"code": 2}
    answer = await http.post(path, json=body, headers={"Authorization": f"Bearer {reader}"})
    assert [type(command) for command in backend.commands] == []
    assert answer.status_code == 403 or answer.json().get("lresult") == 0
