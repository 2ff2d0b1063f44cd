"""`accounts … --keep`: what is changed in the running phone is in the configuration file, too."""

from __future__ import annotations

import io
import json
import os
import stat
from pathlib import Path

import pytest

from offhook.cli import main
from offhook.phone.model import AccountView
from offhook.storage.config import load
from offhook.storage.paths import paths
from offhook.testing.backend import FakeBackend
from offhook.testing.served import served


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "APPDATA", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("OFFHOOK_HOME", raising=False)
    monkeypatch.setattr("offhook.storage.secrets._keyring_backend", lambda: None)
    found = paths().config_file
    found.parent.mkdir(parents=True, exist_ok=True)
    found.write_text('# mine\n[account.old]\ndomain = "example.org"\nusername = "1"\nlabel = "Old"\n')
    return found


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "cp850"])
def test_a_mark_before_a_piped_password_is_no_part_of_it(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    """PowerShell writes one; the account was refused with "wrong password" then."""
    piped = io.BytesIO(b"\xef\xbb\xbfhush\r\n")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(piped, encoding=encoding))
    assert run(tmp_path, "password", "old") == 0
    assert json.loads(paths().secrets_file.read_text())["old"] == "hush"


def run(tmp_path: Path, *words: str) -> int:
    with served(FakeBackend(), tmp_path / "s") as socket:
        return main([*words, "--socket", socket])


def test_an_account_is_added_changed_and_removed_in_the_file(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("hush\n"))
    words = ("--domain", "pbx.example.org", "--username", "7", "--keep", "--ask-password")
    assert run(tmp_path, "accounts", "add", "new", *words) == 0
    added = {account.id: account for account in load(file).accounts}["new"]
    assert (added.domain, added.username, added.register, added.password) == ("pbx.example.org", "7", True, "")
    assert "hush" not in file.read_text()
    assert json.loads(paths().secrets_file.read_text())["new"] == "hush"
    assert run(tmp_path, "accounts", "change", "old", "--transport", "tcp", "--keep") == 0
    old = load(file).accounts[0]
    assert (old.label, old.transport) == ("Old", "tcp"), "and it is still the first, which dials"
    assert run(tmp_path, "accounts", "remove", "new", "--keep") == 0
    assert [account.id for account in load(file).accounts] == ["old"]
    assert file.read_text().startswith("# mine\n")
    assert json.loads(paths().secrets_file.read_text()) == {}, "its password is gone, too"


def test_a_password_is_kept_for_an_account_there_is(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def keep(account: str, *words: str) -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO("hush\n"))
        return main(["password", account, "--socket", str(tmp_path / "nobody"), *words])

    assert keep("odl") == 1
    assert capsys.readouterr().err == "there is no account 'odl'; there are: old\n"
    assert not paths().secrets_file.exists()
    assert keep("old") == keep("turn") == 0
    other = tmp_path / "other.toml"
    other.write_text('[account.new]\ndomain = "example.org"\nusername = "1"\n')
    assert keep("new", "--config", str(other)) == 0
    assert keep("old", "--config", str(other)) == 1
    assert set(json.loads(paths().secrets_file.read_text())) == {"old", "turn", "new"}
    file.write_text("")
    assert keep("first") == 0, "the file may come later"


def test_a_password_is_kept_for_an_account_of_the_running_phone_alone(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("hush\n"))
    backend = FakeBackend()
    backend.accounts = (AccountView("a_1", "", "sip:me@h", "", "udp", "registered"),)
    with served(backend, tmp_path / "s") as socket:
        assert main(["password", "a_1", "--socket", socket]) == 0


def test_a_phone_that_was_started_with_another_file_keeps_it_there(file: Path, tmp_path: Path) -> None:
    before, other = file.read_text(), tmp_path / "other.toml"
    backend = FakeBackend()
    backend.facts["config"] = str(other)
    with served(backend, tmp_path / "s") as socket:
        words = ("--domain", "pbx.example.org", "--username", "7", "--keep")
        assert main(["accounts", "add", "new", *words, "--socket", socket]) == 0
    assert [account.id for account in load(other).accounts] == ["new"]
    assert file.read_text() == before


def test_a_password_stays_that_an_account_of_the_usual_file_has(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("hush\n"))
    assert run(tmp_path, "password", "old") == 0
    other = tmp_path / "other.toml"
    other.write_text(file.read_text())
    assert run(tmp_path, "accounts", "remove", "old", "--keep", "--config", str(other)) == 0
    assert load(other).accounts == ()
    assert json.loads(paths().secrets_file.read_text()) == {"old": "hush"}


def test_without_keep_the_file_stays_as_it_is(file: Path, tmp_path: Path) -> None:
    before = file.read_text()
    assert run(tmp_path, "accounts", "remove", "old") == 0
    assert run(tmp_path, "accounts", "select", "old", "--keep") == 2, "there is nothing to keep"
    assert file.read_text() == before


def test_what_the_file_says_already_stays_as_it_is_written(file: Path, tmp_path: Path) -> None:
    text = (
        '[account.old]  # mine\ndomain = "example.org"  # theirs\nusername = "1"\nexpires = 300  # the usual\n'
        'codecs = ["PCMA"]  # one\nlabel = "Old"\n'
    )
    file.write_text(text)
    assert run(tmp_path, "accounts", "change", "old", "--label", "New", "--keep") == 0
    assert file.read_text() == text.replace("Old", "New")
    assert run(tmp_path, "accounts", "change", "old", "--label", "", "--keep") == 0, "a setting can be emptied"
    assert file.read_text() == text.replace('label = "Old"\n', "")


@pytest.mark.skipif(os.name == "nt", reason="links and modes are POSIX's")
def test_a_linked_file_stays_linked_and_keeps_who_may_read_it(file: Path, tmp_path: Path) -> None:
    kept = tmp_path / "dotfiles" / "mine.toml"
    kept.parent.mkdir()
    file.rename(kept)
    file.symlink_to(kept)
    kept.chmod(0o640)
    assert run(tmp_path, "accounts", "change", "old", "--label", "New", "--keep") == 0
    assert file.is_symlink()
    assert load(kept).accounts[0].label == "New"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o640
