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
    """What is valid, but refused, left out or made nonsense of by openapi-python-client or OpenAPI Generator."""
    arrays = [part for part in objects(WHOLE) if part.get("type") == "array" and "properties" not in part]
    assert arrays
    assert all(isinstance(part.get("items"), dict) for part in arrays)  # tuples closed by false, or only by prefixItems
    schemas = WHOLE["components"]["schemas"]
    for part in objects(WHOLE):
        assert not isinstance(part.get("default", 0), list | None)
        whole = [schemas[each["$ref"].removeprefix(REF)] for each in part.get("allOf", ())]
        said_twice = {name for each in whole for name in each["properties"]} & set(part.get("properties", ()))
        assert said_twice <= {"status", "code"}, part
        assert not said_twice or said_twice <= set(part["required"])  # optional here and required there are two types
    names = {re.sub("_", "", name) for name in operation_names().values()}
    assert not {f"{name}request" for name in names} & names


def test_choices_have_names_and_are_told_apart() -> None:
    """What TypeScript clients of OpenAPI Generator do not compile with, or read nonsense by."""
    schemas = WHOLE["components"]["schemas"]
    for part in objects(WHOLE):
        choices = part.get("oneOf", part.get("anyOf", ()))
        assert not choices or "properties" not in part  # the one is left out, or the other
        assert all(each.keys() & {"$ref", "type"} for each in choices)  # "an integer from 300" is no type of its own
        assert all("$ref" in each for each in part.get("oneOf", ()))  # else they are EventOneOf1, EventOneOf2 …
        assert all("type" in each for each in part.get("properties", {}).values() if "const" in each)
    for name in ("Event", "PageItem"):
        refs = [each["$ref"] for each in schemas[name]["oneOf"]]
        told = {schemas[ref.removeprefix(REF)]["properties"]["type"]["const"]: ref for ref in refs}
        assert schemas[name]["discriminator"] == {"propertyName": "type", "mapping": told}


def test_names_of_schemas_are_not_those_that_generators_make_of_operations() -> None:
    """They name enumerations and arguments by the operation: a command that is not referred to is in their way."""
    schemas = WHOLE["components"]["schemas"]
    assert set(schemas) == {part["$ref"].removeprefix(REF) for part in objects(WHOLE) if part.get("$ref", "").startswith(REF)}
    for found in (found for path in WHOLE["paths"].values() for found in path.values()):
        body = found.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        name = "".join(word.capitalize() for word in found["operationId"].split("_"))
        queried = any("enum" in each.get("schema", ()) for each in found["parameters"])
        assert not queried or name not in schemas
        assert f"{name}Request" not in schemas or body == {"$ref": f"{REF}{name}Request"}


def test_every_route_stands_under_a_heading_of_its_own() -> None:
    under = {path for path, found in WHOLE["paths"].items() for each in found.values() if each["tags"] == ["descriptions"]}
    assert all(path.startswith(("/v1/docs", "/v1/problems/")) or path.endswith(".json") or path == "/" for path in under)


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
        assert not words or (words[0] == "curl" and words[-1].startswith("$URL/") and "{" not in words[-1])


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
