"""A command that failed, for a program (`--json`): the problem object that HTTP and the sockets give, in one line."""

from __future__ import annotations

import codecs
import json
import sys

from offhook.cli.outcome import FAR_END, INTERRUPTED, NO_PHONE, REFUSED, TIMED_OUT, USAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LOCAL = {
    REFUSED: ("command-refused", "The command was refused"),
    USAGE: ("invalid-argument", "A value is not acceptable"),
    NO_PHONE: ("no-phone", "The phone is not there"),
    FAR_END: ("far-end", "The far end's answer was no"),
    TIMED_OUT: ("timeout", "What was waited for did not happen in time"),
    INTERRUPTED: ("interrupted", "Interrupted; what was begun goes on"),
}
"""Code and title, by the exit code, of what went wrong on this side of the phone."""

SETUP = ("setup", "This machine or its configuration is not in order")


def problem_line(code: int, text: str, known: dict[str, Any]) -> str:
    """Return the line. `known` is what is known besides, or the phone's own problem object."""
    name, title = LOCAL[code]
    found = {"title": title, "detail": text, "code": name, **known}
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    return json.dumps(found, ensure_ascii=codecs.lookup(encoding).name != "utf-8")


def known_of(error: Exception) -> dict[str, Any]:
    """Return what is known of an error besides its text: of a refusal, the phone's or our own, the whole problem object."""
    from offhook.control.client import Refused
    from offhook.errors import NO_THREAD, CommandError

    if isinstance(error, Refused):
        return error.problem
    if isinstance(error, CommandError):
        from offhook.control.schema import problem

        return problem(error)
    if type(error).__module__ == "offhook.errors" or isinstance(error, OSError) or str(error) == NO_THREAD:
        return {"code": SETUP[0], "title": SETUP[1]}
    return {}
