"""The way to a far end: from its name to addresses, over UDP or TCP, and what its answer tells of NAT and codecs."""

from __future__ import annotations

import socket
from collections.abc import Generator, Iterator
from dataclasses import replace
from ipaddress import ip_address

from offhook.cli.doctor import codecs, nat
from offhook.cli.doctor.case import Case
from offhook.cli.doctor.finding import Finding, listed, milliseconds
from offhook.cli.doctor.meaning import quoted
from offhook.cli.doctor.names import asks, look_up, name_finding
from offhook.cli.doctor.ports import bind_trouble
from offhook.cli.doctor.records import look_up_records, records_finding
from offhook.io.probe import Build, Probe, Reply
from offhook.sip.events import Address, ConnectionTerms, TransportName
from offhook.sip.locating import usable
from offhook.sip.message import Response
from offhook.sip.stack import Hop, default_port, host_port

EXPIRES_SOON = 14.0
"""Days before a certificate's end in which somebody should have renewed it."""

MOST_ADDRESSES = 3
"""Addresses of one name that are tried: each that is silent takes the whole patience."""


def remotes(case: Case, name: str, hop: Hop) -> Generator[Finding, None, tuple[Hop, list[Address]]]:
    """Look up where a hop is; return it with the transport that is spoken, and the addresses that can be asked: none where
    that is hopeless."""
    records = look_up_records(hop, case.config.sip.nameservers)
    if records is not None and (finding := records_finding(f"{name}, SRV", hop.host, records)) is not None:
        yield finding
    if records is None or not records.found:
        return hop, (yield from _by_name(case, name, hop))
    hosts = list(dict.fromkeys(host for _, (host, _) in records.targets))
    usable_hosts = case.usable(hosts)
    if hosts and not usable_hosts:
        yield _other_family(case, name, hop.host, listed(hosts))
    places = [(transport, address) for transport, address in records.targets if address[0] in usable_hosts]
    if not places:
        return hop, []
    if (finding := _bound_wrongly(case, name, places[0][1][0])) is not None:
        yield finding
        return hop, []
    first = places[0][0]
    return replace(hop, transport=first), [address for transport, address in places if transport == first][:MOST_ADDRESSES]


def _by_name(case: Case, name: str, hop: Hop) -> Generator[Finding, None, list[Address]]:
    found = look_up(hop.host, ask=asks(case.config.sip.nameservers))
    yield name_finding(f"{name}, name", found)
    addresses = case.usable(found.addresses)
    if found.addresses and not addresses:
        yield _other_family(case, name, hop.host, listed(found.addresses))
    if not addresses:
        return []
    if (finding := _bound_wrongly(case, name, addresses[0])) is not None:
        yield finding
        return []
    return [(each, hop.port or default_port(spoken(hop))) for each in addresses[:MOST_ADDRESSES]]


def _other_family(case: Case, name: str, host: str, addresses: str) -> Finding:
    spoken, other = ("IPv6", "IPv4") if case.speaks_ipv6 else ("IPv4", "IPv6")
    text = f"{host} has only {other} addresses ({addresses}), but the phone's SIP socket at {case.sip_host} is {spoken}"
    return Finding(f"{name}, address", "wrong", text,
                   f'set sip.host = "::", which speaks both, or ask for an {spoken} server')


def _bound_wrongly(case: Case, name: str, address: str) -> Finding | None:
    """Return the finding that from where the phone is bound nothing can get there."""
    host = case.sip_host
    if bind_trouble(host, 0, socket.SOCK_DGRAM) is not None:
        text = f"the phone is to speak from {host}, which is no address of this machine"
    elif ip_address(host).is_loopback and not ip_address(address).is_loopback:
        text = f"the phone is bound to {host}, so it reaches nothing but this machine, and {address} is another"
    else:
        return None
    return Finding(f"{name}, way", "wrong", text, 'set sip.host = "0.0.0.0", or leave it out')


def spoken(hop: Hop) -> TransportName:
    """Return the transport that is spoken to a hop, where no record of the name service says another."""
    return usable(hop.transport, secure=hop.secure)


def probe(case: Case, transport: TransportName, remote: Address, terms: ConnectionTerms | None = None) -> Probe:
    """Return a probe from the address the phone speaks from; `terms` are those of TLS."""
    return Probe(transport, remote, host=case.bind_host, patience=case.patience, terms=terms)


def ask_one_of(case: Case, transport: TransportName, addresses: list[Address], build: Build,
               terms: ConnectionTerms | None = None) -> list[tuple[Address, Reply]]:
    """Ask one address after the other until one answers; return those asked, with their replies."""
    asked = []
    for remote in addresses:
        with probe(case, transport, remote, terms) as asking:
            asked.append((remote, asking.ask(build)))
        if asked[-1][1].how == "answered":
            break
    return asked


def answer_text(remote: Address, reply: Reply, response: Response) -> str:
    """Say that there was an answer."""
    server = response.headers.get("Server") or response.headers.get("User-Agent") or ""
    what = "" if response.status < 300 else ", which shows that the way is open"
    who = f" ({server[:60]})" if server else ""
    answer = quoted(response.status, response.reason)
    return f"{host_port(remote)}{who} answers {answer} after {milliseconds(reply.after)}{what}"


def no_answer(case: Case, transport: TransportName, remote: Address, reply: Reply) -> tuple[str, str]:
    """Say what it means that there was none, and what to do."""
    text, advice = _NO_ANSWER[reply.how]
    words = {"where": host_port(remote), "how": transport.upper(), "patience": f"{case.patience:g}", "detail": reply.detail}
    return text.format(**words), advice.format(**words)


_NO_ANSWER: dict[str, tuple[str, str]] = {
    "refused": ("nobody listens at {where} for {how}: the machine is there and refuses",
                "is the port in domain or proxy right, and does the registrar run?"),
    "silent": ("no answer from {where} over {how} within {patience} s",
               "a firewall on the way, a wrong address, or the registrar is down: try from another network, ask the provider"),
    "unreachable": ("there is no way to {where}: {detail}", "is this machine online? a firewall on it may forbid it as well"),
    "closed": ("{where} closes the connection without an answer", "it takes no SIP over {how} from here: ask the provider"),
    "distrusted": ("TLS with {where} does not come about: {detail}",
                   "tls_ca, tls_name, tls_certificate and tls_key of the account decide about it (docs/network.md)"),
    "garbled": ("something answers at {where}, but not with SIP: {detail}", "another service has this port: check the account"),
}
"""By what became of a question: what is, and what to do."""


def _certificate(name: str, days: float) -> Finding:
    if days < EXPIRES_SOON:
        return Finding(name, "warning", f"the server's certificate is good for {days:.0f} more days",
                       "tell who runs the server: from then on the phone will refuse it")
    return Finding(name, "ok", f"the server's certificate is signed and named as it should be, for {days:.0f} more days")


def from_answer(case: Case, name: str, transport: TransportName, remote: Address, reply: Reply) -> Iterator[Finding]:
    """Say what an answer tells besides: where it came from, which address it saw, which codecs it takes."""
    if reply.source != remote:
        text = f"what was asked at {host_port(remote)} is answered from {host_port(reply.source)}"
        yield Finding(f"{name}, source", "warning", text, "routers and firewalls drop such answers: have the server "
                      "answer from where it is asked, or ask it there: proxy")
    if reply.certificate_days is not None:
        yield _certificate(f"{name}, certificate", reply.certificate_days)
    yield nat.judge(f"{name}, NAT", transport, reply, remote)
    if reply.response is not None:
        finding = codecs.judge(f"{name}, codecs", reply.response, codecs.ours(case))
        if finding is not None:
            yield finding
