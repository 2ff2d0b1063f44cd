"""A request with an Idempotency-Key that comes again after the phone was started again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from offhook.control.http import idempotency
from offhook.control.http.answers import Answer
from offhook.control.http.idempotency import RESTARTED, Replays, Store
from offhook.control.http.limits import KEY_SECONDS
from offhook.errors import IdempotencyMismatch, LineBusy, SetupError
from offhook.phone.commands import Command
from offhook.phone.events import OperationFailed, OperationSucceeded, SystemError
from offhook.testing.backend import FakeBackend
from offhook.testing.http import Served, serving

KEY = {"Idempotency-Key": "k-1"}
CALL = {"to": "1"}


class Disk:
    """A Store that outlives its phone, as it is at any moment."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], tuple[float, bytes]] = {}
        self.trouble: SetupError | None = None
        self.closed = 0

    def __call__(self) -> Store:
        if self.trouble is not None:
            raise self.trouble
        return self

    def load(self) -> list[tuple[str, str, float, bytes]]:
        return sorted(((*name, *row) for name, row in self.rows.items()), key=lambda row: row[2])

    def note(self, client: str, key: str, begun: float, note: bytes) -> None:
        self.rows[client, key] = begun, note

    def forget(self, client: str, key: str) -> None:
        self.rows.pop((client, key), None)

    def close(self) -> None:
        self.closed += 1


@asynccontextmanager
async def phone(folder: Path, disk: Callable[[], Store], token: str = "") -> AsyncIterator[tuple[httpx.AsyncClient, Served]]:
    backend = FakeBackend()
    async with serving(backend, folder, requests=disk) as served:
        served.token = served.token or token
        async with httpx.AsyncClient(base_url=served.url, headers=served.bearer, trust_env=False) as http:
            yield http, served


def commands(served: Served) -> int:
    assert isinstance(served.backend, FakeBackend)
    return len(served.backend.commands)


async def test_a_call_is_not_dialled_again_after_a_restart(tmp_path: Path) -> None:
    disk = Disk()
    async with phone(tmp_path, disk) as (http, served):
        first = await http.post("/v1/calls", json=CALL, headers=KEY)
        token = served.token
    async with phone(tmp_path, disk, token) as (http, served):
        again = await http.post("/v1/calls", json=CALL, headers=KEY)
        assert (again.status_code, again.json()) == (201, first.json())
        assert (again.headers["location"], again.headers["idempotent-replayed"]) == (first.headers["location"], "true")
        other = await http.post("/v1/calls", json={"to": "2"}, headers=KEY)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency-mismatch")
        assert commands(served) == 0
        found = (await http.get("/v1/operations/op_1")).json()
        assert (found["state"], found["command"], found["call"], found["reason"]) == ("failed", "dial", "c_1", RESTARTED)
        waited = await http.post("/v1/calls", json=CALL, headers={**KEY, "Prefer": "wait=5"})
        assert (waited.status_code, waited.json()["outcome"]["reason"]) == (201, RESTARTED)
        mine = {**KEY, "Authorization": f"Bearer {served.tokens.create('other')}"}
        assert "idempotent-replayed" not in (await http.post("/v1/calls", json=CALL, headers=mine)).headers
        assert commands(served) == 1, "keys are of one token"
    assert disk.closed == 2


@pytest.mark.parametrize(("event", "state", "reason"), [
    (OperationSucceeded(operation="op_1", command="dial", call="c_1"), "succeeded", ""),
    (OperationFailed(operation="op_1", command="dial", call="c_1", sip_status=486, reason="Busy Here"), "failed", "Busy Here"),
])
async def test_what_became_of_it_before_the_restart_is_known(
    event: OperationSucceeded | OperationFailed, state: str, reason: str, tmp_path: Path
) -> None:
    disk = Disk()
    async with phone(tmp_path, disk) as (http, served):
        await http.post("/v1/calls", json=CALL, headers=KEY)
        assert isinstance(served.backend, FakeBackend)
        served.backend.emit(event)
        token = served.token
    async with phone(tmp_path, disk, token) as (http, _):
        outcome = (await http.post("/v1/calls", json=CALL, headers={**KEY, "Prefer": "wait=5"})).json()["outcome"]
        assert (outcome["state"], outcome["reason"]) == (state, reason)


async def test_an_outcome_that_comes_before_the_answer_is_kept(tmp_path: Path) -> None:
    disk = Disk()
    async with phone(tmp_path, disk) as (http, served):
        backend = served.backend
        assert isinstance(backend, FakeBackend)
        over = OperationFailed(operation="op_1", command="dial", call="c_1", reason="no")

        def end_at_once(_: Command) -> None:
            backend.emit(over)

        backend.on_execute = end_at_once
        await http.post("/v1/calls", json=CALL, headers=KEY)
        token = served.token
    async with phone(tmp_path, disk, token) as (http, _):
        assert (await http.get("/v1/operations/op_1")).json()["reason"] == "no"


async def test_who_was_killed_in_the_middle_says_so(tmp_path: Path) -> None:
    """What is on the disk before a command is carried out is enough not to do it twice."""
    disk, before = Disk(), Disk()
    async with phone(tmp_path, disk) as (http, served):
        assert isinstance(served.backend, FakeBackend)
        served.backend.on_execute = lambda _: before.rows.update(disk.rows)
        await http.post("/v1/calls", json=CALL, headers=KEY)
        token = served.token
    async with phone(tmp_path, before, token) as (http, served):
        found = await http.post("/v1/calls", json=CALL, headers=KEY)
        assert (found.status_code, found.json()["code"]) == (409, "interrupted")
        assert "GET /v1/events?after=t1-0 tells what it had done" in found.json()["detail"]
        assert (await http.post("/v1/calls", json={"to": "2"}, headers=KEY)).status_code == 422
        assert commands(served) == 0


async def test_who_ends_while_it_works_may_have_done_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, begun, goes_on = Disk(), threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        goes_on.wait(10)

    monkeypatch.setattr("offhook.control.http.server.FLUSH_SECONDS", 0.05)
    async with phone(tmp_path, disk) as (http, served):
        monkeypatch.setattr(served.backend, "clear_history", slow)
        first = asyncio.ensure_future(http.delete("/v1/history", headers=KEY))
        await served.until(begun.is_set)
        await served.server.close()
        with pytest.raises(httpx.HTTPError):
            await first
        token = served.token
    goes_on.set()
    async with phone(tmp_path, disk, token) as (http, _):
        assert (await http.delete("/v1/history", headers=KEY)).json()["code"] == "interrupted"


async def test_a_refusal_is_forgotten_on_the_disk_too(tmp_path: Path) -> None:
    disk = Disk()
    async with phone(tmp_path, disk) as (http, served):
        assert isinstance(served.backend, FakeBackend)
        served.backend.refuse = LineBusy("a call rings")
        assert (await http.post("/v1/calls", json=CALL, headers=KEY)).json()["code"] == "line-busy"
    assert disk.rows == {}


async def test_while_the_file_cannot_be_read_nothing_is_done_that_may_have_been_done(tmp_path: Path) -> None:
    disk = Disk()
    disk.trouble = SetupError("cannot open it: it is locked")
    async with phone(tmp_path, disk) as (http, served):
        assert isinstance(served.backend, FakeBackend)
        words = "requests with an Idempotency-Key are refused: cannot open it: it is locked; each of them tries again"
        assert served.backend.said == [SystemError(reason=words)]
        found = await http.post("/v1/calls", json=CALL, headers=KEY)
        assert (found.status_code, found.json()["code"], found.headers["retry-after"]) == (503, "requests-unread", "2")
        assert found.json()["detail"] == "cannot open it: it is locked"
        assert commands(served) == 0
        assert (await http.post("/v1/calls", json=CALL)).status_code == 201, "without a key nothing has to be known"
        disk.trouble = None
        assert (await http.post("/v1/calls", json=CALL, headers=KEY)).status_code == 201
    assert list(disk.rows) == [("all", "k-1")]


async def test_a_file_that_does_not_answer_holds_up_no_request_but_those_that_need_it(tmp_path: Path) -> None:
    """HTTP was there five seconds after the phone, where another program had the file locked."""
    disk, free = Disk(), threading.Event()

    def slow() -> Store:
        assert free.wait(10)
        return disk

    async with phone(tmp_path, slow) as (http, _):
        assert (await http.post("/v1/calls", json=CALL)).status_code == 201
        waits = asyncio.ensure_future(http.post("/v1/calls", json=CALL, headers=KEY))
        assert (await http.get("/v1/calls")).status_code == 200
        assert not waits.done()
        free.set()
        assert (await waits).status_code == 201
    assert list(disk.rows) == [("all", "k-1")]


async def opened(disk: Disk, wall: float) -> Replays:
    found = Replays(FakeBackend(), lambda: 0.0, lambda: wall, disk)
    await found.ready()
    return found


@pytest.mark.parametrize(("later", "known"), [
    (KEY_SECONDS - 1, True), (KEY_SECONDS + 1, False), (-40 * 365 * 86400.0, True),
])
async def test_a_day_goes_by_whether_the_phone_runs_or_not(later: float, known: bool) -> None:
    disk, began = Disk(), 1_700_000_000.0
    first = await opened(disk, began)
    assert first.begin("c", "k", b"1") is None
    first.finish("c", "k", Answer(204))
    again = await opened(disk, began + later)
    if known:
        assert again.begin("c", "k", b"1") == Answer(204)
        with pytest.raises(IdempotencyMismatch):
            again.begin("c", "k", b"2")
    else:
        assert disk.rows == {}
        assert again.begin("c", "k", b"2") is None


async def test_what_is_kept_is_bounded_in_number_and_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "MAX_KEYS", 3)
    disk = Disk()
    kept = await opened(disk, 0.0)
    for key in "abcde":
        assert kept.begin("c", key, b"1") is None
        kept.finish("c", key, Answer(200, {"text": "x" * 1000}))
    assert [key for _, key in disk.rows] == ["c", "d", "e"]
    monkeypatch.setattr(idempotency, "KEY_BYTES", 2500)
    assert kept.begin("c", "f", b"1") is None
    assert [key for _, key in disk.rows] == ["d", "e", "f"]
    monkeypatch.setattr(idempotency, "MAX_KEYS", 2)
    await opened(disk, 0.0)
    assert [key for _, key in disk.rows] == ["f"], "room for the next one is made at once"


async def test_what_was_kept_by_the_run_before_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk()
    first = await opened(disk, 0.0)
    for key in "abc":
        assert first.begin("c", key, b"1") is None
        first.finish("c", key, Answer(200, {"text": "x" * 1000}))
    monkeypatch.setattr(idempotency, "KEY_BYTES", 2500)
    await opened(disk, 1.0)
    assert [key for _, key in disk.rows] == ["b", "c"]


async def test_an_answer_whose_key_made_room_meanwhile_is_given_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "MAX_KEYS", 1)
    kept = await opened(Disk(), 0.0)
    assert kept.begin("c", "slow", b"1") is None
    assert kept.begin("c", "other", b"2") is None
    kept.finish("c", "slow", Answer(204))
    monkeypatch.undo()
    assert kept.begin("c", "slow", b"1") is None, "its key is a new one again"


async def test_a_note_that_is_not_understood_is_passed_over() -> None:
    disk = Disk()
    disk.rows["c", "k"] = 0.0, b'{"from":"another version"}'
    assert (await opened(disk, 0.0)).begin("c", "k", b"1") is None
