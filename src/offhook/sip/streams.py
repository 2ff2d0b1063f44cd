"""The streams of an endpoint: chunks to whole messages, keep-alives answered, and what cannot be read answered and closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from offhook.errors import ParseError
from offhook.sip.events import CloseFlow, Flow
from offhook.sip.framing import StreamFramer
from offhook.sip.message import Request
from offhook.sip.parsing import MessageError, answerable, parse_message
from offhook.sip.stack import Stack
from offhook.sip.timers import Timer
from offhook.sip.transactions import same_path

STALLED: Final = 20.0
"""Seconds the rest of a message may take on a stream. RFC 4475 3.1.2.2: wait for more, and close if none comes."""


class Streams:
    """All streams: `message` gets each whole message, `fault` what is to be answered as an error, `pong` answered pings."""

    __slots__ = ("_fault", "_framers", "_message", "_pong", "_stack", "_stalled")

    def __init__(self, stack: Stack, message: Callable[[Flow, bytes, float], None],
                 fault: Callable[[Flow, MessageError], None], pong: Callable[[Flow, float], None]) -> None:
        self._stack = stack
        self._message = message
        self._fault = fault
        self._pong = pong
        self._framers: dict[Flow, StreamFramer] = {}
        self._stalled: dict[StreamFramer, Timer] = {}

    def receive(self, flow: Flow, data: bytes, now: float) -> None:
        """Take what arrived."""
        framer = self._framers.get(flow)
        if framer is None:
            framer = self._framers[flow] = StreamFramer()
        pings, pongs = framer.pings, framer.pongs
        framer.expects_pong = flow in self._stack.pinged
        fault: ParseError | None = None
        try:
            frames = framer.feed(data)
            fault = framer.fault
        except ParseError as error:
            frames, fault = [], error
        for frame in frames:
            self._message(flow, frame, now)
        for _ in range(framer.pings - pings):
            # RFC 5626 4.4.1: a ping of two line ends is answered with one
            self._stack.transmit(flow, b"\r\n")
        if framer.pongs > pongs:
            self._pong(flow, now)
        if fault is not None:
            self._answer(flow, framer.head, fault)
            self.close(flow)
        elif framer.waits or self._stalled:
            self._watch(flow, framer, now, anew=bool(frames))

    def _answer(self, flow: Flow, head: bytes, fault: ParseError) -> None:
        """Answer the message behind which the next one cannot be found any more (RFC 4475 3.1.2.3: an error, then close)."""
        partial: Request | None = None
        if head:
            try:
                partial = answerable(parse_message(head))
            except MessageError as error:
                partial = error.partial
        self._fault(flow, MessageError(fault.detail, status=fault.status, partial=partial))

    def _watch(self, flow: Flow, framer: StreamFramer, now: float, *, anew: bool) -> None:
        """Give the rest of a message its time, one byte after the other no more than all at once; `anew`: it is another one."""
        timer = self._stalled.get(framer)
        if timer is not None and (anew or not framer.waits):
            timer.stop()
            del self._stalled[framer]
        if framer.waits and framer not in self._stalled:
            def give_up(_now: float) -> None:
                self._answer(flow, framer.begun, ParseError("the rest of the message did not come"))
                self.close(flow)
            self._stalled[framer] = self._stack.timers.start(now + STALLED, give_up)

    def close(self, flow: Flow) -> None:
        """Have this connection closed."""
        self._forget(flow)
        self._stack.emit(CloseFlow(flow))

    def failed(self, flow: Flow) -> None:
        """The connection is gone."""
        for each in [each for each in self._framers if same_path(flow, each)]:
            self._forget(each)

    def _forget(self, flow: Flow) -> None:
        framer = self._framers.pop(flow, None)
        timer = self._stalled.pop(framer, None) if framer is not None else None
        if timer is not None:
            timer.stop()
