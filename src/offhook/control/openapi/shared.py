"""What many operations share: parameters, headers, and where descriptions are."""

from __future__ import annotations

from typing import Final

from offhook.control.http.limits import MAX_KEY, MAX_WAIT
from offhook.control.json_schema import Schema

REF: Final = "#/components/schemas/"


def shared_parameters() -> Schema:
    """Return the headers of requests, by the names that operations refer to."""
    return {
        "IdempotencyKey": {
            "name": "Idempotency-Key", "in": "header", "required": False,
            "description": "A name for this very request, such as a UUID. Sent again within 24 hours, it is answered again "
            "and not done again, not even by a phone that was started again. Printable characters of ASCII.",
            "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY},
        },
        "Prefer": {
            "name": "Prefer", "in": "header", "required": False,
            "description": f"`wait=10` waits at most 10 seconds, {MAX_WAIT:g} at most, for the outcome (RFC 7240).",
            "schema": {"type": "string", "examples": ["wait=10"]},
        },
        "LastEventID": {
            "name": "Last-Event-ID", "in": "header", "required": False,
            "description": "For the stream: the id of the last event seen, before `after`. Browsers send it by themselves.",
            "schema": {"type": "string"},
        },
        "RequestID": {
            "name": "X-Request-Id", "in": "header", "required": False,
            "description": "Your name for this request; its first 64 characters come back, and stand in the cause of events.",
            "schema": {"type": "string"},
        },
    }  # fmt: skip


def shared_headers() -> Schema:
    """Return the headers of answers, likewise."""
    text: Schema = {"type": "string"}
    return {
        "Location": {"description": "Where what was created, or the operation, is.", "schema": text},
        "Link": {"description": 'Of a new call: the operation, as `<…>; rel="monitor"`.', "schema": text},
        "PreferenceApplied": {"description": "The preference that was followed.", "schema": text},
        "RetryAfter": {"description": "Seconds until it is worth trying again.", "schema": {"type": "integer"}},
        "WWWAuthenticate": {"description": "What is wrong with the token (RFC 6750).", "schema": text},
    }


def sentence(text: str) -> str:
    """Return a summary as a sentence."""
    return text[:1].upper() + text[1:] + "."
