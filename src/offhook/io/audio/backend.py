"""What a sound library must offer to `sound.py`: a list of devices, and streams that call back from a thread of theirs."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol, TypeAlias

from msgspec import structs

from offhook.media.messages import DeviceInfo

CARD_RATE: Final = 16_000
"""Hz of the sound card: all that G.722 carries. At 48 kHz each step would cost three times as much, for what few calls have."""

Pull: TypeAlias = Callable[[int], bytes]
"""Return exactly this many samples of mono 16-bit audio at the rate the device was opened with; never blocks."""
Push: TypeAlias = Callable[[bytes], None]
"""Take such samples; never blocks."""


class BackendError(Exception):
    """The library refuses; the text is for people."""


@dataclass(frozen=True, slots=True)
class FoundDevice:
    """One device with the library's own name for it (`native`, given back to open it)."""

    info: DeviceInfo
    native: object


class OpenDevice(Protocol):
    """A running stream."""

    @property
    def latency(self) -> float:
        """Return the length of its buffers in seconds, as far as the library tells."""
        ...

    def close(self) -> None:
        """Stop it. May take long when the device is gone."""
        ...


class Backend(Protocol):
    """A sound library. Everything may block for a while and raises BackendError."""

    def find(self) -> list[FoundDevice]:
        """Return the devices there are now; an empty list on a machine without sound."""
        ...

    def open_output(self, native: object | None, rate: int, pull: Pull) -> OpenDevice:
        """Start playing on a device (None: the system's default) at this rate (Hz), whatever the device's own is."""
        ...

    def open_input(self, native: object | None, rate: int, push: Push) -> OpenDevice:
        """Start recording from a device (None: the system's default) at this rate (Hz)."""
        ...


def stable_id(library: str, kind: Literal["input", "output"], native: bytes, name: str) -> str:
    """Return an id that is the same at the next start. The name is part of it because systems give numbers out again."""
    text = b"\0".join((library.encode(), kind.encode(), native, name.encode()))
    return hashlib.blake2s(text, digest_size=6).hexdigest()


def kept_apart(found: list[FoundDevice]) -> list[FoundDevice]:
    """Return the devices with the second and third of one id numbered, in the order the system lists them.

    Two headsets of one make are told apart by what the system calls them, where it calls them anything; this is for the rest.
    """
    seen: Counter[str] = Counter()
    apart = []
    for device in found:
        identity = device.info.id
        seen[identity] += 1
        if seen[identity] > 1:
            device = replace(device, info=structs.replace(device.info, id=f"{identity}-{seen[identity]}"))
        apart.append(device)
    return apart
