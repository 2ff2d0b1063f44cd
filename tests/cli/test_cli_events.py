"""`offhook events` as a process: it goes on where it was, also over a restart of the phone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from offhook.testing.process import PhoneProcess, phone_process

pytestmark = pytest.mark.slow

def follow(phone: PhoneProcess, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "offhook", "events", "--json", "--timeout", "20", *options],
        env=phone.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> tuple[list[dict[str, Any]], str, int]:
    out, err = process.communicate(timeout=30)
    return [json.loads(line) for line in out.splitlines()], err, process.returncode


def test_following_goes_on_over_a_restart_of_the_phone(tmp_path: Path) -> None:
    with phone_process(tmp_path / "a") as phone:
        start = phone.ask("snapshot")["as_of"]
        watching = follow(phone, "--follow", "--after", start, "--types", "audio.*,system.ready", "--count", "4")
        phone.ask("set_volume", volume=10)
        phone.ask("set_volume", volume=20)
        phone.kill()
        phone.start()
        phone.ask("set_volume", volume=30)
        seen, err, code = finish(watching)
    assert (code, err) == (0, ""), seen
    changes = [event["data"]["audio"]["output_volume"] for event in seen if event["type"] == "audio.changed"]
    assert changes == [10, 20, 30]
    assert len({event["id"] for event in seen}) == 4


def test_without_following_the_end_of_the_phone_is_the_end(tmp_path: Path) -> None:
    with phone_process(tmp_path / "a") as phone:
        watching = follow(phone, "--after", phone.ask("snapshot")["as_of"])
        phone.ask("set_volume", volume=10)
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["type"]
        phone.kill()
        _, err, code = finish(watching)
    assert code == 3
    assert "ended the connection" in err


def test_an_event_nobody_knows_is_a_gap_that_is_told(tmp_path: Path) -> None:
    with phone_process(tmp_path / "a") as phone:
        seen, _, code = finish(follow(phone, "--after", "gone-5", "--count", "1"))
        assert (code, seen[0]["type"], seen[0]["data"]["after"]) == (0, "stream.gap", "gone-5")
        _, err, code = finish(follow(phone, "--after", "rubbish"))
    assert (code, "epoch-number" in err) == (1, True)
