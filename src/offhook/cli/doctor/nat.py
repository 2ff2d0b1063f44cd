"""Address translation on the way: which address the far end sees us under, compared with our own."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from offhook.cli.doctor.case import Case
from offhook.cli.doctor.finding import Finding
from offhook.cli.doctor.names import look_up, name_finding
from offhook.errors import ParseError
from offhook.io.nat import parse_server
from offhook.io.probe import Reply, Seen, ask_stun
from offhook.io.system_ids import SystemIds
from offhook.media.stun import DEFAULT_PORT, TRANSACTION_BYTES
from offhook.sip.events import Address, TransportName
from offhook.sip.stack import host_port
from offhook.sip.uri import parse_host_port

ADVICE: dict[TransportName, str] = {
    "udp": "calls out work; if calls to you stop coming after a while, the router forgets us: set expires = 60, "
           'or transport = "tcp", in the account',
    **dict.fromkeys(
        ("tcp", "tls", "ws", "wss"),
        "nothing has to be done: calls to you come over the connection that registering keeps open",
    ),
}
"""What to do behind a router. Home routers forget UDP after 30 seconds to some minutes (RFC 4787 4.3)."""

_SHARED = ip_network("100.64.0.0/10")


def is_public(address: str) -> bool:
    """Tell whether an address is one of the open network: neither private nor a carrier's shared one (RFC 6598)."""
    return ip_address(address).is_global


def seen_by(reply: Reply) -> Address | None:
    """Return the address the far end saw: received and rport of our Via (RFC 3581 4); None where it does not say."""
    via = reply.response.via if reply.response is not None else None
    if via is None or not (via.received or via.rport):
        return None
    return via.received or reply.local[0], via.rport or reply.local[1]


def judge(name: str, transport: TransportName, reply: Reply, remote: Address) -> Finding:
    """Say whether there is address translation between us and the far end that answered."""
    seen = seen_by(reply)
    if seen is None:
        return _guess(name, reply.local, remote, ADVICE[transport])
    return compare(name, reply.local, seen, "the far end", ADVICE[transport])


def _guess(name: str, local: Address, remote: Address, advice: str) -> Finding:
    who = f"our address is {local[0]}; the far end does not say which one it sees"
    if is_public(remote[0]) and not is_public(local[0]):
        return Finding(name, "warning", f"{who}, but a private address cannot reach a public one without NAT", advice)
    return Finding(name, "ok", who)


def compare(name: str, local: Address, seen: Address, who: str, advice: str = ADVICE["udp"]) -> Finding:
    """Say what it means that `who` saw a packet from `local` come from `seen`."""
    ours, theirs = host_port(local), host_port(seen)
    if _same_host(local[0], seen[0]):
        if local[1] == seen[1]:
            return Finding(name, "ok", f"{who} sees us as {theirs}, which is our own address: no NAT between")
        return Finding(name, "warning", f"{who} sees our port {local[1]} as {seen[1]}: something between changes ports", advice)
    text = f"we are behind NAT: our {ours} is {theirs} to {who}"
    if _is_shared(seen[0]):
        text += "; that is a carrier's shared address (RFC 6598), so the provider of this line has one more NAT"
    return Finding(name, "warning", text, advice)


def _is_shared(address: str) -> bool:
    try:
        return ip_address(address) in _SHARED
    except ValueError:
        return False


def _same_host(one: str, other: str) -> bool:
    try:
        return ip_address(one) == ip_address(other)
    except ValueError:
        return one.lower() == other.lower()


# --- STUN ----------------------------------------------------------------------------------------------------------


def look_through_stun(case: Case) -> Iterator[Finding]:
    """Ask the STUN server of --stun, else that of the section [nat], which address it sees."""
    if not case.stun:
        host, port, _ = parse_server(case.config.nat.stun)
    else:
        try:
            host, named = parse_host_port(case.stun)
        except ParseError as error:
            yield Finding("STUN", "wrong", f"--stun {case.stun}: {error.detail}", "write HOST or HOST:PORT")
            return
        port = named or DEFAULT_PORT
    found = look_up(host)
    addresses = case.usable(found.addresses)
    if not addresses:
        yield name_finding("STUN", found) if found.trouble else _other_family(host, case)
        return
    remote = (addresses[0], port)
    transaction = SystemIds().integer(8 * TRANSACTION_BYTES).to_bytes(TRANSACTION_BYTES, "big")
    yield _stun_finding(ask_stun(remote, transaction, host=case.bind_host, patience=case.patience), remote)


def _other_family(host: str, case: Case) -> Finding:
    spoken = "IPv6" if case.speaks_ipv6 else "IPv4"
    return Finding("STUN", "warning", f"{host} has no {spoken} address, and the phone speaks {spoken}", "name another server")


def _stun_finding(seen: Seen, remote: Address) -> Finding:
    where = host_port(remote)
    if seen.mapped is not None:
        return compare("STUN", seen.local, seen.mapped, f"the STUN server {where}")
    if seen.how == "garbled":
        return Finding("STUN", "warning", f"{where} answers, but without an address: {seen.detail}", "name another server")
    word = {"refused": f"nobody listens at {where}", "silent": f"no answer from {where}"}.get(seen.how, f"no way to {where}")
    detail = f" ({seen.detail})" if seen.how == "unreachable" else ""
    advice = "name another server; if none answers, a firewall here stops UDP to the outside"
    return Finding("STUN", "warning", word + detail, advice)
