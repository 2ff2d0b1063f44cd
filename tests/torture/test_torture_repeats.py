"""A phone that is killed, driven over HTTP by who asks again: nothing is done twice."""

from __future__ import annotations

import socket
from pathlib import Path

import httpx
import pytest

from offhook.control.http.idempotency import RESTARTED
from offhook.testing.process import phone_process

pytestmark = pytest.mark.slow

KEY = {"Idempotency-Key": "order-7"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def test_a_keyed_call_is_dialled_once_though_the_phone_is_killed(tmp_path: Path) -> None:
    port = free_port()
    nobody = {"to": f"sip:1@127.0.0.1:{free_port()}", "headers": {"X-Order": "7"}}
    with phone_process(tmp_path, f"[http]\nenabled = true\nport = {port}\n") as phone:
        token = (tmp_path / "state" / "http-token").read_text().strip()
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=20
        ) as http:
            start = http.get("/v1/events").json()["next"]
            first = http.post("/v1/calls", json=nobody, headers=KEY)
            assert first.status_code == 201
            phone.kill()
            phone.start()
            again = http.post("/v1/calls", json=nobody, headers={**KEY, "Prefer": "wait=5"}).json()
            assert again.pop("outcome")["reason"] == RESTARTED
            assert again == first.json()
            other = http.post("/v1/calls", json=nobody, headers={"Idempotency-Key": "order-8"}).json()
            assert other["operation"] != again["operation"], "ids of operations are given once"
            created, place = [], ""
            while place != start:
                page = http.get("/v1/events", params={"after": start, "types": "call.created"}).json()
                created += [event["data"]["call"]["id"] for event in page["events"]]
                place, start = start, page["next"]
            assert created == [again["call"], other["call"]]
        assert "Traceback" not in phone.stop()
