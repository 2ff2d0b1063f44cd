"""`offhook contacts` against a real list of contacts, and what a hostile name can do to a terminal: nothing."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from offhook.cli import main, render
from offhook.cli.contacts import contact_line
from offhook.cli.verbs import CONTACT_FIELDS
from offhook.control.backend import Accepted, Cause, Command
from offhook.control.schema import to_json
from offhook.phone.model import Contact, ContactDetails
from offhook.shown import plain
from offhook.testing.backend import FakeBackend
from offhook.testing.phones import VirtualPhone
from offhook.testing.served import served
from offhook.testing.wire import Wire

HOSTILE = '"; rm -rf / & %PATH% \n/transfer:999 \x1b[2J\u202e$(id)`'
"""A name or number as a stranger may choose it."""


class PhoneBackend(FakeBackend):
    """A real phone without sockets behind the surface."""

    def __init__(self) -> None:
        super().__init__()
        self.phone = VirtualPhone(Wire(), "alice", "10.0.0.1")

    def execute(self, command: Command, cause: Cause | None = None) -> Accepted:
        return self.phone.execute(command)


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PhoneBackend]:
    backend = PhoneBackend()
    with served(backend, tmp_path / "s") as path:
        monkeypatch.setenv("OFFHOOK_SOCKET", path)
        yield backend


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: str) -> str:
        assert main(["contacts", *words]) == 0
        return capsys.readouterr().out.removesuffix("\n")

    return run


def test_a_contacts_life(phone: PhoneBackend, said: Any) -> None:
    assert said() == "there are no contacts"
    added = said("add", "+4930123", "Ada", "Lovelace", "--city", "London")
    contact = added.split()[1]
    assert added == f"added: {contact}  Ada Lovelace  +4930123"
    said("update", contact, "--starred", "--number", "", "--mobile", "0172 1")
    assert said("list") == f"{contact}  Ada Lovelace  0172 1  (starred)"
    assert said("search", "ada", "london") == said("list")
    assert said("search", "nobody") == "nobody fits 'nobody'"
    assert said("get", contact) == f"name: Ada Lovelace\nmobile: 0172 1\ncity: London\nstarred: True\nid: {contact}"
    found = json.loads(said("get", contact, "--json"))
    assert found == to_json(Contact(id=contact, name="Ada Lovelace", mobile="0172 1", city="London", starred=True))
    assert said("update", contact, "--not-starred").endswith("0172 1")
    said("remove", contact)
    assert json.loads(said("--json")) == []


def test_pages(phone: PhoneBackend, said: Any) -> None:
    for number in range(3):
        said("add", f"100{number}")
    first = said("list", "--limit", "2").splitlines()
    assert [line.split()[1] for line in first[:2]] == ["1000", "1001"]
    more = first[2].split()[-1]
    assert said("list", "--limit", "2", "--after", more).split()[1] == "1002"


@pytest.mark.parametrize("words", [
    ["paint"], ["add"], ["get"], ["update", "ct_1"], ["remove"], ["search"],
    ["list", "--starred"], ["search", "x", "--city", "y"],
])
def test_wrong_use(phone: PhoneBackend, words: list[str]) -> None:
    assert main(["contacts", *words]) == 2


def test_a_hostile_name_is_carried_as_it_is_and_shown_escaped(phone: PhoneBackend, said: Any) -> None:
    contact = said("add", "--name", HOSTILE, "--number", HOSTILE).split()[1]
    assert json.loads(said("get", contact, "--json"))["name"] == HOSTILE
    for shown in (said(), said("get", contact)):
        assert r"\x0a/transfer:999 \x1b[2J\u202e$(id)`" in shown
        assert "\x1b" not in shown


@given(st.text(max_size=40))
def test_nothing_moves_the_cursor(text: str) -> None:
    shown = [
        plain(text), contact_line(to_json(Contact(id=text, name=text, number=text, info=text))),
        render.history_line({"id": "h", "direction": "incoming", "remote_uri": text, "remote_display": text}),
        render.event_line({"type": "message.received", "data": {"text": text, "remote": {"uri": text}}}),
        render.status_line({"name": "ACTIVE", "remote": text, "call": "c"}),
    ]  # fmt: skip
    for line in shown:
        assert not [each for each in line if unicodedata.category(each) in ("Cc", "Zl", "Zp", "Cs")]
        assert not {"\u202e", "\u2066", "\u200f"} & set(line)
        line.encode("utf-8")


def test_the_options_are_the_phones_fields() -> None:
    texts = {each.name for each in structs.fields(ContactDetails) if each.type is str}
    assert set(CONTACT_FIELDS) == texts


@pytest.mark.parametrize("file", ["people.vcf", "people.csv"])
def test_what_is_exported_can_be_imported(phone: PhoneBackend, said: Any, tmp_path: Path, file: str) -> None:
    long = "Köln, Düsseldorf; \\ und so weiter. " * 12
    people = [
        ["--name", "Jürgen Müß-Łukasz", "--number", "+49 (0)30/1234", "--phone", "030 5", "--mobile", "0172", "--city", "Ulm"],
        ["--name", "Smith, John; Jr.", "--first-name", "John", "--last-name", "Smith", "--number", "sip:john@example.org"],
        ["--name", "=1+1", "--number", "1003", "--comment", long + "\nsecond line", "--email", "a@example.org"],
        ["--name", "你好" * 60, "--number", "*97#", "--info", "line", "--external-id", "7", "--zip", "01234", "--state", "NRW"],
    ]
    for details in people:
        said("add", *details)
    before = [{**each, "id": ""} for each in json.loads(said("--json"))]
    out = tmp_path / file
    assert said("export", str(out)) == "4 contacts written"
    assert said("export", "--format", file[-3:].replace("vcf", "vcard")).count("\n") > 3, "and to the terminal"
    assert said("export", "-") == said("export")
    assert all(len(line) <= 77 for line in out.read_bytes().split(b"\n")) or file.endswith("csv")
    for contact in json.loads(said("--json")):
        said("remove", contact["id"])
    said("import", str(out))
    assert [{**each, "id": ""} for each in json.loads(said("--json"))] == before


def test_an_export_names_what_it_cannot_write(phone: PhoneBackend, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["contacts", "export", str(tmp_path / "people.xls")]) == 2
    assert "ends in .vcf or .csv" in capsys.readouterr().err
    assert main(["contacts", "export", str(tmp_path / "no" / "people.vcf")]) == 1
    assert json.loads(_out(capsys, "contacts", "export", str(tmp_path / "p.vcf"), "--json"))["contacts"] == 0
    assert json.loads(_out(capsys, "contacts", "export", "--json")) == []


def _out(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(list(words)) == 0
    return capsys.readouterr().out
