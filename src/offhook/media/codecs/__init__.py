"""Codecs, one per file, behind one two-method protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from offhook.media.codecs.g711 import Pcma, Pcmu


class Codec(Protocol):
    """Turns frames of 8 kHz PCM into payloads and back. Both methods take and return bytes and never raise on any input.

    They are attributes that hold functions, so that the packet path calls C with one Python frame in between.
    """

    @property
    def name(self) -> str:
        """Return the encoding name of SDP, in capitals."""
        ...

    @property
    def payload_type(self) -> int:
        """Return the static payload type (RFC 3551), -1 where it is dynamic."""
        ...

    @property
    def encode(self) -> Callable[[bytes], bytes]:
        """Return the function from PCM to payload."""
        ...

    @property
    def decode(self) -> Callable[[bytes], bytes]:
        """Return the function from payload to PCM."""
        ...


_MAKERS: dict[str, Callable[[], Codec]] = {"PCMU": Pcmu, "PCMA": Pcma}
NAMES = tuple(_MAKERS)


def codec(name: str) -> Codec:
    """Return a new codec of this encoding name, in any case of letters. Raises LookupError for one that is not here."""
    return _MAKERS[name.upper()]()


__all__ = ["NAMES", "Codec", "codec"]
