"""What a phone can be told to do differently: plain data, checked where it is read (storage) or set (commands)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from offhook.media.messages import RecordingFormat
from offhook.media.security import Keying, SrtpPolicy

DtmfMethod: TypeAlias = Literal["auto", "rtp", "info", "inband"]
AutoAnswer: TypeAlias = Literal["off", "header", "all"]
Decision: TypeAlias = Literal["answer", "reject", "redirect", "ring", "dnd", "default"]
Reliable: TypeAlias = Literal["off", "supported", "required"]
WatchedBy: TypeAlias = Literal["nobody", "server", "anyone"]
Transfers: TypeAlias = Literal["ask", "accept", "refuse"]
AutoAnswerCalls: TypeAlias = Literal["idle", "hold", "all"]
AccountSrtp: TypeAlias = Literal["default", "off", "optional", "required"]
NatPolicy: TypeAlias = Literal["off", "address", "stun", "turn", "ice"]
AccountNat: TypeAlias = Literal["default", "off", "address", "stun", "turn", "ice"]
AccountKeying: TypeAlias = Literal["default", "sdes", "dtls"]

EVERYTHING: Final = "*"
USUAL_HEADERS: Final = (
    "Accept-Language", "Alert-Info", "Answer-Mode", "Call-Info", "In-Reply-To", "Organization", "Priority", "Reason",
    "Reply-To", "Subject",
)  # fmt: skip
"""Those beside X-… that speak to the person or program at the far end and change nothing on the way."""


@dataclass(frozen=True, slots=True)
class PhoneSettings:
    """The phone's own settings. Times are seconds unless the name says otherwise.

    `auto_answer`: "header" answers calls whose INVITE asks for it (Answer-Mode, Call-Info answer-after, Alert-Info), "all"
    answers every call after `auto_answer_delay`. `forwarding` is a number or URI ("" is off) that incoming calls are sent to
    with 302, at once or after `forwarding_delay` of ringing. `max_calls` 0 means no limit. `max_load` is the share of a core
    that each media worker may use: beyond it, or when sound is late, new calls are refused (0: never). `overload_status` is
    what callers get then, 486 or 503; 0 is 486 for `max_calls` and 503 for the load. `ring_timeout` ends an outgoing
    call that nobody answers, `auto_hangup` any call after that long; 0 is never. `name` tells several phones' events apart.
    `session_expires` ends a call that has shown no sign of life for so long (RFC 4028; 0: never), `session_least` is the
    shortest such time others may ask for. `reliable` says when provisional answers are acknowledged (PRACK): where the other
    side wants it, or always.
    `transfers` says what becomes of a far end's wish to transfer us: a program is asked, or it is accepted or refused at once.
    `watched_by` says who may subscribe to our calls and presence: those who come by way of the account's server, or anyone.
    With `extended_reports` far ends that can are asked how they hear us, and told how we hear them (RTCP XR, RFC 3611).
    With `comfort_noise` pauses are not sent as sound but described, where the far end wants that too (RFC 3389).
    `mask_digits` keeps keys out of all events, both ways, and so out of the journal, of webhooks and programs: all are "*".
    With `decide` a program may say what becomes of an incoming call (Decide) before it rings or is answered by itself; it
    has 2 seconds. `sent_headers` are SIP headers that clients may add beside X-…, `shown_headers` those of a caller's INVITE
    that the call shows: names, beginnings as "X-*", or "*" for all. `recording_format` is that of recordings whose name
    does not say it. `hold_music` is what the far end hears while we hold: a file, "tone:440", or "" for silence. `detect` is
    what every call is listened to for (see Detect). `instance_id` is the URN by which registrars tell this
    phone from others of the same user ("": none is told).
    """

    name: str = ""
    status_linger: float = 3.0
    register_timeout: float = 10.0
    reject_status: int = 486
    dtmf_method: DtmfMethod = "auto"
    dtmf_pause_ms: int = 1000
    mask_digits: bool = False
    auto_answer: AutoAnswer = "off"
    auto_answer_delay: float = 0.0
    auto_answer_calls: AutoAnswerCalls = "all"
    dnd: bool = False
    forwarding: str = ""
    forwarding_delay: float = 0.0
    call_waiting: bool = True
    decide: bool = False
    sent_headers: tuple[str, ...] = USUAL_HEADERS
    shown_headers: tuple[str, ...] = (EVERYTHING,)
    max_calls: int = 0
    max_load: float = 0.85
    overload_status: int = 0
    ring_timeout: float = 0.0
    auto_hangup: float = 0.0
    session_expires: int = 1800
    session_least: int = 90
    reliable: Reliable = "supported"
    transfers: Transfers = "ask"
    watched_by: WatchedBy = "nobody"
    extended_reports: bool = True
    comfort_noise: bool = False
    auto_recording: bool = False
    recording_dir: str = ""
    recording_format: RecordingFormat = "wav"
    hold_music: str = ""
    detect: tuple[str, ...] = ()
    local_tones: bool = True
    default_account: str = ""
    instance_id: str = ""
    output_volume: int = 100
    mic_volume: int = 100
    input_device: str = ""
    output_device: str = ""
    ring_device: str = ""
    echo_cancellation: bool = True
    noise_suppression: bool = False
    gain_control: bool = False


@dataclass(frozen=True, slots=True)
class SrtpSettings:
    """Encrypted sound, for accounts that do not say otherwise and for calls without an account.

    `policy`: "off" neither offers nor takes it, "optional" offers it and does without where the far end cannot, "required"
    makes no call without. `keying` is what is offered: keys in the signalling ("sdes"), or a handshake in the media ("dtls",
    needs the extra packages `offhook[dtls]`); the other is taken too. `suites` are the SDES ciphers, the preferred one first.
    """

    policy: SrtpPolicy = "off"
    keying: Keying = "sdes"
    suites: tuple[str, ...] = ("AEAD_AES_256_GCM", "AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32")


@dataclass(frozen=True, slots=True)
class NatSettings:
    """How sound finds its way through NATs, for accounts that do not say otherwise and for calls without an account.

    `policy`: "off" says our own address, "address" says `public_address`, "stun" the one a server sees, "turn" sends everything
    over a relay, "ice" tries all of them together with the far end and takes the best. `stun` is host:port, `turn` a URI such
    as "turn:relay.example.org:3478?transport=tcp" or "turns:relay.example.org".
    """

    policy: NatPolicy = "off"
    public_address: str = ""
    stun: str = ""
    turn: str = ""
    turn_username: str = ""
    turn_password: str = ""


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """One SIP account. `domain` is the registrar's domain, `proxy` an outbound proxy URI ("" is none), `expires` seconds.

    `transport` "auto" leaves the choice to the name service (RFC 3263). `backups` are further servers, written like `proxy`,
    that are used in this order while the first one cannot be reached, or two at once (see `outbound`). `keep_alive` is seconds
    between signs of life on a connection (0: none). `tls_ca` is a PEM file or folder of who may vouch for the server ("": the
    system's), `tls_certificate` and `tls_key` are our own PEM files, `tls_name` is the name the server's certificate must bear
    ("": the domain's); with `tls_verify` False anybody may answer. `ws_path` is the resource of a WebSocket. `rewrite_contact`
    tells the server, over UDP, the address it sees us under in place of our own, which behind a NAT nobody can reach.
    `outbound` tells the registrar which phone this is (RFC 5626); one that knows this gets two registrations, by two of the
    servers or addresses, and calls come in as long as one of them stands.

    `dial_plan` is MicroSIP's syntax ("" dials everything); `dialing_prefix` is put before numbers it applies to.
    `pickup_prefix` is what the PBX wants before the number whose ringing call is to be taken.
    `mwi` watches the account's mailbox, `publish_presence` tells the server whether we are on the phone.
    An account with `register` False can still place calls, and receive those sent to our address. `srtp` and `keying` are
    as in the section [srtp], `nat` as `policy` in [nat]; "default" takes what that says. `codecs` are the account's own, the
    preferred one first (empty: those of [media]). `hold_music` is as in
    [phone], "" takes that.
    """

    id: str
    domain: str
    username: str
    password: str = ""
    auth_username: str = ""
    display_name: str = ""
    label: str = ""
    proxy: str = ""
    transport: Literal["auto", "udp", "tcp", "tls", "ws", "wss"] = "udp"
    backups: tuple[str, ...] = ()
    keep_alive: int = 60
    outbound: bool = True
    tls_ca: str = ""
    tls_certificate: str = ""
    tls_key: str = ""
    tls_name: str = ""
    tls_verify: bool = True
    ws_path: str = "/"
    rewrite_contact: bool = True
    expires: int = 300
    register: bool = True
    dial_plan: str = ""
    dialing_prefix: str = ""
    hide_caller_id: bool = False
    pickup_prefix: str = "**"
    mwi: bool = False
    publish_presence: bool = False
    srtp: AccountSrtp = "default"
    keying: AccountKeying = "default"
    nat: AccountNat = "default"
    hold_music: str = ""
    codecs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ContactSettings:
    """Who calls. `country_code` is our own ("49"): numbers with and without it are then known to be the same.

    `directory` is the URL of a list of people that is fetched again and again; `allow_http` lets it travel in the clear.
    """

    country_code: str = ""
    directory: str = ""
    allow_http: bool = False
