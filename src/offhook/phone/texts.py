"""Texts (SIP MESSAGE, RFC 3428), in and out, and what is sent as INFO within a call."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from offhook.errors import InvalidArgument
from offhook.phone.commands import Accepted, SendInfo, SendMessage
from offhook.phone.desk import Desk
from offhook.phone.dialplan import target_uri
from offhook.phone.events import MessageFailed, MessageReceived, MessageSent, OperationFailed, OperationSucceeded
from offhook.phone.model import Party
from offhook.phone.outgoing import LOCAL_IDENTITY, Outgoing
from offhook.sip import events as sip

MAX_TEXT: Final = 16 * 1024
"""Characters of a text."""

_CHARSETS: Final = {
    "iso-8859-1": "latin-1", "iso-8859-15": "iso-8859-15", "latin1": "latin-1", "utf-16": "utf-16", "windows-1252": "cp1252",
}  # fmt: skip
"""How texts are read that are not in UTF-8: what phones of Western Europe write, and no name that a stranger makes up."""
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([A-Za-z0-9_-]{1,32})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Sent:
    """A text that waits for its answer."""

    operation: str
    message: str
    account: str
    to: str
    text: str


class Texts:
    """All that is written."""

    def __init__(self, desk: Desk, outgoing: Outgoing) -> None:
        self.desk = desk
        self.outgoing = outgoing
        self.sent: dict[str, _Sent] = {}  # by the name of the request
        self._infos: dict[str, str] = {}  # the calls of those that wait for their answer, likewise

    def send_info(self, command: SendInfo) -> Accepted:
        """Send an INFO in a call."""
        call = self.desk.find_connected(command.call)
        if len(command.body) > MAX_TEXT:
            raise InvalidArgument.field("body", f"at most {MAX_TEXT} characters")
        if not _is_content_type(command.content_type):
            raise InvalidArgument.field("content_type", "at most 128 characters such as text/plain")
        request = f"user:{self.desk.ids.token(8)}"
        body = sip.Body(command.content_type, command.body.encode("utf-8", "replace"))
        self.desk.signal(sip.SendInfo(call.id, request, body))
        operation = self.desk.begin("send_info", call, request)
        self._infos[request] = call.id
        return Accepted(call=call.id, operation=operation)

    def send(self, command: SendMessage) -> Accepted:
        """Send a text."""
        if not command.text or len(command.text) > MAX_TEXT:
            raise InvalidArgument.field("text", f"1-{MAX_TEXT} characters")
        account = self.outgoing.choose_account(command.account, command.to)
        target = target_uri(command.to, account.settings if account else None)
        operation = self.desk.begin("send_message")
        identity = account.settings.id if account else LOCAL_IDENTITY
        body = sip.Body("text/plain;charset=UTF-8", command.text.encode("utf-8", "replace"))
        self.desk.signal(sip.SendRequest(operation, identity, "MESSAGE", target, body))
        self.sent[operation] = sent = _Sent(operation, self._name(), identity, str(target), command.text)
        return Accepted(operation=operation, value={"message": sent.message})

    def done(self, event: sip.RequestDone) -> None:
        """The far end's side has answered, or never will."""
        error = "" if event.status < 300 else event.reason or str(event.status)
        call = self.desk.calls.get(self._infos.pop(event.request, ""))
        if call is not None:
            self.desk.finish(call, event.request, error=error, sip_status=event.status)
        sent = self.sent.pop(event.request, None)
        if sent is None:
            return
        if not error:
            self.desk.emit(MessageSent(
                message=sent.message, account=sent.account, to=sent.to, text=sent.text, operation=sent.operation
            ))  # fmt: skip
            self.desk.emit(OperationSucceeded(operation=sent.operation, command="send_message"))
            return
        self.desk.emit(MessageFailed(
            message=sent.message, account=sent.account, to=sent.to, text=sent.text, operation=sent.operation,
            sip_status=event.status, reason=event.reason,
        ))  # fmt: skip
        self.desk.emit(
            OperationFailed(operation=sent.operation, command="send_message", sip_status=event.status, reason=event.reason)
        )

    def received(self, event: sip.MessageReceived) -> None:
        """A text has come."""
        said = event.remote.display
        remote = self.desk.names.known(Party(str(event.remote.uri), said, said=said), event.remote.uri)
        self.desk.emit(MessageReceived(
            message=self._name(), account=event.identity or LOCAL_IDENTITY, remote=remote,
            text=_text_of(event.body), content_type=event.body.content_type,
        ))  # fmt: skip

    def _name(self) -> str:
        return f"msg_{self.desk.ids.token(8)}"


def _text_of(body: sip.Body) -> str:
    """Return what was written (RFC 3261 7.4.1: in UTF-8 unless the type says otherwise)."""
    named = _CHARSET.search(body.content_type)
    return body.data.decode(_CHARSETS.get(named[1].lower(), "utf-8") if named else "utf-8", "replace")


def _is_content_type(text: str) -> bool:
    kind, slash, sub = text.partition("/")
    return bool(slash and kind and sub) and all(32 < ord(ch) < 127 for ch in text) and len(text) <= 128
