"""Our own state, published: PUBLISH, its entity tag and its refresh (RFC 3903)."""

from __future__ import annotations

from typing import Final

from offhook.sip import events
from offhook.sip.calling import first_hop
from offhook.sip.events import Body, Identity
from offhook.sip.message import Response
from offhook.sip.outgoing import Outgoing
from offhook.sip.stack import Items, Stack
from offhook.sip.subscription import seconds
from offhook.sip.timers import TIMEOUT, Timer

EXPIRES: Final = 3600
"""Seconds a publication is asked to last."""
RETRY: Final = 60.0
"""Seconds until a publication that failed is tried again."""
NEVER: Final = frozenset({403, 404, 405, 415, 420, 489, 501, 603})
"""Answers after which it is not tried again until there is something new to say."""


class Publication:
    """One identity's state for one event package: the latest body wins, however often it changes meanwhile."""

    __slots__ = ("_again", "_etag", "_expires", "_latest", "_out", "_sent", "_timer", "event", "identity", "stack")

    def __init__(self, stack: Stack, identity: Identity, event: str) -> None:
        self.stack = stack
        self.identity = identity
        self.event = event
        self._etag = ""
        self._expires = EXPIRES
        self._latest: Body | None = None
        self._sent: Body | None = None
        self._again = False
        self._out: Outgoing | None = None
        self._timer: Timer | None = None

    def publish(self, body: Body | None, now: float) -> None:
        """Say this from now on; None takes it back."""
        self._latest = body
        if self._out is not None:
            self._again = True  # RFC 3903 4: one at a time, for each gives a new entity tag
        else:
            self._send(now)

    def _send(self, now: float) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        if self._latest is None and not self._etag:
            return
        identity = self.stack.identities.get(self.identity.id, self.identity)
        target = identity.address.uri
        items: Items = self.stack.routes_of(identity)
        address = identity.address.without_tag()
        items += [("From", str(address.with_tag(self.stack.tag()))), ("To", str(address)),
                  ("Call-ID", self.stack.ids.token(24)), ("Event", self.event),
                  ("Expires", str(self._expires if self._latest is not None else 0))]
        if self._etag:
            items.append(("SIP-If-Match", self._etag))
        # RFC 3903 4.3: a refresh has no body
        refresh = bool(self._etag) and self._latest == self._sent
        self._sent = self._latest
        numbers = iter(range(1, 100))
        hop = first_hop(identity, target, self.stack.service_route(identity))
        self._out = Outgoing(self.stack, "PUBLISH", target, items, hop=hop, flow=self.stack.registered_flow(identity, hop),
                             next_cseq=lambda: next(numbers), on_answer=self._answered, identity=identity,
                             body=None if refresh else self._latest)
        self._out.start(now)

    def _answered(self, out: Outgoing, status: int, reason: str, response: Response | None, now: float) -> None:
        if out is not self._out or status < 200:
            return
        self._out = None
        if status < 300 and response is not None:
            self._accepted(response, now)
        elif status == 412 and self._etag:
            self._etag, self._sent = "", None  # RFC 3903 4.4: it is not known any more: publish as new
            self._send(now)
            return
        elif status == 423 and response is not None and (least := seconds(response.headers.get("Min-Expires") or "")):
            if least > self._expires:
                self._expires, self._sent = least, None
                self._send(now)
                return
        else:
            self._etag, self._sent = "", None
            if self._latest is not None and status not in NEVER:
                self._timer = self.stack.timers.start(now + RETRY, self._send)
        self.stack.emit(events.Published(self.identity.id, self.event, status, reason))
        if self._again:
            self._again = False
            self._send(now)

    def _accepted(self, response: Response, now: float) -> None:
        self._etag = (response.headers.get("SIP-ETag") or "").strip()
        if self._latest is None:
            self._etag = ""
            return
        granted = seconds(response.headers.get("Expires") or "") or self._expires
        margin = min(max(granted * 0.1, TIMEOUT), granted / 2)
        self._timer = self.stack.timers.start(now + max(granted - margin, 1.0), self._send)

    def stop(self) -> None:
        """Say nothing any more, without a word."""
        self._latest = None
        if self._timer is not None:
            self._timer.stop()
        if self._out is not None:
            self._out.abandon()
            self._out = None
