"""Why something was refused (RFC 9457)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One field that was refused: its JSON pointer, and what to write instead."""

    pointer: str
    detail: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a request was refused (RFC 9457). `code` is stable; `detail` is for people. `retry_after` is seconds.

    `errors` names the fields that were wrong. `instance` is the request's path, `op` the operation it meant.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: tuple[FieldProblem, ...] = ()
    retry_after: int = 0
    instance: str = ""
    op: str = ""
