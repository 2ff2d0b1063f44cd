"""Message waiting: the simple message summary (RFC 3842), read."""

from __future__ import annotations

import re
from typing import Final

from offhook.errors import ParseError
from offhook.phone.model import SummaryView

TYPE: Final = "application/simple-message-summary"
MAX_BYTES: Final = 16384
"""A summary has some lines; the headers of each message that may follow are not read."""

_COUNTS: Final = re.compile(r"voice-message\s*:\s*(\d{1,9})\s*/\s*(\d{1,9})(?:\s*\(\s*(\d{1,9})\s*/\s*(\d{1,9})\s*\))?", re.I)


def parse_summary(data: bytes) -> SummaryView:
    """Return what waits; ParseError without a Messages-Waiting line, which is the one that must be there."""
    if len(data) > MAX_BYTES:
        raise ParseError("the summary is too long")
    lines = [line.strip() for line in data.decode("utf-8", "replace").splitlines()]
    fields = {name.strip().lower(): value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon}
    word = fields.get("messages-waiting", "").lower()
    if word not in ("yes", "no"):
        raise ParseError("a summary without Messages-Waiting: yes or no")
    counts = next((found for found in map(_COUNTS.match, lines) if found), None)
    new, old, urgent_new, urgent_old = (int(number or 0) for number in counts.groups()) if counts else (0, 0, 0, 0)
    return SummaryView(word == "yes", new, old, urgent_new, urgent_old, fields.get("message-account", "")[:512])
