"""`offhook open URI`: a link from a browser or another program dials, after asking; nothing in it can do anything else."""

from __future__ import annotations

from offhook.cli.actions.common import perform
from offhook.cli.desktop.asking import Asker
from offhook.cli.outcome import REFUSED, Ended
from offhook.control.client import ClientError
from offhook.control.legacy.opening import open_uri
from offhook.control.schema import problem
from offhook.errors import InvalidArgument, SetupError
from offhook.storage.config import load
from offhook.storage.paths import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from offhook.cli.parsing import Invocation


def open_link(use: Invocation) -> int:
    """Dial what a link names."""
    asker = Asker(dialog=use.flag("dialog"))
    try:
        return _dial(use, asker)
    except (Ended, ClientError) as error:
        asker.tell(str(error))
        raise


def _dial(use: Invocation, asker: Asker) -> int:
    try:
        target = open_uri(use.text("uri")).to
    except InvalidArgument as error:
        raise Ended(REFUSED, error.detail, problem(error)) from None
    if not use.flag("yes") and _asks() and not asker.confirm(target):
        raise Ended(REFUSED, "not called")
    return perform(use, "dial", {"to": target}, f"calling {target}".replace("{", "{{").replace("}", "}}"), "answered")


def _asks() -> bool:
    try:
        return load(paths().config_file).desktop.ask
    except SetupError:
        return True  # who wrote the mistake is told of it where the phone starts
