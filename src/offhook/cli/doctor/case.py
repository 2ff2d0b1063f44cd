"""What the checks know of the patient: the configuration, the running phone, and how long to wait."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from offhook.errors import ParseError
from offhook.io.ports import families_of
from offhook.io.probe import PATIENCE
from offhook.phone.settings import AccountSettings
from offhook.sip.events import TransportChoice
from offhook.sip.uri import Uri
from offhook.storage.config import Config
from offhook.storage.paths import Paths, paths


@dataclass(slots=True)
class PhoneFacts:
    """What the running phone says of itself: JSON as it comes over the local socket; `about` is empty for an older phone."""

    about: dict[str, Any] = field(default_factory=dict)
    accounts: list[dict[str, Any]] = field(default_factory=list)
    devices: list[dict[str, Any]] = field(default_factory=list)
    audio: dict[str, Any] = field(default_factory=dict)
    calls: int = 0


@dataclass(slots=True)
class Case:
    """Everything known so far. The first checks fill in `config`, `phone` and `passwords`; the others only read.

    `config_given` is --config; `patience` seconds for one answer from the network; `stun` HOST[:PORT] or "".
    """

    socket_path: str
    config_given: str = ""
    patience: float = PATIENCE
    stun: str = ""
    where: Paths = field(default_factory=paths)
    config: Config = field(default_factory=Config)
    phone: PhoneFacts | None = None
    passwords: dict[str, str] = field(default_factory=dict)

    @property
    def config_file(self) -> Path:
        """The configuration that is looked at: the one named, the running phone's, or the usual one."""
        return Path(self.config_given or str(self.fact("config", "")) or self.where.config_file)

    def fact(self, name: str, otherwise: Any) -> Any:
        """Return what the running phone says, else (not running, or older) what the configuration says."""
        return self.phone.about.get(name, otherwise) if self.phone is not None else otherwise

    @property
    def sip_host(self) -> str:
        """The address SIP is (or will be) bound to."""
        return str(self.fact("sip_host", self.config.sip.host))

    @property
    def bind_host(self) -> str:
        """The address our own questions must come from, "" where the system chooses."""
        return "" if ipaddress.ip_address(self.sip_host).is_unspecified else self.sip_host

    @property
    def speaks_ipv6(self) -> bool:
        """Whether SIP and sound may go by IPv6."""
        return ":" in self.sip_host

    def usable(self, addresses: Iterable[str]) -> tuple[str, ...]:
        """Return those addresses that are of a family the phone speaks."""
        spoken = families_of(self.sip_host)
        return tuple(each for each in addresses if (socket.AF_INET6 if ":" in each else socket.AF_INET) in spoken)

    def accounts(self) -> Iterator[tuple[AccountSettings, dict[str, Any] | None]]:
        """Yield each account, with the running phone's view of it (None: it has none, or does not run)."""
        views = {view["id"]: view for view in self.phone.accounts} if self.phone is not None else {}
        for account in self.config.accounts:
            known = replace(account, password=account.password or self.passwords.get(account.id, ""))
            yield known, views.pop(account.id, None)
        for view in views.values():
            yield _added_later(view), view


def _added_later(view: dict[str, Any]) -> AccountSettings:
    """Return what can be said of an account that only the running phone knows: its proxy, if any, is not shown to us."""
    try:
        uri = Uri.parse(str(view["uri"]))
        domain = uri.host if uri.port is None else f"{uri.host}:{uri.port}"
        user = uri.user_decoded
    except ParseError:
        domain, user = "", ""
    transport: TransportChoice = view["transport"]
    return AccountSettings(id=view["id"], domain=domain, username=user, transport=transport)
