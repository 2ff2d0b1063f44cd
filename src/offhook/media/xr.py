"""Extended reports of RTCP (RFC 3611): what the far end hears in figures, and round trips for who only listens."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, TypeAlias

from offhook.errors import ParseError

EXTENDED_REPORT: Final = 207
RECEIVER_TIME: Final = 4
DELAYS: Final = 5
VOIP_METRICS: Final = 7
UNKNOWN: Final = 127  # RFC 3611 4.7.4: what a rating says that is not known; for levels too (4.7.3)
MOST_DELAYS: Final = 32  # sub-blocks of one DLRR that are read: a call has one source
PLC_STANDARD: Final = 3 << 6  # RFC 3611 4.7.6: lost frames are filled in from what was heard before
ADAPTIVE: Final = 3 << 4  # RFC 3611 4.7.6: the jitter buffer follows the network
_BLOCK_HEAD: Final = struct.Struct("!BBH")
_TIME: Final = struct.Struct("!Q")
_DELAY: Final = struct.Struct("!III")
_METRICS: Final = struct.Struct("!IBBBBHHHHbbBBBBBBBBHHH")
_SIXTEEN: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class ReceiverTime:
    """RRTR (4.4): the 64-bit NTP time at which somebody who sends no audio reported, to be given back in a DLRR."""

    ntp: int


@dataclass(frozen=True, slots=True)
class Delay:
    """One sub-block of DLRR (4.5) for who reported as `ssrc`: its latest RRTR (middle 32 bits), and 1/65536 s since then."""

    ssrc: int
    last_report: int
    delay: int


@dataclass(frozen=True, slots=True)
class Delays:
    """DLRR (4.5)."""

    delays: tuple[Delay, ...]


@dataclass(frozen=True, slots=True)
class VoipMetrics:
    """How the reporter hears `ssrc` (4.7). Shares are 0-1, durations and delays milliseconds, 0 where a delay is unknown.

    `lost` never came, `discarded` came too late. `rating` is R, `mos_listening` and `mos_conversation` 1.0-5.0; None: unknown.
    The last one has the delay in it.
    """

    ssrc: int
    lost: float = 0.0
    discarded: float = 0.0
    burst_density: float = 0.0
    gap_density: float = 0.0
    burst_ms: int = 0
    gap_ms: int = 0
    round_trip_ms: int = 0
    end_system_ms: int = 0
    gmin: int = 16
    rating: int | None = None
    mos_listening: float | None = None
    mos_conversation: float | None = None
    buffer_ms: int = 0
    buffer_most_ms: int = 0
    buffer_limit_ms: int = 0


Block: TypeAlias = ReceiverTime | Delays | VoipMetrics


@dataclass(frozen=True, slots=True)
class ExtendedReport:
    """An XR packet: what is known of its blocks."""

    ssrc: int
    blocks: tuple[Block, ...]


# --- writing -------------------------------------------------------------------------------------------------------


def print_extended(report: ExtendedReport) -> bytes:
    """Return the packet."""
    body = b"".join(map(_print_block, report.blocks))
    return struct.pack("!BBHI", 0x80, EXTENDED_REPORT, 1 + len(body) // 4, report.ssrc & 0xFFFFFFFF) + body


def _print_block(block: Block) -> bytes:
    if isinstance(block, ReceiverTime):
        return _head(RECEIVER_TIME, _TIME.pack(block.ntp))
    if isinstance(block, Delays):
        return _head(DELAYS, b"".join(_DELAY.pack(one.ssrc, one.last_report, one.delay) for one in block.delays))
    return _head(VOIP_METRICS, _print_metrics(block))


def _head(kind: int, content: bytes) -> bytes:
    return _BLOCK_HEAD.pack(kind, 0, len(content) // 4) + content


def _print_metrics(metrics: VoipMetrics) -> bytes:
    return _METRICS.pack(
        metrics.ssrc, _share(metrics.lost), _share(metrics.discarded), _share(metrics.burst_density),
        _share(metrics.gap_density), _short(metrics.burst_ms), _short(metrics.gap_ms), _short(metrics.round_trip_ms),
        _short(metrics.end_system_ms), UNKNOWN, UNKNOWN, UNKNOWN, min(255, max(0, metrics.gmin)),
        UNKNOWN if metrics.rating is None else min(100, max(0, metrics.rating)), UNKNOWN,
        _tenths(metrics.mos_listening), _tenths(metrics.mos_conversation), PLC_STANDARD | ADAPTIVE, 0,
        _short(metrics.buffer_ms), _short(metrics.buffer_most_ms), _short(metrics.buffer_limit_ms),
    )  # fmt: skip


def _share(value: float) -> int:
    """RFC 3611 4.7.1: the share times 256, and 255 at most."""
    return min(255, max(0, int(value * 256)))


def _short(value: int) -> int:
    return min(_SIXTEEN, max(0, value))


def _tenths(value: float | None) -> int:
    """RFC 3611 4.7.4: ten times the MOS, 10-50."""
    return UNKNOWN if value is None else min(50, max(10, round(10 * value)))


# --- reading -------------------------------------------------------------------------------------------------------


def parse_extended(body: bytes) -> ExtendedReport:
    """Return what is in an XR packet, given without its first four octets. Unknown blocks are passed over (RFC 3611 3).

    Raises ParseError for blocks that are longer than their packet.
    """
    if len(body) < 4:
        raise ParseError("XR without a source", status=0)
    found: list[Block] = []
    at = 4
    while at + 4 <= len(body):
        kind, _, words = _BLOCK_HEAD.unpack_from(body, at)
        start, at = at + 4, at + 4 + 4 * words
        if at > len(body):
            raise ParseError("XR block longer than its packet", status=0)
        block = _parse_block(kind, body[start:at])
        if block is not None:
            found.append(block)
    return ExtendedReport(int.from_bytes(body[:4], "big"), tuple(found))


def _parse_block(kind: int, content: bytes) -> Block | None:
    if kind == RECEIVER_TIME and len(content) == _TIME.size:
        return ReceiverTime(_TIME.unpack(content)[0])
    if kind == DELAYS:
        whole = min(MOST_DELAYS, len(content) // _DELAY.size)
        return Delays(tuple(Delay(*_DELAY.unpack_from(content, place * _DELAY.size)) for place in range(whole)))
    if kind == VOIP_METRICS and len(content) == _METRICS.size:
        return _parse_metrics(content)
    # RFC 3611 3: a block of a known type and another length has to be ignored like an unknown one
    return None


def _parse_metrics(content: bytes) -> VoipMetrics:
    (
        ssrc, lost, discarded, burst_density, gap_density, burst, gap, round_trip, end_system, _, _, _, gmin, rating, _,
        listening, conversation, _, _, buffer, most, limit,
    ) = _METRICS.unpack(content)  # fmt: skip
    return VoipMetrics(
        ssrc, lost / 256, discarded / 256, burst_density / 256, gap_density / 256, burst, gap, round_trip, end_system, gmin,
        rating if rating <= 100 else None, _opinion(listening), _opinion(conversation), buffer, most, limit,
    )  # fmt: skip


def _opinion(tenths: int) -> float | None:
    return tenths / 10 if 10 <= tenths <= 50 else None
