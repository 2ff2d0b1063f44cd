"""The problems that requests are answered with."""

from __future__ import annotations

from offhook.control.http.problems import HTTP_PROBLEMS, MEDIA_TYPE
from offhook.control.json_schema import Schema
from offhook.control.openapi.shared import REF
from offhook.control.schema import PROBLEM_STATUS, problem_title


def codes_by_status() -> dict[int, list[tuple[str, str]]]:
    """Return every problem's code and title by status."""
    found: dict[int, list[tuple[str, str]]] = {}
    for code, status in PROBLEM_STATUS.items():
        found.setdefault(status, []).append((code, problem_title(code)))
    for code, (status, title) in HTTP_PROBLEMS.items():
        found.setdefault(status, []).append((code, title))
    return found


def problem_codes() -> list[tuple[int, str, str]]:
    """Return every problem's status, code and title, in their order."""
    return [(status, code, title) for status, codes in sorted(codes_by_status().items()) for code, title in sorted(codes)]


def problem_schema(status: int) -> Schema:
    """Return what a problem of this status is."""
    return {
        "title": f"Problem{status}",
        "description": f"A problem with the status {status}.",
        "allOf": [{"$ref": REF + "Problem"}],
        "type": "object",
        "properties": {
            "status": {"type": "integer", "const": status},
            "code": {"type": "string", "enum": [code for code, _ in codes_by_status()[status]]},
        },
        "required": ["status", "code"],
    }


def problem_response(status: int) -> Schema:
    """Return the answer that such a problem is."""
    codes = codes_by_status()[status]
    text = "; ".join(f"`{code}`: {title}" for code, title in codes)
    found: Schema = {"description": text, "content": {MEDIA_TYPE: {"schema": {"$ref": f"{REF}Problem{status}"}}}}
    if status in (429, 503):
        found["headers"] = {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}}
    if status in (401, 403):
        found["headers"] = {"WWW-Authenticate": {"$ref": "#/components/headers/WWWAuthenticate"}}
    return found
