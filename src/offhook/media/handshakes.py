"""DTLS handshakes of one stream (RFC 5764): with whom, how many at a time, and what came of them.

Whoever knows our port may try; only who shows the certificate that the signalling named gets anywhere. So attempts from
elsewhere than the agreed address are few, are forgotten without a word, and never disturb the one that counts.

A far end that is somewhere else later (RFC 8842 4: without ICE that is a new association) begins anew, or does not. So the keys
that hold are kept until others are agreed on, and nothing is lost where none are.

As the client we begin, at the agreed address. A far end with several addresses, or behind a NAT, may answer from another one:
where the agreed address stays silent, who answers elsewhere is listened to in its stead, one at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from offhook.media.address import Address, reachable
from offhook.media.messages import DtlsPeer, SdesKeys

# The far end may be behind a NAT and come from another address than it said; strangers may come too.
MAX_ATTEMPTS: Final = 4
# A stranger's attempt is given up for a new one after this many seconds.
ATTEMPT_S: Final = 5.0
# The answer may still be on its way when the far end begins; OpenSSL repeats after 1, 2, 4 and 8 seconds.
PATIENCE_S: Final = 20.0
# An answer from elsewhere waits so long for one from the agreed address, which then is the only one that counts.
PREFER_S: Final = 0.25
# Datagrams kept of one that answers from elsewhere: a first flight with a long chain of certificates.
HELD: Final = 8
# RFC 6347 4.1, 4.2.2: a record of type handshake and epoch 0, and in it one of the two messages a server begins with.
_RECORD_HANDSHAKE: Final = 22
_EPOCH: Final = 3  # two octets
_MESSAGE: Final = 13
_FIRST_WORDS: Final = (2, 3)  # ServerHello, HelloVerifyRequest
_HELLO: Final = (1,)  # ClientHello
# A hello that comes so soon after keys were agreed on is a late copy of theirs.
LATE_S: Final = 3.0


class Handshake(Protocol):
    """One handshake: `keys` when it has succeeded, `failure` when it has not."""

    keys: SdesKeys | None
    failure: str

    def receive(self, datagram: bytes) -> list[bytes]:
        """Take a datagram and return what is to be sent."""
        ...

    def timeout(self) -> list[bytes]:
        """Return what is to be sent because time has passed; also called once at the start."""
        ...


class Handshakes:
    """All attempts of a stream. `on_keys` is called once for each success, with the address that the far end really has;
    `on_failure` when there will be none."""

    def __init__(
        self,
        start: Callable[[DtlsPeer], Handshake],
        send: Callable[[bytes, Address], object],
        on_keys: Callable[[SdesKeys, Address], object],
        on_failure: Callable[[str], object],
    ) -> None:
        self.refused = 0
        self._start = start
        self._send = send
        self._on_keys = on_keys
        self._on_failure = on_failure
        self._peer: DtlsPeer | None = None
        self._remote: Address = ("", 0)
        self._attempts: dict[Address, tuple[Handshake, float]] = {}
        self._done: Address | None = None
        self._former: Address | None = None  # with whom keys were agreed on that hold while others are being agreed on
        self._answered = False  # somebody answers us as the client: nobody else does from then on
        self._held: dict[Address, list[bytes]] = {}  # who else may be answering, and with what
        self._tried: set[Address] = set()  # who answered from elsewhere and was not the far end
        self._since = 0.0
        self._asked = 0.0  # when the agreed address was sent a hello
        self._over = False

    def expect(self, peer: DtlsPeer, remote: Address, now: float, *, anywhere: bool = False) -> None:
        """Agree on keys with this peer, from now on. The one agreed with already stays as it is, with ICE wherever it is."""
        known = self._peer
        same = known is not None and known.fingerprints == peer.fingerprints and not self._over
        # RFC 5763 5, RFC 8842 3.1: the same fingerprint at the same address means the same association, whatever setup says.
        # Who holds by an address that is none is where it was.
        if same and (anywhere or remote == self._remote or not reachable(remote)):
            if reachable(remote):
                self._is_called(remote)
            if self._done is not None:
                self._peer = peer  # whoever begins anew does it in the role that was agreed on last
            return
        self._peer, self._remote = peer, remote
        self._over = False
        self._begin(self._done or self._former if same else None, now)
        if peer.role == "client" and reachable(remote):
            self._attempt(remote, now)

    def _is_called(self, remote: Address) -> None:
        """Know the far end by this name from now on: with ICE each search gives it another. What is under way goes on."""
        former, self._remote = self._remote, remote
        if former in self._attempts:
            self._attempts[remote] = self._attempts.pop(former)
        if self._done == former:
            self._done = remote

    def _begin(self, former: Address | None, now: float) -> None:
        self._former, self._done, self._answered = former, None, False
        self._attempts.clear()
        self._held.clear()
        self._tried.clear()
        self._since = self._asked = now

    def receive(self, datagram: bytes, source: Address, now: float) -> None:
        """Take a datagram whose first octet says DTLS."""
        if self._peer is None or self._over:
            self.refused += 1
            return
        agreed = self._done is not None and now - self._since > LATE_S and source in (self._done, self._remote)
        if agreed and self._peer.role == "server" and _begins(datagram, _HELLO):
            self._begin(self._done, now)
        known = self._attempts.get(source)
        if known is None and self._peer.role == "client":
            if self._hold(datagram, source):
                self._listen_elsewhere(now)
            else:
                self.refused += 1
            return
        if known is None:
            if self._done is not None or not self._make_room(source, now):
                self.refused += 1
                return
            known = self._attempt(source, now)
        if not self._answered and self._peer.role == "client" and _begins(datagram, _FIRST_WORDS):
            self._answered = True
            self._held.clear()
        self._follow(source, known[0], known[0].receive(datagram), now)

    def _hold(self, datagram: bytes, source: Address) -> bool:
        """Keep what may be an answer to us from another address than the agreed one; False for what is not."""
        if self._answered or self._done is not None or source in self._tried:
            return False
        held = self._held.get(source)
        if held is None:
            if len(self._held) + len(self._tried) >= MAX_ATTEMPTS or not _begins(datagram, _FIRST_WORDS):
                return False
            held = self._held[source] = []
        if len(held) >= HELD:
            return False
        held.append(datagram)
        return True

    def _listen_elsewhere(self, now: float) -> None:
        """Let the first who answered from elsewhere have the handshake, once the agreed address has had its time.

        It is the same handshake: a server that has our hello takes no other one. What a stranger spoils so is begun anew.
        """
        if not self._held or self._answered or now - self._asked < PREFER_S:
            return
        source, datagrams = next(iter(self._held.items()))
        attempt = self._attempts.pop(self._remote, None)
        if attempt is None:
            return
        self._held.clear()
        self._tried.add(source)
        self._answered = True
        self._attempts[source] = attempt
        for datagram in datagrams:
            if source in self._attempts and attempt[0] is self._attempts[source][0]:
                self._follow(source, attempt[0], attempt[0].receive(datagram), now)

    def timeout(self, now: float) -> None:
        """Send again what was lost; give up after PATIENCE_S."""
        if self._peer is None or self._over or self._done is not None:
            return
        if now - self._since > PATIENCE_S and reachable(self._remote):
            self._give_up("the far end did not agree on keys in time")
        self._listen_elsewhere(now)
        for source, (handshake, _) in tuple(self._attempts.items()):
            if source in self._attempts and self._attempts[source][0] is handshake:  # or one before ended all
                self._follow(source, handshake, handshake.timeout(), now)

    def _attempt(self, source: Address, now: float) -> tuple[Handshake, float]:
        if self._peer is None:
            raise AssertionError("nobody is expected")
        attempt = (self._start(self._peer), now)
        self._attempts[source] = attempt
        if self._peer.role == "client":
            self._follow(source, attempt[0], attempt[0].timeout(), now)
        return attempt

    def _make_room(self, source: Address, now: float) -> bool:
        """Tell whether one more may try; the agreed address always may."""
        if source == self._remote or len(self._attempts) < MAX_ATTEMPTS:
            return True
        for other, (_, since) in self._attempts.items():
            if other != self._remote and now - since > ATTEMPT_S:
                del self._attempts[other]
                return True
        return False

    def _follow(self, source: Address, handshake: Handshake, datagrams: list[bytes], now: float) -> None:
        for datagram in datagrams:
            self._send(datagram, source)
        if self._done is not None:
            return
        if handshake.keys is not None:
            # It stays: should our last flight be lost, the far end asks for it again.
            self._attempts = {source: self._attempts[source]}
            self._done, self._former, self._since = source, None, now
            self._held.clear()
            self._on_keys(handshake.keys, source)
        elif handshake.failure:
            del self._attempts[source]
            self.refused += 1
            if source == self._remote:
                self._give_up(handshake.failure)
            elif self._peer is not None and self._peer.role == "client":
                self._answered = False
                self._asked = now  # the agreed address has its time again; how often is bounded by MAX_ATTEMPTS
                self._attempt(self._remote, now)

    def _give_up(self, reason: str) -> None:
        self._attempts.clear()
        if self._former is not None:
            self._done, self._former = self._former, None
            return
        self._over = True
        self._on_failure(reason)


def _begins(datagram: bytes, words: tuple[int, ...]) -> bool:
    """Tell whether a datagram begins a handshake with one of these messages."""
    return (
        len(datagram) > _MESSAGE and datagram[0] == _RECORD_HANDSHAKE and datagram[_EPOCH:_EPOCH + 2] == b"\0\0"
        and datagram[_MESSAGE] in words
    )
