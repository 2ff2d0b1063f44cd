"""How somebody is told of the phone's events, as they happen, on the phone's own loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from offhook.io.journal import Envelope
from offhook.phone.events import Event

Subscriber: TypeAlias = Callable[[Envelope], None]
Unsubscribe: TypeAlias = Callable[[], None]


class Subscribe(Protocol):
    """Tells a callback of every event from now on, or of those of some kinds."""

    def __call__(self, callback: Subscriber, *kinds: type[Event]) -> Unsubscribe:
        """Return what ends it."""
        ...
