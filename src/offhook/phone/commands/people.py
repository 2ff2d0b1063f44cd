"""Commands about others: whom we watch, whom we know."""

from __future__ import annotations

from typing import ClassVar

from offhook.phone.commands.base import Command, Scope
from offhook.phone.model import ContactDetails, WatchKind

# --- watching ------------------------------------------------------------------------------------------------------


class CreateWatch(Command, frozen=True, kw_only=True):
    """Watch somebody's presence or calls (a busy lamp), or a mailbox (mwi; `to` "" is the account's own).

    It lasts until DeleteWatch; what is told comes as watch.presence, watch.dialog and watch.mwi. Answers the WatchView.
    """

    kind: WatchKind
    to: str = ""
    account: str = ""
    id: str = ""


class Pickup(Command, frozen=True, kw_only=True):
    """Take the call that rings at somebody else's phone: a number, an address, or the id of a watch of its dialogs.

    What a watch tells of the ringing call is enough to take it over (Replaces); else the account's `pickup_prefix` and the
    number are dialled. Answers the call; succeeds when it is ours.
    """

    to: str
    account: str = ""


class DeleteWatch(Command, frozen=True, kw_only=True):
    """Watch no more."""

    watch: str


class ListWatches(Command, frozen=True, kw_only=True):
    """Answer the WatchViews."""

    scope: ClassVar[Scope] = "read"


# --- contacts ------------------------------------------------------------------------------------------------------


class ListContacts(Command, frozen=True, kw_only=True):
    """Answer Contacts in the order of their names: those in which every word of `search` occurs, or all.

    At most `limit` (1000) at once; `after` is the id of the last one already seen.
    """

    search: str = ""
    limit: int = 100
    after: str = ""
    scope: ClassVar[Scope] = "read"


class GetContact(Command, frozen=True, kw_only=True):
    """Answer one Contact."""

    contact: str
    scope: ClassVar[Scope] = "read"


class AddContact(Command, frozen=True, kw_only=True):
    """Add a contact. Answers it with its id."""

    details: ContactDetails
    scope: ClassVar[Scope] = "config"


class UpdateContact(Command, frozen=True, kw_only=True):
    """Replace what is known of a contact, as a whole. One of the users directory cannot be changed here."""

    contact: str
    details: ContactDetails
    scope: ClassVar[Scope] = "config"


class RemoveContact(Command, frozen=True, kw_only=True):
    """Forget a contact."""

    contact: str
    scope: ClassVar[Scope] = "config"


class ImportContacts(Command, frozen=True, kw_only=True):
    """Add up to 500 contacts, or bring them up to date: known again by `external_id`, else by name and number.

    Answers how many were added, updated, and as they were before.
    """

    contacts: tuple[ContactDetails, ...]
    scope: ClassVar[Scope] = "config"
