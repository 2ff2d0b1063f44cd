"""STUN and TURN servers of the configuration: whether they answer, take our password, and what kind of NAT they see."""

from __future__ import annotations

from collections.abc import Iterator

from offhook.cli.doctor.case import Case
from offhook.cli.doctor.finding import Finding
from offhook.cli.doctor.names import look_up, name_finding, of_family
from offhook.errors import ParseError
from offhook.io.nat import ServerName, parse_server
from offhook.io.relay_probe import ask_relay
from offhook.media.messages import TurnServer
from offhook.sip.events import Address
from offhook.sip.stack import host_port


def look_at_servers(case: Case) -> Iterator[Finding]:
    """Ask the servers of the section [nat], from one socket where they speak UDP."""
    nat = case.config.nat
    stun = _address("STUN server", nat.stun)
    turn = _address("TURN server", nat.turn)
    for found in (stun, turn):
        if isinstance(found, Finding):
            yield found
    if nat.policy == "address" and not nat.public_address:
        yield Finding("NAT", "wrong", 'nat.policy is "address" and nat.public_address is empty',
                      "write the address others see")
    if isinstance(turn, tuple):
        name, address = turn
        server = TurnServer(address, nat.turn_username, nat.turn_password, name.transport, name.host)
        yield from _relay(case, server, stun[1] if isinstance(stun, tuple) else None)


def _address(what: str, text: str) -> tuple[ServerName, Address] | Finding | None:
    if not text:
        return None
    try:
        name = parse_server(text)
    except (ValueError, ParseError) as error:
        return Finding(what, "wrong", f"{text}: {error}", "correct it in the section [nat]")
    found = look_up(name.host)
    addresses = of_family(found, ipv6=False)
    if not addresses:
        return name_finding(what, found)
    return name, (addresses[0], name.port)


def _relay(case: Case, server: TurnServer, stun: Address | None) -> Iterator[Finding]:
    seen = ask_relay(server, stun, host=case.bind_host, patience=case.patience)
    where = f"{host_port(server.address)} over {server.transport.upper()}"
    if seen.relayed is None:
        advice = "see turn_username and turn_password in [nat]" if "password" in seen.problem else "name another server"
        yield Finding("TURN server", "wrong", f"{where}: {seen.problem}", advice)
        return
    yield Finding("TURN server", "ok", f"{where} takes our password and gives {host_port(seen.relayed)}")
    if seen.by_turn is None or seen.by_stun is None or stun is None or stun == server.address:
        return
    if seen.by_turn == seen.by_stun:
        text = f"both servers see us as {host_port(seen.by_stun)}: ports are kept, so most calls need no relay"
        yield Finding("NAT kind", "ok", text)
    else:
        text = f"one server sees {host_port(seen.by_stun)}, the other {host_port(seen.by_turn)}: the NAT is symmetric"
        yield Finding("NAT kind", "warning", text, 'policy "stun" will not do here; "ice" or "turn" will, over the relay')
