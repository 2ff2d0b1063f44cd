"""What a check finds, what a check is, and the time both may take."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, TypeVar

Level: TypeAlias = Literal["ok", "warning", "wrong"]

MARKS: Final[dict[Level, str]] = {"ok": "ok", "warning": "! ", "wrong": "!!"}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: `text` says what is, `advice` what to do next ("" if nothing)."""

    name: str
    level: Level
    text: str
    advice: str = ""

    def printable(self) -> Finding:
        """Return it without what a terminal obeys or cannot show: far ends' words are quoted in it."""
        return Finding(_printable(self.name), self.level, _printable(self.text), _printable(self.advice))

    def __str__(self) -> str:
        return f"{MARKS[self.level]}  {self.name}: {self.text}" + (f"\n    {self.advice}" if self.advice else "")


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(each if each.isprintable() else "?" for each in text)


@dataclass(frozen=True, slots=True)
class Check:
    """Something to look at. `look` yields findings as it goes, may block, and gets `limit` seconds in all."""

    name: str
    look: Callable[[], Iterator[Finding]]
    limit: float = 10.0


def within(seconds: float, work: Callable[[], T]) -> T:
    """Return what `work` returns; TimeoutError if that takes longer: it is left to itself on a thread that ends with us."""
    done: list[T] = []
    failed: list[Exception] = []

    def run() -> None:
        try:
            done.append(work())
        except Exception as error:  # it belongs to the caller, and is raised there
            failed.append(error)

    thread = threading.Thread(target=run, name="offhook-doctor-limit", daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not done:
        raise TimeoutError(f"not done within {seconds:g} s")
    return done[0]


def milliseconds(seconds: float) -> str:
    """Return a duration as people read it."""
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"


def listed(items: Iterator[str] | list[str] | tuple[str, ...], most: int = 6) -> str:
    """Return a list in one line; what is beyond `most` is counted."""
    all_items = list(items)
    rest = len(all_items) - most
    return ", ".join(all_items[:most]) + (f" and {rest} more" if rest > 0 else "")
