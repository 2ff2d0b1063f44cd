"""TLS for SIP: contexts from what the configuration says, the name check of RFC 5922, and refusals in plain words."""

from __future__ import annotations

import contextlib
import ipaddress
import math
import ssl
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from offhook.errors import SetupError
from offhook.io import clock
from offhook.sip.events import ConnectionTerms

UNKNOWN_CA = {18, 19, 20, 21}
"""OpenSSL's numbers for a self-signed certificate, alone or in the chain, and for an unknown issuer (X509_V_ERR_…)."""
REPLACED_WITHIN = 30.0
"""Seconds after which a certificate and its key, which cannot be replaced in one step, have to fit each other."""
NOT_YET_VALID, EXPIRED, WRONG_PURPOSE = 9, 10, 26


@lru_cache(64)  # reading the system's certificates takes 20-60 ms; many accounts share one set
def client_context(ca: str, certificate: str, key: str, verify: bool, _stamps: tuple[int, ...] = ()) -> ssl.SSLContext:
    """Return the context for connections we make. Raises SetupError naming the file that does not work.

    The stamps change when a file is replaced, so that a renewed certificate is used at the next connection.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # The name is checked after the handshake (`name_fault`): RFC 5922 asks for other rules than HTTP's.
    context.check_hostname = False
    if not verify:
        context.verify_mode = ssl.CERT_NONE
    elif ca:
        _load_ca(context, ca)
    else:
        context.load_default_certs()
    if certificate:
        _load_own(context, certificate, key)
    return context


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """Return the context for connections others make to us. Raises SetupError naming the file that does not work."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_own(context, certificate, key)
    return context


def renewing(
    certificate: str, key: str, make: Callable[[str, str], ssl.SSLContext] = server_context, *,
    tell: Callable[[str], object] = lambda _: None,
) -> Callable[[], ssl.SSLContext]:  # fmt: skip
    """Return what gives the context for the next connection, so that a renewed certificate is used without a new start.

    `make` reads it. While it is being replaced (the key has come, the certificate has not), the one before goes on; if it still
    cannot be used after that, `tell` is told why, once. Raises SetupError at once.
    """
    stamps, last = (_stamp(certificate), _stamp(key)), make(certificate, key)
    failing, since = stamps, math.inf  # since when what is there cannot be used; for ever, where that has been told

    def current() -> ssl.SSLContext:
        nonlocal stamps, last, failing, since
        found = _stamp(certificate), _stamp(key)
        if found == stamps:
            return last
        try:
            last = make(certificate, key)
            stamps = failing = found
        except SetupError as error:
            if found != failing:
                failing, since = found, clock.now()
            elif clock.now() - since > REPLACED_WITHIN:
                since = math.inf
                tell(f"the certificate on the disk cannot be used, and the one before goes on: {error}")
        return last

    return current


def _load_ca(context: ssl.SSLContext, ca: str) -> None:
    try:
        if Path(ca).is_dir():
            context.load_verify_locations(capath=ca)
        else:
            context.load_verify_locations(cafile=ca)
    except ssl.SSLError as error:
        raise SetupError(f"{ca}: no certificate in PEM form to trust: {error.reason or error}") from None
    except OSError as error:
        raise SetupError(f"{ca}: the certificates to trust cannot be read: {error.strerror or error}") from None


def _load_own(context: ssl.SSLContext, certificate: str, key: str) -> None:
    def no_password() -> str:
        raise SetupError(f"{key or certificate}: the key has a password: write one without, readable by you alone")

    for name in (certificate, key):
        if name and not Path(name).is_file():
            raise SetupError(f"{name}: there is no such file")
    try:
        context.load_cert_chain(certificate, key or None, no_password)
    except ssl.SSLError as error:
        what = "the key does not belong to the certificate" if error.reason == "KEY_VALUES_MISMATCH" else "not usable (PEM?)"
        raise SetupError(f"{certificate}, {key or 'key in the same file'}: {what}") from None
    except OSError as error:
        raise SetupError(f"{certificate}: our certificate cannot be read: {error.strerror or error}") from None


def name_fault(peer: Mapping[str, Any] | None, name: str) -> str:
    """Return "" if a certificate (as `getpeercert` gives it) is for `name`, else why not.

    RFC 5922 7.1: the names of the subject are the sip: URIs of its alternative names, without those their DNS names, without
    either the common name. 7.2: they are compared as a whole; a wildcard is a name like any other and fits nothing else.
    """
    if not peer:
        return "the server showed no certificate"
    named = bare = name.lower().strip("[]").rstrip(".")
    names = certificate_names(peer)
    with contextlib.suppress(ValueError):
        bare = str(ipaddress.ip_address(named))
    if bare in names:
        return ""
    listed = ", ".join(sorted(names)[:5]) or "nobody"
    return f"the server's certificate is for {listed}, not for {name}: if that is right, write one of these as tls_name"


def certificate_names(peer: Mapping[str, Any]) -> frozenset[str]:
    """Return whom a certificate is for, in lower case (RFC 5922 7.1)."""
    alternatives: dict[str, set[str]] = {}
    for kind, value in peer.get("subjectAltName", ()):
        alternatives.setdefault(kind, set()).add(str(value).lower())
    addresses = {_address(text) for text in alternatives.get("IP Address", ())}
    uris = {uri[4:] for uri in alternatives.get("URI", ()) if uri.startswith("sip:") and "@" not in uri}
    if uris or alternatives.get("DNS") or addresses:
        return frozenset((uris or alternatives.get("DNS", set())) | addresses)
    return frozenset(
        str(value).lower() for part in peer.get("subject", ()) for key, value in part if key == "commonName"
    )


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        return text


def plain_reason(error: Exception, name: str) -> str:
    """Return why a TLS connection was refused, for people. Whoever refuses, the far end or we, it says so."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _distrust(error.verify_code, error.verify_message, name)
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).replace("_", " ").lower()
        if "alert" in reason:
            return f"{name} refused our TLS connection: {_ALERTS.get(error.reason or '', reason)}"
        if "wrong version number" in reason or "unknown protocol" in reason or "http request" in reason:
            return f"{name} does not speak TLS on this port"
        if "unsupported protocol" in reason:
            return f"{name} only speaks a TLS older than 1.2"
        return f"TLS with {name} failed: {reason}"
    if isinstance(error, ConnectionError):
        return f"{name} broke off the TLS handshake"
    return str(error)


_ALERTS = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants a certificate of ours: set tls_certificate and tls_key",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it may want a certificate of ours (tls_certificate, tls_key), or other ciphers",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it does not accept our certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not know who signed our certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "our certificate has expired",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it speaks no TLS from 1.2 on",
    "TLSV1_UNRECOGNIZED_NAME": "it does not know this name",
}


def _distrust(code: int, message: str, name: str) -> str:
    if code == EXPIRED:
        return f"the certificate of {name} has expired"
    if code == NOT_YET_VALID:
        return f"the certificate of {name} is not valid yet: is the clock of this machine right?"
    if code in UNKNOWN_CA:
        return f"nobody this machine trusts has signed the certificate of {name}: set tls_ca to the file of who did"
    if code == WRONG_PURPOSE:
        return f"the certificate of {name} is not for servers"
    return f"the certificate of {name} cannot be trusted: {message}"


def describe(tls: ssl.SSLObject) -> str:
    """Return what secures a connection, as "TLSv1.3 TLS_AES_256_GCM_SHA384"."""
    cipher = tls.cipher()
    return f"{tls.version() or 'TLS'} {cipher[0] if cipher else ''}".strip()


def context_for(terms: ConnectionTerms) -> ssl.SSLContext:
    """Return the context these terms ask for. Raises SetupError."""
    stamps = tuple(_stamp(name) for name in (terms.ca, terms.certificate, terms.key))
    return client_context(terms.ca, terms.certificate, terms.key, terms.verify, stamps)


def _stamp(name: str) -> int:
    try:
        return Path(name).stat().st_mtime_ns if name else 0
    except OSError:
        return 0  # reading it will say what is the matter
