"""SRV records as the doctor tells of them, from a name server on loopback."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from offhook.cli.doctor.accounts import look_at_account
from offhook.cli.doctor.case import Case
from offhook.cli.doctor.finding import Finding
from offhook.cli.doctor.records import look_up_records
from offhook.phone.settings import AccountSettings
from offhook.sip.events import Address
from offhook.sip.stack import Hop
from offhook.storage.config import Config
from offhook.storage.paths import paths
from offhook.testing.nameserver import NameServer, name_server
from offhook.testing.peers import free_port
from offhook.testing.threaded import exchange_beside


@pytest.fixture(scope="module")
def exchange() -> Iterator[Address]:
    with exchange_beside() as address:
        yield address


@pytest.fixture(scope="module")
def names(exchange: Address) -> Iterator[NameServer]:
    records = {
        ("_sip._udp.pbx.test", "SRV"): (f"10 5 {exchange[1]} one.pbx.test.", "20 0 5060 two.pbx.test."),
        ("one.pbx.test", "A"): ("127.0.0.1",), ("two.pbx.test", "A"): ("127.0.0.1",),
        ("_sip._udp.lost.test", "SRV"): ("1 0 5060 nowhere.lost.test.",),
        ("_sip._udp.none.test", "SRV"): ("0 0 0 .",),
        ("plain.test", "A"): ("127.0.0.1",),
        ("_sip._udp.pair.test", "SRV"): (f"1 0 {free_port()} one.pbx.test.", f"2 0 {exchange[1]} two.pbx.test."),
    }  # fmt: skip
    ready, done, made = threading.Event(), threading.Event(), list[NameServer]()

    async def serve() -> None:
        async with name_server(records) as server:
            made.append(server)
            ready.set()
            await asyncio.to_thread(done.wait)
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    yield made[0]
    done.set()
    thread.join(10)


def look(domain: str, names: NameServer, tmp_path: Path) -> dict[str, Finding]:
    config = Config()
    case = Case(str(tmp_path / "s"), patience=2.0, where=paths({"OFFHOOK_HOME": str(tmp_path)}))
    case.config = replace(config, sip=replace(config.sip, host="127.0.0.1", nameservers=(names.address,)))
    account = AccountSettings(id="work", domain=domain, username="1001", password="practice-1001")
    found = look_at_account(case, account, None)
    return {each.name.removeprefix("account work").removeprefix(", "): each for each in found}


def test_the_servers_that_a_domain_names_are_the_ones_asked(exchange: Address, names: NameServer, tmp_path: Path) -> None:
    found = look("pbx.test", names, tmp_path)
    assert found["SRV"] == Finding(
        "account work, SRV", "ok", f"_sip._udp.pbx.test names one.pbx.test:{exchange[1]} (10), two.pbx.test:5060 (20)"
    )
    assert f"127.0.0.1:{exchange[1]} answers" in found["UDP"].text
    assert "name" not in found


def test_a_server_that_is_down_is_told_though_the_next_one_answers(
    exchange: Address, names: NameServer, tmp_path: Path
) -> None:
    found = look("pair.test", names, tmp_path)
    assert found["UDP"].level == "ok"
    assert f"127.0.0.1:{exchange[1]} answers" in found["UDP"].text
    (down,) = (each for each in found.values() if each.level == "warning")
    assert down.name.startswith("account work, UDP to 127.0.0.1:")
    assert re.search("nobody listens|no answer", down.text), "not every system tells that a port is closed"


def test_addresses_are_asked_of_the_name_servers_that_the_phone_asks(
    exchange: Address, names: NameServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = look(f"plain.test:{exchange[1]}", names, tmp_path)
    assert found["name"].text.startswith("plain.test is 127.0.0.1 (")
    assert found["UDP"].level == "ok"
    assert look(f"wrong.test:{exchange[1]}", names, tmp_path)["name"].level == "wrong"
    monkeypatch.setattr("offhook.io.names.RECORDS_WITHIN", 0.3)
    names.silent = True
    try:
        found = look(f"plain.test:{exchange[1]}", names, tmp_path)
    finally:
        names.silent = False
    assert "the name service does not answer about plain.test (" in found["name"].text


def test_records_that_lead_nowhere(names: NameServer, tmp_path: Path) -> None:
    found = look("lost.test", names, tmp_path)
    assert list(found) == ["SRV"]
    assert found["SRV"].level == "wrong"
    assert "_sip._udp.lost.test names nowhere.lost.test:5060 (1), which leads nowhere" in found["SRV"].text
    assert "nobody (it is not to be had)" in look("none.test", names, tmp_path)["SRV"].text


@pytest.mark.parametrize("hop", [
    Hop("192.0.2.1", None, "udp"), Hop("pbx.test", 5070, "udp"), Hop("localhost", None, "udp"), Hop("[::1]", None, "udp"),
    Hop("pbx.test", None, "wss"),
])
def test_where_there_can_be_none_nobody_is_asked(hop: Hop) -> None:
    assert look_up_records(hop) is None


@pytest.mark.lengthy
def test_a_silent_name_server_is_told(names: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offhook.io.names.RECORDS_WITHIN", 0.3)
    names.silent = True
    try:
        records = look_up_records(Hop("pbx.test", None, "udp"), (names.address,))
    finally:
        names.silent = False
    assert records is not None
    assert not records.found
    assert "does not answer about _sip._udp.pbx.test" in records.silent
