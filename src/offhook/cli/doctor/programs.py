"""The programs of the hooks: whether they are there, and can be started without a shell."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from offhook.cli.doctor.case import Case
from offhook.cli.doctor.finding import Finding
from offhook.control.hooks import OCCASIONS
from offhook.io.programs import unsafe_for_batch

_STARTED: Final = (".exe", ".com", ".bat", ".cmd")
"""What Windows starts as a program; all else it opens with one, which a hook names first."""


def look_at_programs(case: Case) -> Iterator[Finding]:
    """Look at each program that `[hooks]` and `[[hook]]` name; nothing if there is none."""
    hooks = case.config.hooks
    named = [(name, getattr(hooks, name)) for name in (*OCCASIONS, "decide")]
    named += [(f"hook_{place}", each.run) for place, each in enumerate(case.config.hook, 1)]
    named = [(name, run) for name, run in named if run]
    good = 0
    for name, run in named:
        text, advice = _fault(run, sys.platform)
        if text:
            yield Finding(f"hook {name}", "warning", text, advice)
        else:
            good += 1
    if good:
        yield Finding("hooks", "ok", f"{good} of {len(named)} programs can be started")


def _fault(run: tuple[str, ...], platform: str) -> tuple[str, str]:
    """Return what is wrong with a program and what to do; twice "" if nothing is to be seen."""
    program = run[0]
    if not Path(program).is_file() and shutil.which(program) is None:
        return f"there is no program {program}", "write its whole path, with its ending; no shell looks for it"
    if platform == "win32":
        suffix = Path(program).suffix.lower()
        if suffix and suffix not in _STARTED:
            return f"{program} is no program", "write the program that opens it first, and it as an argument (docs/hooks.md)"
    elif shutil.which(program) is None:
        return f"{program} may not be executed", f"chmod +x '{program}', or write the program that runs it first"
    refused = unsafe_for_batch(run, (), platform)
    return (refused.removeprefix("not started: "), "write it into the batch file (docs/hooks.md)") if refused else ("", "")
