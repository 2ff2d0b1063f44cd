"""A lock on an open file that goes with its process, whichever way that ends."""

from __future__ import annotations

import os
import sys
from typing import Final

FAR: Final = 1 << 40
"""Windows locks bytes, which nobody else can then read; this one is behind the end of every file of ours."""

if sys.platform == "win32":
    import msvcrt

    def lock(descriptor: int) -> bool:
        """Take the file for this process; False if a living one has it. The lock goes with the descriptor."""
        place = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, FAR, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(descriptor, place, os.SEEK_SET)
        return True
else:
    import fcntl

    def lock(descriptor: int) -> bool:
        """Take the file for this process; False if a living one has it. The lock goes with the descriptor."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
