"""RTCP: sender and receiver reports, SDES, BYE (RFC 3550 section 6), with extended reports (`media.xr`) among them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, TypeAlias

from offhook.errors import ParseError
from offhook.media.xr import EXTENDED_REPORT, ExtendedReport, parse_extended

SENDER_REPORT: Final = 200
RECEIVER_REPORT: Final = 201
SOURCE_DESCRIPTION: Final = 202
GOODBYE: Final = 203
INTERVAL_S: Final = 5.0  # RFC 3550 6.2: the recommended minimum
_NTP_EPOCH: Final = 2208988800  # 1900 to 1970
_HEADER: Final = struct.Struct("!BBHI")
_SENDER: Final = struct.Struct("!IIIII")
_BLOCK: Final = struct.Struct("!IIIIII")
_MAX_PACKET: Final = 1500
_MAX_CNAME: Final = 255  # one octet of length


@dataclass(frozen=True, slots=True)
class Block:
    """One report block: how the reporter receives `ssrc`. `lost` is cumulative (signed), `jitter` in timestamp units.

    `last_report` is the middle 32 bits of the NTP time of the last SR it had from there, `delay` the 1/65536 s since then.
    """

    ssrc: int
    fraction: float
    lost: int
    highest: int
    jitter: int
    last_report: int
    delay: int


@dataclass(frozen=True, slots=True)
class Report:
    """An SR, or an RR where `ntp` is None. `ntp` is a 64-bit NTP time."""

    ssrc: int
    ntp: int | None
    timestamp: int
    packets: int
    octets: int
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Goodbye:
    """These sources leave."""

    sources: tuple[int, ...]


Part: TypeAlias = Report | Goodbye | ExtendedReport


def ntp_time(seconds: float) -> int:
    """Return seconds since 1970 as the 64-bit NTP time of RFC 3550 4."""
    return int((seconds + _NTP_EPOCH) * 4294967296.0) & 0xFFFFFFFFFFFFFFFF


def middle(ntp: int) -> int:
    """Return the middle 32 bits, units of 1/65536 s."""
    return ntp >> 16 & 0xFFFFFFFF


def round_trip_ms(block: Block, now_ntp: int) -> float | None:
    """Return the round trip that a report block which arrived now proves, or None. RFC 3550 6.4.1: A - LSR - DLSR."""
    if block.last_report == 0:
        return None
    units = (middle(now_ntp) - block.last_report - block.delay) & 0xFFFFFFFF
    # A far end that rounds up makes it slightly negative; an hour is nonsense.
    if units >= 0x80000000:
        units = 0
    return units / 65.536 if units < 3600 << 16 else None


def jitter_ms(block: Block, clock_rate: int) -> float | None:
    """Return the jitter that a far end tells, or None where it never set it: a minute is nonsense."""
    found = block.jitter * 1000.0 / clock_rate
    return found if found < 60_000 else None


def print_report(report: Report) -> bytes:
    """Return an SR or RR packet."""
    body = b"".join(map(_print_block, report.blocks[:31]))
    if report.ntp is None:
        return _packet(RECEIVER_REPORT, len(report.blocks), report.ssrc, body)
    sender = _SENDER.pack(
        report.ntp >> 32, report.ntp & 0xFFFFFFFF, report.timestamp & 0xFFFFFFFF, report.packets & 0xFFFFFFFF,
        report.octets & 0xFFFFFFFF,
    )  # fmt: skip
    return _packet(SENDER_REPORT, len(report.blocks), report.ssrc, sender + body)


def print_description(ssrc: int, cname: str) -> bytes:
    """Return an SDES packet with the CNAME (RFC 3550 6.5.1)."""
    text = cname.encode("utf-8")[:_MAX_CNAME]
    items = bytes((1, len(text))) + text
    items += bytes(4 - len(items) % 4)  # at least one null octet ends the list, and the chunk fills words
    return _packet(SOURCE_DESCRIPTION, 1, ssrc, items)


def print_goodbye(ssrc: int) -> bytes:
    """Return a BYE packet (RFC 3550 6.6)."""
    return _packet(GOODBYE, 1, ssrc, b"")


def parse(packet: bytes) -> list[Part]:
    """Return the reports (extended ones, too) and goodbyes of a compound packet.

    Raises ParseError for what RFC 3550 A.2 calls invalid.
    """
    if not 8 <= len(packet) <= _MAX_PACKET or len(packet) % 4:
        raise ParseError("RTCP packet of an impossible length", status=0)
    found: list[Part] = []
    at = 0
    while at < len(packet):
        if at + 4 > len(packet) or packet[at] >> 6 != 2:
            raise ParseError("not RTCP version 2", status=0)
        kind = packet[at + 1]
        end = at + 4 + 4 * int.from_bytes(packet[at + 2 : at + 4], "big")
        if end > len(packet):
            raise ParseError("RTCP packet longer than its datagram", status=0)
        if at == 0 and kind not in (SENDER_REPORT, RECEIVER_REPORT):
            raise ParseError("compound RTCP does not start with a report", status=0)
        part = _parse_one(kind, packet[at] & 0x1F, packet[at + 4 : end])
        if part is not None:
            found.append(part)
        at = end
    return found


def _parse_one(kind: int, count: int, body: bytes) -> Part | None:
    if kind == GOODBYE:
        if len(body) < 4 * count:
            raise ParseError("BYE shorter than its count", status=0)
        return Goodbye(struct.unpack_from(f"!{count}I", body))
    if kind == SENDER_REPORT:
        return _parse_report(body, count, 24)
    if kind == RECEIVER_REPORT:
        return _parse_report(body, count, 4)
    if kind == EXTENDED_REPORT:
        return parse_extended(body)
    return None  # SDES, APP, feedback: nothing here needs them


def _parse_report(body: bytes, count: int, start: int) -> Report:
    if len(body) < start + count * _BLOCK.size:
        raise ParseError("report shorter than its count", status=0)
    blocks = tuple(_parse_block(body, start + index * _BLOCK.size) for index in range(count))
    ssrc = int.from_bytes(body[:4], "big")
    if start == 4:
        return Report(ssrc, None, 0, 0, 0, blocks)
    high, low, timestamp, packets, octets = _SENDER.unpack_from(body, 4)
    return Report(ssrc, high << 32 | low, timestamp, packets, octets, blocks)


def _parse_block(body: bytes, at: int) -> Block:
    ssrc, loss, highest, jitter, last, delay = _BLOCK.unpack_from(body, at)
    lost = loss & 0xFFFFFF
    return Block(ssrc, (loss >> 24) / 256, lost - 0x1000000 if lost & 0x800000 else lost, highest, jitter, last, delay)


def _print_block(block: Block) -> bytes:
    lost = max(-0x800000, min(0x7FFFFF, block.lost)) & 0xFFFFFF
    fraction = min(255, int(block.fraction * 256))
    return _BLOCK.pack(
        block.ssrc, fraction << 24 | lost, block.highest & 0xFFFFFFFF, word(block.jitter), block.last_report,
        word(block.delay),
    )  # fmt: skip


def word(value: int) -> int:
    """Return what fits 32 bits. A delay is negative where a report was asked for after the tick that makes it was due."""
    return max(0, min(value, 0xFFFFFFFF))


def _packet(kind: int, count: int, ssrc: int, body: bytes) -> bytes:
    return _HEADER.pack(0x80 | count, kind, 1 + len(body) // 4, ssrc) + body
