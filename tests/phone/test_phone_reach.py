"""Where a call's sound is said to be reached, by policy; and that calls wait for it no longer than they must."""

from __future__ import annotations

from typing import get_args

import pytest

from offhook.media import messages as media
from offhook.media.address import Address
from offhook.media.sdp import parse_sdp
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.reach import NatServers
from offhook.phone.settings import AccountSettings, NatPolicy, NatSettings, PhoneSettings
from offhook.sip.events import NetworkChanged
from offhook.testing.phones import VirtualPhone, over, rings, settle, talk
from offhook.testing.wire import Wire

TURN = media.TurnServer(("9.9.9.9", 3478), "user", "secret")
SERVERS = NatServers(("9.9.9.9", 3478), TURN)


def phones(one: NatPolicy, other: NatPolicy = "off", address: str = "") -> tuple[VirtualPhone, VirtualPhone]:
    wire = Wire()
    pair = tuple(
        VirtualPhone(wire, name, host, nat=NatSettings(policy, address))
        for name, host, policy in (("alice", "10.0.0.1", one), ("bob", "10.0.0.2", other))
    )
    for phone in pair:
        phone.receive(SERVERS)
    return pair[0], pair[1]


def said(phone: VirtualPhone) -> tuple[str, int, bool]:
    """Return the address and port of the phone's own description, and whether ICE is in it."""
    line = parse_sdp(phone.only.local_sdp)
    connection = line.connection_of(line.media[0])
    assert connection is not None
    return connection.address, line.media[0].port, line.media[0].attribute("ice-ufrag") is not None


def config(phone: VirtualPhone) -> media.StreamConfig:
    return phone.did(media.ConfigureStream)[-1].config


@pytest.mark.parametrize(("policy", "address", "ice", "relayed"), [
    ("off", "10.0.0.1", False, False), ("stun", "203.0.113.7", False, False), ("turn", "198.51.100.5", False, True),
    ("ice", "198.51.100.5", True, True),  # for those who know nothing of ICE the relay is the one that always works
])  # fmt: skip
def test_what_the_caller_says(policy: NatPolicy, address: str, ice: bool, relayed: bool) -> None:
    alice, bob = phones(policy)
    talk(alice, bob)
    assert said(alice)[0] == address
    assert said(alice)[2] is ice
    assert config(alice).ice is None  # bob does without
    assert config(alice).relayed is relayed
    asked = alice.did(media.GatherCandidates)
    assert len(asked) == (policy != "off")
    if policy == "stun":
        assert (asked[0].stun, asked[0].turn) == (SERVERS.stun, None)
    if policy == "turn":
        assert (asked[0].stun, asked[0].turn) == (None, TURN)
    finish(alice, bob)


def finish(alice: VirtualPhone, bob: VirtualPhone) -> None:
    alice.execute(c.Hangup())
    over(alice, bob)


def test_a_public_address_is_said_without_asking() -> None:
    alice, bob = phones("address", address="203.0.113.99")
    talk(alice, bob)
    assert said(alice)[0] == "203.0.113.99"
    assert alice.did(media.GatherCandidates) == []
    finish(alice, bob)


@pytest.mark.parametrize("policy", [each for each in get_args(NatPolicy) if each not in ("off", "address")])
def test_the_called_one_finds_out_while_it_rings(policy: NatPolicy) -> None:
    alice, bob = phones("off", policy)
    alice.dial(bob)
    alice.wire.run_until(rings(bob))
    settle(alice.wire, 1)
    assert len(bob.of(e.MediaCandidates)) == 1
    accepted = bob.execute(c.Answer())
    assert bob.states[0] == "active"  # at once
    assert accepted.operation == ""
    settle(alice.wire, 1)
    finish(alice, bob)


def test_an_answer_that_comes_too_soon_waits() -> None:
    alice, bob = phones("off", "ice")
    bob.phone.desk.settings = PhoneSettings(auto_answer="all")
    alice.dial(bob)
    alice.wire.run_until(lambda: bool(bob.of(e.CallActive)) and bool(alice.of(e.CallActive)))
    assert bob.types.index("call.incoming") < bob.types.index("media.candidates") < bob.types.index("call.active")
    assert not bob.of(e.OperationSucceeded), "nobody has asked for it"
    finish(alice, bob)


def test_both_with_ice() -> None:
    alice, bob = phones("ice", "ice")
    call, _ = talk(alice, bob)
    one, other = config(alice).ice, config(bob).ice
    assert one is not None
    assert other is not None
    assert (one.controlling, other.controlling) == (True, False)
    assert (one.ufrag, one.pwd) == (other.remote_ufrag, other.remote_pwd)
    assert config(alice).rtcp_mux
    alice.receive(media.StreamRouted(call, "host", "srflx", "203.0.113.7:40000"))
    assert [(event.local, event.remote, event.address) for event in alice.of(e.MediaRoute)] == [
        ("host", "srflx", "203.0.113.7:40000")]
    for phone in (alice, bob, alice):
        phone.execute(c.Hold())
        settle(alice.wire, 2)
        phone.execute(c.Resume())
        settle(alice.wire, 2)
    now = config(alice).ice
    assert now is not None
    assert (now.ufrag, now.remote_ufrag) == (one.ufrag, one.remote_ufrag)  # no new search for a hold
    finish(alice, bob)


def test_a_far_end_with_a_new_name_gets_a_new_one() -> None:
    alice, bob = phones("ice", "ice")
    talk(alice, bob)
    before = config(bob).ice
    alice.only.ice_ufrag, alice.only.ice_pwd = "newname1", "n" * 24
    alice.execute(c.Hold())
    settle(alice.wire, 2)
    after = config(bob).ice
    assert before is not None
    assert after is not None
    assert after.remote_ufrag == "newname1"
    assert after.ufrag != before.ufrag
    finish(alice, bob)


@pytest.mark.parametrize("policy", ["stun", "turn", "ice"])
def test_a_call_that_is_somewhere_else_finds_out_anew_where_it_is_reached(policy: NatPolicy) -> None:
    alice, bob = phones(policy, policy)
    call, _ = talk(alice, bob)
    before = config(bob)
    alice.node.address, alice.wire.nodes["10.0.0.77", 5060] = ("10.0.0.77", 5060), alice.node
    alice.media.host = "10.0.0.77"
    alice.receive(NetworkChanged("our address is 10.0.0.77 now, it was 10.0.0.1"))
    settle(alice.wire, 5)
    assert len(alice.did(media.GatherCandidates)) == len(alice.of(e.MediaCandidates)) == 2
    assert [phone.only.state for phone in (alice, bob)] == ["active", "active"]
    if policy == "ice":
        one, other, former = config(alice).ice, config(bob).ice, before.ice
        assert one is not None
        assert other is not None
        assert former is not None
        assert (one.ufrag, one.pwd) == (other.remote_ufrag, other.remote_pwd)
        assert (other.ufrag, other.pwd) == (one.remote_ufrag, one.remote_pwd)
        assert not {one.ufrag, other.ufrag} & {former.ufrag, former.remote_ufrag}  # RFC 8445 9: a new search
        assert "10.0.0.77" in [each.address for each in other.candidates]
    assert len(alice.did(media.CloseStream)) == 0
    assert call == alice.only.id
    finish(alice, bob)


def test_a_policy_that_came_in_the_midst_of_a_call_holds_when_the_network_changes() -> None:
    alice, bob = phones("off", "off")
    alice.add_account(AccountSettings("a", "10.0.0.2", "alice", register=False))
    talk(alice, bob, account="a")
    alice.execute(c.UpdateAccount(account="a", changes={"nat": "stun"}))
    alice.node.address, alice.wire.nodes["10.0.0.77", 5060] = ("10.0.0.77", 5060), alice.node
    alice.media.host = "10.0.0.77"
    alice.receive(NetworkChanged("our address is 10.0.0.77 now, it was 10.0.0.1"))
    settle(alice.wire, 5)
    assert said(alice)[0] == "203.0.113.7"
    assert config(bob).remote[0] == "203.0.113.7"
    finish(alice, bob)


def names(phone: VirtualPhone) -> list[tuple[str, str]]:
    """Return under which names the phone has searched for a way: its own, and the far end's."""
    found = [each.config.ice for each in phone.did(media.ConfigureStream)]
    return list(dict.fromkeys((ice.ufrag, ice.remote_ufrag) for ice in found if ice is not None))


@pytest.mark.parametrize("holds", ["alice", "bob", ""])
def test_whoever_offers_something_else_meanwhile_both_search_under_the_same_names(holds: str) -> None:
    alice, bob = phones("ice", "ice")
    call, _ = talk(alice, bob)
    for phone in (alice, bob):
        if phone.name == holds:
            phone.execute(c.Hold())  # and before the answer comes, alice has other addresses
    assert alice.only.candidates is not None
    alice.receive(media.CandidatesGathered(call, alice.only.candidates))
    settle(alice.wire, 15)
    assert [other[::-1] for other in names(bob)] == names(alice)
    assert len(names(alice)) == 2, "one search when the call began, and another one"
    assert alice.only.state == {"alice": "held_local", "bob": "held_remote", "": "active"}[holds]
    finish(alice, bob)


def test_a_call_goes_to_another_address_of_its_relay() -> None:
    alice, bob = phones("turn")
    call, _ = talk(alice, bob)
    assert config(bob).remote == ("198.51.100.5", 60_001)
    relay = "198.51.100.5"
    found = tuple(media.Candidate("r", number, 16777216 - number, relay, 61_000 + number, "relay") for number in (1, 2))
    alice.receive(media.CandidatesGathered(call, found))
    settle(alice.wire, 2)
    assert config(bob).remote == ("198.51.100.5", 61_001)
    assert said(alice)[:2] == ("198.51.100.5", 61_001)
    alice.receive(media.CandidatesGathered(call, (), ("TURN: it does not answer",)))
    settle(alice.wire, 2)
    assert config(bob).remote[0] == "10.0.0.1"
    assert not config(alice).relayed
    finish(alice, bob)


def test_a_call_that_rings_while_our_address_changes_says_the_new_one() -> None:
    alice, bob = phones("off", "ice")
    alice.add_account(AccountSettings("a", "10.0.0.1", "alice", register=False))  # an address that bob can ask for
    alice.dial(bob)
    alice.wire.run_until(rings(bob))
    settle(alice.wire, 1)
    bob.node.address, bob.wire.nodes["10.0.0.78", 5060] = ("10.0.0.78", 5060), bob.node
    bob.media.host = "10.0.0.78"
    bob.receive(NetworkChanged("our address is 10.0.0.78 now, it was 10.0.0.2"))
    settle(alice.wire, 1)
    assert [event.candidates[0] for event in bob.of(e.MediaCandidates)] == ["host 10.0.0.2:20000", "host 10.0.0.78:20000"]
    bob.execute(c.Answer())
    settle(alice.wire, 1)
    finish(alice, bob)


def test_an_account_has_a_policy_of_its_own() -> None:
    alice, bob = phones("off")
    alice.add_account(AccountSettings("a", "10.0.0.2", "alice", register=False, nat="stun"))
    talk(alice, bob, account="a")
    assert said(alice)[0] == "203.0.113.7"
    finish(alice, bob)


def test_another_policy_in_the_midst_of_a_call_is_for_later_calls() -> None:
    alice, bob = phones("ice", "ice")
    alice.add_account(AccountSettings("a", "10.0.0.2", "alice", register=False, nat="stun"))
    talk(alice, bob, account="a")
    alice.execute(c.UpdateAccount(account="a", changes={"nat": "default"}))
    alice.execute(c.Hold())
    settle(alice.wire, 2)
    assert "ice-ufrag" not in alice.only.local_sdp.decode()
    assert (alice.only.state, said(alice)[0]) == ("held_local", "203.0.113.7")
    finish(alice, bob)


def test_servers_that_do_not_help_are_named() -> None:
    alice, bob = phones("ice")
    alice.receive(NatServers(problem="stun.example.org has no IPv4 address"))
    talk(alice, bob)
    event = alice.of(e.MediaCandidates)[0]
    assert event.problems == ("stun.example.org has no IPv4 address",)
    assert event.candidates[0].startswith("host 10.0.0.1:")
    finish(alice, bob)


@pytest.mark.parametrize("policy", ["stun", "ice"])
@pytest.mark.parametrize(("control", "line"), [
    (("203.0.113.7", 40_001), None),  # RFC 3605 2.1: the next port goes without saying
    (("203.0.113.7", 41_777), "41777 IN IP4 203.0.113.7"), (("203.0.113.8", 40_001), "40001 IN IP4 203.0.113.8"),
])  # fmt: skip
def test_the_far_end_is_told_where_its_control_packets_go(policy: NatPolicy, control: Address, line: str | None) -> None:
    alice, bob = phones(policy)
    call, _ = talk(alice, bob)
    places = (("203.0.113.7", 40_000), control)
    alice.receive(media.CandidatesGathered(call, tuple(
        media.Candidate("s", number, 1694498816 - number, *place, "srflx", ("10.0.0.1", 20_000 + number))
        for number, place in enumerate(places, 1)
    )))  # fmt: skip
    settle(alice.wire, 2)
    audio = parse_sdp(alice.only.local_sdp).media[0]
    assert (said(alice)[:2], audio.attribute("rtcp")) == (places[0], line)
    finish(alice, bob)


def test_servers_that_do_not_help_and_what_was_tried_in_vain_are_both_told() -> None:
    alice, bob = phones("ice")
    call, _ = talk(alice, bob)
    alice.receive(NatServers(problem="stun.example.org has no IPv4 address"))
    alice.receive(media.CandidatesGathered(call, (), ("TURN: it does not answer",)))
    assert alice.of(e.MediaCandidates)[-1].problems == ("stun.example.org has no IPv4 address", "TURN: it does not answer")
    finish(alice, bob)


def test_calls_wait_for_ports_and_addresses() -> None:
    wire = Wire()
    alice = VirtualPhone(wire, "alice", "10.0.0.1", nat=NatSettings("stun"), ports=0)
    bob = VirtualPhone(wire, "bob", "10.0.0.2")
    alice.receive(SERVERS)
    alice.dial(bob)
    settle(wire, 1)
    assert bob.calls == {}
    alice.receive(alice.media.fresh_ports(2))
    wire.run_until(rings(bob))
    assert said(alice)[0] == "203.0.113.7"
    finish(alice, bob)
