"""What comes from the far end of one call: which packets are believed, how many there were, and the frame to hear now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from offhook.media import rtp
from offhook.media.codecs import Codec
from offhook.media.conceal import Concealer
from offhook.media.dtmf import EventReceiver
from offhook.media.jitter import Item, JitterBuffer, Linear
from offhook.media.sources import FRAME_SAMPLES, SILENCE

Address: TypeAlias = tuple[str, int]

RELATCH_S: Final = 1.0  # the peer must be silent so long before packets from elsewhere are believed
PROOF: Final = 3  # packets in sequence from an address that was not agreed on; 60 ms that only a far end behind a NAT loses
_unpack: Final = rtp.HEADER.unpack_from
_unpack_words: Final = rtp.WORDS.unpack_from
_PLAIN_OCTET: Final = bytes((rtp.PLAIN,))
_NEXT_FRAME: Final = FRAME_SAMPLES << 32  # the timestamp is the upper half of the second word
_NOTHING: Final = -1


class Receiver:
    """The receiving side of a stream. `receive` never raises, whatever comes.

    Nearly every packet is the one that was expected: same source, one further in number, one frame further in time. What it
    will look like is kept as two numbers, so it needs no more than two comparisons and goes straight to the jitter buffer;
    the counts are brought up to date when a packet is not as expected, or when somebody asks.
    """

    __slots__ = (
        "_candidate", "_conceal", "_configured", "_counted", "_decoded", "_decoders", "_event_in", "_expected", "_frame",
        "_head", "_item", "_length", "_on_control", "_on_event", "_on_flow", "_on_peer", "_past_expected", "_past_lost",
        "_proof", "_put_next", "_queue", "_reception", "_stranger", "_tail", "_trusting", "_whole", "buffer", "bytes",
        "events", "flowing", "foreign", "garbage", "heard", "heard_from", "hears", "packets", "ssrc",
    )  # fmt: skip

    def __init__(
        self,
        on_peer: Callable[[Address], object],
        on_flow: Callable[[], object],
        on_event: Callable[[list[tuple[str, int]]], object],
        on_control: Callable[[bytes, Address, float], object],
    ) -> None:
        self._on_peer = on_peer  # this is where the far end sends from
        self._on_flow = on_flow  # packets come, for the first time or again
        self._on_event = on_event  # these keys were pressed
        self._on_control = on_control  # RTCP came on the RTP port
        self._configured = False
        self._decoders: dict[int, Callable[[bytes], bytes]] = {}
        self._whole: dict[int, int] = {}  # the length of a packet of one frame
        self._event_in = _NOTHING
        self.hears = self.flowing = False
        self.heard = 0.0  # when the latest good packet came
        self.heard_from: Address | None = None
        self.ssrc = -1
        self._candidate = (-1, -1)
        self._expected: Address = ("", 0)
        self._trusting = False
        self._stranger: tuple[Address, int, int] = (("", 0), -1, -1)
        self._proof = 0
        self._reception = rtp.Reception(0)
        self._past_expected = self._past_lost = 0
        self.packets = self.bytes = self.garbage = self.foreign = 0
        self.events = EventReceiver()
        self.buffer = JitterBuffer(self.decode)
        self._put_next = self.buffer.put_next
        self._queue = self.buffer.queue
        self._conceal = Concealer()
        self._item: Item | None = None  # what was pulled last
        self._decoded: Item | None = None  # what `_frame` was made of
        self._frame = SILENCE
        # The two words that the next header will consist of, and the first of those that were not yet counted.
        self._head = self._counted = _NOTHING
        self._tail = 0
        self._length = _NOTHING

    # --- commands --------------------------------------------------------------------------------------------------

    def configure(self, codecs: Mapping[int, Codec], event_in: int | None) -> None:
        """Understand these payload types from now on."""
        self.expect_nothing()
        self.buffer.decode_all()
        if isinstance(self._item, bytes):
            self._item = self._decoded = Linear(self.far)
        self._decoders = {kind: codec.decode for kind, codec in codecs.items()}
        self._whole = {kind: rtp.HEADER_BYTES + len(codec.encode(SILENCE)) for kind, codec in codecs.items()}
        self._event_in = _NOTHING if event_in is None else event_in
        self._configured = True

    def listen(self, hears: bool) -> None:
        """Play what comes, or only count it."""
        self.hears = hears
        if not hears:
            self.expect_nothing()
            self.buffer.reset()

    def stall(self) -> None:
        """Nothing comes any more: the next packet begins a new flow."""
        self.flowing = False
        self.expect_nothing()

    def expect_nothing(self) -> None:
        """Have the next packet looked at from all sides."""
        self._settle()
        self._head = self._counted = _NOTHING

    # --- packets in ------------------------------------------------------------------------------------------------

    def receive(self, packet: bytes, source: Address, now: float) -> None:
        """Take a datagram from the RTP port."""
        if len(packet) == self._length:
            head, tail = _unpack_words(packet)
            heard_from = self.heard_from
            if head == self._head and tail == self._tail and (source is heard_from or source == heard_from):
                self._head = head + 1
                self._tail = tail + _NEXT_FRAME
                self.heard = now
                put_next = self._put_next
                put_next(packet, now)
                return
        self._receive_other(packet, source, now)

    def _receive_other(self, packet: bytes, source: Address, now: float) -> None:
        """Whatever is not the packet that was expected."""
        span = rtp.payload_span(packet)
        if span is None or not self._configured:
            self.garbage += 1
            return
        _, second, sequence, timestamp, ssrc = _unpack(packet)
        kind = second & 0x7F
        if 200 <= second <= 207:
            self._on_control(packet, source, now)  # RFC 5761 4: what multiplexed RTCP looks like
        elif kind not in self._decoders and kind not in (self._event_in, rtp.COMFORT_NOISE):
            self.garbage += 1
        elif self._believe(ssrc, sequence, source, now):
            self.packets += 1
            self.bytes += span[1] - span[0]
            self._head = self._counted = _NOTHING
            if kind == self._event_in:
                self._on_event(self.events.receive(timestamp, packet[span[0] : span[1]], now * 1000.0))
            elif kind in self._decoders and self.hears and span[0] < span[1]:
                self._put(packet, span, now)

    def _believe(self, ssrc: int, sequence: int, source: Address, now: float) -> bool:
        """Say whether a packet is from whom we listen to, and a new one."""
        if source != self.heard_from and not self._latch(source, ssrc, sequence, now):
            return False
        self._settle()
        if ssrc != self.ssrc and not self._meet(ssrc, sequence):
            return False
        self.heard = now
        if not self.flowing:
            self.flowing = True
            self._on_flow()
        arrival = self._reception.note(sequence)
        return not arrival or self._forgive(arrival)

    def _put(self, packet: bytes, span: tuple[int, int], now: float) -> None:
        """Give audio to the jitter buffer, and if all is well, say what the next packet will look like."""
        _, second, sequence, timestamp, ssrc = _unpack(packet)
        plain = packet[0] == rtp.PLAIN
        if not plain:
            packet = _PLAIN_OCTET + packet[1 : rtp.HEADER_BYTES] + packet[span[0] : span[1]]
        length = len(packet)
        whole = length == self._whole[second & 0x7F]
        fits = self.buffer.put(timestamp, packet if whole else Linear(self.decode(packet)), now)
        newest = sequence == self._reception.top & 0xFFFF and timestamp == self.buffer.newest
        if fits and whole and plain and newest:
            self._length = length
            self._head = self._counted = (rtp.PLAIN << 24 | (second & 0x7F) << 16 | sequence) + 1
            self._tail = (timestamp << 32 | ssrc) + _NEXT_FRAME

    def _settle(self) -> None:
        """Count the packets that came as expected since the last time."""
        run = self._head - self._counted
        if run:
            self._counted = self._head
            self._reception.top += run
            self.packets += run
            self.bytes += run * (self._length - rtp.HEADER_BYTES)

    def _forgive(self, arrival: rtp.Arrival) -> bool:
        """Count a sequence number that is not new, and say whether the packet is good nevertheless."""
        if arrival is rtp.Arrival.RESTART:
            self.events.restart()
            return True
        if arrival is rtp.Arrival.DUPLICATE:
            self.buffer.duplicate += 1
        else:
            self.garbage += 1
        return False

    def expect(self, source: Address, trusting: bool) -> None:
        """Be told where the far end says it is; `trusting`: what comes is known to be the far end's, wherever from."""
        self._expected = source
        self._trusting = trusting

    def _latch(self, source: Address, ssrc: int, sequence: int, now: float) -> bool:
        """Symmetric RTP (RFC 4961), but not for every stranger.

        Who sends from the agreed address is the peer at once. Somebody else (a far end behind a NAT) is after PROOF packets in
        sequence, and only as long as there is no peer, or none that was heard within a second.
        """
        if not self._trusting and source != self._expected:
            busy = self.heard_from is not None and now - self.heard < RELATCH_S
            if busy or not self._proves(source, ssrc, sequence):
                self.foreign += 1
                return False
        self.heard_from = source
        self._on_peer(source)
        return True

    def _proves(self, source: Address, ssrc: int, sequence: int) -> bool:
        """Count the packets in sequence that come from a source nobody has named."""
        stranger = source, ssrc, sequence
        self._proof = self._proof + 1 if stranger == self._stranger else 1
        self._stranger = source, ssrc, (sequence + 1) & 0xFFFF
        return self._proof >= PROOF

    def _meet(self, ssrc: int, sequence: int) -> bool:
        """Another source speaks: believe it at the second packet in sequence (RFC 3550 A.1), the very first at once."""
        if self.ssrc >= 0:
            expected, self._candidate = self._candidate, (ssrc, (sequence + 1) & 0xFFFF)
            if expected != (ssrc, sequence):
                self.foreign += 1
                return False
            self._past_expected += self._reception.expected
            self._past_lost += self._reception.lost
            self.buffer.reset()
            self.events.restart()
        self.ssrc = ssrc
        self._candidate = (-1, -1)
        self._reception = rtp.Reception(sequence)
        return True

    def lose(self) -> None:
        """The source said goodbye: the next one is believed as late as any other."""
        self._candidate = (-1, -1)

    # --- the tick --------------------------------------------------------------------------------------------------

    def hear(self, now: float) -> None:
        """Bring `far` up to date: the frame that is to be heard in this tick."""
        queue = self._queue
        if queue:
            self._item = queue.popleft()
        elif (item := self.buffer.pull(now)) is not None:
            self._item = item
        else:
            self._miss()

    def _miss(self) -> None:
        if self._item is not None:
            self._conceal.good(self.far)
            self._item = self._decoded = None
        self._frame = self._conceal.lost()

    @property
    def far(self) -> bytes:
        """Return what is to be heard now, `SILENCE` itself where there is nothing. Decoded only when somebody asks."""
        item = self._item
        if item is not self._decoded:
            self._decoded = item
            self._frame = self.decode(item) if isinstance(item, bytes) else item.pcm if item is not None else SILENCE
        return self._frame

    @property
    def packet(self) -> bytes | None:
        """Return the packet that is to be heard now as it came, if it is just one frame."""
        return self._item if isinstance(self._item, bytes) else None

    def decode(self, packet: bytes) -> bytes:
        """Return the PCM of a packet with a plain header."""
        return self._decoders[packet[1] & 0x7F](packet[rtp.HEADER_BYTES :])

    # --- figures ---------------------------------------------------------------------------------------------------

    @property
    def reception(self) -> rtp.Reception:
        """Return the count of the present source's packets, up to date."""
        self._settle()
        return self._reception

    def totals(self) -> tuple[int, int]:
        """Return how many packets were expected and how many were lost, of all sources. Brings `packets` up to date."""
        expected, lost = self._past_expected, self._past_lost
        if self.ssrc >= 0:
            expected, lost = expected + self.reception.expected, lost + self.reception.lost
        return expected, lost
