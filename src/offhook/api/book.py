"""What a program knows of its phone: every call, operation, account and conference, kept up to date from the events."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import structs

from offhook.api.call import CallHandle
from offhook.api.failures import CLOSED, ConnectionLost, OperationFailed, PhoneGone
from offhook.api.links import Feed, Heard, Link, Sound, StreamGap
from offhook.api.streams import Bell, Home, Stream, Streams, wait_until
from offhook.errors import NotFound, OffhookError
from offhook.media.messages import AudioRate
from offhook.phone import events as e
from offhook.phone.commands import Accepted, Command, Dial, Hangup, ListAccounts
from offhook.phone.model import AccountView, CallEnd, CallState, CallView, ConferenceView, Snapshot

OUTCOMES_KEPT: Final = 4096
"""Outcomes of operations that are remembered, for those whose answer comes later than the outcome."""

LOOKS: Final = 10
"""How often the state after a gap is asked for while the phone comes and goes; the pauses between double from FIRST_PAUSE."""

FIRST_PAUSE: Final = 0.02
"""Seconds."""

LOST: Final = "the phone was restarted"

Outcome: TypeAlias = e.OperationSucceeded | e.OperationFailed


class _AsOf(msgspec.Struct):
    as_of: str


class Book:
    """Follows one phone. `cursor` is the place up to which it knows everything.

    `ended` says that there is nothing more to follow; `error` why, unless it was closed on purpose.
    """

    def __init__(self, link: Link) -> None:
        self.link = link
        self.home, self.bell = Home(None), Bell()
        self.incoming: Streams[CallHandle] = Streams()
        self.messages: Streams[e.MessageReceived] = Streams()
        self.accounts: dict[str, AccountView] = {}
        self.conferences: dict[str, ConferenceView] = {}
        self._opened = False
        self.ended = False
        self.stopped = False
        self.error: PhoneGone | None = None
        self._running: dict[str, CallHandle] = {}
        self._known: weakref.WeakValueDictionary[str, CallHandle] = weakref.WeakValueDictionary()
        self._beginning = 0
        self._ended_meanwhile: list[CallHandle] = []
        self._rooms_told: list[list[e.ConferenceEvent]] = []  # what came while a change of a conference was under way, for each
        self._expected: dict[str, set[asyncio.Future[CallHandle]]] = {}
        self._outcomes: OrderedDict[tuple[str, str], Outcome] = OrderedDict()
        self._awaited: dict[tuple[str, str], asyncio.Future[Outcome]] = {}
        self._past: set[str] = set()
        self._forsaken: set[asyncio.Task[None]] = set()
        self.cursor = ""
        self._epoch = ""
        self._feed: Feed | None = None
        self._following: asyncio.Task[None] | None = None

    # --- life

    async def open(self) -> None:
        """Learn how things are, and follow from there."""
        self._opened = True
        self.home, self.bell = Home(asyncio.get_running_loop()), Bell()
        await self._look()
        self._feed = self.link.events(("*",), self.cursor)
        self._following = asyncio.get_running_loop().create_task(self._follow(self._feed))

    async def close(self) -> None:
        """Stop following; every iterator and waiter ends."""
        if self._feed is not None:
            self._feed.close()
        tasks = [*self._forsaken, *([self._following] if self._following is not None else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._end(None)

    @property
    def is_open(self) -> bool:
        """Whether it follows the phone."""
        return self._following is not None and not self.ended

    async def wait_stopped(self, timeout: float) -> None:
        """Wait until the phone has said its last word, if it still can."""
        with contextlib.suppress(TimeoutError):
            await wait_until(self.bell, lambda: self.stopped or self.ended, timeout)

    async def _look(self) -> None:
        """Take over a snapshot, and go on from its place."""
        found = await self.link.request("snapshot", {})
        snapshot, self.cursor = msgspec.convert(found, Snapshot), msgspec.convert(found, _AsOf).as_of
        self._epoch = self.cursor.rpartition("-")[0]
        self.accounts = {account.id: account for account in snapshot.accounts}
        self.conferences = {room.id: room for room in snapshot.conferences}
        running = {call.id: call for call in snapshot.calls}
        for call in list(self._running.values()):
            if call.id not in running:
                self._lose(call, "the events of its end were lost")
        for view in running.values():
            new = view.id not in self._known
            call = self._handle(view)
            call._update(view)
            if new and view.state is CallState.INCOMING:
                self.incoming.put(call)
        self.bell.ring()

    async def _look_until_seen(self) -> None:
        """Take over a snapshot, also from a phone that is killed again before it has answered: asking twice changes nothing."""
        for attempt in range(LOOKS - 1):
            try:
                return await self._look()
            except (ConnectionLost, TimeoutError):
                await asyncio.sleep(FIRST_PAUSE * 2**attempt)
        return await self._look()

    async def _follow(self, feed: Feed) -> None:
        try:
            while (heard := await feed.next()) is not None:
                if isinstance(heard.event, StreamGap):
                    feed.close()
                    feed = self._feed = await self._after_gap()
                    continue
                restarted = heard.epoch != self._epoch
                self._take(heard)
                if restarted:
                    await self._learn_accounts()
            self._end(None)
        except PhoneGone as error:
            self._end(error)
        except Exception as error:  # the outermost loop: whoever waits must learn of it
            self._end(PhoneGone(f"the events cannot be followed any more: {error!r}"))
            raise

    def _end(self, error: PhoneGone | None) -> None:
        if self.ended:
            return
        self.ended, self.error = True, error
        for call in list(self._running.values()):
            call._leave(error or PhoneGone(CLOSED), quietly=error is None)
        for call in list(self._known.values()):
            call._bell.ring()  # the last word of a recording may be awaited
        self._give_up(error or PhoneGone(CLOSED), *self._awaited.values(), *self._calls_expected())
        self.incoming.end(error)
        self.messages.end(error)
        self.bell.ring()

    async def _after_gap(self) -> Feed:
        """Take over how things are, and follow from there. What was awaited may have come in between."""
        await self._look_until_seen()
        for call_id in self._expected:
            if (call := self._known.get(call_id)) is not None:
                self._meet(call)
        lost = ConnectionLost("the events that tell the outcome were lost")
        self._give_up(lost, *self._awaited.values(), *self._calls_expected())
        return self.link.events(("*",), self.cursor)

    def _give_up(self, error: Exception, *awaited: asyncio.Future[Any]) -> None:
        """Nobody will hear any more of this."""
        for future in awaited:
            if not future.done():
                future.set_exception(error)

    def check(self) -> None:
        """Raise PhoneGone if there is nothing to wait for yet, or any more, RuntimeError in another loop."""
        if not self._opened:
            raise PhoneGone("this Softphone is not open yet: use it in its block (`with`, `async with`), or `open()` it")
        if self.ended:
            raise self.error or PhoneGone(CLOSED)
        self.home.check()

    # --- events

    def _take(self, heard: Heard) -> None:
        if heard.epoch != self._epoch:
            self._restarted(heard.epoch)
        self.cursor = heard.id
        take = _TAKERS.get(type(heard.event).__mro__[1]) or _TAKERS.get(type(heard.event))
        if take is not None:
            take(self, heard.event)
        self.bell.ring()

    def _restarted(self, epoch: str) -> None:
        """A call does not survive its phone, nor does what was under way."""
        self._past.add(self._epoch)
        lost = [future for key, future in self._awaited.items() if key[0] in self._past]
        self._epoch = epoch
        for call in list(self._running.values()):
            self._lose(call, LOST)
        for call in list(self._known.values()):
            call._fall_silent(LOST)
        self._known.clear()  # the new phone gives their names to others
        self._give_up(PhoneGone(LOST), *lost)
        self.conferences.clear()

    async def _learn_accounts(self) -> None:
        """Learn which accounts the phone has after a restart: it tells only of those that register."""
        with contextlib.suppress(OffhookError, TimeoutError):  # it is gone again; the next one is asked, too
            accounts = (await self.link.execute(ListAccounts())).accepted.value
            self.accounts = {account.id: account for account in accounts}
            self.bell.ring()

    def _lose(self, call: CallHandle, reason: str) -> None:
        end = CallEnd("network", reason=reason)
        view = structs.replace(call.view, state=CallState.ENDED, ended=datetime.now(UTC), end=end)
        duration = (datetime.now(UTC) - view.answered).total_seconds() if view.answered else 0.0
        self._take_call(e.CallEnded(call=view, duration=duration))

    def _take_call(self, event: e.CallEvent) -> None:
        view = event.call
        call = self._known.get(view.id)
        if call is None:
            if view.state is CallState.ENDED and view.id not in self._expected and not isinstance(event, e.CallEnded):
                return  # the last words of a call that nobody here holds any more
            call = self._handle(view)
        self._meet(call)
        call._take(event)
        if isinstance(event, e.CallIncoming):
            self.incoming.put(call)
        if isinstance(event, e.CallEnded):
            self._running.pop(view.id, None)
            if self._beginning:
                self._ended_meanwhile.append(call)

    def _handle(self, view: CallView) -> CallHandle:
        call = self._known.get(view.id)
        if call is None:
            call = self._known[view.id] = CallHandle(self, view)
        if view.state is not CallState.ENDED:
            self._running[view.id] = call
        return call

    def _meet(self, call: CallHandle) -> None:
        """Hand a call to those who expect it."""
        for expected in self._expected.get(call.id, ()):
            if not expected.done():
                expected.set_result(call)

    def _calls_expected(self) -> Iterator[asyncio.Future[CallHandle]]:
        return (future for each in self._expected.values() for future in each)

    def _take_outcome(self, event: e.Event) -> None:
        assert isinstance(event, e.OperationSucceeded | e.OperationFailed)
        key = (self._epoch, event.operation)
        awaited = self._awaited.get(key)
        if awaited is not None and not awaited.done():
            awaited.set_result(event)
        self._outcomes[key] = event
        if len(self._outcomes) > OUTCOMES_KEPT:
            self._outcomes.popitem(last=False)

    def _take_account(self, event: e.Event) -> None:
        assert isinstance(event, e.AccountEvent)
        if isinstance(event, e.AccountRemoved):
            self.accounts.pop(event.account.id, None)
        else:
            self.accounts[event.account.id] = event.account

    def _take_conference(self, event: e.Event) -> None:
        assert isinstance(event, e.ConferenceEvent)
        if isinstance(event, e.ConferenceEnded):
            self.conferences.pop(event.conference.id, None)
        else:
            self.conferences[event.conference.id] = event.conference
        for told in self._rooms_told:
            told.append(event)

    def _take_message(self, event: e.Event) -> None:
        assert isinstance(event, e.MessageReceived)
        self.messages.put(event)

    def _take_stopped(self, _event: e.Event) -> None:
        self.stopped = True

    # --- what the handles ask

    @property
    def calls(self) -> tuple[CallHandle, ...]:
        """The running calls, oldest first."""
        return tuple(sorted(self._running.values(), key=lambda call: call.view.created))

    def call(self, call_id: str) -> CallHandle:
        """Return a call by its id; raises NotFound."""
        call = self._known.get(call_id)
        if call is None:
            raise NotFound(f"there is no call {call_id!r}")
        return call

    def incoming_stream(self) -> Stream[CallHandle]:
        """Return a stream of incoming calls, those that ring already first."""
        self.home.check()
        stream = Stream(call for call in self.calls if call.state is CallState.INCOMING)
        self.incoming.add(stream)
        return stream

    async def execute(self, command: Command, *, wait: bool = False) -> Accepted:
        """Carry out a command; with `wait` until what it began is done. Raises OperationFailed if that did not work."""
        self.check()
        accepted, epoch = await self.link.execute(command)
        if wait and accepted.operation:
            await self._succeeds(command, (epoch, accepted.operation))
        return accepted

    async def change_conference(self, command: Command) -> ConferenceView:
        """Carry out a command that answers a conference, and return that.

        The event of this change is under way, and who asks for the view right now gets the new one all the same; or that event
        was ahead of the answer, with others behind it perhaps.
        """
        self.check()
        told: list[e.ConferenceEvent] = []
        self._rooms_told.append(told)
        try:
            accepted, epoch = await self.link.execute(command)
        finally:
            self._rooms_told = [each for each in self._rooms_told if each is not told]
        view: ConferenceView = accepted.value
        ours = (each for each in told if each.conference.id == view.id)
        ahead = any(each.conference == view or isinstance(each, e.ConferenceEnded) for each in ours)
        if not view.members:
            self.conferences.pop(view.id, None)
        elif not ahead and epoch not in self._past:
            self.conferences[view.id] = view
        return view

    async def open_sound(self, call: str, rate: AudioRate) -> Sound:
        """Connect to a call's sound."""
        self.check()
        return await self.link.open_audio(call, rate)

    async def _succeeds(self, command: Command, key: tuple[str, str]) -> None:
        """Wait for an operation's outcome. The events may be ahead of the answer, so it may be here already."""
        outcome = self._outcomes.get(key)
        if outcome is None:
            self.check()
            if key[0] in self._past:
                raise PhoneGone(LOST)
            awaited = self._awaited[key] = asyncio.get_running_loop().create_future()
            try:
                outcome = await awaited
            finally:
                self._awaited.pop(key, None)
        if isinstance(outcome, e.OperationFailed):
            raise OperationFailed(command.operation, sip_status=outcome.sip_status, reason=outcome.reason)

    async def dial(self, command: Dial) -> CallHandle:
        """Carry out a Dial that names its call, and return the call."""
        self.check()
        known = self._known.get(command.id)
        taken = command.id in self._expected or (known is not None and not known.is_ended)
        with self._expecting(command.id) as expected:
            try:
                await self.link.execute(command)
                return await expected
            except asyncio.CancelledError:
                if not taken:  # or it is another's call, and this Dial is refused
                    # Nobody holds this call, so nobody would ever end it.
                    forsaken = asyncio.get_running_loop().create_task(self._hang_up(command.id))
                    self._forsaken.add(forsaken)
                    forsaken.add_done_callback(self._forsaken.discard)
                raise

    async def _hang_up(self, call_id: str) -> None:
        with contextlib.suppress(OffhookError, TimeoutError):  # the Dial may have been refused, or never have left
            await self.link.execute(Hangup(call=call_id))

    async def settle(self, timeout: float) -> None:
        """Wait until the calls that a cancelled `dial` left behind are told to end."""
        if self._forsaken:
            await asyncio.wait(self._forsaken, timeout=timeout)

    async def begin(self, command: Command) -> CallHandle:
        """Carry out a command that makes a call, and return the call. Its events, even its end, may be ahead of the answer."""
        self._beginning += 1
        try:
            accepted = await self.execute(command)
            if (known := self._known.get(accepted.call)) is not None:
                return known
            with self._expecting(accepted.call) as expected:
                return await expected
        finally:
            self._beginning -= 1
            if not self._beginning:
                self._ended_meanwhile.clear()

    @contextlib.contextmanager
    def _expecting(self, call_id: str) -> Iterator[asyncio.Future[CallHandle]]:
        """Expect a call. Several may expect one of the same id: who names a call that is another's is refused, nobody else."""
        expected: asyncio.Future[CallHandle] = asyncio.get_running_loop().create_future()
        waiting = self._expected.setdefault(call_id, set())
        waiting.add(expected)
        try:
            yield expected
        finally:
            waiting.discard(expected)
            if not waiting:
                self._expected.pop(call_id, None)
            if not expected.cancel():
                expected.exception()  # seen, should the request itself have failed first


_TAKERS: Final[dict[type[e.Event], Callable[[Book, e.Event], None]]] = {
    e.CallEvent: Book._take_call,  # type: ignore[dict-item]  # chosen by the event's class
    e.AccountEvent: Book._take_account,
    e.ConferenceEvent: Book._take_conference,
    e.OperationSucceeded: Book._take_outcome,
    e.OperationFailed: Book._take_outcome,
    e.MessageReceived: Book._take_message,
    e.SystemStopped: Book._take_stopped,
}
"""Who takes an event: by its class, or the one above."""
