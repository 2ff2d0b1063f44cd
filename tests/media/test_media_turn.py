"""A TURN client against a toy server in virtual time: challenges, lifetimes, permissions, channels, silence and rubbish."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_relay import SERVER, ToyServer
from virtual_media import SeededIds

from offhook.errors import ParseError
from offhook.media import turn as t
from offhook.media.address import Address
from offhook.media.messages import TurnServer
from offhook.media.stun import (
    StunMessage,
    encode_signed,
    mapped_value,
)

PEER: Address = ("2.2.2.2", 5000)


class World:
    def __init__(self, password: str = "secret", transport: str = "udp") -> None:
        self.server = ToyServer()
        self.now = 0.0
        self.heard: list[tuple[bytes, Address]] = []
        self.answers: list[bytes] = []
        server = TurnServer(SERVER, "user", password, transport)  # type: ignore[arg-type]
        self.turn = t.Turn(server, SeededIds(), self.send, lambda data, peer: self.heard.append((data, peer)), 0.0)

    def send(self, data: bytes) -> None:
        answer = self.server.take(data)
        if answer is not None:
            self.answers.append(answer)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            while self.answers:
                self.turn.receive(self.answers.pop(0), self.now)
            if self.now >= end:
                return
            self.now += 0.1
            self.turn.timeout(self.now)


def ready(**options: str) -> World:
    world = World(**options)
    world.run(0.1)
    assert world.turn.state is t.TurnState.READY
    return world


def test_an_allocation_takes_a_challenge() -> None:
    world = ready()
    assert (world.turn.relayed, world.turn.mapped) == (("5.5.5.5", 60_000), ("1.1.1.1", 50_000))
    assert world.server.seen == [t.ALLOCATE, t.ALLOCATE]
    assert "secret" not in repr(world.turn.server)


def test_a_wrong_password_is_said() -> None:
    world = World(password="guess")
    world.run(5.0)
    assert world.turn.state is t.TurnState.FAILED
    assert "401" in world.turn.problem
    assert "password" in world.turn.problem


def test_a_refusal_is_said() -> None:
    world = World()
    world.server.refuse = 486
    world.run(1.0)
    assert world.turn.problem == "the server refuses: 486 No"


def test_what_an_earlier_user_of_our_port_left_is_given_back() -> None:
    world = World()
    world.server.refuse = 437
    world.run(0.1)
    assert world.server.seen[-1] == t.REFRESH
    world.run(0.7)
    world.server.refuse = 0
    world.run(1.0)
    assert world.turn.state is t.TurnState.READY
    world = World()
    world.server.refuse = 437
    world.run(3.0)
    assert world.turn.state is t.TurnState.FAILED


def test_a_server_that_is_not_there() -> None:
    world = World()
    world.server.deaf = True
    world.run(20.0)
    assert world.turn.problem == "the server does not answer"


def test_a_lost_question_is_asked_again() -> None:
    world = World()
    world.answers.clear()
    world.run(2.0)
    assert world.turn.state is t.TurnState.READY


def test_packets_go_and_come_with_permission_and_by_channel() -> None:
    world = ready()
    world.turn.permit(PEER, world.now)
    world.run(0.1)
    world.turn.send(b"one", PEER)
    assert world.server.relayed == [(b"one", PEER)]
    data = StunMessage(t.DATA, b"x" * 12, ((t.XOR_PEER_ADDRESS, mapped_value(*PEER, b"x" * 12)), (t.DATA_ATTRIBUTE, b"two")))
    world.turn.receive(encode_signed(data, b""), world.now)
    assert world.heard == [(b"two", PEER)]
    world.turn.bind(PEER, world.now)
    world.run(0.1)
    world.turn.send(b"three", PEER)
    assert world.server.relayed[-1] == (b"three", PEER)
    assert world.server.seen.count(t.SEND) == 1
    world.turn.receive(b"\x40\0\0\4four", world.now)
    assert world.heard[-1] == (b"four", PEER)
    world.turn.receive(b"\x40\1\0\4evil", world.now)  # a channel nobody has
    world.turn.receive(b"\x40\0\xff\xffcut", world.now)
    assert len(world.heard) == 2


def test_permissions_are_bounded() -> None:
    """Addresses come from the far end, and each permission is asked for again every few minutes."""
    world = ready()
    for number in range(100):
        world.turn.permit((f"2.2.3.{number}", 5000), world.now)
        world.run(0.1)
    assert len(set(world.server.permitted)) == t.MAX_PERMISSIONS


def test_all_is_refreshed_in_time() -> None:
    world = ready()
    world.turn.permit(PEER, world.now)
    world.turn.bind(PEER, world.now)
    world.run(1300.0)
    assert world.turn.state is t.TurnState.READY
    assert world.server.seen.count(t.REFRESH) >= 2
    assert world.server.seen.count(t.CREATE_PERMISSION) >= 5  # every 240 s: they last 300
    assert world.server.seen.count(t.CHANNEL_BIND) >= 3


@pytest.mark.parametrize(("kind", "due"), [(t.REFRESH, 540.0), (t.CREATE_PERMISSION, 240.0), (t.CHANNEL_BIND, 540.0)])
def test_a_network_that_is_gone_when_something_is_due_costs_nothing(kind: int, due: float) -> None:
    world = ready()
    world.turn.permit(PEER, world.now)
    world.turn.bind(PEER, world.now)
    world.run(due - 5)
    before = world.server.seen.count(kind)
    world.server.deaf = True
    world.run(25.0)
    world.server.deaf = False
    world.run(10.0)
    assert world.turn.state is t.TurnState.READY
    assert world.server.seen.count(kind) == before + 1


def test_an_allocation_that_nobody_renews_ends() -> None:
    world = ready()
    world.run(500.0)
    world.server.deaf = True
    world.run(98.0)
    assert world.turn.state is t.TurnState.READY
    world.run(10.0)
    assert world.turn.problem == "the server does not answer"


def test_a_new_nonce_is_taken_over() -> None:
    world = ready()
    world.server.nonce = b"second"
    world.turn.permit(PEER, world.now)
    world.run(0.2)
    assert PEER[0] in world.server.permitted


@pytest.mark.parametrize("bound", [False, True])
def test_an_allocation_that_the_server_has_forgotten_is_made_anew_soon(bound: bool) -> None:
    world = ready()
    world.turn.permit(PEER, world.now)
    if bound:
        world.turn.bind(PEER, world.now)
    world.run(1.0)
    world.server.restart()
    for _ in range(70):
        world.turn.send(b"sound", PEER)
        world.run(0.1)
    assert (world.turn.state, world.turn.losses) == (t.TurnState.READY, 1)
    assert world.turn.relayed == ("5.5.5.5", 60_001)
    world.turn.permit(PEER, world.now)
    world.run(0.1)
    before = len(world.server.relayed)
    world.turn.send(b"sound", PEER)
    assert world.server.relayed[before:] == [(b"sound", PEER)]


def test_a_silent_far_end_costs_a_question_now_and_then() -> None:
    world = ready()
    world.turn.permit(PEER, world.now)
    world.server.seen.clear()
    world.run(100.0)
    assert t.REFRESH not in world.server.seen, "who sends nothing does not care"
    for _ in range(300):
        world.turn.send(b"sound", PEER)
        world.run(0.1)
    assert world.server.seen.count(t.REFRESH) == pytest.approx(30 / t.SILENCE_S, abs=1)
    assert world.turn.losses == 0


def test_a_lost_allocation_is_noticed() -> None:
    world = ready()
    world.server.refuse = 437
    world.run(700.0)
    assert world.turn.state is t.TurnState.FAILED
    assert "437" in world.turn.problem


def test_it_is_given_back() -> None:
    world = ready()
    world.turn.close(world.now)
    assert world.server.seen[-1] == t.REFRESH
    world.turn.send(b"late", PEER)
    assert world.server.relayed == []


@pytest.mark.parametrize("key", [b"guess", b""], ids=["guessed", "unsigned"])
def test_an_answer_without_the_right_signature_counts_for_nothing(key: bytes) -> None:
    world = World()
    challenge = world.answers.pop(0)
    world.turn.receive(challenge, 0.0)
    world.answers.clear()
    transaction = next(iter(world.turn._requests))
    lie = StunMessage(t.ALLOCATE | t.SUCCESS, transaction, ((t.XOR_RELAYED_ADDRESS, mapped_value("6.6.6.6", 1, transaction)),))
    world.turn.receive(encode_signed(lie, key), 0.0)
    assert world.turn.relayed is None


@given(st.lists(st.binary(max_size=80), max_size=30))
def test_rubbish_has_no_effect(rubbish: list[bytes]) -> None:
    world = ready()
    for data in rubbish:
        world.turn.receive(data, world.now)
        world.turn.receive(b"\x01\x13" + data, world.now)
    assert world.turn.state is t.TurnState.READY


def test_over_a_stream_channel_data_is_padded_and_taken_apart() -> None:
    world = ready(transport="tcp")
    world.turn.bind(PEER, world.now)
    world.run(0.1)
    sent: list[bytes] = []
    world.turn._send = sent.append
    world.turn.send(b"abc", PEER)
    assert sent == [b"\x40\0\0\3abc\0"]
    question = encode_signed(StunMessage(1, b"q" * 12), b"")
    buffer = bytearray(sent[0] + question + sent[0] + question[:10])
    assert t.split_stream(buffer) == [sent[0], question, sent[0]]
    assert bytes(buffer) == question[:10]
    with pytest.raises(ParseError):
        t.split_stream(bytearray(b"SSH-2.0-x"))
