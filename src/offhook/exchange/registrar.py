"""The registrar (RFC 3261 10.3): which contacts an account can be reached at, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from offhook.errors import ParseError
from offhook.exchange.authority import Authority
from offhook.sip.events import Flow
from offhook.sip.message import Request
from offhook.sip.uri import NameAddr, Uri

MIN_EXPIRES: Final = 10
"""Seconds: shorter registrations are answered with 423. Short enough that a refresh can be watched."""
MAX_EXPIRES: Final = 3600
"""Seconds: longer ones are granted this much."""
DEFAULT_EXPIRES: Final = 300
"""Seconds granted when the phone asks for nothing."""
MAX_CONTACTS: Final = 10
"""Contacts of one account: every call forks to all of them."""


@dataclass(frozen=True, slots=True)
class Binding:
    """One contact of an account. `flow` is how requests reach it; `until` is monotonic seconds."""

    contact: Uri
    flow: Flow
    until: float
    call_id: str
    cseq: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a REGISTER. `note` says in plain words what has changed, "" if nothing has."""

    status: int
    reason: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Wish:
    """One contact of a REGISTER with the seconds it shall last; 0 removes it."""

    contact: Uri
    seconds: int


class Registrar:
    """Bindings of all accounts. Pure: `register` answers at once, `expire` forgets what is over."""

    def __init__(self, authority: Authority, *, is_ours: Callable[[Uri], bool] = lambda uri: False,
                 min_expires: int = MIN_EXPIRES, max_expires: int = MAX_EXPIRES) -> None:
        self._authority = authority
        self._is_ours = is_ours
        self._min = min_expires
        self._max = max_expires
        self._bindings: dict[str, list[Binding]] = {}

    # --- what others ask ---------------------------------------------------------------------------------------------

    def bindings(self, user: str, now: float) -> list[Binding]:
        """Return where `user` can be reached at this moment."""
        return [each for each in self._bindings.get(user, ()) if each.until > now]

    def find(self, uri: Uri, now: float) -> Binding | None:
        """Return the binding whose contact is `uri`: requests inside a dialog are addressed so."""
        for user in self._bindings:
            for binding in self.bindings(user, now):
                contact = binding.contact
                if (contact.host.lower(), contact.port, contact.user) == (uri.host.lower(), uri.port, uri.user):
                    return binding
        return None

    def deadline(self) -> float | None:
        """Return when the next binding ends."""
        return min((each.until for bindings in self._bindings.values() for each in bindings), default=None)

    def expire(self, now: float) -> list[str]:
        """Forget what is over; returns one note for each contact."""
        return self._drop(lambda binding: binding.until <= now, "registration expired")

    def fail(self, flow: Flow) -> list[str]:
        """Forget the contacts behind a broken TCP connection; returns notes."""
        if flow.transport == "udp" or not flow.connection:
            return []
        return self._drop(lambda binding: binding.flow == flow, "connection lost")

    def _drop(self, over: Callable[[Binding], bool], why: str) -> list[str]:
        notes: list[str] = []
        for user, bindings in list(self._bindings.items()):
            notes += [f"{user}: {why} ({each.contact})" for each in bindings if over(each)]
            self._keep(user, [each for each in bindings if not over(each)])
        return notes

    def _keep(self, user: str, bindings: list[Binding]) -> None:
        if bindings:
            self._bindings[user] = bindings
        else:
            self._bindings.pop(user, None)

    # --- REGISTER ----------------------------------------------------------------------------------------------------

    def register(self, request: Request, flow: Flow, now: float) -> Answer:
        """Answer a REGISTER for one of our domains (RFC 3261 10.3, steps 3 to 8). Never raises."""
        try:
            user = request.to.uri.user_decoded
            if user not in self._authority.accounts:
                return Answer(404)
            verdict = self._authority.check(request, user, now, proxy=False)
            if verdict.status:
                note = f"{user}: registration refused ({verdict.reason})" if verdict.reason else ""
                return Answer(verdict.status, verdict.reason, verdict.headers, note)
            self.expire(now)
            return self._update(user, request, flow, now)
        except ParseError as error:
            return Answer(error.status, "Bad Request")

    def _update(self, user: str, request: Request, flow: Flow, now: float) -> Answer:
        old = self._bindings.get(user, [])
        if self._too_old(request, old):
            return Answer(400, "CSeq Out Of Order")
        if request.contact_is_star:
            # RFC 3261 10.3 step 6: "*" is only allowed with Expires 0.
            if request.expires != 0:
                return Answer(400, "Contact * Needs Expires 0")
            self._keep(user, [])
            return self._granted(user, now, f"{user}: unregistered" if old else "")
        wishes = [self._wish(contact, request) for contact in request.contacts]
        if any(0 < wish.seconds < self._min for wish in wishes):
            return Answer(423, "", (("Min-Expires", str(self._min)),))
        if any(self._is_ours(wish.contact) for wish in wishes):
            # A contact that leads back here would make every call to it a loop.
            return Answer(403, "Contact Leads Back To The Exchange")
        bindings = self._merge(old, wishes, request, flow, now)
        if len(bindings) > MAX_CONTACTS:
            return Answer(403, "Too Many Contacts")
        self._keep(user, bindings)
        return self._granted(user, now, _note(user, old, wishes))

    @staticmethod
    def _too_old(request: Request, old: list[Binding]) -> bool:
        # RFC 3261 10.3 step 7: with the same Call-ID only a higher CSeq may change a binding.
        call_id, number = request.call_id, request.cseq.number
        changing = request.contact_is_star or bool(request.contacts)
        return changing and any(each.call_id == call_id and each.cseq >= number for each in old)

    def _wish(self, contact: NameAddr, request: Request) -> _Wish:
        if contact.uri.scheme != "sip":
            raise ParseError("only sip: contacts can be reached here")
        given = contact.param("expires")
        # RFC 3261 20.19 and 10.3: a malformed value counts as the default.
        if given is not None and given.isascii() and given.isdigit() and len(given) <= 10:
            seconds = int(given)
        else:
            seconds = DEFAULT_EXPIRES if given is not None or request.expires is None else request.expires
        return _Wish(contact.uri, min(seconds, self._max))

    @staticmethod
    def _merge(old: list[Binding], wishes: list[_Wish], request: Request, flow: Flow, now: float) -> list[Binding]:
        bindings = list(old)
        for wish in wishes:
            bindings = [each for each in bindings if not each.contact.equivalent(wish.contact)]
            if wish.seconds:
                bindings.append(Binding(wish.contact, contact_flow(wish.contact, request, flow), now + wish.seconds,
                                        request.call_id, request.cseq.number))
        return bindings

    def _granted(self, user: str, now: float, note: str) -> Answer:
        contacts = tuple(("Contact", f"<{each.contact}>;expires={max(1, round(each.until - now))}")
                         for each in self.bindings(user, now))
        return Answer(200, "", contacts, note)


def _note(user: str, old: list[Binding], wishes: list[_Wish]) -> str:
    for wish in wishes:
        known = any(each.contact.equivalent(wish.contact) for each in old)
        if wish.seconds and not known:
            return f"{user}: registered at {wish.contact.host}:{wish.contact.port or 5060} for {wish.seconds} s"
        if known and not wish.seconds:
            return f"{user}: unregistered"
    return ""


def contact_flow(contact: Uri, request: Request, flow: Flow) -> Flow:
    """Return how to reach a contact that was registered over `flow`."""
    if flow.transport != "udp":
        # The connection is the only way that is known to work (a phone's contact names its listener, if it has one).
        return flow
    behind_nat = request.via.host.strip("[]").lower() != flow.remote[0].lower()
    where = literal(contact)
    if where is None or behind_nat:
        return flow
    return Flow("tcp" if contact.transport == "tcp" else "udp", flow.local, where)


def literal(uri: Uri) -> tuple[str, int] | None:
    """Return address and port of a URI whose host needs no look-up, None for other names."""
    host = uri.target_host
    if host.lower() == "localhost":
        host = "127.0.0.1"
    numeric = ":" in host or (host.count(".") == 3 and host.replace(".", "").isdigit())
    return (host, uri.port or 5060) if numeric else None
