"""`offhook import` as a person runs it: with and without a running phone, dry and wet, as text and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_cli_contacts import HOSTILE, PhoneBackend

from offhook.cli import importing, main
from offhook.phone.commands import ListContacts
from offhook.phone.model import ContactDetails
from offhook.storage.config import load
from offhook.storage.contacts import ContactFile
from offhook.storage.history import History
from offhook.storage.takeover.findings import Takeover
from offhook.testing.served import served

INI = """[Settings]
volumeOutput=70
[Account1]
label=Office
server=pbx.example.org
username=1001
password=plain secret
[Calls]
0=1002;Bob;0;1700000000;61;
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OFFHOOK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OFFHOOK_SOCKET", str(tmp_path / "s"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    folder = tmp_path / "MicroSIP"
    folder.mkdir()
    (folder / "MicroSIP.ini").write_text(INI, "utf-16")
    names = [{"name": HOSTILE, "number": HOSTILE}, {"name": "Ada", "number": "1"}]
    (folder / "contacts.json").write_text(json.dumps(names))
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main(["import", *words]) == 0
    out = capsys.readouterr().out
    return json.loads(out) if "--json" in words else out


def test_a_dry_run_writes_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, str(home / "MicroSIP"), "--dry-run")
    assert "[Account1] -> account.office  (with its password)" in said
    assert "1 accounts, 1 settings, 2 contacts, 1 calls" in said
    assert "plain secret" not in said
    assert not (home / "home").exists()


@pytest.mark.lengthy
def test_without_a_phone_all_of_it_is_written(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, str(home / "MicroSIP"), "--json")
    assert (said["running"], said["imported"]["added"], said["accounts"], said["calls"]) == (False, 2, ["office"], 1)
    assert "plain secret" not in json.dumps(said)
    config = load(home / "home" / "offhook.toml")
    assert (config.phone.output_volume, config.accounts[0].domain, config.accounts[0].password) == (70, "pbx.example.org", "")
    assert json.loads((home / "home" / "secrets.json").read_text()) == {"office": "plain secret"}
    file = ContactFile(home / "home" / "state" / "contacts.sqlite3")
    assert {contact.name for contact in file.load()} == {"Ada", HOSTILE}
    file.close()
    history = History(home / "home" / "state" / "history.sqlite3")
    assert [record.remote_uri for record in history.list()] == ["sip:1002@pbx.example.org"]
    history.close()
    assert run(capsys, str(home / "MicroSIP"), "--json")["imported"] == {"added": 0, "updated": 0, "unchanged": 2}


def test_a_running_phone_has_the_contacts_at_once(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backend = PhoneBackend()
    with served(backend, home / "s"):
        said = run(capsys, str(home / "MicroSIP"))
    assert f"Written into {home / 'home' / 'offhook.toml'}." in said
    assert "offhook quit" in said
    assert [found.name for found in backend.phone.execute(ListContacts()).value] == [HOSTILE, "Ada"]
    assert not (home / "home" / "state" / "contacts.sqlite3").exists()


def test_what_is_not_there_is_not_told(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ini, contacts = home / "MicroSIP" / "MicroSIP.ini", home / "MicroSIP" / "contacts.json"
    with served(PhoneBackend(), home / "s"):
        said = run(capsys, str(contacts))
    assert "2 new" in said
    assert "Written into" not in said
    assert "offhook quit" not in said, "contacts hold at once"
    contacts.unlink()
    ini.write_text("[Settings]\nvolumeOutput=70\n")
    said = run(capsys, str(home / "MicroSIP"))
    assert "Written into" in said, "settings alone are written, too"
    assert "offhook quit" not in said, "no phone runs"
    assert "Contacts:" not in said
    assert load(home / "home" / "offhook.toml").phone.output_volume == 70


def test_a_file_that_cannot_be_changed_is_told_before_anything_is_taken_over(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "home").mkdir()
    (home / "home" / "offhook.toml").write_text('account = {a = {domain = "d", username = "u"}}\n')
    for words in ((), ("--dry-run",)):
        assert main(["import", str(home / "MicroSIP"), *words]) == 1
        assert "write one table for each account" in capsys.readouterr().err
    assert [file.name for file in (home / "home").iterdir()] == ["offhook.toml"]


def test_contacts_alone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["contacts", "import", str(home / "MicroSIP" / "contacts.json"), "--dry-run"]) == 0
    assert "Nothing was written" in capsys.readouterr().out
    assert main(["contacts", "import", str(home / "MicroSIP")]) == 0
    assert "2 new, 0 brought up to date" in capsys.readouterr().out
    assert main(["contacts", "import", str(home / "MicroSIP"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["imported"] == {"added": 0, "updated": 0, "unchanged": 2}
    assert not (home / "home" / "offhook.toml").exists()


@pytest.mark.parametrize(("words", "code", "says"), [
    ([], 2, "write the file or folder"), (["nothing.ini"], 1, "cannot be read"),
    (["x.csv"], 1, "x.csv:1: the first line must name"), (["x.csv", "--encoding", "zip"], 2, "no text encoding"),
])
def test_mistakes_are_explained(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], code: int, says: str
) -> None:
    monkeypatch.chdir(home)
    (home / "x.csv").write_text("a,b\n")
    assert main(["import", *words]) == code
    assert says in capsys.readouterr().err


def test_an_encoding_can_be_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "r.csv").write_bytes("Name,Number\nПривет,1\n".encode("cp1251"))
    run(capsys, str(home / "r.csv"), "--encoding", "cp1251")
    file = ContactFile(home / "home" / "state" / "contacts.sqlite3")
    assert [contact.name for contact in file.load()] == ["Привет"]
    file.close()


def test_a_path_as_windows_hands_it_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLDER", "there")
    assert importing.written_path('x/$FOLDER/y"', "win32") == Path("x/there/y")
    assert importing.written_path("x/$FOLDER", "linux") == Path("x/$FOLDER")


def test_requests_are_as_large_as_the_phone_takes() -> None:
    many = [ContactDetails(name=f"N{number}", number="1", comment="ü" * 4000) for number in range(30)]
    found = list(importing.packs(Takeover(contacts=many)))
    assert [each["name"] for pack in found for each in pack] == [each.name for each in many]
    assert all(len(json.dumps(pack)) < 64_000 for pack in found)
    assert len(found) == 30  # each of them 24 KB as ASCII
    starred = ContactDetails(name="N", number="1", starred=True)
    assert list(importing.packs(Takeover(contacts=[starred]))) == [[{"name": "N", "number": "1", "starred": True}]]
    short = [ContactDetails(name=f"N{number}", number="1") for number in range(1100)]
    assert [len(pack) for pack in importing.packs(Takeover(contacts=short))] == [500, 500, 100], "more are refused"
