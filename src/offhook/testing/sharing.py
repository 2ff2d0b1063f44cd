"""Files that others may or may not read, on every system: for tests of what must stay private."""

from __future__ import annotations

import sys
from pathlib import Path

from offhook.storage.privacy import others_read


def read_by_others(path: Path) -> bool:
    """Say whether other users could read the file."""
    with path.open("rb") as stream:
        return others_read(stream.fileno())


if sys.platform == "win32":
    from offhook.windows import security

    def share(path: Path, *, write: bool = False) -> None:
        """Let everybody read the file or folder, or do everything with it."""
        security.describe(str(path), f"D:P(A;;FA;;;{security.user_sid()})(A;;{'FA' if write else 'FR'};;;WD)")
else:

    def share(path: Path, *, write: bool = False) -> None:
        """Let everybody read the file or folder, or do everything with it."""
        path.chmod(0o777 if write else 0o644)
