"""What a caller asks of the phone: to answer by itself, as intercoms and paging want it, or not to (RFC 5373)."""

from __future__ import annotations

import re
from typing import Final

from offhook.phone.headers import values
from offhook.phone.model import HeaderList

_ASKING: Final = frozenset({"Call-Info", "Alert-Info", "X-AUTOANSWER"})
_ANSWER_AFTER = re.compile(r"answer-after\s*=\s*\"?(\d{1,3})", re.IGNORECASE)
_MODE = re.compile(r"\s*(auto|manual)\s*(;\s*require\s*)?(?:;.*)?", re.IGNORECASE)
_DELAY = re.compile(r";\s*delay\s*=\s*\"?(\d{1,3})", re.IGNORECASE)


def answer_mode(headers: HeaderList) -> tuple[str, bool]:
    """Return how the caller asks to be answered (RFC 5373), "auto", "manual" or "" for nothing said, and whether it insists."""
    for value in (*values(headers, "Priv-Answer-Mode"), *values(headers, "Answer-Mode")):
        found = _MODE.fullmatch(value)
        if found:
            return found.group(1).lower(), bool(found.group(2))
    return "", False


def asked_delay(headers: HeaderList) -> float | None:
    """Return after how many seconds the caller asks to be answered without a person, None if it does not ask.

    Answer-Mode (RFC 5373), which also says that it wants a person, else the forms that PBXs send for intercom and paging:
    Call-Info `answer-after=N` or `auto answer`; Alert-Info `info=alert-autoanswer` or `auto-answer`, with `delay=N`;
    X-AUTOANSWER TRUE or 1.
    """
    mode, _ = answer_mode(headers)
    if mode:
        return 0.0 if mode == "auto" else None
    for name, value in headers:
        if name not in _ASKING:
            continue
        lowered = value.lower()
        if name != "X-AUTOANSWER":
            found = _ANSWER_AFTER.search(value)
            if found:
                return float(found.group(1))
            if any(word in lowered for word in ("auto answer", "auto-answer", "autoanswer")):
                later = _DELAY.search(value)
                return float(later.group(1)) if later else 0.0
        elif lowered.strip() in ("true", "1"):
            return 0.0
    return None
