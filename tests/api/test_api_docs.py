"""docs/python.md: each snippet is executed, and each function it defines is called with live phones."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from offhook import AccountSettings, CallHandle, Softphone, api, sync
from offhook.exchange.server import Exchange
from offhook.testing.live import quiet_config
from offhook.testing.softphones import own_phone, own_uri

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "python.md").read_text("utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)


def snippet(name: str) -> Any:
    """Return the function `name` from the snippet that defines it."""
    [text] = [text for text in SNIPPETS if f"def {name}(" in text]
    space: dict[str, Any] = {}
    exec(compile(text, "docs/python.md", "exec", dont_inherit=True), space)  # what the page shows is what is run
    return space[name]


@pytest.fixture
async def phone() -> AsyncIterator[Softphone]:
    async with own_phone() as (made, _):
        yield made


async def talk(phone: Softphone, peer: tuple[Softphone, str]) -> CallHandle:
    await peer[0].set_auto_answer("all")
    call = await phone.dial(peer[1], hold_others=False)
    await call.wait_active(timeout=5)
    return call


def test_every_snippet_is_called_here() -> None:
    tests = Path(__file__).read_text("utf-8")
    names = [name for text in SNIPPETS for name in re.findall(r"^(?:async )?def (\w+)\(", text, flags=re.MULTILINE)]
    assert len(names) == len(SNIPPETS) - 1  # the first one is an import
    assert not [name for name in names if f'snippet("{name}")' not in tests]


def test_the_page_names_what_exists() -> None:
    exec(SNIPPETS[0])
    for name in re.findall(r"`(?:phone\.)?(\w+)\(", PAGE):
        assert any(hasattr(found, name) for found in (api.Softphone, api.CallHandle, api.Playback)) or name in (
            "Softphone", "AccountSettings",
        ), name
    for link in re.findall(r"\]\(\.\./(examples/\w+\.py)\)", PAGE):
        assert (Path(__file__).resolve().parents[2] / link).exists()


@pytest.mark.lengthy
async def test_a_first_call(exchange: Exchange) -> None:
    main = snippet("main")
    host, port = exchange.address
    account = AccountSettings(id="me", domain=f"{host}:{port}", username="1001", password="practice-1001")
    assert await main(account, "busy") == "busy"
    assert (await main(account, "echo")).endswith("over PCMU")
    assert (await main(account, "decline")).startswith("603")


@pytest.mark.lengthy
async def test_calls_that_come_in(phone: Softphone, peer: tuple[Softphone, str]) -> None:
    answering = asyncio.create_task(snippet("answer_one")(peer[0]))
    call = await phone.dial(peer[1])
    await call.wait_active(timeout=5)
    await call.dtmf("42#", duration_ms=60, gap_ms=60, wait=False)  # the far end hangs up at the #
    assert await answering == "42"


@pytest.mark.lengthy
async def test_many_calls_at_once(phone: Softphone, peer: tuple[Softphone, str]) -> None:
    await peer[0].set_auto_answer("all")
    async with peer[0].events(["call.ended", "call.remote_held"]) as events:
        numbers = [peer[1], f"{peer[1]};x=2", f"{peer[1]};x=3", ""]
        became = await snippet("tell_all")(phone, numbers)
        assert [(await anext(events)).type for _ in range(3)] == ["call.ended"] * 3, "nobody was put on hold"
    assert [became[number] for number in numbers[:3]] == ["heard it"] * 3
    assert "no account" in became[""]


async def test_events(phone: Softphone, peer: tuple[Softphone, str]) -> None:
    next_end = snippet("next_end")
    for _ in range(2):
        await (await phone.dial(peer[1])).hangup()
    first = await next_end(phone, phone._book.cursor.rpartition("-")[0] + "-0")
    second = await next_end(phone, first[1])
    assert first[0] == second[0] == peer[1]
    assert first[1] != second[1]


@pytest.mark.lengthy
async def test_sound(phone: Softphone, peer: tuple[Softphone, str]) -> None:
    call = await talk(phone, peer)
    assert await snippet("echo")(call, 10) >= 0
    await call.hangup()


async def test_conferences(phone: Softphone, peer: tuple[Softphone, str]) -> None:
    calls = [await talk(phone, peer), await talk(phone, peer)]
    assert await snippet("join")(phone, calls) == 80
    await phone.hangup_all()


def test_without_asyncio() -> None:
    with sync.Softphone(quiet_config()) as one, sync.Softphone(quiet_config()) as other:
        other.set_auto_answer("all")
        uri = own_uri(other._inner)
        assert snippet("dial")(one, uri) == uri
