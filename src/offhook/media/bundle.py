"""What browsers ask of a description: the name of our audio line (RFC 5888), and the BUNDLE group it stands in (RFC 9143).

The group has one member, our only line. It says nothing new, but a browser that is told to put all it sends on one transport
refuses a description without it.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from offhook.media.sdp import Attribute, MediaDescription, SessionDescription

OWN_NAME: Final = "0"
_GROUP: Final = "group"
_BUNDLE: Final = "BUNDLE"
_NAME: Final = re.compile(r"[!#-'*+.0-9A-Z^-~-]{1,32}")  # a token of RFC 8866 9, of the length that can be needed


class LineName(NamedTuple):
    """The name of an audio line, "" without one, and whether it stands in a BUNDLE group."""

    mid: str = ""
    bundled: bool = False

    @property
    def of_line(self) -> tuple[Attribute, ...]:
        """What the line says."""
        return (Attribute("mid", self.mid),) if self.mid else ()

    @property
    def of_session(self) -> tuple[Attribute, ...]:
        """What the session says."""
        return (Attribute(_GROUP, f"{_BUNDLE} {self.mid}"),) if self.mid and self.bundled else ()


NO_NAME: Final = LineName()


def name_of(description: SessionDescription, line: MediaDescription) -> LineName:
    """Return the name that the writer has given the line: what answers it, and what follows in a call, repeats it."""
    mid = line.attribute("mid") or ""
    if not _NAME.fullmatch(mid):
        return NO_NAME
    groups = ((item.value or "").split() for item in description.attributes if item.name == _GROUP)
    return LineName(mid, any(group[:1] == [_BUNDLE] and mid in group[1:] for group in groups))
