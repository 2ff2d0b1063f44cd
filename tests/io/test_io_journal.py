"""Numbers, cursors, and reading again what memory holds."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.io.journal import Cause, Cursor, EnvelopeMaker, MemoryJournal
from offhook.phone.events import SystemError, SystemReady


def filled(count: int, keep: int = 10) -> MemoryJournal:
    journal = MemoryJournal("e", keep)
    maker = EnvelopeMaker("e", lambda: 1.0)
    for _ in range(count):
        journal.append([maker.make(SystemReady(address=""))])
    return journal


def test_an_envelope_as_json() -> None:
    envelope = EnvelopeMaker("k7", lambda: 1_700_000_000.5, "desk").make(SystemReady(address="a"), Cause("op_1", "crm", "r"))
    assert msgspec.json.decode(envelope.json) == {
        "v": 1, "epoch": "k7", "seq": 1, "id": "k7-1", "type": "system.ready", "time": "2023-11-14T22:13:20.500Z",
        "instance": "desk", "subject": "system", "account": "", "data": {"address": "a"},
        "cause": {"op": "op_1", "client": "crm", "request_id": "r"},
    }  # fmt: skip


def test_a_name_ends_no_line_whoever_reads_it() -> None:
    """A caller's name could else make events of its own, in a client that splits a stream by what Unicode calls a line."""
    name = "Eve\u2028data: {}\u2029\x85\x0b\x0c\x1c\r\n\\é"
    json = EnvelopeMaker("e", lambda: 1.0).make(SystemError(reason=name)).json
    assert len(json.decode().splitlines()) == 1
    assert msgspec.json.decode(json)["data"]["reason"] == name


@pytest.mark.lengthy
@given(st.from_regex(r"[0-9a-z]{1,8}", fullmatch=True), st.integers(0, 10**15))
def test_a_cursor_reads_what_it_prints(epoch: str, seq: int) -> None:
    assert Cursor.parse(str(Cursor(epoch, seq))) == Cursor(epoch, seq)


@given(st.text(max_size=12))
def test_other_texts_are_refused_or_mean_themselves(text: str) -> None:
    try:
        cursor = Cursor.parse(text)
    except ValueError:
        return
    assert Cursor.parse(str(cursor)) == cursor


@given(st.integers(1, 30), st.integers(0, 35), st.integers(1, 40))
def test_reading_gives_what_follows_or_says_that_it_cannot(count: int, after: int, limit: int) -> None:
    found = filled(count).recent(Cursor("e", after), limit)
    if after < count - 10:
        assert found is None
    else:
        assert [event.cursor.seq for event in found or ()] == list(range(after + 1, count + 1))[:limit]


def test_long_events_do_not_fill_the_memory() -> None:
    journal, maker = MemoryJournal("e", keep=1000, keep_bytes=100_000), EnvelopeMaker("e", lambda: 0.0)
    for _ in range(50):
        journal.append([maker.make(SystemError(reason="x" * 10_000))])
    assert len(journal.recent(Cursor("e", 41), 100) or ()) == 9
    assert journal.recent(Cursor("e", 40), 100) is None
    journal.append([maker.make(SystemError(reason="x" * 200_000))])
    assert len(journal.recent(Cursor("e", 50), 100) or ()) == 1


async def test_a_loss_is_said() -> None:
    page = await filled(30).read(Cursor("e", 3), 4)
    assert (page.lost, [event.cursor.seq for event in page.events]) == (Cursor("e", 3), [21, 22, 23, 24])
    assert (await filled(3).read(Cursor("other", 1), 9)).lost == Cursor("other", 1)


def test_watchers_are_told_until_they_leave() -> None:
    journal, told = filled(1), []
    leave = journal.watch(lambda: told.append(1))
    journal.announce()
    leave()
    leave()
    journal.announce()
    assert told == [1]


@pytest.mark.parametrize("text", ["", "a", "a-", "-1", "a-b", "a--1", "ä-1", "a-1 ", "a b-1", "a-" + "9" * 40])
def test_no_cursors(text: str) -> None:
    with pytest.raises(ValueError, match="epoch-number"):
        Cursor.parse(text)
