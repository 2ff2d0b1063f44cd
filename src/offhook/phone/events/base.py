"""What every event is."""

from __future__ import annotations

import re
from typing import ClassVar

from msgspec import Struct

from offhook.phone.model import AccountView, CallView


class Event(Struct, frozen=True):
    """What every event is: immutable data with a type name."""

    type: ClassVar[str]

    def __init_subclass__(cls) -> None:
        cls.type = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower().replace("_", ".", 1)

    @property
    def subject(self) -> str:
        """The resource this is about."""
        return "system"


class CallEvent(Event, frozen=True, kw_only=True):
    """An event about one call, with the call after the change."""

    call: CallView

    @property
    def subject(self) -> str:
        return f"calls/{self.call.id}"


class AccountEvent(Event, frozen=True, kw_only=True):
    """An event about one account, with the account after the change."""

    account: AccountView

    @property
    def subject(self) -> str:
        return f"accounts/{self.account.id}"
