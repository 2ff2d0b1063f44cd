"""Files that the configuration names: `~` is the user's own folder there, as it is in a shell."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from offhook.storage.config import OCCASIONS, Config, Program

FILES: Final[Mapping[str, tuple[str, ...]]] = {
    "phone": ("recording_dir", "hold_music"),
    "sip": ("tls_certificate", "tls_key"),
    "http": ("certificate", "key"),
    "hooks": (*OCCASIONS, "decide"),
}
"""Settings that are files or programs, by their table."""

OF_ACCOUNTS: Final = ("tls_ca", "tls_certificate", "tls_key", "hold_music")
OF_EVENT_HOOKS: Final = ("run",)

S = TypeVar("S")


def at_home(config: Config) -> Config:
    """Return the configuration with whole names in place of those that begin with `~`."""
    tables: dict[str, Any] = {name: _whole(getattr(config, name), settings) for name, settings in FILES.items()}
    accounts = tuple(_whole(account, OF_ACCOUNTS) for account in config.accounts)
    return replace(config, **tables, accounts=accounts, hook=tuple(_whole(hook, OF_EVENT_HOOKS) for hook in config.hook))


def _whole(table: S, settings: Iterable[str]) -> S:
    changes: dict[str, Any] = {}
    for name in settings:
        value = getattr(table, name)
        if isinstance(value, str):
            whole: Any = os.path.expanduser(value)
        else:
            whole = Program((*map(os.path.expanduser, value[:1]), *value[1:]))
        if whole != value:
            changes[name] = whole
    return replace(table, **changes) if changes else table  # type: ignore[type-var]  # every table is a dataclass
