"""Dialog event package (RFC 4235): the state of somebody's calls, read and merged; and ours, written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from offhook.errors import ParseError
from offhook.phone.model import CallState, CallView, DialogView
from offhook.phone.watching.xml import Node, escape, parse_xml, quoteattr
from offhook.sip.dialog import Dialog

TYPE: Final = "application/dialog-info+xml"
MAX_DIALOGS: Final = 256
"""Dialogs of one watched phone remembered at most."""

DialogState: TypeAlias = Literal["trying", "proceeding", "early", "confirmed", "terminated"]
STATES: Final[Mapping[str, DialogState]] = {
    "trying": "trying", "proceeding": "proceeding", "early": "early", "confirmed": "confirmed", "terminated": "terminated",
}  # fmt: skip
_DIRECTIONS: Final[Mapping[str, Literal["outgoing", "incoming"]]] = {"initiator": "outgoing", "recipient": "incoming"}


@dataclass(frozen=True, slots=True)
class DialogInfo:
    """One document. `full`: it names all dialogs there are; else only what has changed."""

    version: int
    full: bool
    dialogs: tuple[DialogView, ...]


def parse_dialog_info(data: bytes) -> DialogInfo:
    """Read a document; ParseError if it is none. Dialogs that cannot be read are left out beside others that can."""
    root = parse_xml(data)
    version = root.get("version")
    if root.name != "dialog-info" or root.get("state") not in ("full", "partial"):
        raise ParseError("not a dialog-info")
    if not (version.isascii() and version.isdigit() and len(version) <= 10):
        raise ParseError("a dialog-info without a version")
    nodes = root.find_all("dialog")[:MAX_DIALOGS]
    found = tuple(each for each in map(_dialog, nodes) if each is not None)
    if nodes and not found:
        raise ParseError("a dialog without id or state")  # else a phone that is busy would seem to be idle
    return DialogInfo(int(version), root.get("state") == "full", found)


def _dialog(node: Node) -> DialogView | None:
    """Return a dialog, None for one that lacks what RFC 4235 4.1.2 demands of it."""
    state = STATES.get(node.text_of("state").lower())
    if not node.get("id") or state is None:
        return None
    local, remote = node.find("local"), node.find("remote")
    identity = remote.find("identity") if remote is not None else None
    ours = local.find("identity") if local is not None else None
    return DialogView(
        id=node.get("id")[:256], state=state, direction=_DIRECTIONS.get(node.get("direction").lower(), ""),
        remote=identity.text.strip()[:512] if identity is not None else "",
        remote_display=identity.get("display")[:256] if identity is not None else "",
        remote_target=_target(remote), local=ours.text.strip()[:512] if ours is not None else "",
        sip_call_id=node.get("call-id")[:512], local_tag=node.get("local-tag")[:256], remote_tag=node.get("remote-tag")[:256],
    )  # fmt: skip


def _target(side: Node | None) -> str:
    found = side.find("target") if side is not None else None
    return found.get("uri")[:512] if found is not None else ""


@dataclass(slots=True)
class DialogList:
    """What is known of somebody's dialogs, from all documents so far (RFC 4235 4.4)."""

    version: int = -1
    dialogs: dict[str, DialogView] = field(default_factory=dict)

    def take(self, info: DialogInfo) -> bool:
        """Take a document in; False if one is missing before it: ask for the whole state then."""
        if info.full:
            # A version below ours means that the other side began anew, for documents come in the order of their NOTIFYs.
            self.dialogs = {}
        elif info.version <= self.version:
            return True  # an old one
        elif info.version != self.version + 1:
            return False
        self.version = info.version
        for dialog in info.dialogs:
            if dialog.state == "terminated":
                self.dialogs.pop(dialog.id, None)
            elif len(self.dialogs) < MAX_DIALOGS:
                self.dialogs[dialog.id] = dialog
        return True

    def forget(self) -> None:
        """The subscription is over: nothing is known."""
        self.version = -1
        self.dialogs.clear()


# --- ours

_OURS: Final[dict[CallState, DialogState]] = {
    CallState.CALLING: "trying", CallState.RINGING: "early", CallState.EARLY: "early", CallState.INCOMING: "early",
    CallState.ENDED: "terminated",
}  # fmt: skip


def dialog_info(entity: str, version: int, calls: Iterable[tuple[CallView, Dialog | None]]) -> bytes:
    """Return the whole state of our calls as a document. With each call goes its dialog, if it has one already."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>',
             f'<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="{version}" state="full" '
             f"entity={quoteattr(entity)}>"]
    for call, dialog in calls:
        direction = "initiator" if call.direction == "outgoing" else "recipient"
        known = {"local-tag": dialog.local_tag, "remote-tag": dialog.remote_tag} if dialog is not None else {}
        tags = "".join(f" {name}={quoteattr(tag)}" for name, tag in known.items() if tag)
        target = str(dialog.target) if dialog is not None else call.remote.uri
        display = f" display={quoteattr(call.remote.display)}" if call.remote.display else ""
        lines += [
            f"<dialog id={quoteattr(call.id)} call-id={quoteattr(call.sip_call_id)} direction=\"{direction}\"{tags}>",
            f"<state>{_OURS.get(call.state, 'confirmed')}</state>",
            f"<local><identity>{escape(call.local.uri)}</identity></local>",
            f"<remote><identity{display}>{escape(call.remote.uri)}</identity>",
            f"<target uri={quoteattr(target)}/></remote>", "</dialog>",
        ]
    lines.append("</dialog-info>")
    return "\n".join(lines).encode("utf-8", "replace")
