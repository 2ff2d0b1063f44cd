"""`offhook desktop install|remove|status`: links that dial. What the system does with them is in `windows.py` and `xdg.py`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from offhook.cli.actions.common import show
from offhook.cli.desktop.asking import has_dialog
from offhook.cli.outcome import REFUSED, Ended
from offhook.cli.parsing import usage_error
from offhook.storage.config import load
from offhook.storage.paths import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from offhook.cli.parsing import Invocation

    class Desktop(Protocol):
        """One system's way to say who opens links."""

        def install(self) -> list[str]:
            """Be the one who opens them; return what was written."""
            ...

        def remove(self) -> list[str]:
            """Be it no more, and let who was there before; return what was taken away."""
            ...

        def status(self) -> dict[str, str]:
            """Return what opens links of each scheme ("" for nobody)."""
            ...


UNASKED = (
    "links will call nobody yet: you are asked first, by zenity or kdialog, and neither is installed; "
    "install one, or write  [desktop] ask = false  into the configuration"
)


def desktop(use: Invocation) -> int:
    """Do what was asked with the desktop."""
    action = use.text("action", "status")
    if action not in ("install", "remove", "status"):
        raise usage_error(use.verb, "write: desktop install, desktop remove, or desktop status")
    if use.flag("dde") and load(paths().config_file).desktop.ask:
        raise Ended(REFUSED, "over DDE nobody is asked: write  [desktop] ask = false  into the configuration first")
    place = this_desktop(dde=use.flag("dde"))
    if action == "status":
        found = place.status()
        return show(use, found, "\n".join(f"{scheme}: {opener or 'nobody'}" for scheme, opener in found.items()))
    done = place.install() if action == "install" else place.remove()
    if action == "install" and not has_dialog() and load(paths().config_file).desktop.ask:
        print(UNASKED, file=sys.stderr)
    return show(use, {"action": action, "changed": done}, "\n".join(done) or "nothing to do")


def this_desktop(*, dde: bool = False) -> Desktop:
    """Return this system's desktop."""
    if sys.platform == "win32":
        from offhook.cli.desktop.registry import WindowsRegistry
        from offhook.cli.desktop.windows import Windows

        return Windows(WindowsRegistry(), command(), dde=dde)
    if sys.platform == "darwin":
        raise Ended(REFUSED, "macOS lets only programs in a bundle (.app) open links: offhook open URI dials from a script")
    if dde:
        raise Ended(REFUSED, "DDE is a thing of Windows")
    from offhook.cli.desktop.xdg import Xdg

    return Xdg(os.environ, command())


def command() -> list[str]:
    """Return the program that opens a link, which comes behind it: the Python that runs this, on Windows without a console."""
    python = Path(sys.executable)
    windowless = python.with_name("pythonw.exe")
    if sys.platform == "win32" and windowless.exists():
        python = windowless
    # What stands behind -- is no option, whatever it looks like.
    return [str(python), "-m", "offhook", "open", "--dialog", "--"]
