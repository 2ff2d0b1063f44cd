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

from dataclasses import dataclass
from typing import Literal, TypeAlias

from offhook.sip.uri import NameAddr, Uri

SessionId: TypeAlias = str
IdentityId: TypeAlias = str
RequestId: TypeAlias = str
HeaderList: TypeAlias = tuple[tuple[str, str], ...]
Address: TypeAlias = tuple[str, int]
TransportName: TypeAlias = Literal["udp", "tcp"]


@dataclass(frozen=True, slots=True)
class Flow:
    """One way to reach one peer: a UDP socket and a remote address, or one TCP connection.

    `connection` is 0 for UDP, and for a TCP flow that `io` is to connect (or reuse) on first use; accepted TCP connections
    carry the positive number `io` gave them. `local` is the address the peer sees us under (for Via and Contact).
    """

    transport: TransportName
    local: Address
    remote: Address
    connection: int = 0


@dataclass(frozen=True, slots=True)
class Body:
    """A message body with its Content-Type. Opaque here."""

    content_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we are towards a registrar or proxy.

    `proxy` is the outbound proxy (a loose route) or None: the domain of `address`. `contact_user` is the user part of our
    Contact, by which incoming requests find this identity. `transport` is what requests to the domain use.
    """

    id: IdentityId
    address: NameAddr
    auth_username: str = ""
    password: str = ""
    proxy: Uri | None = None
    transport: TransportName = "udp"
    contact_user: str = ""
    user_agent: str = "offhook"


# --- commands ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SetIdentity:
    """Add an identity, or replace the one with the same id (running registrations use the new values at the next request)."""

    identity: Identity


@dataclass(frozen=True, slots=True)
class RemoveIdentity:
    """Forget an identity (unregister first)."""

    identity: IdentityId


@dataclass(frozen=True, slots=True)
class Register:
    """Register and keep registered (refresh, 423, stale nonce, backoff with jitter) until Unregister. `expires` in seconds."""

    identity: IdentityId
    expires: int = 300


@dataclass(frozen=True, slots=True)
class Unregister:
    """Remove our binding; ends with RegistrationEnded."""

    identity: IdentityId


@dataclass(frozen=True, slots=True)
class Invite:
    """Start a call. `offer` None makes an offerless INVITE. Redirects (3xx) are followed up to `max_redirects` times."""

    session: SessionId
    identity: IdentityId
    target: Uri
    offer: Body | None
    headers: HeaderList = ()
    max_redirects: int = 5


@dataclass(frozen=True, slots=True)
class Progress:
    """Send a provisional answer (180 by default; 183 with a body is early media) to an incoming call."""

    session: SessionId
    status: int = 180
    body: Body | None = None
    headers: HeaderList = ()


@dataclass(frozen=True, slots=True)
class Accept:
    """Answer an incoming call with 200 and our SDP answer (our offer, if the INVITE had none)."""

    session: SessionId
    body: Body
    headers: HeaderList = ()


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refuse an incoming call that is not answered yet: any 3xx-6xx. For 302 put Contact (and Diversion) into headers."""

    session: SessionId
    status: int
    reason: str = ""
    headers: HeaderList = ()


@dataclass(frozen=True, slots=True)
class End:
    """End a session in whatever state: CANCEL (or wait for a provisional and then CANCEL), BYE, or 603 as fits.

    SessionEnded(by="local") follows at once, the transactions finish behind it. A 2xx that crosses a CANCEL is
    acknowledged and ended with BYE.
    """

    session: SessionId
    headers: HeaderList = ()


@dataclass(frozen=True, slots=True)
class Reoffer:
    """Send a re-INVITE with a new offer (hold, resume, codec change). Outcome: OfferAnswered or OfferFailed.

    One at a time: InvalidState while an offer is open in either direction. 491 is retried after the RFC 3261 14.1 wait.
    """

    session: SessionId
    offer: Body


@dataclass(frozen=True, slots=True)
class AnswerOffer:
    """Answer OfferReceived (with an SDP answer) or OfferWanted (with our offer)."""

    session: SessionId
    body: Body


@dataclass(frozen=True, slots=True)
class RefuseOffer:
    """Refuse OfferReceived or OfferWanted; the session goes on as it was (488 by default)."""

    session: SessionId
    status: int = 488


@dataclass(frozen=True, slots=True)
class Refer:
    """Blind transfer: REFER inside the dialog. Outcome: ReferProgress…, the last one with final=True."""

    session: SessionId
    target: Uri
    headers: HeaderList = ()


@dataclass(frozen=True, slots=True)
class AcceptRefer:
    """Accept ReferRequested with 202; the NOTIFY 'SIP/2.0 100 Trying' follows by itself."""

    session: SessionId
    refer: RequestId


@dataclass(frozen=True, slots=True)
class RefuseRefer:
    """Refuse ReferRequested (603 by default)."""

    session: SessionId
    refer: RequestId
    status: int = 603


@dataclass(frozen=True, slots=True)
class NotifyRefer:
    """Tell the transferor how the call we placed for it is doing; a status >= 200 ends the implicit subscription."""

    session: SessionId
    refer: RequestId
    status: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SendInfo:
    """Send an INFO inside the session. Outcome: RequestDone with the same request id."""

    session: SessionId
    request: RequestId
    body: Body


@dataclass(frozen=True, slots=True)
class SendRequest:
    """Send a MESSAGE or OPTIONS outside any dialog. Outcome: RequestDone with the same request id."""

    request: RequestId
    identity: IdentityId
    method: Literal["MESSAGE", "OPTIONS"]
    target: Uri
    body: Body | None = None
    headers: HeaderList = ()


SipCommand: TypeAlias = (
    SetIdentity | RemoveIdentity | Register | Unregister | Invite | Progress | Accept | Refuse | End | Reoffer | AnswerOffer
    | RefuseOffer | Refer | AcceptRefer | RefuseRefer | NotifyRefer | SendInfo | SendRequest
)


# --- inputs --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Datagram:
    """A UDP datagram arrived."""

    flow: Flow
    data: bytes


@dataclass(frozen=True, slots=True)
class StreamChunk:
    """Bytes arrived on a TCP connection; framing is done here."""

    flow: Flow
    data: bytes


@dataclass(frozen=True, slots=True)
class FlowFailed:
    """A send failed or a connection broke or was closed (RFC 3261 18.4: a transport error, as 503 for its transactions)."""

    flow: Flow
    reason: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """The answer to Resolve: flows to try in order (empty: the name has no address; `reason` says why)."""

    query: int
    flows: tuple[Flow, ...]
    reason: str = ""


SipInput: TypeAlias = Datagram | StreamChunk | FlowFailed | Resolved


# --- outputs -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Transmit:
    """Send these bytes on this flow (for TCP: connect first if there is no connection)."""

    flow: Flow
    data: bytes


@dataclass(frozen=True, slots=True)
class Resolve:
    """Find where `host` is. Literal addresses are asked too; `port` None means the default or what SRV says."""

    query: int
    host: str
    port: int | None
    transport: TransportName


@dataclass(frozen=True, slots=True)
class CloseFlow:
    """This TCP connection sent something that cannot be framed; close it."""

    flow: Flow


# --- events --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Registering:
    """A REGISTER has been sent."""

    identity: IdentityId


@dataclass(frozen=True, slots=True)
class Registered:
    """The registrar accepted us; `expires` seconds were granted."""

    identity: IdentityId
    expires: int


@dataclass(frozen=True, slots=True)
class RegistrationFailed:
    """The registrar refused or did not answer (status 408 then); another attempt follows in `retry_in` seconds, None: never."""

    identity: IdentityId
    status: int
    reason: str
    retry_in: float | None


@dataclass(frozen=True, slots=True)
class RegistrationEnded:
    """We are not registered any more, because we asked for it."""

    identity: IdentityId


@dataclass(frozen=True, slots=True)
class SessionIncoming:
    """A new call. 100 Trying is handled; answer with Progress, Accept or Refuse.

    `identity` is the one whose contact user or address fits the Request-URI, None if none does.
    `headers` holds every header of the INVITE in order, values unfolded; `flow` is the way it came, and with it the address
    under which the caller sees us.
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


@dataclass(frozen=True, slots=True)
class SessionCalling:
    """The INVITE has left for the first time."""

    session: SessionId
    sip_call_id: str


@dataclass(frozen=True, slots=True)
class SessionProgress:
    """A provisional answer above 100. `fork` tells branches apart (the To tag); `body` is early SDP or None."""

    session: SessionId
    fork: str
    status: int
    reason: str
    body: Body | None


@dataclass(frozen=True, slots=True)
class SessionRedirected:
    """A 3xx is being followed to `target`."""

    session: SessionId
    status: int
    target: Uri


@dataclass(frozen=True, slots=True)
class SessionAnswered:
    """Our INVITE got its (first) 2xx, ACK has been sent. `body` is the SDP answer, None if it came earlier in a provisional."""

    session: SessionId
    fork: str
    body: Body | None
    remote: NameAddr
    headers: HeaderList


@dataclass(frozen=True, slots=True)
class SessionConfirmed:
    """The ACK for our 2xx arrived. `body` is the SDP answer when the INVITE had no offer."""

    session: SessionId
    body: Body | None


@dataclass(frozen=True, slots=True)
class SessionEnded:
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


@dataclass(frozen=True, slots=True)
class OfferReceived:
    """The far end sent a re-INVITE (or UPDATE) with an offer; answer with AnswerOffer or RefuseOffer."""

    session: SessionId
    body: Body


@dataclass(frozen=True, slots=True)
class OfferWanted:
    """The far end sent a re-INVITE without an offer; AnswerOffer with ours. Its answer comes as OfferAnswered."""

    session: SessionId


@dataclass(frozen=True, slots=True)
class OfferAnswered:
    """Our offer was answered."""

    session: SessionId
    body: Body


@dataclass(frozen=True, slots=True)
class OfferFailed:
    """Our offer was refused or got no answer; the session goes on as it was."""

    session: SessionId
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class ReferRequested:
    """The far end asks us to call `target` (REFER); the application decides with AcceptRefer or RefuseRefer."""

    session: SessionId
    refer: RequestId
    target: NameAddr
    referred_by: str


@dataclass(frozen=True, slots=True)
class ReferProgress:
    """How our transfer is doing: the REFER's own refusal, or the status in a NOTIFY's sipfrag."""

    session: SessionId
    status: int
    reason: str
    final: bool


@dataclass(frozen=True, slots=True)
class InfoReceived:
    """An INFO arrived inside the session; 200 has been sent (415 where content types are not known is the endpoint's work)."""

    session: SessionId
    body: Body | None


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A MESSAGE arrived; 200 has been sent."""

    identity: IdentityId | None
    remote: NameAddr
    body: Body


@dataclass(frozen=True, slots=True)
class RequestDone:
    """The final status of SendInfo or SendRequest (408: no answer, 503: could not be sent)."""

    request: RequestId
    status: int
    reason: str
    headers: HeaderList = ()


@dataclass(frozen=True, slots=True)
class Dropped:
    """Bytes that could not be understood or belonged nowhere were dropped or answered; worth counting, never an error."""

    source: Address
    reason: str


SipEvent: TypeAlias = (
    Registering | Registered | RegistrationFailed | RegistrationEnded | SessionIncoming | SessionCalling | SessionProgress
    | SessionRedirected | SessionAnswered | SessionConfirmed | SessionEnded | OfferReceived | OfferWanted | OfferAnswered
    | OfferFailed | ReferRequested | ReferProgress | InfoReceived | MessageReceived | RequestDone | Dropped
)

SipOutput: TypeAlias = Transmit | Resolve | CloseFlow | SipEvent
