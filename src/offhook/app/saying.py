"""What a running phone prints. Its log may be on a full disk, or a pipe that nobody reads any more: calls go on without it."""

from __future__ import annotations

import contextlib
import sys


def say(text: str) -> None:
    """Print a line at once."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


def say_trouble(text: str) -> None:
    """Print a line to standard error at once."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)
