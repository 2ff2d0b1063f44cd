"""Conferences: calls that hear each other, mixed here. The person at the phone is in it with every call on the sound card."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from offhook.errors import InvalidArgument, InvalidState, NotFound
from offhook.media.messages import SetBridge
from offhook.phone.call import HELD_BY_THEM, LOCALLY_HELD, Call
from offhook.phone.commands import (
    Accepted,
    CreateConference,
    EndConference,
    JoinConference,
    LeaveConference,
    ListConferences,
    MuteMember,
    UnmuteMember,
)
from offhook.phone.desk import Desk
from offhook.phone.events import ConferenceCreated, ConferenceEnded, ConferenceJoined, ConferenceLeft, ConferenceUpdated
from offhook.phone.model import CallState, ConferenceView
from offhook.phone.offers import Offers

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(slots=True)
class Conference:
    """Who is in it, in the order of joining; the `muted` are not heard by the others."""

    id: str
    members: list[str] = field(default_factory=list)
    muted: set[str] = field(default_factory=set)

    def view(self) -> ConferenceView:
        """Return the conference as everyone sees it."""
        return ConferenceView(self.id, tuple(self.members), tuple(call for call in self.members if call in self.muted))


class Conferences:
    """All conferences of the phone. A call is in one at most; a conference that its last member leaves is over.

    `on_joined` are told of a call that has come in.
    """

    def __init__(self, desk: Desk, offers: Offers) -> None:
        self.desk = desk
        self.offers = offers
        self.on_joined: list[Callable[[Call], None]] = []
        self.rooms: dict[str, Conference] = {}
        # Calls placed because a member asked for a transfer -> the conference, the member, and whether it was muted.
        self._expected: dict[str, tuple[str, str, bool]] = {}
        desk.on_stepped.append(self._follow_hold)

    def views(self) -> tuple[ConferenceView, ...]:
        """Return every conference."""
        return tuple(room.view() for room in self.rooms.values())

    def together(self, call: Call) -> tuple[str, ...]:
        """Return who is in a conference with this call."""
        return next((tuple(room.members) for room in self.rooms.values() if call.id in room.members), ())

    def list(self, _command: ListConferences) -> Accepted:
        """Answer every conference."""
        return Accepted(value=self.views())

    def create(self, command: CreateConference) -> Accepted:
        """Begin a conference, with calls or without."""
        if command.id in self.rooms:
            raise InvalidArgument.field("id", f"the conference {command.id!r} exists already")
        if command.id and not _ID.fullmatch(command.id):
            raise InvalidArgument.field("id", "1-64 letters, digits, '-' and '_'")
        calls = [self._free(name) for name in dict.fromkeys(command.calls)]
        check_together(calls)
        room = Conference(command.id or self.desk.new_name("conf", self.rooms))
        self.rooms[room.id] = room
        self.desk.emit(ConferenceCreated(conference=room.view()))
        for call in calls:
            self._enter(room, call)
        return Accepted(value=room.view())

    def join(self, command: JoinConference) -> Accepted:
        """Let a call in."""
        room, call = self._room(command.conference), self._free(command.call)
        check_together([call, *(self.desk.calls[member] for member in room.members)])
        self._enter(room, call)
        return Accepted(call=call.id, value=room.view())

    def leave(self, command: LeaveConference) -> Accepted:
        """Take a call out; it stays connected."""
        call = self.desk.find(command.call)
        room = self._room_of(call)
        self._expected = {new: place for new, place in self._expected.items() if place[1] != call.id}
        self._exit(room, call.id)
        return Accepted(call=call.id, value=room.view())

    def mute(self, command: MuteMember | UnmuteMember) -> Accepted:
        """Let the others hear a member, or not."""
        call = self.desk.find(command.call)
        room = self._room_of(call)
        muted = isinstance(command, MuteMember)
        if muted != (call.id in room.muted):
            (room.muted.add if muted else room.muted.discard)(call.id)
            self._mix(room)
            self.desk.emit(ConferenceUpdated(conference=room.view()))
        return Accepted(call=call.id, value=room.view())

    def end(self, command: EndConference) -> Accepted:
        """Take every call out; they stay connected."""
        room = self._room(command.conference)
        for call in list(room.members):
            self._exit(room, call)
        self._over(room)
        return Accepted(value=room.view())

    def replaced(self, old: Call, new: Call) -> None:
        """Let a call take another's place."""
        for room in self.rooms.values():
            if old.id in room.members:
                if old.id in room.muted:
                    room.muted.add(new.id)
                self._enter(room, new)

    def expect(self, old: Call, new: Call) -> None:
        """A member wants another called in its place: that call comes in once it is answered, though the member be gone."""
        for room in self.rooms.values():
            if old.id in room.members:
                self._expected[new.id] = room.id, old.id, old.id in room.muted

    def answered(self, call: Call) -> None:
        """Let a call in that is expected."""
        name, _, muted = self._expected.pop(call.id, ("", "", False))
        room = self.rooms.get(name)
        if room is not None:
            if muted:
                room.muted.add(call.id)
            self._enter(room, call)

    def closed(self, call: Call) -> None:
        """A call is over."""
        self._expected.pop(call.id, None)
        for room in list(self.rooms.values()):
            if call.id in room.members:
                self._exit(room, call.id)

    # --- inside

    def _room(self, name: str) -> Conference:
        if name not in self.rooms:
            raise NotFound(f"there is no conference {name!r}")
        return self.rooms[name]

    def _room_of(self, call: Call) -> Conference:
        for room in self.rooms.values():
            if call.id in room.members:
                return room
        raise InvalidState(f"call {call.id} is in no conference")

    def _free(self, name: str) -> Call:
        call = self.desk.find_connected(name)
        for room in self.rooms.values():
            if call.id in room.members:
                raise InvalidState(f"call {call.id} is in the conference {room.id} already")
        return call

    def _enter(self, room: Conference, call: Call) -> None:
        room.members.append(call.id)
        self._mix(room)
        self.desk.emit(ConferenceJoined(conference=room.view(), call=call.id))
        for told in self.on_joined:
            told(call)
        if call.want_hold:
            self.offers.want(call, False)

    def _exit(self, room: Conference, call: str) -> None:
        room.members.remove(call)
        room.muted.discard(call)
        self._mix(room)
        self.desk.emit(ConferenceLeft(conference=room.view(), call=call))
        if not room.members:
            self._over(room)

    def _over(self, room: Conference) -> None:
        # Who is expected is so in this conference, and in no later one of the same name.
        self._expected = {new: place for new, place in self._expected.items() if place[0] != room.id}
        if self.rooms.pop(room.id, None) is not None:
            self.desk.emit(ConferenceEnded(conference=room.view()))

    def _follow_hold(self, call: Call, _before: CallState) -> None:
        """Let a member whom we hold hear nothing of the others, as nothing of the microphone, and none hear who holds us."""
        for room in self.rooms.values():
            if call.id in room.members:
                self._mix(room)

    def _mix(self, room: Conference) -> None:
        states = {member: self.desk.calls[member].state for member in room.members if member in self.desk.calls}
        here = tuple(member for member in room.members if states.get(member) not in LOCALLY_HELD)
        # Who holds plays music to us, which would be all that the others hear.
        silent = tuple(member for member in here if member in room.muted or states.get(member) in HELD_BY_THEM)
        self.desk.media(SetBridge(room.id, here, silent))


def check_together(calls: list[Call]) -> None:
    """Refuse calls whose sound is in different processes: no frame gets from one to the other in time."""
    apart = next((call for call in calls if call.worker != calls[0].worker), None)
    if apart is not None:
        raise InvalidState(
            f"calls {calls[0].id} and {apart.id} are carried by different media workers and cannot hear each other:"
            f" dial one of them again with beside={calls[0].id}, or set media.workers to 1"
        )
