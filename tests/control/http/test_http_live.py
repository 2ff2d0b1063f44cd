"""Two real phones, one of them driven over HTTP as any program would, curl included; and the end of it all."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed

from offhook.phone.commands import Answer, Hangup, Reject
from offhook.phone.events import SystemReady
from offhook.testing.backend import FakeBackend
from offhook.testing.http import Served, serving
from offhook.testing.live import LivePhone, live_phone

Pair = tuple[Served, httpx.AsyncClient, LivePhone, LivePhone]


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with (
        live_phone() as here,
        live_phone() as there,
        serving(here.running, tmp_path) as served,
        httpx.AsyncClient(base_url=served.url, headers=served.bearer, verify=False, timeout=20) as http,
    ):
        yield served, http, here, there


@pytest.mark.slow
async def test_a_call_from_dial_to_hangup(pair: Pair) -> None:
    _, http, _, there = pair
    start = (await http.get("/v1/events")).json()["next"]
    dialling = asyncio.ensure_future(http.post("/v1/calls", json={"to": there.uri}, headers={"Prefer": "wait=10"}))
    await there.event("call.incoming")
    there.execute(Answer())
    made = await dialling
    assert (made.status_code, made.json()["outcome"]["state"]) == (201, "succeeded")
    place = made.headers["location"]
    assert (await http.get(place)).json()["state"] == "active"
    assert (await http.get("/v1/status")).json()["name"] == "ACTIVE"
    held = await http.post(f"{place}/hold", headers={"Prefer": "wait=10"})
    assert (held.status_code, held.json()["outcome"]["state"]) == (200, "succeeded")
    assert (await http.post(f"{place}/resume")).headers["location"].startswith("/v1/operations/")
    sent = await http.post(f"{place}/dtmf", json={"digits": "5"}, headers={"Prefer": "wait=10"})
    assert sent.json()["outcome"]["state"] == "succeeded"
    assert (await there.event("dtmf.received")).data["digit"] == "5"
    assert (await http.get(f"{place}/stats")).json()["media"]["codec"] == "PCMU"
    waiting = asyncio.ensure_future(http.post(f"{place}/wait", json={"condition": "ended"}))
    assert (await http.delete("/v1/calls/active")).status_code == 204
    assert (await waiting).json()["end"]["by"] == "local"
    assert (await http.get(place)).json()["state"] == "ended"
    assert (await http.post(f"{place}/hold")).json()["code"] == "not-found"
    page = (await http.get(f"/v1/events?after={start}&types=call.*")).json()
    types = [event["type"] for event in page["events"]]
    assert types[0] == "call.created"
    assert types[-1] == "call.ended"
    causes = {event["cause"]["client"] for event in page["events"] if event["cause"]}
    assert causes == {"all"}


async def test_the_far_end_declines_which_is_no_error(pair: Pair) -> None:
    _, http, _, there = pair
    dialling = asyncio.ensure_future(http.post("/v1/calls", json={"to": there.uri}, headers={"Prefer": "wait=10"}))
    await there.event("call.incoming")
    there.execute(Reject(status=603))
    made = await dialling
    assert (made.status_code, made.json()["outcome"]["sip_status"]) == (201, 603)


async def test_a_call_is_followed_by_nothing_but_waits(pair: Pair) -> None:
    served, _, _, there = pair
    async with open_socket(served.url.replace("http", "ws") + "/v1/socket", additional_headers=served.bearer, proxy=None) as ws:

        async def ask(op: str, **params: Any) -> dict[str, Any]:
            await ws.send(msgspec.json.encode({"id": op, "op": op, "params": params}).decode())
            answer = msgspec.json.decode(await ws.recv(), type=dict[str, Any])
            assert (answer["id"], answer["ok"]) == (op, True), answer
            found: dict[str, Any] = answer["result"]
            return found

        async def wait(after: str, **condition: Any) -> dict[str, Any]:
            return await ask("wait", conditions=[condition], timeout=10, after=after)

        start = (await ask("ping"))["as_of"]
        made = await ask("dial", to=there.uri, id="c_mine")
        await there.event("call.incoming")
        there.execute(Answer())
        assert (await wait(start, operation=made["operation"]))["operation"]["state"] == "succeeded"
        seen = [await wait(start, event="call.created")]
        for condition in ({"state": "answered"}, {"event": "call.active"}):
            seen.append(await wait(seen[-1]["after"], call="c_mine", **condition))
        held = await ask("hold", call="c_mine")
        assert (await wait(seen[-1]["after"], operation=held["operation"]))["operation"]["state"] == "succeeded"
        there.execute(Hangup())
        seen.append(await wait(seen[-1]["after"], state="held_local", call="c_mine"))
        seen.append(await wait(seen[-1]["after"], state="ended", call="c_mine"))
        places = [int(found["after"].rpartition("-")[2]) for found in seen]
        assert places == sorted(places)
        assert [found["call"]["state"] for found in seen] == ["calling", "active", "active", "held_local", "ended"]


async def test_an_incoming_call_is_answered_over_a_websocket(pair: Pair) -> None:
    served, _, here, there = pair
    from offhook.phone.commands import Dial

    async with open_socket(served.url.replace("http", "ws") + "/v1/socket", additional_headers=served.bearer, proxy=None) as ws:
        await ws.send('{"op":"subscribe","types":["call.*"]}')
        await ws.recv()
        there.execute(Dial(to=here.uri))
        incoming = msgspec.json.decode(await ws.recv())["event"]
        assert incoming["type"] == "call.incoming"
        await ws.send(msgspec.json.encode({"id": 1, "op": "answer", "call": incoming["data"]["call"]["id"]}).decode())
        assert msgspec.json.decode(await ws.recv())["id"] == 1
        await there.reaches(2)
        there.execute(Hangup())
        while msgspec.json.decode(await ws.recv())["event"]["type"] != "call.ended":
            pass


async def test_the_end_of_the_phone_ends_every_stream(tmp_path: Path) -> None:
    async with live_phone() as here, serving(here.running, tmp_path) as served:
        headers = {**served.bearer, "Accept": "text/event-stream"}
        async with (
            httpx.AsyncClient(base_url=served.url, headers=headers, verify=False) as http,
            http.stream("GET", "/v1/events?types=system.*") as response,
            open_socket(served.url.replace("http", "ws") + "/v1/socket", additional_headers=served.bearer, proxy=None) as ws,
        ):
            await ws.send('{"op":"subscribe","types":["system.*"]}')
            await ws.recv()
            polling = asyncio.ensure_future(http.get("/v1/events?wait=60&types=dtmf.*", headers={"Accept": "*/*"}))
            await served.until(lambda: served.surface.streams == 3)
            await http.post("/v1/system/shutdown", headers={"Prefer": "wait=5"})
            await here.running.close()
            begun = asyncio.get_running_loop().time()
            await served.server.close()
            assert asyncio.get_running_loop().time() - begun < 1.5
            types = [line[7:] async for line in response.aiter_lines() if line.startswith("event: ")]
            assert types == ["system.stopping", "system.stopped", "stream.ended"]
            seen = []
            with contextlib.suppress(ConnectionClosed):
                while True:
                    seen.append(msgspec.json.decode(await ws.recv())["event"]["type"])
            assert (seen, ws.close_code) == (types, 1001)
            assert (await polling).json()["events"] == []
        assert served.server.connections == 0


# --- curl


curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


async def run_curl(served: Served, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        "curl", "-sS", "--noproxy", "*", "-m", "20", "-H", f"Authorization: Bearer {served.token}", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


@curl
async def test_curl_polls(served: Served, backend: FakeBackend) -> None:
    process = await run_curl(served, f"{served.url}/v1/events?wait=20&types=system.*")
    await served.until(lambda: served.surface.streams)
    backend.emit(SystemReady(address="hello curl"))
    out, _ = await process.communicate()
    assert msgspec.json.decode(out)["events"][0]["data"]["address"] == "hello curl"


@curl
async def test_curl_follows_the_stream(served: Served, backend: FakeBackend) -> None:
    process = await run_curl(served, "-N", "-H", "Accept: text/event-stream", f"{served.url}/v1/events")
    assert process.stdout is not None
    await served.until(lambda: served.surface.streams)
    for number in range(3):
        backend.emit(SystemReady(address=str(number)))
    lines: list[bytes] = []
    async with asyncio.timeout(10):
        while len([line for line in lines if line.startswith(b"data: ")]) < 3:
            lines.append(await process.stdout.readline())
    assert [line.strip() for line in lines if line.startswith(b"id: ")] == [b"id: t1-%d" % number for number in range(4)]
    await served.server.close()
    rest, errors = await process.communicate()
    assert b"event: stream.ended" in rest
    assert (process.returncode, errors) == (0, b"")


@curl
async def test_curl_posts(served: Served) -> None:
    process = await run_curl(
        served, "-i", "-H", "Content-Type: application/json", "-d", '{"to":"1001"}', f"{served.url}/v1/calls",
    )  # fmt: skip
    out, _ = await process.communicate()
    assert out.startswith(b"HTTP/1.1 201 Created\r\n")
    assert b"location: /v1/calls/c_1\r\n" in out
    assert b"content-type: application/json; charset=utf-8\r\n" in out, "without it WinHTTP reads it by the code page"


async def test_ids_of_operations_name_the_run_of_the_phone(pair: Pair) -> None:
    """A phone that is started again is another run: what it begins has no id that was given before."""
    _, http, here, there = pair
    made = (await http.post("/v1/calls", json={"to": there.uri})).json()
    assert made["operation"] == f"op_{here.running.journal.head.epoch}-1"
