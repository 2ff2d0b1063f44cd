"""How calls end: hanging up, and everything that is tidied when a call is over."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from offhook.media.messages import CloseStream
from offhook.phone.call import Call, CallInput
from offhook.phone.desk import Desk
from offhook.phone.events import CallEnded, CallIncoming, TransferCompleted
from offhook.phone.headers import user_to_user, values
from offhook.phone.model import CallEnd, CallState, EndedBy, HeaderList
from offhook.sip.events import End, Refuse, SessionEnded

ANSWERED_ELSEWHERE: Final = 200
"""The cause of a call that nobody missed."""
EXPIRED, NOBODY, ASTRAY = "the call expired", "nobody answered", "forwarding failed"
UNDECIDED: Final = frozenset({EXPIRED, NOBODY, ASTRAY})
"""Why we end a call that rings without anybody having decided so: it is missed, as one whose caller gives up."""

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"?')
_CAUSE = re.compile(r';\s*cause\s*=\s*(\d{1,3})(?!\d)', re.IGNORECASE)


def q850_cause(headers: HeaderList) -> int:
    """Return the Q.850 cause of a Reason header (RFC 3326), 0 without one."""
    return _cause(headers, "q.850")


def sip_cause(headers: HeaderList) -> int:
    """Return the SIP status of a Reason header (RFC 3326), 0 without one: 200 in a CANCEL means answered elsewhere."""
    return _cause(headers, "sip")


def _cause(headers: HeaderList, protocol: str) -> int:
    for value in values(headers, "Reason"):
        # What is between quotes is for people, and may have commas, semicolons and `cause=` in it.
        for reason in _QUOTED.sub('""', value).split(","):
            name, semicolon, params = reason.partition(";")
            found = _CAUSE.search(semicolon + params)
            if name.strip().lower() == protocol and found:
                return int(found.group(1))
    return 0


class Closing:
    """Ends calls. `on_closed` are told of each call that is over."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.on_closed: list[Callable[[Call], None]] = []

    def hangup(self, call: Call, reason: str = "", headers: HeaderList = ()) -> None:
        """End a call from our side, in whatever state; it is over for everyone at once."""
        if call.state is CallState.INCOMING:
            self.refuse(call, 603, reason, headers)
            return
        if call.invited or call.direction == "incoming":
            self.desk.attempt(End(call.id, headers))
        self.close(call, "local", 487 if call.answered is None else 0, reason)

    def refuse(self, call: Call, status: int, reason: str = "", headers: HeaderList = ()) -> None:
        """Refuse a ringing incoming call."""
        self.desk.attempt(Refuse(call.id, status, headers=headers))
        self.close(call, "local", status, reason)

    def session_ended(self, event: SessionEnded, call: Call) -> None:
        """The far end or the network ended it (or our own end is confirmed, when the call is gone already)."""
        self.close(call, event.by, event.status, event.reason, event.headers)

    def close(self, call: Call, by: EndedBy, status: int, reason: str, headers: HeaderList = ()) -> None:
        """Make the call over: state, media, operations, event."""
        desk = self.desk
        if call.state is CallState.ENDED:
            return
        if call.direction == "incoming" and not call.told:
            # Its caller has given up while we found out whether it can be answered. The first event of a call says that
            # there is one.
            desk.emit(CallIncoming(call=call.view(), rings=False))
        unanswered = call.answered is None
        call.user_to_user = user_to_user(headers) or call.user_to_user
        call.step(CallInput.END)
        call.ended = desk.wall
        call.end = CallEnd(by, status if unanswered else 0, reason, q850_cause(headers), sip_cause(headers))
        duration = 0.0 if call.answered is None else round(desk.now - call.talking_since, 3)
        if call.port or call.worker:  # or the worker's place for it would be kept
            desk.media(CloseStream(call.id))
        self._end_operations(call, status if by != "local" else 0, reason)
        view = desk.forget(call)
        for closed in self.on_closed:
            closed(call)
        desk.emit(CallEnded(call=view, duration=duration, stats=call.stats))

    def _end_operations(self, call: Call, status: int, reason: str) -> None:
        if call.transfer_target and call.end is not None and call.end.by == "remote":
            # A PBX that ends our leg after it took the transfer may do so before its last NOTIFY.
            self.desk.emit(TransferCompleted(call=call.view()))
            self.desk.finish(call, "transfer")
        self.desk.finish(call, "hangup")
        for kind in list(call.operations):
            self.desk.finish(call, kind, error=reason or "the call ended", sip_status=status)
