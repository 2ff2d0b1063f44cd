"""The doctor's questions put to a registrar and a phone that others wrote."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from offhook.cli.doctor.accounts import look_at_account
from offhook.cli.doctor.case import Case
from offhook.cli.doctor.finding import Finding
from offhook.cli.doctor.target import look_at_target
from offhook.phone.settings import AccountSettings
from offhook.storage.config import Config
from offhook.storage.paths import paths
from offhook.testing import peers
from offhook.testing.kamailio import Kamailio, kamailio

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kamailio]:
    with kamailio(tmp_path_factory.mktemp("kamailio"), {"1001": "secret"}) as running:
        yield running


def loopback(tmp_path: Path) -> Case:
    config = Config()
    case = Case(str(tmp_path / "s"), where=paths({"OFFHOOK_HOME": str(tmp_path)}))
    case.config = replace(config, sip=replace(config.sip, host="127.0.0.1"))
    return case


def look(tmp_path: Path, account: AccountSettings) -> dict[str, Finding]:
    found = look_at_account(loopback(tmp_path), account, None)
    return {finding.name.removeprefix("account kam, "): finding for finding in found}


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_kamailio_accepts_the_right_password_only(
    tmp_path: Path, proxy: Kamailio, transport: Literal["udp", "tcp"]
) -> None:
    account = AccountSettings(id="kam", domain=proxy.domain, username="1001", password="secret", transport=transport)
    found = look(tmp_path, account)
    assert {finding.level for finding in found.values()} == {"ok"}, found
    assert "answers 200 OK" in found["UDP"].text
    assert "answers 200 OK" in found["TCP"].text
    assert "kamailio" in found["UDP"].text.lower()
    assert "no NAT between" in found["NAT"].text
    assert found["password"].text == "accepted; no phone is registered with it now"
    wrong = look(tmp_path, replace(account, password="guess"))["password"]
    assert (wrong.level, wrong.text) == ("wrong", "wrong password for 1001 (401 Unauthorized)")


@pytest.mark.parametrize(("codecs", "level", "text"), [
    ("PCMA", "ok", "in common: PCMA"), ("L16/8000/1", "wrong", "nothing in common"),
])  # fmt: skip
def test_baresip_says_which_codecs_it_takes(tmp_path: Path, codecs: str, level: str, text: str) -> None:
    case = loopback(tmp_path)
    with peers.baresip(tmp_path / "baresip", codecs=codecs, settings="module l16.so\n") as phone:
        to = phone.uri
        found = {finding.name.removeprefix(f"call to {to}, "): finding for finding in look_at_target(case, to)}
    assert "it would take a call now" in found["answer"].text
    assert "baresip" in found["answer"].text
    assert found["codecs"].level == level
    assert text in found["codecs"].text
