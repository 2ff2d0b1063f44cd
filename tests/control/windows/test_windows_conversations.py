"""DDE conversations: commands, items, and advise loops in which nothing is lost and nothing piles up."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from windows_world import ENDED, until

from offhook.control.access import Client
from offhook.control.legacy.opening import from_shell
from offhook.control.operations import Operations
from offhook.control.windows import conversations as module
from offhook.control.windows.conversations import EVENTS_A_TIME, MAX_CONVERSATIONS, MAX_WAITING, Conversations
from offhook.errors import InvalidArgument
from offhook.phone import commands as c
from offhook.phone.events import SystemError
from offhook.phone.model import StatusView
from offhook.testing.backend import FakeBackend

ONE, OTHER = 1, 2


class Talk:
    """A stand-in phone and its conversations; `posted` are the items that there was news of."""

    def __init__(self) -> None:
        self.backend = FakeBackend()
        self.posted: list[str] = []
        self.desk = Conversations(Operations(self.backend), Client("dde"), self.posted.append)
        assert self.desk.begin(ONE)
        assert self.desk.begin(OTHER)

    def shows(self, name: str, remote: str = "") -> None:
        code = ["IDLE", "RINGING", "ACTIVE", "HOLD", "DISCONNECTED"].index(name)
        self.backend.status = StatusView(code=code, name=name, remote=remote)


@pytest.fixture
async def talk() -> Talk:
    return Talk()


async def test_execute_strings_in_every_encoding(talk: Talk) -> None:
    for payload in (b"[Dial(1001)]\0", "[Dial(1001)]\0".encode("utf-16-le"), b"Dial 1001\0\xff\xfe what lay behind it"):
        assert talk.desk.run(ONE, payload)
    assert talk.backend.commands == [c.Dial(to="1001")] * 3
    assert talk.desk.run(ONE, "[Transfer(jürgen@pbx)]".encode("cp1252"))
    assert talk.desk.run(ONE, "[Transfer(jürgen@pbx)]".encode())
    assert talk.backend.commands[3:] == [c.Transfer(to="jürgen@pbx")] * 2


async def test_the_answer_can_be_asked_for(talk: Talk) -> None:
    assert talk.desk.run(ONE, b"[Status]")
    assert talk.desk.request(ONE, "ReturnMessage") == "IDLE"
    assert not talk.desk.run(ONE, b"[SetVolume(101)]")
    assert "0 to 100" in str(talk.desk.request(ONE, "returnmessage"))
    assert talk.desk.request(OTHER, "ReturnMessage") == "", "each conversation has its own"
    assert talk.desk.request(ONE, "Moon") is None
    assert "no item" in str(talk.desk.request(ONE, "ReturnMessage"))


async def test_items_are_set(talk: Talk) -> None:
    assert talk.desk.poke(ONE, "Volume", b"80\0")
    assert talk.desk.poke(ONE, "SendDTMF", "12#\0".encode("utf-16-le"))
    assert talk.backend.commands == [c.SetVolume(volume=80), c.SendDtmf(digits="12#")]
    for item, payload in (("Volume", b"101"), ("Status ", b"1"), ("Moon", b"1"), ("Dial", b"")):
        assert not talk.desk.poke(ONE, item, payload)
    assert len(talk.backend.commands) == 2


async def test_each_change_of_the_status_is_told_once(talk: Talk) -> None:
    assert talk.desk.advise(ONE, "status")
    assert talk.desk.advise(OTHER, "Status")
    assert talk.desk.advise(OTHER, "ActiveCall")
    for name, remote in (("RINGING", "sip:a@b"), ("ACTIVE", "sip:a@b"), ("ACTIVE", "sip:a@b"), ("HOLD", "sip:a@b")):
        talk.shows(name, remote)
        talk.backend.emit(ENDED)
        await asyncio.sleep(0)
    assert talk.posted == ["Status", "ActiveCall", "Status", "Status"]
    assert [talk.desk.due(ONE, "Status") for _ in range(4)] == ["RINGING", "ACTIVE", "HOLD", None]
    assert [talk.desk.due(OTHER, "ActiveCall") for _ in range(2)] == ["sip:a@b", None]
    assert talk.posted.count("Status") == 5, "while something is still due, the item is posted again"
    talk.desk.unadvise(OTHER, "ActiveCall")
    assert talk.desk.due(OTHER, "ActiveCall") is None
    for client in (ONE, OTHER):
        talk.desk.unadvise(client, "Status")
    looked = len(talk.backend.commands)
    talk.backend.emit(ENDED)
    await asyncio.sleep(0)
    assert len(talk.backend.commands) == looked, "nobody wants to know any more"


async def test_who_begins_to_listen_takes_no_change_from_another(talk: Talk) -> None:
    talk.desk.advise(ONE, "Status")
    talk.shows("RINGING")
    talk.backend.emit(ENDED)
    talk.desk.advise(OTHER, "Status")
    await asyncio.sleep(0)
    assert talk.desk.due(ONE, "Status") == "RINGING"


async def test_idle_comes_by_the_clock_alone(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_AGAIN_SECONDS", 0.005)
    talk.desk.advise(ONE, "Status")
    talk.shows("DISCONNECTED")
    talk.backend.emit(ENDED)
    await asyncio.sleep(0.02)
    talk.shows("IDLE")
    await until(lambda: len(talk.posted) == 2)
    assert [talk.desk.due(ONE, "Status") for _ in range(3)] == ["DISCONNECTED", "IDLE", None]
    talk.desk.close()


async def test_what_waits_for_a_client_that_does_not_read_is_bounded(talk: Talk) -> None:
    talk.desk.advise(ONE, "Status")
    for number in range(MAX_WAITING * 3):
        talk.shows("ACTIVE" if number % 2 else "HOLD")
        talk.backend.emit(ENDED)
        await asyncio.sleep(0)
    told = []
    while (text := talk.desk.due(ONE, "Status")) is not None:
        told.append(text)
    assert len(told) == MAX_WAITING
    assert told[-1] == "ACTIVE", "the latest are kept"


async def test_every_event_is_due_to_every_reader(talk: Talk) -> None:
    talk.backend.emit(SystemError(reason="before"))
    assert talk.desk.advise(ONE, "Event")
    names = [f"é{number}" for number in range(EVENTS_A_TIME * 2 + 1)]
    for name in names:
        talk.backend.emit(SystemError(reason=name))
    assert set(talk.posted) == {"Event"}
    told: list[str] = []
    for _ in range(3):
        text = talk.desk.due(ONE, "Event")
        assert isinstance(text, str)
        assert text.isascii()
        told += [json.loads(line)["data"]["reason"] for line in text.splitlines()]
    assert told == names
    assert talk.desk.due(ONE, "Event") is None
    assert talk.desk.due(OTHER, "Event") is None, "it has not asked for any"


@pytest.mark.lengthy
async def test_events_that_memory_no_longer_has_come_from_the_journal(talk: Talk) -> None:
    talk.desk.advise(ONE, "Event")
    for number in range(6000):
        talk.backend.emit(SystemError(reason=str(number)))
    later = talk.desk.due(ONE, "Event")
    assert later is not None
    assert not isinstance(later, str)
    first = json.loads(str(await later).splitlines()[0])
    assert first["type"] == "stream.gap", "a phone without a disk says what is lost"


async def test_a_warm_link_asks_for_what_it_was_told_of(talk: Talk) -> None:
    assert talk.desk.request(ONE, "Event") == ""
    talk.desk.advise(ONE, "Event")
    talk.backend.emit(SystemError(reason="x"))
    assert '"x"' in str(talk.desk.due(ONE, "Event")), "Windows takes it, and tells the client only that it is there"
    assert '"x"' in str(talk.desk.request(ONE, "Event"))
    assert talk.desk.request(ONE, "Event") == ""


async def test_nobody_listens_when_nobody_wants_to_know(talk: Talk) -> None:
    for item in ("Status", "Event"):
        talk.desk.advise(ONE, item)
    assert talk.backend._subscribers
    talk.desk.end(ONE)
    assert not talk.backend._subscribers
    talk.backend.emit(SystemError(reason="x"))
    assert talk.posted == []
    assert not talk.desk.advise(ONE, "Status"), "it is over"


async def test_there_can_be_so_many(talk: Talk) -> None:
    taken = [talk.desk.begin(number) for number in range(10, 10 + MAX_CONVERSATIONS)]
    assert taken == [True] * (MAX_CONVERSATIONS - 2) + [False] * 2
    talk.desk.end(ONE)
    assert talk.desk.begin(999)


@pytest.mark.lengthy
@given(st.binary(max_size=60), st.text(max_size=20))
def test_anything_is_read_or_refused(payload: bytes, item: str) -> None:
    async def talk() -> None:
        desk = Conversations(Operations(FakeBackend()), Client("dde"), lambda item: None)
        desk.begin(ONE)
        desk.run(ONE, payload)
        desk.poke(ONE, item, payload)
        desk.request(ONE, item)
        desk.advise(ONE, item)

    asyncio.run(talk())


@pytest.mark.parametrize(("text", "to"), [
    ("[Dial(tel:+49-30-1)]", "+49301"), ("[dial(SIP:bob@pbx.example)]\0", "sip:bob@pbx.example"),
    ("[Dial(callto:1001)]", "1001"),
])
async def test_a_link_from_the_shell_dials(text: str, to: str, talk: Talk) -> None:
    assert talk.desk.run(ONE, text.encode(), shell=True)
    assert talk.backend.commands == [c.Dial(to=to)]


@pytest.mark.parametrize("text", [
    "[Dial(tel:1)][Close][Dial(2)]", "[Dial(tel:1)][Hangup]", '[Dial("tel:1")][Close]', "[Dial(tel:1,2)]", "[Dial(tel:/exit)]",
    "[Dial(tel:msip:hangupall)]", "[Dial(tel:1", "Dial tel:1)][Close]", "[Dial(sip:a@b?Replaces=x)]", "[Dial(tel:%0a1)]",
])
async def test_a_link_from_the_shell_does_nothing_else(text: str, talk: Talk) -> None:
    assert not talk.desk.run(ONE, text.encode(), shell=True)
    assert talk.backend.commands == []


async def test_a_program_may_do_with_a_link_what_the_shell_may_not(talk: Talk) -> None:
    assert talk.desk.run(ONE, b"[Dial(tel:1,2)][Mute]")
    assert talk.backend.commands == [c.Dial(to="1", digits="2"), c.ToggleMute()]


INJECTED = st.from_regex(r"[0-9]{1,3}\)\]\[[A-Z][a-z]+(\(1\))?\]")


@pytest.mark.lengthy
@given(st.sampled_from(["tel:", "SIP:", "sips:", "callto:"]), st.text(max_size=30) | INJECTED)
def test_no_link_from_the_shell_reaches_a_command(scheme: str, rest: str) -> None:
    try:
        found = from_shell(f"[Dial({scheme}{rest})]")
    except InvalidArgument:
        return
    assert isinstance(found, c.Dial)
    assert found.digits == ""
    assert not set(found.to) & set(" ,/\\()[]\"<>?%\n")


async def test_the_letters_of_an_item_do_not_matter(talk: Talk) -> None:
    assert talk.desk.advise(ONE, "STATUS")
    talk.shows("ACTIVE")
    talk.backend.emit(ENDED)
    await until(lambda: talk.posted)
    assert talk.posted == ["Status"]
    assert talk.desk.due(ONE, "STATUS") == "ACTIVE"
    talk.desk.unadvise(ONE, "status")
    talk.desk.close()


async def test_what_could_not_be_told_comes_up_again(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)
    for item in ("status", "Status"):
        talk.desk.again(item)
    await until(lambda: talk.posted)
    assert talk.posted == ["Status"], "once for everybody"
    talk.desk.again("Event")
    talk.desk.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert talk.posted == ["Status"]
