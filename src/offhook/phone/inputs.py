"""What the phone takes in from the world besides commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from offhook.media import messages as media
from offhook.phone.contacts import ContactsLoaded, DirectoryListed
from offhook.phone.reach import NatServers
from offhook.phone.settings import PhoneSettings
from offhook.phone.web_requests import SoundFetched, StreamConnected, StreamOver
from offhook.sip import events as s


@dataclass(frozen=True, slots=True)
class ClockSet:
    """Input: Unix time minus monotonic time, in seconds (at the start, and when the wall clock was set)."""

    offset: float


@dataclass(frozen=True, slots=True)
class Configured:
    """Input: other settings hold from now on; what was chosen meanwhile (volumes, devices) stays.

    `order` names the accounts in their order, the first of which is the default one where none is chosen.
    """

    settings: PhoneSettings
    order: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Started:
    """Input: the sockets are open under this address."""

    address: str


PhoneInput: TypeAlias = (
    s.SipInput | media.MediaReport | ClockSet | Configured | Started | ContactsLoaded | DirectoryListed | StreamConnected
    | StreamOver | SoundFetched | NatServers
)
