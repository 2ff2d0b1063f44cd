"""What the doctor says of HTTP and TLS: what the phone would refuse to start with."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest
from doctor_case import case_in, only, settings

from offhook.cli.doctor.case import Case, PhoneFacts
from offhook.cli.doctor.listeners import look_at_listeners
from offhook.storage.config import HttpSettings


def with_http(case: Case, **changes: str | int) -> Case:
    case.config = replace(case.config, http=HttpSettings(enabled=True, **changes))  # type: ignore[arg-type]
    return case


def test_http_whose_port_another_program_has(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        found = only(look_at_listeners(with_http(case_in(tmp_path), port=port)))
        assert (found.name, found.level) == ("HTTP", "wrong")
        assert f"127.0.0.1:{port}: another program has it" in found.text
    found = only(look_at_listeners(with_http(case_in(tmp_path), port=port)))
    assert (found.level, found.text) == ("ok", f"port {port} is free on 127.0.0.1")


@pytest.mark.parametrize(("changes", "text"), [
    ({"host": "0.0.0.0"}, "give http.certificate and http.key"),
    ({"certificate": "/nowhere.pem"}, "belong together"),
    ({"certificate": "/nowhere.pem", "key": "/nowhere.pem"}, "cannot be used"),
])
def test_http_that_would_be_refused(tmp_path: Path, changes: dict[str, str], text: str) -> None:
    found = only(look_at_listeners(with_http(case_in(tmp_path), port=0, **changes)))
    assert (found.level, found.advice) == ("wrong", "the phone does not start with this")
    assert text in found.text


def test_a_certificate_for_sip_that_is_not_there(tmp_path: Path) -> None:
    case = case_in(tmp_path)
    settings(case, "sip", tls_certificate="/nowhere.pem")
    found = only(look_at_listeners(case))
    assert (found.name, found.level) == ("SIP over TLS", "wrong")
    assert "sip.tls_certificate" in found.text
    assert "/nowhere.pem" in found.text


def test_nothing_is_said_of_what_is_off_or_has_started(tmp_path: Path) -> None:
    case = case_in(tmp_path)
    assert list(look_at_listeners(case)) == []
    case.phone = PhoneFacts()
    with socket.create_server(("127.0.0.1", 0)) as its_own:
        assert list(look_at_listeners(with_http(case, port=its_own.getsockname()[1]))) == []


def test_a_phone_that_runs_and_would_not_start_again(tmp_path: Path) -> None:
    case = case_in(tmp_path)
    case.phone = PhoneFacts()
    case.where.tokens_file.parent.mkdir(parents=True, exist_ok=True)
    case.where.tokens_file.write_text("damaged since")
    settings(case, "sip", tls_certificate="/gone.pem")
    http, sip = look_at_listeners(with_http(case, port=1))
    assert (http.level, http.advice) == (sip.level, sip.advice)
    assert (http.level, http.advice) == ("warning", "the phone runs, and would not start again with this")
    assert "tokens.json" in http.text
    assert "/gone.pem" in sip.text
