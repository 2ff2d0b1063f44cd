"""SRV records: which servers a domain names, in the order in which the phone asks them (RFC 3263)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from offhook.cli.doctor.finding import Finding, listed
from offhook.io.names import RECORDS_WITHIN, Names, NoAnswer
from offhook.io.resolver import Resolver, may_have_records
from offhook.sip.events import Address, ConnectionTerms, Flow, Resolve, TransportName
from offhook.sip.locating import Srv
from offhook.sip.stack import Hop


@dataclass(slots=True)
class Records:
    """What the name service says: SRV records by the service asked for, and where they lead. `reason`: why nowhere."""

    services: dict[str, list[Srv]] = field(default_factory=dict)
    silent: str = ""
    targets: list[tuple[TransportName, Address]] = field(default_factory=list)
    reason: str = ""

    @property
    def found(self) -> bool:
        """Whether there are any."""
        return any(self.services.values())


class _Noting(Names):
    """Name servers whose answers are written down."""

    def __init__(self, servers: tuple[str, ...], records: Records) -> None:
        super().__init__(servers)
        self._records = records

    async def srv(self, name: str) -> list[Srv]:
        try:
            found = self._records.services[name] = await super().srv(name)
        except NoAnswer as error:
            self._records.silent = str(error)
            raise
        return found


class _Anywhere:
    """Routes that lead to every address: which of them can be used is looked at later."""

    def reaches(self, host: str) -> bool:
        return True

    def flow_to(self, remote: Address, transport: TransportName, terms: ConnectionTerms | None = None) -> Flow:
        return Flow(transport, ("", 0), remote)


def look_up_records(hop: Hop, servers: tuple[str, ...] = ()) -> Records | None:
    """Ask as the phone does; None where it asks for none (an address, a port, a name without a dot)."""
    query = Resolve(0, hop.host, hop.port, hop.transport, hop.secure)
    if not may_have_records(query):
        return None
    records = Records()
    resolver = Resolver(_Anywhere(), names=_Noting(servers, records))
    if resolver.resolve_literal(query) is not None:
        return None
    answer = asyncio.run(resolver.resolve(query))
    records.targets = [(flow.transport, flow.remote) for flow in answer.flows]
    records.reason = answer.reason
    return records


def records_finding(name: str, host: str, records: Records) -> Finding | None:
    """Say what is in the records, None if there are none to speak of."""
    if not records.found:
        if not records.silent:
            return None
        return Finding(name, "warning", f"{records.silent}: calls wait {RECORDS_WITHIN:g} s for SRV records",
                       "are this machine's name servers right? [sip] nameservers asks others")
    texts = [f"{service} names {listed(_printed(found))}" for service, found in records.services.items() if found]
    text = "; ".join(texts)
    if records.targets:
        return Finding(name, "ok", text)
    return Finding(name, "wrong", f"{text}, which leads nowhere: {records.reason}",
                   f"who runs {host} has to correct these records; a proxy in the account's settings does without them")


def _printed(found: list[Srv]) -> list[str]:
    ordered = sorted(found, key=lambda each: (each.priority, -each.weight))
    return [f"{each.target.rstrip('.') or 'nobody (it is not to be had)'}:{each.port} ({each.priority})" for each in ordered]
