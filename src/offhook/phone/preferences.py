"""What the user wants of calls that come: not to be disturbed, forwarding, automatic answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from offhook.errors import InvalidArgument
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.desk import Desk
from offhook.phone.dialplan import target_uri
from offhook.phone.settings import PhoneSettings

MAX_DELAY: Final = 300
"""Seconds a call may wait for forwarding or for the automatic answer; the caller has given up by then."""

_TOLD = ("dnd", "forwarding", "auto_answer")


class Preferences:
    """Changes them, and tells of it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def configured(self, before: PhoneSettings, settings: PhoneSettings) -> None:
        """Tell what a configuration that was read again has changed."""
        if any(getattr(before, name) != getattr(settings, name) for name in _TOLD):
            self._change()

    def set_dnd(self, command: c.SetDnd) -> c.Accepted:
        """Refuse calls, or take them again."""
        return self._change(dnd=command.enabled)

    def set_forwarding(self, command: c.SetForwarding) -> c.Accepted:
        """Send calls elsewhere. InvalidArgument: a delay out of range, a target that is none."""
        _check_delay(command.delay)
        if command.to:
            account = self._desk.default_account()
            target_uri(command.to, account.settings if account else None)
        return self._change(forwarding=command.to, forwarding_delay=command.delay)

    def set_auto_answer(self, command: c.SetAutoAnswer) -> c.Accepted:
        """Answer calls without being asked. InvalidArgument: a delay out of range."""
        _check_delay(command.delay)
        return self._change(auto_answer=command.mode, auto_answer_delay=command.delay)

    def _change(self, **changes: Any) -> c.Accepted:
        settings = self._desk.settings = replace(self._desk.settings, **changes)
        self._desk.emit(
            e.SettingsChanged(dnd=settings.dnd, forwarding=settings.forwarding, auto_answer=settings.auto_answer)
        )
        return c.Accepted()


def _check_delay(seconds: float) -> None:
    if not 0 <= seconds <= MAX_DELAY:
        raise InvalidArgument.field("delay", f"0-{MAX_DELAY} seconds")
