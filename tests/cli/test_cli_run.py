"""`offhook run`: when it does not start, and where its words go."""

from __future__ import annotations

import errno
import io
import os
import re
import subprocess
import sys
import time
from multiprocessing.connection import Listener
from pathlib import Path
from types import SimpleNamespace

import pytest

from offhook.app.saying import say, say_trouble
from offhook.app.serve import run_phone
from offhook.control.client import LocalClient, NoPhone
from offhook.errors import SetupError
from offhook.testing.process import START_WITHIN


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OFFHOOK_HOME", str(tmp_path))
    return tmp_path


def options(socket: Path) -> SimpleNamespace:
    return SimpleNamespace(config="", port=0, sound="null", media="thread", http="", socket=str(socket), verbose=False)


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe of whoever listens would do; what is tested is no matter of it")
def test_a_second_phone_is_refused_before_it_registers_or_writes_anything(home: Path) -> None:
    with Listener(str(home / "s"), "AF_UNIX"), pytest.raises(SetupError, match="already running"):
        run_phone(options(home / "s"))
    assert not (home / "state").exists(), "nothing ran"


class Gone(io.StringIO):
    """A log on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_log_that_takes_nothing_ends_no_phone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Gone())
    monkeypatch.setattr(sys, "stderr", Gone())
    say("offhook is running")
    say_trouble("offhook: the disk is full")


@pytest.mark.skipif(sys.platform == "win32", reason="cannot ask a pipe there whether it has room")
def test_a_log_that_nobody_reads_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", buffering=0) as read, os.fdopen(writer, "w", encoding="utf-8") as log:
        monkeypatch.setattr(sys, "stdout", log)
        for _ in range(2000):
            say("00:00:00.000 call.ringing calls/c_1" + "é" * 2000)
        os.set_blocking(reader, False)
        taken = 0
        while read.read(65536):
            taken += 1
        assert taken
        say("at last")
        assert re.fullmatch(r"offhook: nobody read on here: lines left out: 19\d\d\nat last\n", (read.read() or b"").decode())


def connected(socket: str) -> LocalClient:
    """Return a client as soon as the phone takes it."""
    deadline = time.monotonic() + START_WITHIN
    while True:
        try:
            return LocalClient(socket)
        except NoPhone:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


@pytest.mark.lengthy
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_phone_whose_log_is_full_starts_and_ends_as_any_other(tmp_path: Path) -> None:
    socket = tmp_path / "s"
    command = [sys.executable, "-m", "offhook", "run", "--port", "0", "--sound", "null", "--verbose", "--socket", str(socket)]
    with Path("/dev/full").open("w") as full:
        environment = {**os.environ, "OFFHOOK_HOME": str(tmp_path)}
        phone = subprocess.Popen(command, env=environment, stdout=full, stderr=full)
    try:
        with connected(str(socket)) as client:
            assert client.request("status")["value"]["name"] == "IDLE"
            client.request("quit")
        assert phone.wait(15) == 0
    finally:
        phone.kill()
        phone.wait(10)
