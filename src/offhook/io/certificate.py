"""The certificate of DTLS-SRTP: made once, kept, and known to others by its fingerprint alone."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import importlib.util
import os
import tempfile
from pathlib import Path
from typing import Final

NAME: Final = "offhook"
DAYS: Final = 3650
"""Nobody checks the dates: the fingerprint in the signalling is what counts (RFC 5763 5). Ten years is as good as any."""
_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"


class Certificate:
    """Our certificate with its key. `file` None keeps it in memory only; it is made when somebody asks for the first time."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._pem = b""
        self._fingerprint = ""

    def fingerprint(self) -> str:
        """Return it as SDP has it ("sha-256 AB:…"), "" where the packages for DTLS are not installed."""
        if not self._fingerprint and available():
            self._fingerprint = fingerprint_of(self.pem())
        return self._fingerprint

    def pem(self) -> bytes:
        """Return key and certificate as PEM. A file that is none is replaced."""
        if not self._pem:
            self._pem = self._read() or self._make()
        return self._pem

    def _read(self) -> bytes:
        if self._file is None:
            return b""
        try:
            text = self._file.read_bytes()
            return text if b"PRIVATE KEY" in text and fingerprint_of(text) else b""
        except (OSError, ValueError):
            return b""

    def _make(self) -> bytes:
        text = make_certificate()
        if self._file is not None:
            with contextlib.suppress(OSError):  # it serves this run of the phone all the same
                _write_private(self._file, text)
        return text


def available() -> bool:
    """Tell whether the packages of the extra `dtls` are here, without reading them."""
    return all(importlib.util.find_spec(name) is not None for name in ("OpenSSL", "cryptography"))


def fingerprint_of(pem: bytes) -> str:
    """Return the fingerprint of the certificate in a PEM text (RFC 8122 5); raises ValueError if there is none."""
    text = pem.decode("ascii")
    start, end = text.find(_BEGIN), text.find(_END)
    if start < 0 or end < start:
        raise ValueError("no certificate")
    try:
        der = base64.b64decode("".join(text[start + len(_BEGIN):end].split()), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    digest = hashlib.sha256(der).hexdigest().upper()
    return "sha-256 " + ":".join(digest[place:place + 2] for place in range(0, len(digest), 2))


def make_certificate() -> bytes:
    """Return a new key (P-256) and a certificate signed with it, as PEM."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=DAYS))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + made.public_bytes(serialization.Encoding.PEM)


def _write_private(file: Path, text: bytes) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # mkstemp makes it 0600
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(text)
        os.replace(name, file)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
