"""Webhooks: the events of the journal, posted to web addresses, signed. Made, changed and tested while the phone runs."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Final, Protocol, TypeVar

import msgspec

from offhook.control import signing
from offhook.control.backend import Backend
from offhook.control.delivery import OLD_SECRET_SECONDS, Attempt, Delivery, Post, Progress, Timing, Verdict, Webhook, send
from offhook.control.feed import event_types
from offhook.errors import CommandError, InvalidArgument, NotFound
from offhook.io.journal import rfc3339
from offhook.io.web import post
from offhook.phone.events import WebhookDisabled, WebhookTested
from offhook.phone.urls import Url

R = TypeVar("R")

MAX_WEBHOOKS: Final = 50
MAX_TEXT: Final = 200
CLOSE_SECONDS: Final = 2.0
"""What the last events get to be delivered when the phone ends; the others go out after its next start."""


class Store(Protocol):
    """Where webhooks are kept; `offhook.storage.webhooks.WebhookStore` is the real one."""

    def load(self) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]: ...
    def add(self, webhook: str, settings: Mapping[str, Any], progress: Mapping[str, Any]) -> None: ...
    def change(self, webhook: str, settings: Mapping[str, Any]) -> None: ...
    def delete(self, webhook: str) -> None: ...
    def note(self, webhook: str, progress: Mapping[str, Any]) -> None: ...
    def close(self) -> None: ...


class Webhooks:
    """All webhooks of one phone. Every method answers with plain data, or raises a CommandError.

    What changes something waits for the disk, and the phone's loop does not; where the disk does not take it SetupError is
    raised, and nothing has changed.
    """

    def __init__(
        self, backend: Backend, store: Store, *, allow_http: bool = False, timing: Timing | None = None, post: Post = post
    ) -> None:
        self._backend = backend
        self._store = store
        self._plain = allow_http
        self._timing = timing or Timing()
        self._post = post
        self._deliveries: dict[str, Delivery] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._changing = asyncio.Lock()

    async def start(self) -> None:
        """Deliver from now on, each from where it was."""
        for settings, progress in (await _aside(self._store.load)).values():
            self._begin(msgspec.convert(settings, Webhook), Progress.read(progress))

    async def close(self) -> None:
        """Deliver what can be delivered in a moment, and write down how far each got."""
        async with self._changing:
            await asyncio.gather(*(delivery.close(CLOSE_SECONDS) for delivery in self._deliveries.values()))
            if self._closing:
                _, late = await asyncio.wait(self._closing, timeout=CLOSE_SECONDS)
                for test in late:  # of a receiver that does not answer
                    test.cancel()
            await _aside(self._store.close)

    # --- what can be asked

    def list(self) -> list[dict[str, Any]]:
        """Return every webhook and how it does, without its secret."""
        return [_view(delivery) for delivery in self._deliveries.values()]

    async def create(
        self, url: str, types: Sequence[str] = ("*",), *, secret: str = "",
        timeout: float = 10.0,  # noqa: ASYNC109 - of the webhook's deliveries, not of this
        description: str = "",
    ) -> dict[str, Any]:  # fmt: skip
        """Make a webhook for the events from now on. Its secret is in this answer and in no later one."""
        async with self._changing:
            if len(self._deliveries) >= MAX_WEBHOOKS:
                raise InvalidArgument(f"there are {MAX_WEBHOOKS} webhooks already; remove one first")
            wall = self._timing.wall()
            webhook = self._checked(Webhook(
                f"wh_{secrets.token_hex(4)}", url, tuple(types), secret or signing.new_secret(), float(timeout), description,
                rfc3339(wall),
            ))  # fmt: skip
            progress = Progress(str(self._backend.journal.head))
            await _aside(self._store.add, webhook.id, asdict(webhook), asdict(progress))
            return {**_view(self._begin(webhook, progress)), "secret": webhook.secret}

    async def update(self, webhook: str, *, skip: bool = False, enabled: bool | None = None, **changes: Any) -> dict[str, Any]:
        """Change url, types, timeout or description; switch off, or on again (then it goes on where it was).

        `skip` leaves out everything that has not been delivered yet.
        """
        async with self._changing:
            before = self._found(webhook)
            if "types" in changes:
                changes["types"] = tuple(changes["types"])
            changed = self._checked(replace(before.webhook, **changes))
            await _aside(self._store.change, webhook, asdict(changed))
            progress = before.progress  # it went on meanwhile
            if skip:
                progress = Progress(str(self._backend.journal.head), disabled=progress.disabled)
            if enabled is not None:
                behind = tuple(replace(each, since=0.0) for each in progress.behind)
                progress = Progress(progress.cursor, behind, disabled="" if enabled else progress.disabled or "switched off")
            return _view(self._replace(changed, progress))

    async def rotate(self, webhook: str, secret: str = "") -> dict[str, Any]:
        """Give a webhook a new secret, which is in this answer only; for a day deliveries are signed with the old one, too."""
        async with self._changing:
            before = self._found(webhook)
            until = self._timing.wall() + OLD_SECRET_SECONDS
            changed = self._checked(replace(
                before.webhook, secret=secret or signing.new_secret(), previous=before.webhook.secret, previous_until=until
            ))  # fmt: skip
            await _aside(self._store.change, webhook, asdict(changed))
            before.webhook = changed  # from the next attempt on; nothing on its way is disturbed
            return {**_view(before), "secret": changed.secret}

    async def delete(self, webhook: str) -> None:
        """Forget a webhook."""
        async with self._changing:
            delivery = self._found(webhook)
            await _aside(self._store.delete, webhook)
            self._retire(delivery)
            del self._deliveries[webhook]

    def test(self, webhook: str) -> dict[str, Any]:
        """Send a `webhook.test` now; what came of it is the event `webhook.tested` whose `test` is in this answer."""
        delivery = self._found(webhook)
        message = f"test-{secrets.token_hex(8)}"
        task = asyncio.get_running_loop().create_task(self._test(delivery.webhook, message))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return {"webhook": webhook, "test": message}

    # --- inside

    def _begin(self, webhook: Webhook, progress: Progress) -> Delivery:
        name = webhook.id
        delivery = Delivery(
            webhook, progress, self._backend.journal, self._post,
            note=lambda progress: self._store.note(name, asdict(progress)),
            gave_up=lambda reason: self._backend.say(WebhookDisabled(webhook=name, url=_shown(webhook.url), reason=reason)),
            timing=self._timing, plain=self._plain,
        )  # fmt: skip
        self._deliveries[name] = delivery
        if not progress.disabled:
            try:
                delivery.start()
            except (CommandError, ValueError) as error:  # such as http that was allowed when it was made
                delivery.disable(str(error))
        return delivery

    def _replace(self, webhook: Webhook, progress: Progress) -> Delivery:
        self._retire(self._deliveries[webhook.id])
        delivery = self._begin(webhook, progress)
        self._store.note(webhook.id, asdict(progress))
        return delivery

    def _retire(self, delivery: Delivery) -> None:
        """End a delivery; from here on it notes nothing, as another one may have taken its place."""
        delivery.silence()
        task = asyncio.get_running_loop().create_task(delivery.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _test(self, webhook: Webhook, message: str) -> None:
        began, wall = self._timing.now(), self._timing.wall()
        body = msgspec.json.encode({
            "v": 1, "id": message, "type": "webhook.test", "time": rfc3339(wall), "subject": f"webhooks/{webhook.id}",
            "data": {},
        })  # fmt: skip
        try:
            attempt = await send(webhook, Url.parse(webhook.url, plain=self._plain), self._post, message, body, wall)
        except ValueError as error:  # such as http that was allowed when it was made
            attempt = Attempt(Verdict.RECEIVER_FAILS, reason=str(error))
        self._backend.say(WebhookTested(
            webhook=webhook.id, test=message, ok=attempt.verdict is Verdict.DELIVERED, status=attempt.status,
            reason=attempt.reason, duration_ms=round((self._timing.now() - began) * 1000),
        ))  # fmt: skip

    def _found(self, webhook: str) -> Delivery:
        if webhook not in self._deliveries:
            raise NotFound(f"there is no webhook {webhook[:64]!r}")
        return self._deliveries[webhook]

    def _checked(self, webhook: Webhook) -> Webhook:
        event_types(list(webhook.types))
        if not webhook.types:
            raise InvalidArgument.field("types", 'at least one, such as "call.*"')
        for name, check in (
            ("url", lambda: Url.parse(webhook.url, plain=self._plain)), ("secret", lambda: signing.key_of(webhook.secret)),
        ):  # fmt: skip
            try:
                check()
            except ValueError as error:
                raise InvalidArgument.field(name, str(error)) from None
        if not 0.1 <= webhook.timeout <= 60:
            raise InvalidArgument.field("timeout", "0.1 to 60 seconds")
        if len(webhook.description) > MAX_TEXT:
            raise InvalidArgument.field("description", f"at most {MAX_TEXT} characters")
        return webhook


async def _aside(function: Callable[..., R], *arguments: Any) -> R:
    """Do what waits for the disk on another thread."""
    return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)


def _view(delivery: Delivery) -> dict[str, Any]:
    webhook, progress, last = delivery.webhook, delivery.progress, delivery.last
    return {
        "id": webhook.id, "url": webhook.url, "types": list(webhook.types), "timeout": webhook.timeout,
        "description": webhook.description, "created": webhook.created, "enabled": not progress.disabled,
        "disabled": progress.disabled, "delivered": progress.cursor, "waiting": delivery.waiting,
        "failing_since": rfc3339(progress.failing_since) if progress.failing_since else None,
        "held_back": [each.subject for each in progress.behind if each.since], "last_status": last.status,
        "last_error": last.reason,
    }  # fmt: skip


def _shown(url: str) -> str:
    """Return a URL for an event: what stands behind the `?` may be a key."""
    return url.partition("?")[0]
