"""What the SIP endpoint can be told to do."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from offhook.sip.events.base import Body, HeaderList, Identity, IdentityId, RequestId, SessionId
from offhook.sip.uri import Uri


class SetIdentity(Struct, frozen=True):
    """Add an identity, or replace the one with the same id (running registrations use the new values at the next request)."""

    identity: Identity


class SetPolicy(Struct, frozen=True):
    """How calls are made from now on.

    `packages` are what others may ask to watch (dialog, presence); without any, SUBSCRIBE is not served.
    `session_expires` is the seconds after which a call without a sign of life ends (RFC 4028), 0: never; `session_least` what
    we accept at least. `reliable` says whether provisional answers are acknowledged (RFC 3262): where the far end asks for it
    or for early media, or always ("required": who cannot is refused).
    """

    session_expires: int = 1800
    session_least: int = 90
    reliable: Literal["off", "supported", "required"] = "supported"
    packages: tuple[str, ...] = ()


class Subscribe(Struct, frozen=True):
    """Watch `target`: subscribe to `event`, keep it up, and subscribe again after a failure, until Unsubscribe.

    What is told comes as SubscriptionNotified; SubscriptionEnded says when it is over, for good or until `retry_in`.
    """

    subscription: str
    identity: IdentityId
    target: Uri
    event: str
    accept: str
    expires: int = 3600


class Unsubscribe(Struct, frozen=True):
    """Watch no more; ends with SubscriptionEnded."""

    subscription: str


class RenewSubscription(Struct, frozen=True):
    """Ask for the whole state again."""

    subscription: str


class AcceptWatcher(Struct, frozen=True):
    """Let who asks (WatcherAsks) watch us for `expires` seconds; TellWatcher must follow at once."""

    watcher: str
    expires: int


class RefuseWatcher(Struct, frozen=True):
    """Do not let who asks watch us."""

    watcher: str
    status: int = 403


class TellWatcher(Struct, frozen=True):
    """Tell a watcher how we are; `ends` is the reason when it is the last time (noresource, timeout, rejected …)."""

    watcher: str
    body: Body | None
    ends: str = ""


class Publish(Struct, frozen=True):
    """Publish our state for an event package, and keep it published; `body` None takes it back. Outcomes: Published."""

    identity: IdentityId
    event: str
    body: Body | None


class RemoveIdentity(Struct, frozen=True):
    """Forget an identity (unregister first)."""

    identity: IdentityId


class Register(Struct, frozen=True):
    """Register and keep registered (refresh, 423, stale nonce, backoff with jitter) until Unregister. `expires` in seconds."""

    identity: IdentityId
    expires: int = 300


class Unregister(Struct, frozen=True):
    """Remove our binding; ends with RegistrationEnded."""

    identity: IdentityId


class Invite(Struct, frozen=True):
    """Start a call. `offer` None makes an offerless INVITE. Redirects (3xx) are followed up to `max_redirects` times."""

    session: SessionId
    identity: IdentityId
    target: Uri
    offer: Body | None
    headers: HeaderList = ()
    max_redirects: int = 5


class Progress(Struct, frozen=True):
    """Send a provisional answer (180 by default; 183 with a body is early media) to an incoming call."""

    session: SessionId
    status: int = 180
    body: Body | None = None
    headers: HeaderList = ()


class Accept(Struct, frozen=True):
    """Answer an incoming call with 200 and our SDP answer (our offer, if the INVITE had none)."""

    session: SessionId
    body: Body
    headers: HeaderList = ()


class Refuse(Struct, frozen=True):
    """Refuse an incoming call that is not answered yet: any 3xx-6xx. For 302 put Contact (and Diversion) into headers."""

    session: SessionId
    status: int
    reason: str = ""
    headers: HeaderList = ()


class End(Struct, frozen=True):
    """End a session in whatever state: CANCEL (or wait for a provisional and then CANCEL), BYE, or 603 as fits.

    SessionEnded(by="local") follows at once, the transactions finish behind it. A 2xx that crosses a CANCEL is
    acknowledged and ended with BYE.
    """

    session: SessionId
    headers: HeaderList = ()


class Reoffer(Struct, frozen=True):
    """Send a re-INVITE with a new offer (hold, resume, codec change). Outcome: OfferAnswered or OfferFailed.

    Before the answer it is an UPDATE (RFC 3311), if the first offer was answered in an acknowledged provisional and the far end
    allows UPDATE; else InvalidState.
    One at a time: InvalidState while an offer is open in either direction. 491 is retried after the RFC 3261 14.1 wait. With
    `refresh` it only answers RefreshWanted: it may fail without OfferFailed.
    """

    session: SessionId
    offer: Body
    refresh: bool = False


class AnswerOffer(Struct, frozen=True):
    """Answer OfferReceived (with an SDP answer) or OfferWanted (with our offer)."""

    session: SessionId
    body: Body


class RefuseOffer(Struct, frozen=True):
    """Refuse OfferReceived or OfferWanted; the session goes on as it was (488 by default)."""

    session: SessionId
    status: int = 488


class Refer(Struct, frozen=True):
    """Transfer: REFER inside the dialog. Outcome: ReferProgress…, the last one with final=True.

    With `replaces`, another answered session of ours, the call to `target` takes that session's place (RFC 5589 7): the far
    ends of both talk to each other then. `target` None is where that session's far end is reached.
    """

    session: SessionId
    target: Uri | None
    headers: HeaderList = ()
    replaces: SessionId = ""


class AcceptRefer(Struct, frozen=True):
    """Accept ReferRequested with 202; the NOTIFY 'SIP/2.0 100 Trying' follows by itself."""

    session: SessionId
    refer: RequestId


class RefuseRefer(Struct, frozen=True):
    """Refuse ReferRequested (603 by default)."""

    session: SessionId
    refer: RequestId
    status: int = 603


class NotifyRefer(Struct, frozen=True):
    """Tell the transferor how the call we placed for it is doing; a status >= 200 ends the implicit subscription."""

    session: SessionId
    refer: RequestId
    status: int
    reason: str = ""


class SendInfo(Struct, frozen=True):
    """Send an INFO inside the session. Outcome: RequestDone with the same request id."""

    session: SessionId
    request: RequestId
    body: Body


class SendRequest(Struct, frozen=True):
    """Send a MESSAGE or OPTIONS outside any dialog. Outcome: RequestDone with the same request id."""

    request: RequestId
    identity: IdentityId
    method: Literal["MESSAGE", "OPTIONS"]
    target: Uri
    body: Body | None = None
    headers: HeaderList = ()


SipCommand: TypeAlias = (
    Subscribe | Unsubscribe | RenewSubscription | AcceptWatcher | RefuseWatcher | TellWatcher | Publish
    | SetIdentity | SetPolicy | RemoveIdentity | Register | Unregister | Invite | Progress | Accept | Refuse | End | Reoffer
    | AnswerOffer | RefuseOffer | Refer | AcceptRefer | RefuseRefer | NotifyRefer | SendInfo | SendRequest
)
