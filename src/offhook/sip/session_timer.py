"""Session timers: a call whose far end has vanished does not last for ever (RFC 4028). Both roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from offhook.errors import ParseError
from offhook.sip import events
from offhook.sip.events import HeaderList
from offhook.sip.headers import parse_number
from offhook.sip.message import Request, Response
from offhook.sip.outgoing import Outgoing
from offhook.sip.part import Part
from offhook.sip.timers import Timer

if TYPE_CHECKING:
    from offhook.sip.session import Session

LEAST: Final = 90
"""Seconds: RFC 4028 5, no Min-SE may be below, and it is what counts where none is given."""
LONGEST: Final = 2**31 - 1
"""Seconds: what a Session-Expires may say at most."""
RETRY: Final = 10.0
"""Seconds after a refresh that failed until the next, while there is time."""
TOO_SMALL_LIMIT: Final = 3
"""Times a request is repeated with a longer interval after 422: each proxy on the way may ask once."""
EXPIRED: Final[HeaderList] = (("Reason", 'SIP;cause=408;text="Session timer expired"'),)

Refresher: TypeAlias = Literal["uac", "uas"]

# RFC 4028 9, table 2: who refreshes, for us as the answerer, by what the request supports and whom it names. Where the choice
# is ours the caller does it: its way to us works.
CHOICES: Final[dict[tuple[bool, str], Refresher]] = {
    (False, ""): "uas", (False, "uas"): "uas", (False, "uac"): "uas",
    (True, ""): "uac", (True, "uas"): "uas", (True, "uac"): "uac",
}  # fmt: skip


def read_interval(message: Request | Response) -> tuple[int, str] | None:
    """Return Session-Expires in seconds and the refresher it names ("" none), None without one; ParseError (400)."""
    text = message.headers.get("Session-Expires")
    if text is None:
        return None
    number, _, rest = text.partition(";")
    refresher = next((value.strip().lower() for name, _, value in (each.partition("=") for each in rest.split(";"))
                      if name.strip().lower() == "refresher"), "")
    return parse_number(number, "Session-Expires", LONGEST), refresher if refresher in ("uac", "uas") else ""


def read_least(message: Request | Response) -> int:
    """Return Min-SE in seconds, 90 without one; ParseError (400)."""
    text = message.headers.get("Min-SE")
    return LEAST if text is None else max(parse_number(text.partition(";")[0], "Min-SE", LONGEST), LEAST)


def supports_timer(message: Request | Response) -> bool:
    """Whether the sender of this message knows session timers."""
    return "timer" in [name.lower() for name in message.headers.values("Supported")]


def is_too_small(request: Request, least: int) -> bool:
    """Whether a request must be refused with 422 (RFC 4028 9: only who knows session timers can mend it)."""
    asked = read_interval(request)
    return asked is not None and asked[0] < least and supports_timer(request)


class SessionTimer(Part):
    """The timer of one session. Every INVITE and UPDATE, from either side, agrees upon it anew."""

    __slots__ = ("_expires_at", "_too_small", "interval", "is_refresher", "least", "peer_takes_update", "timer")

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        policy = session.stack.policy
        self.interval = policy.session_expires
        self.least = LEAST
        self.is_refresher = False
        self.peer_takes_update = False
        self.timer: Timer | None = None
        self._expires_at = 0.0
        self._too_small = 0

    # --- our requests

    def asked(self) -> HeaderList:
        """Return the headers of an INVITE or UPDATE of ours (RFC 4028 7.1, 7.4)."""
        refresher = "" if self.timer is None else f";refresher={'uac' if self.is_refresher else 'uas'}"
        least = (("Min-SE", str(self.least)),) if self.least > LEAST else ()
        return (("Session-Expires", f"{self.interval}{refresher}"), *least)

    def lengthen(self, refusal: Response) -> bool:
        """Take the longer interval that a 422 asks for (RFC 4028 7.3); False if saying it again would not help."""
        try:
            least = read_least(refusal)
        except ParseError:
            return False
        if "Min-SE" not in refusal.headers or least <= self.least or self._too_small >= TOO_SMALL_LIMIT:
            return False
        self._too_small += 1
        self.least = least
        self.interval = max(self.interval, least)
        return True

    def agreed(self, answer: Response, now: float) -> None:
        """Take the 2xx to an INVITE or UPDATE of ours (RFC 4028 7.2)."""
        self._note(answer)
        try:
            found = read_interval(answer)
        except ParseError:
            found = None
        if found is None:
            self.stop()
            return
        self._start(found[0], found[1] != "uas", now)

    # --- theirs

    def answer(self, request: Request, now: float) -> HeaderList:
        """Agree upon the timer of an INVITE or UPDATE we accept; returns the headers of the 2xx (RFC 4028 9)."""
        self._note(request)
        found = read_interval(request)
        if found is None and self.timer is not None and supports_timer(request):
            # RFC 4028 9: we may put in what the request left out, and so a hold does not end the timer
            found = self.interval, "uas" if self.is_refresher else "uac"
        if found is None:
            self.stop()
            return ()
        asked, named = found
        policy = self.session.stack.policy
        interval = max(min(asked, policy.session_expires), read_least(request), policy.session_least)
        refresher = CHOICES[supports_timer(request), named]
        self._start(interval, refresher == "uas", now)
        required = (("Require", "timer"),) if refresher == "uac" else ()
        return (("Session-Expires", f"{interval};refresher={refresher}"), *required)

    def _note(self, message: Request | Response) -> None:
        allowed = message.headers.get("Allow")
        if allowed is not None:
            self.peer_takes_update = "UPDATE" in allowed.upper()

    # --- time

    def _start(self, interval: int, is_refresher: bool, now: float) -> None:
        self.stop()
        if self.session.is_over:
            return  # the answer to a request that the end overtook
        self.interval = max(interval, LEAST)
        self.is_refresher = is_refresher
        # RFC 4028 10: BYE comes slightly before the end, by a third of it or 32 seconds
        self._expires_at = now + self.interval - min(32.0, self.interval / 3)
        self._arm(now + self.interval / 2 if is_refresher else self._expires_at)

    def _arm(self, at: float) -> None:
        self.stop()
        self.timer = self.session.stack.timers.start(at, self._due)

    def _due(self, now: float) -> None:
        if now >= self._expires_at:
            self.session.lost(408, "Session expired", now, EXPIRED)
            return
        self._arm(min(now + RETRY, self._expires_at))  # until the refresh has worked
        if self.session.offers.is_open:
            return  # the INVITE or UPDATE under way refreshes too
        if self.peer_takes_update:
            self._update(now)
        else:
            self.session.stack.emit(events.RefreshWanted(self.session.id))

    def _update(self, now: float) -> None:
        def answered(_out: Outgoing, status: int, reason: str, response: Response | None, then: float) -> None:
            if status < 200:
                return
            if status < 300 and response is not None:
                if self.session.dialog is not None:
                    self.session.dialog.refresh(response)
                self.agreed(response, then)
            elif status == 422 and response is not None and self.lengthen(response):
                self._update(then)
            elif status in (405, 501):
                self.peer_takes_update = False  # the next attempt is a re-INVITE
            else:
                self.session.check_gone(status, reason, then)
        headers = (*self.session.supported(), *self.asked())
        self.session.request("UPDATE", now, headers=headers, on_answer=answered, contact=True)

    def stop(self) -> None:
        """No timer (any more)."""
        if self.timer is not None:
            self.timer.stop()
            self.timer = None
