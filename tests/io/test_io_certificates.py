"""Self-made certificates: what those who trust their maker insist on."""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path

from offhook.io.certificates import Authority


def test_who_is_strict_about_certificates_takes_them(tmp_path: Path) -> None:
    authority = Authority()
    trusting = ssl.create_default_context(cafile=authority.write(tmp_path / "ca.pem"))
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT  # as Python does from 3.13 on
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(authority.issue(tmp_path / "own.pem"))
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(to_client, to_server, server_hostname="localhost")
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    for end in (client, server, client, server):
        with contextlib.suppress(ssl.SSLWantReadError):
            end.do_handshake()
    assert client.version() is not None
    assert (client.getpeercert() or {})["subject"] == ((("commonName", "localhost"),),)
