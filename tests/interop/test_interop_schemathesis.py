"""Schemathesis against a real phone in a call: whatever it makes of the OpenAPI document, the answers are as described."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from offhook.control import access
from offhook.phone.commands import Dial
from offhook.testing.http import serving
from offhook.testing.live import live_phone

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

HERE = Path(__file__).resolve().parent

SEED = "20260131"

EXAMPLES = os.environ.get("OFFHOOK_SCHEMATHESIS_EXAMPLES", "12")
"""For each operation and phase; more finds more, and takes longer."""

WITHIN = 240.0
"""Seconds the whole run may take."""

CONFIG = """
[auth.openapi.bearer]
bearer = "{token}"

[checks]
# What a schema cannot say (a number no dial plan knows, a device that is not there) is refused with 422 too.
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "503", "504"]
positive_data_acceptance.expected-statuses = ["2xx", "303", "401", "403", "404", "409", "422", "426", "429", "503", "504"]
"""


@pytest.mark.slow
async def test_schemathesis_finds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "schemathesis.toml"
    monkeypatch.setattr(access, "MAX_DENIALS", 1_000_000)  # it tries many bad tokens, and wants to hear 401
    async with live_phone(recording_dir=str(tmp_path)) as here, live_phone(auto_answer="all") as there:
        here.execute(Dial(to=there.uri))
        await here.reaches(2)
        async with serving(here.running, tmp_path) as served:
            config.write_text(CONFIG.replace("{token}", served.token))
            environment = {
                **os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(HERE),
                "OFFHOOK_TEST_PEER": there.uri, "PYTHONWARNINGS": "ignore",
            }  # fmt: skip
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", f"{served.url}/v1/openapi.json",
                "--seed", SEED, "--max-examples", EXAMPLES,
                "--phases", "examples,coverage,fuzzing", "--exclude-operation-id", "quit", "--no-color",
                "--suppress-health-check", "all",
                "--continue-on-failure", "--request-timeout", "10", "--generation-database", "none",
                cwd=tmp_path, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            try:
                async with asyncio.timeout(WITHIN):
                    output, _ = await process.communicate()
            finally:
                with suppress(ProcessLookupError):
                    process.kill()
        text = output.decode("utf-8", "replace")
        (tmp_path / "report.txt").write_text(text)
        assert process.returncode == 0, text[-20_000:]
        assert "No issues found" in text, text[-5000:]
