"""Taps: one call hears another, as a supervisor does, and may whisper to one side of it or speak to both."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import get_args

from offhook.errors import InvalidArgument, InvalidState, NotFound
from offhook.media.messages import AttachSound, SetTap, Side
from offhook.phone.call import Call
from offhook.phone.commands import Accepted, ListTaps, StopTap, Tap
from offhook.phone.conferences import check_together
from offhook.phone.desk import Desk
from offhook.phone.events import TapChanged, TapEnded, TapStarted
from offhook.phone.model import TapView


class Taps:
    """The taps there are, by the call that listens."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.together: Callable[[Call], Collection[str]] = lambda _: ()  # the calls in a conference with one
        self._taps: dict[str, TapView] = {}

    def start(self, command: Tap) -> Accepted:
        """Let one call hear another, or change what it hears."""
        call, by = self.desk.find_connected(command.call), self.desk.find_connected(command.by)
        for name in ("hear", "speak"):
            if getattr(command, name) not in get_args(Side):
                raise InvalidArgument.field(name, "none, near, far or both")
        if (command.hear, command.speak) == ("none", "none"):
            raise InvalidArgument.field("hear", "near, far or both, where `speak` is none; to end a tap, stop it")
        if call is by:
            raise InvalidArgument.field("by", "another call than the one that is tapped")
        if any(call.id == tap.by or by.id == tap.call for tap in self._taps.values()):
            raise InvalidArgument.field("by", "a call that taps cannot be tapped")
        if by.id in self.together(call):
            raise InvalidState(f"calls {call.id} and {by.id} hear each other in a conference")
        check_together([call, by])
        view = TapView(by.id, call.id, command.hear, command.speak)
        former = self._taps.get(by.id)
        if former is not None and former.call != call.id:
            self._end(former)
            former = None
        self._taps[by.id] = view
        by.off_card = True
        self.desk.media(AttachSound(by.id, False))
        self.desk.media(SetTap(call.id, by.id, command.hear, command.speak))
        self.desk.emit((TapStarted if former is None else TapChanged)(call=call.view(), tap=view))
        return Accepted(call=call.id, value=view)

    def stop(self, command: StopTap) -> Accepted:
        """End a tap."""
        view = self._taps.get(self.desk.find(command.by).id)
        if view is None:
            raise NotFound(f"call {command.by!r} taps no other")
        self._end(view)
        return Accepted(call=view.call)

    def list(self, _command: ListTaps) -> Accepted:
        """Answer the taps."""
        return Accepted(value=tuple(self._taps.values()))

    def joined(self, call: Call) -> None:
        """End the taps between a call and those whose conference it has come into: it would hear them twice, and itself."""
        mates = self.together(call)
        for view in [view for view in self._taps.values() if call.id in (view.by, view.call)]:
            if view.by in mates and view.call in mates:
                self._end(view)

    def call_closed(self, call: Call) -> None:
        """End the taps of a call that is over, whichever side of them it was."""
        for view in [view for view in self._taps.values() if call.id in (view.by, view.call)]:
            self._end(view)

    def _end(self, view: TapView) -> None:
        del self._taps[view.by]
        self.desk.media(SetTap(view.call, view.by, "none", "none"))
        by = self.desk.calls.get(view.by)
        if by is not None:
            by.off_card = False
            if by.is_connected:
                self.desk.media(AttachSound(by.id, not by.held_by_us))
        call = self.desk.calls.get(view.call)
        shown = call.view() if call is not None else self.desk.ended.get(view.call)
        if shown is not None:
            self.desk.emit(TapEnded(call=shown, tap=view))
