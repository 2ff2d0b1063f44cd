"""The least that has to be said to make each command."""

from __future__ import annotations

from typing import Any

from offhook.control.prose import OWN_SAMPLES, SAMPLES
from offhook.control.schema import command_help


def least(operation: str) -> dict[str, Any]:
    """Return the least JSON that makes this command."""
    if operation == "add_account":
        return {"account": {name: SAMPLES[name] for name in ("id", "domain", "username")}}
    if operation in ("add_contact", "update_contact"):
        return {"details": {"name": SAMPLES["name"]}, **({"contact": SAMPLES["contact"]} if operation[0] == "u" else {})}
    fields = next(found.fields for found in command_help() if found.operation == operation)
    needed = [each.name for each in fields if each.required]
    more = {"kind": "output", "account": "office", "conference": "conf_1", "audio": "aud_1", "changes": {"label": "Desk"}}
    return {**{name: {**SAMPLES, **more}[name] for name in needed}, **OWN_SAMPLES.get(operation, {})}
