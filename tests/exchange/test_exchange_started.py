"""The practice exchange as people start it: alone, and by `make run` with a phone that is registered to it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from offhook.control.client import LocalClient

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="this signal ends a process at once there")]


@contextmanager
def running(home: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program of ours with a home of its own; it has to end well when it is told to."""
    with subprocess.Popen(
        [sys.executable, "-m", *words], env={**os.environ, "OFFHOOK_HOME": str(home), "OFFHOOK_SOCKET": str(home / "s")},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()


def said(process: subprocess.Popen[str], pattern: str) -> str:
    """Read what it says up to this; returns all of that."""
    assert process.stdout is not None
    found = ""
    while not re.search(pattern, found):
        line = process.stdout.readline()
        assert line, found
        found += line
    return found


def test_an_exchange_alone_says_where_it_is_and_which_authority_to_trust(tmp_path: Path) -> None:
    with running(tmp_path, "offhook", "exchange", "--port", "0", "--tls") as process:
        text = said(process, r'tls_ca = "(.*)"')
        assert Path(text.rpartition('tls_ca = "')[2].partition('"')[0]).read_text().startswith("-----BEGIN CERTIFICATE")
        (port,) = re.findall(r"is on 127\.0\.0\.1:(\d+)\. Accounts", text)
        second = [sys.executable, "-m", "offhook", "exchange", "--port", port]
        refused = subprocess.run(second, capture_output=True, text=True, timeout=30, check=False)
        assert (refused.returncode, "is taken by another program" in refused.stderr) == (1, True)


def test_a_phone_beside_it_is_registered(tmp_path: Path) -> None:
    with running(tmp_path, "offhook.app") as process:
        assert "offhook dial echo" in said(process, "offhook is running")
        with LocalClient(str(tmp_path / "s")) as client:
            client.wait({"registered": "practice"}, timeout=20.0)
            client.request("dial", to="echo", id="c_1")
            client.wait({"call": "c_1", "state": "active"}, timeout=20.0)
        said(process, "call.active")
