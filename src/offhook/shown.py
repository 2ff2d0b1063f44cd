"""Text from strangers, as a terminal may show it: what would move the cursor, change colours or reverse the line is escaped."""

from __future__ import annotations

import re

# C0 and C1 control characters, line ends of Unicode, marks that turn the direction of writing, halves of surrogate pairs, and
# what takes no room, so that two names look alike. Joiners (U+200C, U+200D) stay: Persian and families of emoji need them.
_UNSHOWABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)


def plain(text: str) -> str:
    r"""Return `text` with every unshowable character written as \x1b or \u202e."""
    return _UNSHOWABLE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
