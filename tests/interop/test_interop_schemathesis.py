"""Schemathesis against a real phone in a call: whatever it makes of the OpenAPI document, the answers are as described."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from offhook.app.running import Files, RunningPhone
from offhook.control import access
from offhook.errors import CommandError
from offhook.phone.commands import (
    Command,
    CreateConference,
    Dial,
    Drain,
    HangupAll,
    JoinConference,
    ListAccounts,
    ListCalls,
    Play,
    Record,
    RemoveAccount,
)
from offhook.phone.model import CallState
from offhook.storage.config import Config
from offhook.testing.http import Served, serving
from offhook.testing.live import LivePhone, live_phone, quiet_config

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

HERE = Path(__file__).resolve().parent

SEED = "20260131"

EXAMPLES = os.environ.get("OFFHOOK_SCHEMATHESIS_EXAMPLES", "8")
"""For each operation and phase; more finds more, and takes longer."""

WITHIN = 240.0
"""Seconds the whole run may take."""

BREATH = 0.2
"""Seconds between two looks whether the phone is in a call."""

CONFIG = """
[auth.openapi.bearer]
bearer = "{token}"

[checks]
# What a schema cannot say (a number no dial plan knows, a device that is not there) is refused with 422 too.
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "503", "504"]
negative_data_rejection.expected-statuses = [
  "400", "401", "403", "404", "405", "409", "413", "414", "415", "422", "426", "429", "503",
]
positive_data_acceptance.expected-statuses = ["2xx", "303", "401", "403", "404", "409", "422", "426", "429", "503", "504"]
"""


async def keep_talking(here: LivePhone, there: LivePhone) -> None:
    """See that there is always something to speak of, whatever the last request did to it: calls, sounds, a conference."""
    while True:
        states = [call.state for call in here.execute(ListCalls()).value]
        accounts = [RemoveAccount(account=account.id) for account in here.execute(ListAccounts()).value]
        calls: list[Command] = []
        if CallState.ACTIVE not in states:
            calls = [HangupAll(which="not_incoming"), *accounts, Dial(to=there.uri)]
        elif CallState.INCOMING not in states:
            with suppress(CommandError):
                there.execute(Dial(to=here.uri, hold_others=False))
        sounds = (CreateConference(id="room"), JoinConference(conference="room"), Record(), Play())
        for command in (Drain(enabled=False), *calls, *sounds):
            with suppress(CommandError):
                here.execute(command)
        await asyncio.sleep(BREATH)


@pytest.mark.slow
async def test_schemathesis_finds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "MAX_DENIALS", 1_000_000)  # it tries many bad tokens, and wants to hear 401
    config = quiet_config(recording_dir=str(tmp_path))
    async with live_phone(auto_answer="all") as there, serving_phone(config, tmp_path) as (here, served):
        talking = asyncio.ensure_future(keep_talking(LivePhone(here), there))
        status, text = await schemathesis(served, there.uri, tmp_path)
        assert not talking.done(), talking
        talking.cancel()
    assert status == 0, text[-20_000:]
    made = re.search(r"(\d+) generated, \1 passed", text)
    assert made, text[-5000:]
    assert int(made[1]) > 1000, "fewer requests than there is to try"


@asynccontextmanager
async def serving_phone(config: Config, folder: Path) -> AsyncIterator[tuple[RunningPhone, Served]]:
    """Run a phone with a history, and serve it over HTTP."""
    running = await RunningPhone.start(config, Files(history=folder / "history.sqlite", texts=folder / "texts.sqlite"))
    try:
        async with serving(running, folder) as served:
            yield running, served
    finally:
        await running.close()


async def schemathesis(served: Served, peer: str, folder: Path) -> tuple[int | None, str]:
    """Run it; return its exit status and what it says."""
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG.replace("{token}", served.token))
    environment = {
        **os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(HERE), "OFFHOOK_TEST_PEER": peer,
        "PYTHONWARNINGS": "ignore",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", f"{served.url}/v1/openapi.json",
        "--seed", SEED, "--max-examples", EXAMPLES, "--phases", "examples,coverage,fuzzing", "--exclude-operation-id", "quit",
        "--no-color", "--suppress-health-check", "all", "--continue-on-failure", "--request-timeout", "10",
        "--generation-database", "none",
        cwd=folder, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(WITHIN):
            output, _ = await process.communicate()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
    return process.returncode, output.decode("utf-8", "replace")
