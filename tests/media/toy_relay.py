"""A TURN server for tests in virtual time: it forgets when it is told to, is deaf, and refuses."""

from __future__ import annotations

import hashlib

from offhook.media import turn as t
from offhook.media.address import Address
from offhook.media.stun import (
    ERROR_CODE,
    NONCE,
    REALM,
    USERNAME,
    XOR_MAPPED_ADDRESS,
    StunMessage,
    encode_signed,
    error_value,
    is_signed,
    mapped_value,
    parse_stun,
)

SERVER: Address = ("9.9.9.9", 3478)
KEY = hashlib.md5(b"user:realm:secret").digest()


class ToyServer:
    """As much of RFC 8656 as a client can notice."""

    def __init__(self) -> None:
        self.nonce = b"first"
        self.lifetime = 600
        self.permitted: list[str] = []
        self.channels: dict[int, Address] = {}
        self.relayed: list[tuple[bytes, Address]] = []
        self.seen: list[int] = []
        self.deaf = False
        self.refuse = 0
        self.stale = 438
        self.allocated = False
        self.port = 60_000

    def restart(self) -> None:
        """Forget everybody, as a server does that is started again."""
        self.allocated, self.nonce, self.port = False, b"another", self.port + 1
        self.permitted.clear()
        self.channels.clear()

    def take(self, data: bytes) -> bytes | None:
        if self.deaf:
            return None
        if data[0] in t.CHANNELS:
            channel = self.channels.get(int.from_bytes(data[:2], "big"))
            if channel is not None:
                self.relayed.append((data[4:4 + int.from_bytes(data[2:4], "big")], channel))
            return None
        message = parse_stun(data)
        self.seen.append(message.kind)
        if message.kind == t.SEND:
            peer = message.address(t.XOR_PEER_ADDRESS)
            content = message.get(t.DATA_ATTRIBUTE)
            assert peer is not None
            assert content is not None
            if peer[0] in self.permitted:
                self.relayed.append((content, peer))
            return None
        if message.get(USERNAME) is None or message.get(NONCE) != self.nonce or not is_signed(data, KEY):
            code = self.stale if message.get(USERNAME) is not None and message.get(NONCE) != self.nonce else 401
            return self.error(message, code)
        if self.refuse:
            return self.error(message, self.refuse)
        if (message.kind == t.ALLOCATE) == self.allocated:
            return self.error(message, 437)
        self.allocated = True
        return self.grant(message)

    def error(self, message: StunMessage, code: int) -> bytes:
        attributes = ((ERROR_CODE, error_value(code, "No")), (REALM, b"realm"), (NONCE, self.nonce))
        return encode_signed(StunMessage(message.kind | t.ERROR, message.transaction, attributes), b"")

    def grant(self, message: StunMessage) -> bytes:
        attributes: list[tuple[int, bytes]] = []
        peer = message.address(t.XOR_PEER_ADDRESS)
        if message.kind == t.ALLOCATE:
            attributes += [
                (t.XOR_RELAYED_ADDRESS, mapped_value("5.5.5.5", self.port, message.transaction)),
                (XOR_MAPPED_ADDRESS, mapped_value("1.1.1.1", 50_000, message.transaction)),
            ]
        if message.kind == t.REFRESH and message.get(t.LIFETIME) == bytes(4):
            self.allocated = False  # RFC 8656 7.3: given back
        if message.kind in (t.ALLOCATE, t.REFRESH):
            attributes.append((t.LIFETIME, self.lifetime.to_bytes(4, "big")))
        if peer is not None:
            self.permitted.append(peer[0])
        if message.kind == t.CHANNEL_BIND and peer is not None:
            self.channels[int.from_bytes((message.get(t.CHANNEL_NUMBER) or b"")[:2], "big")] = peer
        return encode_signed(StunMessage(message.kind | t.SUCCESS, message.transaction, tuple(attributes)), KEY)
