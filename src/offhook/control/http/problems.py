"""Every error as an RFC 9457 problem: the same object as on the sockets, with what HTTP adds."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, Final

from offhook.control.http.answers import Answer
from offhook.control.schema import problem
from offhook.errors import CommandError, Forbidden, Unauthenticated, operators

MEDIA_TYPE: Final = "application/problem+json"

HTTP_PROBLEMS: Final[Mapping[str, tuple[int, str]]] = {
    "malformed": (400, "The request cannot be read"),
    "no-route": (404, "There is nothing under this path"),
    "method-not-allowed": (405, "This path does not take this method"),
    "request-timeout": (408, "The request did not arrive in time"),
    "in-flight": (409, "A request with the same Idempotency-Key still runs"),
    "interrupted": (409, "The phone ended while it carried this request out"),
    "content-too-large": (413, "The body is too long"),
    "target-too-long": (414, "Path and query are too long"),
    "unsupported-media-type": (415, "The body is not of a kind this path takes"),
    "misdirected": (421, "The request was meant for another host"),
    "upgrade-required": (426, "This path is a WebSocket"),
    "head-too-large": (431, "The headers are too long"),
    "internal": (500, "Something went wrong inside the phone"),
    "overloaded": (503, "Too many clients at once"),
    "requests-unread": (503, "What was asked with Idempotency-Keys cannot be read just now"),
}
"""What only HTTP can get wrong: status and title by code. The codes of commands are in `offhook.errors`."""

_log = logging.getLogger(__name__)


class HttpRefusal(Exception):
    """A request that never became a command; `code` is one of HTTP_PROBLEMS."""

    def __init__(self, code: str, detail: str, headers: Mapping[str, str] | None = None, *, retry_after: float = 0.0) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.retry_after = retry_after

    @property
    def status(self) -> int:
        """The HTTP status."""
        return HTTP_PROBLEMS[self.code][0]


def problem_object(error: CommandError | HttpRefusal) -> dict[str, Any]:
    """Return the problem of an error, without what is known only where it is sent."""
    if isinstance(error, CommandError):
        return problem(error)
    status, title = HTTP_PROBLEMS[error.code]
    found = {"type": f"/v1/problems/{error.code}", "title": title, "status": status, "detail": error.detail, "code": error.code}
    if error.retry_after:
        found["retry_after"] = math.ceil(error.retry_after)
    return found


def problem_answer(error: Exception, *, instance: str = "", operation: str = "", with_token: bool = True) -> Answer:
    """Return the answer that says what is wrong. What is no error of ours is a mistake of ours: it is logged here."""
    mend = operators(error)
    if mend is not None:  # a full disk, a locked file
        _log.warning("a request failed: %s", mend)
        error = HttpRefusal("internal", str(mend))
    elif not isinstance(error, CommandError | HttpRefusal):
        _log.error("a request failed unexpectedly", exc_info=error)
        error = HttpRefusal("internal", "the phone's log has the details")
    found = problem_object(error)
    if instance:
        found["instance"] = instance
    if operation:
        found["op"] = operation
    headers = dict(error.headers) if isinstance(error, HttpRefusal) else _headers(error, with_token)
    if error.retry_after:
        headers["retry-after"] = str(math.ceil(error.retry_after))  # RFC 9110 10.2.3: whole seconds
    return Answer(found["status"], found, headers, media_type=MEDIA_TYPE)


def _headers(error: CommandError, with_token: bool) -> dict[str, str]:
    # RFC 6750 3: what was wrong with the token; nothing but the scheme for a request that brought none.
    if isinstance(error, Unauthenticated):
        return {"www-authenticate": 'Bearer realm="offhook"' + (', error="invalid_token"' if with_token else "")}
    if isinstance(error, Forbidden):
        return {"www-authenticate": 'Bearer realm="offhook", error="insufficient_scope"'}
    return {}
