"""What the tests of the doctor have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from offhook.cli.doctor.case import Case
from offhook.cli.doctor.finding import Finding
from offhook.storage.paths import paths


def case_in(folder: Path) -> Case:
    """Return a case without a phone, with its files in this folder."""
    return Case(str(folder / "s"), patience=2.0, where=paths({"OFFHOOK_HOME": str(folder)}))


def only(findings: Iterator[Finding]) -> Finding:
    """Return the one finding there is."""
    (found,) = findings
    return found


def settings(case: Case, section: Literal["phone", "sip", "media"], **changes: Any) -> None:
    """Change the configuration of the case."""
    case.config = replace(case.config, **{section: replace(getattr(case.config, section), **changes)})
