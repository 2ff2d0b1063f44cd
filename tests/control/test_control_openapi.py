"""OpenAPI: it is valid, it has every route, and its examples are what it says."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from offhook.control.http.problems import HTTP_PROBLEMS
from offhook.control.http.routes import ROUTES, SOCKET, Route
from offhook.control.openapi import REF, body_schema, document, operation_names, problem_codes
from offhook.control.prose import curl, example_body
from offhook.control.schema import PROBLEM_STATUS

WHOLE = document()


def operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = WHOLE["paths"][route.path]["get" if route.method == SOCKET else route.method.lower()]
    return found


@pytest.mark.slow
def test_it_is_openapi() -> None:
    validate(WHOLE)
    assert json.loads(json.dumps(WHOLE)) == WHOLE


def objects(part: Any) -> Iterator[dict[str, Any]]:
    inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    if isinstance(part, dict):
        yield part
    for each in inner:
        yield from objects(each)


def test_generators_of_clients_can_read_it() -> None:
    """What is valid, but refused, left out or made nonsense of by openapi-python-client or OpenAPI Generator (Go, PHP)."""
    arrays = [part for part in objects(WHOLE) if part.get("type") == "array" and "properties" not in part]
    assert arrays
    assert all(isinstance(part.get("items"), dict) for part in arrays)  # tuples closed by false, or only by prefixItems
    schemas = WHOLE["components"]["schemas"]
    assert "type" not in schemas["Envelope"]["properties"]["data"]
    parts = [*schemas["StreamNote"]["oneOf"], *schemas["Event"]["oneOf"]]
    assert not {re.sub(r"\W|_", "", part["title"].title()) for part in parts} & set(schemas)  # an event, and its data
    for part in objects(WHOLE):
        assert not isinstance(part.get("default", 0), list | None)
        whole = [schemas[each["$ref"].removeprefix(REF)] for each in part.get("allOf", ())]
        said_twice = {name for each in whole for name in each["properties"]} & set(part.get("properties", ()))
        assert said_twice <= {"status", "code"}, part
        assert not said_twice or said_twice <= set(part["required"])  # optional here and required there are two types
    names = {re.sub("_", "", name) for name in operation_names().values()}
    assert not {f"{name}request" for name in names} & names


def test_operation_ids_are_unique_names() -> None:
    names = list(operation_names().values())
    assert len(names) == len(set(names)) == len(ROUTES)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in names)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_route_is_described(route: Route) -> None:
    found = operation(route)
    assert found["security"] == ([] if route.scope == "public" else [{"bearer": [route.scope] if route.scope else []}])
    assert {each["name"] for each in found["parameters"] if each.get("in") == "path"} == set(route.path_parameters)
    good = [status for status in found["responses"] if status < "4"]
    assert str(101 if route.method == SOCKET else route.status) in good
    assert ("401" in found["responses"]) is (route.scope != "public")
    assert any("Idempotency" in each.get("$ref", "") for each in found["parameters"]) is not route.is_safe


@pytest.mark.parametrize("route", [route for route in ROUTES if body_schema(route)], ids=lambda route: route.path)
def test_the_example_of_a_body_fits(route: Route) -> None:
    schema = {**(body_schema(route) or {}), "components": WHOLE["components"]}
    Draft202012Validator(schema).validate(example_body(route) or {})
    assert not Draft202012Validator(schema).is_valid({"stranger": 1})


def test_the_examples_are_commands_for_a_shell() -> None:
    for route in ROUTES:
        words = shlex.split(curl(route))
        assert not words or (words[0] == "curl" and words[-1].startswith(("$URL/v1/", "$URL/metrics")) and "{" not in words[-1])


def test_every_problem_has_its_status() -> None:
    codes = {code: status for status, code, _ in problem_codes()}
    assert codes == {**PROBLEM_STATUS, **{code: status for code, (status, _) in HTTP_PROBLEMS.items()}}
    described = WHOLE["components"]["responses"]
    for code, status in codes.items():
        assert f"`{code}`" in described[f"Problem{status}"]["description"]


def test_what_stands_in_the_path_is_not_in_the_body() -> None:
    put = next(route for route in ROUTES if (route.method, route.path) == ("PUT", "/v1/accounts/{account}"))
    body = body_schema(put)
    assert body is not None
    assert "id" not in body["properties"]
    assert "username" in body["required"]
    dial = next(route for route in ROUTES if route.operation == "dial")
    assert body_schema(dial) == {"$ref": REF + "Dial"}


@pytest.mark.parametrize(("operation", "body"), [
    ("create_watch", {"kind": "presence", "to": "1002"}), ("stream_audio", {"url": "wss://bot.example.org/calls"}),
])
def test_examples_are_what_the_phone_takes(operation: str, body: dict[str, str]) -> None:
    """A schema does not say that a presence is somebody's, and a stream's address no https://."""
    assert [example_body(route) for route in ROUTES if route.operation == operation] == [body]
