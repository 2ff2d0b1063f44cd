"""Lines that survive a kill -9: appended to a file with one write, before anybody is told; taken over at the next start."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from offhook.storage.file_lock import lock
from offhook.storage.privacy import private_file

SEGMENT_BYTES: Final = 1024 * 1024
"""A file this long is closed and the next one begun; it goes away when its lines are safe elsewhere."""

_BINARY: Final = getattr(os, "O_BINARY", 0)  # Windows would write "\\r\\n"


class Spool:
    """One process's lines, in files `<base>.spool-<owner>-<n>`, each locked while its owner lives.

    `write` is for one thread; `release` may be called from another.
    """

    def __init__(self, base: Path, owner: str) -> None:
        self._base = base
        self._owner = owner
        self._number = self._size = self._last = 0
        self._closed: deque[tuple[int, Path, int]] = deque()
        self._begin()

    def write(self, lines: bytes, last: int) -> None:
        """Append whole lines; `last` numbers the last of them. Raises OSError, e.g. on a full disk: then none is there."""
        if self._size >= SEGMENT_BYTES:
            former = (self._descriptor, self._path, self._last)
            with contextlib.suppress(OSError):  # no further file can be opened now: this one goes on
                self._begin()
                self._closed.append(former)
        left = memoryview(lines)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)  # the piece of a line would spoil the next one, too
            raise
        self._size += len(lines)
        self._last = last

    def release(self, last: int) -> None:
        """Delete the closed files whose lines up to number `last` are safe elsewhere."""
        while self._closed and self._closed[0][2] <= last:
            descriptor, path, _ = self._closed.popleft()
            _discard(descriptor, path)

    def close(self, safe: int) -> None:
        """Delete every file if all lines up to the last are safe; else leave them for the next start."""
        self.release(safe)
        if self._last <= safe:
            _discard(self._descriptor, self._path)
        else:
            os.close(self._descriptor)
        for descriptor, _, _ in self._closed:
            os.close(descriptor)
        self._closed.clear()

    def _begin(self) -> None:
        """Go on in a new file. Raises OSError, and then nothing has changed."""
        path = self._base.with_name(f"{self._base.name}.spool-{self._owner}-{self._number + 1:06d}")
        private_file(path)
        self._descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | _BINARY, 0o600)
        lock(self._descriptor)
        self._path = path
        self._number += 1
        self._size = self._last = 0


def left_behind(base: Path, trouble: Callable[[str], None]) -> Iterator[list[bytes]]:
    """Yield the whole lines of each spool file whose process is gone, in order.

    The file is deleted when the caller asks for the next one: then its lines have to be safe elsewhere. `trouble` is told of
    files that cannot be read; they stay.
    """
    for path in sorted(base.parent.glob(f"{base.name}.spool-*")):
        try:
            descriptor = os.open(path, os.O_RDWR | _BINARY)
        except FileNotFoundError:
            continue  # another phone has taken it over
        except OSError as exc:  # another user's: somebody has started the phone as root
            trouble(f"{path} cannot be read: {exc.strerror or exc}; its lines are left out")
            continue
        with open(descriptor, "rb", closefd=False) as file:
            try:
                taken = lock(descriptor)
                if taken:
                    # What a crash cut off in the middle of a line was told to nobody.
                    yield file.read().rpartition(b"\n")[0].splitlines()
            except BaseException:
                os.close(descriptor)
                raise
        if taken:
            _discard(descriptor, path)
        else:
            os.close(descriptor)


def _discard(descriptor: int, path: Path) -> None:
    """Delete a file that we have open and locked."""
    # Windows deletes no open file, and between closing and deleting another phone might find these lines.
    os.truncate(descriptor, 0)
    os.close(descriptor)
    path.unlink(missing_ok=True)
