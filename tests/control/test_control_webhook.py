"""Webhooks: signed, at least once, in order for each subject, patient with receivers, and given up after a day."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import heapq
import hmac
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from offhook.control import delivery, signing
from offhook.control.backend import Cursor
from offhook.control.delivery import GIVE_UP, MAX_PAUSE, MAX_WAITING, PARALLEL, Timing, Verdict, judge, pause
from offhook.control.webhook import CLOSE_SECONDS, MAX_WEBHOOKS, Webhooks
from offhook.errors import InvalidArgument, NotFound
from offhook.io.journal import EnvelopeMaker, MemoryJournal, Page
from offhook.io.web import Answer, WebError
from offhook.phone import events as e
from offhook.phone.urls import Url
from offhook.storage.journal import DiskJournal
from offhook.storage.webhooks import WebhookStore
from offhook.testing.backend import FakeBackend
from offhook.testing.sharing import read_by_others

URL = "https://receiver.example/in?key=k"
HOUR = 3600.0
BOOTED = 1_000_000.0
"""Where monotonic seconds begin: the machine runs for days already."""


class VirtualTime:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.time = BOOTED
        self.ahead = 0.0  # by which the clock on the wall has been put forward
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = 0
        self.timing = Timing(
            lambda: self.time, lambda: 1_700_000_000.0 + self.time - BOOTED + self.ahead, self._sleep, lambda: 1.0
        )

    async def _sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._order += 1
        heapq.heappush(self._sleepers, (self.time + seconds, self._order, future))
        await future

    async def pass_by(self, seconds: float) -> None:
        """Let everything that is due within so many seconds happen."""
        until = self.time + seconds
        await calm()
        while self._sleepers and self._sleepers[0][0] <= until:
            at, _, future = heapq.heappop(self._sleepers)
            self.time = max(self.time, at)
            if not future.done():
                future.set_result(None)
            await calm()
        self.time = until


async def calm() -> None:
    """Let everything come to rest that needs no time."""
    for _ in range(60):
        await asyncio.sleep(0)


class Receiver:
    """What is at the other end, without a network. `behave` gets each event and returns a status, or raises."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.accepted: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.bodies: list[bytes] = []
        self.at_once = self.most_at_once = 0
        self.behave: Callable[[dict[str, Any]], int] = lambda event: 204
        self.answer_headers: dict[str, str] = {}
        self.gate: asyncio.Event | None = None

    async def __call__(self, url: Url, headers: Mapping[str, str], body: bytes, *, within: float) -> Answer:
        event = json.loads(body)
        self.seen.append(event)
        self.headers.append(headers)
        self.bodies.append(body)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.gate is not None:
                await self.gate.wait()
            status = self.behave(event)
        finally:
            self.at_once -= 1
        if 200 <= status < 300:
            self.accepted.append(event)
        return Answer(status, self.answer_headers)

    def ids(self, subject: str = "") -> list[str]:
        return [event["id"] for event in self.accepted if subject in ("", event["subject"])]


def down(event: dict[str, Any]) -> int:
    raise WebError("no connection: refused")


class Phone:
    """A stand-in phone with webhooks that can be stopped and started again."""

    def __init__(self, backend: FakeBackend, folder: Path, receiver: Receiver | None = None) -> None:
        self.backend = backend
        self.folder = folder
        self.time = VirtualTime()
        self.receiver = receiver or Receiver()
        self.emitted: list[tuple[str, str]] = []
        self.webhooks: Webhooks
        self.store: WebhookStore

    async def start(self) -> None:
        self.store = WebhookStore(self.folder / "webhooks.sqlite3")
        self.webhooks = Webhooks(self.backend, self.store, timing=self.time.timing, post=self.receiver)
        await self.webhooks.start()

    async def restart(self) -> None:
        await self.webhooks.close()
        await self.start()
        await calm()

    def emit(self, count: int, *calls: str) -> None:
        """Let so many things happen, about these history entries in turn."""
        for number in range(count):
            envelope = self.backend.emit(e.HistoryAdded(entry={"id": calls[number % len(calls)]}))
            self.emitted.append((envelope.id, envelope.subject))

    def ids(self, subject: str = "") -> list[str]:
        return [name for name, about in self.emitted if subject in ("", about)]

    @property
    def disabled(self) -> list[e.WebhookDisabled]:
        return [event for event in self.backend.said if isinstance(event, e.WebhookDisabled)]


@pytest.fixture
async def phone(backend: FakeBackend, tmp_path: Path) -> AsyncIterator[Phone]:
    found = Phone(backend, tmp_path)
    await found.start()
    yield found
    await found.webhooks.close()


# --- what is sent


def verified(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Check a delivery as the specification tells receivers to, without any code of ours."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = b"%s.%s.%s" % (headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body)
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    versions = (part.partition(",") for part in headers["webhook-signature"].split(" "))
    return any(version == "v1" and hmac.compare_digest(found, expected) for version, _, found in versions)


def test_the_specification_s_example() -> None:
    # From the Standard Webhooks specification's reference libraries: a fixed secret, id, time and payload.
    key = signing.key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    found = signing.signature([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["", "abc", "whsec_", "whsec_AAAA", "whsec_!!!", "whsec_" + "A" * 100])
def test_bad_secrets(secret: str) -> None:
    with pytest.raises(ValueError, match="24 to 64 bytes"):
        signing.key_of(secret)


async def test_an_event_is_delivered_signed(phone: Phone) -> None:
    made = await phone.webhooks.create(URL, ["history.*"])
    phone.emit(2, "a")
    phone.backend.emit(e.SystemReady(address="x"))
    await calm()
    assert phone.receiver.ids() == phone.ids()
    headers, body = phone.receiver.headers[0], phone.receiver.bodies[0]
    assert headers["webhook-id"] == phone.ids()[0] == json.loads(body)["id"]
    assert headers["webhook-timestamp"] == "1700000000"
    assert headers["Content-Type"] == "application/json"
    assert verified(made["secret"], headers, body)
    assert not verified(signing.new_secret(), headers, body)
    assert not verified(made["secret"], headers, body + b" ")


async def test_a_new_secret_and_the_old_one_for_a_day(phone: Phone) -> None:
    old = await phone.webhooks.create(URL)
    new = await phone.webhooks.rotate(old["id"])
    assert new["secret"] != old["secret"]
    phone.emit(1, "a")
    await calm()
    await phone.restart()
    phone.emit(1, "a")
    await calm()
    for headers, body in zip(phone.receiver.headers, phone.receiver.bodies, strict=True):
        assert verified(new["secret"], headers, body)
        assert verified(old["secret"], headers, body)
    await phone.time.pass_by(25 * HOUR)
    phone.emit(1, "a")
    await calm()
    assert verified(new["secret"], phone.receiver.headers[-1], phone.receiver.bodies[-1])
    assert not verified(old["secret"], phone.receiver.headers[-1], phone.receiver.bodies[-1])
    mine = await phone.webhooks.rotate(old["id"], "whsec_" + base64.b64encode(b"x" * 24).decode())
    assert mine["secret"].endswith("eHg=") or mine["secret"].endswith("eHh4")


# --- failures


@pytest.mark.parametrize(("status", "verdict"), [
    (200, Verdict.DELIVERED), (204, Verdict.DELIVERED), (299, Verdict.DELIVERED), (410, Verdict.GONE),
    *[(status, Verdict.EVENT_REFUSED) for status in (400, 409, 413, 415, 422, 500)],
    *[(status, Verdict.RECEIVER_FAILS) for status in (300, 301, 302, 307, 401, 403, 404, 408, 429, 501, 502, 503, 504)],
])
def test_what_an_answer_means(status: int, verdict: Verdict) -> None:
    assert judge(Answer(status, {}), wall=1000.0).verdict is verdict


@pytest.mark.parametrize(("text", "seconds"), [
    ("30", 30.0), ("99999", 3600.0), ("soon", 0.0), ("-1", 0.0), ("", 0.0), ("１", 0.0),
    ("Thu, 01 Jan 1970 00:17:10 GMT", 30.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0), ("Wed, 21 Oct 2099 07:28:00 GMT", 3600.0),
    ("Wed, 21 Oct 99999 07:28:00 GMT", 0.0), ("Thu, 41 Jan 1970 00:17:10 GMT", 0.0), ("Thursday", 0.0),
])
def test_retry_after(text: str, seconds: float) -> None:
    assert judge(Answer(503, {"retry-after": text}), wall=1000.0).retry_after == seconds


def test_pauses_double_up_to_a_limit() -> None:
    assert [pause(tries, 1.0) for tries in (1, 2, 3, 4, 10, 11, 2000)] == [1, 2, 4, 8, 512, MAX_PAUSE, MAX_PAUSE]
    assert pause(3, 0.0) == 2.0


@pytest.mark.lengthy
async def test_an_hour_down_and_everything_comes_in_order(phone: Phone) -> None:
    await phone.webhooks.create(URL)
    phone.receiver.behave = down
    for _ in range(60):
        phone.emit(50, "a", "b", "c")
        await phone.time.pass_by(60)
    attempts = len(phone.receiver.seen)
    assert 8 <= attempts <= 30, "one probe at a time, less and less often"
    assert len({event["id"] for event in phone.receiver.seen}) <= PARALLEL
    assert phone.webhooks.list()[0]["failing_since"] == "2023-11-14T22:13:20.000Z"
    assert phone.webhooks.list()[0]["waiting"] == 3000
    phone.receiver.behave = lambda event: 200
    for _ in range(200):
        await phone.time.pass_by(6)
    for subject in ("history/a", "history/b", "history/c"):
        assert phone.receiver.ids(subject) == phone.ids(subject)
    assert len(phone.receiver.accepted) == 3000, "each once"
    assert phone.webhooks.list()[0]["failing_since"] is None
    assert phone.webhooks.list()[0]["waiting"] == 0


async def test_a_receiver_that_says_when_is_believed(phone: Phone) -> None:
    await phone.webhooks.create(URL)
    phone.receiver.behave = lambda event: 429
    phone.receiver.answer_headers = {"retry-after": "300"}
    phone.emit(1, "a")
    await phone.time.pass_by(299)
    assert len(phone.receiver.seen) == 1
    await phone.time.pass_by(2)
    assert len(phone.receiver.seen) == 2


async def test_one_subject_that_fails_holds_up_only_itself(phone: Phone) -> None:
    await phone.webhooks.create(URL)
    phone.receiver.behave = lambda event: 500 if event["subject"] == "history/bad" else 200
    phone.emit(300, "a", "bad", "b")
    for _ in range(20):
        await phone.time.pass_by(1)
    assert phone.receiver.ids("history/a") == phone.ids("history/a")
    assert phone.receiver.ids("history/b") == phone.ids("history/b")
    assert phone.receiver.ids("history/bad") == []
    assert phone.webhooks.list()[0]["held_back"] == ["history/bad"]
    phone.receiver.behave = lambda event: 200
    for _ in range(60):
        await phone.time.pass_by(10)
    assert phone.receiver.ids("history/bad") == phone.ids("history/bad")
    assert len(phone.receiver.accepted) == 300


async def test_gone_disables_it(phone: Phone) -> None:
    made = await phone.webhooks.create(URL)
    phone.receiver.behave = lambda event: 410
    phone.emit(3, "a")
    await phone.time.pass_by(10 * HOUR)
    assert len(phone.receiver.seen) == 1
    (event,) = phone.disabled
    assert (event.webhook, event.url) == (made["id"], "https://receiver.example/in")
    assert "410" in event.reason
    assert not phone.webhooks.list()[0]["enabled"]
    await phone.restart()
    phone.emit(1, "a")
    await phone.time.pass_by(HOUR)
    assert len(phone.receiver.seen) == 1, "also after a restart"
    phone.receiver.behave = lambda event: 200
    assert (await phone.webhooks.update(made["id"], enabled=True))["enabled"]
    await phone.time.pass_by(1)
    assert phone.receiver.ids() == phone.ids(), "switched on again, it goes on where it was"


@pytest.mark.parametrize("behave", [down, lambda event: 500, lambda event: 404], ids=["down", "500", "404"])
async def test_a_day_of_failure_disables_it(phone: Phone, behave: Callable[[dict[str, Any]], int]) -> None:
    await phone.webhooks.create(URL)
    phone.receiver.behave = behave
    phone.emit(1, "a")
    await phone.time.pass_by(GIVE_UP - MAX_PAUSE)
    assert not phone.disabled
    await phone.restart()
    await phone.time.pass_by(2 * MAX_PAUSE)
    assert len(phone.disabled) == 1, "the day goes on over a restart"
    before = len(phone.receiver.seen)
    await phone.time.pass_by(GIVE_UP)
    assert len(phone.receiver.seen) == before


@pytest.mark.parametrize("behave", [down, lambda event: 500], ids=["down", "500"])
@pytest.mark.parametrize("off", [True, False], ids=["machine-off", "clock-put-right"])
async def test_a_day_in_which_nothing_was_tried_is_no_day_of_failure(
    phone: Phone, behave: Callable[[dict[str, Any]], int], off: bool
) -> None:
    await phone.webhooks.create(URL)
    phone.receiver.behave = behave
    phone.emit(1, "a")
    await phone.time.pass_by(10)
    if off:
        await phone.webhooks.close()
    phone.time.ahead = 3 * GIVE_UP  # the weekend; or the machine began with the time of its last day
    if off:
        await phone.start()
    await phone.time.pass_by(60)
    assert not phone.disabled, "the network is not up yet"
    phone.receiver.behave = lambda event: 204
    await phone.time.pass_by(MAX_PAUSE)
    assert phone.receiver.ids() == phone.ids()


@pytest.mark.lengthy
async def test_failing_now_and_then_is_no_day_of_failure(phone: Phone) -> None:
    await phone.webhooks.create(URL)
    for hour in range(60):
        phone.receiver.behave = down if hour % 2 else lambda event: 200
        phone.emit(1, "a")
        await phone.time.pass_by(HOUR)
    await phone.time.pass_by(HOUR)
    assert not phone.disabled


async def test_switched_on_again_a_day_begins_anew_and_skipping_is_possible(phone: Phone) -> None:
    made = await phone.webhooks.create(URL)
    phone.receiver.behave = lambda event: 500
    phone.emit(3, "a")
    await phone.time.pass_by(2 * GIVE_UP)
    await phone.webhooks.update(made["id"], enabled=True)
    await phone.time.pass_by(HOUR)
    assert phone.webhooks.list()[0]["enabled"]
    phone.receiver.behave = lambda event: 200
    await phone.webhooks.update(made["id"], skip=True)
    phone.emit(1, "a")
    await phone.time.pass_by(HOUR)
    assert phone.receiver.ids() == phone.ids()[-1:]


async def test_requests_at_once_are_bounded_and_one_subject_has_one(phone: Phone) -> None:
    await phone.webhooks.create(URL)
    phone.receiver.gate = asyncio.Event()
    phone.emit(5, "a")
    await calm()
    assert phone.receiver.at_once == 1
    phone.emit(50, *(f"s{n}" for n in range(50)))
    await calm()
    assert phone.receiver.at_once == PARALLEL
    phone.receiver.gate.set()
    for _ in range(10):
        await calm()
    assert len(phone.receiver.accepted) == 55
    assert phone.receiver.most_at_once == PARALLEL


async def test_memory_is_bounded(phone: Phone) -> None:
    await phone.webhooks.create(URL)
    phone.receiver.behave = down
    phone.emit(4000, "a", "b")
    await calm()
    (delivery,) = phone.webhooks._deliveries.values()
    assert delivery._waiting <= MAX_WAITING + 500
    assert phone.webhooks.list()[0]["waiting"] == 4000


# --- over restarts


async def test_it_goes_on_after_a_restart(phone: Phone) -> None:
    await phone.webhooks.create(URL)
    phone.emit(10, "a", "b")
    await calm()
    phone.receiver.behave = down
    phone.emit(10, "a", "b")
    await calm()
    await phone.restart()
    phone.receiver.behave = lambda event: 200
    await phone.time.pass_by(60)
    assert phone.receiver.ids("history/a") == phone.ids("history/a")
    assert phone.receiver.ids("history/b") == phone.ids("history/b")
    assert len(phone.receiver.accepted) == 20


async def test_each_delivery_is_noted_soon(phone: Phone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "NOTE_SECONDS", 0.0)
    await phone.webhooks.create(URL)
    for _ in range(3):
        phone.emit(1, "a")
        await calm()
        noted = [progress["cursor"] for _, progress in phone.store.load().values()]
        assert noted == phone.ids()[-1:], "a phone that is killed delivers the least again"


async def test_the_last_events_still_arrive_before_the_phone_ends(phone: Phone, monkeypatch: pytest.MonkeyPatch) -> None:
    await phone.webhooks.create(URL)
    await calm()
    monkeypatch.setattr(phone.backend.journal, "announce", lambda: None)  # which is to come in the next turn
    phone.receiver.gate = asyncio.Event()
    phone.emit(1, "a")
    closing = asyncio.ensure_future(phone.webhooks.close())
    await calm()
    phone.receiver.gate.set()
    await closing
    assert phone.receiver.ids() == phone.ids()


async def test_a_receiver_that_fails_does_not_hold_up_the_end(phone: Phone) -> None:
    await phone.webhooks.create(URL)
    phone.receiver.behave = down
    phone.emit(1, "a")
    await calm()
    phone.receiver.gate = asyncio.Event()
    await phone.time.pass_by(MAX_PAUSE)
    assert phone.receiver.at_once == 1, "the next attempt gets no answer either"
    async with asyncio.timeout(CLOSE_SECONDS / 2):
        await phone.webhooks.close()


@pytest.mark.lengthy
async def test_only_what_was_held_back_is_found_again(phone: Phone) -> None:
    await phone.webhooks.create(URL)
    phone.receiver.behave = lambda event: 500 if event["subject"].endswith("bad") else 200
    phone.emit(300, "a", "bad", "b", "worse-bad")
    for _ in range(20):
        await phone.time.pass_by(1)
    accepted = len(phone.receiver.accepted)
    assert accepted == 150
    for _ in range(3):
        await phone.restart()
    phone.emit(4, "a", "bad", "b", "worse-bad")
    phone.receiver.behave = lambda event: 200
    for _ in range(60):
        await phone.time.pass_by(10)
    for subject in ("a", "bad", "b", "worse-bad"):
        assert phone.receiver.ids(f"history/{subject}") == phone.ids(f"history/{subject}"), "in order, and each once"


async def test_a_journal_that_cannot_be_read_for_a_while_costs_no_delivery(
    phone: Phone, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await phone.webhooks.create(URL)
    phone.receiver.behave = lambda event: 500 if event["subject"].endswith("bad") else 200
    phone.emit(6, "a", "bad")
    await phone.time.pass_by(1)
    pages = phone.backend.journal.read
    fails = [False, True, False, True]  # the second page of what was held back, and the first behind it

    async def read(after: Cursor, limit: int) -> Page:
        if fails and fails.pop():
            raise sqlite3.OperationalError("unable to open database file")  # no file may be opened just now
        return await pages(after, limit)

    monkeypatch.setattr(phone.backend.journal, "read", read)
    phone.receiver.behave = lambda event: 200
    await phone.restart()
    for _ in range(6):
        phone.emit(2, "a", "bad")
        await phone.time.pass_by(10)
    assert not fails
    assert caplog.text.count("the journal could not be read") == 2
    for subject in ("history/a", "history/bad"):
        assert phone.receiver.ids(subject) == phone.ids(subject), "in order, and each once"


@pytest.mark.lengthy
@pytest.mark.parametrize("bad", [False, True])
async def test_over_several_runs_of_the_phone_with_a_journal_on_disk(backend: FakeBackend, tmp_path: Path, bad: bool) -> None:
    """Three runs; in the first two the receiver is down (or refuses one subject), in the third it works."""
    phone: Phone | None = None
    emitted: list[tuple[str, str]] = []
    receiver = Receiver()
    for run in range(3):
        journal = DiskJournal(tmp_path / "journal.sqlite3", f"run{run}")
        backend.journal = journal
        backend._maker = EnvelopeMaker(f"run{run}", time.time)
        receiver.behave = (lambda event: 500 if event["subject"] == "history/a" else 200) if bad else down
        if run == 2:
            receiver.behave = lambda event: 200
        phone = Phone(backend, tmp_path, receiver)
        await phone.start()
        phone.emitted = emitted
        if run == 0:
            await phone.webhooks.create(URL)
        phone.emit(300, "a", "b", "c")
        for _ in range(100 if run == 2 else 10):
            await phone.time.pass_by(30)
            await asyncio.sleep(0.002)  # the disk takes real time
        await phone.webhooks.close()
        await asyncio.get_running_loop().run_in_executor(None, journal.close)
    assert phone is not None
    for subject in ("history/a", "history/b", "history/c"):
        assert phone.receiver.ids(subject) == phone.ids(subject)
    assert len(receiver.accepted) == 900
    await phone.start()
    await phone.webhooks.close()


async def test_a_lost_range_is_told(phone: Phone) -> None:
    await phone.webhooks.create(URL, ["history.added"])
    phone.receiver.behave = down
    phone.backend.journal = MemoryJournal("t1", keep=10)
    await phone.restart()
    phone.emit(30, "a")
    phone.receiver.behave = lambda event: 200
    await phone.time.pass_by(60)
    kinds = [event["type"] for event in phone.receiver.accepted]
    assert kinds.count("stream.gap") == 1
    gap = next(event for event in phone.receiver.accepted if event["type"] == "stream.gap")
    assert Cursor.parse(gap["data"]["after"]).seq < Cursor.parse(gap["data"]["next"]).seq
    assert phone.receiver.headers[0]["webhook-id"]


# --- making and changing


async def test_the_secret_is_shown_once(phone: Phone, tmp_path: Path) -> None:
    made = await phone.webhooks.create(URL)
    secret = made["secret"]
    changed = await phone.webhooks.update(made["id"], timeout=5.0)
    shown = json.dumps([phone.webhooks.list(), changed, phone.webhooks.test(made["id"])])
    await calm()
    assert secret not in shown
    assert secret not in repr(phone.backend.said)
    assert not read_by_others(tmp_path / "webhooks.sqlite3")


@pytest.mark.parametrize(("arguments", "field"), [
    ({"url": "http://pbx.example/"}, "/url"), ({"url": "nonsense"}, "/url"), ({"url": URL, "types": ["call.nope"]}, "/types/0"),
    ({"url": URL, "types": []}, "/types"), ({"url": URL, "secret": "abc"}, "/secret"),
    ({"url": URL, "timeout": 0.0}, "/timeout"),
    ({"url": URL, "timeout": float("nan")}, "/timeout"), ({"url": URL, "description": "x" * 201}, "/description"),
])
async def test_bad_ones_are_refused(phone: Phone, arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await phone.webhooks.create(**arguments)
    assert refused.value.errors[0].pointer == field
    assert phone.webhooks.list() == []


async def test_there_is_a_limit(phone: Phone) -> None:
    for _ in range(MAX_WEBHOOKS):
        await phone.webhooks.create(URL)
    with pytest.raises(InvalidArgument):
        await phone.webhooks.create(URL)


async def test_changing_and_removing(phone: Phone) -> None:
    made = await phone.webhooks.create(URL, ["history.added"], description="x")
    changed = await phone.webhooks.update(
        made["id"], url="https://other.example/", types=["system.*"], description="y", timeout=3.0
    )
    assert (changed["url"], changed["types"], changed["description"], changed["timeout"]) == (
        "https://other.example/", ["system.*"], "y", 3.0)  # fmt: skip
    phone.emit(1, "a")
    await calm()
    assert phone.receiver.seen == []
    assert not (await phone.webhooks.update(made["id"], enabled=False))["enabled"]
    phone.backend.emit(e.SystemReady(address="x"))
    await calm()
    assert phone.receiver.seen == []
    await phone.restart()
    assert phone.webhooks.list()[0]["url"] == "https://other.example/"
    await phone.webhooks.update(made["id"], enabled=True)
    await calm()
    assert [event["type"] for event in phone.receiver.seen] == ["system.ready"]
    await phone.webhooks.delete(made["id"])
    phone.backend.emit(e.SystemReady(address="x"))
    await calm()
    assert len(phone.receiver.seen) == 1
    for refused in (phone.webhooks.delete, phone.webhooks.update, phone.webhooks.rotate):
        with pytest.raises(NotFound):
            await refused(made["id"])
    with pytest.raises(NotFound):
        phone.webhooks.test(made["id"])
    await phone.restart()
    assert phone.webhooks.list() == []


@pytest.mark.parametrize(("behave", "ok", "status", "reason"), [
    (lambda event: 200, True, 200, ""), (lambda event: 500, False, 500, "the answer is HTTP 500"),
    (down, False, 0, "no connection: refused"),
])
async def test_a_test(phone: Phone, behave: Callable[[dict[str, Any]], int], ok: bool, status: int, reason: str) -> None:
    made = await phone.webhooks.create(URL, ["call.ended"])
    phone.receiver.behave = behave
    test = phone.webhooks.test(made["id"])["test"]
    await calm()
    assert phone.receiver.seen[0]["type"] == "webhook.test"
    assert verified(made["secret"], phone.receiver.headers[0], phone.receiver.bodies[0])
    (told,) = [event for event in phone.backend.said if isinstance(event, e.WebhookTested)]
    assert told == e.WebhookTested(webhook=made["id"], test=test, ok=ok, status=status, reason=reason, duration_ms=0)


async def test_the_phone_does_not_wait_for_a_receiver_that_is_tested(phone: Phone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offhook.control.webhook.CLOSE_SECONDS", 0.01)
    made = await phone.webhooks.create(URL, ["call.ended"], timeout=60)
    phone.receiver.gate = asyncio.Event()  # it takes the request, and says nothing
    phone.webhooks.test(made["id"])
    await calm()
    async with asyncio.timeout(5):
        await phone.restart()
    assert phone.receiver.at_once == 0


async def test_what_is_not_allowed_any_more_is_switched_off(phone: Phone) -> None:
    await phone.webhooks.close()
    store = WebhookStore(phone.folder / "webhooks.sqlite3")
    phone.webhooks = Webhooks(phone.backend, store, allow_http=True, timing=phone.time.timing, post=phone.receiver)
    await phone.webhooks.start()
    made = await phone.webhooks.create("http://pbx.example/")
    await phone.restart()
    assert "in the clear" in phone.disabled[0].reason
    assert not phone.webhooks.list()[0]["enabled"]
    test = phone.webhooks.test(made["id"])["test"]
    await calm()
    (told,) = [event for event in phone.backend.said if isinstance(event, e.WebhookTested)]
    assert (told.test, told.ok, told.status) == (test, False, 0)
    assert "in the clear" in told.reason, "whoever asked waits for it"
    await phone.webhooks.delete(made["id"])
