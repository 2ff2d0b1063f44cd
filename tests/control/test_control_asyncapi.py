"""AsyncAPI: every reference leads somewhere, every payload is a schema, and what the local socket really says fits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from offhook.control.asyncapi import document, requests
from offhook.control.channel.serving import open_stream
from offhook.control.local import LocalServer
from offhook.control.operations import EXTRA
from offhook.control.schema import OPERATIONS
from offhook.phone.events import SystemReady
from offhook.testing.backend import FakeBackend

WHOLE = document()


def validator(message: str) -> Draft7Validator:
    return Draft7Validator({**WHOLE["components"]["messages"][message]["payload"], "components": WHOLE["components"]})


def references(part: Any) -> Iterator[str]:
    inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    if isinstance(part, dict) and isinstance(part.get("$ref"), str):
        yield part["$ref"]
    for each in inner:
        yield from references(each)


def test_every_reference_leads_somewhere() -> None:
    found = set(references(WHOLE))
    assert len(found) > 200
    for reference in found:
        place: Any = WHOLE
        for step in reference.removeprefix("#/").split("/"):
            place = place[int(step) if isinstance(place, list) else step]
        assert isinstance(place, dict)


@pytest.mark.lengthy
def test_it_is_json_and_every_payload_a_schema() -> None:
    assert json.loads(json.dumps(WHOLE)) == WHOLE
    for message in WHOLE["components"]["messages"]:
        Draft7Validator.check_schema(validator(message).schema)


def test_both_sockets_take_every_operation() -> None:
    assert set(requests("local")) - {"hello", "audio"} == set(requests("socket")) - {"authenticate"}
    assert set(requests("local")) == {*OPERATIONS, *EXTRA, "hello", "audio", "subscribe", "unsubscribe", "cancel_wait"}


@pytest.mark.parametrize(("message", "fits"), [
    ({"op": "dial", "to": "1"}, True),
    ({"id": "x", "op": "dial", "params": {"to": "1", "id": "c_9", "headers": {"X-A": "b"}}}, True),
    ({"id": 1, "op": "dial", "to": "1", "headers": [["a", "b"]]}, True),
    ({"id": 1, "op": "dial", "to": "1", "headers": [["a", "b", "c"]]}, False),
    ({"id": 1, "op": "dial"}, False),
    ({"op": "hold", "to": "1"}, False),
])  # fmt: skip
def test_requests_are_told_apart(message: dict[str, Any], fits: bool) -> None:
    assert validator("dial.request").is_valid(message) is fits


async def test_what_the_local_socket_says_fits(backend: FakeBackend, tmp_path: Path) -> None:
    server = LocalServer(backend, tmp_path / "socket")
    await server.start()
    reader, writer = await open_stream(server.path, 2**20)
    try:
        for request in (
            {"id": 1, "op": "dial", "to": "1"}, {"id": 2, "op": "ping"}, {"id": 3, "op": "subscribe"},
            {"id": 4, "op": "status"}, {"id": 5, "op": "hello", "client": "me"}, {"id": 6, "op": "dde", "text": "[Status]"},
            {"id": 7, "op": "help"},
            {"id": 8, "op": "copydata", "code": 4}, {"id": 9, "op": "unsubscribe", "types": ["dtmf.*"]},
        ):  # fmt: skip
            validator(f"{request['op']}.request").validate(request)
            writer.write(json.dumps(request).encode() + b"\n")
            validator(f"{request['op']}.answer").validate(json.loads(await reader.readline()))
        writer.write(b'{"id":10,"op":"dial"}\n')
        validator("refusal").validate(json.loads(await reader.readline()))
        backend.emit(SystemReady(address="x"))
        said = json.loads(await reader.readline())
        validator("event").validate(said)
        validator("system.ready").validate(said["event"])
        assert not validator("call.ended").is_valid(said["event"])
    finally:
        writer.close()
        await server.close()


PAGE = Path(__file__).resolve().parents[2] / "docs" / "sockets.md"


def test_what_the_page_about_sockets_says_is_what_is_said() -> None:
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith(("-> {", "<- {"))]
    said = [json.loads(line[3:]) for line in lines]
    refused = [message for message in said if message.get("ok") is False]
    for message in refused:
        validator("refusal").validate(message)
    wrong = {message["id"] for message in refused if message["error"]["code"] == "invalid-argument"}
    asked = [message for message in said if "op" in message]
    for message in asked:
        assert validator(f"{message['op']}.request").is_valid(message) is (message["id"] not in wrong), message
    assert {message["op"] for message in asked} >= {"dial", "subscribe", "unsubscribe", "wait", "cancel_wait", "audio"}
