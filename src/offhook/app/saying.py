"""What a running phone prints. Its log may be on a full disk, or a pipe that nobody reads any more: calls go on without it."""

from __future__ import annotations

import contextlib
import os
import sys


def say(text: str) -> None:
    """Print a line at once."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


def say_trouble(text: str) -> None:
    """Print a line to standard error at once."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def last_word() -> None:
    """Give up what could not be printed: the interpreter would try again at its end, and call that a failure."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
