"""JSON that is no dataclass of the phone, written as one: answers, requests of the surfaces' own, the history, problems.

Nothing is built from these; the descriptions are, and tests hold what the phone really sends against them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from offhook.control.conditions import WaitRequest
from offhook.control.shapes.operations import (
    AboutView,
    CaptureKeysAnswer,
    CaptureKeysRequest,
    CopydataAnswer,
    CopydataRequest,
    DdeItemRequest,
    DdeRequest,
    EntryRequest,
    HelpAnswer,
    HistoryPage,
    HistoryRequest,
    LegacyRequest,
    MessagePage,
    MessagesRequest,
    Nothing,
    OperationView,
    PingAnswer,
    ReloadAnswer,
    SnapshotNow,
    TextAnswer,
    TraceAnswer,
    TraceRequest,
    WaitAnswer,
)
from offhook.control.shapes.problems import Problem
from offhook.control.shapes.sockets import (
    STREAM_SHAPES,
    AudioOpened,
    AudioRequest,
    AuthenticateAnswer,
    AuthenticateRequest,
    CancelWaitAnswer,
    CancelWaitRequest,
    HelloAnswer,
    HelloRequest,
    SubscribeAnswer,
    SubscribeRequest,
    UnsubscribeAnswer,
    UnsubscribeRequest,
)
from offhook.control.shapes.values import PENDING, VALUES
from offhook.control.shapes.webhooks import (
    CreateWebhookRequest,
    RotateWebhookRequest,
    UpdateWebhookRequest,
    WebhookPage,
    WebhookRequest,
    WebhookTest,
    WebhookView,
    WebhookWithSecret,
)

__all__ = [
    "EXCHANGES",
    "LOCAL_EXCHANGES",
    "PENDING",
    "SOCKET_EXCHANGES",
    "STREAM_SHAPES",
    "VALUES",
    "WEB_EXCHANGES",
    "Capabilities",
    "Exchange",
    "Nothing",
    "OperationView",
    "Problem",
    "SettingsView",
    "SystemView",
    "TraceAnswer",
    "WebhookView",
]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One operation that is no command: what it is for, what it takes, what it answers."""

    summary: str
    request: type
    answer: type


EXCHANGES: Final[Mapping[str, Exchange]] = {
    "ping": Exchange("See whether the phone listens, and where its journal is.", Nothing, PingAnswer),
    "about": Exchange("What this phone is.", Nothing, AboutView),
    "help": Exchange("What can be asked for.", Nothing, HelpAnswer),
    "snapshot": Exchange("Everything at one moment, and the event after which it is true.", Nothing, SnapshotNow),
    "trace": Exchange("The SIP messages of a call.", TraceRequest, TraceAnswer),
    "capture_keys": Exchange("The keys of a captured call.", CaptureKeysRequest, CaptureKeysAnswer),
    "history": Exchange("Past calls, newest first.", HistoryRequest, HistoryPage),
    "delete_history": Exchange("Forget one past call.", EntryRequest, Nothing),
    "clear_history": Exchange("Forget all past calls.", Nothing, Nothing),
    "messages": Exchange("Texts that came and went, newest first.", MessagesRequest, MessagePage),
    "clear_messages": Exchange("Forget all texts.", Nothing, Nothing),
    "reload": Exchange("Read the configuration file again.", Nothing, ReloadAnswer),
    "wait": Exchange("Wait for the first of some conditions; what is so already is answered at once.", WaitRequest, WaitAnswer),
    "dde": Exchange("Carry out a DDE string.", DdeRequest, TextAnswer),
    "dde_request": Exchange("The answer to a DDE request.", DdeItemRequest, TextAnswer),
    "copydata": Exchange("Carry out a WM_COPYDATA command.", CopydataRequest, CopydataAnswer),
    "legacy": Exchange("Carry out a command line of MicroSIP.", LegacyRequest, TextAnswer),
    "list_webhooks": Exchange("All webhooks and how they do.", Nothing, WebhookPage),
    "create_webhook": Exchange("Have events posted to an address; needs read, too.", CreateWebhookRequest, WebhookWithSecret),
    "update_webhook": Exchange("Change a webhook, or switch it on or off.", UpdateWebhookRequest, WebhookView),
    "rotate_webhook": Exchange("Give a webhook another secret.", RotateWebhookRequest, WebhookWithSecret),
    "delete_webhook": Exchange("Forget a webhook.", WebhookRequest, Nothing),
    "test_webhook": Exchange("Send a test event.", WebhookRequest, WebhookTest),
}
"""The operations of `control.operations.EXTRA`."""

SOCKET_EXCHANGES: Final[Mapping[str, Exchange]] = {
    "subscribe": Exchange("Ask for events.", SubscribeRequest, SubscribeAnswer),
    "unsubscribe": Exchange("Ask for fewer events.", UnsubscribeRequest, UnsubscribeAnswer),
    "cancel_wait": Exchange("Give up a wait.", CancelWaitRequest, CancelWaitAnswer),
}
"""Those about a connection itself, on every socket."""

LOCAL_EXCHANGES: Final[Mapping[str, Exchange]] = {
    "hello": Exchange("Give this connection a name.", HelloRequest, HelloAnswer),
    "audio": Exchange("Make this connection one call's sound.", AudioRequest, AudioOpened),
}
"""Only on the local socket."""

WEB_EXCHANGES: Final[Mapping[str, Exchange]] = {
    "authenticate": Exchange("Say who you are.", AuthenticateRequest, AuthenticateAnswer)
}
"""Only on the WebSocket."""

# --- what only HTTP answers


@dataclass(frozen=True, slots=True)
class SettingsView:
    """Do not disturb, forwarding ("" is off) and automatic answer."""

    dnd: bool
    forwarding: str
    auto_answer: str


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Everything this phone can be asked for, every event it may send, and the codecs it offers."""

    operations: tuple[str, ...]
    events: tuple[str, ...]
    codecs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SystemView(AboutView):
    """What this phone is, and what it can do; `epoch` names this run in the ids of events."""

    epoch: str
    capabilities: Capabilities
