"""The packets of a stream as they are on the wire, for who asks to see them; and the keys that open them."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from offhook.media.messages.streams import SdesKeys
from offhook.media.messages.vocabulary import StreamId

CapturedPacket: TypeAlias = tuple[float, bool, tuple[str, int], tuple[str, int], bytes]
"""Unix seconds, whether it is ours, our address, the far end's, and the datagram's payload."""
CaptureEnd: TypeAlias = Literal["stopped", "time", "full", "call ended", "engine failed"]


class CaptureStream(Struct, frozen=True):
    """Report each datagram of the stream's ports from now on (StreamCaptured) until they are `max_bytes` of a pcap file.

    `keys`: report those that seal and open them, too (StreamKeys), the present ones and each later one.
    """

    stream: StreamId
    max_bytes: int
    keys: bool = False


class EndCapture(Struct, frozen=True):
    """Report no more packets; CaptureEnded is the last word. Harmless where nothing is captured."""

    stream: StreamId
    reason: CaptureEnd = "stopped"


class StreamCaptured(Struct, frozen=True):
    """Packets in their order, some at a time; none when a capture begins. They go past the phone to who keeps them."""

    stream: StreamId
    packets: tuple[CapturedPacket, ...]


class StreamKeys(Struct, frozen=True):
    """The keys of a component from the Unix second `at` on (1: RTP, also RTCP where it has none; 2: RTCP). A secret."""

    stream: StreamId
    at: float
    component: int
    keys: SdesKeys


class CaptureEnded(Struct, frozen=True):
    """There are no more packets; how many there were, and their bytes in a pcap file."""

    stream: StreamId
    reason: CaptureEnd
    packets: int
    size: int


CaptureReport: TypeAlias = StreamCaptured | StreamKeys
"""What whoever keeps a capture takes, and the phone itself never sees."""
