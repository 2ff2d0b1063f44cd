"""What goes wrong, in a line each for whoever runs the phone: a service manager's log has it when nobody reads events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offhook.app.saying import say_trouble
from offhook.phone.events import AccountRegistered, AccountRegisterFailed, AccountRemoved, Event, SystemError, WebhookDisabled
from offhook.phone.model import AccountView
from offhook.shown import plain

if TYPE_CHECKING:
    from offhook.app.running import RunningPhone
    from offhook.io.journal import Envelope


def print_trouble(phone: RunningPhone) -> None:
    """Print trouble from now on, to standard error."""
    words = Words()

    def see(envelope: Envelope) -> None:
        text = words.of(envelope.event)
        if text:
            say_trouble(plain(f"offhook: {text}"))

    phone.subscribe(see, SystemError, WebhookDisabled, AccountRegisterFailed, AccountRegistered, AccountRemoved)


class Words:
    """Finds the words for events. An account that fails is told once for each reason, and when it is well."""

    def __init__(self) -> None:
        self._failing: dict[str, str] = {}

    def of(self, event: Event) -> str:
        """Return what to print, "" for nothing."""
        match event:
            case SystemError():
                return event.reason
            case WebhookDisabled():
                return f"webhook {event.webhook} is disabled: {event.reason}"
            case AccountRegisterFailed():
                return self._failed(event.account)
            case AccountRegistered() if self._failing.pop(event.account.id, ""):
                return f"account {event.account.id} is registered"
            case AccountRemoved():
                self._failing.pop(event.account.id, "")
        return ""

    def _failed(self, account: AccountView) -> str:
        reason = f"{account.sip_status or ''} {account.reason}".strip() or "no reason is given"
        if self._failing.get(account.id) == reason:
            return ""
        self._failing[account.id] = reason
        again = "" if account.retry_in is None else "; it is tried again"
        return f"account {account.id} is not registered: {reason}{again}"
