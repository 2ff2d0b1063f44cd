"""Presence documents (PIDF, RFC 3863, with the activities of RFC 4480): others' read, ours written."""

from __future__ import annotations

from typing import Final, Literal

from offhook.errors import ParseError
from offhook.phone.model import PresenceView
from offhook.phone.watching.xml import Node, escape, parse_xml, quoteattr

TYPE: Final = "application/pidf+xml"
MAX_ACTIVITIES: Final = 16

_BUSY: Final = frozenset({"busy", "on-the-phone", "meeting", "appointment", "presentation", "in-transit"})


def parse_presence(data: bytes) -> PresenceView:
    """Read a document; ParseError if it is none. Of several devices one that is open is enough."""
    root = parse_xml(data)
    if root.name != "presence":
        raise ParseError("not a presence document")
    tuples = root.find_all("tuple")
    opened = any(_basic(each) == "open" for each in tuples)
    activities: list[str] = []
    people = (*root.find_all("person"), *tuples)
    # Asterisk (chan_sip) and others write as the drafts of RFC 4480 had it: within the status.
    for holder in (*people, *(status for each in people for status in each.find_all("status"))):
        for found in holder.find_all("activities"):
            activities += [child.name for child in found.children if child.name not in ("note", "unknown")]
    activities = list(dict.fromkeys(name[:64] for name in activities))[:MAX_ACTIVITIES]
    notes = [note.text.strip() for holder in (root, *root.find_all("person"), *tuples) for note in holder.find_all("note")]
    there: Literal["open", "busy"] = "busy" if _BUSY.intersection(activities) else "open"
    return PresenceView(there if opened else "closed", tuple(activities), next((note[:512] for note in notes if note), ""))


def _basic(node: Node) -> str:
    status = node.find("status")
    return status.text_of("basic").lower() if status is not None else ""


def presence_document(entity: str, *, talking: bool, dnd: bool) -> bytes:
    """Return our own state: there, and whether on the phone or not to be disturbed."""
    activities = "".join(f"<rpid:{name}/>" for name, is_so in (("on-the-phone", talking), ("busy", dnd)) if is_so)
    note = "On the phone" if talking else "Do not disturb" if dnd else ""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" '
        f'xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" entity={quoteattr(entity)}>',
        '<tuple id="phone"><status><basic>open</basic></status></tuple>',
    ]
    if activities:
        lines.append(f'<dm:person id="person"><rpid:activities>{activities}</rpid:activities></dm:person>')
    lines += [f"<note>{escape(note)}</note>"] if note else []
    return "\n".join([*lines, "</presence>"]).encode()
