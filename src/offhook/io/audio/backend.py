"""What a sound library must offer to `sound.py`: a list of devices, and streams that call back from a thread of theirs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from offhook.media.messages import DeviceInfo

Pull: TypeAlias = Callable[[int], bytes]
"""Return exactly this many samples of 8 kHz mono 16-bit audio; never blocks."""
Push: TypeAlias = Callable[[bytes], None]
"""Take samples of 8 kHz mono 16-bit audio; never blocks."""


class BackendError(Exception):
    """The library refuses; the text is for people."""


@dataclass(frozen=True, slots=True)
class FoundDevice:
    """One device with the library's own name for it (`native`, given back to open it)."""

    info: DeviceInfo
    native: object


class OpenDevice(Protocol):
    """A running stream."""

    def close(self) -> None:
        """Stop it. May take long when the device is gone."""
        ...


class Backend(Protocol):
    """A sound library. Everything may block for a while and raises BackendError."""

    def find(self) -> list[FoundDevice]:
        """Return the devices there are now; an empty list on a machine without sound."""
        ...

    def open_output(self, native: object | None, pull: Pull) -> OpenDevice:
        """Start playing on a device (None: the system's default)."""
        ...

    def open_input(self, native: object | None, push: Push) -> OpenDevice:
        """Start recording from a device (None: the system's default)."""
        ...


def stable_id(library: str, kind: Literal["input", "output"], native: bytes, name: str) -> str:
    """Return an id that is the same at the next start. The name is part of it because systems give numbers out again."""
    text = b"\0".join((library.encode(), kind.encode(), native, name.encode()))
    return hashlib.blake2s(text, digest_size=6).hexdigest()
