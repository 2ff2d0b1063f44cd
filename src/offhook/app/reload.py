"""What a changed configuration file means for a running phone: what holds at once, and what only from the next start on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from offhook.phone.commands import AddAccount, Command, RemoveAccount, SetMicVolume, SetVoice, SetVolume
from offhook.phone.settings import PhoneSettings
from offhook.storage.config import SECTIONS, Config

AT_START: Final = frozenset({"name", "instance_id", "decide"})
"""Settings of [phone] that other parts have built upon."""

VOICE: Final = ("echo_cancellation", "noise_suppression", "gain_control")

BY_COMMAND: Final = frozenset({"output_volume", "mic_volume", *VOICE})
"""Settings of [phone] that a command changes, too."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Accounts by their ids, settings as section.key."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    settings: tuple[str, ...]
    restart: tuple[str, ...]


def changes(before: Config, after: Config) -> Changes:
    """Return in what two readings of the file differ."""
    old, new = ({account.id: account for account in config.accounts} for config in (before, after))
    differ = tuple(_differences(before, after))
    live = tuple(name for name in differ if name.startswith("phone.") and name.removeprefix("phone.") not in AT_START)
    return Changes(
        tuple(name for name in new if name not in old), tuple(name for name in new if name in old and old[name] != new[name]),
        tuple(name for name in old if name not in new), live, tuple(name for name in differ if name not in live),
    )  # fmt: skip


def _differences(before: Config, after: Config) -> Iterator[str]:
    for section in SECTIONS:
        old, new = getattr(before, section), getattr(after, section)
        yield from (f"{section}.{each.name}" for each in fields(old) if getattr(old, each.name) != getattr(new, each.name))
    if before.hook != after.hook:
        yield "hook"


def settings(now: PhoneSettings, after: Config, found: Changes) -> PhoneSettings:
    """Return the settings that hold from now on: what the file has changed, and what was chosen meanwhile besides."""
    names = [name.removeprefix("phone.") for name in found.settings]
    return replace(now, **{name: getattr(after.phone, name) for name in names if name not in BY_COMMAND})


def commands(after: Config, found: Changes) -> Iterator[Command]:
    """Yield the commands that do the rest."""
    accounts = {account.id: account for account in after.accounts}
    yield from (RemoveAccount(account=name) for name in found.removed)
    yield from (AddAccount(account=accounts[name]) for name in (*found.added, *found.changed))
    makers: dict[str, Any] = {
        "output_volume": lambda value: SetVolume(volume=value), "mic_volume": lambda value: SetMicVolume(volume=value),
        **{name: lambda value, name=name: SetVoice(**{name: value}) for name in VOICE},
    }  # fmt: skip
    for name, make in makers.items():
        if f"phone.{name}" in found.settings:
            yield make(getattr(after.phone, name))
