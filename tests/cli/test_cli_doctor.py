"""The doctor as people call it: order, time limits, progress, JSON, exit codes, and a whole phone with an exchange."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from offhook.cli import main
from offhook.cli.doctor.finding import Check, Finding
from offhook.cli.doctor.runner import BESIDE, run_checks
from offhook.phone.model import AccountView
from offhook.sip.responses import response_to
from offhook.sip.stack import host_port
from offhook.storage.privacy import keep_private
from offhook.testing.backend import FakeBackend
from offhook.testing.process import phone_process
from offhook.testing.served import served
from offhook.testing.threaded import exchange_beside, sip_peer

QUIET = '[sip]\nhost = "127.0.0.1"\nport = 0\n[media]\nsound = "null"\n'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OFFHOOK_HOME", str(tmp_path))
    monkeypatch.delenv("OFFHOOK_SOCKET", raising=False)
    monkeypatch.setattr("offhook.storage.secrets._keyring_backend", lambda: None)
    return tmp_path


# --- running checks ------------------------------------------------------------------------------------------------


def finding(name: str) -> Finding:
    return Finding(name, "ok", "fine")


def test_findings_keep_the_order_of_the_checks() -> None:
    second = threading.Event()

    def slow() -> Iterator[Finding]:
        yield finding("1")
        assert second.wait(5), "checks do not run beside each other"
        yield finding("2")

    def quick() -> Iterator[Finding]:
        second.set()
        yield finding("3")

    begun: list[str] = []
    others = [Check(str(number), lambda: iter([finding("x")])) for number in range(2 * BESIDE)]
    checks = [Check("slow", slow), Check("quick", quick), *others]
    assert [found.name for found in run_checks(checks, begun.append)] == ["1", "2", "3", *["x"] * 2 * BESIDE]
    assert begun[:2] == ["slow", "quick"]


def test_a_check_that_hangs_is_left_alone() -> None:
    never = threading.Event()

    def hang() -> Iterator[Finding]:
        yield finding("before")
        never.wait(5)
        yield finding("never seen")

    checks = [Check("hang", hang, limit=0.05), Check("next", lambda: iter([finding("next")]))]
    found = list(run_checks(checks, lambda name: None))
    never.set()
    assert [each.name for each in found] == ["before", "hang", "next"]
    assert found[1].level == "wrong"
    assert "not done within 0.05 s" in found[1].text


def test_a_check_that_fails_does_not_take_the_others_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> Iterator[Finding]:
        yield finding("before")
        raise RuntimeError("a mistake of ours")

    before, failed, after = run_checks([Check("fail", fail), Check("ok", lambda: iter([finding("ok")]))], lambda name: None)
    assert (before.name, failed.name, after.name) == ("before", "fail", "ok")
    assert "a mistake of ours" in failed.text
    assert "Traceback" in capsys.readouterr().err


# --- the verb ------------------------------------------------------------------------------------------------------


@pytest.mark.lengthy
def test_a_mistake_in_the_configuration_is_exit_code_1(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "offhook.toml").write_text("[phone]\nmoon = 1\n")
    assert main(["doctor"]) == 1
    text = capsys.readouterr().out
    assert f"!!  configuration: {home / 'offhook.toml'}:2: phone.moon: is not a setting" in text
    assert "start it: `offhook run`" in text
    assert "1 thing is wrong, " in text


def test_warnings_alone_are_no_failure(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "offhook.toml").write_text(QUIET)
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"name": "phone", "level": "warning", "text": f"none is running at {home / 'run' / 'offhook.sock'}",
            "advice": "start it: `offhook run`; what can be looked at without it follows"} in found  # fmt: skip
    assert {item["name"] for item in found} >= {"configuration", "accounts", "codecs", "sound", "SIP port", "RTP ports",
                                                "loopback", "history", "recordings"}
    assert not [item for item in found if item["level"] == "wrong"]
    assert not any(item["advice"] == "" for item in found if item["level"] != "ok")


@pytest.mark.lengthy
def test_a_refused_account_of_a_running_phone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "offhook.toml").write_text(QUIET)
    backend = FakeBackend()
    with sip_peer(lambda request, source: response_to(request, 200, "", "t")) as peer, \
            served(backend, home / "run" / "offhook.sock"):  # fmt: skip
        uri = f"sip:me@{host_port(peer.address)}"
        backend.accounts = (AccountView("a_1", "", uri, "", "udp", "failed", 0, 401, "Unauthorized"),)
        assert main(["doctor"]) == 1
        text = capsys.readouterr().out
        assert "!!  account a_1: registration failed: 401 Unauthorized: the password or the user name is wrong" in text
        assert "    `offhook password a_1` keeps another" in text
        backend.accounts = (AccountView("a_1", "", uri, "", "udp", "registered"),)
        backend.draining = True
        assert main(["doctor"]) == 0
        text = capsys.readouterr().out
        assert "phone, calls: drain is on: no new calls are taken" in text
        assert "`offhook drain off`" in text
        backend.draining = False
        assert main(["doctor"]) == 0
        assert capsys.readouterr().out.endswith("\n\nall is well\n")


def test_a_far_ends_words_do_nothing_to_the_terminal(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = [("Server", "\x1b[31mPBX \udcff")]
    with sip_peer(lambda request, source: response_to(request, 200, "", "t", server)) as peer:
        (home / "offhook.toml").write_text(f'{QUIET}[account.a]\ndomain = "{host_port(peer.address)}"\nusername = "u"\n')
        main(["doctor"])
        assert "(?[31mPBX ?) answers 200 OK" in capsys.readouterr().out
        main(["doctor", "--json"])
        assert "?[31mPBX ?" in capsys.readouterr().out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_what_is_waited_for(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "offhook.toml").write_text(QUIET)
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    assert main(["doctor"]) == 0
    text = screen.getvalue()
    assert "..  configuration …" in text
    assert "..  RTP ports …" in text
    last = text.rpartition("\n")[0].rpartition("\n")[2]
    assert last.endswith("warnings"), "nothing half-written stays"
    assert "…" not in last.rpartition("\r")[2]


@pytest.mark.parametrize("line", ["doctor --timeout 0", "doctor --timeout soon", "doctor --timeout 3600", "doctor --stun"])
def test_bad_usage_is_2(home: Path, capsys: pytest.CaptureFixture[str], line: str) -> None:
    assert main(line.split()) == 2
    assert capsys.readouterr().err


def test_a_stun_server_that_is_none(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "offhook.toml").write_text(QUIET)
    assert main(["doctor", "--stun", "a:b:c", "--json"]) == 1
    found = {item["name"]: item for item in json.loads(capsys.readouterr().out)}
    assert found["STUN"]["advice"] == "write HOST or HOST:PORT"


@pytest.mark.slow
def test_a_whole_phone_registered_at_the_practice_exchange(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with exchange_beside() as address:
        account = f'[account.work]\ndomain = "{host_port(address)}"\nusername = "1001"\npassword = "practice-1001"\n'
        with phone_process(home, account) as phone:
            monkeypatch.setenv("OFFHOOK_SOCKET", phone.socket)
            phone.until("list_accounts", lambda result: result["value"][0]["registration"] == "registered")
            keep_private(phone.file)
            code = main(["doctor", "--json", "--config", str(phone.file)])
            found = {item["name"]: item for item in json.loads(capsys.readouterr().out)}
        assert phone.port
        assert [item for item in found.values() if item["level"] != "ok"] == []
        assert code == 0
        assert found["account work"]["text"].startswith("registered as sip:1001@")
        assert f"listens on 127.0.0.1:{phone.port} and answers" in found["phone, SIP"]["text"]
        assert found["SIP port"]["text"] == f"the phone has {phone.port}"
        assert "no NAT between" in found["account work, NAT"]["text"]
        assert "switched off" in found["sound"]["text"]
        page = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text("utf-8")
        for name in found:
            documented = name.replace("account work, TCP", "… TCP").replace("account work", "account NAME")
            assert f"`{documented}`" in page, f"docs/doctor.md does not explain {name!r}"
