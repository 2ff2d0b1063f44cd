"""`offhook token`, and a phone started with `--http`."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest

from offhook.app.serve import _tell_http, run_phone
from offhook.app.settings import with_address
from offhook.cli import main
from offhook.errors import SetupError
from offhook.storage.config import HttpSettings
from offhook.storage.tokens import TokenFile
from offhook.testing.process import phone_process


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OFFHOOK_HOME", str(tmp_path))
    return tmp_path


def test_a_token_is_made_shown_once_listed_and_revoked(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "create", "crm", "--scopes", "read, call", "--calls-per-minute", "5", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    found = TokenFile(home / "tokens.json").find(made["token"])
    assert found is not None
    assert (found.name, found.scopes, found.calls_per_minute) == ("crm", ("read", "call"), 5)
    assert main(["token", "list"]) == 0
    shown = capsys.readouterr().out
    assert shown == "crm  read,call  5 calls/min\n"
    assert main(["token", "revoke", "crm"]) == 0
    assert main(["token", "list", "--json"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "[]"


def test_limits_are_set_changed_and_taken_away(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def token(*words: str) -> str:
        assert main(["token", *words]) == 0
        return capsys.readouterr().out

    assert token("list") == "there is no token\n"
    secret = token("create", "crm", "--scopes", "read,call", "--max-calls", "2", "--allow", "+49*", "--allow", "10??",
                   "--deny", "+49900*").splitlines()[0]
    assert token("list") == "crm  read,call  2 at once  allow +49* 10??  deny +49900*\n"
    assert token("change", "crm", "--calls-per-minute", "7", "--allow", "none", "--deny", "0900*") == \
        "crm  read,call  7 calls/min  2 at once  deny 0900*\n"
    assert token("change", "crm", "--scopes", "read", "--max-calls", "0", "--deny", "none") == "crm  read  7 calls/min\n"
    (listed,) = json.loads(token("list", "--json"))
    assert (listed["name"], listed["scopes"], listed["deny"]) == ("crm", ["read"], [])
    assert secret not in json.dumps(listed)
    assert "sha256" not in listed
    assert TokenFile(home / "tokens.json").find(secret) is not None, "the same secret, with other limits"
    assert json.loads(token("create", "all", "--json"))["scopes"] == ["read", "call", "media", "record", "config", "admin"]


def test_without_scopes_a_token_may_do_everything(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "create", "me"]) == 0
    said = capsys.readouterr()
    found = TokenFile(home / "tokens.json").find(said.out.removesuffix("\n"))  # as a shell's TOKEN=$(…) takes it
    assert "nobody can show it again" in said.err
    assert found is not None
    assert len(found.scopes) == 6


@pytest.mark.parametrize("words", [
    ["token"], ["token", "moon"], ["token", "create"], ["token", "revoke"], ["token", "change", "x"],
])
def test_what_is_written_wrongly(home: Path, words: list[str]) -> None:
    assert main(words) == 2


@pytest.mark.parametrize("words", [["create", "a b"], ["create", "x", "--scopes", "root"], ["revoke", "nobody"]])
def test_what_cannot_be_done(home: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", *words]) == 1
    assert capsys.readouterr().err


@pytest.mark.parametrize(("text", "host", "port"), [
    ("5080", "127.0.0.1", 5080), ("0", "127.0.0.1", 0), ("0.0.0.0:80", "0.0.0.0", 80), ("[::1]:5080", "::1", 5080),
])  # fmt: skip
def test_the_address(text: str, host: str, port: int) -> None:
    found = with_address(HttpSettings(), text)
    assert (found.enabled, found.host, found.port) == (True, host, port)


@pytest.mark.parametrize("text", ["x", "127.0.0.1", ":5080", "70000", "1.2.3.4:", "-1"])
def test_no_address(text: str) -> None:
    with pytest.raises(SetupError, match="PORT"):
        with_address(HttpSettings(), text)


@pytest.mark.slow
def test_a_phone_with_http(tmp_path: Path) -> None:
    with phone_process(tmp_path, "", "--http", "0") as phone:
        assert phone.process is not None
        assert phone.process.stdout is not None
        url = phone.process.stdout.readline().split()[-1]
        assert str(tmp_path / "state" / "http-token") in phone.process.stdout.readline()
        token = (tmp_path / "state" / "http-token").read_text().strip()
        request = urllib.request.Request(f"{url}/v1/status", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request) as answer:
            assert json.load(answer)["name"] == "IDLE"
        assert token not in phone.stop()


def test_the_line_to_try_it_with_has_a_path_with_blanks_as_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "my phone" / "state" / "http-token"
    _tell_http("http://h", file)
    assert f"$(cat '{file}')" in capsys.readouterr().out


@pytest.mark.slow
def test_a_token_that_is_revoked_is_named_to_nobody(tmp_path: Path) -> None:
    with phone_process(tmp_path, "", "--http", "0") as phone:
        file = tmp_path / "state" / "http-token"
        phone.until("status", lambda _: file.exists())
        tokens = TokenFile(tmp_path / "tokens.json")
        tokens.create("crm")
        tokens.revoke("user")
        phone.stop()
        phone.start()
        said = phone.said + phone.stop()
    assert file.exists()
    assert "HTTP is on" in said
    assert str(file) not in said


@pytest.mark.slow
def test_a_disk_that_takes_no_token_costs_that_alone(tmp_path: Path) -> None:
    (tmp_path / "state" / "http-token").mkdir(parents=True)
    with phone_process(tmp_path, "", "--http", "0") as phone:
        said = phone.said + phone.stop()
    assert "there is no token for HTTP yet" in said
    assert "HTTP is on" in said


def test_a_phone_that_would_be_open_to_all_does_not_start(home: Path) -> None:
    options = SimpleNamespace(config="", port=None, sound="null", media="thread", http="0.0.0.0:0", socket="", verbose=False)
    with pytest.raises(SetupError, match="can be reached from other machines"):
        run_phone(options)
    assert not (home / "state").exists(), "nothing ran"


@pytest.mark.parametrize(("words", "port"), [((), None), (("--port", "0"), 0), (("--port", "5080"), 5080)])
def test_a_port_of_zero_is_any_port(monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], port: int | None) -> None:
    asked: list[int | None] = []

    def run(options: SimpleNamespace) -> int:
        asked.append(options.port)
        return 0

    monkeypatch.setattr("gc.disable", lambda: None)
    monkeypatch.setattr("offhook.app.serve.run_phone", run)
    assert main(["run", *words]) == 0
    assert asked == [port]
