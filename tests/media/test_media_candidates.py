"""ICE in SDP: what is read, what is passed over, and when there is no ICE."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import MediaNegotiationFailed
from offhook.media.address import reachable
from offhook.media.candidates import KINDS, LocalIce, candidates_of, ice_lines, ice_of, parse_candidate, print_candidate
from offhook.media.messages import Candidate
from offhook.media.negotiate import LocalMedia, accept_answer, check_offer, is_web, make_answer, make_offer
from offhook.media.sdp import parse_sdp
from offhook.media.security import Security

HOST = Candidate("h0", 1, 2130706431, "10.0.0.1", 4000, "host")
PASSWORD = "p" * 24
PRINT = "sha-256 " + ":".join(["AB"] * 32)
LOCAL = LocalIce("ours", PASSWORD, (HOST,), True)

addresses = st.ip_addresses(v=4).map(str)
candidates = st.builds(
    Candidate, st.text("abc123", min_size=1, max_size=32), st.integers(1, 2), st.integers(0, 2**31 - 1), addresses,
    st.integers(1, 65_535), st.sampled_from(KINDS), st.none() | st.tuples(addresses, st.integers(0, 65_535)),
)  # fmt: skip


@pytest.mark.lengthy
@given(candidates)
def test_what_is_printed_is_read(candidate: Candidate) -> None:
    assert parse_candidate(print_candidate(candidate)) == candidate


@pytest.mark.parametrize("text", [
    "", "1 1 UDP 1 10.0.0.1 4000 typ", "1 1 TCP 1 10.0.0.1 9 typ host tcptype active",
    "1 1 UDP 1 somewhere.local 4000 typ host",
    "1 1 UDP 1 10.0.0.1 4000 typ magic", "1 0 UDP 1 10.0.0.1 4000 typ host", "1 1 UDP 1 10.0.0.1 0 typ host",
    "1 1 UDP x 10.0.0.1 4000 typ host", "1 1 UDP 99999999999 10.0.0.1 4000 typ host", "1 1 UDP 1 10.0.0.1 70000 typ host",
    f"{'f' * 33} 1 UDP 1 10.0.0.1 4000 typ host", "1 ٣ UDP 1 10.0.0.1 4000 typ host",
])  # fmt: skip
def test_lines_that_are_passed_over(text: str) -> None:
    assert parse_candidate(text) is None


@given(st.text(max_size=100))
def test_anything_is_read_or_passed_over(text: str) -> None:
    parse_candidate(text)


def test_lines_of_others_are_read() -> None:
    text = "1467250027 1 udp 2122260223 192.168.0.196 46243 typ host generation 0 network-id 1"
    assert parse_candidate(text) == Candidate("1467250027", 1, 2122260223, "192.168.0.196", 46243, "host")
    text = "4 1 UDP 16777215 203.0.113.9 50000 typ relay raddr 10.0.0.1 rport 4000"
    assert parse_candidate(text) == Candidate("4", 1, 16777215, "203.0.113.9", 50000, "relay", ("10.0.0.1", 4000))


def phone(address: str, controlling: bool = True, name: str = "ours") -> LocalMedia:
    own = Candidate("h0", 1, 2130706431, address, 4000, "host")
    beside = Candidate("h0", 2, 2130706430, address, 4001, "host")
    return LocalMedia(address, 4000, ice=LocalIce(name, PASSWORD, (own, beside), controlling), rtcp_mux=True)


def test_two_phones_agree_on_ice() -> None:
    alice, bob = phone("10.0.0.1"), phone("10.0.0.2", False, "theirs")
    offer = make_offer(alice, 1, 1)
    answer, at_bob = make_answer(bob, offer, 2, 1)
    at_alice = accept_answer(alice, offer, answer)
    assert at_alice.ice is not None
    assert at_bob.ice is not None
    assert at_alice.ice.controlling
    assert not at_bob.ice.controlling
    assert (at_alice.ice.remote_ufrag, at_bob.ice.remote_ufrag) == ("theirs", "ours")
    assert {each.address for each in at_alice.ice.candidates} == {"10.0.0.2"}
    assert at_alice.rtcp_mux
    assert PASSWORD not in repr(at_alice)


def test_who_knows_nothing_of_ice_gets_an_ordinary_answer() -> None:
    alice, bob = phone("10.0.0.1"), LocalMedia("10.0.0.2", 5000)
    offer = make_offer(alice, 1, 1)
    answer, at_bob = make_answer(bob, offer, 2, 1)
    assert at_bob.ice is None
    assert b"ice-" not in answer
    assert accept_answer(alice, offer, answer).ice is None
    offer = make_offer(bob, 1, 1)
    answer, at_alice = make_answer(alice, offer, 2, 1)
    assert at_alice.ice is None
    assert b"candidate" not in answer


@pytest.mark.parametrize(("change", "ice"), [
    ((b"", b""), True),
    ((b"c=IN IP4 10.0.0.1", b"c=IN IP4 203.0.113.1"), False),  # somebody on the way has changed the address
    ((b"a=ice-pwd:" + PASSWORD.encode(), b"a=ice-pwd:short"), False),
    ((b"a=ice-ufrag:ours", b"a=ice-ufrag:a b"), False),
    ((b"c=IN IP4 10.0.0.1", b"c=IN IP4 0.0.0.0"), True),
    ((b"m=audio 4000", b"m=audio 9"), True),
])  # fmt: skip
def test_when_there_is_ice(change: tuple[bytes, bytes], ice: bool) -> None:
    offer = make_offer(phone("10.0.0.1"), 1, 1).replace(*change)
    _, config = make_answer(phone("10.0.0.2", False), offer, 2, 1)
    assert (config.ice is not None) is ice
    if ice:
        assert config.direction == "sendrecv"
        assert config.remote == ("10.0.0.1", 4000)


def test_gateways_for_browsers_name_any_address_as_theirs() -> None:
    """Asterisk names its public address, which is none of its candidates; it takes nothing before ICE has found a way."""
    offer = make_offer(phone("10.0.0.1"), 1, 1).replace(b"c=IN IP4 10.0.0.1", b"c=IN IP4 203.0.113.1")
    line = parse_sdp(offer).media[0]
    assert ice_of(LOCAL, parse_sdp(offer), line) is None
    found = ice_of(LOCAL, parse_sdp(offer), replace(line, protocol="UDP/TLS/RTP/SAVPF"))
    assert found is not None
    assert [each.address for each in found.candidates] == ["10.0.0.1", "10.0.0.1"]


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("ours", ["10.0.0.2", "2001:db8::2"])
def test_a_browser_that_names_no_address_is_one_all_the_same(ours: str, named: bool) -> None:
    """RFC 8828 5.2, RFC 8838 4.4: it hides its addresses behind names, or tells of them later; its checks show where it is."""
    lines = ["v=0", "o=- 7 7 IN IP4 127.0.0.1", "s=-", "c=IN IP4 0.0.0.0", "t=0 0", "m=audio 9 UDP/TLS/RTP/SAVPF 0",
             "a=ice-ufrag:theirs", f"a=ice-pwd:{PASSWORD}", f"a=fingerprint:{PRINT}", "a=setup:actpass", "a=rtcp-mux",
             *(["a=candidate:1 1 udp 1 b7.local 4000 typ host"] if named else []), ""]
    offer = "\r\n".join(lines).encode()
    assert is_web(offer)
    us = replace(phone(ours, False), security=Security("optional", fingerprint=PRINT))
    answer, config = make_answer(us, offer, 2, 1)
    assert b"a=ice-ufrag:ours" in answer
    assert config.ice is not None
    assert config.direction == "sendrecv"
    assert reachable(config.remote)
    assert (":" in config.remote[0]) == (":" in ours)
    assert not is_web(offer.replace(b"UDP/TLS/RTP/SAVPF", b"RTP/AVP")), "which may do without"
    assert not is_web(offer.replace(b"m=audio 9", b"m=audio 0"))
    assert not is_web(b"nonsense")


BOTH = Candidate("h1", 1, 2130706430, "10.0.0.1", 4000, "host"), Candidate("h1", 2, 2130706429, "10.0.0.1", 4001, "host")
"""Of a far end that goes by IPv6 by default, and has IPv4, too."""


def two_families() -> LocalMedia:
    far = phone("2001:db8::1")
    assert far.ice is not None
    return replace(far, ice=replace(far.ice, candidates=far.ice.candidates + BOTH))


def test_a_far_end_of_both_families_is_reached_by_ours() -> None:
    offer, near = make_offer(two_families(), 1, 1), phone("10.0.0.2", False)
    assert b"c=IN IP6 2001:db8::1" in offer
    check_offer(near, offer)
    assert make_answer(near, offer, 2, 1)[1].remote == ("10.0.0.1", 4000)
    assert accept_answer(near, make_offer(near, 2, 1), offer).remote == ("10.0.0.1", 4000)  # the same as an answer


@pytest.mark.parametrize("ice", [True, False])
def test_without_an_address_of_our_family_there_is_no_way(ice: bool) -> None:
    near = phone("10.0.0.2", False) if ice else LocalMedia("10.0.0.2", 4000)
    offer = make_offer(phone("2001:db8::1") if ice else two_families(), 1, 1)
    with pytest.raises(MediaNegotiationFailed, match="no way from here"):
        check_offer(near, offer)


def test_a_lite_far_end_leaves_the_decision_to_us() -> None:
    text = make_offer(phone("10.0.0.1"), 1, 1).replace(b"t=0 0\r\n", b"t=0 0\r\na=ice-lite\r\n")
    _, config = make_answer(phone("10.0.0.2", False), text, 2, 1)
    assert config.ice is not None
    assert config.ice.controlling


def test_rtcp_elsewhere_is_said() -> None:
    local = LocalMedia("203.0.113.1", 50_000, rtcp=("203.0.113.1", 50_007))
    assert parse_sdp(make_offer(local, 1, 1)).media[0].attribute("rtcp") == "50007 IN IP4 203.0.113.1"
    _, config = make_answer(LocalMedia("10.0.0.2", 4000), make_offer(local, 1, 1), 1, 1)
    assert config.remote_rtcp == ("203.0.113.1", 50_007)


def test_lines_of_a_phone() -> None:
    assert [str(line) for line in ice_lines(LOCAL)] == [
        "ice-ufrag:ours", f"ice-pwd:{PASSWORD}", "candidate:h0 1 UDP 2130706431 10.0.0.1 4000 typ host"]
    line = parse_sdp(make_offer(phone("10.0.0.1"), 1, 1)).media[0]
    assert len(candidates_of(line)) == 2
    assert ice_of(None, parse_sdp(make_offer(phone("10.0.0.1"), 1, 1)), line) is None
