"""Captures of calls: the packets of their sound as they are on the wire, on request, for a bounded time and size."""

from __future__ import annotations

from typing import Final

from offhook.errors import InvalidArgument, InvalidState, NotFound
from offhook.media.messages import CaptureEnded, CaptureStream, EndCapture, StreamId
from offhook.phone.commands import Accepted, Capture, StopCapture
from offhook.phone.desk import Desk
from offhook.phone.events import CaptureFinished, CaptureStarted

MOST_BYTES: Final = 10_000_000
"""Of one capture, as a pcap file: seven minutes of G.711 both ways. In base64 it fits into what a client takes at once."""
MOST_SECONDS: Final = 3600
MOST_AT_ONCE: Final = 4
"""Calls captured beside each other: looking at packets costs more than passing them on, and they are kept in memory."""
_TIMER: Final = "capture"


class Captures:
    """The captures that run, by call. Who keeps the packets is no business of the phone's."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._running: set[StreamId] = set()

    def start(self, command: Capture) -> Accepted:
        """Have a call's packets captured."""
        call = self.desk.find(command.call)
        if not call.port:
            raise InvalidState(f"call {call.id} has no sound yet")
        if not 1 <= command.seconds <= MOST_SECONDS:
            raise InvalidArgument.field("seconds", f"1-{MOST_SECONDS}")
        if call.id in self._running:
            raise InvalidState(f"call {call.id} is being captured already")
        if len(self._running) >= MOST_AT_ONCE:
            raise InvalidState(f"{MOST_AT_ONCE} calls are being captured already")
        self._running.add(call.id)
        self.desk.after(call, _TIMER, command.seconds, lambda over: self.desk.media(EndCapture(over.id, "time")))
        self.desk.media(CaptureStream(call.id, MOST_BYTES, command.keys))
        self.desk.emit(CaptureStarted(call=call.view(), seconds=command.seconds, keys=command.keys))
        return Accepted(call=call.id)

    def stop(self, command: StopCapture) -> Accepted:
        """End a capture; what there is of it stays."""
        call = self.desk.find(command.call)
        if call.id not in self._running:
            raise NotFound(f"call {call.id} is not being captured")
        self.desk.media(EndCapture(call.id))
        return Accepted(call=call.id)

    def ended(self, report: CaptureEnded) -> None:
        """There are no more packets. The call may be over by then."""
        if report.stream not in self._running:
            return
        self._running.discard(report.stream)
        call = self.desk.calls.get(report.stream)
        if call is not None:
            self.desk.stop(call, _TIMER)
        if report.reason == "full":
            self.desk.media(EndCapture(report.stream))  # the stream may have its sockets to itself again
        shown = call.view() if call is not None else self.desk.ended.get(report.stream)
        if shown is not None:
            self.desk.emit(CaptureFinished(call=shown, reason=report.reason, packets=report.packets, size=report.size))

    def lost(self, streams: tuple[StreamId, ...]) -> None:
        """The engine that captured these is gone; what it told of before is kept."""
        for stream in streams:
            self.ended(CaptureEnded(stream, "engine failed", 0, 0))
