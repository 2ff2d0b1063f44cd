"""What the phone refuses to start with: HTTP that cannot be served, a certificate for SIP over TLS that cannot be used."""

from __future__ import annotations

from collections.abc import Iterator

from offhook.cli.doctor.case import Case
from offhook.cli.doctor.finding import Finding
from offhook.errors import SetupError

_ADVICE = "the phone does not start with this"
_ADVICE_RUNNING = "the phone runs, and would not start again with this"


def look_at_listeners(case: Case) -> Iterator[Finding]:
    """Try what the start of the phone tries. One that runs has been through it; what it finds then are files changed since."""
    found = [_http(case)] if case.config.http.enabled else []
    if case.config.sip.tls_certificate:
        found.append(_tls(case))
    if case.phone is None:
        yield from found
    else:
        yield from (Finding(each.name, "warning", each.text, _ADVICE_RUNNING) for each in found if each.level != "ok")


def _http(case: Case) -> Finding:
    from offhook.control.http.binding import Listen, check_bind, listening_socket, tls_context
    from offhook.storage.tokens import TokenFile

    settings = case.config.http
    listen = Listen(settings.host, settings.port, certificate=settings.certificate, key=settings.key)
    try:
        check_bind(listen, bool(TokenFile(case.where.tokens_file).list()))
        if listen.certificate:
            tls_context(listen)
        if case.phone is None:  # else the port is its own
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
