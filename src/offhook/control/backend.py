"""What a surface sees of the phone: commands down, events up, the journal to read them again, and the history of calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from offhook.control.outcomes import Outcomes
from offhook.io.audio_link import AudioLink
from offhook.io.captures import Captured
from offhook.io.journal import Cause, Cursor, Envelope, EnvelopeMaker, Journal, MemoryJournal, Page, Recorded
from offhook.io.subscribing import Subscribe, Subscriber, Unsubscribe
from offhook.io.trace import TracedMessage
from offhook.media.messages import AudioRate
from offhook.phone.commands import Accepted, Command
from offhook.phone.events import Event
from offhook.phone.model import LoadView
from offhook.phone.records import ALL_CALLS, WantedCalls

__all__ = [
    "Accepted", "Backend", "Cause", "Command", "Cursor", "Envelope", "EnvelopeMaker", "Execute", "Journal", "MemoryJournal",
    "Page", "Recorded", "Subscribe", "Subscriber", "Unsubscribe", "WebhookBook",
]  # fmt: skip

Execute: TypeAlias = Callable[[Command], Accepted]


class WebhookBook(Protocol):
    """The phone's webhooks (`control.webhook.Webhooks`): plain answers, or a CommandError. Changes wait for the disk."""

    def list(self) -> list[dict[str, Any]]:
        """Return all of them, without their secrets."""
        ...

    async def create(
        self, url: str, types: Sequence[str] = ("*",), *, secret: str = "",
        timeout: float = 10.0,  # noqa: ASYNC109 - of the webhook's deliveries, not of this
        description: str = "",
    ) -> dict[str, Any]:  # fmt: skip
        """Make one; the answer has its `secret`."""
        ...

    async def update(self, webhook: str, *, skip: bool = False, enabled: bool | None = None, **changes: Any) -> dict[str, Any]:
        """Change one."""
        ...

    async def rotate(self, webhook: str, secret: str = "") -> dict[str, Any]:
        """Give one a new secret; the answer has it."""
        ...

    async def delete(self, webhook: str) -> None:
        """Forget one."""
        ...

    def test(self, webhook: str) -> dict[str, Any]:
        """Send a test; the outcome is a `webhook.tested`."""
        ...


class Backend(Protocol):
    """The phone behind the surfaces. Everything is called on the phone's own loop and returns at once."""

    @property
    def journal(self) -> Journal:
        """The events so far, and news of further ones."""
        ...

    @property
    def outcomes(self) -> Outcomes:
        """What became of the work that needs the far end."""
        ...

    def execute(self, command: Command, cause: Cause | None = None) -> Accepted:
        """Carry out one command; raise CommandError, with nothing changed, if it cannot be done."""
        ...

    def say(self, event: Event) -> None:
        """Add an event of a surface's own (an audit, a webhook given up) to the journal."""
        ...

    def subscribe(self, callback: Subscriber, *kinds: type[Event]) -> Unsubscribe:
        """Call `callback` with every envelope from now on, or with events of some kinds; the returned function ends that.

        It must not block. For a client that reads at its own pace use `control.feed` instead: it never loses an event.
        """
        ...

    def open_audio(
        self, call: str, rate: AudioRate, *, hear: bool = True, speak: bool = True, near: bool = False,
        cause: Cause | None = None,
    ) -> AudioLink:  # fmt: skip
        """Return a link through which a program hears and speaks in a call; raise CommandError if that cannot be."""
        ...

    def history(self, limit: int, before: str, wanted: WantedCalls = ALL_CALLS) -> list[dict[str, Any]]:
        """Return up to `limit` wanted past calls, newest first; only those older than the entry `before` unless that is ""."""
        ...

    def delete_history(self, entry: str) -> None:
        """Forget one past call; raise NotFound if there is no such entry."""
        ...

    def clear_history(self) -> None:
        """Forget all past calls."""
        ...

    def texts(self, limit: int, before: str) -> list[dict[str, Any]]:
        """Return up to `limit` texts that came and went, newest first; only those older than the text `before` unless ""."""
        ...

    def clear_texts(self) -> None:
        """Forget all texts."""
        ...

    def dialled(self, to: str, account: str = "") -> tuple[str, ...]:
        """Return the numbers that the accounts, or the one named, make of `to` with their prefix and dial plan."""
        ...

    def check_url(self, url: str, *, anywhere: bool, name: str = "") -> None:
        """Raise CommandError for a web address that no command, or not one of the client `name`, may send the phone to."""
        ...

    def traced(self, sip_call_id: str) -> list[TracedMessage]:
        """Return the SIP messages of a call that are still kept, oldest first."""
        ...

    def captured(self, call: str) -> Captured | None:
        """Return the captured packets of a call's sound, None if there are none."""
        ...

    def sip_messages(self) -> tuple[int, int]:
        """Return how many SIP messages were sent and received in this run."""
        ...

    def history_entry(self, entry: str) -> dict[str, Any]:
        """Return one past call; raise NotFound."""
        ...

    async def reload(self) -> dict[str, Any]:
        """Read the configuration file again; raise InvalidArgument for a mistake in it, with nothing changed."""
        ...

    def load(self) -> LoadView:
        """Return how busy the phone and its media workers are."""
        ...

    def about(self) -> dict[str, Any]:
        """Return what this phone is: version, process, since when, its SIP address and how it carries sound. No secrets."""
        ...

    async def open_webhooks(self) -> WebhookBook:
        """Return the webhooks; raise NotFound where none are kept, SetupError where their file cannot be used."""
        ...
