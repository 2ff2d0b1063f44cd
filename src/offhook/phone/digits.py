"""DTMF: what may be sent, by which method, and what the far end pressed."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from typing import Final, Literal

from offhook.errors import CommandError, InvalidArgument, InvalidState
from offhook.media.messages import DigitReceived, DigitsDone, DigitSent, SendDigits
from offhook.phone.call import Call
from offhook.phone.commands import Accepted, SendDtmf
from offhook.phone.desk import Desk
from offhook.phone.events import DtmfReceived, DtmfSendFailed, DtmfSent
from offhook.phone.model import CallState
from offhook.sip.events import Body, InfoReceived, RequestDone, SendInfo

MAX_DIGITS: Final = 256
"""Digits in one command: a minute and more of pressing keys."""
DURATION_MS: Final = range(40, 30_001)
"""A key press shorter than 40 ms is not recognised everywhere (ITU-T Q.24); doors and radios want keys that are held."""
GAP_MS: Final = range(30, 6001)

_DIGITS = re.compile(r"[0-9*#A-D,]+")
_RELAY_SIGNAL = re.compile(r"(?im)^\s*Signal\s*=\s*([0-9*#A-D]|1[0-5])\s*$")
_RELAY_DURATION = re.compile(r"(?im)^\s*Duration\s*=\s*(\d{1,5})\s*$")
_BY_NUMBER = "0123456789*#ABCD"


def clean_digits(text: str) -> str:
    """Return the digits in capitals; any character that is not a digit or ',' refuses them all."""
    digits = text.strip().upper()
    if not digits or len(digits) > MAX_DIGITS or not _DIGITS.fullmatch(digits):
        raise InvalidArgument.field("digits", f"1-{MAX_DIGITS} of 0-9 * # A-D, and ',' for a pause; got {text[:40]!r}")
    return digits


def relay_body(digit: str, duration_ms: int) -> Body:
    """Return the application/dtmf-relay body for one key."""
    return Body("application/dtmf-relay", f"Signal={digit}\r\nDuration={duration_ms}\r\n".encode())


def read_relay(body: Body | None) -> tuple[str, int] | None:
    """Return (digit, milliseconds) of an INFO body (dtmf-relay or plain dtmf), None if it is something else."""
    if body is None:
        return None
    kind = body.content_type.partition(";")[0].strip().lower()
    text = body.data[:512].decode("ascii", "replace")
    if kind == "application/dtmf":
        digit = text.strip().upper()
        return (digit, 250) if len(digit) == 1 and digit in _BY_NUMBER else None
    found = _RELAY_SIGNAL.search(text) if kind == "application/dtmf-relay" else None
    if not found:
        return None
    signal = found.group(1).upper()
    duration = _RELAY_DURATION.search(text)
    digit = signal if len(signal) == 1 else _BY_NUMBER[int(signal)]
    return digit, int(duration.group(1)) if duration else 250


@dataclass(slots=True)
class _InfoRun:
    """Digits that go out one INFO at a time."""

    operation: str
    left: deque[str]
    duration_ms: int
    gap_ms: int
    current: str = ""


@dataclass(slots=True)
class _Runs:
    info: deque[_InfoRun] = field(default_factory=deque)


class Digits:
    """Sends and receives DTMF for all calls."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._runs: dict[str, _Runs] = {}
        self._requests = 0
        self._infos: dict[str, str] = {}
        self._inband: dict[str, str] = {}

    def send(self, command: SendDtmf) -> Accepted:
        """Start sending; the whole command is refused if anything about it is wrong."""
        digits = clean_digits(command.digits)
        if command.duration_ms not in DURATION_MS:
            raise InvalidArgument.field("duration_ms", f"{DURATION_MS.start}-{DURATION_MS.stop - 1}")
        if command.gap_ms not in GAP_MS:
            raise InvalidArgument.field("gap_ms", f"{GAP_MS.start}-{GAP_MS.stop - 1}")
        call = self.desk.find(command.call)
        if call.state is not CallState.ACTIVE:
            raise InvalidState(f"call {call.id} is {call.state}: digits go out in an active call only")
        method = self._method(call, command.method or self.desk.settings.dtmf_method)
        operation = self._start(call, digits, method, command.duration_ms, command.gap_ms)
        return Accepted(call=call.id, operation=operation)

    def send_queued(self, call: Call, digits: str) -> None:
        """Send the digits dialled with the number; whoever dialled it waits for no answer by now, so a refusal is an event."""
        try:
            self.send(SendDtmf(digits=digits, call=call.id))
        except CommandError as error:
            self.desk.emit(DtmfSendFailed(call=call.view(), reason=error.detail))

    def _method(self, call: Call, wanted: str) -> Literal["rtp", "info", "inband"]:
        negotiated = call.config is not None and call.config.telephone_event is not None
        if wanted == "rtp":
            if not negotiated:
                raise InvalidState(f"call {call.id} has no RFC 4733 digits negotiated; use method auto, info or inband")
            return "rtp"
        if wanted == "info" or wanted == "inband":
            return "info" if wanted == "info" else "inband"
        if negotiated:
            return "rtp"
        return "info" if call.allows_info else "inband"

    def _start(self, call: Call, digits: str, method: Literal["rtp", "info", "inband"], duration: int, gap: int) -> str:
        operation = self.desk.begin("send_dtmf", call, f"dtmf:{self._requests}")
        request = f"dtmf:{self._requests}"
        self._requests += 1
        if method == "info":
            runs = self._runs.setdefault(call.id, _Runs())
            runs.info.append(_InfoRun(request, deque(digits), duration, gap))
            if len(runs.info) == 1:
                self._next_info(call)
        else:
            if method == "inband":
                self._inband[request] = call.id
            self.desk.media(
                SendDigits(call.id, request, digits, method, duration, gap, self.desk.settings.dtmf_pause_ms)
            )
        return operation

    # --- SIP INFO, one at a time

    def _next_info(self, call: Call) -> None:
        runs = self._runs[call.id].info
        while runs and not runs[0].left:
            self.desk.finish(call, runs.popleft().operation)
        if not runs:
            return
        run = runs[0]
        run.current = run.left.popleft()
        if run.current == ",":
            self.desk.after(call, "info", self.desk.settings.dtmf_pause_ms / 1000, self._next_info)
            return
        self._requests += 1
        request = f"info:{self._requests}"
        self._infos[request] = call.id
        try:
            self.desk.signal(SendInfo(call.id, request, relay_body(run.current, run.duration_ms)))
        except CommandError as error:
            del self._infos[request]
            self._info_failed(call, error.detail, 0)

    def _info_failed(self, call: Call, reason: str, status: int) -> None:
        run = self._runs[call.id].info.popleft()
        self.desk.emit(DtmfSendFailed(call=call.view(), reason=reason))
        self.desk.finish(call, run.operation, error=reason, sip_status=status)
        self._next_info(call)

    def request_done(self, event: RequestDone) -> bool:
        """Go on after an INFO's answer; False if the request is not one of ours."""
        call_id = self._infos.pop(event.request, None)
        if call_id is None:
            return False
        call = self.desk.calls.get(call_id)
        if call is None:
            return True
        run = self._runs[call_id].info[0]
        if event.status >= 300:
            self._info_failed(call, f"the far end refused the digit: {event.status} {event.reason}", event.status)
            return True
        self.desk.emit(DtmfSent(call=call.view(), digit=self._told(run.current), method="info"))
        self.desk.after(call, "info", (run.duration_ms + run.gap_ms) / 1000, self._next_info)
        return True

    def forget(self, call: Call) -> None:
        """The call is over."""
        self._runs.pop(call.id, None)
        for request in [request for request, owner in self._inband.items() if owner == call.id]:
            del self._inband[request]

    # --- reports

    def info_received(self, event: InfoReceived, call: Call) -> None:
        """A key pressed over SIP INFO."""
        key = read_relay(event.body)
        if key:
            self.desk.emit(DtmfReceived(call=call.view(), digit=self._told(key[0]), method="info", duration_ms=key[1]))

    def received(self, report: DigitReceived, call: Call) -> None:
        """A key pressed in the media. Once keys come as events (RFC 4733), what leaks into the sound is no second press."""
        if report.method == "rtp":
            call.keys_as_events = True
        elif call.keys_as_events:
            return
        self.desk.emit(
            DtmfReceived(call=call.view(), digit=self._told(report.digit), method=report.method, duration_ms=report.duration_ms)
        )

    def sent(self, report: DigitSent, call: Call) -> None:
        """One of our digits is out."""
        method: Literal["rtp", "inband"] = "inband" if report.request in self._inband else "rtp"
        self.desk.emit(DtmfSent(call=call.view(), digit=self._told(report.digit), method=method))

    def _told(self, digit: str) -> str:
        """Return a key as events tell it."""
        return "*" if self.desk.settings.mask_digits else digit

    def done(self, report: DigitsDone, call: Call) -> None:
        """All of a command's digits are out, or the rest will not go."""
        self._inband.pop(report.request, None)
        if report.error:
            self.desk.emit(DtmfSendFailed(call=call.view(), reason=report.error))
        self.desk.finish(call, report.request, error=report.error)
