"""How a stream is wired to its ports: what comes early, and where RTCP goes."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs
from virtual_media import SeededIds

from offhook.media.address import Address
from offhook.media.handshakes import Handshake
from offhook.media.messages import DtlsPeer, GatherCandidates, SdesKeys, StreamConfig, TurnServer
from offhook.media.route import RelayLink
from offhook.media.sending import Sender
from offhook.media.wiring import MOST_EARLY, Wiring

FAR, FAR_RTCP = ("10.0.0.2", 4000), ("10.0.0.2", 4001)
PLAIN = StreamConfig(remote=FAR, remote_rtcp=FAR_RTCP, codec="PCMU", payload_type=0, receive_types=((0, "PCMU"),))
HANDSHAKE = bytes((22, 254, 253))
HELLO = HANDSHAKE + bytes(10) + b"\x01" + bytes(20)
SOUND = bytes((0x80, 0))


def no_handshake(_: DtlsPeer) -> Handshake:
    raise AssertionError("nobody wants one")


def no_relay(_: TurnServer) -> RelayLink:
    raise AssertionError("there is none")


class Shaking:
    """A handshake that never ends; `taken` is what came."""

    keys: SdesKeys | None = None
    failure = ""

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    def receive(self, datagram: bytes) -> list[bytes]:
        self.taken.append(datagram)
        return []

    def timeout(self) -> list[bytes]:
        return []


class Wired:
    """A wiring, and what came through it."""

    def __init__(self) -> None:
        self.outbox: list[tuple[int, bytes, Address]] = []
        self.heard: list[tuple[str, bytes]] = []
        self.shake: Callable[[DtlsPeer], Handshake] = no_handshake
        sender = Sender(4000, SeededIds(), self.outbox)
        sender.move_to(FAR)
        self.wiring = Wiring(
            "s", 4000, sender, self.outbox, lambda packet, *_: self.heard.append(("rtp", packet)),
            lambda packet, *_: self.heard.append(("rtcp", packet)),
            ids=SeededIds(), report=lambda report: None, handshake=lambda peer: self.shake(peer),
        )  # fmt: skip


def test_handshakes_wait_for_the_answer_and_sound_does_not() -> None:
    wired = Wired()
    wired.wiring.receive(SOUND, FAR, 0.0)
    wired.wiring.receive(HANDSHAKE, FAR, 0.0)
    wired.wiring.receive_control(HANDSHAKE, FAR_RTCP, 0.0)
    assert wired.heard == [("rtp", SOUND)]
    wired.wiring.configure(PLAIN, 0.1)
    wired.wiring.hear_early(0.1)
    assert wired.heard[1:] == [("rtp", HANDSHAKE), ("rtcp", HANDSHAKE)]


def test_handshakes_wait_for_the_answer_also_where_the_way_is_being_searched() -> None:
    wired, shaking = Wired(), Shaking()
    wired.shake = lambda _: shaking
    wired.wiring.gather(GatherCandidates("s", ufrag="abcd", pwd="e" * 22), ("10.0.0.1",), no_relay, 0.0)
    wired.wiring.receive(HELLO, FAR, 0.0)
    wired.wiring.configure(structs.replace(PLAIN, security=DtlsPeer("server", (("sha-256", "AB"),)), rtcp_mux=True), 0.1)
    wired.wiring.hear_early(0.1)
    assert shaking.taken == [HELLO]
    wired.wiring.receive(HELLO, FAR, 0.2)
    assert shaking.taken == [HELLO] * 2


def test_only_some_handshakes_wait() -> None:
    wired = Wired()
    for _ in range(MOST_EARLY + 3):
        wired.wiring.receive(HANDSHAKE, FAR, 0.0)
    assert len(wired.heard) == 3


def test_rtcp_goes_where_the_answer_says_or_where_sound_goes() -> None:
    wired = Wired()
    wired.wiring.send_control(b"early")
    assert wired.outbox == []
    wired.wiring.configure(PLAIN, 0.0)
    wired.wiring.send_control(b"apart")
    wired.wiring.configure(structs.replace(PLAIN, rtcp_mux=True), 0.1)
    wired.wiring.send_control(b"together")
    wired.wiring.configure(structs.replace(PLAIN, remote=("0.0.0.0", 4000)), 0.2)
    wired.wiring.send_control(b"nowhere")
    assert wired.outbox == [(4001, b"apart", FAR_RTCP), (4000, b"together", FAR)]
    assert wired.wiring.straight
    assert wired.wiring.route is None
