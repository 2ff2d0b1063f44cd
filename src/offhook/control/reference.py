"""The reference page, made from the lists of commands and events: `python -m offhook.control.reference`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator

from offhook.control.schema import fields_of
from offhook.phone.call import TRANSITIONS
from offhook.phone.commands import COMMANDS
from offhook.phone.events import EVENTS


def markdown() -> str:
    """Return docs/commands.md."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield "# Commands and events"
    yield ""
    yield "Generated from the two lists every surface translates (`make docs`). On the [sockets](sockets.md) a command is"
    yield '`{"id": 1, "op": "dial", "to": "1001"}`; an event is `{"event": {"type": "call.active", …}}`.'
    yield ""
    yield "A `call` is a call's id, or `active`, `ringing`, `last`, or empty for the current call."
    yield ""
    yield "## Commands"
    for command in COMMANDS:
        yield from _entry(command.operation, command, inspect.getdoc(command) or "")
    yield ""
    yield "## Events"
    for event in EVENTS:
        yield from _entry(event.type, event, inspect.getdoc(event) or "")
    yield ""
    yield "## The call machine"
    yield ""
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield "    [*] --> calling: dial"
    yield "    [*] --> incoming: INVITE"
    for (state, happened), following in TRANSITIONS.items():
        yield f"    {state} --> {following}: {happened.name.lower().replace('_', ' ')}"
    yield "    ended --> [*]"
    yield "```"
    yield ""
    yield "A call that is `early` may ring, too: `call.ringing` comes then, and `ringing` in the call says since when."
    yield ""
    yield "STATUS: `calling` `ringing` `early` `incoming` are 1, `active` is 2, `held_…` are 3, `ended` is 4, no call is 0."


def _entry(name: str, kind: type, doc: str) -> Iterator[str]:
    yield ""
    yield f"### `{name}`"
    yield ""
    yield doc
    fields = fields_of(kind)
    if fields:
        yield ""
        yield "| field | type | default |"
        yield "|---|---|---|"
    for field in fields:
        default = "required" if field.required else f"`{field.default}`"
        yield f"| `{field.name}` | `{field.type.replace('|', '&#124;')}` | {default} |"


if __name__ == "__main__":
    sys.stdout.write(markdown())
