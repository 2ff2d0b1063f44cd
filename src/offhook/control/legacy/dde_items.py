"""What a DDE client can ask for by item, and set by item: Status, ActiveCall, Calls, Volume … Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Final

from offhook.control.backend import Execute
from offhook.control.legacy.dde import dde_command
from offhook.control.legacy.steps import audio_view, device_lines, remote_of, status_view
from offhook.control.schema import to_json
from offhook.errors import NotFound
from offhook.phone.commands import ListCalls, ListDevices
from offhook.phone.model import CallView

SHELL_TOPIC: Final = "System"
"""The topic on which the Windows shell hands over links (ddeexec)."""

TOPICS: Final = ("control", SHELL_TOPIC)
"""The topics a client is offered; every other one is taken too."""

ADVISED: Final = ("Status", "ActiveCall", "Event")
"""The items that are pushed in an advise loop."""

EVENT: Final = "Event"
RETURN_MESSAGE: Final = "ReturnMessage"
"""The item of every DDE server that tells what the latest command of this conversation answered, or why it was refused."""

FORMATS: Final = ("UNICODETEXT", "TEXT")

DDE_ITEMS: dict[str, Callable[[Execute], str]] = {
    "Status": lambda execute: status_view(execute).name,
    "StatusCode": lambda execute: str(status_view(execute).code),
    "ActiveCall": lambda execute: remote_of(status_view(execute)),
    "Calls": lambda execute: _json_text(execute(ListCalls()).value),
    "Volume": lambda execute: str(audio_view(execute).output_volume),
    "Devices": lambda execute: device_lines(execute(ListDevices()).value),
}
"""What a DDE request can ask for at any time."""

# DDEML.H names these items of the System topic; each is a list with tabs between.
_SERVER_ITEMS: Final = {
    "Topics": "\t".join(TOPICS),
    "SysItems": "\t".join([*DDE_ITEMS, EVENT, RETURN_MESSAGE, "Topics", "SysItems", "Formats"]),
    "Formats": "\t".join(FORMATS),
}

_ITEM_BY_NAME = {name.lower(): read for name, read in DDE_ITEMS.items()}
_SERVER_ITEM_BY_NAME = {name.lower(): text for name, text in _SERVER_ITEMS.items()}
_ADVISED_BY_NAME = {name.lower(): name for name in ADVISED}


def dde_request(execute: Execute, item: str) -> str:
    """Return the text of a DDE request item; raises NotFound for an item that does not exist."""
    name = item.strip().lower()
    if name in _SERVER_ITEM_BY_NAME:
        return _SERVER_ITEM_BY_NAME[name]
    read = _ITEM_BY_NAME.get(name)
    if read is None:
        raise NotFound(f"there is no item {item[:32]!r}; there are: {', '.join(DDE_ITEMS)}")
    return read(execute)


def dde_poke(execute: Execute, item: str, text: str) -> None:
    """Set an item: `Volume` to a number, or any of the 16 commands to its argument. Raises CommandError."""
    name = item.strip()
    execute(dde_command("SetVolume" if name.lower() == "volume" else name, text))


def advised_item(item: str) -> str:
    """Return the item of an advise loop as it is written; raises NotFound for one that is not pushed."""
    found = _ADVISED_BY_NAME.get(item.strip().lower())
    if found is None:
        raise NotFound(f"{item[:32]!r} is not pushed; there are: {', '.join(ADVISED)}")
    return found


def ascii_json(text: str) -> str:
    """Return JSON with everything outside ASCII escaped, which survives a client that reads it by its code page."""
    return re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found[0])[1:-1], text)


def _json_text(calls: Sequence[CallView]) -> str:
    # msgspec speaks bytes; going through the builtins keeps one translator for every surface.
    return json.dumps(to_json(calls), separators=(",", ":"))
