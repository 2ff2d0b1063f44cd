"""What goes to the far end of one call: RTP packets with their numbers, of audio and of telephone events. RFC 3550 5.1."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from offhook.ids import Ids
from offhook.media import rtp
from offhook.media.address import Address
from offhook.media.codecs import Codec, codec
from offhook.media.sources import FRAMES_A_SECOND, silence, solid

Transmit: TypeAlias = Callable[[bytes], object]


class Outbox(Protocol):
    """Where packets go that are to be sent: a list, or what works on them first (`media.path`)."""

    def append(self, item: tuple[int, bytes, Address], /) -> object:
        """Take local port, packet, destination."""
        ...



_pack: Final = rtp.HEADER.pack
_PLAIN: Final = rtp.PLAIN


def _packer(size: int) -> Callable[[int, int, int, int, int, bytes], bytes]:
    """Return the function that makes packets of header and payload of this many bytes."""
    return struct.Struct(f"{rtp.HEADER.format}{size}s").pack


class Sender:
    """The sending side of a stream. Each tick is one of `say`, `speak`, `press` and `skip`: the timestamp keeps time.

    Packets go to the outbox; where the host has a shorter way to the present peer (`connect`), plain audio takes that. How many
    there were is told by their numbers; only what has an unusual size is counted.
    """

    __slots__ = (
        "_bytes", "_counted", "_outbox", "_pack", "_packets", "_pending", "_second", "_sequence", "_size", "_step",
        "_timestamp_event", "_transmit", "codec", "payload_type", "peer", "per_packet", "plain", "port", "silence", "ssrc",
        "timestamp",
    )  # fmt: skip

    def __init__(self, port: int, ids: Ids, outbox: Outbox) -> None:
        self.port = port
        self.peer: Address = ("", 0)
        self._outbox = outbox
        self._transmit: Transmit = self._post
        # RFC 3550 5.1: sequence number, timestamp and SSRC start at random values.
        self._sequence = self._counted = ids.integer(16)
        self.timestamp = ids.integer(32)
        self.ssrc = ids.integer(32)
        self._timestamp_event = 0
        self._pending: list[bytes] = []
        self._packets = self._bytes = 0
        self.payload_type = 0
        self._second = rtp.MARKER  # the second octet of the next packet: marker and payload type
        self._size = 0
        self.configure(codec("PCMU"), 0, 1)

    def configure(self, chosen: Codec, payload_type: int, per_packet: int) -> None:
        """Send this codec under this number from now on, so many frames in a packet."""
        self._settle()
        self.codec = chosen
        self._step = chosen.clock_rate // FRAMES_A_SECOND
        # A frame is a packet, of always the same length, and silence always the same bytes: then `say` will do.
        self.plain = per_packet == 1 and chosen.frame_payload > 0 and not chosen.remembers
        self.silence = chosen.encode(silence(chosen.rate)) if self.plain else b""  # the payload that says nothing
        self._size = chosen.frame_payload if per_packet == 1 else 0
        self._pack = _packer(self._size)
        self.payload_type = payload_type
        self._second = self._second & rtp.MARKER | payload_type
        self.per_packet = per_packet
        self._pending.clear()

    # --- the way out -----------------------------------------------------------------------------------------------

    def move_to(self, peer: Address) -> None:
        """Send to there from now on."""
        self.peer = peer
        self._transmit = self._post

    def reroute(self, outbox: Outbox) -> None:
        """Use this outbox from now on."""
        self._outbox = outbox
        self._transmit = self._post

    def connect(self, transmit: Transmit | None) -> None:
        """Send through this as long as the peer stays the same, None: through the outbox again.

        What it refuses with an OSError goes to the outbox, unless it would only have to wait.
        """
        self._transmit = self._post if transmit is None else transmit

    def _post(self, packet: bytes) -> None:
        self._outbox.append((self.port, packet, self.peer))

    # --- the tick --------------------------------------------------------------------------------------------------

    def mark(self) -> None:
        """Set the marker in the next packet, the first one after silence (RFC 3551 4.1)."""
        self._second |= rtp.MARKER

    def skip(self) -> None:
        """Send nothing in this tick."""
        self.timestamp = (self.timestamp + self._step) & 0xFFFFFFFF

    def say(self, payload: bytes) -> None:
        """Send a packet of one frame with this payload, whose length is the codec's."""
        sequence, timestamp, second = self._sequence, self.timestamp, self._second
        self._sequence = (sequence + 1) & 0xFFFF
        self.timestamp = (timestamp + self._step) & 0xFFFFFFFF
        if second > 0x7F:
            self._second = self.payload_type
        packet = self._pack(_PLAIN, second, sequence, timestamp, self.ssrc, payload)
        transmit = self._transmit
        try:
            transmit(packet)
        except BlockingIOError:
            pass  # the network card is behind; late audio is worth nothing
        except OSError:
            self._post(packet)

    def speak(self, frame: bytes) -> None:
        """Send a frame of PCM: at once, with others in one packet, or not at all where the codec finds nothing in it."""
        pending = self._pending
        pending.append(solid(frame, self.codec.rate))
        count = len(pending)
        if count < self.per_packet:
            self.skip()
            return
        payload = self.codec.encode(pending[0] if count == 1 else b"".join(pending))
        pending.clear()
        if len(payload) == self._size and payload:
            self.say(payload)
            return
        self.skip()
        if payload:
            self._emit(self._made(self._second, self.timestamp - count * self._step, payload))
            self._second = self.payload_type
        else:
            self.mark()

    def rest(self, payload_type: int, payload: bytes) -> None:
        """Send comfort noise in place of a frame, or with b"" nothing. What comes after it has the marker (RFC 3389 4)."""
        self._pending.clear()
        timestamp = self.timestamp
        self.skip()
        if payload:
            self._emit(self._made(payload_type, timestamp, payload))
        self.mark()

    def press(self, payload_type: int, payload: bytes, first: bool, since: float = 0.0) -> None:
        """Send a packet of a telephone event: all have the timestamp of its beginning, the first one the marker.

        RFC 4733 2.5.1.1. 2.5.1.3: those of a later segment have the timestamp of that, `since` seconds after the beginning.
        """
        self._pending.clear()
        if first:
            self._timestamp_event = self.timestamp
        self.skip()
        timestamp = self._timestamp_event + round(since * self.codec.clock_rate)
        self._post(self._made(payload_type | (rtp.MARKER if first else 0), timestamp, payload))
        self._second = self.payload_type

    def _made(self, second: int, timestamp: int, payload: bytes) -> bytes:
        """Return the next packet, of whatever length."""
        sequence = self._sequence
        self._sequence = (sequence + 1) & 0xFFFF
        self._bytes += len(payload) - self._size
        return _pack(_PLAIN, second, sequence, timestamp & 0xFFFFFFFF, self.ssrc) + payload

    def _emit(self, packet: bytes) -> None:
        try:
            self._transmit(packet)
        except BlockingIOError:
            pass
        except OSError:
            self._post(packet)

    # --- figures ---------------------------------------------------------------------------------------------------

    def totals(self) -> tuple[int, int]:
        """Return how many packets and payload bytes were sent. To be asked every 20 minutes at least."""
        self._settle()
        return self._packets, self._bytes

    def _settle(self) -> None:
        run = (self._sequence - self._counted) & 0xFFFF
        self._counted = self._sequence
        self._packets += run
        self._bytes += run * self._size
