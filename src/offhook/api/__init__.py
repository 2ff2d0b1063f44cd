"""The phone for Python programs: `from offhook import Softphone`. The same names without `await` are in `offhook.sync`."""

from offhook.api.audio import Audio
from offhook.api.call import CallHandle
from offhook.api.conference import Conference
from offhook.api.failures import (
    Barred,
    Busy,
    CallFailed,
    Cancelled,
    ConnectionLost,
    Declined,
    NoAnswer,
    OperationFailed,
    PhoneGone,
    UnknownNumber,
    Unreachable,
)
from offhook.api.links import StreamGap
from offhook.api.outgoing import AudioStream
from offhook.api.phone import Softphone
from offhook.api.playing import Playback, Recording
from offhook.api.streams import DigitStream, EventStream, Stream
from offhook.phone.settings import AccountSettings
from offhook.storage.config import Config

__all__ = [
    "AccountSettings",
    "Audio",
    "AudioStream",
    "Barred",
    "Busy",
    "CallFailed",
    "CallHandle",
    "Cancelled",
    "Conference",
    "Config",
    "ConnectionLost",
    "Declined",
    "DigitStream",
    "EventStream",
    "NoAnswer",
    "OperationFailed",
    "PhoneGone",
    "Playback",
    "Recording",
    "Softphone",
    "Stream",
    "StreamGap",
    "UnknownNumber",
    "Unreachable",
]
