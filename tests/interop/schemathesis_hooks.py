"""What Schemathesis is told about this phone: where there is a call to speak of, and to keep off the network and the disk.

Loaded by Schemathesis itself (SCHEMATHESIS_HOOKS); OFFHOOK_TEST_PEER is the address of a phone that answers.
"""

from __future__ import annotations

import itertools
import os
import re
import zlib
from typing import Any

import schemathesis

PEER = os.environ["OFFHOOK_TEST_PEER"]
MOST_SECONDS = 0.02
"""Nobody waits longer, whatever may be asked for."""

_NUMBERS = itertools.count()


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Aim a generated request at what exists. Values of a wrong type stay, as they are what is tried."""
    del context, kwargs
    path, query, headers = case.path_parameters or {}, case.query or {}, case.headers or {}
    call = "ringing" if case.operation.path.endswith(("/answer", "/reject", "/redirect")) else "current"
    for name, real in (("call", call), ("conference", "room")):
        if isinstance(path.get(name), str) and zlib.crc32(path[name].encode()) % 4:
            path[name] = real
    if isinstance(query.get("wait"), int | float) and query["wait"] > 0:
        query["wait"] = min(query["wait"], MOST_SECONDS) if query["wait"] <= 60 else query["wait"]
    headers.pop("Prefer", None)
    if re.fullmatch("[!-~]{1,255}", str(headers.get("Idempotency-Key", ""))):
        headers["Idempotency-Key"] = f"key-{next(_NUMBERS)}"  # the same one again, with another body, is refused by design
    if isinstance(case.body, dict):
        _aim(case.body)


def _aim(body: dict[str, Any]) -> None:
    for name, value in (("to", PEER), ("domain", "127.0.0.1:9"), ("file", "")):
        if isinstance(body.get(name), str) and body[name]:
            body[name] = value
    if isinstance(body.get("proxy"), str):
        body["proxy"] = ""
    longest = 60 if "condition" in body else 86_400 if "conditions" in body else 0
    timeout = body.get("timeout", 30)
    if isinstance(timeout, int | float) and not isinstance(timeout, bool) and 0 < timeout <= longest:
        body["timeout"] = MOST_SECONDS
