"""All that is subscribed to, subscribed by others, and published: the way of each command and message to its machine."""

from __future__ import annotations

from typing import TypeAlias, assert_never

from offhook.errors import InvalidArgument, InvalidState, NotFound
from offhook.sip import events
from offhook.sip.dialog import key_of
from offhook.sip.events import Flow, Identity
from offhook.sip.message import Request
from offhook.sip.notifier import Watchers
from offhook.sip.publication import Publication
from offhook.sip.stack import Stack, body_of
from offhook.sip.subscription import Subscription, Subscriptions, package_of
from offhook.sip.transactions import ServerTransaction

Command: TypeAlias = (
    events.Subscribe | events.Unsubscribe | events.RenewSubscription | events.AcceptWatcher | events.RefuseWatcher
    | events.TellWatcher | events.Publish
)


class Watching:
    """Subscriptions, watchers and publications of one endpoint."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.subscriptions = Subscriptions(stack)
        self.watchers = Watchers(stack)
        self.publications: dict[tuple[str, str], Publication] = {}

    def execute(self, command: Command, identity: Identity | None, now: float) -> None:
        """Do a command. `identity` is the one a Subscribe or Publish names."""
        match command:
            case events.Subscribe():
                self._subscribe(command, identity, now)
            case events.Unsubscribe():
                self._subscription(command.subscription).unsubscribe(now)
            case events.RenewSubscription():
                self._subscription(command.subscription).renew(now)
            case events.AcceptWatcher() | events.RefuseWatcher() | events.TellWatcher():
                self._watcher(command, now)
            case events.Publish():
                self._publish(command, identity, now)
            case _:
                assert_never(command)

    def _subscribe(self, command: events.Subscribe, identity: Identity | None, now: float) -> None:
        if identity is None:
            raise NotFound(f"there is no identity {command.identity}")
        if not self.subscriptions.is_free(command.subscription):
            raise InvalidState(f"there already is a subscription {command.subscription}")
        if command.expires < 1:
            raise InvalidArgument.field("expires", "seconds, at least 1")
        made = self.subscriptions.by_id[command.subscription] = Subscription(self.subscriptions, command, identity)
        made.start(now)

    def _subscription(self, name: str) -> Subscription:
        found = self.subscriptions.by_id.get(name)
        if found is None:
            raise NotFound(f"there is no subscription {name}")
        return found

    def _watcher(self, command: events.AcceptWatcher | events.RefuseWatcher | events.TellWatcher, now: float) -> None:
        watcher = self.watchers.by_id.get(command.watcher)
        if watcher is None:
            raise NotFound(f"there is no watcher {command.watcher}")
        match command:
            case events.AcceptWatcher():
                watcher.accept(command.expires, now)
            case events.RefuseWatcher():
                self.watchers.refuse(watcher, command.status, now)
            case events.TellWatcher():
                watcher.notify(command.body, command.ends, now)
            case _:
                assert_never(command)

    def _publish(self, command: events.Publish, identity: Identity | None, now: float) -> None:
        if identity is None:
            raise NotFound(f"there is no identity {command.identity}")
        key = identity.id, command.event
        found = self.publications.get(key)
        if found is None:
            if command.body is None:
                return
            found = self.publications[key] = Publication(self.stack, identity, command.event)
        found.publish(command.body, now)

    def forget(self, identity: str) -> None:
        """An identity is gone, and what was published for it."""
        for key in [key for key in self.publications if key[0] == identity]:
            self.publications.pop(key).stop()

    # --- what comes in

    def receive_subscribe(self, request: Request, server: ServerTransaction, flow: Flow, identity: Identity | None,
                          now: float) -> None:
        """Take a SUBSCRIBE, inside a dialog or outside."""
        if not request.to.tag:
            trusted = identity is not None and self.stack.is_server(identity, flow)
            self.watchers.receive(request, server, flow, identity, now, trusted=trusted)
            return
        watcher = self.watchers.by_key.get(key_of(request))
        if watcher is None:
            self.stack.respond(server, 481, now)
        else:
            self.watchers.receive_again(request, server, watcher, now)

    def receive_notify(self, request: Request, server: ServerTransaction, flow: Flow, now: float) -> bool:
        """Take a NOTIFY for a subscription of ours; False if it is for none."""
        found = self.subscriptions.by_key.get((request.call_id, request.to.tag or ""))
        if found is None:
            return False
        found.receive(request, server, flow, now)
        return True

    def receive_unsolicited(self, request: Request, server: ServerTransaction, flow: Flow, identity: Identity | None,
                            now: float) -> bool:
        """Take a NOTIFY that nobody subscribed to. PBXs send message waiting so; from others it is not believed."""
        if package_of(request) != "message-summary" or identity is None or not self.stack.is_server(identity, flow):
            return False
        body = body_of(request)
        self.stack.respond(server, 200, now)
        if body is not None:
            self.stack.emit(events.SummaryReceived(identity.id, body))
        return True
