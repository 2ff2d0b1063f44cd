"""Which sound device a person or a program means."""

from __future__ import annotations

from collections.abc import Sequence

from offhook.errors import InvalidArgument, NotFound
from offhook.media.messages import DeviceInfo, DeviceKind

DEFAULT_WORDS = ("", "default")


def resolve_device(devices: Sequence[DeviceInfo], kind: DeviceKind, text: str) -> DeviceInfo | None:
    """Return the device meant by `text`: its stable id, its index in the list of its kind, or a unique part of its name.

    A ring device is an output. "" and "default" mean the system's default and give None. Raises NotFound if nothing fits,
    InvalidArgument if a part of a name fits several.
    """
    wanted = text.strip()
    if wanted.casefold() in DEFAULT_WORDS:
        return None
    side = "input" if kind == "input" else "output"
    choices = [device for device in devices if device.kind == side]
    exact = [device for device in choices if device.id == wanted]
    if not exact and wanted.isascii() and wanted.isdecimal():
        exact = [device for device in choices if str(device.index) == wanted]
    if not exact:
        exact = [device for device in choices if device.name.casefold() == wanted.casefold()]
    found = exact or [device for device in choices if wanted.casefold() in device.name.casefold()]
    if not found:
        raise NotFound(f"no {side} device is called {text!r}; the list of devices has {len(choices)} of this kind")
    if len(found) > 1:
        names = ", ".join(f"{device.index}: {device.name}" for device in found)
        raise InvalidArgument.field("device", f"{text!r} fits several devices ({names}); use the id or the index")
    return found[0]
