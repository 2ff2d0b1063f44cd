"""The way of packets: whole streams with candidates found, ICE between them, a relay, and strangers who know the port."""

from __future__ import annotations

import struct
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from toy_relay import SERVER, ToyServer
from virtual_media import CONFIG, Pair, SeededIds, Weather, level

from offhook.media.address import Address
from offhook.media.ice import candidate_priority
from offhook.media.messages import (
    Candidate,
    CandidatesGathered,
    CloseStream,
    ConfigureStream,
    DigitReceived,
    DigitSent,
    GatherCandidates,
    IcePeer,
    MediaReport,
    OpenStream,
    SdesKeys,
    SendDigits,
    StartPlayback,
    StreamFailed,
    StreamRouted,
    TurnServer,
)
from offhook.media.route import RTCP, RTP, STUN_FIRST, Route
from offhook.media.stun import (
    BINDING_REQUEST,
    BINDING_SUCCESS,
    USERNAME,
    XOR_MAPPED_ADDRESS,
    StunMessage,
    encode_signed,
    encode_stun,
    mapped_value,
    parse_stun,
)
from offhook.media.turn import DATA, DATA_ATTRIBUTE, XOR_PEER_ADDRESS

NAMES, PASSWORDS = ("aname", "bname"), ("a" * 24, "b" * 24)
FAR_END = ("2.2.2.2", 5000)
STRANGER = ("10.0.0.66", 6000)


def gathered(side: int) -> dict[str, Any]:
    return {"ufrag": NAMES[side], "pwd": PASSWORDS[side], "addresses": (f"10.0.0.{1 + side}",)}


def with_ice(mux: bool = True) -> Pair:
    """Return two streams that have agreed on ICE, before the first check."""
    pair = Pair()
    for side in (0, 1):
        pair.do(side, GatherCandidates("c", **gathered(side)))
    pair.run(0.05)
    for side in (0, 1):
        found = pair.of(1 - side, CandidatesGathered)[0].candidates
        ice = IcePeer(side == 0, NAMES[side], PASSWORDS[side], NAMES[1 - side], PASSWORDS[1 - side], found)
        pair.configure(side, ice=ice, rtcp_mux=mux)
    return pair


def heard(pair: Pair, side: int) -> float:
    pair.do(1 - side, StartPlayback("c", "pb", "tone", frequencies=(600.0,), duration_ms=0))
    pair.run(0.3)
    frames = []
    for _ in range(25):
        pair.run(0.02)
        frames.append(pair.engines[side].streams["c"].far)
    return level(frames, 600.0)


@pytest.mark.lengthy
@pytest.mark.parametrize("mux", [True, False])
def test_sound_takes_the_way_that_was_found(mux: bool) -> None:
    pair = with_ice(mux)
    pair.run(0.5)
    assert [(report.local, report.remote) for report in pair.of(0, StreamRouted)] == [("host", "host")]
    assert pair.of(1, StreamRouted)[0].address == "10.0.0.1:4000"
    assert heard(pair, 1) > 1000
    assert heard(pair, 0) > 1000
    pair.run(12.0)
    assert pair.engines[0].streams["c"].statistics().rtt_ms is not None


def test_candidates_of_a_machine() -> None:
    pair = with_ice()
    assert pair.of(0, CandidatesGathered)[0].candidates == (
        Candidate("h0", 1, 2130706431, "10.0.0.1", 4000, "host"), Candidate("h0", 2, 2130706430, "10.0.0.1", 4001, "host"),
    )  # fmt: skip


def test_nothing_is_sent_before_a_way_is_found_and_nothing_heard_from_strangers() -> None:
    pair = with_ice()
    pair.sent.clear()
    pair.run(0.015)
    assert all(packet[0] < 4 for _, _, packet in pair.sent)  # checks only
    pair.run(0.5)
    before = pair.engines[1].streams["c"].garbage
    for number in range(50):
        pair.inject(1, 4000, struct.pack("!BBHII", 0x80, 0, number, 160 * number, 99) + b"\x11" * 160, STRANGER)
    assert pair.engines[1].streams["c"].garbage == before + 50
    assert heard(pair, 1) > 1000


def test_digits_wait_until_a_way_is_found() -> None:
    pair = with_ice()
    pair.weather = Weather(loss=1.0)
    pair.do(0, SendDigits("c", "keys", "12"))
    pair.run(1.0)
    assert not pair.of(0, DigitSent) + pair.of(0, StreamRouted)
    pair.weather = Weather()
    pair.run(3.0)
    assert [report.digit for report in pair.of(1, DigitReceived)] == ["1", "2"]


@pytest.mark.lengthy
def test_a_far_end_that_falls_silent_ends_the_call() -> None:
    pair = with_ice()
    pair.run(1.0)
    pair.weather.loss = 1.0
    pair.run(40.0)
    assert any("no consent" in report.reason for report in pair.of(0, StreamFailed))
    pair.sent.clear()
    pair.run(1.0)
    assert not any(side == 0 for side, _, packet in pair.sent if packet[0] >= 128)


def answer(pair: Pair, packet: bytes, port: int, address: tuple[str, int]) -> None:
    question = parse_stun(packet)
    value = mapped_value(*address, question.transaction)
    pair.inject(0, port, encode_stun(StunMessage(BINDING_SUCCESS, question.transaction, ((XOR_MAPPED_ADDRESS, value),))),
                ("9.9.9.9", 3478))  # fmt: skip


def test_the_address_seen_from_outside_is_a_candidate() -> None:
    pair = Pair()
    pair.run(0.1)
    pair.sent.clear()
    pair.do(0, GatherCandidates("c", ("10.0.0.1",), stun=("9.9.9.9", 3478)))
    pair.run(0.01)
    questions = [packet for side, port, packet in pair.sent if (side, port) == (0, 3478)]
    assert len(questions) == 2  # for RTP and for RTCP
    pair.inject(0, 4000, questions[0][:19] + b"x", ("9.9.9.9", 3478))  # nobody asked this
    for place, packet in enumerate(questions):
        answer(pair, packet, 4000 + place, ("203.0.113.7", 50_000 + place))
    pair.run(0.05)
    report = pair.of(0, CandidatesGathered)[0]
    assert [(each.kind, each.component, each.port) for each in report.candidates] == [
        ("host", 1, 4000), ("host", 2, 4001), ("srflx", 1, 50_000), ("srflx", 2, 50_001)]
    assert report.problems == ()


def test_servers_that_do_not_answer_are_waited_for_only_so_long() -> None:
    pair = Pair()
    relay = TurnServer(("9.9.9.8", 3478), "user", "secret")
    pair.do(0, GatherCandidates("c", ("10.0.0.1",), stun=("9.9.9.9", 3478), turn=relay))
    pair.run(2.0)
    assert pair.of(0, CandidatesGathered) == []
    pair.run(0.7)
    report = pair.of(0, CandidatesGathered)[0]
    assert {each.kind for each in report.candidates} == {"host"}
    assert report.problems == ("STUN: 9.9.9.9:3478 does not answer", "TURN: 9.9.9.8:3478: the server does not answer")


def test_a_stream_to_a_server_that_cannot_be_is_said() -> None:
    pair = Pair()
    relay = TurnServer(("9.9.9.8", 3478), "user", "secret", "tcp")
    pair.do(0, GatherCandidates("c", ("10.0.0.1",), turn=relay))
    pair.run(0.1)
    assert pair.of(0, CandidatesGathered)[0].problems == ("TURN: no streams here",)


def test_without_ice_packets_go_straight() -> None:
    pair = Pair()
    pair.do(0, GatherCandidates("c", **gathered(0)))
    pair.run(0.1)
    pair.do(0, ConfigureStream("c", CONFIG.__class__(("10.0.0.2", 4000), ("10.0.0.2", 4001), "PCMU", 0, ((0, "PCMU"),))))
    assert heard(pair, 1) > 1000
    assert heard(pair, 0) > 1000
    assert pair.engines[0].streams["c"].wiring.straight


@pytest.mark.parametrize("secure", [False, True])
def test_sound_goes_on_while_addresses_are_found_out_in_the_midst_of_a_call(secure: bool) -> None:
    pair = Pair()
    keys = bytes(range(30)), bytes(range(30, 60))
    for side in (0, 1):
        sdes = SdesKeys("AES_CM_128_HMAC_SHA1_80", send=keys[side], receive=keys[1 - side]) if secure else None
        pair.configure(side, security=sdes)
    assert heard(pair, 0) > 1000
    pair.do(0, GatherCandidates("c", **gathered(0)))
    assert heard(pair, 1) > 1000
    assert heard(pair, 0) > 1000
    assert pair.of(0, CandidatesGathered)


def test_a_search_can_begin_where_only_a_server_was_asked_before() -> None:
    pair = Pair()
    pair.do(0, GatherCandidates("c", addresses=("10.0.0.1",)))
    pair.do(1, GatherCandidates("c", **gathered(1)))
    pair.run(0.05)
    pair.do(0, GatherCandidates("c", **gathered(0)))
    pair.run(0.05)
    for side in (0, 1):
        found = pair.of(1 - side, CandidatesGathered)[-1].candidates
        ice = IcePeer(side == 0, NAMES[side], PASSWORDS[side], NAMES[1 - side], PASSWORDS[1 - side], found)
        pair.configure(side, ice=ice, rtcp_mux=True)
    pair.run(0.5)
    assert heard(pair, 0) > 1000
    assert heard(pair, 1) > 1000


def test_a_far_end_that_names_no_address_is_found_by_its_checks() -> None:
    pair = with_ice()
    found = pair.of(1, CandidatesGathered)[0].candidates
    for side, known in ((0, ()), (1, pair.of(0, CandidatesGathered)[0].candidates)):
        names = f"{NAMES[side]}2", f"{NAMES[1 - side]}2"
        ice = IcePeer(side == 0, names[0], PASSWORDS[side], names[1], PASSWORDS[1 - side], known)
        pair.configure(side, ice=ice, rtcp_mux=True)
    pair.run(0.5)
    assert found
    assert pair.of(0, StreamRouted)[-1].remote == "prflx"
    assert heard(pair, 0) > 1000
    assert heard(pair, 1) > 1000


def test_who_is_without_ice_now_is_not_asked_whether_it_wants_our_packets() -> None:
    pair = with_ice()
    pair.run(0.5)
    pair.configure(0, ice=None, remote=("10.0.0.2", 4000))
    pair.do(1, CloseStream("c"))
    pair.do(1, OpenStream("c", 4000, "another"))
    pair.configure(1)
    pair.run(40.0)
    assert not pair.of(0, StreamFailed)
    assert heard(pair, 0) > 1000


class Relayed:
    """A route over a relay, by one server for each component; streams to it are lists of what was sent."""

    def __init__(
        self, transport: Literal["udp", "tcp"], stun: Address | None = None, name: str = "", password: str = ""
    ) -> None:
        self.now = 0.0
        self.servers = {RTP: ToyServer(), RTCP: ToyServer()}
        self.reports: list[MediaReport] = []
        self.links: list[Stream] = []
        self.answers: list[tuple[int, bytes]] = []
        self.heard: list[tuple[int, bytes, Address]] = []
        self.ways = 0
        self.asked: set[Address] = set()
        request = GatherCandidates("c", (), stun, TurnServer(SERVER, "user", "secret", transport), name, password)
        self.route = Route(
            request, 4000, ("10.0.0.1",), SeededIds(), 0.0, send=self.send, on_data=self.hear, on_way=self.way,
            report=self.reports.append, link=self.link,
        )  # fmt: skip

    def send(self, component: int, data: bytes, address: Address) -> None:
        self.asked.add(address)
        if address == SERVER and (answer := self.servers[component].take(data)) is not None:
            self.answers.append((component, answer))

    def hear(self, component: int, data: bytes, origin: Address, _now: float) -> None:
        self.heard.append((component, data, origin))

    def way(self, _now: float) -> None:
        self.ways += 1

    def come(self, data: bytes, peer: Address) -> None:
        """Have the relay bring something from somebody."""
        carried = ((XOR_PEER_ADDRESS, mapped_value(*peer, b"d" * 12)), (DATA_ATTRIBUTE, data))
        self.route.take(RTP, encode_stun(StunMessage(DATA, b"d" * 12, carried)), SERVER, self.now)

    def link(self, _server: TurnServer) -> Stream:
        self.links.append(Stream(self.servers[RTP if len(self.links) % 2 == 0 else RTCP]))
        return self.links[-1]

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 0.02
            answers, self.answers = self.answers, []
            for component, answer in answers:
                self.route.take(component, answer, SERVER, self.now)
            self.route.send(RTP, b"\x80" + bytes(20), FAR_END)
            self.route.timeout(self.now)

    def talk(self, *, relayed: bool = True) -> None:
        config = structs.replace(CONFIG, remote=FAR_END, remote_rtcp=(FAR_END[0], FAR_END[1] + 1), relayed=relayed)
        self.route.configure(config, self.now)

    def restart(self) -> None:
        for server in self.servers.values():
            server.restart()
        for link in self.links:
            link.problem = "the server has closed the connection"

    @property
    def found(self) -> list[list[tuple[str, int]]]:
        """Return the relayed addresses of each report."""
        told = [report for report in self.reports if isinstance(report, CandidatesGathered)]
        return [[(c.address, c.port) for c in report.candidates if c.kind == "relay"] for report in told]


class Stream:
    """A stream to a server, as the route sees it."""

    def __init__(self, server: ToyServer) -> None:
        self.problem = ""
        self.closed = False
        self._server = server
        self.come: list[bytes] = []

    def send(self, data: bytes) -> None:
        if not self.problem and (answer := self._server.take(data)) is not None:
            self.come.append(answer)

    def receive(self) -> list[bytes]:
        come, self.come = self.come, []
        return come

    def close(self) -> None:
        self.closed = True
        self.problem = self.problem or "closed"


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_relay_that_was_started_again_is_asked_for_other_addresses_and_told_of_once(transport: Literal["udp", "tcp"]) -> None:
    world = Relayed(transport)
    world.run(0.2)
    assert world.found == [[("5.5.5.5", 60_000)] * 2]
    world.talk()
    world.run(1.0)
    world.restart()
    world.run(20.0)
    assert world.found[1:] == [[("5.5.5.5", 60_001)] * 2]
    assert world.servers[RTP].relayed[-1][1] == FAR_END
    assert "2.2.2.2" in world.servers[RTCP].permitted


@pytest.mark.parametrize("refuse", [0, 486])
def test_a_relay_that_refuses_to_go_on_is_asked_anew_once(refuse: int) -> None:
    world = Relayed("udp")
    world.run(0.2)
    world.talk()
    world.run(1.0)
    world.restart()
    for server in world.servers.values():
        server.stale, server.refuse = 401, refuse  # as if the password were wrong: it does not know the nonce
    world.run(20.0)
    assert world.found[1:] == [[] if refuse else [("5.5.5.5", 60_001)] * 2]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_relay_that_was_started_again_does_not_wait_for_a_server_that_is_none(transport: Literal["udp", "tcp"]) -> None:
    world = Relayed(transport, stun=("9.9.9.7", 3478))
    world.run(3.0)
    world.talk()
    world.run(1.0)
    world.restart()
    world.run(12.0)
    assert world.found[1:] == [[("5.5.5.5", 60_001)] * 2]


def test_what_a_stream_to_the_relay_carries_can_be_seen() -> None:
    world = Relayed("tcp")
    world.run(0.2)
    world.talk()
    world.run(0.2)
    seen: list[tuple[bool, int, Address, bytes]] = []
    world.route.watch_streams(lambda *message: seen.append(message))
    world.run(0.1)
    sound = b"\x40\0\0\x15\x80" + bytes(20) + bytes(3)
    assert (True, RTP, SERVER, sound) in seen
    world.links[RTCP - 1].come.append(sound)
    world.run(0.1)
    assert (False, RTCP, SERVER, sound) in seen
    world.route.watch_streams(None)
    count = len(seen)
    world.run(0.1)
    assert len(seen) == count


def test_a_check_that_comes_by_the_relay_is_answered_by_the_relay() -> None:
    world = Relayed("udp", None, NAMES[0], PASSWORDS[0])
    world.run(0.2)
    theirs = (Candidate("h", 1, candidate_priority("host", 1), *FAR_END, "host"),)
    ice = IcePeer(False, NAMES[0], PASSWORDS[0], NAMES[1], PASSWORDS[1], theirs)
    world.route.configure(structs.replace(CONFIG, remote=FAR_END, ice=ice, rtcp_mux=True), world.now)
    world.run(0.5)
    check = StunMessage(BINDING_REQUEST, b"t" * 12, ((USERNAME, f"{NAMES[0]}:{NAMES[1]}".encode()),))
    world.come(encode_signed(check, PASSWORDS[0].encode()), FAR_END)
    answers = [parse_stun(data) for data, to in world.servers[RTP].relayed if to == FAR_END and data[0] in STUN_FIRST]
    assert (BINDING_SUCCESS, b"t" * 12) in [(answer.kind, answer.transaction) for answer in answers]


def test_sound_takes_the_way_over_the_relay_where_ice_finds_no_other() -> None:
    world = Relayed("udp", None, NAMES[0], PASSWORDS[0])
    world.run(0.2)
    theirs = (Candidate("h", 1, candidate_priority("host", 1), *FAR_END, "host"),)
    ice = IcePeer(True, NAMES[0], PASSWORDS[0], NAMES[1], PASSWORDS[1], theirs)
    # What SDP calls the far end is not where it is found: media know it by that name all the same.
    world.route.configure(structs.replace(CONFIG, remote=STRANGER, ice=ice, rtcp_mux=True), world.now)
    relay, answered = world.servers[RTP], 0
    for _ in range(50):
        world.run(0.02)
        for data, to in relay.relayed[answered:]:
            if data[0] in STUN_FIRST and (asked := parse_stun(data)).kind == BINDING_REQUEST:
                seen = ((XOR_MAPPED_ADDRESS, mapped_value("5.5.5.5", relay.port, asked.transaction)),)
                world.come(encode_signed(StunMessage(BINDING_SUCCESS, asked.transaction, seen), PASSWORDS[1].encode()), to)
        answered = len(relay.relayed)
    assert [each for each in world.reports if isinstance(each, StreamRouted)] == [
        StreamRouted("c", "relay", "host", f"{FAR_END[0]}:{FAR_END[1]}")]
    assert (world.ways, world.route.open, world.route.searches) == (1, True, False)
    assert FAR_END in relay.channels.values(), "RFC 8656 12: 4 bytes of overhead instead of 36"
    assert sum(data[0] == 0x80 and to == FAR_END for data, to in relay.relayed) > 10
    world.come(b"\x80sound", FAR_END)
    world.come(b"\x80noise", ("6.6.6.6", 666))
    world.route.take(RTP, b"\x80noise", FAR_END, world.now)
    assert world.heard == [(RTP, b"\x80sound", STRANGER)], "what came otherwise is nobody's"


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_relays_are_given_back_at_the_end(transport: Literal["udp", "tcp"]) -> None:
    world = Relayed(transport)
    world.run(0.2)
    world.talk()
    world.run(0.2)
    assert [server.allocated for server in world.servers.values()] == [True, True]
    world.route.close(world.now)
    assert [server.allocated for server in world.servers.values()] == [False, False]
    assert all(link.closed for link in world.links)


def test_a_relay_that_is_lost_and_not_needed_is_no_matter() -> None:
    world = Relayed("tcp")
    world.run(0.2)
    world.talk(relayed=False)
    world.restart()
    world.run(20.0)
    assert len(world.found) == 1


def test_a_stream_to_a_relay_is_made_again_until_it_stands() -> None:
    world = Relayed("tcp")
    world.run(0.2)
    world.talk()
    for _ in range(8):
        world.restart()  # whatever stream stands by now breaks at once
        world.run(2.0)
        assert len(world.found) == 1 or world.found[-1]
    world.run(5.0)
    assert world.found[-1] == [("5.5.5.5", world.servers[RTP].port)] * 2
    assert [link.closed for link in world.links[-2:]] == [False, False]
    assert all(link.closed for link in world.links[:-2])


def test_addresses_are_found_out_anew_when_that_is_asked_for() -> None:
    world = Relayed("udp")
    world.run(0.2)
    again = GatherCandidates("c", (), None, TurnServer(SERVER, "user", "secret"), "", "")
    world.route.again(again, ("10.0.0.9",), world.now)
    world.run(0.2)
    assert world.found == [[("5.5.5.5", 60_000)] * 2] * 2, "the allocations are still there"
    told = [report for report in world.reports if isinstance(report, CandidatesGathered)]
    assert [c.address for c in told[1].candidates if c.kind == "host"] == ["10.0.0.9"] * 2


def test_another_relay_is_asked_once_that_is_what_the_settings_say() -> None:
    world, other = Relayed("udp"), ("9.9.9.8", 3478)
    world.run(0.2)
    world.route.again(GatherCandidates("c", (), None, TurnServer(other, "user", "secret"), "", ""), ("10.0.0.1",), world.now)
    world.run(0.2)
    assert other in world.asked
    assert not any(server.allocated for server in world.servers.values()), "the former one has its ports back"


@pytest.mark.lengthy
@given(st.lists(st.tuples(st.sampled_from([4000, 4001]), st.binary(max_size=200)), max_size=40))
def test_rubbish_is_counted_and_nothing_else(rubbish: list[tuple[int, bytes]]) -> None:
    pair = with_ice()
    for port, packet in rubbish:
        pair.inject(0, port, packet, STRANGER)
    pair.run(0.5)
    assert len(pair.of(0, StreamRouted)) == 1
    assert pair.of(0, StreamFailed) == []
