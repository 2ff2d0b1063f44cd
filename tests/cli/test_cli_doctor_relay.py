"""What the doctor says of relays and of encryption."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from offhook.cli.doctor.case import Case
from offhook.cli.doctor.relay import look_at_servers
from offhook.cli.doctor.secrecy import look_at_encryption
from offhook.media import turn as t
from offhook.media.stun import (
    ERROR_CODE,
    NONCE,
    REALM,
    USERNAME,
    XOR_MAPPED_ADDRESS,
    StunMessage,
    encode_signed,
    error_value,
    is_signed,
    mapped_value,
    parse_stun,
)
from offhook.phone.settings import AccountSettings, NatSettings, SrtpSettings
from offhook.storage.config import Config

KEY = hashlib.md5(b"user:realm:secret").digest()


@contextmanager
def servers(shift: int = 0) -> Iterator[tuple[int, int]]:
    """Run a TURN and a STUN server; the second sees ports that are `shift` higher."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as turn, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stun:
        over = threading.Event()
        threads = []
        for end, serve in ((turn, _turn), (stun, _stun)):
            end.bind(("127.0.0.1", 0))
            end.settimeout(0.05)
            threads.append(threading.Thread(target=_run, args=(end, serve, over, shift)))
            threads[-1].start()
        yield turn.getsockname()[1], stun.getsockname()[1]
        over.set()
        for thread in threads:
            thread.join()


def _run(end: socket.socket, serve: object, over: threading.Event, shift: int) -> None:
    while not over.is_set():
        try:
            data, source = end.recvfrom(2048)
        except TimeoutError:
            continue
        end.sendto(serve(data, source, shift), source)  # type: ignore[operator]


def _stun(data: bytes, source: tuple[str, int], shift: int) -> bytes:
    asked = parse_stun(data)
    value = mapped_value(source[0], source[1] + shift, asked.transaction)
    return encode_signed(StunMessage(0x0101, asked.transaction, ((XOR_MAPPED_ADDRESS, value),)), b"")


def _turn(data: bytes, source: tuple[str, int], _shift: int) -> bytes:
    asked = parse_stun(data)
    if asked.get(USERNAME) is None or not is_signed(data, KEY):
        attributes = ((ERROR_CODE, error_value(401, "No")), (REALM, b"realm"), (NONCE, b"nonce"))
        return encode_signed(StunMessage(asked.kind | t.ERROR, asked.transaction, attributes), b"")
    granted = (
        (t.XOR_RELAYED_ADDRESS, mapped_value("203.0.113.5", 50_000, asked.transaction)),
        (XOR_MAPPED_ADDRESS, mapped_value(*source, asked.transaction)), (t.LIFETIME, (600).to_bytes(4, "big")),
    )  # fmt: skip
    return encode_signed(StunMessage(asked.kind | t.SUCCESS, asked.transaction, granted), KEY)


def case(nat: NatSettings) -> Case:
    config = replace(Config(), nat=nat)
    config = replace(config, sip=replace(config.sip, host="127.0.0.1"))
    return Case("", patience=2.0, config=config)


@pytest.mark.parametrize(("shift", "kind", "level"), [(0, "ports are kept", "ok"), (7, "symmetric", "warning")])
def test_a_relay_that_works_and_the_kind_of_nat(shift: int, kind: str, level: str) -> None:
    with servers(shift) as (turn, stun):
        found = list(look_at_servers(case(NatSettings("ice", "", f"127.0.0.1:{stun}", f"127.0.0.1:{turn}", "user", "secret"))))
    assert [each.level for each in found] == ["ok", level]
    assert "203.0.113.5:50000" in found[0].text
    assert kind in found[1].text


def test_a_wrong_password() -> None:
    with servers() as (turn, _):
        found = list(look_at_servers(case(NatSettings("turn", "", "", f"turn:127.0.0.1:{turn}", "user", "guess"))))
    assert [each.level for each in found] == ["wrong"]
    assert "401" in found[0].text
    assert "turn_password" in found[0].advice


def test_no_relay_there() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    found = list(look_at_servers(case(NatSettings("turn", "", "", f"turn:127.0.0.1:{port}?transport=tcp", "user", "x"))))
    assert [each.level for each in found] == ["wrong"]


def test_an_address_that_is_missing() -> None:
    assert [each.level for each in look_at_servers(case(NatSettings("address")))] == ["wrong"]


def test_keys_in_the_clear_are_told() -> None:
    account = AccountSettings("office", "example.org", "1001", srtp="required")
    config = replace(Config(), srtp=SrtpSettings("off"), accounts=(account,))
    found = list(look_at_encryption(Case("", config=config)))
    assert [each.level for each in found] == ["ok", "warning"]
    assert "office" in found[1].text
    for hidden in (replace(account, keying="dtls"), replace(account, transport="tls"), replace(account, transport="wss")):
        found = list(look_at_encryption(Case("", config=replace(config, accounts=(hidden,)))))
        assert [each.level for each in found] == ["ok"]
    assert list(look_at_encryption(Case("", config=Config()))) == []


def test_what_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offhook.cli.doctor.secrecy.available", lambda: False)
    config = replace(Config(), srtp=SrtpSettings("required", "dtls"))
    found = list(look_at_encryption(Case("", config=config)))
    assert [each.level for each in found] == ["wrong"]
    assert "offhook[dtls]" in found[0].advice
