"""The configuration: `sections` is what the file can say, `checks` what its values must be, `reading` makes one of the other.

`editing` changes the file and keeps its comments, `files` makes whole names of those that begin with `~`, `words` and
`reference` describe every setting.
"""

from __future__ import annotations

from offhook.storage.config.reading import load, parse, refusal, text_of
from offhook.storage.config.sections import (
    OCCASIONS,
    PLACES,
    SECTIONS,
    Config,
    DesktopSettings,
    EventHook,
    HookSettings,
    HttpSettings,
    MediaSettings,
    OutgoingSettings,
    Program,
    SettingValue,
    SipSettings,
    Sources,
    WebhookSettings,
    WindowsSettings,
)

__all__ = [
    "OCCASIONS", "PLACES", "SECTIONS", "Config", "DesktopSettings", "EventHook", "HookSettings", "HttpSettings",
    "MediaSettings", "OutgoingSettings", "Program", "SettingValue", "SipSettings", "Sources", "WebhookSettings",
    "WindowsSettings", "load", "parse", "refusal", "text_of",
]  # fmt: skip
