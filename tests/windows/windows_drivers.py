"""Windows programs of our own, compiled with mingw and told line by line what to do; and the phone under Wine they talk to."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from offhook.testing.peers import program
from offhook.testing.windows import Windows, WindowsProcess, windows_path

HERE = Path(__file__).resolve().parent

ANSWER_WITHIN = 30.0
"""Seconds for an answer, on a machine that has other things to do."""

UNICODE = ("-DUNICODE", "-D_UNICODE")

QUIET = '[sip]\nhost = "127.0.0.1"\nport = 0\n[media]\nsound = "null"\n'
"""The configuration of a phone that only loopback reaches and nobody hears."""


def compiled(source: Path, target: Path, *flags: str) -> Path:
    """Compile a Windows program from one C file; whatever the compiler has to say about it is a failure."""
    compiler = program("x86_64-w64-mingw32-gcc", "gcc-mingw-w64-x86-64")
    subprocess.run(
        [compiler, "-O1", "-Wall", "-Wextra", "-Werror", *flags, "-o", str(target), str(source), "-luser32"], check=True
    )
    return target


class Driver:
    """A running program that obeys lines. `told` is what it has said without being asked."""

    def __init__(self, process: WindowsProcess) -> None:
        self.process = process
        self._numbers = itertools.count(1)
        self._since = 0
        process.wait_for("ready")

    def ask(self, line: str, within: float = ANSWER_WITHIN) -> str:
        """Return the answer to one line."""
        number = next(self._numbers)
        self.process.write(f"{number} {line}\n")
        end = f" #{number}."
        return self.process.wait_for(end, within).removesuffix(end)

    async def does(self, line: str, within: float = ANSWER_WITHIN) -> str:
        """Return the answer to one line, while the loop goes on."""
        return await asyncio.to_thread(self.ask, line, within)

    def forget(self) -> None:
        """From here on, `told` tells only of what is new."""
        self._since = len(self.process.text)

    def told(self, word: str) -> list[str]:
        """Return what follows `word` in each line that begins with it, since the last `forget`."""
        lines = self.process.text[self._since :].splitlines(keepends=True)
        return [line[len(word) + 1 :].rstrip("\n") for line in lines if line.startswith(f"{word} ") and line.endswith("\n")]

    async def tells(self, text: str, within: float = ANSWER_WITHIN) -> None:
        """Wait until it has said this (since its start)."""
        await asyncio.to_thread(self.process.wait_for, text, within)


class Window(Driver):
    """copydata_driver: a program that sends WM_COPYDATA."""

    def send(self, code: int, text: str | bytes = b"", sender: bool = True) -> int:
        """Return the LRESULT of a message; a text goes as UTF-8."""
        payload = text.encode() if isinstance(text, str) else text
        answer = self.ask(f"send {code} {payload.hex() or '-'}{'' if sender else ' none'}")
        return int(answer.removeprefix("lresult "))

    def request(self, op: str, **params: Any) -> Any:
        """Return the result of a request in JSON."""
        before = len(self.process.text)
        assert self.send(102, json.dumps({"op": op, "params": params})) == 1, self.process.text[before:]
        answer = re.search(r"^got 102 (.*)\0?$", self.process.text[before:], re.MULTILINE)
        assert answer
        return json.loads(answer[1].rstrip("\0"))["result"]


class Dde(Driver):
    """dde_driver: a DDE client."""

    def execute(self, text: str) -> bool:
        """Return whether an execute string was acknowledged."""
        return self.ask(f"execute {text}") == "acknowledged"

    def item(self, name: str) -> str:
        """Return an item's text."""
        answer = self.ask(f"request {name}")
        assert answer.startswith("item"), answer
        return answer[5:]


class WindowsPhone:
    """`offhook run` under Wine, with an account that reaches whatever listens on `peer_port` of loopback."""

    def __init__(self, windows: Windows, folder: Path, config: str = "", peer_port: int = 0) -> None:
        self.windows = windows
        self.home = folder
        self.file = folder / "phone.toml"
        account = f'[account.here]\ndomain = "127.0.0.1:{peer_port}"\nusername = "1001"\nregister = false\n'
        self.file.write_text(QUIET + config + (account if peer_port else ""), "utf-8")
        self.environment = {"OFFHOOK_HOME": windows_path(folder)}
        self.process = windows.start("-m", "offhook", "run", "--config", windows_path(self.file), environment=self.environment)
        line = self.process.wait_for("offhook is running")
        self.port = int(line.split("127.0.0.1:")[1].split(",")[0])

    @property
    def uri(self) -> str:
        """An address it is reached under."""
        return f"sip:1001@127.0.0.1:{self.port}"

    def stop(self) -> None:
        """End it, as TerminateProcess does."""
        self.process.stop()

    def __enter__(self) -> WindowsPhone:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def in_order(found: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether `wanted` appears within `found`, in that order."""
    left: Iterator[str] = iter(found)
    return all(any(each == name for each in left) for name in wanted)
