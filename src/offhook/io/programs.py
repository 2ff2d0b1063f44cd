"""Runs programs beside the phone: a few at once in helper threads, each with a time limit, never waited for by the phone."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Final, TypeAlias

from offhook.io.family import APART, Family

TERMINATE_SECONDS: Final = 1.0
"""What a program gets after the polite signal before it is killed."""

OUTPUT_SECONDS: Final = 0.25
"""How long the output of a program that has ended is waited for: a child it left behind may keep the pipe open."""

MAX_LINGERING: Final = 32
"""Pipes that children left behind may keep open; while there are that many, further output is not read."""

# cmd.exe takes the command line of a batch file apart again, by rules that no quoting satisfies in all cases: `%` is expanded
# inside quotes, and a quote or a line's end in an argument begins a new command. Of what comes from others only what means
# nothing to it may pass; what the user has written himself may have all that keeps its meaning.
_SAFE_FOR_BATCH: Final = re.compile(r"[A-Za-z0-9 +*#@.:,/_\\-]*")
_MISREAD_BY_BATCH: Final = re.compile(r"[\"%&|<>^!\x00-\x1f]")

_BAD_EXE_FORMAT: Final = 193
"""Windows' error for a file that is no program; its text speaks of "%1"."""

_SHELLS: Final[Mapping[str, Callable[[list[str]], bool]]] = {
    "cmd": lambda words: True,
    "powershell": lambda words: not {"-file", "-f"} & set(words),
    "pwsh": lambda words: any(word.startswith("-c") for word in words),
}
"""Programs of Windows, and whether these arguments are a command to them, which they take apart; a file's they do not."""


@dataclass(frozen=True, slots=True)
class Run:
    """One program to run: its arguments (the first names it), its whole environment, its time limit in seconds.

    `output` is how many bytes of what it writes to its standard output are kept; the rest is read and forgotten. `foreign` is
    what was put into the arguments and comes from others, such as a caller's number.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    timeout: float
    output: int = 0
    foreign: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. `reason` is "" if all went well, else a sentence; `status` is None if it was not started or was killed.

    `output` is the standard output, `complaint` the end of the standard error, both cut to a limit.
    """

    status: int | None
    reason: str
    output: str = ""
    complaint: str = ""


MAX_COMPLAINT: Final = 1000
"""Bytes of the standard error kept, for the event that tells of the failure."""

Prepare: TypeAlias = Callable[[], Run]
Done: TypeAlias = Callable[[Outcome], None]


class Programs:
    """Up to `at_once` programs run, up to `waiting` wait for their turn; they are started in the order of `start`."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self._at_once = at_once
        self._most_waiting = waiting
        self._waiting: deque[tuple[Prepare, Done]] = deque()
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._running: set[Family] = set()
        self._pipes = 0
        self._closed = False

    def start(self, prepare: Prepare, done: Done) -> bool:
        """Run what `prepare` returns as soon as there is room; False if too many wait already.

        Returns at once: `prepare` and `done` are called in a helper thread.
        """
        with self._changed:
            if self._closed or len(self._waiting) >= self._most_waiting:
                return False
            self._waiting.append((prepare, done))
            if self._idle >= len(self._waiting):
                self._changed.notify()
            elif len(self._threads) < self._at_once:
                thread = threading.Thread(target=self._work, daemon=True, name="offhook-program")
                self._threads.append(thread)
                thread.start()
        return True

    def close(self, patience: float) -> None:
        """Let what runs and waits come to its end for `patience` seconds, then end it. Not for an event loop's thread."""
        deadline = time.monotonic() + patience
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        with self._changed:
            self._waiting.clear()
            left = tuple(self._running)
        for family in left:
            family.end()
        for thread in self._threads:
            thread.join(TERMINATE_SECONDS)

    # --- in the helper threads

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    if self._closed:
                        return
                    self._idle += 1
                    self._changed.wait()
                    self._idle -= 1
                prepare, done = self._waiting.popleft()
            done(self._outcome(prepare))

    def _outcome(self, prepare: Prepare) -> Outcome:
        try:
            run = prepare()
            refusal = unsafe_for_batch(run.arguments, run.foreign) or unsafe_for_shell(run.arguments, run.foreign)
            return Outcome(None, refusal) if refusal else self._run(run)
        except (OSError, ValueError) as error:  # ValueError: what cannot be an argument, such as a NUL
            script = getattr(error, "winerror", None) == _BAD_EXE_FORMAT
            why = "it is no program: write the one that runs it first" if script else error
            return Outcome(None, f"cannot be started: {why}")

    def _run(self, run: Run) -> Outcome:
        listens = self._pipes < 2 * self._at_once + MAX_LINGERING
        process = subprocess.Popen(  # noqa: S603 - the user's own program, as a list, never through a shell
            run.arguments,
            env=dict(run.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if run.output and listens else subprocess.DEVNULL,
            stderr=subprocess.PIPE if listens else subprocess.DEVNULL,
            **APART,
        )
        family = Family(process)
        with self._changed:
            self._running.add(family)
        try:
            output = _Pipe(process.stdout, run.output, self._count)
            complaint = _Pipe(process.stderr, MAX_COMPLAINT, self._count)
            reason = _await(process, family, run.timeout)
            texts = output.text(), complaint.text()
        finally:
            with self._changed:
                self._running.discard(family)
                family.close()
        status = process.returncode
        if not reason and status:
            reason = f"ended with {f'signal {-status}' if status < 0 else f'status {status}'}"
        return Outcome(status, reason, *texts)

    def _count(self, more: int) -> None:
        with self._changed:
            self._pipes += more


class _Pipe:
    """Reads what a program writes, keeps the first `limit` bytes, and forgets the rest, so that it never blocks."""

    def __init__(self, stream: IO[bytes] | None, limit: int, count: Callable[[int], None]) -> None:
        self._kept = b""
        self._limit = limit
        self._count = count
        self._thread: threading.Thread | None = None
        if stream is not None:
            count(1)
            self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True, name="offhook-output")
            self._thread.start()

    def text(self) -> str:
        """Return what has been kept so far, once the pipe is closed or a moment is over."""
        if self._thread is not None:
            self._thread.join(OUTPUT_SECONDS)
        return self._kept.decode("utf-8", "replace")

    def _read(self, stream: IO[bytes]) -> None:
        try:
            with stream, contextlib.suppress(OSError):
                while chunk := os.read(stream.fileno(), 65536):
                    self._kept += chunk[: self._limit - len(self._kept)]
        finally:
            self._count(-1)


def _await(process: subprocess.Popen[bytes], family: Family, seconds: float) -> str:
    """Wait for the end; after `seconds` bring it about. Returns "" or why it had to be ended."""
    try:
        process.wait(seconds)
        return ""
    except subprocess.TimeoutExpired:
        if family.ask_to_end():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(TERMINATE_SECONDS)
    family.end()  # also children that did not go with it
    process.wait()
    return f"did not end within {seconds:g} s and was ended"


def unsafe_for_batch(arguments: tuple[str, ...], foreign: tuple[str, ...], platform: str = sys.platform) -> str:
    """Return why these arguments must not reach a Windows batch file, "" if they may (or it is none)."""
    # Windows drops dots and blanks at a file name's end.
    if platform != "win32" or not arguments[0].rstrip(". ").lower().endswith((".bat", ".cmd")):
        return ""
    unsafe = [text for text in foreign if not _SAFE_FOR_BATCH.fullmatch(text)]
    unsafe += [argument for argument in arguments[1:] if _MISREAD_BY_BATCH.search(argument)]
    return f"not started: {unsafe[0][:64]!r} is not safe as an argument of a batch file; let an .exe do it" if unsafe else ""


def unsafe_for_shell(arguments: tuple[str, ...], foreign: tuple[str, ...], platform: str = sys.platform) -> str:
    """Return why what comes from others must not reach these arguments, "" if it may.

    They are a command of a shell of Windows: what a caller calls himself must not become a part of it.
    """
    name = re.split(r"[\\/]", arguments[0])[-1].rstrip(". ").lower().removesuffix(".exe")
    takes_command = _SHELLS.get(name)
    if platform != "win32" or takes_command is None or not takes_command([word.lower() for word in arguments[1:]]):
        return ""
    found = next((text for text in foreign if not _SAFE_FOR_BATCH.fullmatch(text)), None)
    return "" if found is None else f"not started: {found[:64]!r} is not safe in a command of {name}; let another .exe do it"
