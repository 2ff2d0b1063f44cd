"""What goes into and comes out of the SIP endpoint: commands, inputs, outputs, events. Data only.

The endpoint (`sip.endpoint.Endpoint`) speaks the five verbs:

    execute(command, now) -> None      a SipCommand from the room above; raises CommandError and changes nothing if impossible
    receive(input, now) -> None        a SipInput from the world
    timeout(now) -> None               the deadline has passed
    poll() -> SipOutput | None         what is to be done outside, until None
    deadline() -> float | None         when timeout() wants to be called

`now` is monotonic seconds. Session ids are chosen by the caller of Invite and minted by the endpoint for incoming calls.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from msgspec import Struct

from offhook.sip.uri import NameAddr, Uri

SessionId: TypeAlias = str
IdentityId: TypeAlias = str
RequestId: TypeAlias = str
HeaderList: TypeAlias = tuple[tuple[str, str], ...]
Address: TypeAlias = tuple[str, int]
TransportName: TypeAlias = Literal["udp", "tcp", "tls", "ws", "wss"]
TransportChoice: TypeAlias = Literal["auto", "udp", "tcp", "tls", "ws", "wss"]
"""What an account or an address asks for; "auto" leaves it to the name service (RFC 3263 4.1), UDP if that says nothing."""

SECURE: Final[frozenset[str]] = frozenset({"tls", "wss"})
"""Transports that keep the promise of a sips: address."""


class ConnectionTerms(Struct, frozen=True):
    """What a connection needs beyond an address: who the far end has to be, and who we are.

    `name` is what the far end's certificate must bear ("": the name that was looked up; RFC 5922 7.1). `ca` is a PEM file or a
    folder of those that may vouch for it ("": the system's), `certificate` and `key` are our own PEM files. With `verify` False
    anybody may answer. `path` is the resource of a WebSocket.
    """

    name: str = ""
    ca: str = ""
    certificate: str = ""
    key: str = ""
    verify: bool = True
    path: str = "/"


class Flow(Struct, frozen=True):
    """One way to reach one peer: a UDP socket and a remote address, or one connection (TCP, TLS, WebSocket).

    `connection` is 0 for UDP, and for a connection that `io` is to make (or reuse) on first use; accepted connections
    carry the positive number `io` gave them. `local` is the address the peer sees us under (for Via and Contact). `terms` are
    those of a TLS or WebSocket connection that we make.
    """

    transport: TransportName
    local: Address
    remote: Address
    connection: int = 0
    terms: ConnectionTerms | None = None


class Body(Struct, frozen=True):
    """A message body with its Content-Type. Opaque here."""

    content_type: str
    data: bytes


class Identity(Struct, frozen=True):
    """Who we are towards a registrar or proxy.

    `proxy` is the outbound proxy (a loose route) or None: the domain of `address`. `contact_user` is the user part of our
    Contact, by which incoming requests find this identity. `transport` is what requests to the domain use, `terms` are those
    of its TLS and WebSocket connections. `instance` is the URN that tells this phone from others of the same user (RFC 5626
    4.1; "": not told), `keep_alive` seconds between signs of life on the registered flow (0: none). With `rewrite_contact` our
    Contact over UDP is the address that the far end says it sees us under (Via received and rport), once it has said so.
    """

    id: IdentityId
    address: NameAddr
    auth_username: str = ""
    password: str = ""
    proxy: Uri | None = None
    transport: TransportChoice = "udp"
    contact_user: str = ""
    user_agent: str = "offhook"
    terms: ConnectionTerms | None = None
    instance: str = ""
    keep_alive: float = 0.0
    rewrite_contact: bool = True


# --- commands ------------------------------------------------------------------------------------------------------


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


# --- inputs --------------------------------------------------------------------------------------------------------


class Datagram(Struct, frozen=True):
    """A UDP datagram arrived, or a message on a WebSocket, which needs no framing either (RFC 7118 5)."""

    flow: Flow
    data: bytes


class StreamChunk(Struct, frozen=True):
    """Bytes arrived on a TCP or TLS connection; framing is done here."""

    flow: Flow
    data: bytes


class FlowUp(Struct, frozen=True):
    """A connection that we make stands; `detail` says how it is secured ("" if it is not)."""

    flow: Flow
    detail: str = ""


class FlowFailed(Struct, frozen=True):
    """A send failed or a connection broke or was closed (RFC 3261 18.4: a transport error, as 503 for its transactions).

    `stood`: the connection had been there, so that a new one may well come about.
    """

    flow: Flow
    reason: str
    stood: bool = False


class NetworkChanged(Struct, frozen=True):
    """This machine's addresses or routes are others now, or it slept: what was known of flows is worth nothing any more."""

    reason: str


class Resolved(Struct, frozen=True):
    """The answer to Resolve: flows to try in order (empty: the name has no address; `reason` says why)."""

    query: int
    flows: tuple[Flow, ...]
    reason: str = ""


SipInput: TypeAlias = Datagram | StreamChunk | FlowUp | FlowFailed | NetworkChanged | Resolved


# --- outputs -------------------------------------------------------------------------------------------------------


class Transmit(Struct, frozen=True):
    """Send these bytes on this flow (connect first if there is no connection)."""

    flow: Flow
    data: bytes


class Resolve(Struct, frozen=True):
    """Find where `host` is. Literal addresses are asked too; `port` None means what SRV says, else the default.

    With `secure` only transports that are encrypted will do (sips:). `terms` become those of the flows.
    """

    query: int
    host: str
    port: int | None
    transport: TransportChoice
    secure: bool = False
    terms: ConnectionTerms | None = None


class CloseFlow(Struct, frozen=True):
    """This connection is of no use any more (what it sent cannot be framed, or it is dead); close it."""

    flow: Flow


# --- events --------------------------------------------------------------------------------------------------------


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


class RegistrationEnded(Struct, frozen=True):
    """We are not registered any more, because we asked for it."""

    identity: IdentityId


class SessionIncoming(Struct, frozen=True):
    """A new call. 100 Trying is handled; answer with Progress, Accept or Refuse.

    `identity` is the one whose contact user or address fits the Request-URI, None if none does.
    `headers` holds every header of the INVITE in order, values unfolded; `flow` is the way it came, and with it the address
    under which the caller sees us. `replaces` is the session whose place it takes: Accept it and End that one (RFC 3891 3).
    `trusted`: it comes by way of the identity's own server, whose word about the caller counts (RFC 3325).
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
    trusted: bool = False


class SessionCalling(Struct, frozen=True):
    """The INVITE has left for the first time."""

    session: SessionId
    sip_call_id: str


class SessionProgress(Struct, frozen=True):
    """A provisional answer above 100. `fork` tells branches apart (the To tag); `body` is early SDP or None."""

    session: SessionId
    fork: str
    status: int
    reason: str
    body: Body | None


class SessionRedirected(Struct, frozen=True):
    """A 3xx is being followed to `target`."""

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
    """The far end sent a re-INVITE (or UPDATE) with an offer; answer with AnswerOffer or RefuseOffer."""

    session: SessionId
    body: Body


class OfferWanted(Struct, frozen=True):
    """The far end sent a re-INVITE without an offer; AnswerOffer with ours. Its answer comes as OfferAnswered."""

    session: SessionId


class OfferAnswered(Struct, frozen=True):
    """Our offer was answered."""

    session: SessionId
    body: Body


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
    Registering | Registered | RegistrationLost | RegistrationFailed | RegistrationEnded | SessionIncoming
    | SessionCalling | SessionProgress | SessionRedirected | SessionAnswered | SessionConfirmed | SessionEnded
    | SubscriptionNotified | SubscriptionEnded | WatcherAsks | WatcherRefreshed | WatcherGone | Published | SummaryReceived
    | OfferReceived | OfferWanted | OfferAnswered | OfferFailed | RefreshWanted | ReferRequested | ReferProgress
    | InfoReceived | MessageReceived | RequestDone | Dropped | Refused
)

SipOutput: TypeAlias = Transmit | Resolve | CloseFlow | SipEvent
