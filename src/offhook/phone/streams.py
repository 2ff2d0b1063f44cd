"""Audio streams: which call's sound goes to which program's WebSocket. Connecting and carrying it is done outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, get_args

from msgspec import structs

from offhook.errors import InvalidArgument, InvalidState, NotFound
from offhook.media.messages import AudioRate
from offhook.phone.call import Call
from offhook.phone.closing import Closing
from offhook.phone.commands import Accepted, ListAudioStreams, StopAudioStream, StreamAudio
from offhook.phone.desk import Desk
from offhook.phone.events import AudioStreamFailed, AudioStreamStarted, AudioStreamStopped
from offhook.phone.model import AudioStreamView, StreamDialect
from offhook.phone.web_requests import ConnectStream, LeaveStream, StreamConnected, StreamOver

STREAMS_LIMIT: Final = 4
"""Streams of one call; each takes one or two of its audio links."""
MAX_PARAMETERS: Final = 32
MAX_PARAMETER: Final = 500
"""Characters of a parameter's name and value together, as Twilio bounds them."""
STOPPED: Final = "stopped"

_RATES: Final[dict[StreamDialect, AudioRate]] = {"twilio": 8000, "pcm": 16000}


@dataclass(slots=True)
class _Stream:
    view: AudioStreamView
    end_call: bool
    stopped: bool = False
    since: float | None = None  # when it was connected


class Streams:
    """The streams there are."""

    def __init__(self, desk: Desk, closing: Closing) -> None:
        self.desk = desk
        self._closing = closing
        self._streams: dict[str, _Stream] = {}
        self._numbers = 0

    def start(self, command: StreamAudio) -> Accepted:
        """Have a program connected to; refuse what could not work."""
        call = self.desk.find(command.call)
        rate = _checked(command)
        if sum(stream.view.call == call.id for stream in self._streams.values()) >= STREAMS_LIMIT:
            raise InvalidState(f"call {call.id} has {STREAMS_LIMIT} audio streams already")
        self._numbers += 1
        name = f"as_{self._numbers}"
        shown = command.url.partition("?")[0]
        view = AudioStreamView(name, call.id, shown, command.dialect, rate, command.track)
        self._streams[name] = _Stream(view, command.end_call)
        self.desk.outbox.append(
            ConnectStream(
                name, call.id, command.url, command.dialect, rate, command.track, command.speak, command.parameters,
                command.control,
            )
        )  # fmt: skip
        return Accepted(call=call.id, operation=self.desk.begin("stream_audio", call, name), value=view)

    def stop(self, command: StopAudioStream) -> Accepted:
        """End a stream. The event comes when the program has been told."""
        stream = self._streams.get(command.stream)
        if stream is None:
            raise NotFound(f"there is no audio stream {command.stream!r}")
        stream.stopped = True
        self.desk.outbox.append(LeaveStream(command.stream, STOPPED))
        return Accepted(call=stream.view.call)

    def list(self, _command: ListAudioStreams) -> Accepted:
        """Answer the streams."""
        return Accepted(value=tuple(stream.view for stream in self._streams.values()))

    def call_closed(self, call: Call) -> None:
        """Have those that are only being connected given up; the others end with the call's sound."""
        for name, stream in self._streams.items():
            if stream.view.call == call.id and stream.since is None:
                self.desk.outbox.append(LeaveStream(name, "the call ended"))

    def connected(self, item: StreamConnected) -> None:
        """The program is there."""
        stream = self._streams.get(item.stream)
        if stream is None:
            return
        stream.since = self.desk.now
        stream.view = structs.replace(stream.view, state="connected")
        call = self.desk.calls.get(stream.view.call)
        if call is not None:
            self.desk.emit(AudioStreamStarted(call=call.view(), stream=stream.view))
            self.desk.finish(call, item.stream)

    def over(self, item: StreamOver) -> None:
        """It is over; the call may be, too."""
        stream = self._streams.pop(item.stream, None)
        if stream is None:
            return
        call = self.desk.calls.get(stream.view.call)
        view = call.view() if call is not None else self.desk.ended.get(stream.view.call)
        if view is not None:
            event = AudioStreamFailed if item.failed else AudioStreamStopped
            duration = 0.0 if stream.since is None else round(self.desk.now - stream.since, 3)
            ended = structs.replace(stream.view, state="ended")
            self.desk.emit(event(call=view, stream=ended, reason=item.reason, duration=duration))
        if call is not None:
            self.desk.finish(call, item.stream, error=item.reason)  # nothing is left to finish if it was connected
            if stream.end_call and not stream.stopped:
                self._closing.hangup(call)


def _checked(command: StreamAudio) -> AudioRate:
    """Return the rate; raise InvalidArgument for what could not work."""
    from offhook.phone.urls import WEBSOCKET, Url  # only who streams pays for it

    try:
        Url.parse(command.url, plain=True, schemes=WEBSOCKET)
    except ValueError as error:
        raise InvalidArgument.field("url", str(error)) from None
    if len(command.parameters) > MAX_PARAMETERS:
        raise InvalidArgument.field("parameters", f"at most {MAX_PARAMETERS}")
    for name, value in command.parameters:
        if not name or len(name) + len(value) > MAX_PARAMETER:
            raise InvalidArgument.field("parameters", f"a name and a value, together at most {MAX_PARAMETER} characters")
    usual = _RATES[command.dialect]
    rate: AudioRate = command.rate or usual
    if rate not in get_args(AudioRate) or (command.dialect == "twilio" and rate != usual):
        raise InvalidArgument.field("rate", "8000, 16000, 24000 or 48000 Hz; the twilio dialect has 8000 only")
    if command.dialect == "pcm" and command.track == "both":
        raise InvalidArgument.field("track", "inbound or outbound; only the twilio dialect tells two tracks apart")
    return rate
