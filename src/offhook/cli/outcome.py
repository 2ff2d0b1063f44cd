"""How the command line ends: the fixed exit codes, and the one exception that carries one."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DONE = 0
REFUSED = 1
USAGE = 2
NO_PHONE = 3
FAR_END = 4
TIMED_OUT = 5
INTERRUPTED = 130

EXIT_CODES = {
    DONE: "done",
    REFUSED: "refused: no such call, bad value, wrong state, line busy …",
    USAGE: "the command line cannot be understood",
    NO_PHONE: "no phone is running",
    FAR_END: "the far end's answer was no: busy, declined, not found …",
    TIMED_OUT: "what was waited for did not happen in time; nobody answered within --ring-timeout",
    INTERRUPTED: "interrupted (Ctrl+C); what was begun goes on",
}
"""Every exit code and its meaning."""


class Ended(Exception):
    """End the command with `code` and say `text`; `problem` is what `--json` tells besides, as a problem object has it."""

    def __init__(self, code: int, text: str, problem: dict[str, Any] | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.problem = problem or {}
