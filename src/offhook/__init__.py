"""offhook: a SIP softphone that programs drive.

`from offhook import Softphone` is the whole programming interface; it is read when it is first asked for, so that the command
line, which needs none of it, stays quick.
"""

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from offhook.api import *  # noqa: F403  # the names are those of offhook.api.__all__


# Written out, for asking offhook.api whether it has a name would read it: `from offhook import app` asks for "app" here first.
_NAMES = frozenset({
    "AccountSettings", "Audio", "AudioStream", "Barred", "Busy", "CallFailed", "CallHandle", "Cancelled", "Conference",
    "Config", "ConnectionLost", "Declined", "DigitStream", "EventStream", "NoAnswer", "OperationFailed", "PhoneGone",
    "Playback", "Recording", "Softphone", "Stream", "StreamGap", "UnknownNumber", "Unreachable",
})  # fmt: skip

if not TYPE_CHECKING:  # which has them from offhook.api
    __all__ = sorted(_NAMES)  # noqa: PLE0605 - for `from offhook import *`, as people write at the prompt


def __getattr__(name: str) -> object:
    if name not in _NAMES:
        raise AttributeError(f"module 'offhook' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module("offhook.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES})
