"""Phones in network namespaces of their own: the address changes, the link goes down and comes back, and nothing is lost."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from offhook.testing.peers import PeerMissing, Process, program
from offhook.testing.process import PhoneProcess

pytestmark = [pytest.mark.interop, pytest.mark.slow]

SERVER, OURS, OTHER = "10.77.0.254", "10.77.0.1", "10.77.0.2"


@dataclass
class Town:
    """Two namespaces with a cable between them: one for the exchange, one for the phone."""

    exchange: str
    phone: str

    def run(self, *arguments: str) -> None:
        """Carry out an `ip` command in the phone's namespace."""
        _ip("-n", self.phone, *arguments)


def _ip(*arguments: str) -> None:
    done = subprocess.run([program("ip", "iproute2"), *arguments], capture_output=True, text=True, timeout=20, check=False)
    if done.returncode:
        raise PeerMissing(f"ip {' '.join(arguments)}: {done.stderr.strip()} (network namespaces need root)")


@pytest.fixture
def town() -> Iterator[Town]:
    names = Town(f"offhook-x{os.getpid()}", f"offhook-p{os.getpid()}")
    try:
        for name in (names.exchange, names.phone):
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("link", "add", "x0", "netns", names.exchange, "type", "veth", "peer", "name", "p0", "netns", names.phone)
        _ip("-n", names.exchange, "addr", "add", f"{SERVER}/24", "dev", "x0")
        _ip("-n", names.phone, "addr", "add", f"{OURS}/24", "dev", "p0")
        _ip("-n", names.exchange, "link", "set", "x0", "up")
        _ip("-n", names.phone, "link", "set", "p0", "up")
        yield names
    finally:
        for name in (names.exchange, names.phone):
            with contextlib.suppress(PeerMissing):
                _ip("netns", "delete", name)


class Inside:
    """A phone in a namespace; what it says of its events is in its log."""

    def __init__(self, home: Path, config: str, namespace: str) -> None:
        self.outside = PhoneProcess(home, "")  # talks to it: the local socket knows no network namespaces
        self.outside.file.write_text(f'[sip]\nport = 5060\n[media]\nsound = "null"\n{config}', "utf-8")
        settings = [f"{name}={self.outside.environment[name]}" for name in ("OFFHOOK_HOME", "OFFHOOK_SOCKET")]
        self.process = Process(
            ["ip", "netns", "exec", namespace, "env", *settings, sys.executable, "-u", "-m", "offhook", "run", "--verbose",
             "--config", str(self.outside.file)],
            home / "phone.log",
        )
        self.ask, self.until = self.outside.ask, self.outside.until
        self.waits_for("is running")

    def waits_for(self, words: str) -> None:
        """Wait until the log has these words."""
        self.process.wait_until(lambda: words in self.process.log.read_text("utf-8", "replace"), words)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_call_that_rings_is_placed_anew_from_another_address(town: Town, tmp_path: Path, transport: str) -> None:
    home, phone = tmp_path / "exchange", None
    home.mkdir()
    exchange = Process(
        ["ip", "netns", "exec", town.exchange, "env", f"OFFHOOK_HOME={home}", sys.executable, "-u", "-m", "offhook", "exchange",
         "--host", SERVER],
        tmp_path / "exchange.log",
    )
    account = f'[account.a]\ndomain = "{SERVER}:5070"\nusername = "1001"\npassword = "practice-1001"\n'
    account += f'transport = "{transport}"\n'
    try:
        exchange.wait_until(lambda: "5070" in exchange.log.read_text("utf-8", "replace"), "listening")
        phone = Inside(tmp_path / "phone", account, town.phone)
        phone.until("list_accounts", registered)
        phone.ask("dial", to="ring-6")
        ringing = phone.until("list_calls", lambda calls: [call["state"] for call in calls["value"]] == ["ringing"])
        former = ringing["value"][0]["sip_call_id"]

        move(town)
        answered = phone.until("list_calls", lambda calls: [call["state"] for call in calls["value"]] == ["active"], 30)
        assert answered["value"][0]["sip_call_id"] != former
        phone.ask("hangup")
        phone.until("list_calls", lambda calls: not calls["value"])
        assert [call["end_by"] for call in phone.ask("history")["entries"]] == ["local"]
    finally:
        if phone is not None:
            phone.process.stop()
        exchange.stop()


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_a_call_lives_through_another_address_and_a_broken_link(town: Town, tmp_path: Path, transport: str) -> None:
    home = tmp_path / "exchange"
    home.mkdir()
    exchange = Process(
        ["ip", "netns", "exec", town.exchange, "env", f"OFFHOOK_HOME={home}", sys.executable, "-u", "-m", "offhook", "exchange",
         "--tls", "--host", SERVER],
        tmp_path / "exchange.log",
    )
    account = f'[account.a]\ndomain = "{SERVER}:5070"\nusername = "1001"\npassword = "practice-1001"\n'
    account += f'transport = "{transport}"\nkeep_alive = 2\nexpires = 60\ntls_ca = "{home}/state/exchange-ca.pem"\n'
    if transport == "tls":
        account += f'proxy = "sip:{SERVER}:5071"\n'
    phone: Inside | None = None
    try:
        exchange.wait_until(lambda: "TLS is on" in exchange.log.read_text("utf-8", "replace"), "listening")
        phone = Inside(tmp_path / "phone", account, town.phone)
        phone.until("list_accounts", registered)
        phone.ask("dial", to="echo")
        phone.until("list_calls", lambda calls: [call["state"] for call in calls["value"]] == ["active"])

        move(town)
        exchange.wait_until(lambda: f"registered at {OTHER}" in exchange.log.read_text("utf-8", "replace"), "the new address")
        phone.until("list_accounts", registered)
        hold_and_resume(phone)

        town.run("link", "set", "p0", "down")
        phone.waits_for("the network is gone")
        town.run("link", "set", "p0", "up")
        phone.waits_for("there is a network now")
        phone.until("list_accounts", registered, 20)
        hold_and_resume(phone)
        phone.ask("hangup")
        phone.until("list_calls", lambda calls: not calls["value"])
        assert [call["end_by"] for call in phone.ask("history")["entries"]] == ["local"]
    finally:
        if phone is not None:
            phone.process.stop()
        exchange.stop()


def registered(accounts: Any) -> bool:
    return bool(accounts["value"][0]["registration"] == "registered")


def move(town: Town) -> None:
    """Give the phone's machine its other address in place of the one it has."""
    town.run("addr", "add", f"{OTHER}/24", "dev", "p0")
    town.run("addr", "del", f"{OURS}/24", "dev", "p0")
    town.run("addr", "replace", f"{OTHER}/24", "dev", "p0")


def hold_and_resume(phone: Inside) -> None:
    phone.ask("hold")
    phone.until("list_calls", lambda calls: [call["state"] for call in calls["value"]] == ["held_local"], 20)
    phone.ask("resume")
    phone.until("list_calls", lambda calls: [call["state"] for call in calls["value"]] == ["active"], 20)
