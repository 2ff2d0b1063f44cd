"""What the operations on webhooks take and answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class WebhookView:
    """A webhook and how it does. `disabled` says why it is off, `waiting` how many events it has still to be sent.

    `held_back` are subjects whose events wait for one that failed; `delivered` is the event up to which all has been sent.
    """

    id: str
    url: str
    types: tuple[str, ...]
    timeout: float
    description: str
    created: datetime
    enabled: bool
    disabled: str
    delivered: str
    waiting: int
    failing_since: datetime | None
    held_back: tuple[str, ...]
    last_status: int
    last_error: str


@dataclass(frozen=True, slots=True)
class WebhookWithSecret(WebhookView):
    """A webhook with its secret, which no other answer shows."""

    secret: str


@dataclass(frozen=True, slots=True)
class WebhookPage:
    """All webhooks."""

    webhooks: tuple[WebhookView, ...]


@dataclass(frozen=True, slots=True)
class WebhookTest:
    """A test is on its way; the event webhook.tested with this `test` says what came of it."""

    webhook: str
    test: str


@dataclass(frozen=True, slots=True)
class CreateWebhookRequest:
    """Post events of these types to `url`, signed with `secret` (whsec_…; empty: a new one)."""

    url: str
    types: tuple[str, ...] = ("*",)
    secret: str = ""
    timeout: float = 10.0
    description: str = ""


@dataclass(frozen=True, slots=True)
class UpdateWebhookRequest:
    """Change a webhook; `skip` leaves out what has not been delivered yet."""

    webhook: str
    url: str | None = None
    types: tuple[str, ...] | None = None
    timeout: float | None = None
    description: str | None = None
    enabled: bool | None = None
    skip: bool = False


@dataclass(frozen=True, slots=True)
class RotateWebhookRequest:
    """Give a webhook another secret (empty: a new one); the old one signs, too, for a day."""

    webhook: str
    secret: str = ""


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """Name one webhook."""

    webhook: str
