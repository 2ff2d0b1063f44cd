"""What the doctor says of a call before it is made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from offhook.cli import main
from offhook.cli.doctor.case import Case, PhoneFacts
from offhook.cli.doctor.finding import Finding
from offhook.cli.doctor.target import look_at_target
from offhook.phone.settings import AccountSettings
from offhook.sip.auth import make_challenge
from offhook.sip.events import Address
from offhook.sip.message import Request, Response
from offhook.sip.responses import response_to
from offhook.sip.stack import host_port
from offhook.storage.config import Config
from offhook.storage.paths import paths
from offhook.testing.threaded import exchange_beside, sip_peer


@pytest.fixture(scope="module")
def exchange() -> Iterator[Address]:
    with exchange_beside() as address:
        yield address


@pytest.fixture
def case(tmp_path: Path) -> Case:
    config = Config()
    found = Case(str(tmp_path / "s"), patience=3.0, where=paths({"OFFHOOK_HOME": str(tmp_path)}))
    found.config = replace(config, sip=replace(config.sip, host="127.0.0.1"))
    return found


def has_account(case: Case, where: Address, **more: Any) -> None:
    settings = AccountSettings(id="work", domain=host_port(where), username="1001", password="practice-1001")
    case.config = replace(case.config, accounts=(replace(settings, **more),))


def look(case: Case, to: str) -> dict[str, Finding]:
    return {finding.name.removeprefix(f"call to {to}").removeprefix(", "): finding for finding in look_at_target(case, to)}


@pytest.mark.parametrize(("to", "level", "text"), [
    ("echo", "ok", "200 OK after"), ("1002", "warning", "known there, but no phone is registered for it now"),
    ("4711", "wrong", "nobody has this number there"),
])  # fmt: skip
def test_the_exchange_says_what_a_call_would_meet(case: Case, exchange: Address, to: str, level: str, text: str) -> None:
    has_account(case, exchange)
    found = look(case, to)
    assert found[""].text == f"would go to sip:{to}@{host_port(exchange)}, by account work"
    assert found["answer"].level == level
    assert text in found["answer"].text
    assert found["NAT"].level == "ok"


def test_the_dial_plan_is_obeyed(case: Case, exchange: Address) -> None:
    has_account(case, exchange, dial_plan="(<9:>xxxx)")
    assert look(case, "91002")[""].text.startswith(f"would go to sip:1002@{host_port(exchange)}")
    denied = look(case, "555")
    assert list(denied) == [""]
    assert denied[""].level == "wrong"
    assert "the dial plan has no rule for '555'" in denied[""].text


def test_a_number_needs_an_account_and_an_address_does_not(case: Case, exchange: Address) -> None:
    assert "needs an account for its domain" in look(case, "echo")[""].text
    found = look(case, f"sip:echo@{host_port(exchange)}")
    assert found[""].text.endswith(", without an account")
    assert "it would take a call now" in found["answer"].text


def test_the_phone_refuses_to_call_while_it_is_not_registered(case: Case, exchange: Address) -> None:
    has_account(case, exchange)
    case.phone = PhoneFacts(accounts=[{"id": "work", "registration": "failed", "default": True}])
    found = look(case, "echo")["account"]
    assert found.level == "wrong"
    assert "refuses to call while account work is not registered" in found.text
    case.phone = PhoneFacts(accounts=[{"id": "work", "registration": "failed", "default": True, "expires": 25}])
    assert "account" not in look(case, "echo"), "an earlier registration holds"


@pytest.mark.parametrize(("status", "level", "text"), [
    (486, "warning", "busy now"), (405, "ok", "does not say beforehand"), (500, "wrong", "it has an error inside"),
])  # fmt: skip
def test_other_answers(case: Case, status: int, level: str, text: str) -> None:
    with sip_peer(lambda request, source: response_to(request, status, "", "t")) as peer:
        found = look(case, f"sip:bob@{host_port(peer.address)}")["answer"]
    assert (found.level, text in found.text) == (level, True)


def test_a_password_is_given_where_it_is_wanted(case: Case) -> None:
    def answers(request: Request, source: Address) -> Response:
        if "Proxy-Authorization" in request.headers:
            return response_to(request, 200, "", "t")
        return response_to(request, 407, "", "t", [("Proxy-Authenticate", make_challenge("r", "n"))])

    with sip_peer(answers) as peer:
        has_account(case, peer.address)
        assert "it would take a call now" in look(case, "echo")["answer"].text
        has_account(case, peer.address, password="")
        found = look(case, "echo")["answer"]
    assert found.level == "warning"
    assert "a password is wanted and none is known" in found.text


@pytest.mark.lengthy
def test_nobody_answers(case: Case) -> None:
    with sip_peer(lambda request, source: None) as peer:
        case.patience = 0.2
        found = look(case, f"sip:bob@{host_port(peer.address)}")["answer"]
    assert found.level == "wrong"
    assert "no answer from" in found.text


def test_the_verb_takes_whom_to_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], exchange: Address
) -> None:
    monkeypatch.setenv("OFFHOOK_HOME", str(tmp_path))
    monkeypatch.delenv("OFFHOOK_SOCKET", raising=False)
    (tmp_path / "offhook.toml").write_text('[sip]\nhost = "127.0.0.1"\nport = 0\n[media]\nsound = "null"\n')
    assert main(["doctor", f"sip:nobody@{host_port(exchange)}", "--json"]) == 1
    found = {item["name"]: item for item in json.loads(capsys.readouterr().out)}
    assert "nobody has this number there" in found[f"call to sip:nobody@{host_port(exchange)}, answer"]["text"]
