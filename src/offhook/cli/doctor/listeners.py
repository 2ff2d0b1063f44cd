"""What the phone refuses to start with: HTTP that cannot be served, a certificate for SIP over TLS that cannot be used."""

from __future__ import annotations

from collections.abc import Iterator

from offhook.cli.doctor.case import Case
from offhook.cli.doctor.finding import Finding
from offhook.errors import SetupError

_ADVICE = "the phone does not start with this"


def look_at_listeners(case: Case) -> Iterator[Finding]:
    """Try what the start of the phone tries. One that runs has been through it."""
    if case.phone is not None:
        return
    if case.config.http.enabled:
        yield _http(case)
    if case.config.sip.tls_certificate:
        yield _tls(case)


def _http(case: Case) -> Finding:
    from offhook.control.http.binding import Listen, check_bind, listening_socket, tls_context
    from offhook.storage.tokens import TokenFile

    settings = case.config.http
    listen = Listen(settings.host, settings.port, certificate=settings.certificate, key=settings.key)
    try:
        check_bind(listen, bool(TokenFile(case.where.tokens_file).list()))
        if listen.certificate:
            tls_context(listen)
        listening_socket(listen).close()
    except SetupError as error:
        return Finding("HTTP", "wrong", str(error), _ADVICE)
    return Finding("HTTP", "ok", f"port {listen.port} is free on {listen.host}")


def _tls(case: Case) -> Finding:
    from offhook.io.tls import server_context

    settings = case.config.sip
    try:
        server_context(settings.tls_certificate, settings.tls_key)
    except SetupError as error:
        return Finding("SIP over TLS", "wrong", f"sip.tls_certificate, sip.tls_key: {error}", _ADVICE)
    return Finding("SIP over TLS", "ok", f"{settings.tls_certificate} can be used")
