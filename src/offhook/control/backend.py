"""What a surface sees of the phone: commands down, events up, the journal to read them again, and the history of calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from offhook.io.audio_link import AudioLink
from offhook.io.journal import Cause, Cursor, Envelope, EnvelopeMaker, Journal, MemoryJournal, Page, Recorded
from offhook.media.messages import AudioRate
from offhook.phone.commands import Accepted, Command
from offhook.phone.events import Event

__all__ = [
    "Accepted", "Backend", "Cause", "Command", "Cursor", "Envelope", "EnvelopeMaker", "Execute", "Journal", "MemoryJournal",
    "Page", "Recorded", "Subscriber", "Unsubscribe",
]  # fmt: skip

Execute: TypeAlias = Callable[[Command], Accepted]
Subscriber: TypeAlias = Callable[[Envelope], None]
Unsubscribe: TypeAlias = Callable[[], None]


class Backend(Protocol):
    """The phone behind the surfaces. Everything is called on the phone's own loop and returns at once."""

    @property
    def journal(self) -> Journal:
        """The events so far, and news of further ones."""
        ...

    def execute(self, command: Command, cause: Cause | None = None) -> Accepted:
        """Carry out one command; raise CommandError, with nothing changed, if it cannot be done."""
        ...

    def open_audio(self, call: str, rate: AudioRate) -> AudioLink:
        """Return a link through which a client hears and speaks in a call; raises CommandError."""
        ...

    def say(self, event: Event) -> None:
        """Add an event of a surface's own (an audit, a webhook given up) to the journal."""
        ...

    def subscribe(self, callback: Subscriber) -> Unsubscribe:
        """Call `callback` with every envelope from now on, in order; the returned function ends that. It must not block.

        For a client that reads at its own pace use `control.feed` instead: it never loses an event.
        """
        ...

    def history(self, limit: int, before: str) -> list[dict[str, Any]]:
        """Return up to `limit` past calls, newest first; only those older than the entry `before` unless that is ""."""
        ...

    def delete_history(self, entry: str) -> None:
        """Forget one past call; raise NotFound if there is no such entry."""
        ...

    def clear_history(self) -> None:
        """Forget all past calls."""
        ...

    def about(self) -> dict[str, Any]:
        """Return what this phone is: version, process, since when, its SIP address and how it carries sound. No secrets."""
        ...
