"""The descriptions are served to everybody, and a browser may do nothing with the page but show it."""

from __future__ import annotations

import httpx
import pytest

from offhook.control import asyncapi, http_page, json_schema, openapi
from offhook.testing.http import Served


@pytest.fixture
async def stranger(served: Served) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=served.url, verify=False)


@pytest.mark.lengthy
async def test_the_descriptions_are_served(stranger: httpx.AsyncClient) -> None:
    documents = {"openapi": openapi.document(), "asyncapi": asyncapi.document(), "schema": json_schema.document()}
    async with stranger:
        for name, document in documents.items():
            answer = await stranger.get(f"/v1/{name}.json")
            assert answer.status_code == 200
            assert answer.json() == document
            assert answer.headers["content-type"].startswith("application/")


@pytest.mark.lengthy
async def test_the_page_is_served_with_its_parts(stranger: httpx.AsyncClient) -> None:
    async with stranger:
        page = await stranger.get("/v1/docs")
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert page.headers["content-security-policy"] == http_page.POLICY
        assert "unsafe" not in http_page.POLICY
        style, script = await stranger.get("/v1/docs.css"), await stranger.get("/v1/docs.js")
        assert (style.headers["content-type"], script.headers["content-type"]) == (
            "text/css; charset=utf-8", "text/javascript; charset=utf-8",
        )  # fmt: skip
        assert "color-scheme" in style.text
        assert "addEventListener" in script.text


async def test_the_address_alone_leads_to_the_reference(stranger: httpx.AsyncClient) -> None:
    async with stranger:
        answer = await stranger.get("/")
        assert (answer.status_code, answer.headers["location"]) == (303, "/v1/docs")


@pytest.mark.lengthy
async def test_a_problem_leads_to_its_explanation(stranger: httpx.AsyncClient) -> None:
    async with stranger:
        refused = (await stranger.get("/v1/status")).json()
        answer = await stranger.get(refused["type"])
        assert (answer.status_code, answer.headers["location"]) == (303, "/v1/docs#problem-unauthenticated")
        assert 'id="problem-unauthenticated"' in (await stranger.get("/v1/docs")).text
        assert (await stranger.get("/v1/problems/moon-phase")).status_code == 404
