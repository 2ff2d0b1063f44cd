"""Codecs, one per file, behind one small protocol."""

from __future__ import annotations

from offhook.media.codecs.contract import Codec
from offhook.media.codecs.kinds import kind_of


def codec(name: str, fmtp: str = "") -> Codec:
    """Return a new codec of this name, in any case of letters; `fmtp` are the far end's format parameters for what we send.

    Raises LookupError for one that is not here, ImportError for one whose packages are not installed (`kinds.missing`).
    """
    return kind_of(name).make(fmtp)


__all__ = ["Codec", "codec"]
