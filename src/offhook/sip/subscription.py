"""Subscriptions of ours: SUBSCRIBE, its refresh, the NOTIFYs, and when to ask again (RFC 6665)."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from offhook.errors import ParseError
from offhook.sip import events
from offhook.sip.dialog import Dialog
from offhook.sip.events import Identity
from offhook.sip.headers import parse_number
from offhook.sip.message import Request, Response
from offhook.sip.outgoing import Outgoing
from offhook.sip.stack import Items, Stack, body_of, contact_uri
from offhook.sip.timers import TIMEOUT, Timer
from offhook.sip.trail import Trail
from offhook.sip.transactions import ServerTransaction
from offhook.sip.uri import Uri

if TYPE_CHECKING:
    from offhook.sip.events import Flow

BACKOFF_FIRST: Final = 30.0
"""Seconds until a subscription that failed is tried again; doubles with each failure."""
BACKOFF_LONGEST: Final = 1800.0
RETRY_LONGEST: Final = 86400.0
"""Seconds: a retry-after above this is not believed."""
LONGEST: Final = 86400
"""Seconds: a grant or Min-Expires above this is taken as this."""
MARGIN: Final = 0.1
"""A refresh goes out this part of the time before the end, and at least 32 s (a transaction's life) where that is possible."""


class State(Enum):
    """Where a subscription is."""

    SENDING = auto()  # the first SUBSCRIBE has no answer yet
    ACTIVE = auto()  # there is a dialog
    WAITING = auto()  # it failed, and will be tried again
    ENDING = auto()  # we asked for its end
    ENDED = auto()


class Input(Enum):
    """What can happen to a subscription."""

    ACCEPTED = auto()
    NOTIFIED = auto()
    REFUSED = auto()
    GONE = auto()
    TERMINATED = auto()
    RETRY = auto()
    UNSUBSCRIBE = auto()
    OVER = auto()


_S, _I = State, Input

# A pair that is not listed is dropped: `step` returns False.
TABLE: Final[dict[tuple[State, Input], State]] = {
    (_S.SENDING, _I.ACCEPTED): _S.ACTIVE,
    (_S.SENDING, _I.NOTIFIED): _S.ACTIVE,  # RFC 6665 4.1.2.4: a NOTIFY may overtake the 200
    (_S.SENDING, _I.REFUSED): _S.WAITING,
    (_S.SENDING, _I.GONE): _S.WAITING,
    (_S.SENDING, _I.TERMINATED): _S.WAITING,
    (_S.SENDING, _I.UNSUBSCRIBE): _S.ENDED,
    (_S.SENDING, _I.OVER): _S.ENDED,
    (_S.ACTIVE, _I.ACCEPTED): _S.ACTIVE,
    (_S.ACTIVE, _I.NOTIFIED): _S.ACTIVE,
    (_S.ACTIVE, _I.REFUSED): _S.ACTIVE,  # RFC 6665 4.1.2.2: it lasts until its time is over
    (_S.ACTIVE, _I.GONE): _S.WAITING,
    (_S.ACTIVE, _I.TERMINATED): _S.WAITING,
    (_S.ACTIVE, _I.UNSUBSCRIBE): _S.ENDING,
    (_S.ACTIVE, _I.OVER): _S.ENDED,
    (_S.WAITING, _I.RETRY): _S.SENDING,
    (_S.WAITING, _I.UNSUBSCRIBE): _S.ENDED,
    (_S.WAITING, _I.OVER): _S.ENDED,
    (_S.ENDING, _I.NOTIFIED): _S.ENDING,
    (_S.ENDING, _I.TERMINATED): _S.ENDED,
    (_S.ENDING, _I.REFUSED): _S.ENDED,
    (_S.ENDING, _I.GONE): _S.ENDED,
    (_S.ENDING, _I.OVER): _S.ENDED,
}

FINAL_ANSWERS: Final = frozenset({400, 403, 405, 406, 415, 416, 420, 489, 501, 505, 603, 604, 606})
"""A SUBSCRIBE with such an answer is not tried again: the next one would get the same."""

# RFC 6665 4.1.3: seconds until the next SUBSCRIBE after this reason of a termination; None: never; retry-after goes first.
# A reason that is not listed is one nobody defined: we wait, and ask again.
RETRIES: Final[dict[str, float | None]] = {
    "deactivated": 0.0, "timeout": 0.0, "probation": BACKOFF_FIRST, "giveup": BACKOFF_FIRST, "rejected": None,
    "noresource": None, "invariant": None, "": BACKOFF_FIRST,
}  # fmt: skip


def read_state(request: Request) -> tuple[str, dict[str, str]]:
    """Return the word of Subscription-State and its parameters, in lower case.

    Without one, as servers from before RFC 3265 tell of mailboxes, it goes on: nothing says that it is over.
    """
    text = request.headers.get("Subscription-State") or "active"
    word, _, rest = text.partition(";")
    params = {name.strip().lower(): value.strip().lower() for name, _, value in (p.partition("=") for p in rest.split(";"))}
    return word.strip().lower(), params


def seconds(text: str) -> int | None:
    """Return a number of seconds, None for anything else."""
    try:
        return min(parse_number(text, "seconds", 2**32 - 1), LONGEST)
    except ParseError:
        return None


def package_of(message: Request) -> str:
    """Return the event package a request is about, "" without one."""
    return (message.headers.get("Event") or "").partition(";")[0].strip().lower()


class Subscription:
    """One subscription, kept up until it is ended or refused for good."""

    __slots__ = ("_cseq", "_expires", "_failures", "_notified", "_out", "_since", "_timer", "_too_brief", "_trail", "_until",
                 "call_id", "command", "dialog", "identity", "owner", "stack", "state", "tag")

    def __init__(self, owner: Subscriptions, command: events.Subscribe, identity: Identity) -> None:
        self.owner = owner
        self.stack = owner.stack
        self.command = command
        self.identity = identity
        self.state = State.SENDING
        self.dialog: Dialog | None = None
        self._trail: Trail | None = None  # where the SUBSCRIBE goes that makes it
        self.call_id = self.tag = ""
        self._cseq = 0
        self._expires = command.expires
        self._failures = self._too_brief = 0
        self._notified = False
        self._since = 0.0  # when the first NOTIFY came
        self._until = 0.0
        self._out: Outgoing | None = None
        self._timer: Timer | None = None

    def step(self, happened: Input) -> bool:
        """Go where the table says; False if it lists nothing."""
        following = TABLE.get((self.state, happened))
        if following is None:
            return False
        self.state = following
        return True

    # --- asking

    def start(self, now: float) -> None:
        """Subscribe anew."""
        self.dialog = self._trail = None
        self._notified = False
        self.owner.forget_keys(self)
        self.call_id, self.tag = self.stack.ids.token(24), self.stack.tag()
        self.owner.by_key[self.call_id, self.tag] = self
        self._send(self._expires, now)

    def _send(self, expires: int, now: float) -> None:
        self._quiet()
        identity = self.stack.identities.get(self.command.identity, self.identity)
        event, target = self.command.event, self.command.target
        items: Items = [("Event", event), ("Accept", self.command.accept), ("Expires", str(expires))]
        if self.dialog is not None:
            uri, fixed, next_uri = self.dialog.request_parts()
            hop, flow = self.dialog.way(next_uri)
            self._out = Outgoing(self.stack, "SUBSCRIBE", uri, fixed + items, hop=hop, next_cseq=self.dialog.next_cseq,
                                 on_answer=self._answered, identity=identity, contact_user=identity.contact_user, flow=flow)
            self._out.began, self._out.held = self.dialog.began, self.dialog.last_resort(hop)
        else:
            stack, trail = self.stack, self._trail or Trail(self.stack, identity, target)
            local = identity.address.without_tag().with_tag(self.tag)
            head = [("From", str(local)), ("To", f"<{target}>"), ("Call-ID", self.call_id)]
            hop, routes = trail.way()
            self._out = Outgoing(stack, "SUBSCRIBE", trail.target, routes + head + items, hop=hop,
                                 flow=stack.registered_flow(identity, hop), next_cseq=self._next_cseq,
                                 on_answer=self._answered, identity=identity, contact_user=identity.contact_user)
            self._out.began, self._trail = trail.began, trail
        self._out.start(now)

    def _next_cseq(self) -> int:
        self._cseq += 1
        return self._cseq

    def _quiet(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        if self._out is not None:
            self._out.abandon()
            self._out = None

    def _arm(self, at: float, happened: str) -> None:
        if self._timer is not None:
            self._timer.stop()
        action = {"refresh": self._refresh, "retry": self._again, "silence": self._silence}[happened]
        self._timer = self.stack.timers.start(at, action)

    def _refresh(self, now: float) -> None:
        self._timer = None
        identity = self.stack.identities.get(self.command.identity, self.identity)
        if identity.address.uri != self.identity.address.uri:
            self.identity = identity  # another user by now, to whom the former one's dialog does not belong
            self.start(now)
        else:
            self._send(self._expires, now)

    def _again(self, now: float) -> None:
        self._timer = None
        if self.step(Input.RETRY):
            self.start(now)

    def _silence(self, now: float) -> None:
        # RFC 6665 4.1.2.4 timer N: a subscription without a NOTIFY is none
        self._timer = None
        self._failed(408, "No NOTIFY", Input.GONE, None, now)

    def _answered(self, out: Outgoing, status: int, reason: str, response: Response | None, now: float) -> None:
        if out is not self._out or status < 200:
            return
        self._out = None
        if status < 300 and response is not None:
            self._accepted(out, response, now)
        elif self._is_sent_on(out, status, response) or (status == 423 and response is not None and self._lengthen(response)):
            self._send(self._expires, now)
        elif self.state is State.ENDING:
            self._over(0, "")
        elif status in FINAL_ANSWERS:
            self._over(status, reason)
        elif self.state is State.ACTIVE and status not in (404, 408, 410, 480, 481) and now < self._until:
            self.step(Input.REFUSED)
            self._arm(min(now + BACKOFF_FIRST, self._until), "refresh")
        else:
            asked = seconds((response.headers.get("Retry-After") or "").partition(";")[0]) if response is not None else None
            renew = 0.0 if status == 481 and self.state is State.ACTIVE else None
            self._failed(status, reason, Input.GONE, float(asked) if asked is not None else renew, now)

    def _is_sent_on(self, out: Outgoing, status: int, response: Response | None) -> bool:
        return self.dialog is None and self._trail is not None and self._trail.goes_on(out, status, response)

    def _accepted(self, out: Outgoing, response: Response, now: float) -> None:
        self._too_brief = 0
        granted = seconds(response.headers.get("Expires") or "")
        if self.dialog is None and out.request is not None and out.flow is not None and response.to.tag:
            self.dialog = Dialog.of_response(out.request, response, out.flow)
            self.dialog.hop = out.hop
        elif self.dialog is not None:
            self.dialog.refresh(response)
        if self.state is State.ENDING:
            self._arm(now + TIMEOUT, "silence")
        elif self.step(Input.ACCEPTED):
            self._lives(granted if granted is not None else self._expires, now)
            if not self._notified:
                self._arm(now + TIMEOUT, "silence")

    def _lives(self, granted: int, now: float) -> None:
        """Note how long it lives, and refresh it before."""
        self._until = now + granted
        margin = min(max(granted * MARGIN, TIMEOUT), granted / 2)
        self._arm(now + max((granted - margin) * self.stack.ids.uniform(0.95, 1.0), 1.0), "refresh")

    def _lengthen(self, response: Response) -> bool:
        wanted = seconds(response.headers.get("Min-Expires") or "")
        if wanted is None or wanted <= self._expires or self._too_brief >= 2:
            return False
        self._too_brief += 1
        self._expires = wanted
        return True

    # --- what is told

    def receive(self, request: Request, server: ServerTransaction, flow: Flow, now: float) -> None:
        """Take a NOTIFY for it."""
        if package_of(request) != self.command.event.partition(";")[0].lower():
            self.stack.respond(server, 489, now, headers=(("Allow-Events", self.command.event),))
            return
        theirs = request.from_.tag or ""
        if self.dialog is None:
            self.dialog = Dialog(self.call_id, request.to, request.from_, self._target(request), request.record_routes,
                                 self._cseq, request.cseq.number - 1, flow)
        elif theirs != self.dialog.remote_tag:
            # RFC 6665 4.4.1, RFC 3856 6.9: of the forks of a SUBSCRIBE the first counts
            self.stack.respond(server, 481, now)
            return
        word, params = read_state(request)
        if not self.dialog.accepts(request.cseq.number):
            self.stack.respond(server, 500, now)
            return
        self.dialog.refresh(request)
        flow = self.stack.seen(self.identity, server.flow)
        contact = (("Contact", f"<{contact_uri(self.identity.contact_user, flow)}>"),)
        self.stack.respond(server, 200, now, headers=contact)
        self._take(word, params, request, now)

    def _target(self, request: Request) -> Uri:
        contacts = request.contacts
        return contacts[0].uri if contacts else request.from_.uri

    def _take(self, word: str, params: dict[str, str], request: Request, now: float) -> None:
        first, self._notified = not self._notified, True
        if first:
            self._since = now
        body = body_of(request)
        if body is not None or word != "terminated":
            state = self.state
            self._tell(events.SubscriptionNotified(self.command.subscription, word, body))
            if self.state is not state:
                return
        if word == "terminated":
            self._terminated(params, now)
            return
        lives = seconds(params.get("expires", ""))
        self.step(Input.NOTIFIED)
        if self.state is State.ACTIVE and (first or lives is not None) and self._out is None:
            self._lives(lives if lives is not None else self._expires, now)

    def _terminated(self, params: dict[str, str], now: float) -> None:
        reason = params.get("reason", "")
        self._forgive(now)
        wait = RETRIES.get(reason, BACKOFF_FIRST)
        after = seconds(params.get("retry-after", ""))
        if self.state is State.ENDING:
            self._over(0, "")
        elif wait is None:
            self._over(0, reason)
        else:
            renew = float(after) if after is not None and reason in ("probation", "giveup", "") else wait or None
            at_once = renew is None and not self._failures
            self._failed(0, reason, Input.TERMINATED, 0.0 if at_once else renew, now)

    def _forgive(self, now: float) -> None:
        """Forget earlier failures if it has lived for a while. One that ends as soon as it is there is asked for less often."""
        if self._notified and now - self._since >= BACKOFF_FIRST:
            self._failures = 0

    # --- its end, for a while or for good

    def _failed(self, status: int, reason: str, happened: Input, wait: float | None, now: float) -> None:
        self._quiet()
        if self.state is State.ENDING or not self.step(happened):
            self._over(0, "")
            return
        self._forgive(now)
        longest = min(BACKOFF_FIRST * 2.0 ** min(self._failures, 10), BACKOFF_LONGEST)
        self._failures += 1
        pause = longest * self.stack.ids.uniform(0.5, 1.0) if wait is None else min(wait, RETRY_LONGEST)
        self.owner.forget_keys(self)
        self.stack.emit(events.SubscriptionEnded(self.command.subscription, status, reason, pause))
        self._arm(now + pause, "retry")

    def _over(self, status: int, reason: str) -> None:
        self._quiet()
        if self.step(Input.OVER):
            self._tell(events.SubscriptionEnded(self.command.subscription, status, reason, None))
            self.owner.forget(self)

    def _tell(self, event: events.SubscriptionNotified | events.SubscriptionEnded) -> None:
        """Tell something, unless the name belongs to another one by now."""
        if self.owner.by_id.get(self.command.subscription) is self:
            self.stack.emit(event)

    def unsubscribe(self, now: float) -> None:
        """End it; SubscriptionEnded follows, at once if nobody has to be asked."""
        if not self.step(Input.UNSUBSCRIBE):
            return
        if self.state is State.ENDING:
            self._send(0, now)
            return
        self._quiet()
        self._tell(events.SubscriptionEnded(self.command.subscription, 0, "", None))
        self.owner.forget(self)

    def renew(self, now: float) -> None:
        """Ask for the whole state again (RFC 4235 4.4: a part of it was missed)."""
        if self.state is State.ACTIVE and self._out is None:
            self._send(self._expires, now)


class Subscriptions:
    """All subscriptions of one endpoint, by id and by Call-ID and our tag."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.by_id: dict[str, Subscription] = {}
        self.by_key: dict[tuple[str, str], Subscription] = {}

    def is_free(self, name: str) -> bool:
        """Whether a new one may have this name: one that is ending, which may take half a minute, needs it no more."""
        found = self.by_id.get(name)
        return found is None or found.state is State.ENDING

    def forget_keys(self, subscription: Subscription) -> None:
        """NOTIFYs for its dialog get 481 from now on."""
        self.by_key.pop((subscription.call_id, subscription.tag), None)

    def forget(self, subscription: Subscription) -> None:
        """It is over."""
        self.forget_keys(subscription)
        if self.by_id.get(subscription.command.subscription) is subscription:
            del self.by_id[subscription.command.subscription]
