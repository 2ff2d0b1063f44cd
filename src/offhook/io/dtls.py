"""DTLS handshakes for SRTP keys (RFC 5764), on datagrams that somebody else carries. OpenSSL does the work.

A handshake costs a millisecond of the media engine's time, most of it for one signature.
"""

from __future__ import annotations

import hashlib
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate
from OpenSSL import SSL

from offhook.media.messages import DtlsPeer, SdesKeys
from offhook.media.sdes import SUITES

# RFC 5764 4.1.2, RFC 7714 14.2: the names OpenSSL has for the suites. The preferred one first.
PROFILES: Final[dict[bytes, str]] = {
    b"SRTP_AEAD_AES_256_GCM": "AEAD_AES_256_GCM",
    b"SRTP_AEAD_AES_128_GCM": "AEAD_AES_128_GCM",
    b"SRTP_AES128_CM_SHA1_80": "AES_CM_128_HMAC_SHA1_80",
}
LABEL: Final = b"EXTRACTOR-dtls_srtp"
# A tunnel on the way may take a hundred bytes of the usual 1500; handshakes are too short to look for the limit.
DATAGRAM: Final = 1200
RECORD_HEADER: Final = 13
FORBIDDEN: Final = ("DTLS needs memory that is written and then executed, which this system forbids (MemoryDenyWriteExecute "
                    "in a systemd unit, execmem of SELinux)")
_HASHES: Final = {"sha-1": "sha1", "sha-224": "sha224", "sha-256": "sha256", "sha-384": "sha384", "sha-512": "sha512"}
_contexts: dict[bytes, SSL.Context] = {}


class DtlsHandshake:
    """One handshake. `keys` is set when it has succeeded, `failure` ("" until then) when it has not.

    Give it what comes with `receive` and send what that returns; call `timeout` now and then, also once at the start.
    """

    def __init__(self, peer: DtlsPeer) -> None:
        self.keys: SdesKeys | None = None
        self.failure = ""
        self._peer = peer
        try:
            self._connection = SSL.Connection(_context(peer.certificate))
        except MemoryError:  # what cffi says of a system on which nothing may be both written and executed
            self.failure = FORBIDDEN
            return
        if peer.role == "client":
            self._connection.set_connect_state()
        else:
            self._connection.set_accept_state()
        self._connection.set_ciphertext_mtu(DATAGRAM)

    def receive(self, datagram: bytes) -> list[bytes]:
        """Take a datagram and return what is to be sent."""
        # OpenSSL sees a stream here: an octet too many would spoil what comes after it.
        if self.failure or not _framed(datagram):
            return []
        try:
            self._connection.bio_write(datagram)
        except SSL.Error:
            return []
        return self._advance()

    def timeout(self) -> list[bytes]:
        """Return what is to be sent (again): OpenSSL keeps the time (RFC 6347 4.2.4: after 1, 2, 4 … seconds)."""
        if self.failure or self.keys is not None:
            return []
        try:
            self._connection.DTLSv1_handle_timeout()
        except SSL.Error:
            self.failure = "the far end does not answer"
            return []
        return self._advance()

    def _advance(self) -> list[bytes]:
        try:
            if self.keys is None:
                self._connection.do_handshake()
                self._finish()
            else:
                self._connection.recv(2048)  # a repeated last flight is answered by this; data there is none
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            pass  # the far end said goodbye; the signalling says so too
        except SSL.Error as error:
            if self.keys is None:
                self.failure = f"the handshake failed: {_reason(error)}"
        return self._outgoing()

    def _finish(self) -> None:
        certificate = self._connection.get_peer_certificate(as_cryptography=True)
        der = certificate.public_bytes(Encoding.DER) if certificate is not None else b""
        if not any(_matches(der, *expected) for expected in self._peer.fingerprints):
            self.failure = "the certificate is not the one whose fingerprint the signalling gave"
            return
        profile = self._connection.get_selected_srtp_profile()
        suite = PROFILES.get(profile, "")
        if not suite:
            self.failure = "the far end does not do SRTP over this handshake"
            return
        key, salt = SUITES[suite]
        # RFC 5764 4.2: the client's key, the server's key, the client's salt, the server's salt.
        material = self._connection.export_keying_material(LABEL, 2 * (key + salt))
        client = material[:key] + material[2 * key:2 * key + salt]
        server = material[key:2 * key] + material[2 * key + salt:]
        own, other = (client, server) if self._peer.role == "client" else (server, client)
        self.keys = SdesKeys(suite, send=own, receive=other)

    def _outgoing(self) -> list[bytes]:
        """Return what OpenSSL wrote, in datagrams: it puts records one after the other, and none may be cut."""
        waiting = bytearray()
        try:
            while True:
                waiting += self._connection.bio_read(65536)
        except SSL.WantReadError:
            pass
        except SSL.Error:
            return []
        datagrams = []
        current = b""
        while len(waiting) >= RECORD_HEADER:
            size = RECORD_HEADER + int.from_bytes(waiting[11:13], "big")
            record = bytes(waiting[:size])
            del waiting[:size]
            if current and len(current) + len(record) > DATAGRAM:
                datagrams.append(current)
                current = b""
            current += record
        return [*datagrams, current] if current else datagrams


def _context(certificate: bytes) -> SSL.Context:
    """Return the context for a certificate (PEM with key); the same one each time."""
    if certificate not in _contexts:
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_min_proto_version(0xFEFD)  # DTLS 1.2: RFC 8827 6.5 allows nothing older
        # RFC 5763 5: certificates are signed by themselves; what counts is the fingerprint, which is compared afterwards.
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        context.use_certificate(load_pem_x509_certificate(certificate))
        context.use_privatekey(load_pem_private_key(certificate, None))  # type: ignore[arg-type]  # we made it: elliptic curve
        context.set_tlsext_use_srtp(b":".join(PROFILES))
        _contexts.clear()
        _contexts[certificate] = context
    return _contexts[certificate]


def _framed(datagram: bytes) -> bool:
    """Tell whether a datagram consists of whole records (RFC 6347 4.1), none of them empty.

    RFC 5246 6.2.1: handshake records are never empty; one that is makes OpenSSL wait for the rest for ever.
    """
    place = 0
    while place + RECORD_HEADER <= len(datagram) and datagram[place + 1] == 0xFE:
        size = int.from_bytes(datagram[place + 11:place + 13], "big")
        place += RECORD_HEADER + size
        if not size:
            return False
        if place == len(datagram):
            return True
    return False


def _matches(der: bytes, name: str, text: str) -> bool:
    return hashlib.new(_HASHES[name], der).hexdigest().upper() == text.replace(":", "").upper() if der else False


def _reason(error: SSL.Error) -> str:
    found = error.args[0] if error.args else ()
    return "; ".join(str(each[-1]) for each in found) if isinstance(found, list) and found else "no reason given"
