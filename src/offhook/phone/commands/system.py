"""Commands about the phone itself: its accounts, its settings, its end."""

from __future__ import annotations

from typing import Any, ClassVar

from offhook.phone.commands.base import Command, Scope
from offhook.phone.settings import AccountSettings, AutoAnswer

# --- accounts and settings -----------------------------------------------------------------------------------------


class AddAccount(Command, frozen=True, kw_only=True):
    """Add an account, or replace the one with the same id; registers if it says so."""

    account: AccountSettings
    scope: ClassVar[Scope] = "config"


class UpdateAccount(Command, frozen=True, kw_only=True):
    """Change some settings of an account and keep the others, its password too; registers again if it says so.

    Where `username` or `domain` is another one, the former address is unregistered first. Running calls go on.
    """

    account: str
    changes: dict[str, Any]
    scope: ClassVar[Scope] = "config"


class RemoveAccount(Command, frozen=True, kw_only=True):
    """Unregister and forget an account. Refused while it has calls."""

    account: str
    scope: ClassVar[Scope] = "config"


class RegisterAccount(Command, frozen=True, kw_only=True):
    """Register now (also instead of waiting for the next retry)."""

    account: str
    scope: ClassVar[Scope] = "config"


class UnregisterAccount(Command, frozen=True, kw_only=True):
    """Unregister and stay so."""

    account: str
    scope: ClassVar[Scope] = "config"


class SelectAccount(Command, frozen=True, kw_only=True):
    """Make this the account that dials when none is named."""

    account: str
    scope: ClassVar[Scope] = "config"


class ListAccounts(Command, frozen=True, kw_only=True):
    """Answer the AccountViews."""

    scope: ClassVar[Scope] = "read"


class SetDnd(Command, frozen=True, kw_only=True):
    """Do not disturb: incoming calls get 486."""

    enabled: bool
    scope: ClassVar[Scope] = "config"


class SetForwarding(Command, frozen=True, kw_only=True):
    """Forward incoming calls to `to` ("" ends it), after `delay` seconds of ringing."""

    to: str
    delay: float = 0.0
    scope: ClassVar[Scope] = "config"


class SetAutoAnswer(Command, frozen=True, kw_only=True):
    """Answer incoming calls without a person: off, header (those that ask for it) or all."""

    mode: AutoAnswer
    delay: float = 0.0
    scope: ClassVar[Scope] = "config"


# --- the phone -----------------------------------------------------------------------------------------------------


class Status(Command, frozen=True, kw_only=True):
    """Answer the StatusView: 0 idle, 1 ringing, 2 active, 3 hold, 4 disconnected."""

    scope: ClassVar[Scope] = "read"


class GetSnapshot(Command, frozen=True, kw_only=True):
    """Answer the Snapshot: everything at one moment."""

    scope: ClassVar[Scope] = "read"


class Drain(Command, frozen=True, kw_only=True):
    """Take no new calls (incoming ones get 503) while the running ones go on; `enabled` false takes them again."""

    enabled: bool = True
    scope: ClassVar[Scope] = "admin"


class Quit(Command, frozen=True, kw_only=True):
    """Hang up every call, unregister, stop. New commands are refused meanwhile."""

    scope: ClassVar[Scope] = "admin"
