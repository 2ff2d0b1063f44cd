"""The phone as its own process, as people run it: started, talked to over its socket, killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from offhook.control.client import LocalClient

START_WITHIN = 15.0
"""Seconds a phone may take to start on a busy machine."""


class PhoneProcess:
    """One `offhook run` with its own home folder."""

    def __init__(self, home: Path, config: str = "", *arguments: str) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        self.file = home / "test.toml"
        self.file.write_text('[sip]\nhost = "127.0.0.1"\nport = 0\n[media]\nsound = "null"\n' + config)
        self.socket = str(home / "s")
        self.environment = {**os.environ, "OFFHOOK_HOME": str(home), "OFFHOOK_SOCKET": self.socket}
        self.process: subprocess.Popen[str] | None = None
        self.port = 0
        self.said = ""  # before it ran
        self._arguments = arguments

    def start(self) -> None:
        """Start it and wait until it takes commands."""
        self.process = subprocess.Popen(  # noqa: S603 - our own program with our own arguments
            [sys.executable, "-m", "offhook", "run", "--config", str(self.file), "--sound", "null", *self._arguments],
            env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.said = ""
        while "offhook is running" not in (line := self.process.stdout.readline()):
            self.said += line
            if not line:
                self.process.kill()
                raise AssertionError(f"the phone did not start: {self.said}")
        self.port = int(line.split("127.0.0.1:")[1].split(",")[0])

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            if self.process.stdout is not None:
                self.process.stdout.close()
            self.process = None

    def children(self) -> list[int]:
        """Return the process's children: the media worker (Linux). A thread may have started them, so every thread is asked."""
        assert self.process is not None
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(number) for task in tasks for number in task.read_text().split()]

    def stop(self) -> str:
        """End it politely; returns what it printed."""
        if self.process is None or self.process.stdout is None:
            return ""
        if self.process.poll() is None:
            if sys.platform == "win32":  # where this signal ends a process at once
                self.ask("quit")
            else:
                self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(15)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        text = self.process.stdout.read()
        self.process.stdout.close()
        self.process = None
        return text

    def ask(self, op: str, **params: Any) -> Any:
        """Carry out one operation; returns its result."""
        with LocalClient(self.socket) as client:
            return client.request(op, **params)

    def until(self, op: str, condition: Any, seconds: float = 10.0, **params: Any) -> Any:
        """Ask again and again until `condition(result)` holds."""
        deadline = time.monotonic() + seconds
        while True:
            result = self.ask(op, **params)
            if condition(result):
                return result
            if time.monotonic() > deadline:
                raise AssertionError(f"waited in vain; {op} says {result}")
            time.sleep(0.02)


@contextlib.contextmanager
def phone_process(home: Path, config: str = "", *arguments: str) -> Iterator[PhoneProcess]:
    """Run a phone for the time of the block."""
    phone = PhoneProcess(home, config, *arguments)
    phone.start()
    try:
        yield phone
    finally:
        phone.stop()
