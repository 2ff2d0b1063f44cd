"""The phone elsewhere: killed and started again, connections that break, several programs at once."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from offhook import CallFailed, Cancelled, ConnectionLost, OperationFailed, PhoneGone, Softphone, StreamGap, Unreachable
from offhook.api.book import Book
from offhook.api.connections import Connection, Voice, Word
from offhook.api.failures import call_failure
from offhook.api.links import Done, Feed, Heard, Sound
from offhook.api.remote import RemotePhone
from offhook.api.remote_sound import RemoteSound
from offhook.api.streams import wait_until
from offhook.errors import InvalidArgument, InvalidState, MediaLost, Unauthenticated
from offhook.media.messages import AudioRate
from offhook.phone import commands as c
from offhook.phone.commands import Accepted
from offhook.phone.events import (
    AudioChanged,
    CallActive,
    CallEnded,
    ConferenceEnded,
    ConferenceUpdated,
    Event,
    OperationSucceeded,
    RecordingFinished,
    SystemReady,
)
from offhook.phone.model import AccountView, CallEnd, CallState, CallView, ConferenceView, Party, wall
from offhook.testing.process import PhoneProcess, phone_process
from offhook.testing.softphones import own_phone, served_phone, web_phone


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[PhoneProcess]:
    """Return a phone in a process of its own."""
    running = phone_process(tmp_path / "home", "", "--media", "thread")
    process = await asyncio.to_thread(running.__enter__)
    try:
        yield process
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


async def restart(process: PhoneProcess) -> None:
    await asyncio.to_thread(process.kill)
    await asyncio.to_thread(process.start)


@pytest.mark.slow
async def test_a_killed_phone_loses_its_calls_and_no_event(process: PhoneProcess) -> None:
    async with own_phone() as (far, uri), Softphone.connect(process.socket, reconnect=20) as phone:
        incoming = far.incoming
        call = await phone.dial(uri)
        theirs = await anext(incoming)
        await theirs.answer()
        await call.wait_active(timeout=5)
        playback = await call.play(tone="440")
        holding = asyncio.ensure_future(phone.wait_event("system.ready", timeout=30))
        async with phone.events() as events:
            await phone.set_volume(10)
            await restart(process)
            view = await call.wait_ended(timeout=20)
            assert view.end is not None
            assert view.end.reason == "the phone was restarted"
            assert await playback.wait(timeout=1) == 0
            assert phone.calls == ()
            assert isinstance(await holding, SystemReady)
            await phone.set_volume(20)
            seen = []
            async for event in events:
                seen.append(event)
                if isinstance(event, AudioChanged) and event.audio.output_volume == 20:
                    break
        assert [e.audio.output_volume for e in seen if isinstance(e, AudioChanged)] == [10, 20]
        assert [e.type for e in seen].count("system.ready") == 1
        again = await phone.dial(uri)
        await (await anext(incoming)).answer()
        await again.wait_active(timeout=5)
        await again.hangup()
        await theirs.hangup()


@pytest.mark.slow
async def test_events_are_taken_up_where_they_stopped_over_many_kills(process: PhoneProcess) -> None:
    async with Softphone.connect(process.socket, reconnect=20) as phone, phone.events(["audio.changed"]) as events:
        for round_ in range(3):
            for volume in (10, 20, 30, 40):
                await phone.set_volume(volume + round_)
            await restart(process)
        heard = [await anext(events) for _ in range(12)]
    volumes = [event.audio.output_volume for event in heard if isinstance(event, AudioChanged)]
    assert volumes == [volume + round_ for round_ in range(3) for volume in (10, 20, 30, 40)]


@pytest.mark.slow
async def test_a_phone_that_stays_away_is_given_up(process: PhoneProcess) -> None:
    async with own_phone() as (_, uri), Softphone.connect(process.socket, reconnect=0.2) as phone:
        call = await phone.dial(uri)
        events, incoming = phone.events(), phone.incoming
        await asyncio.to_thread(process.kill)
        with pytest.raises((PhoneGone, CallFailed)):
            await call.wait_active(timeout=5)
        with pytest.raises(PhoneGone):
            await anext(incoming)
        with pytest.raises(PhoneGone):
            async for _ in events:
                pass
        with pytest.raises(PhoneGone):
            await phone.status()
    with pytest.raises(PhoneGone, match="offhook run"):
        await Softphone.connect(process.socket).open()


@pytest.mark.slow
async def test_a_phone_that_is_told_to_quit_says_goodbye(process: PhoneProcess) -> None:
    async with Softphone.connect(process.socket, reconnect=0.2) as phone:
        await phone.quit()


async def test_two_programs_see_the_same_calls(tmp_path: Path) -> None:
    async with own_phone() as (far, uri), served_phone(tmp_path / "s") as (first, _):
        async with Softphone.connect(tmp_path / "s", name="second") as second:
            async with second.events(["call.active", "call.held"]) as events:
                call = await first.dial(uri)
                await (await anext(far.incoming)).answer()
                await call.wait_active(timeout=5)
                await anext(events)  # the second one has heard of it, too
                other = second.call(call.id)
                assert other is not call
                await other.hold()
                await anext(events)
            await other.hangup()
            await call.wait_ended(timeout=5)
        async with Softphone.connect(tmp_path / "s") as late:
            assert late.calls == ()


async def test_a_program_that_comes_later_finds_the_calls(tmp_path: Path) -> None:
    async with own_phone() as (far, uri), served_phone(tmp_path / "s") as (first, _):
        call = await first.dial(uri)
        theirs = await anext(far.incoming)
        async with Softphone.connect(tmp_path / "s") as late:
            found = late.call(call.id)
            await theirs.answer()
            await found.wait_active(timeout=5)
            await found.hangup()
        await call.wait_ended(timeout=5)


async def test_commands_of_many_tasks_do_not_mix(tmp_path: Path) -> None:
    async with served_phone(tmp_path / "s") as (phone, _):
        audio = await asyncio.gather(*(phone.set_volume(volume) for volume in range(100)))
        assert [view.output_volume for view in audio] == list(range(100))


async def test_a_cancelled_request_does_not_disturb_the_next(tmp_path: Path) -> None:
    async with served_phone(tmp_path / "s") as (phone, _):
        for _ in range(20):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await phone.set_volume(10)
            assert (await phone.set_volume(20)).output_volume == 20


async def test_a_wrong_token_or_address_is_refused(tmp_path: Path) -> None:
    async with web_phone(tmp_path) as (phone, _):
        link = phone._link
        assert isinstance(link, RemotePhone)
        with pytest.raises(Unauthenticated):
            await Softphone.connect(url=link.dialer.where, token="wrong").open()
    with pytest.raises(PhoneGone):
        await Softphone.connect(url=link.dialer.where, token="wrong").open()
    with pytest.raises(InvalidArgument):
        Softphone.connect(url="127.0.0.1:5080")


@pytest.mark.parametrize("path", ["", "/", "/desk/7", "/desk/7/"])
async def test_a_phone_may_be_below_a_path(path: str) -> None:
    asked = asyncio.get_running_loop().create_future()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set_result((await reader.readline()).split()[1])
        writer.close()

    proxy = await asyncio.start_server(refuse, "127.0.0.1")
    async with proxy:
        host, port = proxy.sockets[0].getsockname()
        with pytest.raises(PhoneGone):
            await Softphone.connect(url=f"http://{host}:{port}{path}", token="t").open()
    assert await asked == path.rstrip("/").encode() + b"/v1/socket"


# --- connections that break ------------------------------------------------------------------------------------------


class Script:
    """A phone that answers as a test says: a Dialer and its Connection. An answer `None` breaks the connection."""

    where = "the script"

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.connections = 0
        self._ready: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def connect(self) -> Connection:
        self.connections += 1
        self._ready = asyncio.Queue()
        return self

    async def send(self, message: bytes) -> None:
        request = msgspec.json.decode(message)
        self.asked.append(request["op"])
        answer = {"as_of": "e1-0"} if request["op"] == "ping" else self.answers.pop(0)
        self._ready.put_nowait(
            None if answer is None else answer if isinstance(answer, bytes)
            else msgspec.json.encode({"id": request["id"], "ok": True, "result": answer})
        )  # fmt: skip

    async def receive(self) -> bytes:
        message = await self._ready.get()
        if message is None:
            raise ConnectionLost("it broke")
        return message

    async def connect_audio(self, call: str, rate: AudioRate) -> Voice:
        raise NotImplementedError

    def close(self) -> None:
        self._ready.put_nowait(None)


async def test_a_request_under_way_when_the_connection_breaks_fails_and_the_next_one_works() -> None:
    script = Script(None, {"value": None})
    link = RemotePhone(script, timeout=5, patience=5)
    await link.open()
    with pytest.raises(ConnectionLost, match="hangup_all: it broke before the answer came"):
        await link.execute(c.HangupAll())
    await link.execute(c.HangupAll())
    assert (script.asked, script.connections) == (["ping", "hangup_all"] * 2, 2)
    await link.close()


async def test_an_answer_that_never_comes() -> None:
    script = Script(b'{"id":99,"ok":true}')
    link = RemotePhone(script, timeout=0.05, patience=5)
    await link.open()
    with pytest.raises(TimeoutError, match="the script has not answered drain"):
        await link.execute(c.Drain())
    await link.close()


async def test_a_phone_that_lets_us_in_and_says_nothing_is_given_up(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1")
    async with server, asyncio.timeout(5):
        host, port = server.sockets[0].getsockname()
        with pytest.raises(PhoneGone, match="has let nobody in for"):
            await Softphone.connect(url=f"http://{host}:{port}", token="t", timeout=0.1).open()
        link = RemotePhone(SilentDialer(), timeout=0.01, patience=0)
        for reaching in (link.open(), link.open_audio("c_1", 8000), link.execute(c.Drain()), link.events(("*",), "").next()):
            with pytest.raises(PhoneGone, match="the phone at nowhere has let nobody in"):
                await reaching


class SilentDialer:
    where = "nowhere"

    async def connect(self) -> Connection:
        return await asyncio.Event().wait()  # type: ignore[return-value]

    async def connect_audio(self, call: str, rate: AudioRate) -> Voice:
        return await asyncio.Event().wait()  # type: ignore[return-value]


@pytest.mark.parametrize("garbage", [b"no json", b"[]", b'{"id": 1, "ok": 7}'])
async def test_something_that_is_no_phone(garbage: bytes) -> None:
    link = RemotePhone(Script(garbage, garbage), timeout=5, patience=0)
    await link.open()
    with pytest.raises(PhoneGone, match="does not speak like a phone"):
        await link.execute(c.Drain())
    feed = link.events(("*",), "")
    with pytest.raises(PhoneGone, match="does not speak like a phone"):
        await feed.next()
    await link.close()


def test_failures_name_their_status() -> None:
    assert str(OperationFailed("transfer", sip_status=603, reason="Decline")) == "transfer: 603 Decline"
    assert issubclass(Unreachable, CallFailed)


class ScriptedLink:
    """A Link whose snapshot and events a test writes."""

    def __init__(self, *snapshots: str) -> None:
        self.snapshots = list(snapshots)
        self.feeds: list[ScriptedFeed] = []
        self.epoch = "e1"
        self.asked = self.breaks = 0
        self.calls: tuple[CallView, ...] = ()
        self.values: dict[type[c.Command], object] = {c.Record: {"recording": "r_1", "file": "/a.wav"}, c.ListAccounts: ()}

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def execute(self, command: c.Command) -> Done:
        value = self.values.get(type(command))
        return Done(Accepted(call="c_1", operation="op_1", value=value), self.epoch)

    async def request(self, operation: str, params: object) -> object:
        self.asked += 1
        if self.breaks and self.asked > 1:
            self.breaks -= 1
            raise ConnectionLost("it broke")
        audio = {"output_volume": 1, "mic_volume": 1, "mic_muted": False}
        return {
            "as_of": self.snapshots.pop(0), "status": {"code": 0, "name": "IDLE"}, "accounts": [],
            "calls": msgspec.to_builtins(self.calls), "audio": audio,
            "devices": [], "dnd": False, "forwarding": "", "auto_answer": "off",
        }  # fmt: skip

    async def open_audio(self, call: str, rate: AudioRate) -> Sound:
        raise NotImplementedError

    def events(self, types: object, after: str) -> Feed:
        self.feeds.append(ScriptedFeed(after))
        return self.feeds[-1]


class ScriptedFeed:
    def __init__(self, after: str) -> None:
        self.after = after
        self.queue: asyncio.Queue[Heard | None] = asyncio.Queue()

    def say(self, place: str, event: Event) -> None:
        self.queue.put_nowait(Heard(place, "", event))

    async def next(self) -> Heard | None:
        return await self.queue.get()

    def close(self) -> None:
        self.queue.put_nowait(None)


CALL = CallView(
    "c_1", "a", "outgoing", CallState.ACTIVE, Party("sip:me@h"), Party("sip:you@h"), "x", wall(0), answered=wall(1)
)  # fmt: skip
DONE = OperationSucceeded(operation="op_1", command="hold", call="c_1")


def test_a_call_that_was_answered_has_not_been_given_up_before_the_answer() -> None:
    ended = structs.replace(CALL, state=CallState.ENDED, end=CallEnd("local", reason="the call ended"))
    assert type(call_failure(ended)) is CallFailed
    assert type(call_failure(structs.replace(ended, answered=None))) is Cancelled


async def test_an_outcome_of_an_earlier_run_is_not_taken_for_one_of_this_run() -> None:
    link = ScriptedLink("e1-5")
    book = Book(link)
    await book.open()
    link.feeds[0].say("e1-6", DONE)
    link.epoch = "e2"  # the phone was restarted, and answers before its events have come
    holding = asyncio.create_task(book.execute(c.Hold(), wait=True))
    link.feeds[0].say("e2-1", SystemReady(address=""))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not holding.done()
    link.feeds[0].say("e2-2", DONE)
    await holding
    await book.close()


async def test_what_was_under_way_in_a_run_that_is_over_fails() -> None:
    link = ScriptedLink("e1-5")
    book = Book(link)
    await book.open()
    holding = asyncio.create_task(book.execute(c.Hold(), wait=True))
    await asyncio.sleep(0)
    link.feeds[0].say("e2-1", SystemReady(address=""))
    with pytest.raises(PhoneGone, match="restarted"):
        await holding
    with pytest.raises(PhoneGone, match="restarted"):  # an answer that was on its way all that time
        await book.execute(c.Hold(), wait=True)
    await book.close()


async def test_who_holds_nothing_but_a_recording_hears_of_its_end_after_the_call() -> None:
    link = ScriptedLink("e1-5")
    book = Book(link)
    await book.open()
    link.feeds[0].say("e1-6", CallActive(call=CALL))
    recording = await (await book.begin(c.Pickup(to="you"))).record()
    over = structs.replace(CALL, state=CallState.ENDED, ended=wall(9), end=CallEnd("remote"))
    link.feeds[0].say("e1-7", CallEnded(call=over, duration=8.0))
    await wait_until(book.bell, lambda: book.cursor == "e1-7", 5)
    link.feeds[0].say("e1-8", RecordingFinished(
        call=over, recording="r_1", file="/a.wav", reason="call ended", duration_ms=8000, size=9, format="wav"
    ))  # fmt: skip
    assert await recording.wait(timeout=5) == Path("/a.wav")
    await book.close()


async def test_what_runs_in_a_call_says_what_it_is() -> None:
    link = ScriptedLink("e1-5")
    book = Book(link)
    await book.open()
    link.feeds[0].say("e1-6", CallActive(call=CALL))
    call = await book.begin(c.Pickup(to="you"))
    recording, audio = await call.record(), call.open_audio(rate=8000)
    assert (repr(recording), repr(audio)) == ("<Recording r_1 of call c_1>", "<Audio of call c_1 at 8000 Hz>")
    link.feeds[0].say("e1-7", RecordingFinished(
        call=CALL, recording="r_1", file="/a.wav", reason="stopped", duration_ms=8000, size=9, format="wav"
    ))  # fmt: skip
    await wait_until(book.bell, lambda: book.cursor == "e1-7", 5)
    await audio.close()
    assert (repr(recording), repr(audio)) == ("<Recording r_1 of call c_1 (over)>", "<Audio of call c_1 at 8000 Hz (closed)>")
    await book.close()


async def test_after_a_restart_nobody_waits_for_the_end_of_a_recording() -> None:
    link = ScriptedLink("e1-5")
    book = Book(link)
    await book.open()
    link.feeds[0].say("e1-6", CallActive(call=CALL))
    call = await book.begin(c.Pickup(to="you"))
    recording = await call.record()
    waiting = asyncio.create_task(recording.wait())
    link.feeds[0].say("e2-1", SystemReady(address=""))
    async with asyncio.timeout(5):  # less than the time that is given to a slow disk
        with pytest.raises(PhoneGone, match="restarted"):
            await waiting
    assert (await call.wait_ended()).end == CallEnd("network", reason="the phone was restarted")
    await book.close()


async def test_a_name_of_a_call_of_an_earlier_run_is_free_for_another() -> None:
    link = ScriptedLink("e1-5")
    book = Book(link)
    await book.open()
    link.feeds[0].say("e1-6", CallActive(call=CALL))
    before = await book.dial(c.Dial(to="you", id="c_1"))
    link.feeds[0].say("e2-1", SystemReady(address=""))
    await before.wait_ended()
    link.feeds[0].say("e2-2", CallActive(call=CALL))
    again = await book.dial(c.Dial(to="you", id="c_1"))
    assert again is not before
    assert (before.is_ended, again.is_ended, book.calls) == (True, False, (again,))
    await book.close()


ROOM = ConferenceView("room", ("c_1",))
TWO = ConferenceView("room", ("c_1", "c_2"))


@pytest.mark.parametrize(("events", "known"), [
    ((("e1-6", ConferenceUpdated(conference=ROOM)), ("e1-7", ConferenceEnded(conference=ROOM))), {}),
    ((("e2-1", SystemReady(address="")),), {}),
    ((("e1-6", ConferenceUpdated(conference=ROOM)), ("e1-7", ConferenceUpdated(conference=TWO))), {"room": TWO}),
    ((("e1-6", ConferenceUpdated(conference=structs.replace(ROOM, id="other"))),), {"room": ROOM}),
])  # fmt: skip
async def test_what_is_told_of_a_conference_before_the_answer_comes_holds(
    events: tuple[tuple[str, Event], ...], known: dict[str, ConferenceView]
) -> None:
    link = ScriptedLink("e1-5")
    book = Book(link)
    await book.open()
    answered = asyncio.Event()

    async def late(command: c.Command) -> Done:
        await answered.wait()
        return Done(Accepted(value=ROOM if isinstance(command, c.CreateConference) else ()), "e1")

    link.execute = late  # type: ignore[method-assign]
    creating = asyncio.create_task(book.change_conference(c.CreateConference(id="room", calls=("c_1",))))
    await asyncio.sleep(0)  # the request is on its way
    for place, event in events:
        link.feeds[0].say(place, event)
    await wait_until(book.bell, lambda: book.cursor == events[-1][0], 5)
    answered.set()
    assert await creating == ROOM
    assert {name: view for name, view in book.conferences.items() if name != "other"} == known
    await book.close()


class MuteVoice:
    """A call's sound of a phone that has frozen."""

    async def say(self, pcm: bytes) -> None: ...

    async def clear(self, number: int) -> None: ...

    async def hear(self) -> Word:
        return await asyncio.Event().wait()  # type: ignore[return-value]

    def close(self) -> None: ...


class SpokenVoice(MuteVoice):
    """A call's sound of a phone that says what a test says."""

    def __init__(self, *words: Word | Exception) -> None:
        self.words = list(words)
        self.said: list[bytes | int] = []

    async def say(self, pcm: bytes) -> None:
        self.said.append(pcm)

    async def clear(self, number: int) -> None:
        self.said.append(number)

    async def hear(self) -> Word:
        if not self.words:
            return await super().hear()
        word = self.words.pop(0)
        if isinstance(word, Exception):
            raise word
        return word


@pytest.mark.parametrize(("word", "reason"), [
    (Word(error={"type": "about:blank", "code": "invalid-state", "detail": "it is on hold"}), "it is on hold"),
    (Word(end="its worker died"), "its worker died"), (msgspec.DecodeError("no JSON"), "no JSON"),
    (ConnectionLost("it broke"), "it broke"),
])  # fmt: skip
async def test_a_sound_that_breaks_gives_what_was_heard_and_then_says_why(word: Word | Exception, reason: str) -> None:
    sound = RemoteSound(SpokenVoice(Word(audio=b"12"), word), 8000, timeout=5)
    assert await sound.next() == b"12"
    with pytest.raises(MediaLost, match=reason):
        await sound.next()
    with pytest.raises(MediaLost, match=reason):
        await sound.wait_buffered(0)
    for ask in (lambda: sound.write(b"12"), sound.clear):
        with pytest.raises(InvalidState, match="over"):
            await ask()  # type: ignore[misc]  # or it raises at once


async def test_whoever_waits_for_silence_has_it_when_the_call_is_over() -> None:
    voice = SpokenVoice()
    sound = RemoteSound(voice, 8000, timeout=5)
    sound.write(b"123")
    clearing = asyncio.create_task(sound.clear())
    await asyncio.sleep(0)
    sound.write(b"45")  # the half sample before is forgotten
    for _ in range(10):
        await asyncio.sleep(0)
    assert voice.said == [b"12", 1, b"45"]
    sound.close()
    assert await clearing == 0
    assert await sound.next() is None


async def test_a_phone_that_freezes_in_a_call_does_not_hold_up_who_wants_silence() -> None:
    sound = RemoteSound(MuteVoice(), 8000, timeout=0.01)
    sound.write(bytes(3200))
    with pytest.raises(TimeoutError, match=r"the phone has not answered clear for 0\.01 s"):
        await sound.clear()
    sound.close()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there are no eager tasks yet")
async def test_a_sound_that_breaks_at_once_is_told_in_a_program_with_eager_tasks() -> None:
    class BrokenVoice(MuteVoice):
        async def hear(self) -> Word:
            raise ConnectionLost("it broke")

    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
    with pytest.raises(MediaLost, match="it broke"):
        await RemoteSound(BrokenVoice(), 8000, timeout=5).next()


async def test_an_account_that_is_gone_after_a_restart_is_forgotten() -> None:
    link = ScriptedLink("e1-5")
    book = Book(link)
    await book.open()
    gone, kept = (AccountView(name, "", f"sip:{name}@h", "", "udp", "unregistered") for name in ("gone", "kept"))
    book.accounts = {"gone": gone}
    link.values[c.ListAccounts] = (kept,)
    link.feeds[0].say("e2-1", SystemReady(address=""))
    await wait_until(book.bell, lambda: book.accounts == {"kept": kept}, 5)
    await book.close()


async def test_a_call_that_is_over_before_the_answer_comes_is_returned() -> None:
    link = ScriptedLink("e1-5")
    book = Book(link)
    await book.open()
    answered = asyncio.Event()

    async def late(command: c.Command) -> Done:
        await answered.wait()
        return Done(Accepted(call="c_1"), "e1")

    link.execute = late  # type: ignore[method-assign]
    beginning = asyncio.create_task(book.begin(c.Pickup(to="you")))
    await asyncio.sleep(0)  # the request is on its way
    ended = structs.replace(CALL, state=CallState.ENDED, answered=None, end=CallEnd("remote", 404, "Not Found"))
    link.feeds[0].say("e1-6", CallActive(call=CALL))
    link.feeds[0].say("e1-7", CallEnded(call=ended, duration=0.0))
    async with asyncio.timeout(5):
        await wait_until(book.bell, lambda: book.cursor == "e1-7", 5)
        answered.set()
        assert (await beginning).is_ended
    assert not book._ended_meanwhile
    await book.close()


async def test_after_a_gap_everything_is_looked_at_anew() -> None:
    link = ScriptedLink("e1-5", "e1-900")
    book = Book(link)
    await book.open()
    link.feeds[0].say("e1-6", CallActive(call=CALL))
    holding = asyncio.create_task(book.execute(c.Hold(), wait=True))
    for _ in range(10):
        await asyncio.sleep(0)
    [call] = book.calls
    link.feeds[0].say("", StreamGap(after="e1-6", next="e1-800"))
    with pytest.raises(ConnectionLost, match="lost"):
        await holding
    assert (await call.wait_ended()).end == CallEnd("network", reason="the events of its end were lost")
    assert [feed.after for feed in link.feeds] == ["e1-5", "e1-900"]
    await book.close()


async def test_calls_that_came_in_a_gap_are_found() -> None:
    link = ScriptedLink("e1-5", "e1-900")
    book = Book(link)
    await book.open()
    incoming = book.incoming_stream()
    link.feeds[0].say("e1-6", CallActive(call=CALL))
    await wait_until(book.bell, lambda: book.cursor == "e1-6", 5)
    known = book.call("c_1")
    link.calls = (
        structs.replace(CALL, state=CallState.HELD_LOCAL),
        structs.replace(CALL, id="c_2", direction="incoming", state=CallState.INCOMING, answered=None),
        structs.replace(CALL, id="c_3"),
    )
    dialling = asyncio.create_task(book.dial(c.Dial(to="you", id="c_3")))
    await asyncio.sleep(0)
    link.feeds[0].say("", StreamGap(after="e1-6", next="e1-800"))
    assert (await anext(incoming)).id == "c_2"
    assert (await dialling).id == "c_3"
    assert [call.id for call in book.calls] == ["c_1", "c_2", "c_3"]
    assert book.call("c_1") is known
    assert known.state is CallState.HELD_LOCAL
    await book.close()


async def test_a_phone_that_never_says_how_things_are_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offhook.api.book.LOOKS", 2)
    link = ScriptedLink("e1-5")
    link.breaks = 2
    book = Book(link)
    await book.open()
    link.feeds[0].say("", StreamGap(after="e1-5", next="e2-1"))
    await wait_until(book.bell, lambda: book.ended, 5)
    assert str(book.error) == "it broke"
    assert link.asked == 3
    await book.close()


async def test_whoever_waits_learns_of_a_mistake_of_ours() -> None:
    link = ScriptedLink("e1-5")
    book = Book(link)
    await book.open()
    holding = asyncio.create_task(book.execute(c.Hold(), wait=True))
    await asyncio.sleep(0)
    link.feeds[0].queue.put_nowait("no event")  # type: ignore[arg-type]
    with pytest.raises(PhoneGone, match="cannot be followed any more: AttributeError"):
        await holding
    assert book._following is not None
    with pytest.raises(AttributeError):  # with its trace, for who looks for it
        await book._following
    await book.close()


async def test_an_outcome_ahead_of_the_answer_is_remembered_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offhook.api.book.OUTCOMES_KEPT", 1)
    link = ScriptedLink("e1-5")
    book = Book(link)
    await book.open()
    link.feeds[0].say("e1-6", structs.replace(DONE, operation="op_0"))
    link.feeds[0].say("e1-7", DONE)
    await wait_until(book.bell, lambda: book.cursor == "e1-7", 5)
    async with asyncio.timeout(5):
        await book.execute(c.Hold(), wait=True)
    assert [operation for _, operation in book._outcomes] == ["op_1"]
    await book.close()


async def test_a_phone_that_is_killed_again_right_after_a_gap_is_looked_at_once_more() -> None:
    link = ScriptedLink("e1-5", "e3-2")
    link.breaks = 2
    book = Book(link)
    await book.open()
    link.feeds[0].say("", StreamGap(after="e1-5", next="e2-1"))
    await wait_until(book.bell, lambda: book.ended or len(link.feeds) > 1, 5)
    assert not book.ended
    assert link.feeds[1].after == "e3-2"
    await book.close()
