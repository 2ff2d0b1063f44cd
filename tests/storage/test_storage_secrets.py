"""Passwords in a file only we can read, or in a keyring."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from offhook.errors import SetupError
from offhook.storage import secrets
from offhook.storage.privacy import keep_private, private_again
from offhook.storage.secrets import FileSecrets, KeyringSecrets, open_secrets
from offhook.testing.sharing import read_by_others, share


class FakeKeyring:
    """A keyring in memory."""

    priority = 5

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, name: str) -> str | None:
        return self.kept.get((service, name))

    def set_password(self, service: str, name: str, value: str) -> None:
        if value == "locked":
            raise RuntimeError("locked")
        self.kept[service, name] = value

    def delete_password(self, service: str, name: str) -> None:
        del self.kept[service, name]


def test_a_password_is_kept_in_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "secrets.json"
    store = FileSecrets(path)
    assert store.get("office") is None
    store.set("office", "s3cret ✓")
    store.set("home", "x")
    assert FileSecrets(path).get("office") == "s3cret ✓"
    assert not read_by_others(path)
    store.delete("office")
    store.delete("office")
    assert (store.get("office"), store.get("home")) == (None, "x")


def test_a_file_others_can_read_is_refused_with_the_cure(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    FileSecrets(path).set("office", "x")
    share(path)
    with pytest.raises(SetupError, match="other users") as refused:
        FileSecrets(path).get("office")
    assert private_again(path) in str(refused.value)
    with pytest.raises(SetupError, match="other users"):
        FileSecrets(path).set("office", "y")


@pytest.mark.parametrize("content", ["{", "[]", '{"office": 3}', "\xff"])
def test_a_damaged_file_says_so(tmp_path: Path, content: str) -> None:
    path = tmp_path / "secrets.json"
    path.write_text(content, "latin-1")
    keep_private(path)
    with pytest.raises(SetupError, match="damaged"):
        FileSecrets(path).get("office")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="cannot be"):
        FileSecrets(tmp_path / "file" / "secrets.json").set("office", "x")


def test_a_password_that_a_full_disk_does_not_take_is_not_taken_for_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(secrets, "write_private", full)
    with pytest.raises(SetupError, match=r"secrets\.json: cannot be written: No space left"):
        FileSecrets(tmp_path / "secrets.json").set("office", "x")


def test_a_usable_keyring_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_keyring_backend", FakeKeyring)
    store = open_secrets(tmp_path / "secrets.json")
    assert isinstance(store, KeyringSecrets)
    store.set("office", "x")
    assert store.get("office") == "x"
    store.delete("office")
    store.delete("office")
    assert store.get("office") is None
    with pytest.raises(SetupError, match="unlock"):
        store.set("office", "locked")
    assert not (tmp_path / "secrets.json").exists()


def test_without_a_keyring_there_is_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_keyring_backend", lambda: None)
    assert isinstance(open_secrets(tmp_path / "secrets.json"), FileSecrets)
    assert isinstance(open_secrets(tmp_path / "secrets.json", use_keyring=False), FileSecrets)


def test_looking_for_a_keyring_never_fails() -> None:
    secrets._keyring_backend()
