"""DTLS handshakes of one stream (RFC 5764): with whom, how many at a time, and what came of them.

Whoever knows our port may try; only who shows the certificate that the signalling named gets anywhere. So attempts from
elsewhere than the agreed address are few, are forgotten without a word, and never disturb the one that counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from offhook.media.messages import DtlsPeer, SdesKeys
from offhook.media.receiving import Address

# The far end may be behind a NAT and come from another address than it said; strangers may come too.
MAX_ATTEMPTS: Final = 4
# A stranger's attempt is given up for a new one after this many seconds.
ATTEMPT_S: Final = 5.0
# The answer may still be on its way when the far end begins; OpenSSL repeats after 1, 2, 4 and 8 seconds.
PATIENCE_S: Final = 20.0


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
    """All attempts of a stream. `on_keys` is called once for each success, `on_failure` when there will be none."""

    def __init__(
        self,
        start: Callable[[DtlsPeer], Handshake],
        send: Callable[[bytes, Address], object],
        on_keys: Callable[[SdesKeys], object],
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
        self._since = 0.0
        self._over = False

    def expect(self, peer: DtlsPeer, remote: Address, now: float) -> None:
        """Agree on keys with this peer, from now on. The one agreed with already stays as it is."""
        known = self._peer
        # RFC 5763 5, RFC 8842 3.1: the same fingerprint at the same address means the same association, whatever setup says.
        if known is not None and known.fingerprints == peer.fingerprints and remote == self._remote and not self._over:
            return
        self._peer, self._remote = peer, remote
        self._attempts.clear()
        self._done = None
        self._over = False
        self._since = now
        if peer.role == "client" and remote[1]:
            self._attempt(remote, now)

    def receive(self, datagram: bytes, source: Address, now: float) -> None:
        """Take a datagram whose first octet says DTLS."""
        if self._peer is None or self._over:
            self.refused += 1
            return
        known = self._attempts.get(source)
        if known is None:
            if self._done is not None or self._peer.role == "client" or not self._make_room(source, now):
                self.refused += 1
                return
            known = self._attempt(source, now)
        self._follow(source, known[0], known[0].receive(datagram))

    def timeout(self, now: float) -> None:
        """Send again what was lost; give up after PATIENCE_S."""
        if self._peer is None or self._over or self._done is not None:
            return
        if now - self._since > PATIENCE_S:
            self._give_up("the far end did not agree on keys in time")
        for source, (handshake, _) in tuple(self._attempts.items()):
            self._follow(source, handshake, handshake.timeout())

    def _attempt(self, source: Address, now: float) -> tuple[Handshake, float]:
        if self._peer is None:
            raise AssertionError("nobody is expected")
        attempt = (self._start(self._peer), now)
        self._attempts[source] = attempt
        if self._peer.role == "client":
            self._follow(source, attempt[0], attempt[0].timeout())
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

    def _follow(self, source: Address, handshake: Handshake, datagrams: list[bytes]) -> None:
        for datagram in datagrams:
            self._send(datagram, source)
        if self._done is not None:
            return
        if handshake.keys is not None:
            # It stays: should our last flight be lost, the far end asks for it again.
            self._attempts = {source: self._attempts[source]}
            self._done = source
            self._on_keys(handshake.keys)
        elif handshake.failure:
            del self._attempts[source]
            self.refused += 1
            if source == self._remote:
                self._give_up(handshake.failure)

    def _give_up(self, reason: str) -> None:
        self._over = True
        self._attempts.clear()
        self._on_failure(reason)
