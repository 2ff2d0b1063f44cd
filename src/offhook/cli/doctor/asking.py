"""The SIP questions the doctor asks: OPTIONS, and a REGISTER that only asks (RFC 3261 11, 10.2.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal, TypeAlias

from offhook import __version__
from offhook.io.probe import Probe, Reply
from offhook.io.system_ids import SystemIds
from offhook.sip.auth import CHALLENGE_LIMIT, Credentials, read_challenges
from offhook.sip.events import Address, Identity, TransportName
from offhook.sip.headers import Headers
from offhook.sip.message import Request
from offhook.sip.stack import ACCEPT, Items, host_port
from offhook.sip.transactions import MAGIC_COOKIE
from offhook.sip.uri import NameAddr, Uri

AGENT: Final = f"offhook-doctor/{__version__}"

_ids = SystemIds()

Question: TypeAlias = Literal["answered", "no password", "unknown challenge", "refused password"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of asking for the bindings: the last reply, whether a password was sent, and why it ended there."""

    reply: Reply
    ended: Question = "answered"
    password_sent: bool = False


@dataclass(slots=True)
class Conversation:
    """What stays the same over the questions of one account (RFC 3261 10.2: one Call-ID, a growing CSeq)."""

    call_id: str = field(default_factory=lambda: _ids.token(24))
    tag: str = field(default_factory=lambda: _ids.token(10))
    cseq: int = 0


def options_request(target: Uri, local: Address, transport: TransportName, *, sender: NameAddr | None = None,
                    route: Uri | None = None, talk: Conversation | None = None,
                    extra: Iterable[tuple[str, str]] = ()) -> Request:
    """Return an OPTIONS (RFC 3261 11.1) from our socket's address."""
    who = sender or NameAddr(Uri.sip("doctor", "anonymous.invalid"))
    items = [("Accept", ACCEPT), *extra]
    return _request("OPTIONS", target, NameAddr(target), who, local, transport, talk or Conversation(), route, items)


def bindings_request(identity: Identity, local: Address, transport: TransportName, talk: Conversation,
                     extra: Iterable[tuple[str, str]] = ()) -> Request:
    """Return a REGISTER without Contact: it asks for the bindings and changes nothing (RFC 3261 10.2.3)."""
    address = identity.address.without_tag()
    return _request("REGISTER", registrar_of(identity), address, address, local, transport, talk, identity.proxy, list(extra))


def registrar_of(identity: Identity) -> Uri:
    """Return the domain as a Request-URI, without user part (RFC 3261 10.2)."""
    return Uri("sip", None, identity.address.uri.host, identity.address.uri.port)


def _request(method: str, target: Uri, to: NameAddr, sender: NameAddr, local: Address, transport: TransportName,
             talk: Conversation, route: Uri | None, extra: Items) -> Request:
    talk.cseq += 1
    via = f"SIP/2.0/{transport.upper()} {host_port(local)};branch={MAGIC_COOKIE}{_ids.token(16)};rport"
    items: Items = [("Via", via), ("Max-Forwards", "70")]
    if route is not None:
        items.append(("Route", f"<{route if route.is_loose else route.with_param('lr')}>"))
    items += [("From", str(sender.without_tag().with_tag(talk.tag))), ("To", str(to)), ("Call-ID", talk.call_id),
              ("CSeq", f"{talk.cseq} {method}"), ("User-Agent", AGENT), *extra]
    return Request(method, target, Headers(items))


def ask_bindings(probe: Probe, identity: Identity) -> Asked:
    """Ask for the bindings of an account. Changes nothing."""
    talk = Conversation()

    def build(local: Address, headers: Items) -> Request:
        return bindings_request(identity, local, probe.transport, talk, headers)

    return _ask_with_password(probe, identity, "REGISTER", registrar_of(identity), build)


def ask_options(probe: Probe, identity: Identity | None, target: Uri) -> Asked:
    """Ask somebody what he would say to a call; with the account's password where that is asked for."""
    talk = Conversation()
    sender, route = (identity.address, identity.proxy) if identity is not None else (None, None)

    def build(local: Address, headers: Items) -> Request:
        return options_request(target, local, probe.transport, sender=sender, route=route, talk=talk, extra=headers)

    return _ask_with_password(probe, identity, "OPTIONS", target, build)


def _ask_with_password(probe: Probe, identity: Identity | None, method: str, uri: Uri,
                       build: Callable[[Address, Items], Request]) -> Asked:
    """Ask as often as a phone would: again with the password where it is asked for."""
    password = identity.password if identity is not None else ""
    user = (identity.auth_username or identity.address.uri.user_decoded) if identity is not None else ""
    credentials = Credentials(user, password)
    place = probe.remote[0]
    answered: set[tuple[str, bool]] = set()
    for _ in range(CHALLENGE_LIMIT):
        headers = credentials.headers(place, method, str(uri), b"")
        reply = probe.ask(partial(_with_headers, build, headers))
        response = reply.response
        if response is None or response.status not in (401, 407):
            break
        found = response.headers
        challenges = read_challenges(found.get_all("WWW-Authenticate"), found.get_all("Proxy-Authenticate"))
        if not challenges:
            return Asked(reply, "unknown challenge", bool(answered))
        if not password:
            return Asked(reply, "no password")
        # RFC 3261 22.1: the same credentials are not tried again, unless only the nonce was stale.
        if any((each.realm, each.proxy) in answered and not each.stale for each in challenges):
            return Asked(reply, "refused password", password_sent=True)
        for each in challenges:
            credentials.learn(place, each, _ids, method)
            answered.add((each.realm, each.proxy))
    return Asked(reply, "answered", bool(answered))


def _with_headers(build: Callable[[Address, Items], Request], headers: Items, local: Address) -> Request:
    return build(local, headers)
