"""What a DDE client can ask for by item: Status, StatusCode, ActiveCall, Calls, Volume, Devices. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from offhook.control.backend import Execute
from offhook.control.legacy.steps import audio_view, device_lines, remote_of, status_view
from offhook.control.schema import to_json
from offhook.errors import NotFound
from offhook.phone.commands import ListCalls, ListDevices
from offhook.phone.model import CallView

DDE_ITEMS: dict[str, Callable[[Execute], str]] = {
    "Status": lambda execute: status_view(execute).name,
    "StatusCode": lambda execute: str(status_view(execute).code),
    "ActiveCall": lambda execute: remote_of(status_view(execute)),
    "Calls": lambda execute: _json_text(execute(ListCalls()).value),
    "Volume": lambda execute: str(audio_view(execute).output_volume),
    "Devices": lambda execute: device_lines(execute(ListDevices()).value),
}
"""What a DDE request can ask for (the item `Event` exists only as an advise loop)."""

_ITEM_BY_NAME = {name.lower(): read for name, read in DDE_ITEMS.items()}


def dde_request(execute: Execute, item: str) -> str:
    """Return the text of a DDE request item; raises NotFound for an item that does not exist."""
    read = _ITEM_BY_NAME.get(item.strip().lower())
    if read is None:
        raise NotFound(f"there is no item {item[:32]!r}; there are: {', '.join(DDE_ITEMS)}")
    return read(execute)


def _json_text(calls: Sequence[CallView]) -> str:
    # msgspec speaks bytes; going through the builtins keeps one translator for every surface.
    import json

    return json.dumps(to_json(calls), ensure_ascii=False, separators=(",", ":"))
