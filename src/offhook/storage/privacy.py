"""Files and folders for this user alone: made so, and looked at. POSIX has owners and modes for that, Windows access lists."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import BinaryIO, Final

ATTEMPTS: Final = 25
BETWEEN: Final = 0.02
"""How often, and after how many seconds, a file is put in place again that somebody holds open."""

if sys.platform == "win32":
    import msvcrt

    from offhook.windows import security

    def keep_private(path: Path) -> None:
        """Let this user, and who may read everything anyway, use a file or folder. Raises OSError."""
        security.keep_private(str(path))

    def others_read(descriptor: int) -> bool:
        """Say whether other users can read an open file. Raises OSError."""
        return bool(security.strangers(msvcrt.get_osfhandle(descriptor)))

    def folder_trouble(folder: Path) -> tuple[str, str] | None:
        """Return why a folder is not safe to write into, and what to do; None if it is."""
        if not security.strangers(str(folder), security.WRITE):
            return None
        return f"others may write into {folder}", f"run  {private_again(folder)}"

    def private_again(path: Path) -> str:
        """Return the command by which a person takes a file from others."""
        return f'icacls "{path}" /inheritance:r /grant:r "%USERNAME%:(OI)(CI)F"' if path.is_dir() else (
            f'icacls "{path}" /inheritance:r /grant:r "%USERNAME%:F"'
        )  # fmt: skip

    def _alike(name: str, path: Path) -> None:
        """Leave a new file to this user: what Windows' folders hand down need not be what somebody wanted."""

    def user_id() -> int:
        """Return a number for this user's share of common folders: Windows has none that are common."""
        return 0
else:

    def keep_private(path: Path) -> None:
        """Let this user, and who may read everything anyway, use a file or folder. Raises OSError."""
        path.chmod(0o700 if path.is_dir() else 0o600)

    def others_read(descriptor: int) -> bool:
        """Say whether other users can read an open file. Raises OSError."""
        return bool(stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077)

    def folder_trouble(folder: Path) -> tuple[str, str] | None:
        """Return why a folder is not safe to write into, and what to do; None if it is."""
        link, target = folder.lstat(), folder.stat()
        if {link.st_uid, target.st_uid} != {os.geteuid()}:
            return f"{folder} belongs to another user", "remove it, or set OFFHOOK_HOME to a folder of your own"
        if target.st_mode & stat.S_IWOTH:
            return f"others may write into {folder}", f"run  chmod o-w '{folder}'"
        return None

    def private_again(path: Path) -> str:
        """Return the command by which a person takes a file from others."""
        return f"chmod 600 '{path}'"

    def _alike(name: str, path: Path) -> None:
        """Give a new file the owner, group and mode of one that is there. Raises OSError."""
        with contextlib.suppress(FileNotFoundError, PermissionError):  # whom it was for cannot be said: it stays ours alone
            before = path.stat()
            os.chown(name, before.st_uid, before.st_gid)
            os.chmod(name, stat.S_IMODE(before.st_mode))

    def user_id() -> int:
        """Return a number for this user's share of common folders."""
        return os.getuid()


def private_temporary(beside: Path) -> tuple[int, str]:
    """Return the descriptor and the name of a new file for this user alone, in the folder of another. Raises OSError."""
    handle, name = tempfile.mkstemp(dir=beside.parent, prefix=f".{beside.name}.")  # mkstemp makes it 0600
    if sys.platform == "win32":
        keep_private(Path(name))
    return handle, name


def put_in_place(name: str, path: Path) -> None:
    """Give a file another's name, in one step. Raises OSError."""
    # Windows refuses while somebody reads the old one: another phone's command line for a moment, or a virus scanner.
    for _ in range(ATTEMPTS if sys.platform == "win32" else 0):
        with contextlib.suppress(PermissionError):
            os.replace(name, path)
            return
        time.sleep(BETWEEN)
    os.replace(name, path)


def private_folder(folder: Path) -> None:
    """Create a folder for this user alone, if it is not there, and likewise those above it. Raises OSError."""
    with contextlib.suppress(FileExistsError):
        # Whoever may write there could put another folder in the place of ours. The root of a drive is its own parent.
        if not folder.parent.exists() and folder.parent != folder:
            private_folder(folder.parent)
        folder.mkdir(mode=0o700)
        if sys.platform == "win32":
            keep_private(folder)


def private_file(path: Path) -> None:
    """Create an empty file for this user alone, if it is not there. Raises OSError."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
        if sys.platform == "win32":
            keep_private(path)


def open_private(path: Path) -> BinaryIO:
    """Open a new file for this user alone, in the place of one that is there; a pipe or device as it is. Raises OSError.

    A link is followed, and what it leads to replaced: a file that somebody else has put there is never written into.
    """
    if path.exists() and not path.is_file():
        return path.open("wb")
    path = Path(os.path.realpath(path))
    path.unlink(missing_ok=True)
    stream = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600), "wb")
    if sys.platform == "win32":
        keep_private(path)
    return stream


def write_private(path: Path, text: str, *, as_it_was: bool = False) -> None:
    """Replace the file in one step, readable by us alone: a crash leaves the old one or the new one, never a half.

    With `as_it_was` a link stays one, and the file that is there keeps its owner and who may read it.
    """
    if as_it_was:
        path = Path(os.path.realpath(path))
    private_folder(path.parent)
    handle, name = private_temporary(path)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        if as_it_was:
            _alike(name, path)
        put_in_place(name, path)
    except BaseException as problem:
        with contextlib.suppress(OSError):
            os.unlink(name)
        if isinstance(problem, OSError) and problem.filename is None:
            problem.filename = str(path)  # a full disk does not say of which file
        raise
