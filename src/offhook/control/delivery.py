"""Brings the journal's events to one web address: each at least once, those of one subject in order, for up to a day.

The rule about failures. An answer 400, 409, 413, 415, 422 or 500 is about that event: the events of its subject wait, those
of others go on. Everything else (no connection, no answer in time, a redirect, 401, 404, 429, 503 …) is about the receiver:
all wait, and one event is tried now and then until it gets through. An event, or a receiver, that has failed for a day
disables the webhook.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import Any, Final, Protocol

import msgspec

from offhook.control import signing
from offhook.control.backend import Cursor, Journal, Page, Recorded
from offhook.control.feed import PAGE, Choice, event_types, stream_event
from offhook.io.web import Answer, WebError
from offhook.phone.urls import Url

PARALLEL: Final = 4
"""Requests to one receiver at the same time, of different subjects."""

MAX_WAITING: Final = 1000
"""Events held in memory for one webhook; the others wait in the journal. More of one failing subject would hold up the rest."""

GIVE_UP: Final = 24 * 3600.0
"""Seconds of failure after which a webhook is disabled; the journal keeps events no longer than that."""

MAX_PAUSE: Final = 600.0
"""Longest pause between two attempts, so that a receiver that is back does not wait for long."""

TRIED: Final = MAX_PAUSE
"""Seconds for which this run tries before it gives up: the day may be a clock that was put right, or a machine that was off."""

MAX_RETRY_AFTER: Final = 3600.0

NOTE_SECONDS: Final = 0.2
"""How often progress is written down; after a crash so much is delivered again."""

OLD_SECRET_SECONDS: Final = 24 * 3600.0
"""How long deliveries are signed with the old secret too, after a new one was made."""

READ_AGAIN: Final = 1.0
"""Seconds until the journal is tried again when it could not be read, or not yet."""

_log = logging.getLogger(__name__)

_ABOUT_THE_EVENT: Final = frozenset({400, 409, 413, 415, 422, 500})


@dataclass(frozen=True, slots=True)
class Webhook:
    """What is delivered where. `types` are patterns as in a subscription; `previous` is the secret before the last change."""

    id: str
    url: str
    types: tuple[str, ...]
    secret: str
    timeout: float = 10.0
    description: str = ""
    created: str = ""
    previous: str = ""
    previous_until: float = 0.0

    def keys(self, wall: float) -> list[bytes]:
        """Return the keys that sign at this Unix time."""
        secrets = [self.secret] + ([self.previous] if self.previous and wall < self.previous_until else [])
        return [signing.key_of(secret) for secret in secrets]


@dataclass(frozen=True, slots=True)
class Behind:
    """A subject whose events wait: `first` is the earliest's id, `since` when it first failed (Unix seconds, 0: not yet)."""

    subject: str
    first: str
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a webhook has been served: everything up to the event `cursor`, but for the subjects that are `behind`."""

    cursor: str
    behind: tuple[Behind, ...] = ()
    failing_since: float = 0.0
    disabled: str = ""

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Progress:
        """Return what was written down."""
        return msgspec.convert(found, cls)


@dataclass(frozen=True, slots=True)
class Timing:
    """Where time comes from: monotonic seconds, Unix seconds, a wait, and a random share of 0-1 for pauses."""

    now: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    share: Callable[[], float] = random.random


class Post(Protocol):
    """Sends one request; `offhook.io.web.post` is the real one."""

    async def __call__(self, url: Url, headers: Mapping[str, str], body: bytes, *, within: float) -> Answer:
        """Return the answer, or raise WebError."""
        ...


class Verdict(Enum):
    """What an answer means."""

    DELIVERED = auto()
    EVENT_REFUSED = auto()
    RECEIVER_FAILS = auto()
    GONE = auto()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request and what came of it. `status` is 0 where there was no answer."""

    verdict: Verdict
    status: int = 0
    reason: str = ""
    retry_after: float = 0.0


def judge(answer: Answer, wall: float) -> Attempt:
    """Return what an answer at `wall` (Unix seconds) means."""
    status = answer.status
    if 200 <= status < 300:
        return Attempt(Verdict.DELIVERED, status)
    reason = f"the answer is HTTP {status}"
    if status == 410:
        return Attempt(Verdict.GONE, status, reason)
    if status in _ABOUT_THE_EVENT:
        return Attempt(Verdict.EVENT_REFUSED, status, reason)
    seconds = _retry_after(answer.headers.get("retry-after", ""), wall)
    return Attempt(Verdict.RECEIVER_FAILS, status, reason, min(seconds, MAX_RETRY_AFTER))


def _retry_after(text: str, wall: float) -> float:
    """Return the seconds a receiver asks for, which it may say as a date, too (RFC 9110 10.2.3); 0 for what is neither."""
    if text.isascii() and text.isdecimal() and len(text) < 8:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - wall)
    except (ValueError, OverflowError, OSError):
        return 0.0


async def send(webhook: Webhook, url: Url, post: Post, message: str, body: bytes, wall: float) -> Attempt:
    """Deliver one message, once."""
    headers = signing.headers(webhook.keys(wall), message, int(wall), body)
    try:
        return judge(await post(url, headers, body, within=webhook.timeout), wall)
    except WebError as error:
        return Attempt(Verdict.RECEIVER_FAILS, reason=str(error))


def pause(tries: int, share: float) -> float:
    """Return the seconds before the next attempt after `tries` failures: doubled each time, of which at least half."""
    return float(min(MAX_PAUSE, 2.0 ** min(tries - 1, 30))) * (0.5 + share / 2)


@dataclass(slots=True)
class _Item:
    """One message on its way. `order` counts as they were read."""

    order: int
    message: str
    body: bytes


@dataclass(slots=True)
class _Lane:
    """The messages of one subject, which go one after another. `since` is when it began to fail, `tried_from` in this run."""

    subject: str
    items: deque[_Item] = field(default_factory=deque)
    busy: bool = False
    tries: int = 0
    since: float = 0.0
    tried_from: float = 0.0
    not_before: float = 0.0


class Delivery:
    """Serves one webhook. `note` keeps progress, `gave_up` is told why it ended by itself."""

    def __init__(
        self, webhook: Webhook, progress: Progress, journal: Journal, post: Post, *,
        note: Callable[[Progress], None], gave_up: Callable[[str], None], timing: Timing, plain: bool = False,
    ) -> None:  # fmt: skip
        self.webhook = webhook
        self.last = Attempt(Verdict.DELIVERED)
        self._plain = plain
        self._choice = Choice(frozenset())
        self._resumed = progress
        self._replayed = False
        self._cursor = Cursor.parse(progress.cursor)
        self._failing_since = progress.failing_since
        self._disabled = progress.disabled
        self._journal = journal
        self._post = post
        self._note = note
        self._gave_up = gave_up
        self._timing = timing
        self._lanes: dict[str, _Lane] = {}
        self._read = self._waiting = self._tries = 0
        self._paused_until = self._tried_from = 0.0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._attempts: set[asyncio.Task[None]] = set()
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at = 0.0
        self._noting: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    # --- life

    def start(self) -> None:
        """Deliver from now on. Raises CommandError or ValueError for types or a URL that are not good (any more)."""
        self._choice = Choice(event_types(list(self.webhook.types)))
        self._url = Url.parse(self.webhook.url, plain=self._plain)
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self, patience: float = 0.0) -> None:
        """Stop, after `patience` seconds at most for what is on its way; write down how far it got."""
        if self._task is None:
            return
        if patience and not (self._failing_since or self._disabled):
            self._idle.clear()
            self._wake.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), patience)
        tasks = [self._task, *self._attempts]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        self._task = None
        self._write_note()

    def silence(self) -> None:
        """Note nothing and give up nothing any more: this webhook is gone, or somebody else serves it."""
        self._note = lambda _: None
        self._gave_up = lambda _: None

    @property
    def progress(self) -> Progress:
        """How far it is at this moment."""
        if not self._replayed:
            return replace(self._resumed, disabled=self._disabled)
        behind = sorted((lane for lane in self._lanes.values() if lane.items), key=lambda lane: lane.items[0].order)
        return Progress(
            str(self._cursor), tuple(Behind(lane.subject, lane.items[0].message, lane.since) for lane in behind),
            self._failing_since, self._disabled,
        )  # fmt: skip

    @property
    def waiting(self) -> int:
        """How many events of this run are not delivered yet; those in the journal that nobody wants are counted too."""
        head = self._journal.head
        unread = head.seq - self._cursor.seq if self._cursor.epoch == head.epoch else head.seq
        return self._waiting + unread

    async def _run(self) -> None:
        unwatch = self._journal.watch(self._wake.set)
        try:
            while not self._replayed:
                self._wake.clear()
                self._replayed = await self._works(self._replay)
                if not self._replayed:
                    await self._wake.wait()
            while not self._disabled:
                self._wake.clear()
                await self._works(self._fill)
                self._begin_attempts()
                self._set_alarm()
                if self._attempts:
                    self._idle.clear()
                else:  # nothing waits, or what waits has to wait longer
                    self._idle.set()
                await self._wake.wait()
        finally:
            unwatch()
            if self._alarm is not None:
                self._alarm.cancel()

    # --- reading

    async def _works(self, read: Callable[[], Awaitable[None]]) -> bool:
        """Read; False if the journal does not let us, which is tried again soon."""
        try:
            await read()
        except Exception:  # the outermost loop: the disk may work again
            _log.exception("the journal could not be read")
            asyncio.get_running_loop().call_later(READ_AGAIN, self._wake.set)
            return False
        return True

    async def _replay(self) -> None:
        """Find again, behind the place read up to, what still waited when we stopped."""
        found: list[Recorded] = []  # nothing is taken before all is read: what fails is begun anew
        behind = {each.subject: each for each in self._resumed.behind}
        if not behind or (await self._journal.read(self._cursor, 1)).lost is not None:
            return
        first = Cursor.parse(self._resumed.behind[0].first)
        place, begun = Cursor(first.epoch, first.seq - 1), set[str]()
        while place != self._cursor:
            page = await self._journal.read(place, PAGE)
            if page.lost is not None:
                begun = set(behind)
            for event in page.events:
                if event.subject in behind and (event.subject in begun or str(event.cursor) == behind[event.subject].first):
                    begun.add(event.subject)
                    found.append(event)
                place = event.cursor
                if place == self._cursor:
                    break
            if not page.events:
                break
        for event in found:
            self._take(event)
        for subject, lane in self._lanes.items():
            lane.since = behind[subject].since

    async def _fill(self) -> None:
        while self._waiting < MAX_WAITING:
            page = await self._journal.read(self._cursor, PAGE)
            if not page.events:
                if self._cursor != self._journal.head:  # on its way from memory to the disk
                    asyncio.get_running_loop().call_later(READ_AGAIN, self._wake.set)
                return
            self._note_soon()
            if page.lost is not None:
                self._take_gap(page)
            for event in page.events:
                self._take(event)
            self._cursor = page.events[-1].cursor

    def _take(self, event: Recorded) -> None:
        if event in self._choice:
            self._queue(event.subject, str(event.cursor), event.json)

    def _take_gap(self, page: Page) -> None:
        body = stream_event("stream.gap", after=str(page.lost), next=str(page.events[0].cursor))
        self._queue("stream", f"gap-{page.lost}", body)

    def _queue(self, subject: str, message: str, body: bytes) -> None:
        lane = self._lanes.get(subject)
        if lane is None:
            lane = self._lanes[subject] = _Lane(subject)
        self._read += 1
        lane.items.append(_Item(self._read, message, body))
        self._waiting += 1

    # --- sending

    def _begin_attempts(self) -> None:
        now = self._timing.now()
        if now < self._paused_until:
            return
        room = (1 if self._failing_since else PARALLEL) - len(self._attempts)
        for lane in self._lanes.values():
            if room <= 0:
                return
            if not lane.busy and lane.not_before <= now:
                room -= 1
                lane.busy = True
                task = asyncio.get_running_loop().create_task(self._attempt(lane))
                self._attempts.add(task)
                task.add_done_callback(self._attempts.discard)

    async def _attempt(self, lane: _Lane) -> None:
        began, item = self._timing.now(), lane.items[0]
        try:
            self.last = await send(self.webhook, self._url, self._post, item.message, item.body, self._timing.wall())
        except Exception:  # the outermost loop: a mistake of ours must not end the deliveries for good
            _log.exception("a delivery failed unexpectedly")
            self.last = Attempt(Verdict.RECEIVER_FAILS, reason="something went wrong inside the phone; its log has the details")
        finally:
            lane.busy = False
        self._settle(lane, self.last, began)
        self._note_soon()
        # The task must be out of the set before the next ones begin.
        asyncio.get_running_loop().call_soon(self._wake.set)

    def _settle(self, lane: _Lane, attempt: Attempt, began: float) -> None:
        match attempt.verdict:
            case Verdict.DELIVERED:
                self._delivered(lane)
            case Verdict.GONE:
                self.disable("the receiver says that it is gone (410)")
            case Verdict.EVENT_REFUSED:
                self._receiver_works()
                now = self._timing.now()
                lane.tried_from = lane.tried_from if lane.tries else now
                lane.tries += 1
                lane.since = lane.since or self._timing.wall()
                lane.not_before = now + pause(lane.tries, self._timing.share())
                reason = f"{lane.subject} could not be delivered for a day: {attempt.reason}"
                self._give_up_after_a_day(lane.since, lane.tried_from, reason)
            case Verdict.RECEIVER_FAILS:
                # Of several that were on their way together only the first counts.
                if began >= self._paused_until or not self._failing_since:
                    self._receiver_fails(attempt)

    def _delivered(self, lane: _Lane) -> None:
        self._receiver_works()
        lane.items.popleft()
        lane.tries, lane.since = 0, 0.0
        self._waiting -= 1
        del self._lanes[lane.subject]
        if lane.items:
            self._lanes[lane.subject] = lane  # behind the others, which have their turn now

    def _receiver_works(self) -> None:
        self._tries, self._failing_since, self._paused_until = 0, 0.0, 0.0

    def _receiver_fails(self, attempt: Attempt) -> None:
        now = self._timing.now()
        self._tried_from = self._tried_from if self._tries else now
        self._tries += 1
        self._failing_since = self._failing_since or self._timing.wall()
        self._paused_until = now + max(pause(self._tries, self._timing.share()), attempt.retry_after)
        reason = f"nothing could be delivered for a day: {attempt.reason}"
        self._give_up_after_a_day(self._failing_since, self._tried_from, reason)

    def _give_up_after_a_day(self, since: float, tried_from: float, reason: str) -> None:
        if self._timing.wall() - since >= GIVE_UP and self._timing.now() - tried_from >= TRIED:
            self.disable(reason)

    def disable(self, reason: str) -> None:
        """End for good, and say why."""
        if not self._disabled:
            self._disabled = reason
            self._write_note()
            self._gave_up(reason)

    def _set_alarm(self) -> None:
        """Wake up when something that waits for its time may be tried again."""
        now = self._timing.now()
        if self._paused_until > now:
            at = self._paused_until
        else:
            at = min((lane.not_before for lane in self._lanes.values() if lane.not_before > now), default=0.0)
        if at == self._alarm_at:
            return
        self._alarm_at = at
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if at:
            self._alarm = asyncio.get_running_loop().create_task(self._ring(at - now))

    async def _ring(self, seconds: float) -> None:
        await self._timing.sleep(seconds)
        self._alarm_at = 0.0
        self._wake.set()

    # --- progress

    def _note_soon(self) -> None:
        if self._noting is None:
            self._noting = asyncio.get_running_loop().call_later(NOTE_SECONDS, self._write_note)

    def _write_note(self) -> None:
        if self._noting is not None:
            self._noting.cancel()
            self._noting = None
        self._note(self.progress)
