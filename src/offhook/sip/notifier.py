"""Subscriptions of others to us: who is told what we do, and until when (RFC 6665 4.2)."""

from __future__ import annotations

from typing import Final

from offhook.sip import events
from offhook.sip.dialog import Dialog, DialogKey
from offhook.sip.events import Body, Flow, HeaderList, Identity
from offhook.sip.message import Request, Response
from offhook.sip.outgoing import Outgoing
from offhook.sip.stack import Stack, contact_uri
from offhook.sip.subscription import package_of
from offhook.sip.timers import Timer
from offhook.sip.transactions import ServerTransaction

LEAST: Final = 60
"""Seconds: who wants to be told for less gets 423, except for 0, which ends it."""
LONGEST: Final = 3600
"""Seconds granted at most: a watcher that has gone is not told for ever."""
MOST: Final = 200
"""Watchers at one time: a desk phone has a handful, a console some dozens."""
GONE: Final = frozenset({404, 405, 408, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 503, 604})
"""RFC 5057 5.1: after such an answer to a NOTIFY nobody listens any more."""


class Watcher:
    """One subscriber of ours."""

    __slots__ = ("_expires_at", "_server", "_timer", "dialog", "event", "id", "identity", "owner", "stack", "tag", "user")

    def __init__(self, owner: Watchers, request: Request, server: ServerTransaction, flow: Flow,
                 identity: Identity | None) -> None:
        self.owner = owner
        self.stack = owner.stack
        self.id = owner.stack.ids.token(12)
        self.identity = identity
        self.event = request.headers.get("Event") or ""
        self.user = identity.contact_user if identity is not None else request.uri.user_decoded
        self.tag = self.stack.tag()
        self.dialog = Dialog.of_request(request, self.tag, flow)
        self._server: ServerTransaction | None = server
        self._timer: Timer | None = None
        self._expires_at = 0.0

    def accept(self, expires: int, now: float) -> None:
        """Answer 200; a Notify must follow at once (RFC 6665 4.2.1.2)."""
        server, self._server = self._server, None
        if server is None:
            return
        contact = f"<{contact_uri(self.user, self.stack.seen(self.identity, server.flow))}>"
        headers: HeaderList = (("Contact", contact), ("Expires", str(expires)))
        tag = "" if server.request.to.tag else self.tag
        self.stack.respond(server, 200, now, tag=tag, headers=headers)
        self._expires_at = now + expires
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.stack.timers.start(self._expires_at, self._expired) if expires else None

    def refresh(self, request: Request, server: ServerTransaction, expires: int, now: float) -> None:
        """Take a SUBSCRIBE inside the dialog."""
        if not self.dialog.accepts(request.cseq.number):
            self.stack.respond(server, 500, now)
            return
        self.dialog.refresh(request)
        self._server = server
        self.accept(expires, now)
        self.stack.emit(events.WatcherRefreshed(self.id, expires == 0))

    def notify(self, body: Body | None, ends: str, now: float) -> None:
        """Tell the watcher; `ends` is the reason if it is the last time."""
        left = max(0, round(self._expires_at - now))
        state = f"terminated;reason={ends}" if ends else f"active;expires={left}"
        uri, items, next_uri = self.dialog.request_parts()
        hop, flow = self.dialog.way(next_uri)
        items += [("Event", self.event), ("Subscription-State", state)]
        out = Outgoing(self.stack, "NOTIFY", uri, items, hop=hop, next_cseq=self.dialog.next_cseq, on_answer=self._told,
                       identity=self.identity, contact_user=self.user, body=body, flow=flow)
        out.began, out.held = self.dialog.began, self.dialog.last_resort(hop)
        out.start(now)
        if ends:
            self.owner.forget(self)

    def _told(self, _out: Outgoing, status: int, _reason: str, _response: Response | None, _now: float) -> None:
        if status in GONE and self.owner.by_id.get(self.id) is self:
            self.owner.forget(self)
            self.stack.emit(events.WatcherGone(self.id))

    def _expired(self, now: float) -> None:
        self.notify(None, "timeout", now)
        self.stack.emit(events.WatcherGone(self.id))

    def stop(self) -> None:
        """No more timers."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None


class Watchers:
    """All who watch us."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.by_id: dict[str, Watcher] = {}
        self.by_key: dict[DialogKey, Watcher] = {}

    def receive(self, request: Request, server: ServerTransaction, flow: Flow, identity: Identity | None, now: float,
                *, trusted: bool) -> None:
        """Take a SUBSCRIBE outside dialogs: the application decides about one that makes sense."""
        packages = self.stack.policy.packages
        expires = self._granted(request, server, now)
        if package_of(request) not in packages:
            self.stack.respond(server, 489, now, headers=(("Allow-Events", ", ".join(packages)),))
        elif expires is None:
            return
        elif len(self.by_id) >= MOST:
            self.stack.respond(server, 503, now, headers=(("Retry-After", "600"),))
        else:
            watcher = Watcher(self, request, server, flow, identity)
            self.by_id[watcher.id] = watcher
            self.by_key[watcher.dialog.key] = watcher
            name = identity.id if identity is not None else None
            self.stack.emit(events.WatcherAsks(watcher.id, name, package_of(request), request.from_, expires, trusted))

    def _granted(self, request: Request, server: ServerTransaction, now: float) -> int | None:
        expires = LONGEST if request.expires is None else min(request.expires, LONGEST)
        if 0 < expires < LEAST:
            self.stack.respond(server, 423, now, headers=(("Min-Expires", str(LEAST)),))
            return None
        return expires

    def receive_again(self, request: Request, server: ServerTransaction, watcher: Watcher, now: float) -> None:
        """Take a SUBSCRIBE inside a dialog."""
        expires = self._granted(request, server, now)
        if expires is not None:
            watcher.refresh(request, server, expires, now)

    def refuse(self, watcher: Watcher, status: int, now: float) -> None:
        """Refuse one that asks."""
        if watcher._server is not None:
            self.stack.respond(watcher._server, status, now)
        self.forget(watcher)

    def forget(self, watcher: Watcher) -> None:
        """It is not told any more."""
        watcher.stop()
        self.by_id.pop(watcher.id, None)
        self.by_key.pop(watcher.dialog.key, None)
