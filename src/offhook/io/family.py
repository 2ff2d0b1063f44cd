"""A program and all that it starts: ended together, by a process group of its own or, on Windows, a job."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import Any, Final

if sys.platform == "win32":
    from offhook.windows.job import Job

    APART: Final[dict[str, Any]] = {"creationflags": subprocess.CREATE_NO_WINDOW}
    """What `Popen` needs besides, so that the program has a family."""

    class Family:
        """The family of a process that was started `APART`."""

        def __init__(self, process: subprocess.Popen[bytes]) -> None:
            self._job: Job | None = None
            with contextlib.suppress(OSError):  # it has ended already, and left nobody we could find
                self._job = Job(process.pid)

        def ask_to_end(self) -> bool:
            """Ask them to end; False: Windows has no way that a program without a window would hear."""
            return False

        def end(self) -> None:
            """End them at once."""
            if self._job is not None:
                self._job.end()

        def close(self) -> None:
            """Have nothing to do with them any more."""
            if self._job is not None:
                self._job.close()
else:
    import os
    import signal

    APART: Final[dict[str, Any]] = {"start_new_session": True}
    """What `Popen` needs besides, so that the program has a family."""

    class Family:
        """The family of a process that was started `APART`."""

        def __init__(self, process: subprocess.Popen[bytes]) -> None:
            self._group = process.pid

        def ask_to_end(self) -> bool:
            """Ask them to end; False if they cannot be asked."""
            try:
                os.killpg(self._group, signal.SIGTERM)
            except OSError:
                return False  # they have just ended by themselves
            return True

        def end(self) -> None:
            """End them at once."""
            with contextlib.suppress(OSError):
                os.killpg(self._group, signal.SIGKILL)

        def close(self) -> None:
            """Have nothing to do with them any more."""
