"""Events about others: whom we watch, whom we know."""

from __future__ import annotations

from typing import Literal

from offhook.phone.events.base import Event
from offhook.phone.model import Contact, WatchView

# --- watching ------------------------------------------------------------------------------------------------------


class WatchEvent(Event, frozen=True, kw_only=True):
    """An event about something we watch, with all that is known of it."""

    watch: WatchView

    @property
    def subject(self) -> str:
        return f"watches/{self.watch.id}"


class WatchPresence(WatchEvent, frozen=True, kw_only=True):
    """Somebody's presence, when it is known first and when it changes."""


class WatchDialog(WatchEvent, frozen=True, kw_only=True):
    """Somebody's calls; `watch.line` says idle, ringing or busy."""


class WatchMwi(WatchEvent, frozen=True, kw_only=True):
    """Which messages wait."""


class WatchEnded(WatchEvent, frozen=True, kw_only=True):
    """Nothing is known any more: for `watch.retry_in` seconds, or for good where that is null."""


# --- contacts ------------------------------------------------------------------------------------------------------


class ContactChanged(Event, frozen=True, kw_only=True):
    """A contact was created, updated or deleted, one at a time."""

    change: Literal["created", "updated", "deleted"]
    contact: Contact

    @property
    def subject(self) -> str:
        return f"contacts/{self.contact.id}"


class ContactsImported(Event, frozen=True, kw_only=True):
    """Many contacts changed at once: by an import (`source` ""), or because the users directory has (`source` "directory")."""

    source: str
    added: int
    updated: int
    removed: int

    @property
    def subject(self) -> str:
        return "contacts"
