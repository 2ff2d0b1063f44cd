"""What the SIP endpoint tells the room above."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from offhook.sip.events.base import Address, Body, Flow, HeaderList, IdentityId, RequestId, SessionId
from offhook.sip.uri import NameAddr, Uri


class Registering(Struct, frozen=True):
    """A REGISTER has been sent."""

    identity: IdentityId


class Registered(Struct, frozen=True):
    """The registrar accepted us; `expires` seconds were granted. `moved`: under another Contact than before."""

    identity: IdentityId
    expires: int
    moved: bool = False


class RegistrationLost(Struct, frozen=True):
    """We were registered, and the way there is gone (connection, address): another attempt follows in `retry_in` seconds."""

    identity: IdentityId
    reason: str
    retry_in: float


class RegistrationFailed(Struct, frozen=True):
    """The registrar refused or did not answer (status 408 then); another attempt follows in `retry_in` seconds, None: never."""

    identity: IdentityId
    status: int
    reason: str
    retry_in: float | None


class RegistrationFlow(Struct, frozen=True):
    """One of the two flows of a registration (RFC 5626 4.2) has come or gone.

    `number` is its reg-id, `server` its place in the identity's proxies, `remote` the address it leads to (None: none). It is
    "failed" when it was refused, lost or not answered; the next attempt follows in `retry_in` seconds. "ended": there is one
    registration only, or none, from here on.
    """

    identity: IdentityId
    number: int
    server: int
    state: Literal["registering", "registered", "failed", "ended"]
    remote: Address | None = None
    reason: str = ""
    retry_in: float | None = None


class RegistrationEnded(Struct, frozen=True):
    """We are not registered any more, because we asked for it."""

    identity: IdentityId


class SessionIncoming(Struct, frozen=True):
    """A new call. 100 Trying is handled; answer with Progress, Accept or Refuse.

    `identity` is the one whose contact user or address fits the Request-URI, None if none does.
    `headers` holds every header of the INVITE in order, values unfolded; `flow` is the way it came, and with it the address
    under which the caller sees us. `replaces` is the session whose place it takes: Accept it and End that one (RFC 3891 3).
    `asserted` is who the caller is by the identity's own server (RFC 3325), "" where it says nothing or is not the one we hear.
    `wants_offer`: it has none, and the first Progress goes reliably, so our offer has to be in that (RFC 3262 5).
    """

    session: SessionId
    identity: IdentityId | None
    remote: NameAddr
    local: NameAddr
    request_uri: Uri
    sip_call_id: str
    offer: Body | None
    headers: HeaderList
    flow: Flow
    replaces: SessionId = ""
    asserted: str = ""
    wants_offer: bool = False


class SessionCalling(Struct, frozen=True):
    """The INVITE has left for the first time."""

    session: SessionId
    sip_call_id: str


class SessionProgress(Struct, frozen=True):
    """A provisional answer above 100. `fork` tells branches apart (the To tag); `body` is early SDP or None.

    199: this fork, which was told of before, has ended without an answer. `web`: it is reached by a WebSocket, as pages are.
    """

    session: SessionId
    fork: str
    status: int
    reason: str
    body: Body | None
    web: bool = False


class PeerNamed(Struct, frozen=True):
    """The identity's own server says who is at the other end (as in SessionIncoming), and it is not whom it named before.

    `asserted` is "" where somebody has answered whom it has not named.
    """

    session: SessionId
    asserted: str


class SessionRedirected(Struct, frozen=True):
    """A 3xx is being followed to `target`: who was named in a PeerNamed before is not called any more."""

    session: SessionId
    status: int
    target: Uri


class SessionAnswered(Struct, frozen=True):
    """Our INVITE got its (first) 2xx, ACK has been sent. `body` is the SDP answer, None if it came earlier in a provisional."""

    session: SessionId
    fork: str
    body: Body | None
    remote: NameAddr
    headers: HeaderList


class SessionConfirmed(Struct, frozen=True):
    """The ACK for our 2xx arrived. `body` is the SDP answer when the INVITE had no offer."""

    session: SessionId
    body: Body | None


class SessionEnded(Struct, frozen=True):
    """The session is over; its id is free.

    `by` is "local", "remote" or "network" (time-out, transport error). `status` is the final SIP status of a call that was
    never answered, 0 after a BYE. `reason` is the phrase; `headers` those of the message that ended it (Reason, Warning,
    Retry-After, Contact of a redirect not followed).
    """

    session: SessionId
    by: Literal["local", "remote", "network"]
    status: int
    reason: str
    headers: HeaderList = ()


class OfferReceived(Struct, frozen=True):
    """The far end sent a re-INVITE (or UPDATE) with an offer; answer with AnswerOffer or RefuseOffer.

    `fork` tells before the answer which branch it was, as in SessionProgress.
    """

    session: SessionId
    body: Body
    fork: str = ""


class OfferWanted(Struct, frozen=True):
    """The far end sent a re-INVITE without an offer; AnswerOffer with ours. Its answer comes as OfferAnswered."""

    session: SessionId


class OfferAnswered(Struct, frozen=True):
    """Our offer was answered; `fork` as in OfferReceived."""

    session: SessionId
    body: Body
    fork: str = ""


class OfferFailed(Struct, frozen=True):
    """Our offer was refused or got no answer; the session goes on as it was."""

    session: SessionId
    status: int
    reason: str


class RefreshWanted(Struct, frozen=True):
    """The session must be refreshed (RFC 4028) and the far end knows no UPDATE: Reoffer, with refresh, what is agreed."""

    session: SessionId


class ReferRequested(Struct, frozen=True):
    """The far end asks us to call `target` (REFER); the application decides with AcceptRefer or RefuseRefer."""

    session: SessionId
    refer: RequestId
    target: NameAddr
    referred_by: str


class ReferProgress(Struct, frozen=True):
    """How our transfer is doing: the REFER's own refusal, or the status in a NOTIFY's sipfrag."""

    session: SessionId
    status: int
    reason: str
    final: bool


class SubscriptionNotified(Struct, frozen=True):
    """What we watch has told something. `state` is that of the subscription: pending, active, terminated …"""

    subscription: str
    state: str
    body: Body | None


class SubscriptionEnded(Struct, frozen=True):
    """A subscription is over, for `retry_in` seconds, or for good (None). `status` is the answer that refused it, else 0."""

    subscription: str
    status: int
    reason: str
    retry_in: float | None


class WatcherAsks(Struct, frozen=True):
    """Somebody wants to watch us: AcceptWatcher or RefuseWatcher. `trusted`: it comes by way of the identity's own server."""

    watcher: str
    identity: IdentityId | None
    event: str
    remote: NameAddr
    expires: int
    trusted: bool


class WatcherRefreshed(Struct, frozen=True):
    """A watcher asked again: TellWatcher how we are, `ends` "timeout" if it wants no more."""

    watcher: str
    ends: bool


class WatcherGone(Struct, frozen=True):
    """A watcher is not there any more."""

    watcher: str


class Published(Struct, frozen=True):
    """The answer to a PUBLISH; what failed is tried again where that makes sense."""

    identity: IdentityId
    event: str
    status: int
    reason: str


class SummaryReceived(Struct, frozen=True):
    """The identity's server says, unasked, which messages wait (RFC 3842)."""

    identity: IdentityId
    body: Body


class InfoReceived(Struct, frozen=True):
    """An INFO arrived inside the session; 200 has been sent (415 where content types are not known is the endpoint's work)."""

    session: SessionId
    body: Body | None


class MessageReceived(Struct, frozen=True):
    """A MESSAGE arrived; 200 has been sent."""

    identity: IdentityId | None
    remote: NameAddr
    body: Body


class RequestDone(Struct, frozen=True):
    """The final status of SendInfo or SendRequest (408: no answer, 503: could not be sent)."""

    request: RequestId
    status: int
    reason: str
    headers: HeaderList = ()


class Dropped(Struct, frozen=True):
    """Bytes that could not be understood or belonged nowhere were dropped or answered; worth counting, never an error."""

    source: Address
    reason: str


class Refused(Struct, frozen=True):
    """Somebody was turned away at the door `attempts` times. `source` is an address, a /64 of IPv6, or "many"."""

    source: str
    reason: str
    attempts: int


SipEvent: TypeAlias = (
    Registering | Registered | RegistrationLost | RegistrationFailed | RegistrationFlow | RegistrationEnded | SessionIncoming
    | SessionCalling | SessionProgress | PeerNamed | SessionRedirected | SessionAnswered | SessionConfirmed | SessionEnded
    | SubscriptionNotified | SubscriptionEnded | WatcherAsks | WatcherRefreshed | WatcherGone | Published | SummaryReceived
    | OfferReceived | OfferWanted | OfferAnswered | OfferFailed | RefreshWanted | ReferRequested | ReferProgress
    | InfoReceived | MessageReceived | RequestDone | Dropped | Refused
)
