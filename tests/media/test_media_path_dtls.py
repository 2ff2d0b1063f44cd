"""Streams that agree on keys by DTLS with the real library: RTCP with keys of its own, and far ends that are elsewhere."""

from __future__ import annotations

import pytest
from msgspec import structs
from virtual_media import Pair, Weather

from offhook.io.certificate import fingerprint_of, make_certificate
from offhook.io.dtls import DtlsHandshake
from offhook.media.messages import (
    ConfigureStream,
    DigitReceived,
    DigitsDone,
    DigitSent,
    DtlsPeer,
    MediaCommand,
    PlaybackDone,
    PlaybackStarted,
    SendDigits,
    StartPlayback,
    StreamConfig,
    StreamFailed,
    StreamSecured,
    StreamStats,
)
from offhook.media.wiring import MOST_EARLY

CERTIFICATES = make_certificate(), make_certificate()
ROLES = ("client", "server")
DTLS = range(20, 64)


def peer(side: int, role: str) -> DtlsPeer:
    """Return whom this side expects, and in which role itself."""
    name, text = fingerprint_of(CERTIFICATES[1 - side]).split()
    return DtlsPeer(role, ((name, text.replace(":", "")),), CERTIFICATES[side])  # type: ignore[arg-type]


class Shaken(Pair):
    """Two streams that agree on keys; side 0 is the client unless it is said otherwise."""

    def __init__(self, *, mux: bool, client: int = 0, weather: Weather | None = None, **config: object) -> None:
        self.told: dict[int, StreamConfig] = {}
        super().__init__(weather)
        self.sent.clear()
        for side in (0, 1):
            self.studios[side].handshakes = DtlsHandshake
            host = f"10.0.0.{2 - side}"
            self.configure(
                side, security=peer(side, ROLES[side != client]), rtcp_mux=mux,
                remote_rtcp=(host, 4000 if mux else 4001), **config,
            )  # fmt: skip

    def do(self, side: int, command: MediaCommand) -> None:
        if isinstance(command, ConfigureStream):
            self.told[side] = command.config
        super().do(side, command)

    def statistics(self, side: int) -> StreamStats:
        return self.engines[side].streams["c"].statistics()

    def shaking(self, side: int, port: int) -> list[bytes]:
        """Return the datagrams of handshakes that a side has sent to a port."""
        return [packet for who, target, packet in self.sent if (who, target) == (side, port) and packet[0] in DTLS]


def test_digits_and_what_is_played_wait_for_the_keys() -> None:
    pair = Shaken(mux=True, weather=Weather(delay=0.3))  # the handshake takes a second
    pair.do(0, SendDigits("c", "keys", "12"))
    pair.do(0, StartPlayback("c", "greeting", "tone", frequencies=(600.0,), duration_ms=200))
    pair.run(0.9)
    assert not pair.of(0, StreamSecured)
    assert not pair.of(0, DigitSent) + pair.of(0, PlaybackStarted)
    assert not any(packet[0] not in DTLS for who, _, packet in pair.sent if who == 0)
    pair.run(3.0)
    assert pair.of(0, StreamSecured)
    assert [report.digit for report in pair.of(1, DigitReceived)] == ["1", "2"]
    assert [done.error for done in pair.of(0, DigitsDone)] == [""]
    assert [done.played_ms for done in pair.of(0, PlaybackDone)] == [200]


def test_digits_that_wait_for_keys_in_vain_are_not_said_to_be_sent() -> None:
    pair = Shaken(mux=True, weather=Weather(loss=1.0))
    pair.do(0, SendDigits("c", "keys", "12"))
    pair.run(2.0)
    pair.configure(0, direction="recvonly")
    assert [done.error for done in pair.of(0, DigitsDone)] == ["on hold"]
    assert not pair.of(0, DigitSent)


@pytest.mark.parametrize("client", [0, 1])
@pytest.mark.parametrize("weather", [Weather(), Weather(double=0.5)])
def test_rtcp_on_a_port_of_its_own_has_a_handshake_of_its_own(client: int, weather: Weather) -> None:
    pair = Shaken(mux=False, client=client, weather=weather)
    pair.run(12.0)
    for side in (0, 1):
        assert len(pair.of(side, StreamSecured)) == 1
        assert pair.of(side, StreamFailed) == []
        assert pair.statistics(side).rtt_ms is not None  # reports came through, and were read
        assert pair.shaking(side, 4001)
    reports = [packet for _, port, packet in pair.sent if port == 4001 and packet[0] not in DTLS]
    assert len(reports) > 4
    assert not any(b"side0@test" in packet or b"side1@test" in packet for packet in reports)
    # Two handshakes make two sets of keys: what is sealed for one port opens nothing at the other.
    before = pair.engines[0].streams["c"].garbage
    latest = next(packet for who, port, packet in reversed(pair.sent) if (who, port) == (1, 4001) and packet[0] not in DTLS)
    pair.inject(0, 4000, latest, ("10.0.0.2", 4000))
    assert pair.engines[0].streams["c"].garbage == before + 1


def test_rtcp_on_the_port_of_rtp_needs_one_handshake_only() -> None:
    pair = Shaken(mux=True)
    pair.run(12.0)
    assert pair.shaking(0, 4001) == pair.shaking(1, 4001) == []
    assert pair.statistics(0).rtt_ms is not None


@pytest.mark.lengthy
@pytest.mark.plain
def test_a_far_end_that_agrees_on_keys_for_rtp_alone_is_heard_all_the_same() -> None:
    pair = Shaken(mux=False)
    real = pair.engines[1].receive

    def deaf(port: int, packet: bytes, source: tuple[str, int], now: float) -> None:
        if port == 4000:
            real(port, packet, source, now)

    pair.engines[1].receive = deaf  # type: ignore[method-assign]
    pair.run(30.0)
    for side in (0, 1):
        assert pair.of(side, StreamFailed) == []
        assert pair.statistics(side).packets_received > 1000
        assert pair.statistics(side).rtt_ms is None
    assert all(packet[0] in DTLS for _, port, packet in pair.sent if port == 4001)


@pytest.mark.parametrize("client", [0, 1])
@pytest.mark.parametrize("mux", [False, True])
def test_a_far_end_that_is_not_where_it_says_is_found_by_its_handshake(client: int, mux: bool) -> None:
    """Side 0 was told another address of side 1, at which nobody answers; that side 1's packets come from 10.0.0.2 shows."""
    pair = Elsewhere(mux=mux, client=client)
    pair.run(12.0)
    for side in (0, 1):
        assert len(pair.of(side, StreamSecured)) == 1
        assert pair.statistics(side).packets_received > 400
        assert pair.statistics(side).rtt_ms is not None
    assert pair.engines[0].streams["c"].peer == ("10.0.0.2", 4000)


@pytest.mark.parametrize("mux", [False, True])
def test_a_handshake_that_overtakes_the_answer_waits_for_it(mux: bool) -> None:
    """Side 1 begins at once; side 0 hears of its answer later, and OpenSSL repeats the first flight after a second."""
    pair = Late(mux=mux, client=1)
    strange = b"\x16\xfe\xfd" + bytes(24)
    pair.inject(0, 4000, b"no handshake", ("10.9.9.9", 1))
    pair.run(0.3)
    assert pair.of(1, StreamSecured) == []
    for number in range(20):
        pair.inject(0, 4000 + number % 2, strange, ("10.9.9.9", number))
    pair.answer()
    pair.run(0.3)
    for side in (0, 1):
        assert len(pair.of(side, StreamSecured)) == 1
    stream = pair.engines[0].streams["c"]
    assert stream.garbage + stream.foreign >= 21 - MOST_EARLY
    pair.run(12.0)
    assert pair.statistics(0).rtt_ms is not None


@pytest.mark.parametrize("client", [0, 1])
def test_sound_goes_where_the_keys_came_from_before_any_comes_back(client: int) -> None:
    """A far end behind a NAT that waits for our sound before it sends its own would wait for ever."""
    pair = Elsewhere(mux=True, client=client)
    pair.do(1, ConfigureStream("c", structs.replace(pair.told[1], direction="recvonly")))
    pair.run(2.0)
    assert pair.statistics(0).packets_received == 0
    assert pair.engines[0].streams["c"].peer == ("10.0.0.2", 4000)
    assert pair.statistics(1).packets_received > 50


@pytest.mark.lengthy
@pytest.mark.parametrize("client", [0, 1])
@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.7"])
def test_a_call_is_heard_on_while_it_is_held_the_old_way_or_has_moved(client: int, host: str) -> None:
    pair = Shaken(mux=True, client=client)
    pair.run(2.0)
    agreed, heard = pair.told[0], pair.statistics(0).packets_received
    direction = "recvonly" if host == "0.0.0.0" else "sendrecv"
    moved = structs.replace(agreed, remote=(host, 4000), remote_rtcp=(host, 4000), direction=direction)
    pair.do(0, ConfigureStream("c", moved))
    pair.run(25.0)
    assert pair.statistics(0).packets_received - heard > 1200
    spoken = pair.statistics(1).packets_received
    pair.do(0, ConfigureStream("c", agreed))
    pair.run(25.0)
    assert pair.statistics(1).packets_received - spoken > 1200
    assert pair.of(0, StreamFailed) == pair.of(1, StreamFailed) == []


class Late(Shaken):
    """As Shaken, but what side 0 is told waits until `answer`."""

    waiting: ConfigureStream | None = None

    def do(self, side: int, command: MediaCommand) -> None:
        if side == 0 and isinstance(command, ConfigureStream):
            self.waiting = command
        else:
            super().do(side, command)

    def answer(self) -> None:
        assert self.waiting is not None
        super().do(0, self.waiting)


class Elsewhere(Shaken):
    """As Shaken, but side 0 knows side 1 by 10.0.0.9, from where packets reach it though it answers by 10.0.0.2."""

    def configure(self, side: int, **changes: object) -> None:
        if side == 0:
            port = 4000 if changes.get("rtcp_mux") else 4001
            changes |= {"remote": ("10.0.0.9", 4000), "remote_rtcp": ("10.0.0.9", port)}
        super().configure(side, **changes)

    def _collect(self, side: int) -> None:
        outbox = self.engines[side].outbox
        outbox[:] = [(port, packet, ("10.0.0.2" if host == "10.0.0.9" else host, to)) for port, packet, (host, to) in outbox]
        super()._collect(side)
