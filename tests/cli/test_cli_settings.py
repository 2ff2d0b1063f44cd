"""What the configuration file leaves to the system: passwords, the phone's own name, what follows from other settings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from offhook.app.settings import complete, kept_instance, may_encrypt
from offhook.storage import secrets
from offhook.storage.config import parse
from offhook.storage.paths import paths
from offhook.storage.secrets import TURN, FileSecrets

ACCOUNTS = """
[account.written]
domain = "pbx.example"
username = "1"
password = "in the file"
[account.kept]
domain = "pbx.example"
username = "2"
[account.none]
domain = "pbx.example"
username = "3"
"""


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFHOOK_HOME", str(tmp_path))
    monkeypatch.setattr(secrets, "_keyring_backend", lambda: None)


@pytest.mark.parametrize(("turn", "expected"), [
    ("", ""), ('turn = "relay.example"', "kept"), ('turn = "relay.example"\nturn_password = "in the file"', "in the file"),
])  # fmt: skip
def test_passwords_that_the_file_does_not_have_are_those_that_were_kept(turn: str, expected: str) -> None:
    store = FileSecrets(paths().secrets_file)
    for name in ("written", "kept", TURN):
        store.set(name, "kept")
    found = complete(parse(ACCOUNTS + "[nat]\n" + turn))
    assert [account.password for account in found.accounts] == ["in the file", "kept", ""]
    assert found.nat.turn_password == expected


def test_a_relay_whose_password_nobody_knows_has_none() -> None:
    assert complete(parse('[nat]\nturn = "relay.example"\n')).nat.turn_password == ""


def test_where_every_password_is_written_no_keyring_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """One may ask its user, and none is quick."""
    monkeypatch.setattr("offhook.app.settings.open_secrets", lambda _: pytest.fail("it was asked"))
    complete(parse('[nat]\nturn = "relay.example"\nturn_password = "x"\n' + ACCOUNTS.partition("[account.kept]")[0]))


@pytest.mark.parametrize(("text", "decide"), [
    ("", False), ("[phone]\ndecide = true\n", True), ('[hooks]\ndecide = "ask-the-crm"\n', True),
    ('[hooks]\ndecide_url = "https://crm.example/"\n', True), ('[hooks]\non_call_end = "note"\n', False),
])  # fmt: skip
def test_who_has_a_program_that_decides_need_not_say_so_twice(text: str, decide: bool) -> None:
    assert complete(parse(text)).phone.decide is decide


def test_recordings_are_kept_where_the_system_keeps_such_things_unless_the_file_says_where() -> None:
    assert complete(parse("")).phone.recording_dir == str(paths().recordings)


@pytest.mark.parametrize(("policy", "account", "may"), [
    ("off", "default", False), ("off", "off", False), ("off", "optional", True), ("required", "off", True),
])  # fmt: skip
def test_encryption_is_prepared_where_some_call_may_have_it(policy: str, account: str, may: bool) -> None:
    text = f'[srtp]\npolicy = "{policy}"\n[account.a]\ndomain = "h"\nusername = "1"\nsrtp = "{account}"\n'
    assert may_encrypt(parse(text)) is may


def test_a_phone_is_the_same_one_after_a_restart(tmp_path: Path) -> None:
    # RFC 5626 4.1
    file = tmp_path / "instance-id"
    made, trouble = kept_instance(file)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", made)
    assert trouble == ""
    assert kept_instance(file) == (made, "")
    file.write_text("something else")
    other, trouble = kept_instance(file)
    assert other != made
    assert kept_instance(file) == (other, "")


def test_a_name_that_cannot_be_kept_serves_this_run(tmp_path: Path) -> None:
    (tmp_path / "instance-id").mkdir()
    made, trouble = kept_instance(tmp_path / "instance-id")
    assert made.startswith("urn:uuid:")
    assert trouble.startswith(f"{tmp_path / 'instance-id'}: cannot be written: ")
