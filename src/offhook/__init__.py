"""offhook: a SIP softphone that programs drive.

`from offhook import Softphone` is the whole programming interface; it is read when it is first asked for, so that the command
line, which needs none of it, stays quick.
"""

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from offhook.api import *  # noqa: F403  # the names are those of offhook.api.__all__


def __getattr__(name: str) -> object:
    if name.startswith("_"):
        raise AttributeError(f"module 'offhook' has no attribute {name!r}")
    from importlib import import_module

    api = import_module("offhook.api")
    if name not in api.__all__:
        raise AttributeError(f"module 'offhook' has no attribute {name!r}")
    return getattr(api, name)
