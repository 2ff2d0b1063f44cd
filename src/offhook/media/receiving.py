"""What comes from the far end of one call: which packets are believed, how many there were, and the frame to hear now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from offhook.ids import Ids
from offhook.media import pcm, rtp
from offhook.media.address import Address
from offhook.media.codecs import Codec
from offhook.media.conceal import Concealer, Concealment, OwnConcealer
from offhook.media.dtmf import EventReceiver
from offhook.media.items import Gap, Item, Linear
from offhook.media.jitter import JitterBuffer
from offhook.media.latch import Latch
from offhook.media.pauses import Pause
from offhook.media.sources import FRAMES_A_SECOND, SAMPLE_RATE, SILENCE, frame_bytes

SELDOM_S: Final = 0.5  # two changes of codec within this are not a phone's
RETURN_S: Final = 0.1  # the source that was left is believed again once the one that came after it has been silent for so long
REPEATS: Final = 5  # numbers that come again one after the other, with nothing new between,
REPEATS_S: Final = 0.06  # and as slowly as one speaks: who sends them counts anew. A network doubles packets all at once
DTLS_FIRST: Final = range(20, 64)  # RFC 7983 7: the first octet of a handshake's datagrams
_unpack: Final = rtp.HEADER.unpack_from
_unpack_words: Final = rtp.WORDS.unpack_from
_PLAIN_OCTET: Final = bytes((rtp.PLAIN,))
_NOTHING: Final = -1


class Receiver:
    """The receiving side of a stream. `receive` never raises, whatever comes.

    Nearly every packet is the one that was expected: same source, one further in number, one frame further in time. What it
    will look like is kept as two numbers, so it needs no more than two comparisons and goes straight to the jitter buffer;
    the counts are brought up to date when a packet is not as expected, or when somebody asks. Where payloads vary in length
    (`_measure`), the length of the packet is looked at besides.

    `far` has the rate of the codec that the far end uses at the moment (`rate`).
    """

    __slots__ = (
        "_again", "_candidate", "_changed", "_codecs", "_conceal", "_configured", "_counted", "_decoded", "_decoders",
        "_event_clocks", "_frame", "_head", "_ids", "_item", "_kind", "_latch", "_left", "_length", "_lost_before", "_measure",
        "_next_frame", "_on_control", "_on_event", "_on_flow", "_on_peer", "_past_expected", "_past_lost", "_pause",
        "_put_next", "_queue", "_reception", "_resume", "_size", "_speaks_again", "_tail", "buffer", "bytes", "events",
        "flowing", "foreign", "garbage", "heard", "heard_from", "hears", "losses", "packets", "ssrc",
    )  # fmt: skip

    def __init__(
        self,
        on_peer: Callable[[Address], object],
        on_flow: Callable[[], object],
        on_event: Callable[[list[tuple[str, int]]], object],
        on_control: Callable[[bytes, Address, float], object],
        ids: Ids | None = None,
    ) -> None:
        self._on_peer = on_peer  # this is where the far end sends from
        self._on_flow = on_flow  # packets come, for the first time or again
        self._on_event = on_event  # these keys were pressed
        self._on_control = on_control  # RTCP came on the RTP port
        self._ids = ids  # where the chance in comfort noise comes from; None: there is silence in its place
        self._pause: Pause | None = None  # the far end says nothing, and this is how that sounds
        self._speaks_again = False
        self._configured = False
        self._codecs: dict[int, Codec] = {}
        self._decoders: dict[int, Callable[[bytes], bytes]] = {}
        self._kind = _NOTHING  # the payload type of the latest audio
        self._changed = -SELDOM_S  # when that was another one
        self._event_clocks: dict[int, int] = {}  # payload types of keys
        self.hears = self.flowing = False
        self.heard = 0.0  # when the latest good packet came
        self._latch = Latch()
        self.heard_from: Address | None = None  # the latch's, at hand for every packet
        self.ssrc = -1
        self._candidate = (-1, -1)
        self._left = -1  # the source before this one
        self._again = (-1, -1, 0, 0.0)  # the next of the numbers that come again, the newest then, how many, and since when
        self._reception = rtp.Reception(0)
        self.losses = self._reception.losses
        self._past_expected = self._past_lost = self._lost_before = 0
        self.packets = self.bytes = self.garbage = self.foreign = 0
        self.events = EventReceiver()
        self.buffer = JitterBuffer(self.decode, recover=self._recovered, between=self._between, astray=self._astray)
        self._put_next = self.buffer.put_next
        self._queue = self.buffer.queue
        self._conceal: Concealment = Concealer(SAMPLE_RATE)
        self._resume: Callable[[bytes], object] | None = None
        self._item: Item | Gap | None = None  # what was pulled last
        self._decoded: Item | Gap | None = None  # what `_frame` was made of
        self._frame = SILENCE
        # The two words that the next header will consist of, and the first of those that were not yet counted.
        self._head = self._counted = _NOTHING
        self._tail = 0
        self._next_frame = 0  # what is added to the second word: its upper half is the timestamp
        self._length = _NOTHING  # of the next packet, where it is known
        self._size = 0  # of its payload then
        self._measure: Callable[[bytes], int] | None = None  # where it is not: says how long a payload is by the clock

    # --- commands --------------------------------------------------------------------------------------------------

    def configure(self, codecs: Mapping[int, Codec], events: Mapping[int, int]) -> None:
        """Understand these payload types from now on: those of codecs, and those of keys with their clocks.

        A codec that was here before (`known`) goes on where it is.
        """
        self.expect_nothing()
        self.buffer.decode_all()
        if isinstance(self._item, bytes):
            self._item = self._decoded = Linear(self.far)
        if self._codecs.get(self._kind) is not codecs.get(self._kind):
            self._kind = _NOTHING
        self._codecs = dict(codecs)
        self._decoders = {kind: codec.decode for kind, codec in codecs.items()}
        self._event_clocks = dict(events)
        self._configured = True

    def known(self, kind: int, name: str) -> Codec | None:
        """Return the codec that is in use for this payload type, None if there is none or it is another."""
        codec = self._codecs.get(kind)
        return codec if codec is not None and codec.name == name else None

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
        self._measure = None

    # --- packets in ------------------------------------------------------------------------------------------------

    def receive(self, packet: bytes, source: Address, now: float) -> None:
        """Take a datagram from the RTP port."""
        if len(packet) == self._length:
            head, tail = _unpack_words(packet)
            heard_from = self.heard_from
            if head == self._head and tail == self._tail and (source is heard_from or source == heard_from):
                self._head = head + 1
                self._tail = tail + self._next_frame
                self.heard = now
                put_next = self._put_next
                put_next(packet, now)
                return
        self._receive_other(packet, source, now)

    def _receive_other(self, packet: bytes, source: Address, now: float) -> None:
        """Whatever is not the packet that was expected."""
        if self._measure is not None and self._follows(packet, source, now):
            return
        span = rtp.payload_span(packet)
        if span is None or not self._configured:
            self.garbage += 1
            return
        _, second, sequence, timestamp, ssrc = _unpack(packet)
        kind = second & 0x7F
        if 200 <= second <= 207:
            self._on_control(packet, source, now)  # RFC 5761 4: what multiplexed RTCP looks like
        elif kind not in self._decoders and kind not in self._event_clocks and kind != rtp.COMFORT_NOISE:
            self.garbage += 1
        elif self._believe(ssrc, sequence, source, now):
            self.packets += 1
            self.bytes += span[1] - span[0]
            self._head = self._counted = _NOTHING
            self._measure = None
            if kind in self._event_clocks:
                self.events.clock = self._event_clocks[kind]
                self._on_event(self.events.receive(timestamp, packet[span[0] : span[1]], now * 1000.0))
            elif kind in self._decoders and self.hears and span[0] < span[1]:
                self._speaks_again = True
                self._put(packet, span, now)
            elif kind == rtp.COMFORT_NOISE and self.hears:
                self._rest(packet[span[0] : span[1]])

    def _rest(self, payload: bytes) -> None:
        """The far end says nothing for a while, against this background."""
        if self._ids is None:
            return
        pause = self._pause
        if pause is None or pause.rate != self.rate:
            pause = Pause(self.rate, self._ids)
        if pause.describe(payload):
            self._pause, self._speaks_again = pause, False
        else:
            self.garbage += 1

    @property
    def pauses(self) -> bool:
        """Return whether the far end has said that it says nothing."""
        return self._pause is not None and not self._speaks_again

    def _follows(self, packet: bytes, source: Address, now: float) -> bool:
        """Take the packet that was expected of a codec whose payloads vary in length, or say that it is another one."""
        if len(packet) <= rtp.HEADER_BYTES or source != self.heard_from:
            return False
        head, tail = _unpack_words(packet)
        if head != self._head or tail != self._tail or not self._is_frame(packet):
            return False
        self._head = head + 1
        self._tail = tail + self._next_frame
        self.heard = now
        self.bytes += len(packet) - rtp.HEADER_BYTES
        self.buffer.put_next(packet, now)
        return True

    def _believe(self, ssrc: int, sequence: int, source: Address, now: float) -> bool:
        """Say whether a packet is from whom we listen to, and a new one."""
        if source != self.heard_from and not self._listens_to(source, ssrc, sequence, now):
            return False
        self._settle()
        if ssrc != self.ssrc and not self._meet(ssrc, sequence, now):
            return False
        self.heard = now
        if not self.flowing:
            self.flowing = True
            self._on_flow()
        arrival = self._reception.note(sequence)
        return not arrival or self._forgive(arrival, sequence, now)

    def _put(self, packet: bytes, span: tuple[int, int], now: float) -> None:
        """Give audio to the jitter buffer, and if all is well, say what the next packet will look like."""
        _, second, sequence, timestamp, ssrc = _unpack(packet)
        kind = second & 0x7F
        if kind != self._kind:
            behind = (self._reception.top - sequence) & 0xFFFF
            if behind and self._kind != _NOTHING:
                self._put_former(packet, span, behind, now)
                return
            self._hear_kind(kind, timestamp, now)
        codec = self._codecs[kind]
        plain = packet[0] == rtp.PLAIN
        if not plain:
            packet = _PLAIN_OCTET + packet[1 : rtp.HEADER_BYTES] + packet[span[0] : span[1]]
        whole = self._is_frame(packet)
        if not whole and not codec.units(packet[rtp.HEADER_BYTES :]):
            self.garbage += 1
            return
        if not whole and codec.remembers:
            self.buffer.decode_all()  # this one is decoded now, and a codec with a memory has to hear them in their order
        late = self.buffer.late
        # Silence was not sent where a talkspurt is marked (RFC 3551 4.1), and where time has gone by but no packet is missing.
        lost, self._lost_before = self._lost_before, self._reception.lost
        begins = bool(second & rtp.MARKER) or self._lost_before <= lost
        fits = self.buffer.put(timestamp, packet if whole else Linear(self.decode(packet)), now, begins=begins)
        if self.buffer.late != late:
            self._reception.discard(sequence)
        newest = sequence == self._reception.top & 0xFFFF and timestamp == self.buffer.newest
        if fits and whole and plain and newest:
            self._size = codec.frame_payload
            self._length = rtp.HEADER_BYTES + self._size if self._size else _NOTHING
            self._measure = None if self._size else codec.units
            self._head = self._counted = (rtp.PLAIN << 24 | kind << 16 | sequence) + 1
            self._tail = (timestamp << 32 | ssrc) + self._next_frame

    def _put_former(self, packet: bytes, span: tuple[int, int], behind: int, now: float) -> None:
        """Give the jitter buffer a packet that those of another codec have overtaken, so many packets `behind` the newest."""
        codec, buffer = self._codecs[packet[1] & 0x7F], self.buffer
        payload = packet[span[0] : span[1]]
        if not codec.units(payload):
            self.garbage += 1
            return
        audio = codec.decode(payload)
        if codec.rate != buffer.rate:
            audio, _ = pcm.change_rate(audio, codec.rate, buffer.rate, None)
        size, late = frame_bytes(buffer.rate), buffer.late
        audio = audio[:2] * ((size - len(audio)) // 2) + audio[:size]
        buffer.put((buffer.newest - behind * buffer.clock // FRAMES_A_SECOND) & 0xFFFFFFFF, Linear(audio), now)
        if buffer.late != late:
            self._reception.discard((self._reception.top - behind) & 0xFFFF)

    def _hear_kind(self, kind: int, timestamp: int, now: float) -> None:
        """The far end uses another codec from this packet on.

        What is in the buffer is heard before it; unless the codec changes all the time, as only nonsense does.
        """
        seldom, self._changed = now - self._changed >= SELDOM_S, now
        codec = self._codecs[kind]
        self._kind = kind
        self._next_frame = codec.clock_rate // FRAMES_A_SECOND << 32
        self.events.timeline = codec.clock_rate
        if self._item is not None:
            self._item = self._decoded = Linear(self.far)
        if (codec.clock_rate, codec.rate) != (self.buffer.clock, self.buffer.rate):
            self._item = self._decoded = self._pause = None
            self._frame = SILENCE
        self.buffer.decode_all()
        if seldom:
            missing = max(0, self._reception.lost - self._lost_before)
            self.buffer.retune(codec.clock_rate, codec.rate, timestamp, missing)
        else:
            self.buffer.tune(codec.clock_rate, codec.rate)
        self.buffer.bridges = codec.conceal is None
        self.buffer.forgets = not codec.remembers
        self._resume = codec.resume
        self._conceal = OwnConcealer(codec.conceal) if codec.conceal is not None else Concealer(codec.rate)

    def _is_frame(self, packet: bytes) -> bool:
        """Say whether a packet of the present codec is just one frame."""
        codec = self._codecs[self._kind]
        if codec.frame_payload:
            return len(packet) == rtp.HEADER_BYTES + codec.frame_payload
        return codec.units(packet[rtp.HEADER_BYTES :]) * FRAMES_A_SECOND == codec.clock_rate

    def _settle(self) -> None:
        """Count the packets that came as expected since the last time."""
        run = self._head - self._counted
        if run:
            self._counted = self._head
            self._reception.top += run
            self.packets += run
            self.bytes += run * self._size

    def _forgive(self, arrival: rtp.Arrival, sequence: int, now: float) -> bool:
        """Count a sequence number that is not new, and say whether the packet is good nevertheless."""
        if arrival is rtp.Arrival.DUPLICATE and self._counts_anew(sequence, now):
            self._reception.restart(sequence)
            arrival = rtp.Arrival.RESTART
        if arrival is rtp.Arrival.RESTART:
            self.events.restart()
            return True
        if arrival is rtp.Arrival.DUPLICATE:
            self.buffer.duplicate += 1
        else:
            self.garbage += 1
        return False

    def _counts_anew(self, sequence: int, now: float) -> bool:
        """Whether the far end has set its numbers back, to some that were here within the last two seconds."""
        top = self._reception.top
        following, newest, count, since = self._again
        if (sequence, top) != (following, newest):
            count, since = 0, now
        self._again = (sequence + 1) & 0xFFFF, top, count + 1, since
        return count + 1 >= REPEATS and now - since >= REPEATS_S

    def expect(self, source: Address, trusting: bool, now: float) -> None:
        """Be told where the far end says it is; `trusting`: what comes is known to be the far end's, wherever from."""
        self._latch.expect(source, trusting, now)
        self.heard_from = self._latch.heard_from

    def _listens_to(self, source: Address, ssrc: int, sequence: int, now: float) -> bool:
        """Say whether to listen to a packet that comes from somewhere else than those before."""
        latch = self._latch
        if not latch.hears(source, ssrc, sequence, self.heard, now):
            self.foreign += 1
            return False
        if latch.heard_from != self.heard_from:
            self.heard_from = source
            self._on_peer(source)
        return True

    def _meet(self, ssrc: int, sequence: int, now: float) -> bool:
        """Another source speaks: believe it at the second packet in sequence (RFC 3550 A.1), the very first at once.

        Where two speak at the same time, the one that began last is heard, and not both by turns.
        """
        if self.ssrc >= 0:
            if ssrc == self._left and now - self.heard < RETURN_S:
                self.foreign += 1
                return False
            expected, self._candidate = self._candidate, (ssrc, (sequence + 1) & 0xFFFF)
            if expected != (ssrc, sequence):
                self.foreign += 1
                return False
            self._past_expected += self._reception.expected
            self._past_lost += self._reception.lost
            self.buffer.reset()
            self.events.restart()
            self._left = self.ssrc
        self.ssrc = ssrc
        self._lost_before = 0
        self._candidate = (-1, -1)
        self._reception = rtp.Reception(sequence, self.losses)
        return True

    def lose(self) -> None:
        """The source said goodbye: the next one is believed as late as any other."""
        self._candidate = (-1, -1)
        self._left = -1

    # --- the tick --------------------------------------------------------------------------------------------------

    def hear(self, now: float) -> None:
        """Bring `far` up to date: the frame that is to be heard in this tick."""
        queue = self._queue
        if queue:
            self._item = queue.popleft()
        elif (item := self.buffer.pull(now, heard=self._item is self._decoded)) is not None:
            self._item = item
        else:
            self._item = Gap()

    def _filled(self) -> bytes:
        """Return what is heard in place of a frame that did not come."""
        packet = self.buffer.following
        if packet is not None and (found := self._recovered(packet)):
            return self._conceal.good(found)
        if self.buffer.gave_up:
            self._astray(b"")
        found_behind = self.buffer.look_ahead()
        return self._conceal.lost() if found_behind is None else self._conceal.bridge(*found_behind)

    def _astray(self, before: bytes) -> None:
        """A frame is missing, behind what was heard and `before`: have the codec understand what follows it."""
        if self._resume is not None and (heard := self._conceal.ahead(before)):
            self._resume(heard)

    def _resting(self, pause: Pause) -> bytes:
        """Return the far end's background, with what was said before fading into it."""
        last = self._conceal.lost()
        return pause.frame() if last is SILENCE else pcm.add(pause.frame(), last)

    def _between(self, before: bytes, following: bytes) -> bytes:
        return self._conceal.between(before, following)

    def _recovered(self, packet: bytes) -> bytes:
        """Return the lost frame if the packet after it holds a copy, b"" if not."""
        codec = self._codecs.get(self._kind)
        if codec is None or codec.recover is None or packet[1] & 0x7F != self._kind:
            return b""
        return codec.recover(packet[rtp.HEADER_BYTES :])

    @property
    def rate(self) -> int:
        """Return the rate of `far` (Hz)."""
        return self.buffer.rate

    @property
    def far(self) -> bytes:
        """Return what is to be heard now, `SILENCE` itself where there is nothing. Decoded only when somebody asks."""
        item = self._item
        if item is not self._decoded:
            self._decoded = item
            if self.buffer.broke and not isinstance(item, Gap):
                self.buffer.broke = False
                self._conceal.turn()
            if isinstance(item, bytes):
                self._frame = self._conceal.good(self.decode(item))
            elif isinstance(item, Linear):
                whole = len(item.pcm) == frame_bytes(self.rate)
                self._frame = self._conceal.good(item.pcm) if whole else self._conceal.partial(item.pcm)
            else:
                self._frame = self._filled() if self._pause is None else self._resting(self._pause)
                return self._frame
            if self._pause is not None and self._speaks_again:
                self._pause = None
        return self._frame

    @property
    def packet(self) -> bytes | None:
        """Return the packet that is to be heard now as it came, if it is just one frame."""
        return self._item if isinstance(self._item, bytes) else None

    def decode(self, packet: bytes) -> bytes:
        """Return the PCM of a packet with a plain header."""
        return self._decoders[packet[1] & 0x7F](packet[rtp.HEADER_BYTES :])

    @property
    def codec_name(self) -> str:
        """Return the name of the codec that the far end used last, "" before the first packet."""
        codec = self._codecs.get(self._kind)
        return codec.name if codec is not None else ""

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
