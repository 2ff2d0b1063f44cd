"""What a request becomes, and what its answer says: created, under way, done, waited for, asked twice."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from offhook.control import outcomes
from offhook.control.backend import Cause
from offhook.control.http import idempotency, limits
from offhook.control.http.dispatch import wait_from
from offhook.control.operations import Operations
from offhook.errors import LineBusy, RateLimited
from offhook.phone import commands as c
from offhook.phone.commands import Command
from offhook.phone.events import AuditCommand, CallActive, CallEnded, DtmfReceived, Event, OperationFailed, OperationSucceeded
from offhook.phone.model import AccountView, CallState, CallView, Party, StatusView, wall
from offhook.phone.records import ALL_CALLS, WantedCalls
from offhook.testing.backend import FakeBackend
from offhook.testing.http import Served


def call(state: CallState = CallState.INCOMING, name: str = "c_7") -> CallView:
    here, there = Party("sip:1001@pbx"), Party("sip:1002@pbx", "Ada")
    return CallView(name, "office", "incoming", state, here, there, "x@y", wall(0.0))


async def test_dial_creates_a_call(http: httpx.AsyncClient, backend: FakeBackend) -> None:
    answer = await http.post("/v1/calls", json={"to": "1001", "headers": {"X-Queue": "2"}}, headers={"X-Request-Id": "r1"})
    assert answer.status_code == 201
    assert answer.json() == {"call": "c_1", "operation": "op_1", "value": None}
    assert answer.headers["location"] == "/v1/calls/c_1"
    assert answer.headers["link"] == '</v1/operations/op_1>; rel="monitor"'
    assert (answer.headers["x-request-id"], answer.headers["cache-control"]) == ("r1", "no-store")
    assert backend.commands == [c.Dial(to="1001", headers=(("X-Queue", "2"),))]
    assert backend.causes == [Cause(client="all", request_id="r1")]
    assert [event.client for event in backend.said if isinstance(event, AuditCommand)] == ["all"]


H2C = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"


@pytest.mark.parametrize("offer", [H2C, "Connection: upgrade\r\nUpgrade: TLS/1.0\r\n", ""])
async def test_a_client_that_offers_another_protocol_is_heard(served: Served, backend: FakeBackend, offer: str) -> None:
    """Java's HttpClient offers HTTP/2 with each request, its body behind."""
    head = f"Host: localhost\r\nAuthorization: Bearer {served.token}\r\n{offer}"
    dial = f"POST /v1/calls HTTP/1.1\r\n{head}Content-Type: application/json\r\n"
    whole = f'{dial}Content-Length: 13\r\n\r\n{{"to":"1001"}}'
    in_chunks = f'{dial}Transfer-Encoding: chunked\r\n\r\n6\r\n{{"to":\r\n7\r\n"1002"}}\r\n0\r\n\r\n'
    last = f"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {served.token}\r\nConnection: close\r\n\r\n"
    everything = (f"GET /v1/status HTTP/1.1\r\n{head}\r\n" * 3 + whole + in_chunks + last).encode()
    found = await served.raw(everything)
    assert (found.count(b"HTTP/1.1 200 OK"), found.count(b"HTTP/1.1 201 Created"), found.count(b"HTTP/1.1 ")) == (4, 2, 6)
    dialled = [c.Dial(to="1001"), c.Dial(to="1002")]
    assert [each for each in backend.commands if isinstance(each, c.Dial)] == dialled
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    for byte in everything:
        writer.write(bytes([byte]))
        await writer.drain()
    assert (await reader.read()).count(b"HTTP/1.1 20") == 6
    assert [each for each in backend.commands if isinstance(each, c.Dial)] == dialled * 2
    writer.close()


async def test_many_offers_of_another_protocol_at_once(served: Served) -> None:
    one = f"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {served.token}\r\n"
    data = f"{one}{H2C}\r\n" * 300 + f"{one}Connection: close\r\n\r\n"
    assert (await served.raw(data.encode())).count(b"HTTP/1.1 200 OK") == 301


async def test_a_body_may_begin_with_a_byte_order_mark(http: httpx.AsyncClient, backend: FakeBackend) -> None:
    sent = await http.post("/v1/calls", content=b'\xef\xbb\xbf{"to": "1001"}', headers={"Content-Type": "application/json"})
    assert (sent.status_code, backend.commands) == (201, [c.Dial(to="1001")])


async def test_what_needs_the_far_end_is_accepted(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/calls/c_1/hold")
    assert (answer.status_code, answer.headers["location"]) == (202, "/v1/operations/op_2")
    found = (await http.get("/v1/operations/op_2")).json()
    assert (found["id"], found["command"], found["state"], found["call"]) == ("op_2", "hold", "pending", "c_1")
    assert (await http.get("/v1/operations/op_9")).status_code == 404


async def test_an_operation_knows_its_end(http: httpx.AsyncClient, backend: FakeBackend) -> None:
    await http.post("/v1/calls/c_1/hold")
    backend.emit(OperationFailed(operation="op_2", command="hold", call="c_1", sip_status=488, reason="no"))
    backend.emit(OperationSucceeded(operation="op_5", command="play", call="c_1"))
    failed = (await http.get("/v1/operations/op_2")).json()
    assert (failed["state"], failed["sip_status"], failed["reason"]) == ("failed", 488, "no")
    assert failed["began"]
    assert failed["ended"]
    assert (await http.get("/v1/operations/op_5")).json()["state"] == "succeeded"


async def test_operations_are_bounded(http: httpx.AsyncClient, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "MAX_OPERATIONS", 3)
    for number in range(5):
        backend.emit(OperationSucceeded(operation=f"op_{number}", command="hold"))
    assert [(await http.get(f"/v1/operations/op_{number}")).status_code for number in range(5)] == [404, 404, 200, 200, 200]


@pytest.mark.lengthy
@pytest.mark.parametrize(("state", "status"), [("succeeded", 200), ("failed", 200), ("pending", 202)])
async def test_prefer_wait(http: httpx.AsyncClient, backend: FakeBackend, state: str, status: int) -> None:
    ends: dict[str, Any] = {
        "succeeded": OperationSucceeded(operation="op_2", command="hold"),
        "failed": OperationFailed(operation="op_2", command="hold", sip_status=486, reason="Busy Here"),
    }

    def later(command: Command) -> None:
        if state in ends:
            asyncio.get_running_loop().call_later(0.01, backend.emit, ends[state])

    backend.on_execute = later
    wait = 10 if state in ends else 1
    answer = await http.post("/v1/calls/c_1/hold", headers={"Prefer": f"wait={wait}"})
    assert (answer.status_code, answer.headers["preference-applied"]) == (status, f"wait={wait}")
    assert answer.json()["outcome"]["state"] == state
    assert answer.json()["operation"] == "op_2"


async def test_prefer_wait_leaves_a_created_call_created(http: httpx.AsyncClient, backend: FakeBackend) -> None:
    busy = OperationFailed(operation="op_1", command="dial", call="c_1", sip_status=486, reason="Busy Here")
    backend.on_execute = lambda command: void(asyncio.get_running_loop().call_soon(backend.emit, busy))
    answer = await http.post("/v1/calls", json={"to": "1"}, headers={"Prefer": "respond-async, wait=5"})
    assert (answer.status_code, answer.headers["location"]) == (201, "/v1/calls/c_1")
    assert answer.json()["outcome"]["sip_status"] == 486


async def test_preferences_may_stand_in_several_headers(http: httpx.AsyncClient, backend: FakeBackend) -> None:
    done = OperationSucceeded(operation="op_1", command="dial", call="c_1")
    backend.on_execute = lambda command: void(asyncio.get_running_loop().call_soon(backend.emit, done))
    answer = await http.post("/v1/calls", json={"to": "1"}, headers=[("Prefer", "respond-async"), ("Prefer", "wait=5")])
    assert answer.headers["preference-applied"] == "wait=5"


def void(_: object) -> None:
    return None


@pytest.mark.parametrize(("prefer", "seconds"), [
    ("wait=10", 10), ("respond-async, wait=3", 3), ('WAIT="7"; x=y', 7), ("wait=999", 60), ("wait=x", 0), ("awaits=3", 0),
    ("", 0), (None, 0), ("wait=-1", 0), ("wait=1.5", 0),
])  # fmt: skip
def test_wait_from(prefer: str | None, seconds: int) -> None:
    assert wait_from(prefer) == seconds


async def test_who_hangs_up_while_waiting_leaves_nothing(served: Served, backend: FakeBackend) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", served.port)
    head = f"POST /v1/calls/c_1/hold HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {served.token}\r\n"
    writer.write(f"{head}Prefer: wait=60\r\nContent-Length: 0\r\n\r\n".encode())
    await served.until(lambda: backend.commands)
    writer.transport.abort()
    await served.until(lambda: not served.server.connections and not served.surface.operations._waits._by_key)


async def test_what_is_done_has_no_body(http: httpx.AsyncClient, backend: FakeBackend) -> None:
    assert (await http.delete("/v1/history/h_1")).status_code == 204
    answer = await http.delete("/v1/history")
    assert (answer.status_code, answer.content) == (204, b"")
    assert backend.entries == []
    assert (await http.delete("/v1/history/h_1")).status_code == 404


async def test_reading(http: httpx.AsyncClient, backend: FakeBackend) -> None:
    backend.calls = (call(),)
    backend.accounts = (AccountView("office", "", "sip:1@pbx", "", "udp", "registered"),)
    assert (await http.get("/v1/calls")).json()["calls"][0]["id"] == "c_7"
    assert (await http.get("/v1/calls/ringing")).json()["remote"]["display"] == "Ada"
    assert (await http.get("/v1/calls/c_7/stats")).json()["state"] == "incoming"
    assert (await http.get("/v1/accounts/office")).json()["registration"] == "registered"
    assert (await http.get("/v1/accounts/other")).status_code == 404
    assert (await http.get("/v1/status")).json()["name"] == "IDLE"
    assert (await http.get("/v1/devices")).json()["devices"][0]["name"] == "Headset (USB)"
    assert (await http.get("/v1/settings")).json() == {"dnd": False, "forwarding": "", "auto_answer": "off"}
    assert (await http.get("/v1/snapshot")).json()["as_of"] == "t1-0"
    assert (await http.get("/v1/history?limit=1")).json() == {"entries": [{"id": "h_2"}]}
    backend.facts |= {"instance": "desk-1", "codecs": ("PCMU",)}
    system = (await http.get("/v1/system")).json()
    assert (system["epoch"], system["instance"], system["since"]) == ("t1", "desk-1", "2023-11-14T22:13:20Z")
    assert system["capabilities"]["codecs"] == ["PCMU"]
    assert (await http.get("/v1/conferences/conf_1")).json()["members"]
    assert (await http.get("/v1/conferences/conf_2")).status_code == 404
    head = await http.head("/v1/status")
    assert (head.status_code, head.content) == (200, b"")


async def test_the_word_current(http: httpx.AsyncClient, backend: FakeBackend) -> None:
    await http.post("/v1/calls/current/hold")
    assert backend.commands == [c.Hold()]
    missing = await http.post("/v1/calls/current/mute")
    assert (missing.status_code, missing.json()["code"]) == (404, "not-found")
    backend.status = StatusView(2, "ACTIVE", "c_4")
    await http.post("/v1/calls/current/mute")
    assert backend.commands[-1:] == [c.Mute(call="c_4")], "not the microphone of all calls"
    await http.post("/v1/audio/mute")
    assert backend.commands[-1:] == [c.Mute()]
    assert (await http.post("/v1/audio/mute", json={"call": "c_4"})).status_code == 422


async def test_a_recording_is_created(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/calls/c_1/recordings")
    assert (answer.status_code, answer.headers["location"]) == (201, "/v1/calls/c_1/recordings/rec_1")


async def test_which_calls_to_hang_up(http: httpx.AsyncClient, backend: FakeBackend) -> None:
    await http.delete("/v1/calls?which=incoming")
    assert backend.commands == [c.HangupAll(which="incoming")]
    assert (await http.delete("/v1/calls?which=none")).json()["errors"][0]["pointer"] == "/which"


async def test_accounts(http: httpx.AsyncClient, backend: FakeBackend) -> None:
    secret = "geheim-4711"
    made = await http.post("/v1/accounts", json={"id": "a", "domain": "d", "username": "u", "password": secret})
    assert (made.status_code, made.headers["location"]) == (201, "/v1/accounts/a")
    backend.accounts = (AccountView("a", "", "sip:u@d", "", "udp", "registered"),)
    again = await http.post("/v1/accounts", json={"id": "a", "domain": "d", "username": "u", "password": secret})
    assert (again.status_code, again.json()["code"]) == (409, "invalid-state")
    await http.put("/v1/accounts/a", json={"domain": "e", "username": "u", "password": secret})
    assert isinstance(backend.commands[-1], c.AddAccount)
    assert (backend.commands[-1].account.id, backend.commands[-1].account.domain) == ("a", "e")
    wrong = await http.put("/v1/accounts/a", json={"domain": "e", "username": "u", "password": secret, "expires": secret})
    assert wrong.json()["errors"][0]["pointer"] == "/expires"
    assert wrong.json()["detail"].startswith("expires: ")
    assert (await http.put("/v1/accounts/a", json={"id": "b", "domain": "e", "username": "u"})).status_code == 422
    everything = made.text + again.text + wrong.text + repr(backend.said) + (await http.get("/v1/accounts")).text
    assert secret not in everything


@contextlib.asynccontextmanager
async def again_and_again(backend: FakeBackend, *events: Event) -> AsyncIterator[None]:
    """Emit these until the block ends: whenever the request is looked at, they are still to come."""

    async def emit() -> None:
        while True:
            await asyncio.sleep(0.01)
            for event in events:
                backend.emit(event)

    emitting = asyncio.ensure_future(emit())
    try:
        yield
    finally:
        emitting.cancel()


async def test_waiting_for_a_call(http: httpx.AsyncClient, backend: FakeBackend) -> None:
    backend.calls = (call(),)
    wait = "/v1/calls/c_7/wait"
    assert (await http.post(wait, json={"condition": "incoming"})).json()["id"] == "c_7"
    late = await http.post(wait, json={"condition": "active", "timeout": 0.01})
    assert (late.status_code, late.json()["code"]) == (504, "timeout")
    for condition, event in (
        ("active", CallActive(call=call(CallState.ACTIVE))),
        ("dtmf.received", DtmfReceived(call=call(CallState.ACTIVE), digit="5", method="rtp", duration_ms=100)),
    ):
        async with again_and_again(backend, CallActive(call=call(CallState.HELD_BOTH, "c_8")), event):
            assert (await http.post(wait, json={"condition": condition})).json()["state"] == "active"
    async with again_and_again(backend, CallEnded(call=call(CallState.ENDED), duration=1.0)):
        assert (await http.post(wait, json={"condition": "active"})).status_code == 409
    for bad in ({}, {"condition": "moon"}, {"condition": 1}, {"condition": "active", "timeout": 61}, {"condition": "", "x": 1}):
        assert (await http.post(wait, json=bad)).status_code == 422, bad


async def test_waiting_for_the_first_of_several(served: Served, http: httpx.AsyncClient, backend: FakeBackend) -> None:
    backend.calls = (call(),)
    wait = {"conditions": [{"state": "active", "call": "c_7"}, {"state": "incoming"}]}
    found = (await http.post("/v1/wait", json=wait)).json()
    assert (found["condition"], found["call"]["id"], found["event"]) == (1, "c_7", None)
    late = await http.post("/v1/wait", json={"conditions": [{"event": "call.ended"}], "timeout": 0})
    assert (late.status_code, late.json()["code"], late.json()["op"]) == (504, "timeout", "wait")
    bad = await http.post("/v1/wait", json={"conditions": [{"state": "moon"}]})
    assert (bad.status_code, bad.json()["errors"][0]["pointer"]) == (422, "/conditions/0/state")
    missing = await http.post("/v1/wait", json={"conditions": [{"operation": "op_99"}]})
    assert (missing.status_code, missing.json()["errors"][0]["pointer"]) == (404, "/conditions/0")
    dialer = {"Authorization": f"Bearer {served.tokens.create('dialer', ['call'])}"}
    assert (await http.post("/v1/wait", json=wait, headers=dialer)).status_code == 403


async def test_who_loses_its_token_while_it_waits_is_told_no_more(
    served: Served, http: httpx.AsyncClient, backend: FakeBackend
) -> None:
    crm = {"Authorization": f"Bearer {served.tokens.create('crm', ['call', 'read'])}"}
    waits = served.surface.operations._waits
    waiting = asyncio.ensure_future(http.post("/v1/wait", json={"conditions": [{"event": "dtmf.received"}]}, headers=crm))
    placing = asyncio.ensure_future(http.post("/v1/calls", json={"to": "1"}, headers={**crm, "Prefer": "wait=20"}))
    await served.until(lambda: len(waits._by_key) == 2)
    served.tokens.revoke("crm")
    backend.emit(DtmfReceived(call=call(), digit="5", method="rtp", duration_ms=100))
    backend.emit(OperationSucceeded(operation="op_1", command="dial", call="c_1"))
    assert ((await waiting).status_code, (await waiting).json()["code"]) == (401, "unauthenticated")
    assert ((await placing).status_code, (await placing).json()) == (201, {"call": "c_1", "operation": "op_1", "value": None})


async def test_who_hangs_up_waits_no_more_and_the_end_of_the_phone_is_told(
    served: Served, http: httpx.AsyncClient, backend: FakeBackend
) -> None:
    waits = served.surface.operations._waits
    waiting = asyncio.ensure_future(http.post("/v1/wait", json={"conditions": [{"event": "call.ended"}]}))
    await served.until(lambda: waits._by_key)
    waiting.cancel()
    await served.until(lambda: not waits._by_key)
    waiting = asyncio.ensure_future(http.post("/v1/wait", json={"conditions": [{"event": "call.ended"}]}))
    await served.until(lambda: waits._by_key)
    served.surface.closing.set_result(None)
    answer = await waiting
    assert (answer.status_code, answer.json()["code"]) == (503, "draining")
    assert not waits._by_key


async def test_a_token_without_read_may_still_wait_for_what_it_began(
    served: Served, http: httpx.AsyncClient, backend: FakeBackend
) -> None:
    dialer = {"Authorization": f"Bearer {served.tokens.create('dialer', ['call'])}"}
    done = OperationSucceeded(operation="op_1", command="dial", call="c_1")
    backend.on_execute = lambda command: void(asyncio.get_running_loop().call_soon(backend.emit, done))
    answer = await http.post("/v1/calls", json={"to": "1"}, headers={**dialer, "Prefer": "wait=5"})
    assert answer.json()["outcome"]["state"] == "succeeded"


async def test_an_operation_is_known_whichever_surface_began_it(http: httpx.AsyncClient, backend: FakeBackend) -> None:
    Operations(backend).run("hold", {})
    assert (await http.get("/v1/operations/op_2")).json()["command"] == "hold"


# --- asked twice


KEY = {"Idempotency-Key": '"k-1"'}


async def test_the_same_key_dials_once(http: httpx.AsyncClient, backend: FakeBackend) -> None:
    first = await http.post("/v1/calls", json={"to": "1"}, headers=KEY)
    again = await http.post("/v1/calls", json={"to": "1"}, headers={"Idempotency-Key": "k-1"})
    assert (first.status_code, first.json(), first.headers["location"]) == (201, again.json(), again.headers["location"])
    assert again.headers["idempotent-replayed"] == "true"
    assert len(backend.commands) == 1
    other = await http.post("/v1/calls", json={"to": "2"}, headers=KEY)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-mismatch")
    assert (await http.post("/v1/calls/c_1/hold", json={}, headers=KEY)).status_code == 422
    await http.post("/v1/calls", json={"to": "2"}, headers={"Idempotency-Key": "k-2"})
    assert len(backend.commands) == 2


async def test_a_repeated_request_may_wait_for_the_outcome(http: httpx.AsyncClient, backend: FakeBackend) -> None:
    await http.post("/v1/calls", json={"to": "1"}, headers=KEY)
    backend.emit(OperationSucceeded(operation="op_1", command="dial", call="c_1"))
    again = await http.post("/v1/calls", json={"to": "1"}, headers={**KEY, "Prefer": "wait=5"})
    assert (again.status_code, again.json()["outcome"]["state"]) == (201, "succeeded")


async def test_an_answer_given_again_belongs_to_its_own_request(http: httpx.AsyncClient) -> None:
    first = await http.post("/v1/calls", json={"to": "1"}, headers={**KEY, "X-Request-Id": "r1"})
    again = await http.post("/v1/calls", json={"to": "1"}, headers=KEY)
    other = await http.post("/v1/calls", json={"to": "1"}, headers={**KEY, "X-Request-Id": "r3"})
    found = [answer.headers.get("x-request-id") for answer in (first, again, other)]
    assert found == ["r1", None, "r3"]
    assert "idempotent-replayed" not in first.headers


async def test_another_client_has_its_own_keys(served: Served, http: httpx.AsyncClient, backend: FakeBackend) -> None:
    other = served.tokens.create("other")
    await http.post("/v1/calls", json={"to": "1"}, headers=KEY)
    await http.post("/v1/calls", json={"to": "1"}, headers={**KEY, "Authorization": f"Bearer {other}"})
    assert len(backend.commands) == 2


async def test_a_refusal_is_not_kept(http: httpx.AsyncClient, backend: FakeBackend) -> None:
    backend.refuse = LineBusy("a call rings")
    assert (await http.post("/v1/calls", json={"to": "1"}, headers=KEY)).json()["code"] == "line-busy"
    backend.refuse = None
    assert (await http.post("/v1/calls", json={"to": "1"}, headers=KEY)).status_code == 201


async def test_while_the_first_still_runs(
    served: Served, http: httpx.AsyncClient, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, goes_on = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        goes_on.wait(10)

    monkeypatch.setattr(backend, "clear_history", slow)
    first = asyncio.ensure_future(http.delete("/v1/history", headers=KEY))
    await served.until(begun.is_set)
    second = await http.delete("/v1/history", headers=KEY)
    assert second.status_code == 409
    assert (second.json()["code"], second.headers["retry-after"]) == ("in-flight", "1")
    assert (await http.get("/v1/status")).status_code == 200, "the phone does not wait for the disk"
    goes_on.set()
    assert (await first).status_code == 204


async def test_keys_are_bounded(http: httpx.AsyncClient, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "MAX_KEYS", 2)
    for key in ("a", "b", "c", "a"):
        await http.post("/v1/calls", json={"to": "1"}, headers={"Idempotency-Key": key})
    assert len(backend.commands) == 4
    for bad in ("", "x" * 256, '""'):
        answer = await http.post("/v1/calls", json={"to": "1"}, headers={"Idempotency-Key": bad})
        assert answer.status_code == 422, repr(bad)


def test_keys_are_forgotten_after_a_day() -> None:
    now = 0.0
    replays = idempotency.Replays(FakeBackend(), lambda: now, lambda: now)
    assert replays.begin("c", "k", b"1") is None
    now = limits.KEY_SECONDS + 1
    assert replays.begin("c", "k", b"2") is None


async def test_a_limit_says_when_to_come_back(served: Served, http: httpx.AsyncClient, backend: FakeBackend) -> None:
    slow = {"Authorization": f"Bearer {served.tokens.create('slow', calls_per_minute=1)}"}
    assert (await http.post("/v1/calls", json={"to": "1"}, headers=slow)).status_code == 201
    limited = await http.post("/v1/calls", json={"to": "1"}, headers=slow)
    assert (limited.status_code, limited.json()["code"]) == (429, "rate-limited")
    assert 50 <= int(limited.headers["retry-after"]) <= 60
    assert limited.json()["retry_after"] == int(limited.headers["retry-after"])
    backend.refuse = RateLimited("later", retry_after=0.5)
    assert (await http.get("/v1/status")).headers["retry-after"] == "1"


async def test_the_history_for_a_spreadsheet_and_one_entry(http: httpx.AsyncClient, backend: FakeBackend) -> None:
    backend.entries = [{"id": "c_2", "remote_display": "=1+1", "started": "1970-01-01T00:00:00Z"}, {"id": "c_1"}]
    found = await http.get("/v1/history.csv", params={"limit": 1})
    assert found.headers["content-type"] == "text/csv; charset=utf-8"
    head, line = found.text.splitlines()
    assert head.startswith("id,account,direction,")
    assert line.startswith("c_2,,,,'=1+1,1970-01-01T00:00:00Z,")
    assert (await http.get("/v1/history.csv", params={"limit": 0})).status_code == 422
    for path in ("/v1/history", "/v1/history.csv"):
        backend.wanted_calls = ALL_CALLS
        wished = {"missed": "true", "remote": "1001", "tag": "order=4711", "since": "2026-01-31T08:00:00+01:00"}
        assert (await http.get(path, params=wished)).status_code == 200
        since = datetime(2026, 1, 31, 7, tzinfo=UTC)
        assert backend.wanted_calls == WantedCalls(missed=True, remote="1001", tag="order=4711", since=since)
        for bad in ({"missed": "perhaps"}, {"direction": "up"}, {"since": "yesterday"}, {"until": "2026-01-31T08:00:00"}):
            refused = await http.get(path, params=bad)
            assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, f"/{next(iter(bad))}")
    assert (await http.get("/v1/history/c_1")).json() == {"id": "c_1"}
    assert (await http.get("/v1/history/c_9")).status_code == 404
    assert (await http.post("/v1/system/reload")).json()["restart"] == []
