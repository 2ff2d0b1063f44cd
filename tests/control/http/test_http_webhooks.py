"""Webhooks over HTTP, on a phone that keeps them: made, shown without their secret, changed, tested, removed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from offhook.app.running import Files, RunningPhone
from offhook.testing.http import serving
from offhook.testing.live import quiet_config


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    phone = await RunningPhone.start(quiet_config(), Files(webhooks=tmp_path / "webhooks.sqlite3"))
    try:
        async with (
            serving(phone, tmp_path) as served,
            httpx.AsyncClient(base_url=served.url, headers=served.bearer, verify=False) as found,
        ):
            yield found
    finally:
        await phone.close()


async def test_a_webhook_from_first_to_last(client: httpx.AsyncClient) -> None:
    created = await client.post("/v1/webhooks", json={"url": "http://127.0.0.1:9/x?key=k", "types": ["call.*"]})
    made = created.json()
    assert (created.status_code, created.headers["location"]) == (201, f"/v1/webhooks/{made['id']}")
    shown = (await client.get(created.headers["location"])).json()
    assert (shown["id"], shown["url"], made.keys() - shown.keys()) == (made["id"], made["url"], {"secret"})
    assert (await client.get("/v1/webhooks/wh_none")).status_code == 404
    assert made["secret"].startswith("whsec_")
    place = f"/v1/webhooks/{made['id']}"
    listed = (await client.get("/v1/webhooks")).json()["webhooks"]
    assert [(found["id"], found["types"], "secret" in found) for found in listed] == [(made["id"], ["call.*"], False)]
    changed = (await client.put(place, json={"enabled": False, "description": "crm"})).json()
    assert (changed["enabled"], changed["description"], changed["url"]) == (False, "crm", made["url"])
    rotated = (await client.post(f"{place}/rotate", json={})).json()
    assert rotated["secret"] not in ("", made["secret"])
    assert (await client.post(f"{place}/test")).status_code == 202
    assert (await client.delete(place)).status_code == 204
    assert (await client.get("/v1/webhooks")).json() == {"webhooks": []}
    assert (await client.delete(place)).status_code == 404


@pytest.mark.parametrize(("body", "pointer"), [
    ({}, "/url"), ({"url": 5}, "/url"), ({"url": "ftp://x"}, "/url"), ({"url": "http://crm.example.org/"}, "/url"),
    ({"url": "http://127.0.0.1:9/", "types": ["moon"]}, "/types/0"), ({"url": "http://127.0.0.1:9/", "timeout": 0}, "/timeout"),
    ({"url": "http://127.0.0.1:9/", "secret": "short"}, "/secret"), ({"url": "http://127.0.0.1:9/", "moon": 1}, "/moon"),
])  # fmt: skip
async def test_a_bad_webhook_is_refused_whole(client: httpx.AsyncClient, body: dict[str, object], pointer: str) -> None:
    answer = await client.post("/v1/webhooks", json=body)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert (await client.get("/v1/webhooks")).json() == {"webhooks": []}
