"""Self-made certificates: for the practice exchange and for tests. Nobody but their maker has a reason to trust them."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from offhook.errors import SetupError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

VALID_DAYS: Final = 365
"""A year: long enough to be forgotten, short enough to be made anew."""


class Authority:
    """A certificate authority of our own; `issue` writes certificates that it has signed. Raises SetupError at the start where
    the library is missing that makes certificates.
    """

    def __init__(self, name: str = "offhook practice") -> None:
        try:
            from cryptography.hazmat.primitives.asymmetric import ec
        except ImportError:
            raise SetupError("making a certificate needs the package cryptography: pip install 'offhook[tls]'") from None
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        self.certificate = self._builder(self._name, self._key, VALID_DAYS, authority=True).sign(self._key, _sha256())

    def write(self, file: Path) -> Path:
        """Write the authority's own certificate: what others are to trust (`tls_ca`)."""
        file.write_bytes(_pem(self.certificate))
        return file

    def issue(
        self, file: Path, names: Sequence[str] = ("localhost", "127.0.0.1", "::1"), *, uris: Sequence[str] = (),
        days: float = VALID_DAYS, common_name: str = "",
    ) -> Path:
        """Write a certificate for these host names and addresses, with its key, into one file that only we can read.

        Negative `days` make one that ran out so long ago.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(_named(common_name or (names or ("offhook",))[0]), key, days, authority=False)
        alternatives = [_alternative(name) for name in names]
        alternatives += [x509.UniformResourceIdentifier(uri) for uri in uris]
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        certificate = builder.sign(self._key, _sha256())
        file.touch(0o600)
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ) + _pem(certificate)
        )
        return file


    def _builder(
        self, subject: x509.Name, key: EllipticCurvePrivateKey, days: float, *, authority: bool
    ) -> x509.CertificateBuilder:
        from cryptography import x509

        now = datetime.datetime.now(datetime.UTC)
        end = now + datetime.timedelta(days=days)
        begin = min(now, end) - datetime.timedelta(days=1)  # clocks of others may be a little behind
        # RFC 5280 4.2.1: both key identifiers, and what an authority's key is for. Python 3.13 and others insist on it.
        return (
            x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(_usage(authority), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )  # fmt: skip


def _usage(authority: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not authority, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=authority, crl_sign=authority, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _alternative(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _named(name: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _sha256() -> Any:
    from cryptography.hazmat.primitives.hashes import SHA256

    return SHA256()
