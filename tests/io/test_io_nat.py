"""What this machine knows of its place in the network, and how servers are written and found."""

from __future__ import annotations

import ipaddress

import pytest

from offhook.io.nat import MAX_ADDRESSES, ServerName, find_servers, local_addresses, parse_server
from offhook.phone.settings import NatSettings
from offhook.testing.ipv6 import NO_IPV6, has_ipv6


def test_own_addresses_are_addresses() -> None:
    found = local_addresses()
    assert 1 <= len(found) <= MAX_ADDRESSES
    assert len(set(found)) == len(found)
    assert all(ipaddress.ip_address(each).version == 4 for each in found)
    if any(not ipaddress.ip_address(each).is_loopback for each in found):
        assert not any(ipaddress.ip_address(each).is_loopback for each in found)


@pytest.mark.skipif(not has_ipv6(), reason=NO_IPV6)
def test_own_addresses_of_both_families_come_by_turns() -> None:
    found = [ipaddress.ip_address(each) for each in local_addresses(ipv6=True)]
    assert not any(each.is_link_local for each in found)
    assert {str(each) for each in found if each.version == 4} <= {*local_addresses(), "127.0.0.1"}
    if any(each.version == 6 for each in found):
        assert found[0].version == 6


@pytest.mark.parametrize(("text", "expected"), [
    ("stun.example.org", ServerName("stun.example.org", 3478)),
    ("192.0.2.1:9999", ServerName("192.0.2.1", 9999)),
    ("stun:stun.example.org:19302", ServerName("stun.example.org", 19302)),
    ("turn:relay.example.org", ServerName("relay.example.org", 3478)),
    ("turn:relay.example.org:80?transport=tcp", ServerName("relay.example.org", 80, "tcp")),
    ("turns:relay.example.org", ServerName("relay.example.org", 5349, "tls")),
    ("turns:relay.example.org:443?transport=tcp", ServerName("relay.example.org", 443, "tls")),
])  # fmt: skip
def test_servers_as_they_are_written(text: str, expected: ServerName) -> None:
    assert parse_server(text) == expected


@pytest.mark.parametrize("text", ["", "http://x", "turn:", "a b", "host:0", "host:70000", "turn:host?transport=sctp", "host:x"])
def test_what_is_no_server_says_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="write host"):
        parse_server(text)


async def test_servers_are_found() -> None:
    found = await find_servers(NatSettings("ice", "", "127.0.0.1", "turn:127.0.0.1:99?transport=tcp", "user", "secret"))
    assert found.stun == ("127.0.0.1", 3478)
    assert found.turn is not None
    assert (found.turn.address, found.turn.transport, found.turn.username) == (("127.0.0.1", 99), "tcp", "user")
    assert found.problem == ""


async def test_the_same_text_for_both_is_two_servers() -> None:
    found = await find_servers(NatSettings("ice", "", "127.0.0.1", "127.0.0.1"))
    assert found.stun is not None
    assert found.turn is not None


@pytest.mark.parametrize("name", ["no-such-host.invalid", "stun..example.org", "x" * 64 + ".example.org"])
async def test_a_name_without_an_address_is_said(name: str) -> None:
    found = await find_servers(NatSettings("ice", "", name, "127.0.0.1"))
    assert found.stun is None
    assert found.turn is not None
    assert found.problem == f"{name} has no IPv4 address"
