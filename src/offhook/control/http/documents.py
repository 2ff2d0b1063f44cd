"""The descriptions of the surface, for programs and for people. They are the same for everybody, so no token is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache
from typing import TYPE_CHECKING, Final

import msgspec

from offhook.control.http.answers import Answer

if TYPE_CHECKING:
    from offhook.control.http.requests import Request


# Each is made at first use, which takes a moment, on another thread: the phone's loop waits for no documentation.


@cache
def _openapi() -> bytes:
    from offhook.control import openapi

    return msgspec.json.encode(openapi.document())


@cache
def _asyncapi() -> bytes:
    from offhook.control import asyncapi

    return msgspec.json.encode(asyncapi.document())


@cache
def _schema() -> bytes:
    from offhook.control import json_schema

    return msgspec.json.encode(json_schema.document())


@cache
def _page() -> bytes:
    from offhook.control import http_page

    return http_page.page().encode()


@cache
def _style() -> bytes:
    from offhook.control import http_page

    return http_page.style().encode()


@cache
def _script() -> bytes:
    from offhook.control import http_page

    return http_page.script().encode()


def _served(make: Callable[[], bytes], media_type: str) -> Callable[[Request], Awaitable[Answer]]:
    """Return the handler of one document."""

    async def serve(_request: Request) -> Answer:
        from offhook.control.http_page import POLICY

        body = await asyncio.get_running_loop().run_in_executor(None, make)
        headers = {"content-security-policy": POLICY, "referrer-policy": "no-referrer"}
        return Answer(200, body, headers, media_type=media_type)

    return serve


async def front(_request: Request) -> Answer:
    """Lead who opens the address that the phone has printed to something that can be read."""
    return Answer(303, None, {"location": "/v1/docs"})


async def problem_page(request: Request) -> Answer:
    """Lead from a problem's `type` to what the page says about it."""
    from offhook.control.openapi import problem_codes
    from offhook.errors import NotFound

    code = request.path_value("code")
    if code not in {known for _, known, _ in problem_codes()}:
        raise NotFound("there is no problem of that name")
    return Answer(303, None, {"location": f"/v1/docs#problem-{code}"})


DOCUMENTS: Final[dict[str, Callable[[Request], Awaitable[Answer]]]] = {
    "openapi_json": _served(_openapi, "application/json"),
    "asyncapi_json": _served(_asyncapi, "application/json"),
    "schema_json": _served(_schema, "application/schema+json"),
    "docs": _served(_page, "text/html; charset=utf-8"),
    "docs_css": _served(_style, "text/css; charset=utf-8"),
    "docs_js": _served(_script, "text/javascript; charset=utf-8"),
    "problem_page": problem_page,
    "front": front,
}
"""Handlers by name."""
