"""Threads of our own: a system that gives no more of them costs what needed one, and not the engine that asked."""

from __future__ import annotations

import threading
from collections.abc import Callable

from offhook.errors import SetupError, reason_of


def begin(work: Callable[[], object], name: str) -> threading.Thread:
    """Start a thread that the program's end does not wait for. Raises SetupError, which says what to do, if there is none."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as problem:
        raise SetupError(reason_of(problem)) from problem
    return thread
