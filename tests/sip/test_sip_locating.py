"""NAPTR and SRV records made into targets."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.sip.events import SECURE, TransportChoice
from offhook.sip.locating import Naptr, Service, Srv, by_name, by_naptr, fits, in_order, usable

# The example of RFC 3263 4.1
EXAMPLE = [
    Naptr(50, 50, "s", "SIPS+D2T", "_sips._tcp.example.com."),
    Naptr(90, 50, "s", "SIP+D2T", "_sip._tcp.example.com."),
    Naptr(100, 50, "s", "SIP+D2U", "_sip._udp.example.com."),
]
CHOICES: list[TransportChoice] = ["auto", "udp", "tcp", "tls", "ws", "wss"]


def test_the_example_of_rfc_3263() -> None:
    assert by_naptr(EXAMPLE[::-1], "auto", secure=False) == [
        Service("tls", "_sips._tcp.example.com"), Service("tcp", "_sip._tcp.example.com"),
        Service("udp", "_sip._udp.example.com"),
    ]  # fmt: skip


def test_sips_takes_only_what_is_encrypted() -> None:
    assert by_naptr(EXAMPLE, "auto", secure=True) == [Service("tls", "_sips._tcp.example.com")]
    assert by_name("example.com", "auto", secure=True) == [Service("tls", "_sips._tcp.example.com")]
    assert usable("auto", secure=True) == "tls"


def test_foreign_services_and_flags_are_left_out() -> None:
    foreign = [Naptr(1, 1, "u", "E2U+sip", "x."), Naptr(1, 1, "a", "SIP+D2U", "x."), Naptr(1, 1, "S", "sip+d2u", "y.")]
    assert by_naptr(foreign, "auto", secure=False) == [Service("udp", "y")]


def test_preference_decides_within_an_order() -> None:
    records = [Naptr(1, 20, "s", "SIP+D2U", "b."), Naptr(1, 10, "s", "SIP+D2T", "a."), Naptr(0, 99, "s", "SIP+D2W", "w.")]
    assert [each.name for each in by_naptr(records, "auto", secure=False)] == ["w", "a", "b"]


def test_without_naptr_the_names_follow_from_the_transports() -> None:
    names = [each.name for each in by_name("example.com", "auto", secure=False)]
    assert names == ["_sip._udp.example.com", "_sip._tcp.example.com", "_sips._tcp.example.com"]
    assert by_name("example.com", "tls", secure=False) == [Service("tls", "_sips._tcp.example.com")]
    assert by_name("example.com", "wss", secure=False) == []  # RFC 7118 knows a URI there, no SRV name


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("secure", [False, True])
def test_what_is_found_may_be_used(choice: TransportChoice, secure: bool) -> None:
    for each in by_naptr(EXAMPLE, choice, secure=secure) + by_name("a.b", choice, secure=secure):
        assert fits(each.transport, choice, secure=secure)
        assert choice in ("auto", each.transport)
        assert not secure or each.transport in SECURE


def test_priority_then_weight() -> None:
    chance = random.Random(1).uniform
    records = [Srv(2, 100, 5060, "late."), Srv(1, 0, 5060, "never."), Srv(1, 75, 5060, "often."), Srv(1, 25, 5060, "seldom.")]
    firsts = Counter(in_order(records, chance)[0].target for _ in range(4000))
    assert 2800 < firsts["often."] < 3200
    assert 800 < firsts["seldom."] < 1200
    assert firsts["never."] < 40
    assert in_order(records, chance)[-1].target == "late."


def test_a_dot_says_not_here() -> None:
    assert in_order([Srv(0, 0, 0, ".")], random.Random(1).uniform) == []


@given(st.lists(st.builds(Srv, st.integers(0, 3), st.integers(0, 65535), st.just(5060), st.sampled_from(["a.", "b.", "c."]))),
       st.integers())
def test_the_order_is_a_permutation_by_priority(records: list[Srv], seed: int) -> None:
    ordered = in_order(records, random.Random(seed).uniform)
    assert Counter(ordered) == Counter(records)
    assert [each.priority for each in ordered] == sorted(each.priority for each in records)
