"""Where the phone's files live on each system."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from offhook.errors import SetupError
from offhook.storage.privacy import folder_trouble, private_folder, user_id

MAX_SOCKET_PATH = 100
"""Characters of a Unix socket's path: the kernel's limit is 104 (macOS) or 108 (Linux) with the closing NUL."""

MAX_PIPE = 240
"""Characters of a pipe's name on Windows, whose limit is 256 with what comes before it."""

MAX_USER = 100
"""Characters of a user's name in a pipe's; Windows' own are at most 20, those of a domain can be longer."""

INSTANCE = re.compile(r"[A-Za-z0-9_-]{0,32}")


@dataclass(frozen=True, slots=True)
class Paths:
    """The folders of one user's phone. Nothing is created here; writers create what they need with `make_private`.

    `config` and `state` hold files only we read (secrets, history, journal); `runtime` lives until log-out.
    """

    config: Path
    state: Path
    recordings: Path
    runtime: Path

    @property
    def config_file(self) -> Path:
        """The configuration."""
        return self.config / "offhook.toml"

    @property
    def secrets_file(self) -> Path:
        """Passwords, where the system has no keyring."""
        return self.config / "secrets.json"

    @property
    def tokens_file(self) -> Path:
        """Who may use the phone over HTTP (fingerprints)."""
        return self.config / "tokens.json"

    @property
    def http_token_file(self) -> Path:
        """The token of this user, for programs on this machine."""
        return self.state / "http-token"

    @property
    def history_file(self) -> Path:
        """The call history."""
        return self.state / "history.sqlite3"

    @property
    def contacts_file(self) -> Path:
        """The contacts."""
        return self.state / "contacts.sqlite3"

    @property
    def texts_file(self) -> Path:
        """The texts that came and went."""
        return self.state / "texts.sqlite3"

    @property
    def certificate_file(self) -> Path:
        """The certificate of encrypted sound, with its key."""
        return self.state / "dtls.pem"

    @property
    def journal_file(self) -> Path:
        """The event journal."""
        return self.state / "journal.sqlite3"

    @property
    def requests_file(self) -> Path:
        """What was asked over HTTP with an Idempotency-Key, and answered."""
        return self.state / "requests.sqlite3"

    @property
    def webhooks_file(self) -> Path:
        """The webhooks, with their secrets."""
        return self.state / "webhooks.sqlite3"


def paths(environ: Mapping[str, str] | None = None, platform: str = sys.platform) -> Paths:
    """Return where files live. OFFHOOK_HOME puts everything under one folder; else the system's own customs hold.

    Raises SetupError for a user of whom the system knows no folder, as a container's that is but a number.
    """
    try:
        return _found(os.environ if environ is None else environ, platform)
    except RuntimeError:  # pathlib's word for it
        raise SetupError("this user has no folder: set OFFHOOK_HOME to one that is to hold the phone's files") from None


def _found(env: Mapping[str, str], platform: str) -> Paths:
    home = env.get("OFFHOOK_HOME")
    if home:
        root = Path(home).expanduser().absolute()
        return Paths(root, root / "state", root / "recordings", root / "run")
    if platform == "win32":
        return _windows(env)
    if platform == "darwin":
        return _macos(env)
    return _xdg(env)


def socket_path(instance: str = "", environ: Mapping[str, str] | None = None, platform: str = sys.platform) -> str:
    r"""Return the local socket of the phone named `instance` (on Windows a pipe, `\\.\pipe\offhook-USER`).

    OFFHOOK_SOCKET overrides; OFFHOOK_HOME makes it one of its own, which on Windows is a name like any other. Raises
    SetupError for an unusable instance name or override.
    """
    env = os.environ if environ is None else environ
    chosen = env.get("OFFHOOK_SOCKET")
    if chosen:
        if platform != "win32" and len(os.fsencode(chosen)) >= MAX_SOCKET_PATH:
            raise SetupError(f"OFFHOOK_SOCKET is too long for a socket: write a path under {MAX_SOCKET_PATH} characters")
        return chosen
    if not INSTANCE.fullmatch(instance):
        raise SetupError(f"{instance!r} is no instance name: use up to 32 letters, digits, '-' and '_'")
    if platform == "win32" and not env.get("OFFHOOK_HOME"):
        return _pipe(env, instance)
    name = f"offhook-{instance}.sock" if instance else "offhook.sock"
    runtime = paths(env, platform).runtime
    path = str(runtime / name)
    if len(os.fsencode(path)) < (MAX_PIPE if platform == "win32" else MAX_SOCKET_PATH):
        return path
    # A long folder name gives way to its fingerprint in the folder that is always short.
    mark = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    if platform == "win32":
        return f"{_pipe(env, instance)}-{mark}"
    return f"/tmp/offhook-{user_id()}/{mark}.sock"  # noqa: S108 - make_private refuses a folder that is not ours


def make_private(folder: Path) -> Path:
    """Create `folder` for us alone (0700) and return it.

    Raises SetupError if it belongs to somebody else, or others may write into it: in a shared temporary folder
    somebody may have put one there before us.
    """
    try:
        private_folder(folder)
        trouble = folder_trouble(folder)
    except OSError as exc:
        reason = exc.strerror or exc
        raise SetupError(f"cannot create the folder {folder}: {reason}; OFFHOOK_HOME may name another place") from exc
    if trouble is not None:
        raise SetupError(": ".join(trouble))
    return folder


def _xdg(env: Mapping[str, str]) -> Paths:
    home = Path(env.get("HOME") or Path.home())
    runtime = _absolute(env, "XDG_RUNTIME_DIR")
    return Paths(
        config=(_absolute(env, "XDG_CONFIG_HOME") or home / ".config") / "offhook",
        state=(_absolute(env, "XDG_STATE_HOME") or home / ".local" / "state") / "offhook",
        recordings=(_absolute(env, "XDG_DATA_HOME") or home / ".local" / "share") / "offhook" / "recordings",
        runtime=runtime / "offhook" if runtime else _temporary(env),
    )


def _macos(env: Mapping[str, str]) -> Paths:
    root = Path(env.get("HOME") or Path.home()) / "Library" / "Application Support" / "offhook"
    return Paths(root, root, root / "recordings", _temporary(env))


def _windows(env: Mapping[str, str]) -> Paths:
    home = Path(env.get("USERPROFILE") or Path.home())
    roaming = Path(env.get("APPDATA") or home / "AppData" / "Roaming") / "offhook"
    local = Path(env.get("LOCALAPPDATA") or home / "AppData" / "Local") / "offhook"
    return Paths(roaming, local, local / "recordings", local / "run")


def _absolute(env: Mapping[str, str], name: str) -> Path | None:
    # XDG Base Directory Specification: "All paths set in these environment variables must be absolute", else ignored.
    value = env.get(name, "")
    return Path(value) if value and Path(value).is_absolute() else None


def _temporary(env: Mapping[str, str]) -> Path:
    return Path(env.get("TMPDIR") or tempfile.gettempdir()) / f"offhook-{user_id()}"


def _pipe(env: Mapping[str, str], instance: str) -> str:
    # As it is, blanks, umlauts and all, for programs that know nothing but the user's name. Only these cannot be in a pipe's.
    user = re.sub(r"[\\/:]", "-", env.get("USERNAME") or "user")[:MAX_USER]
    return "\\\\.\\pipe\\offhook-" + user + (f"-{instance}" if instance else "")
