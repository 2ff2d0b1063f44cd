"""A client of a TURN server (RFC 8656): one allocation, its permissions and channels, kept alive as long as it is wanted.

Pure: what comes from the server goes into `receive`, what is to go there comes out of the `send` it was given; `timeout` is
called a few times a second. The transport below may be UDP, TCP or TLS.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, TypeAlias

from offhook.errors import ParseError
from offhook.ids import Ids
from offhook.media.address import Address
from offhook.media.messages import TurnServer
from offhook.media.stun import (
    NONCE,
    REALM,
    TRANSACTION_BYTES,
    USERNAME,
    StunMessage,
    encode_signed,
    is_signed,
    is_stun,
    mapped_value,
    parse_stun,
)

ALLOCATE, REFRESH, SEND, DATA = 0x0003, 0x0004, 0x0016, 0x0017
CREATE_PERMISSION, CHANNEL_BIND = 0x0008, 0x0009
SUCCESS, ERROR = 0x0100, 0x0110
CHANNEL_NUMBER, LIFETIME, XOR_PEER_ADDRESS, DATA_ATTRIBUTE = 0x000C, 0x000D, 0x0012, 0x0013
XOR_RELAYED_ADDRESS, REQUESTED_TRANSPORT = 0x0016, 0x0019
UDP_RELAY: Final = b"\x11\0\0\0"  # RFC 8656 18.4: the relay speaks UDP with peers

LIFETIME_S: Final = 600
REFRESH_BEFORE_S: Final = 60.0
PERMISSION_S: Final = 240.0  # RFC 8656 9: they last 300 s
CHANNEL_S: Final = 540.0  # RFC 8656 12: they last 600 s
FIRST_CHANNEL: Final = 0x4000  # RFC 8656 12: 0x4000 to 0x4FFF
CHANNELS: Final = range(0x40, 0x50)
# RFC 8489 6.2.1: 500 ms, doubled; four attempts are enough for a server that is there.
RETRY_S: Final = 0.5
ATTEMPTS: Final = 4
# What an allocation lives by is asked for until it has run out, so often: a network may be gone for longer than four attempts.
RENEW_S: Final = 4.0
MAX_PERMISSIONS: Final = 32
MISMATCH: Final = 437
AGAIN_S: Final = 0.5
AGAINS: Final = 4
# Seconds: who has sent for so long and heard nothing from the relay asks whether the allocation is still there. It is not where
# the relay was started again, or where our own address is another one.
SILENCE_S: Final = 5.0

Attributes: TypeAlias = tuple[tuple[int, bytes], ...]


class TurnState(Enum):
    """Where an allocation is."""

    ASKING = auto()
    READY = auto()
    FAILED = auto()


@dataclass(slots=True)
class _Request:
    kind: int
    attributes: Attributes
    next_at: float
    wait: float = RETRY_S
    attempts: int = 1
    challenges: int = 0
    data: bytes = field(default=b"", repr=False)


class Turn:
    """One allocation. `relayed` is its address while READY, `mapped` ours as the server sees it; `problem` says why FAILED.

    One that the server knows no more is made anew, without the peers of the former: `losses` counts those, and one that has
    FAILED after it was READY.
    """

    def __init__(
        self, server: TurnServer, ids: Ids, send: Callable[[bytes], object], on_data: Callable[[bytes, Address], object],
        now: float,
    ) -> None:  # fmt: skip
        self.server = server
        self.state = TurnState.ASKING
        self.relayed: Address | None = None
        self.mapped: Address | None = None
        self.problem = ""
        self.losses = 0
        self._ids = ids
        self._send = send
        self._on_data = on_data
        self._realm = self._nonce = self._key = b""
        self._requests: dict[bytes, _Request] = {}
        self._permitted: dict[str, float] = {}  # by IP address: when it was asked for
        self._channels: dict[Address, int] = {}
        self._peers: dict[int, Address] = {}
        self._bound: dict[Address, float] = {}  # channels the server has confirmed, and when they were asked for
        self._refresh_at = self._ends_at = self._again_at = 0.0
        self._again = 0
        self._heard_at = now
        self._unheard = False  # something was sent since
        self._allocate(now)

    @property
    def busy(self) -> bool:
        """Return whether the server has yet to say that there is an allocation, or that it still is there."""
        return self.state is TurnState.ASKING or any(request.kind == REFRESH for request in self._requests.values())

    # --- what one can ask for

    def check(self, now: float) -> None:
        """Ask whether the allocation is still there, unless that is asked already."""
        if self.state is TurnState.READY and not self.busy:
            self._ask(REFRESH, ((LIFETIME, LIFETIME_S.to_bytes(4, "big")),), now)

    def permit(self, peer: Address, now: float) -> None:
        """Let this peer's packets through; needed before it is sent anything, too."""
        host = peer[0]
        if self.state is TurnState.READY and host not in self._permitted and len(self._permitted) < MAX_PERMISSIONS:
            self._ask_permission(peer, now)

    def bind(self, peer: Address, now: float) -> None:
        """Have a channel for this peer: four octets a packet instead of 36."""
        if self.state is not TurnState.READY or peer in self._channels:
            return
        number = FIRST_CHANNEL + len(self._channels)
        self._channels[peer] = number
        self._peers[number] = peer
        self._ask_channel(peer, now)

    def send(self, data: bytes, peer: Address) -> None:
        """Send a packet to a peer; nothing happens before the allocation is READY."""
        if self.state is not TurnState.READY:
            return
        self._unheard = True
        if peer in self._bound:
            # RFC 8656 12.5: over a stream the length is rounded up to four octets.
            padding = bytes(-len(data) % 4) if self.server.transport != "udp" else b""
            self._send(self._channels[peer].to_bytes(2, "big") + len(data).to_bytes(2, "big") + data + padding)
            return
        transaction = self._transaction()
        attributes = ((XOR_PEER_ADDRESS, mapped_value(*peer, transaction)), (DATA_ATTRIBUTE, data))
        self._send(encode_signed(StunMessage(SEND, transaction, attributes), b""))

    def close(self, now: float) -> None:
        """Give the allocation back; it is not waited for an answer."""
        if self.state is TurnState.READY:
            self._ask(REFRESH, ((LIFETIME, bytes(4)),), now)
        self.state = TurnState.FAILED
        self._requests.clear()

    # --- what comes

    def receive(self, data: bytes, now: float) -> None:
        """Take a datagram (or one message of the stream) from the server."""
        self._heard_at, self._unheard = now, False
        if len(data) >= 4 and data[0] in CHANNELS:
            peer = self._peers.get(int.from_bytes(data[:2], "big"))
            length = int.from_bytes(data[2:4], "big")
            if peer is not None and len(data) >= 4 + length:
                self._on_data(data[4:4 + length], peer)
            return
        if not is_stun(data):
            return
        try:
            message = parse_stun(data)
            if message.kind == DATA:
                peer, content = message.address(XOR_PEER_ADDRESS), message.get(DATA_ATTRIBUTE)
                if peer is not None and content is not None and self.state is TurnState.READY:
                    self._on_data(content, peer)
                return
            self._answered(message, data, now)
        except ParseError:
            return

    def _answered(self, message: StunMessage, raw: bytes, now: float) -> None:
        request = self._requests.get(message.transaction)
        if request is None or message.kind & ~(SUCCESS | ERROR) != request.kind:
            return
        if message.kind & ERROR == ERROR:
            del self._requests[message.transaction]
            self._refused(request, message, now)
        elif self._key and is_signed(raw, self._key):
            del self._requests[message.transaction]
            self._granted(request, message, now)

    def _granted(self, request: _Request, message: StunMessage, now: float) -> None:
        if request.kind == ALLOCATE:
            self.relayed = message.address(XOR_RELAYED_ADDRESS)
            self.mapped = message.mapped
            if self.relayed is None:
                self._fail("the server gives no relayed address")
                return
            self.state = TurnState.READY
        if request.kind in (ALLOCATE, REFRESH):
            lifetime = int.from_bytes(message.get(LIFETIME) or LIFETIME_S.to_bytes(4, "big"), "big")
            self._ends_at = now + lifetime
            self._refresh_at = now + max(lifetime - REFRESH_BEFORE_S, lifetime / 2)
        elif request.kind == CHANNEL_BIND:
            number = int.from_bytes(dict(request.attributes)[CHANNEL_NUMBER][:2], "big")
            self._bound[self._peers[number]] = now

    def _refused(self, request: _Request, message: StunMessage, now: float) -> None:
        code, reason = message.error or (0, "no reason given")
        realm, nonce = message.get(REALM), message.get(NONCE)
        # RFC 8489 9.2.5: 401 asks who we are, 438 that we use a newer nonce. Twice is enough: the password is wrong.
        if code in (401, 438) and nonce is not None and request.challenges < 2 and (code == 438 or not self._key):
            self._nonce = nonce
            if realm is not None:
                self._realm = realm
            text = b":".join((self.server.username.encode(), self._realm, self.server.password.encode()))
            self._key = hashlib.md5(text, usedforsecurity=False).digest()  # RFC 8489 9.2.2 asks for it
            self._ask(request.kind, request.attributes, now, request.challenges + 1)
        elif request.kind == REFRESH and self.state is TurnState.ASKING:
            return  # what was to be given back is gone
        elif code == MISMATCH and request.kind != ALLOCATE:
            self._lost(now)
        elif code == MISMATCH and self._again < AGAINS:
            # RFC 8656 7.4: an earlier user of our port has left an allocation behind. It is given back for him; coturn takes a
            # second or two to forget it.
            if not self._again:
                self._ask(REFRESH, ((LIFETIME, bytes(4)),), now)
            self._again += 1
            self._again_at = now + AGAIN_S
        elif request.kind in (ALLOCATE, REFRESH):
            hint = " (user name or password)" if code == 401 else ""
            self._fail(f"the server refuses: {code} {reason[:80]}{hint}")

    def _lost(self, now: float) -> None:
        """Begin again: the server knows nothing of us (RFC 8656 7.3, 10.2, 12.2)."""
        self.losses += 1
        self.state = TurnState.ASKING
        self.relayed = None
        self._again, self._again_at = 0, 0.0
        for former in (self._requests, self._permitted, self._channels, self._peers, self._bound):
            former.clear()
        self._allocate(now)

    def _fail(self, problem: str) -> None:
        self.losses += self.state is TurnState.READY
        self.state = TurnState.FAILED
        self.problem = problem
        self.relayed = None
        self._requests.clear()

    # --- time

    def timeout(self, now: float) -> None:
        """Repeat what got no answer, refresh what would expire."""
        for transaction, request in tuple(self._requests.items()):
            if now >= request.next_at:
                self._repeat(transaction, request, now)
        if self.state is TurnState.ASKING and 0.0 < self._again_at <= now:
            self._again_at = 0.0
            self._allocate(now)
        if self.state is not TurnState.READY:
            return
        if now >= self._refresh_at:
            self._refresh_at = now + REFRESH_BEFORE_S
            self._ask(REFRESH, ((LIFETIME, LIFETIME_S.to_bytes(4, "big")),), now)
        if self._unheard and now - self._heard_at > SILENCE_S:
            self._heard_at = now
            self.check(now)
        for host, since in tuple(self._permitted.items()):
            if now - since > PERMISSION_S:
                self._ask_permission((host, 0), now)
        for peer, since in tuple(self._bound.items()):
            if now - since > CHANNEL_S:
                self._bound[peer] = now
                self._ask_channel(peer, now)

    def _repeat(self, transaction: bytes, request: _Request, now: float) -> None:
        if request.attempts >= ATTEMPTS and not self._renews(request, now):
            del self._requests[transaction]
            if request.kind in (ALLOCATE, REFRESH):
                self._fail("the server does not answer")
            return
        request.attempts += 1
        request.wait = min(request.wait * 2, RENEW_S)
        request.next_at = now + request.wait
        if self.server.transport == "udp":
            self._send(request.data)

    def _renews(self, request: _Request, now: float) -> bool:
        """Return whether it is still worth asking: over a stream what was said is said, and needs no copy."""
        if self.state is not TurnState.READY or self.server.transport != "udp":
            return False
        return request.kind != REFRESH or now < self._ends_at

    # --- requests

    def _allocate(self, now: float) -> None:
        self._ask(ALLOCATE, ((REQUESTED_TRANSPORT, UDP_RELAY), (LIFETIME, LIFETIME_S.to_bytes(4, "big"))), now)

    def _ask_permission(self, peer: Address, now: float) -> None:
        self._permitted[peer[0]] = now
        transaction = self._transaction()
        self._ask(CREATE_PERMISSION, ((XOR_PEER_ADDRESS, mapped_value(*peer, transaction)),), now, transaction=transaction)

    def _ask_channel(self, peer: Address, now: float) -> None:
        transaction = self._transaction()
        number = self._channels[peer].to_bytes(2, "big") + bytes(2)
        attributes = ((CHANNEL_NUMBER, number), (XOR_PEER_ADDRESS, mapped_value(*peer, transaction)))
        self._ask(CHANNEL_BIND, attributes, now, transaction=transaction)

    def _ask(
        self, kind: int, attributes: Attributes, now: float, challenges: int = 0, transaction: bytes = b""
    ) -> None:
        # Peers are IPv4: their addresses are XORed with the cookie alone, and stay right under another transaction.
        transaction = transaction or self._transaction()
        signed: Attributes = attributes
        if self._key:
            signed += ((USERNAME, self.server.username.encode()), (REALM, self._realm), (NONCE, self._nonce))
        data = encode_signed(StunMessage(kind, transaction, signed), self._key)
        self._requests[transaction] = _Request(kind, attributes, now + RETRY_S, challenges=challenges, data=data)
        self._send(data)

    def _transaction(self) -> bytes:
        return self._ids.integer(8 * TRANSACTION_BYTES).to_bytes(TRANSACTION_BYTES, "big")


def channel_data(data: bytes) -> bytes:
    """Return what a message of a channel carries (RFC 8656 12.4), anything else as it is."""
    if len(data) < 4 or data[0] not in CHANNELS:
        return data
    return data[4:4 + int.from_bytes(data[2:4], "big")]


def split_stream(buffer: bytearray) -> list[bytes]:
    """Take whole messages off the front of what a stream has brought (RFC 8656 12.5: channel data is padded to four).

    Raises ParseError for what is neither STUN nor channel data: such a stream cannot be followed any more.
    """
    found = []
    while len(buffer) >= 4:
        length = int.from_bytes(buffer[2:4], "big")
        if buffer[0] in CHANNELS:
            size = 4 + length + -length % 4
        elif buffer[0] < 0x04:
            size = 20 + length
        else:
            raise ParseError("the TURN server speaks something else", status=0)
        if len(buffer) < size:
            break
        found.append(bytes(buffer[:size]))
        del buffer[:size]
    return found
