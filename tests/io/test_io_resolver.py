"""From hosts to flows, with routes that need no network."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from offhook.io.resolver import MAX_FLOWS, Resolver
from offhook.sip.events import Address, ConnectionTerms, Flow, Resolve, TransportName

LOCAL = ("192.0.2.1", 5062)


class FakeRoutes:
    """IPv4 only; 203.0.113.0/24 has no route."""

    def reaches(self, host: str) -> bool:
        return ":" not in host

    def flow_to(self, remote: Address, transport: TransportName, terms: ConnectionTerms | None = None) -> Flow:
        if remote[0].startswith("203.0.113."):
            raise OSError(101, "Network is unreachable")
        return Flow(transport, LOCAL, remote, 0, terms)


def query(host: str, port: int | None = None, transport: TransportName = "udp") -> Resolve:
    return Resolve(7, host, port, transport)


def answer_with(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    async def getaddrinfo(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", (host, 0)) for host in hosts]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


def test_a_literal_is_answered_at_once_with_the_default_port() -> None:
    resolved = Resolver(FakeRoutes()).resolve_literal(query("192.0.2.9"))
    assert resolved is not None
    assert (resolved.query, resolved.flows) == (7, (Flow("udp", LOCAL, ("192.0.2.9", 5060)),))


def test_a_literal_keeps_its_port_and_transport() -> None:
    resolved = Resolver(FakeRoutes()).resolve_literal(query("192.0.2.9", 5080, "tcp"))
    assert resolved is not None
    assert resolved.flows == (Flow("tcp", LOCAL, ("192.0.2.9", 5080)),)


@pytest.mark.parametrize("host", ["[2001:db8::1]", "2001:db8::1"])
def test_an_address_of_the_other_family_has_no_flow_and_a_reason(host: str) -> None:
    resolved = Resolver(FakeRoutes()).resolve_literal(query(host))
    assert resolved is not None
    assert resolved.flows == ()
    assert "family" in resolved.reason


def test_no_route_is_a_reason() -> None:
    resolved = Resolver(FakeRoutes()).resolve_literal(query("203.0.113.1"))
    assert resolved is not None
    assert resolved.reason == "no route to 203.0.113.1: Network is unreachable"


@pytest.mark.parametrize("host", ["example.org", "localhost", "1001", "[::1"])
def test_a_name_is_no_literal(host: str) -> None:
    assert Resolver(FakeRoutes()).resolve_literal(query(host)) is None


async def test_localhost() -> None:
    resolved = await Resolver(FakeRoutes()).resolve(query("localhost"))
    assert Flow("udp", LOCAL, ("127.0.0.1", 5060)) in resolved.flows


async def test_a_name_gives_its_addresses_in_order_once(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, "192.0.2.2", "2001:db8::1", "192.0.2.1", "192.0.2.2", "203.0.113.5")
    resolved = await Resolver(FakeRoutes()).resolve(query("pbx.example"))
    assert [flow.remote[0] for flow in resolved.flows] == ["192.0.2.2", "192.0.2.1"]
    assert resolved.reason == ""


async def test_a_name_with_very_many_addresses_gives_the_first_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, *(f"192.0.2.{last}" for last in range(100)))
    assert len((await Resolver(FakeRoutes()).resolve(query("pbx.example"))).flows) == MAX_FLOWS


async def test_an_unknown_name_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    resolved = await Resolver(FakeRoutes()).resolve(query("no.example"))
    assert (resolved.flows, resolved.reason) == ((), "no.example has no address: Name or service not known")


async def test_a_name_service_that_is_silent_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    resolved = await Resolver(FakeRoutes(), lookup_timeout=0.01).resolve(query("slow.example"))
    assert "no answer from the name service" in resolved.reason


async def test_a_look_up_that_does_not_let_itself_be_ended_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python's own wait_for may, where the answer comes at the moment of the time-out."""

    async def getaddrinfo(*_: object, **__: object) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    resolved = await Resolver(FakeRoutes(), lookup_timeout=0.01).resolve(query("slow.example", 5060))
    assert "no answer from the name service" in resolved.reason


@pytest.mark.parametrize("host", ["x" * 70 + ".example", "a\0b", ""])
async def test_what_is_no_name_is_a_reason_and_never_raises(host: str) -> None:
    resolved = await Resolver(FakeRoutes()).resolve(query(host))
    assert resolved.flows == () or host == ""
