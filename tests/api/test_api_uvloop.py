"""Programs that bring uvloop with them, as servers with uvicorn do: nothing may depend on asyncio's own loop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from offhook import Softphone
from offhook.io.web import post
from offhook.phone.settings import AccountSettings
from offhook.phone.urls import Url
from offhook.sip.stack import host_port
from offhook.testing.softphones import own_phone, served_phone, web_phone
from offhook.testing.threaded import exchange_beside

if sys.platform == "win32":
    pytest.skip("uvloop is not for Windows", allow_module_level=True)
uvloop = pytest.importorskip("uvloop")


def run(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


async def talk(phone: Softphone, number: str) -> None:
    call = await phone.dial(number)
    await call.wait_active(timeout=5)
    await call.hangup()
    await call.wait_ended(timeout=5)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_call_over_each_transport(transport: Any) -> None:
    with exchange_beside() as address:
        account = AccountSettings("a", host_port(address), "1001", password="practice-1001", transport=transport)

        async def main() -> None:
            async with own_phone() as (phone, _):
                await phone.add_account(account)
                await phone.wait_registered("a", timeout=5)
                await talk(phone, "tone")

        run(main())


@pytest.mark.lengthy
@pytest.mark.parametrize("way", [served_phone, web_phone])
def test_a_phone_is_driven_from_outside(way: Any, tmp_path: Path) -> None:
    async def main() -> None:
        async with own_phone() as (_, uri), way(tmp_path / "s") as (phone, _):
            call = await phone.dial(uri)
            await call.hangup()
            await call.wait_ended(timeout=5)

    run(main())


def test_a_request_to_a_name() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            assert (await post(Url.parse(f"http://localhost:{port}/"), {}, b"", within=5, keep=100)).status == 204

    run(main())
