"""Who decides about incoming calls: what answers mean, and real phones that ask real programs."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest

from offhook.control import decisions, signing
from offhook.control.decisions import DecisionError, decision_from
from offhook.phone import commands as c
from offhook.phone.commands import Decide
from offhook.phone.urls import Url
from offhook.testing.live import LivePhone, live_phone


@pytest.mark.parametrize(("text", "decision"), [
    ("answer", Decide(call="c", action="answer")), ("ring\n", Decide(call="c", action="ring")),
    (" DND ", Decide(call="c", action="dnd")), ("", Decide(call="c", action="default")),
    ("default", Decide(call="c", action="default")), ("reject", Decide(call="c", action="reject")),
    ("reject 603", Decide(call="c", action="reject", status=603)),
    ("redirect 1002", Decide(call="c", action="redirect", to="1002")),
    ("redirect sip:a@b", Decide(call="c", action="redirect", to="sip:a@b")),
    ('{"action": "redirect", "to": "1002"}', Decide(call="c", action="redirect", to="1002")),
    ('{"action": "reject", "status": 480}', Decide(call="c", action="reject", status=480)),
])
def test_what_an_answer_means(text: str, decision: Decide) -> None:
    assert decision_from(text, "c") == decision


@pytest.mark.parametrize("text", [
    "maybe", "answer now", "reject busy", "reject ６０３", "redirect", "redirect a\nb", "ring\nanswer", "{", '{"action": "x"}',
    '{"to": "1"}', '{"action": "reject", "status": "603"}', "<html>", '"answer"', '{"action":"ring","x":' + "[" * 5000,
])
def test_what_means_nothing(text: str) -> None:
    with pytest.raises(DecisionError):
        decision_from(text, "c")


def program(tmp_path: Path, script: str) -> tuple[str, ...]:
    """Return a program that does what the shell's words say; on Windows, where cmd takes them nearly as they are."""
    if sys.platform == "win32":
        return ("cmd", "/c", script.replace("; ", "& ").replace("'", "") + "& rem")  # the caller's number comes behind it
    file = tmp_path / "decide it"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o700)
    return (str(file),)


async def call(caller: LivePhone, callee: LivePhone) -> str:
    """Call, and wait until it is decided; return what was."""
    caller.execute(c.Dial(to=callee.uri))
    event = await callee.event("call.decided")
    return str(event.data["action"])


KNOWS = 'test "$1" = offhook && test "$OFFHOOK_EVENT" = call.incoming && echo answer'
if sys.platform == "win32":
    KNOWS = "if %OFFHOOK_EVENT%==call.incoming echo answer"


@pytest.mark.parametrize(("script", "action", "status"), [
    ("echo answer", "answer", 2), ("echo ring", "ring", 1), ("echo reject 603", "reject", 4), ("echo dnd", "dnd", 4),
    ("cd .", "default", 1), (KNOWS, "answer", 2),
])
async def test_a_program_decides(tmp_path: Path, script: str, action: str, status: int) -> None:
    async with live_phone() as caller, live_phone(decide=True) as callee:
        asks = decisions.by_program(callee.running, program(tmp_path, script))
        asks.start()
        assert await call(caller, callee) == action
        await callee.reaches(status)
        assert "hook.failed" not in callee.types
        await asks.close()


@pytest.mark.parametrize(("script", "reason"), [
    ("echo maybe", "the answer 'maybe' is none of"), ("echo oops >&2; exit 1", "ended with status 1 oops"),
    ("echo redirect 'a b@'", "to"), ("echo reject 200", "300-699"),
])
async def test_one_that_fails_lets_the_settings_hold_at_once(tmp_path: Path, script: str, reason: str) -> None:
    async with live_phone() as caller, live_phone(decide=True, auto_answer="all") as callee:
        asks = decisions.by_program(callee.running, program(tmp_path, script))
        asks.start()
        began = time.monotonic()
        assert await call(caller, callee) == "default"
        assert time.monotonic() - began < 1.8
        await callee.reaches(2)
        assert reason in (await callee.event("hook.failed")).data["reason"]
        await asks.close()


@pytest.mark.slow
async def test_one_that_hangs_has_two_seconds(tmp_path: Path) -> None:
    async with live_phone() as caller, live_phone(decide=True, auto_answer="all") as callee:
        asks = decisions.by_program(callee.running, program(tmp_path, "sleep 60"))
        asks.start()
        began = time.monotonic()
        assert await call(caller, callee) == "default"
        assert 1.9 < time.monotonic() - began < 3.0
        await callee.reaches(2)
        await asks.close()
        assert not [task for task in asyncio.all_tasks() if "_decide" in repr(task)]


@pytest.mark.parametrize(("answer", "action", "status"), [
    (b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"action": "answer"}', "answer", 2),
    (b"HTTP/1.1 200 OK\r\n\r\nreject 603", "reject", 4),
    (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "default", 1),
    (b"HTTP/1.1 500 Oh\r\n\r\nanswer", "default", 1), (b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", "default", 1),
    (b"", "default", 1), (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000, "default", 1), (None, "default", 1),
])
async def test_a_web_address_decides(
    answer: bytes | None, action: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[bytes] = []
    if answer is None:
        monkeypatch.setattr(decisions, "DECISION_WITHIN", 0.3)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        if answer is None:
            await reader.read(100_000)  # says nothing until the phone has lost its patience
            await reader.read(100_000)
        else:
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = Url.parse(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/decide")
    async with live_phone() as caller, live_phone(decide=True) as callee:
        asks = decisions.by_web(callee.running, url, signing.new_secret())
        asks.start()
        assert await call(caller, callee) == action
        await callee.reaches(status)
        assert b"\r\nwebhook-signature: v1," in requests[0]
        failed = answer is None or (action == "default" and not answer.startswith(b"HTTP/1.1 204"))
        await callee.until(lambda: ("hook.failed" in callee.types) is failed, "the failure")
        await asks.close()
    server.close()


async def test_without_the_setting_nobody_is_asked(tmp_path: Path) -> None:
    async with live_phone() as caller, live_phone() as callee:
        asks = decisions.by_program(callee.running, program(tmp_path, "echo answer"))
        asks.start()
        caller.execute(c.Dial(to=callee.uri))
        await callee.reaches(1)
        assert callee.types.count("hook.failed") == 0
        assert not asks._tasks
        await asks.close()
