"""What offhook.toml can say: a frozen class for each table, and all together; the phone's own are in `phone.settings`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from offhook.phone.settings import AccountSettings, ContactSettings, NatSettings, PhoneSettings, SrtpSettings

CODECS = ("PCMU", "PCMA")

SettingValue: TypeAlias = str | int | float | bool | Sequence[str] | Sequence[int]


class Sources(tuple[str, ...]):
    """Who may call: "anyone", "accounts", and networks. Written as one text it is a list of one."""


ANYONE = Sources(("anyone",))


@dataclass(frozen=True, slots=True)
class SipSettings:
    """Where SIP is spoken, and to whom. A busy `port` is replaced by any free one; `user_agent` "" is the program's own name.

    `accept_from` is "anyone", "accounts" (only the accounts' servers) or a list of networks beside them. A stranger may send
    `stranger_rate` requests a second (0: any number); `unlimited_from` are networks to which that does not apply.

    With `tls_certificate` and `tls_key` (PEM files) other phones may connect to `tls_port` by TLS. `nameservers` are asked
    instead of the system's, as ["192.0.2.53", "[2001:db8::53]:5353"].
    """

    host: str = "0.0.0.0"
    port: int = 5060
    user_agent: str = ""
    tls_port: int = 5061
    tls_certificate: str = ""
    tls_key: str = ""
    nameservers: tuple[str, ...] = ()
    accept_from: Sources = ANYONE
    stranger_rate: float = 20.0
    unlimited_from: tuple[str, ...] = ("127.0.0.0/8", "::1/128")


@dataclass(frozen=True, slots=True)
class MediaSettings:
    """How sound is carried. `rtp_ports` is the first and the last port; RTP takes the even ones, RTCP the next.

    `workers` is the number of processes that calls are spread over, for more calls than one core carries; more than one need
    mode "process" and sound "null". `voice` is what cleans the microphone: "own", or "webrtc" (needs the extra packages
    `offhook[aec]`).
    """

    mode: Literal["process", "thread"] = "process"
    sound: Literal["auto", "null", "miniaudio", "sounddevice"] = "auto"
    rtp_ports: tuple[int, int] = (40000, 40999)
    codecs: tuple[str, ...] = CODECS
    workers: int = 1
    voice: Literal["own", "webrtc"] = "own"


class Program(tuple[str, ...]):
    """A program and its arguments. Written as one text it is taken apart once; written as a list it is taken as it is."""


NO_PROGRAM = Program()


@dataclass(frozen=True, slots=True)
class HookSettings:
    """Programs on MicroSIP's eight occasions, with the far end's number; and who decides about incoming calls.

    `timeout` is seconds for a program, `at_once` how many run at a time. `decide` is a program, `decide_url` a web address
    that says what becomes of an incoming call; `decide_secret` (whsec_…) signs what is sent there.
    """

    on_outgoing_call: Program = NO_PROGRAM
    on_incoming_call: Program = NO_PROGRAM
    on_call_ring: Program = NO_PROGRAM
    on_call_answer: Program = NO_PROGRAM
    on_call_answer_video: Program = NO_PROGRAM
    on_call_start: Program = NO_PROGRAM
    on_call_busy: Program = NO_PROGRAM
    on_call_end: Program = NO_PROGRAM
    timeout: float = 10.0
    at_once: int = 8
    decide: Program = NO_PROGRAM
    decide_url: str = ""
    decide_secret: str = ""


@dataclass(frozen=True, slots=True)
class EventHook:
    """A program for events of any type: `events` are types and patterns such as "dtmf.received" and "call.*"."""

    events: tuple[str, ...]
    run: Program
    timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """`allow_http` lets webhooks go to other machines in the clear."""

    allow_http: bool = False


@dataclass(frozen=True, slots=True)
class OutgoingSettings:
    """Web addresses that commands may send the phone to: sounds to play, programs that get a call's sound.

    `urls` are beginnings of addresses ("wss://bot.example.org/calls"), for clients without the scope admin; `allow_http` lets
    http and ws go to other machines in the clear.
    """

    urls: tuple[str, ...] = ()
    allow_http: bool = False


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """The HTTP surface. Beyond this machine it needs `certificate` and `key` (PEM files) and a token that exists.

    `hosts` are further names clients may call it by, `origins` web pages ("https://crm.example.org") that may use it.
    """

    enabled: bool = False
    host: str = "127.0.0.1"
    port: int = 5080
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    certificate: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class WindowsSettings:
    """The `window` of class MicroSIP and the `dde` service, for programs of the same Windows session; without effect elsewhere.

    `calls_per_minute` bounds the calls, transfers and texts that each of the two may cause; 0 is no bound.
    """

    window: bool = True
    dde: bool = True
    calls_per_minute: int = 60


@dataclass(frozen=True, slots=True)
class DesktopSettings:
    """Links that dial (`offhook desktop install`): with `ask` a person is asked before somebody is called."""

    ask: bool = True


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration. `accounts` and `hook` are in the order of the file."""

    phone: PhoneSettings = field(default_factory=PhoneSettings)
    sip: SipSettings = field(default_factory=SipSettings)
    media: MediaSettings = field(default_factory=MediaSettings)
    srtp: SrtpSettings = field(default_factory=SrtpSettings)
    nat: NatSettings = field(default_factory=NatSettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    hooks: HookSettings = field(default_factory=HookSettings)
    webhooks: WebhookSettings = field(default_factory=WebhookSettings)
    windows: WindowsSettings = field(default_factory=WindowsSettings)
    contacts: ContactSettings = field(default_factory=ContactSettings)
    desktop: DesktopSettings = field(default_factory=DesktopSettings)
    outgoing: OutgoingSettings = field(default_factory=OutgoingSettings)
    hook: tuple[EventHook, ...] = ()
    accounts: tuple[AccountSettings, ...] = ()


SECTIONS: Mapping[str, type[Any]] = {
    "phone": PhoneSettings, "sip": SipSettings, "media": MediaSettings, "srtp": SrtpSettings, "http": HttpSettings,
    "hooks": HookSettings, "webhooks": WebhookSettings, "windows": WindowsSettings, "contacts": ContactSettings,
    "desktop": DesktopSettings,
    "outgoing": OutgoingSettings, "nat": NatSettings,
}  # fmt: skip

PLACES = ("number", "name", "uri", "call", "account", "event")
"""What `{…}` in a hook's argument may stand for."""

OCCASIONS = tuple(each.name for each in dataclasses.fields(HookSettings) if each.name.startswith("on_"))
"""The keys of [hooks] that are MicroSIP's cmdOutgoingCall … cmdCallEnd."""
