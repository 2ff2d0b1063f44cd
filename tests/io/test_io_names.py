"""Servers found by the name service, with a name server of our own."""

from __future__ import annotations

import asyncio
import gc
import socket
from dataclasses import replace
from typing import Any

import pytest

from offhook.io.names import Names, server_address
from offhook.io.resolver import Resolver
from offhook.phone.commands import Dial, Hangup, ListAccounts
from offhook.phone.settings import AccountSettings
from offhook.sip.events import Address, ConnectionTerms, Flow, Resolve, TransportChoice, TransportName
from offhook.sip.locating import Srv
from offhook.testing.live import live_phone, quiet_config
from offhook.testing.nameserver import NameServer, name_server

RECORDS = {
    ("example.test", "NAPTR"): (
        '20 10 "s" "SIP+D2U" "" _sip._udp.example.test.', '10 10 "s" "SIPS+D2T" "" _sips._tcp.example.test.',
        '5 10 "u" "E2U+sip" "!x!y!" .',
    ),
    ("_sips._tcp.example.test", "SRV"): ("10 0 5071 two.example.test.", "5 0 5061 one.example.test."),
    ("_sip._udp.example.test", "SRV"): ("0 0 5070 one.example.test.", "1 0 5070 gone.example.test."),
    ("one.example.test", "A"): ("192.0.2.1",),
    ("two.example.test", "A"): ("192.0.2.2", "192.0.2.3"),
    ("plain.test", "A"): ("192.0.2.9",),
    ("plain.test", "AAAA"): ("2001:db8::9",),
    ("nothere.test", "A"): ("192.0.2.8",),
    ("_sip._udp.nothere.test", "SRV"): ("0 0 0 .",),
    ("_sip._udp.stream.test", "SRV"): ("0 0 0 .",),
    ("_sip._tcp.stream.test", "SRV"): ("0 0 5060 one.example.test.",),
    ("stream.test", "A"): ("192.0.2.7",),
    ("_sip._udp.equal.test", "SRV"): tuple(f"0 1 {port} one.example.test." for port in range(5060, 5068)),
}  # fmt: skip


class AllRoutes:
    """Every address can be reached, from nowhere in particular."""

    def reaches(self, host: str) -> bool:
        return True

    def flow_to(self, remote: Address, transport: TransportName, terms: ConnectionTerms | None = None) -> Flow:
        return Flow(transport, ("192.0.2.77", 5060), remote, 0, terms)


async def find(
    server: NameServer, host: str, transport: TransportChoice = "auto", port: int | None = None, *, secure: bool = False,
    resolver: Resolver | None = None,
) -> list[tuple[str, Address]]:
    resolver = resolver or Resolver(AllRoutes(), names=Names((server.address,)))
    answer = await resolver.resolve(Resolve(1, host, port, transport, secure))
    assert all(flow.terms is None or flow.terms.name == host for flow in answer.flows)
    return [(flow.transport, flow.remote) for flow in answer.flows]


async def test_naptr_chooses_the_transport_and_srv_the_servers() -> None:
    async with name_server(RECORDS) as server:
        found = await find(server, "example.test")
        assert found[0] == ("tls", ("192.0.2.1", 5061))
        assert sorted(found[1:]) == [("tls", ("192.0.2.2", 5071)), ("tls", ("192.0.2.3", 5071))]
        assert ("example.test", "NAPTR") in server.asked


async def test_a_chosen_transport_asks_for_its_own_records() -> None:
    async with name_server(RECORDS) as server:
        assert await find(server, "example.test", "udp") == [("udp", ("192.0.2.1", 5070))]  # the other target has no address
        assert ("example.test", "NAPTR") not in server.asked


async def test_a_port_asks_for_addresses_only() -> None:
    async with name_server(RECORDS) as server:
        assert await find(server, "one.example.test", "tcp", 5090) == [("tcp", ("192.0.2.1", 5090))]
        assert {kind for _, kind in server.asked} == {"A", "AAAA"}


@pytest.mark.parametrize(("secure", "expected"), [(False, ("udp", 5060)), (True, ("tls", 5061))])
async def test_without_records_the_name_itself_is_the_server(secure: bool, expected: tuple[str, int]) -> None:
    async with name_server(RECORDS) as server:
        kind, port = expected
        found = await find(server, "plain.test", secure=secure)
        assert found == [(kind, ("2001:db8::9", port)), (kind, ("192.0.2.9", port))]


async def test_a_domain_that_says_not_here_is_believed() -> None:
    async with name_server(RECORDS) as server:
        resolver = Resolver(AllRoutes(), names=Names((server.address,)))
        answer = await resolver.resolve(Resolve(1, "nothere.test", None, "udp"))
        assert answer.flows == ()
        assert answer.reason == "nothere.test offers no SIP over UDP, as its SRV records say"


async def test_that_such_a_domain_has_no_address_either_is_no_complaint() -> None:
    class NoAddress(Names):
        gone = asyncio.Event()

        async def addresses(self, host: str) -> list[str]:
            self.gone.set()
            raise socket.gaierror(socket.EAI_NONAME, "the name servers know no address")

        async def srv(self, name: str) -> list[Srv]:
            await self.gone.wait()
            return [Srv(0, 0, 0, ".")]

    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    answer = await Resolver(AllRoutes(), names=NoAddress()).resolve(Resolve(1, "nothere.test", None, "udp"))
    assert answer.reason == "nothere.test offers no SIP over UDP, as its SRV records say"
    gc.collect()
    assert complaints == []


async def test_a_transport_that_is_not_offered_leaves_the_others() -> None:
    async with name_server(RECORDS) as server:
        assert await find(server, "stream.test") == [("tcp", ("192.0.2.1", 5060))]


@pytest.mark.parametrize(("fails", "host", "expected"), [
    # routers' name servers know few types, and say of others that they fail
    ("NAPTR", "example.test", ("udp", ("192.0.2.1", 5070))),
    ("SRV", "plain.test", ("udp", ("2001:db8::9", 5060))),
    ("AAAA", "plain.test", ("udp", ("192.0.2.9", 5060))),
    ("A", "plain.test", ("udp", ("2001:db8::9", 5060))),
])
async def test_a_name_server_that_fails_at_one_type_is_asked_for_the_others(
    fails: str, host: str, expected: tuple[str, Address]
) -> None:
    async with name_server(RECORDS) as server:
        server.fails = frozenset({fails})
        assert (await find(server, host))[0] == expected


async def test_a_name_server_that_fails_at_all_types_is_told() -> None:
    async with name_server(RECORDS) as server:
        server.fails = frozenset({"A", "AAAA", "SRV", "NAPTR"})
        answer = await Resolver(AllRoutes(), names=Names((server.address,))).resolve(Resolve(1, "plain.test", None, "udp"))
        assert (answer.flows, answer.reason) == ((), "the name service does not answer about plain.test: NoNameservers")


async def test_servers_of_equal_rank_are_drawn_once() -> None:
    async with name_server(RECORDS) as server:
        resolver = Resolver(AllRoutes(), names=Names((server.address,)))
        first = await find(server, "equal.test", "udp", resolver=resolver)
        assert len(first) == 8
        assert all([await find(server, "equal.test", "udp", resolver=resolver) == first for _ in range(9)])
        others = [await find(server, "equal.test", "udp") for _ in range(9)]  # other phones, other orders
        assert any(each != first for each in others)


async def test_answers_are_remembered_for_their_time() -> None:
    async with name_server(RECORDS) as server:
        resolver = Resolver(AllRoutes(), names=Names((server.address,)))
        first = await find(server, "example.test", resolver=resolver)
        asked = len(server.asked)
        assert await find(server, "example.test", resolver=resolver) == first
        again = server.asked[asked:]
        assert {kind for _, kind in again} <= {"A", "AAAA"}, "only what was denied is asked again"


async def test_an_unknown_name_says_so() -> None:
    async with name_server(RECORDS) as server:
        resolver = Resolver(AllRoutes(), names=Names((server.address,)))
        answer = await resolver.resolve(Resolve(1, "no.such.test", None, "udp"))
        assert answer.flows == ()
        assert "no.such.test" in answer.reason


@pytest.mark.lengthy
async def test_a_silent_name_server_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offhook.io.names.RECORDS_WITHIN", 0.1)
    async with name_server(RECORDS) as server:
        server.silent = True
        resolver = Resolver(AllRoutes(), names=Names((server.address,)))
        answer = await resolver.resolve(Resolve(1, "example.test", None, "udp"))
        assert "does not answer" in answer.reason


@pytest.mark.parametrize(
    ("text", "expected"),
    [("192.0.2.53", ("192.0.2.53", 53)), ("192.0.2.53:5353", ("192.0.2.53", 5353)), ("2001:db8::53", ("2001:db8::53", 53)),
     ("[2001:db8::53]:5353", ("2001:db8::53", 5353))],
)
def test_addresses_of_name_servers(text: str, expected: tuple[str, int]) -> None:
    assert server_address(text) == expected


@pytest.mark.parametrize("text", ["", "ns.example", "192.0.2.53:x", "192.0.2.53:70000", "[::1"])
def test_what_is_no_address_of_a_name_server(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        server_address(text)


async def test_a_whole_phone_finds_its_registrar_and_the_next_one_when_that_is_dead() -> None:
    """The first server of the domain refuses connections, so the account registers with the second."""
    from offhook.exchange.server import Exchange

    exchange = Exchange(port=0, domains=("example.test",))
    await exchange.start()
    with_port = exchange.address[1]
    # A port nobody listens on: bound, so that nobody else takes it, and never listening.
    dead = await asyncio.get_running_loop().create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    records = {
        ("_sip._tcp.example.test", "SRV"): (
            f"0 0 {dead[0].get_extra_info('sockname')[1]} a.example.test.", f"1 0 {with_port} b.example.test.",
        ),
        ("a.example.test", "A"): ("127.0.0.1",),
        ("b.example.test", "A"): ("127.0.0.1",),
    }  # fmt: skip
    try:
        async with name_server(records) as server:
            account = AccountSettings("a", "example.test", "1001", "practice-1001", transport="tcp")
            config = quiet_config()
            config = replace(config, accounts=(account,), sip=replace(config.sip, nameservers=(server.address,)))
            async with live_phone(config) as phone:
                await phone.event("account.registered")
                assert phone.execute(ListAccounts()).value[0].registration == "registered"
                assert "transport.error" in phone.types
    finally:
        dead[0].close()
        await exchange.close()


async def test_a_registered_phone_calls_while_the_name_service_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    from offhook.exchange.server import Exchange

    monkeypatch.setattr("offhook.testing.nameserver.TTL", 0)
    exchange = Exchange(port=0, domains=("example.test",))
    await exchange.start()
    records = {
        ("_sip._udp.example.test", "SRV"): (f"0 0 {exchange.address[1]} a.example.test.",),
        ("a.example.test", "A"): ("127.0.0.1",),
    }
    try:
        async with name_server(records) as server:
            account = AccountSettings("a", "example.test", "1001", "practice-1001")
            config = quiet_config()
            config = replace(config, accounts=(account,), sip=replace(config.sip, nameservers=(server.address,)))
            async with live_phone(config) as phone:
                await phone.event("account.registered")
                server.records.clear()
                phone.execute(Dial(to="echo"))
                await phone.reaches(2)
                phone.execute(Hangup())
                assert (await phone.over())["reason"] == ""
                assert ("_sip._udp.example.test", "SRV") in server.asked[-8:]
    finally:
        await exchange.close()
