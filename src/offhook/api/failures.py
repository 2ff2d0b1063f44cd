"""What can go wrong for a program besides a refused command: calls nobody answers, operations that fail, phones that go."""

from __future__ import annotations

from typing import Final

from offhook.errors import OffhookError
from offhook.phone.model import CallEnd, CallView

CLOSED: Final = "the phone, or the connection to it, was closed"


class PhoneGone(OffhookError):
    """No phone is there, or it has ended: nothing more will come of this."""


class ConnectionLost(PhoneGone):
    """The connection broke while a request was under way: whether the phone has done it is not known.

    The connection is made again by itself; ask the phone (`phone.calls`) before you repeat what must not be done twice.
    """


class OperationFailed(OffhookError):
    """What a command began did not work. `sip_status` is the far end's answer, 0 where it was not the far end."""

    def __init__(self, command: str, *, sip_status: int = 0, reason: str = "") -> None:
        status = f"{sip_status} " if sip_status else ""
        super().__init__(f"{command}: {status}{reason}".rstrip(" :"))
        self.command = command
        self.sip_status = sip_status
        self.reason = reason


class CallFailed(OffhookError):
    """A call ended before it was answered (or, in `wait_amd`, before it was known by whom).

    `call` is its last view, `sip_status` the final answer, `reason` its words.
    """

    def __init__(self, call: CallView) -> None:
        end = call.end or CallEnd("network")
        self.call = call
        self.sip_status = end.sip_status
        self.reason = end.reason
        super().__init__(f"{call.remote.uri}: {end.sip_status or ''} {end.reason or 'the call ended'}".replace(":  ", ": "))


class Busy(CallFailed):
    """The far end talks to somebody else (486, 600)."""


class Declined(CallFailed):
    """The far end does not want this call (603, 607)."""


class NoAnswer(CallFailed):
    """It rang, or the far end is away, and nobody answered in time (408, 480, the ring timeout)."""


class UnknownNumber(CallFailed):
    """There is nobody under this number (404, 410, 484, 604)."""


class Barred(CallFailed):
    """The exchange does not allow this call (401, 402, 403, 407, 608)."""


class Unreachable(CallFailed):
    """The call did not get through: no such host, no answer from the network, an exchange in trouble (5xx)."""


class Cancelled(CallFailed):
    """We gave up before the far end answered."""


_BY_STATUS: Final[dict[int, type[CallFailed]]] = {
    **dict.fromkeys((486, 600), Busy),
    **dict.fromkeys((603, 607), Declined),
    **dict.fromkeys((408, 480), NoAnswer),
    **dict.fromkeys((404, 410, 484, 604), UnknownNumber),
    **dict.fromkeys((401, 402, 403, 407, 608), Barred),
}

_RANG_OUT: Final = "no answer"
"""The reason of a call that the ring timeout ended."""


def call_failure(call: CallView) -> CallFailed:
    """Return the error for a call that ended without an answer, or after it before something else had come."""
    end = call.end or CallEnd("network")
    if call.answered is not None:
        return CallFailed(call)
    if end.by == "local":
        return NoAnswer(call) if end.reason == _RANG_OUT else Cancelled(call)
    if end.by == "network" or 500 <= end.sip_status < 600:
        return Unreachable(call)
    return _BY_STATUS.get(end.sip_status, CallFailed)(call)
