"""Passwords outside the configuration: in the system's keyring, else in a file only we can read."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, Protocol

from offhook.errors import SetupError
from offhook.storage.privacy import others_read, private_again, write_private

SERVICE = "offhook"

TURN = "turn"
"""The name under which the TURN server's password is kept: `offhook password turn`."""


class Secrets(Protocol):
    """A place for passwords, by account id."""

    def get(self, name: str) -> str | None:
        """Return the password, None if there is none. Raises SetupError when the place cannot be read."""
        ...

    def set(self, name: str, value: str) -> None:
        """Keep a password."""
        ...

    def delete(self, name: str) -> None:
        """Forget a password; an unknown one is no error."""
        ...


def open_secrets(path: Path, *, use_keyring: bool = True) -> Secrets:
    """Return the system's keyring if a usable one is there, else the file."""
    backend = _keyring_backend() if use_keyring else None
    return FileSecrets(path) if backend is None else KeyringSecrets(backend)


class FileSecrets:
    """A JSON file for this user alone. It is read at each use, so two programs see each other's changes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, name: str) -> str | None:
        """Return the password, None if there is none."""
        return self._read().get(name)

    def set(self, name: str, value: str) -> None:
        """Keep a password."""
        self._write({**self._read(), name: value})

    def delete(self, name: str) -> None:
        """Forget a password."""
        known = self._read()
        if known.pop(name, None) is not None:
            self._write(known)

    def _read(self) -> dict[str, str]:
        try:
            with self._path.open(encoding="utf-8") as stream:
                self._refuse_if_shared(stream.fileno())
                found = json.load(stream)
        except FileNotFoundError:
            return {}
        except OSError as exc:
            raise SetupError(f"{self._path}: cannot be read: {exc.strerror or exc}") from exc
        except ValueError as exc:
            raise SetupError(f"{self._path}: damaged ({exc}): delete it and enter the passwords again") from None
        if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
            raise SetupError(f"{self._path}: damaged (not a list of passwords): delete it and enter the passwords again")
        return found

    def _refuse_if_shared(self, handle: int) -> None:
        if others_read(handle):
            raise SetupError(
                f"{self._path}: other users of this machine can read your passwords: run  {private_again(self._path)}  "
                "and consider changing them"
            )

    def _write(self, known: dict[str, str]) -> None:
        try:
            write_private(self._path, json.dumps(known, indent=1, sort_keys=True) + "\n")
        except OSError as exc:
            raise SetupError(f"{self._path}: cannot be written: {exc.strerror or exc}") from exc


class KeyringSecrets:
    """The system's keyring (Windows credentials, macOS keychain, Secret Service)."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def get(self, name: str) -> str | None:
        """Return the password, None if there is none."""
        value = self._ask("get_password", SERVICE, name)
        return value if isinstance(value, str) else None

    def set(self, name: str, value: str) -> None:
        """Keep a password."""
        self._ask("set_password", SERVICE, name, value)

    def delete(self, name: str) -> None:
        """Forget a password."""
        if self.get(name) is not None:
            with contextlib.suppress(SetupError):  # gone between the two calls
                self._ask("delete_password", SERVICE, name)

    def _ask(self, method: str, *arguments: str) -> object:
        try:
            return getattr(self._backend, method)(*arguments)
        except Exception as exc:  # every backend raises its own kind; to us they are one: no keyring
            raise SetupError(f"the system's keyring refuses: {exc}: unlock it and try again") from exc


def _keyring_backend() -> Any | None:
    try:
        import keyring

        backend = keyring.get_keyring()
        usable = backend.priority >= 1  # the library's own measure: the "fail" and "null" backends are below 1
    except Exception:  # not installed, or a backend that breaks while it is looked for
        return None
    return backend if usable else None
