"""A call's SIP messages for people and programs: without secrets, as a ladder, as JSON, as a pcap file for Wireshark.

The file may hold the packets of the call's sound, too. Only who asks for keys, or for what they open, gets that.
"""

from __future__ import annotations

import base64
import functools
import heapq
import ipaddress
import re
import struct
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from offhook.io.captures import Captured
from offhook.io.trace import TracedMessage
from offhook.media.messages import CapturedPacket, SdesKeys, StreamKeys
from offhook.media.sdes import print_mki

_SECRETS: Final = (
    # digest responses and what else could be tried against a password, RFC 3261 22
    re.compile(rb"(?im)^((?:proxy-)?authorization|authentication-info)([ \t]*:[ \t]*)([^\r\n]*(?:\r?\n[ \t]+[^\r\n]*)*)"),
    re.compile(rb"(?i)(inline:)([^\s|;]+)"),  # RFC 4568: the key of SRTP
    re.compile(rb"(?im)^(a=ice-pwd:)([^\r\n]+)"),
)
_DIGEST_SECRET: Final = re.compile(rb'(?i)\b(response|cnonce|nonce|opaque|rspauth|nextnonce)\s*=\s*("[^"]*"|[^\s,]+)')
MASK: Final = b"********"

LINKTYPE_RAW: Final = 101
"""Packets begin with their IP header, whichever version (tcpdump.org/linktypes)."""
_PCAP_HEADER: Final = struct.Struct("<IHHiIII")
_RECORD: Final = struct.Struct("<IIII")
MOST_IN_PACKET: Final = 65000
"""Octets of one message in a packet of IPv4, whose length has 16 bits."""
WIDTH: Final = 46
"""Characters between the two ends of a ladder."""


def without_secrets(data: bytes) -> bytes:
    """Return a message whose digest answers, SRTP keys and ICE passwords are masked."""
    def masked(match: re.Match[bytes]) -> bytes:
        return match[1] + match[2] + _DIGEST_SECRET.sub(rb"\1=" + MASK, match[3])
    data = _SECRETS[0].sub(masked, data)
    data = _SECRETS[1].sub(rb"\1" + MASK, data)
    return _SECRETS[2].sub(rb"\1" + MASK, data)


def summary(data: bytes) -> str:
    """Return what a message is, in a few words: its method or status, and the CSeq's method of an answer."""
    head = data.lstrip(b"\r\n").partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
    first, _, rest = head.partition("\r\n")
    found = re.search(r"(?im)^cseq\s*:\s*\d+\s+(\S+)", rest)
    if first.startswith("SIP/2.0 "):
        return f"{first[8:48]} ({found[1]})" if found else first[8:48]
    body = " +sdp" if re.search(r"(?im)^(content-type|c)\s*:\s*application/sdp", rest) else ""
    return first.partition(" ")[0][:32] + body


def as_json(messages: Sequence[TracedMessage]) -> list[dict[str, Any]]:
    """Return the messages as objects."""
    return [
        {
            "time": datetime.fromtimestamp(message.at, UTC).isoformat().replace("+00:00", "Z"),
            "direction": "sent" if message.sent else "received", "transport": message.flow.transport,
            "local": _address(message.flow.local), "remote": _address(message.flow.remote), "summary": summary(message.data),
            "text": without_secrets(message.data).decode("utf-8", "replace"),
        }
        for message in messages
    ]  # fmt: skip


def ladder(messages: Sequence[TracedMessage]) -> str:
    """Return the messages as lines from one end to the other; us left, the far ends right."""
    if not messages:
        return "no messages of this call are kept"
    began = messages[0].at
    lines = [f"{_time(began)}  {_address(messages[0].flow.local)}"]
    for message in messages:
        said = summary(message.data)
        arrow = f"{'-' * 2} {said} {'-' * max(0, WIDTH - len(said) - 4)}"
        arrow = f"|{arrow}>|" if message.sent else f"|<{arrow}|"
        lines.append(f"{message.at - began:9.3f} s  {arrow} {_address(message.flow.remote)} {message.flow.transport}")
    return "\n".join(lines)


def pcap(messages: Sequence[TracedMessage], packets: Sequence[CapturedPacket] = ()) -> bytes:
    """Return a capture file. Whatever the transport was, each message is one UDP packet, for nothing else of it is known."""
    signalling: Iterator[CapturedPacket] = (
        (message.at, message.sent, message.flow.local, message.flow.remote, without_secrets(message.data)[:MOST_IN_PACKET])
        for message in messages
    )
    out = [_PCAP_HEADER.pack(0xA1B2C3D4, 2, 4, 0, 0, 262144, LINKTYPE_RAW)]
    for at, sent, local, remote, payload in heapq.merge(signalling, packets, key=lambda each: each[0]):
        packet = _packet(local, remote, payload) if sent else _packet(remote, local, payload)
        micros = round(at * 1_000_000)
        out += [_RECORD.pack(micros // 1_000_000, micros % 1_000_000, len(packet), len(packet)), packet]
    return b"".join(out)


def opened(found: Captured) -> list[CapturedPacket]:
    """Return the packets of a capture with those in the clear that its keys open; the others stay as they were."""
    from offhook.media.path import CONTROL_KINDS, RTP_FIRST
    from offhook.media.route import RTCP, RTP
    from offhook.media.srtp import LateOpening
    from offhook.media.turn import channel_data

    openings: dict[tuple[int, bool], list[tuple[float, LateOpening]]] = {}
    for each in found.keys:
        for sent, key, mki in _both(each.keys):
            openings.setdefault((each.component, sent), []).append((each.at, LateOpening(each.keys.suite, key, mki)))
    clear: list[CapturedPacket] = []
    for at, sent, local, remote, data in found.packets:
        component = RTCP if local[1] % 2 else RTP  # RFC 3550 11
        keys = openings.get((component, sent)) or openings.get((RTP, sent), [])
        packet = channel_data(data)
        if len(packet) > 1 and packet[0] in RTP_FIRST:
            control = packet[1] in CONTROL_KINDS
            # The newest that can be meant, then the others: a packet may come after the word about its key, or before it.
            for _, opening in sorted(keys, key=lambda key: (key[0] > at, -key[0])):
                text = opening.open_control(packet) if control else opening.open(packet)
                if text:
                    data = text if packet is data else data[:2] + len(text).to_bytes(2, "big") + text
                    break
        clear.append((at, sent, local, remote, data))
    return clear


def keys_json(keys: Sequence[StreamKeys]) -> list[dict[str, Any]]:
    """Return keys as objects: `key` is base64 of master key and salt, as after `inline:` in a=crypto, `mki` what follows it."""
    return [
        {
            "time": datetime.fromtimestamp(each.at, UTC).isoformat().replace("+00:00", "Z"),
            "component": "rtcp" if each.component == 2 else "rtp", "direction": "sent" if sent else "received",
            "suite": each.keys.suite, "key": base64.b64encode(key).decode(), "mki": print_mki(mki),
        }
        for each in keys for sent, key, mki in _both(each.keys)
    ]  # fmt: skip


def _both(keys: SdesKeys) -> tuple[tuple[bool, bytes, bytes], ...]:
    """Return (sent, key, MKI) of both directions."""
    return (True, keys.send, keys.send_mki), (False, keys.receive, keys.receive_mki)


def keys_text(call: str, keys: Sequence[StreamKeys]) -> str:
    """Return keys as lines of a file: since when, component, direction, and the value of a=crypto (RFC 4568 9.1)."""
    lines = [f"# SRTP keys of call {call}: who has them can listen. rtp is rtcp as well, where that has none of its own."]
    lines += [
        f"{each['time']} {each['component']} {each['direction']} 1 {each['suite']} inline:{each['key']}"
        + (f"|{each['mki']}" if each["mki"] else "")
        for each in keys_json(keys)
    ]
    return "\n".join(lines) + "\n"


def _packet(source: tuple[str, int], target: tuple[str, int], payload: bytes) -> bytes:
    head = _head(source, target, len(payload))
    if head[0] == 0x45:
        return head + payload
    udp = head[40:] + payload
    return head[:40] + udp[:6] + struct.pack(">H", _udp_checksum(head[8:24], head[24:40], udp)) + udp[8:]


@functools.lru_cache(maxsize=256)
def _head(source: tuple[str, int], target: tuple[str, int], length: int) -> bytes:
    """Return the headers of IP and UDP, without a checksum of UDP: those of a stream's packets are nearly always the same."""
    here, there = _ip(source[0]), _ip(target[0])
    if here.version != there.version:  # an address that was never resolved: both as IPv6, the old one mapped
        here, there = _as_v6(here), _as_v6(there)
    udp = struct.pack(">HHHH", source[1], target[1], 8 + length, 0)
    if here.version == 4:
        head = struct.pack(">BBHHHBBH", 0x45, 0, 28 + length, 0, 0x4000, 64, 17, 0) + here.packed + there.packed
        return head[:10] + struct.pack(">H", _checksum(head)) + head[12:] + udp
    return struct.pack(">IHBB", 0x60000000, 8 + length, 17, 64) + here.packed + there.packed + udp


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text.partition("%")[0].strip("[]"))
    except ValueError:
        return ipaddress.IPv4Address(0)


def _as_v6(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv6Address:
    if isinstance(address, ipaddress.IPv4Address):
        return ipaddress.IPv6Address(b"\0" * 10 + b"\xff\xff" + address.packed)
    return address


def _checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _udp_checksum(source: bytes, target: bytes, udp: bytes) -> int:
    return _checksum(source + target + struct.pack(">IHBB", len(udp), 0, 0, 17) + udp) or 0xFFFF


def _address(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"
