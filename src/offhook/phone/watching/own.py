"""What others may know of us: our calls and presence, told to who subscribed, and published to the accounts' servers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from offhook.phone.desk import Account, Desk
from offhook.phone.dialplan import own_uri
from offhook.phone.model import CallState
from offhook.phone.watching import dialogs, presence
from offhook.sip.events import (
    AcceptWatcher,
    Body,
    Publish,
    RefuseWatcher,
    TellWatcher,
    WatcherAsks,
    WatcherGone,
    WatcherRefreshed,
)

PACKAGES: Final = ("dialog", "presence")


@dataclass(slots=True)
class Watcher:
    """Somebody who watches us; `version` counts what it was told (RFC 4235 3.2: from 0, by one)."""

    id: str
    event: str
    entity: str
    version: int = 0


class Own:
    """Our state for others. `follow` is called after each change of anything, and says what is new."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.watchers: dict[str, Watcher] = {}
        self.published: set[str] = set()
        self._calls: tuple[tuple[str, CallState, str], ...] = ()
        self._presence = (False, False)

    @property
    def wanted(self) -> bool:
        """Whether anybody wants to know."""
        return bool(self.watchers or self.published)

    # --- who watches

    def asked(self, event: WatcherAsks) -> None:
        """Let somebody watch, or not, as the settings say."""
        who = self.desk.settings.watched_by
        if who == "nobody" or (who == "server" and not event.trusted):
            self.desk.attempt(RefuseWatcher(event.watcher, 403))
            return
        account = self.desk.accounts.get(event.identity or "")
        known = account.settings if account is not None else None
        entity = str(own_uri(known)) if known is not None else "sip:offhook@localhost"
        watcher = Watcher(event.watcher, event.event, entity)
        self.desk.attempt(AcceptWatcher(event.watcher, event.expires))
        self.follow()
        self._tell(watcher, "timeout" if event.expires == 0 else "")
        if event.expires:
            self.watchers[watcher.id] = watcher

    def refreshed(self, event: WatcherRefreshed) -> None:
        """Tell who asked again."""
        watcher = self.watchers.get(event.watcher)
        if watcher is not None:
            self._tell(watcher, "timeout" if event.ends else "")
            if event.ends:
                del self.watchers[event.watcher]

    def gone(self, event: WatcherGone) -> None:
        """Somebody does not watch any more."""
        self.watchers.pop(event.watcher, None)

    def _tell(self, watcher: Watcher, ends: str = "") -> None:
        if watcher.event == "dialog":
            calls = [(call.view(), self.desk.sip.dialog_of(call.id)) for call in self.desk.calls.values()]
            body = Body(dialogs.TYPE, dialogs.dialog_info(watcher.entity, watcher.version, calls))
            watcher.version += 1
        else:
            body = self._document(watcher.entity)
        self.desk.attempt(TellWatcher(watcher.id, body, ends))

    def _document(self, entity: str) -> Body:
        talking, dnd = self._presence
        return Body(presence.TYPE, presence.presence_document(entity, talking=talking, dnd=dnd))

    # --- the accounts' servers

    def account_registered(self, account: Account) -> None:
        """Publish our presence at the account's server, if it is to be."""
        if account.settings.publish_presence and account.settings.id not in self.published:
            self.follow()
            self.published.add(account.settings.id)
            self._publish(account)

    def account_unregistered(self, account: str) -> None:
        """Take back what was published."""
        if account in self.published:
            self.published.discard(account)
            self.desk.attempt(Publish(account, "presence", None))

    def _publish(self, account: Account) -> None:
        settings = account.settings
        body = self._document(str(own_uri(settings)))
        self.desk.attempt(Publish(settings.id, "presence", body))

    # --- changes

    def follow(self) -> None:
        """Tell everybody what has changed since the last time."""
        before = self._calls, self._presence
        self._calls = tuple((call.id, call.state, call.remote.uri) for call in self.desk.calls.values())
        self._presence = bool(self._calls), self.desk.settings.dnd
        if self._calls != before[0]:
            for watcher in [each for each in self.watchers.values() if each.event == "dialog"]:
                self._tell(watcher)
        if self._presence != before[1]:
            for watcher in [each for each in self.watchers.values() if each.event == "presence"]:
                self._tell(watcher)
            for account in [self.desk.accounts[name] for name in self.published if name in self.desk.accounts]:
                self._publish(account)
