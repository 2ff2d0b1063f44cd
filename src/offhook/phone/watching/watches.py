"""What we watch: presence, dialogs and mailboxes of others, one subscription each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from msgspec import structs

from offhook.errors import InvalidArgument, InvalidState, NoAccount, NotFound, ParseError
from offhook.phone.commands import Accepted, CreateWatch, DeleteWatch, ListWatches
from offhook.phone.desk import Account, Desk
from offhook.phone.dialplan import own_uri, target_uri
from offhook.phone.events import WatchDialog, WatchEnded, WatchEvent, WatchMwi, WatchPresence
from offhook.phone.model import DialogView, WatchKind, WatchView
from offhook.phone.outgoing import LOCAL_IDENTITY, Outgoing
from offhook.phone.watching import dialogs, presence, summary
from offhook.sip.events import (
    Body,
    RenewSubscription,
    Subscribe,
    SubscriptionEnded,
    SubscriptionNotified,
    SummaryReceived,
    Unsubscribe,
)

MAX_WATCHES: Final = 500
"""Watches of one phone: an operator's console has some dozens of lamps."""

EVENTS: Final[Mapping[WatchKind, tuple[str, str]]] = {
    "presence": ("presence", presence.TYPE), "dialog": ("dialog", dialogs.TYPE), "mwi": ("message-summary", summary.TYPE),
}  # fmt: skip
"""The event package of each kind, and the document it is told in."""

_TOLD: Final[Mapping[WatchKind, type[WatchEvent]]] = {"presence": WatchPresence, "dialog": WatchDialog, "mwi": WatchMwi}
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OWN: Final = "mwi:"
"""What the id of a watch for an account's own mailbox begins with; no other can."""


@dataclass(slots=True)
class Watch:
    """One watch: what everybody sees of it, and what is needed to go on."""

    view: WatchView
    list: dialogs.DialogList = field(default_factory=dialogs.DialogList)
    told: bool = False
    retry_at: float | None = None
    """When it is asked for again, while it waits for that."""


def line_of(found: tuple[DialogView, ...]) -> Literal["idle", "ringing", "busy"]:
    """Return how a lamp shows these calls: talking goes before ringing, and a call on its way out is busy too."""
    if any(dialog.state == "confirmed" or dialog.direction == "outgoing" for dialog in found):
        return "busy"
    return "ringing" if found else "idle"


class Watches:
    """All watches of the phone."""

    def __init__(self, desk: Desk, outgoing: Outgoing) -> None:
        self.desk = desk
        self.outgoing = outgoing
        self.watches: dict[str, Watch] = {}

    def views(self) -> tuple[WatchView, ...]:
        """Return every watch."""
        return tuple(self._now(watch) for watch in self.watches.values())

    def _now(self, watch: Watch) -> WatchView:
        """Return a watch as it is by now."""
        if watch.view.retry_in is None:
            return watch.view
        return structs.replace(watch.view, retry_in=self.desk.left(watch.retry_at))

    def list(self, _command: ListWatches) -> Accepted:
        """Answer every watch."""
        return Accepted(value=self.views())

    def create(self, command: CreateWatch) -> Accepted:
        """Begin to watch."""
        if command.id and not _ID.fullmatch(command.id):
            raise InvalidArgument.field("id", "1-64 letters, digits, '-' and '_'")
        if command.id in self.watches:
            raise InvalidState(f"there is a watch {command.id!r} already")
        if len(self.watches) >= MAX_WATCHES:
            raise InvalidState(f"{MAX_WATCHES} watches are the limit")
        if not command.to and command.kind != "mwi":
            raise InvalidArgument.field("to", "whom to watch: a number or a SIP address")
        account = self.outgoing.choose_account(command.account, command.to or "own@mailbox")
        if not command.to and account is None:
            raise NoAccount("there is no account whose mailbox could be watched")
        view = self._begin(command.id or self.desk.new_name("watch", self.watches), command.kind, command.to, account)
        return Accepted(value=view)

    def _begin(self, name: str, kind: WatchKind, to: str, account: Account | None) -> WatchView:
        settings = account.settings if account is not None else None
        target = own_uri(settings) if settings is not None and not to else target_uri(to, settings)
        event, accept = EVENTS[kind]
        identity = settings.id if settings is not None else LOCAL_IDENTITY
        self.desk.signal(Subscribe(name, identity, target, event, accept))
        view = WatchView(id=name, kind=kind, target=str(target), account=identity)
        self.watches[name] = Watch(view)
        return view

    def delete(self, command: DeleteWatch) -> Accepted:
        """Watch no more."""
        watch = self.watches.pop(command.watch, None)
        if watch is None:
            raise NotFound(f"there is no watch {command.watch!r}")
        self.desk.attempt(Unsubscribe(command.watch))
        view = structs.replace(watch.view, state="ended", retry_in=None)
        self.desk.emit(WatchEnded(watch=view))
        return Accepted(value=view)

    # --- accounts

    def account_registered(self, account: Account) -> None:
        """Watch the account's own mailbox, if it wants that."""
        name = _OWN + account.settings.id
        if account.settings.mwi and name not in self.watches:
            self._begin(name, "mwi", "", account)

    def mailbox_left(self, account: str) -> None:
        """Watch the account's own mailbox no more."""
        if _OWN + account in self.watches:
            self.delete(DeleteWatch(watch=_OWN + account))

    def account_removed(self, account: str) -> None:
        """Watch nothing more in the name of an account that is gone."""
        for watch in [each for each in self.watches.values() if each.view.account == account]:
            self.delete(DeleteWatch(watch=watch.view.id))

    # --- what is told

    def notified(self, event: SubscriptionNotified) -> None:
        """Take what somebody tells."""
        watch = self.watches.get(event.subscription)
        if watch is None:
            return
        if event.state in ("pending", "active"):
            state: Literal["pending", "active"] = "pending" if event.state == "pending" else "active"
            watch.view = structs.replace(watch.view, state=state, sip_status=0, reason="", retry_in=None)
        if event.body is not None:
            self._learn(watch, event.body)

    def _learn(self, watch: Watch, body: Body) -> None:
        kind = watch.view.kind
        if body.content_type.partition(";")[0].strip().lower() != EVENTS[kind][1]:
            return
        before = watch.view
        try:
            view = self._read(watch, body.data)
        except ParseError:
            return  # what cannot be read says nothing new
        watch.view = view
        if view != before or not watch.told:
            watch.told = True
            self.desk.emit(_TOLD[kind](watch=view))

    def _read(self, watch: Watch, data: bytes) -> WatchView:
        view = watch.view
        if view.kind == "presence":
            return structs.replace(view, presence=presence.parse_presence(data))
        if view.kind == "mwi":
            return structs.replace(view, mwi=summary.parse_summary(data))
        if not watch.list.take(dialogs.parse_dialog_info(data)):
            self.desk.attempt(RenewSubscription(view.id))
            return view
        found = tuple(watch.list.dialogs.values())
        return structs.replace(view, dialogs=found, line=line_of(found))

    def summary(self, event: SummaryReceived) -> None:
        """Take a mailbox's state that the server sent unasked."""
        name = _OWN + event.identity
        account = self.desk.accounts.get(event.identity)
        if account is None:
            return
        if name not in self.watches:
            settings = account.settings
            target = own_uri(settings)
            self.watches[name] = Watch(WatchView(id=name, kind="mwi", target=str(target), account=settings.id, state="active"))
        self._learn(self.watches[name], event.body)

    def ended(self, event: SubscriptionEnded) -> None:
        """A subscription is over, for a while or for good."""
        watch = self.watches.get(event.subscription)
        if watch is None:
            return
        if event.retry_in is None:
            del self.watches[event.subscription]
        elif event.retry_in < 1.0:
            return  # it is asked for anew at once, and nobody need know
        watch.list.forget()
        watch.told = False
        watch.retry_at = None if event.retry_in is None else self.desk.now + event.retry_in
        watch.view = structs.replace(
            watch.view, state="ended" if event.retry_in is None else "waiting", presence=None, line="unknown", dialogs=(),
            mwi=None, sip_status=event.status, reason=event.reason, retry_in=event.retry_in)
        self.desk.emit(WatchEnded(watch=watch.view))
