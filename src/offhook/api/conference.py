"""A conference, as a program holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offhook.errors import NotFound
from offhook.phone import commands as c
from offhook.phone.model import ConferenceView

if TYPE_CHECKING:
    from offhook.api.book import Book
    from offhook.api.call import CallHandle


class Conference:
    """Calls that hear each other. It is over when its last member leaves."""

    def __init__(self, book: Book, view: ConferenceView) -> None:
        self._book = book
        self._view = view

    def __repr__(self) -> str:
        return f"<Conference {self.id} {' '.join(self.view.members)}>"

    @property
    def id(self) -> str:
        """Its name."""
        return self._view.id

    @property
    def view(self) -> ConferenceView:
        """Who is in it, and who is not heard by the others, as it is now."""
        return self._book.conferences.get(self._view.id, self._view)

    @property
    def members(self) -> tuple[CallHandle, ...]:
        """Its calls, in the order of joining."""
        running = {call.id: call for call in self._book.calls}
        return tuple(running[member] for member in self.view.members if member in running)

    async def add(self, call: CallHandle) -> None:
        """Let one more answered call in."""
        await self._do(c.JoinConference(conference=self.id, call=call.id))

    async def remove(self, call: CallHandle) -> None:
        """Take a call out; it stays connected. Raises NotFound for a call that is not in this conference."""
        await self._must_have(call)
        await self._do(c.LeaveConference(call=call.id))

    async def mute(self, call: CallHandle) -> None:
        """Keep the others from hearing this call. Raises NotFound for a call that is not in this conference."""
        await self._must_have(call)
        await self._do(c.MuteMember(call=call.id))

    async def unmute(self, call: CallHandle) -> None:
        """Undo `mute`."""
        await self._must_have(call)
        await self._do(c.UnmuteMember(call=call.id))

    async def end(self) -> None:
        """Take every call out; they stay connected."""
        await self._do(c.EndConference(conference=self.id))

    async def _must_have(self, call: CallHandle) -> None:
        # The commands name no conference: they would act on whichever one the call is in.
        if call.id in self.view.members:
            return
        rooms = (await self._book.execute(c.ListConferences())).value  # the event of its joining may be under way
        if not any(room.id == self.id and call.id in room.members for room in rooms):
            raise NotFound(f"call {call.id} is not in the conference {self.id}")

    async def _do(self, command: c.Command) -> None:
        self._view = await self._book.change_conference(command)
