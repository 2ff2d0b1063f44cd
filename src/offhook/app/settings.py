"""What the configuration file leaves to the system and to the command line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from offhook.errors import InvalidArgument, SetupError
from offhook.phone.accounts import check_account
from offhook.phone.settings import AccountSettings
from offhook.storage.config import Config, HttpSettings, MediaSettings
from offhook.storage.config.files import at_home
from offhook.storage.paths import paths
from offhook.storage.privacy import write_private
from offhook.storage.secrets import TURN, open_secrets


def complete(config: Config) -> Config:
    """Fill in what the file leaves to the system: passwords from the keyring or secrets file, folders' whole names."""
    where = paths()
    config = at_home(config)
    accounts = config.accounts
    nat = config.nat
    unknown = bool(nat.turn and not nat.turn_password)
    if unknown or not all(account.password for account in accounts):
        secrets = open_secrets(where.secrets_file)  # a keyring is slow and large: only where something is missing
        accounts = tuple(a if a.password else replace(a, password=secrets.get(a.id) or "") for a in accounts)
        nat = replace(nat, turn_password=secrets.get(TURN) or "") if unknown else nat
    folder = os.path.abspath(config.phone.recording_dir or where.recordings)  # programs elsewhere read its files, too
    decide = config.phone.decide or bool(config.hooks.decide or config.hooks.decide_url)
    return replace(config, accounts=accounts, nat=nat, phone=replace(config.phone, recording_dir=folder, decide=decide))


def kept_instance(file: Path) -> tuple[str, str]:
    """Return this phone's URN (RFC 5626 4.1: the same after a restart), made and kept at its first start.

    And why it could not be kept, as on a full disk ("" if it is): that costs no calls.
    """
    try:
        urn = file.read_text("ascii").strip()
        if re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", urn):
            return urn, ""
    except (OSError, UnicodeError):
        pass  # the first start, or a file that is none of ours: a new one
    import uuid

    urn = f"urn:uuid:{uuid.uuid4()}"
    try:
        write_private(file, urn + "\n")
    except OSError as error:
        return urn, f"{file}: cannot be written: {error.strerror or error}"
    return urn, ""


def with_address(settings: HttpSettings, text: str) -> HttpSettings:
    """Return the settings, switched on, with the address of `--http [HOST:]PORT`. Raises SetupError for what is none."""
    host, colon, port = text.rpartition(":")
    if not (port.isascii() and port.isdecimal() and int(port) < 65536) or (colon and not host):
        raise SetupError(f"--http {text}: write [HOST:]PORT, as 5080 or 127.0.0.1:5080")
    return replace(settings, enabled=True, host=host.strip("[]") or settings.host, port=int(port))


def may_encrypt(config: Config) -> bool:
    """Return whether any call may carry encrypted sound."""
    return config.srtp.policy != "off" or any(account.srtp not in ("default", "off") for account in config.accounts)


def check_accounts(accounts: Iterable[AccountSettings]) -> None:
    """Refuse accounts that could not work before anything is done with one; raises InvalidArgument that names it."""
    for account in accounts:
        try:
            check_account(account)
        except InvalidArgument as error:
            detail = error.detail.removeprefix("account/")
            raise InvalidArgument(f"account.{account.id}.{detail}", errors=error.errors) from None


def check_workers(settings: MediaSettings) -> None:
    """Raise SetupError where calls cannot be spread over so many media workers as they are told to."""
    if settings.workers < 2:
        return
    if settings.mode != "process":
        raise SetupError('media.workers above 1 needs media.mode = "process": threads of one process share a core')
    if settings.sound != "null":
        raise SetupError(
            'media.workers above 1 needs media.sound = "null": every call is heard at the sound card, which one worker has'
        )
