"""The examples, run against live phones and the practice exchange."""

from __future__ import annotations

import array
import ast
import asyncio
import base64
import csv
import hashlib
import hmac
import http.client
import json
import math
import runpy
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import serve

import amd_dialer
import answering_bot
import call_logger
import click_to_dial
import conference
import csv_dialer
import dial
import ivr
import media_streams_bot
import recorder
import screen_pop
import supervisor
import transfer
import voicemail
import webhook_receiver
from offhook import AccountSettings, CallHandle, Softphone, sync
from offhook.exchange.server import Exchange
from offhook.media import wav
from offhook.phone.model import Party
from offhook.testing.ears import dominant_frequency, read_wav
from offhook.testing.http import serving
from offhook.testing.live import live_phone, quiet_config
from offhook.testing.softphones import own_phone, own_uri, served_phone

FOLDER = Path(__file__).resolve().parents[2] / "examples"
Peer = tuple[Softphone, str]


@pytest.fixture
async def phone() -> AsyncIterator[Softphone]:
    """Return a phone in this program: the other ways are tested elsewhere."""
    async with own_phone() as (made, _):
        yield made


@pytest.fixture
async def registered(exchange: Exchange) -> AsyncIterator[Softphone]:
    """Return a phone that can call the practice exchange's lines."""
    host, port = exchange.address
    account = AccountSettings(id="practice", domain=f"{host}:{port}", username="1001", password="practice-1001")
    async with Softphone(quiet_config(), accounts=[account]) as made:
        await made.wait_registered(timeout=5)
        yield made


async def first_call(phone: Softphone) -> CallHandle:
    return await anext(phone.incoming)


def uri_of(phone: sync.Softphone) -> str:
    return own_uri(phone._inner)


@contextmanager
def sync_pair() -> Iterator[tuple[sync.Softphone, sync.Softphone]]:
    with sync.Softphone(quiet_config()) as one, sync.Softphone(quiet_config()) as other:
        yield one, other


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.py")), ids=lambda file: file.stem)
def test_an_example_says_how_it_is_run_and_can_be(file: Path) -> None:
    text = file.read_text("utf-8")
    tree = ast.parse(text)
    assert f"python examples/{file.name}" in (ast.get_docstring(tree) or "")
    assert 'if __name__ == "__main__":' in text
    assert 30 <= len(text.splitlines()) <= 90


ARGUMENTS = {
    "amd_dialer": ["1001"], "call_logger": ["calls.csv"], "conference": ["1001"], "csv_dialer": ["people.csv"],
    "dial": ["1001"], "recorder": ["recordings"], "screen_pop": ["people.csv", "--url", "http://127.0.0.1/"],
    "supervisor": ["1001"], "transfer": ["1=1001"], "voicemail": ["messages"],
}  # fmt: skip


@pytest.mark.parametrize("file", [file for file in sorted(FOLDER.glob("*.py")) if "Softphone.connect" in file.read_text()],
                         ids=lambda file: file.stem)  # fmt: skip
def test_an_example_without_a_phone_says_how_to_start_one(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OFFHOOK_SOCKET", str(tmp_path / "none"))
    monkeypatch.setattr(sys, "argv", [file.name, *ARGUMENTS.get(file.stem, [])])
    with pytest.raises(SystemExit, match=r"no phone is running at .*`offhook run` starts one"):
        runpy.run_path(str(file), run_name="__main__")


@pytest.mark.parametrize(("name", "words", "said"), [
    ("answering_bot", ["none.wav"], "there is no file none.wav"),
    ("csv_dialer", ["x.csv", "--at-once", "0"], "argument --at-once: invalid choice"),
    ("screen_pop", ["x.csv", "--url", "http://crm/{customer}"], "--url takes {id} and {number}"),
    ("transfer", ["101"], "write each extension as number=address"), ("transfer", ["101="], "write each extension as"),
    ("webhook_receiver", ["--secret", "x"], "--secret is what"),
])  # fmt: skip
def test_wrong_arguments_are_said(
    name: str, words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [name, *words])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    assert end.value.code == 2
    assert said in capsys.readouterr().err


async def test_what_cannot_be_is_one_line_and_an_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OFFHOOK_SOCKET", str(tmp_path / "s"))
    (tmp_path / "empty.csv").touch()
    (tmp_path / "latin.csv").write_bytes(b"name,number\nM\xfcller,1\n")
    (tmp_path / "wrong.csv").write_bytes(b"\xef\xbb\xbfname,number\nAda,no such number\nBob\n")
    async with served_phone(tmp_path / "s") as (phone, _):
        for name, words, said in (
            ("dial", ["no such number"], "there is no account to dial"),
            ("csv_dialer", ["none.csv"], "none.csv: "), ("csv_dialer", ["empty.csv"], "must name the columns"),
            ("csv_dialer", ["latin.csv"], "can't decode"), ("csv_dialer", ["wrong.csv"], "nobody answers"),
            ("screen_pop", ["none.csv", "--url", "x"], "none.csv: "),
            ("screen_pop", ["empty.csv", "--url", "x"], "must name the columns"),
            ("call_logger", ["none/calls.csv"], "calls.csv: "),
            ("recorder", ["empty.csv"], "empty.csv: "), ("voicemail", ["empty.csv"], "empty.csv: "),
            ("supervisor", ["1005"], "there is no active call"),
        ):  # fmt: skip
            monkeypatch.setattr(sys, "argv", [name, *words])
            with pytest.raises(SystemExit) as end:
                await asyncio.to_thread(runpy.run_path, str(FOLDER / f"{name}.py"), run_name="__main__")
            assert said in str(end.value), name
            assert "\n" not in str(end.value), name
        for name, words in (("amd_dialer", ["no such number"]), ("conference", ["no such number"])):  # the others are called
            monkeypatch.setattr(sys, "argv", [name, *words])
            await asyncio.to_thread(runpy.run_path, str(FOLDER / f"{name}.py"), run_name="__main__")
        await phone.status()
        assert phone.conferences == (), "one that nobody has joined is ended, too"


async def test_ctrl_c_hangs_up_whom_the_list_has_reached(
    peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "people.csv").write_text(f"name,number\nAda,{peer[1]}\n")
    monkeypatch.setenv("OFFHOOK_SOCKET", str(tmp_path / "s"))
    monkeypatch.setattr(sys, "argv", ["csv_dialer", str(tmp_path / "people.csv")])
    await peer[0].set_auto_answer("all")
    async with served_phone(tmp_path / "s"):
        answered = asyncio.Event()
        monkeypatch.setattr(csv_dialer, "print", lambda _: answered.set(), raising=False)
        dialling = asyncio.create_task(csv_dialer.main())
        call = await first_call(peer[0])
        await asyncio.wait_for(answered.wait(), 5)
        dialling.cancel()
        await call.wait_ended(timeout=5)
        with pytest.raises(asyncio.CancelledError):
            await dialling


def test_ctrl_c_hangs_up_what_was_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with sync_pair() as (one, other):
        other.set_auto_answer("all")
        monkeypatch.setattr(sync.CallHandle, "wait_active", interrupted)
        with pytest.raises(KeyboardInterrupt):
            dial.dial(one, uri_of(other))
        assert one.calls == ()


@pytest.mark.lengthy
def test_dial(capsys: pytest.CaptureFixture[str]) -> None:
    with sync_pair() as (one, other):
        other.set_auto_answer("all")
        assert dial.dial(one, uri_of(other), seconds=0.05) == 0
        other.set_dnd(True)
        assert dial.dial(one, uri_of(other)) == 1
        other.set_dnd(False)
        other.set_auto_answer("off")
        assert dial.dial(one, uri_of(other), ring_timeout=0.1) == 1
    said = capsys.readouterr().out
    assert "connected, PCM" in said
    assert "busy" in said
    assert "nobody answers" in said


@pytest.mark.lengthy
async def test_answering_bot(phone: Softphone, peer: Peer, capsys: pytest.CaptureFixture[str]) -> None:
    far, uri = peer
    bot = asyncio.create_task(answering_bot.answer_all(far))
    calls = [await phone.dial(uri, hold_others=False) for _ in range(3)]
    for call in calls:
        await call.wait_ended(timeout=10)
        assert call.view.answered
    await far.close()
    await bot
    assert capsys.readouterr().out.count("heard 0.3 s") == 3


@pytest.mark.parametrize("serve_one", [
    lambda call, _: answering_bot.greet(call, ""),
    lambda call, _: ivr.guarded(call, "sip:nobody@127.0.0.1:9"),
    lambda call, _: media_streams_bot.connect(call, "ws://127.0.0.1:9/"),
    lambda call, _: transfer.guarded(call, {}),
    lambda call, folder: voicemail.watch(call, folder, after=0.0),
], ids=["answering_bot", "ivr", "media_streams_bot", "transfer", "voicemail"])  # fmt: skip
async def test_a_second_caller_does_not_put_the_first_on_hold(
    phone: Softphone, peer: Peer, tmp_path: Path, serve_one: Callable[[CallHandle, Path], Coroutine[Any, Any, object]]
) -> None:
    far, uri = peer
    first = await phone.dial(uri)
    earlier = await first_call(far)
    await earlier.answer()
    await first.wait_active(timeout=5)
    second = await phone.dial(uri, hold_others=False)
    serving_it = asyncio.create_task(serve_one(await first_call(far), tmp_path))
    await second.wait_active(timeout=5)  # a hold would have left before the answer
    assert first.state == earlier.state == "active"
    await phone.hangup_all()
    await serving_it


@pytest.mark.lengthy
async def test_media_streams_bot(phone: Softphone, peer: Peer, capsys: pytest.CaptureFixture[str]) -> None:
    far, uri = peer
    async with serve(lambda wire: media_streams_bot.Bot(wire).serve(), "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        answering = asyncio.create_task(media_streams_bot.answer_all(far, url))
        call = await phone.dial(uri)
        await call.wait_active(timeout=5)
        await far.wait_event("audio.stream_started", timeout=5)
        async with call.open_audio(rate=8000) as audio, asyncio.timeout(10):
            tone = array.array("h", (int(9000 * math.sin(math.tau * 440 * n / 8000)) for n in range(2400))).tobytes()
            await audio.write(tone)
            heard = b""
            async for frame in audio:
                heard += frame if max(array.array("h", frame)) > 1000 else b""
                if len(heard) > 4000:
                    break
        assert dominant_frequency(heard, 8000) == pytest.approx(440, abs=5)
        await call.dtmf("9", wait=False)  # the call may be over before the last of it is sent
        await call.wait_ended(timeout=5)
        await far.close()
        await answering
    said = capsys.readouterr().out
    assert "caller: sip:" in said
    assert "the program ended it" in said


@pytest.mark.lengthy
async def test_ivr(phone: Softphone, peer: Peer) -> None:
    far, uri = peer
    call = await phone.dial(uri)
    menu = asyncio.create_task(ivr.serve(await first_call(far), "sip:nobody@127.0.0.1:9"))
    await call.wait_active(timeout=5)
    await call.dtmf("1", duration_ms=60)
    await call.dtmf("7", duration_ms=60)
    await call.hangup()
    assert await menu in ("1", "17")


@pytest.mark.lengthy
async def test_ivr_connects_with_the_operator(phone: Softphone, peer: Peer) -> None:
    far, uri = peer
    await phone.set_auto_answer("all")
    call = await phone.dial(uri)
    menu = asyncio.create_task(ivr.serve(await first_call(far), own_uri(phone)))
    await call.wait_active(timeout=5)
    asked = asyncio.create_task(phone.wait_event("transfer.requested", timeout=10))
    await call.dtmf("0", duration_ms=60)
    await asked
    new = await call.accept_transfer()
    await new.wait_active(timeout=5)
    assert await menu == "0"
    await phone.hangup_all()


@pytest.mark.lengthy
async def test_csv_dialer(registered: Softphone, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "people.csv"
    file.write_text("name,number\nZoe,@@ 12\nAnna,busy\nBert,noanswer\nCarl,decline\nDora,ring-1\nEmil,noanswer\n")
    found = await csv_dialer.reach(registered, csv_dialer.read_people(file), at_once=2, seconds=3)
    assert found is not None
    person, call = found
    assert person == ("Dora", "ring-1")
    assert registered.calls == (call,)
    await call.hangup()
    said = capsys.readouterr().out
    assert "Zoe: to: " in said
    assert "Anna: sip:busy@" in said
    assert "Carl: sip:decline@" in said
    assert await csv_dialer.reach(registered, [("Anna", "busy")]) is None


@pytest.mark.lengthy
async def test_recorder(phone: Softphone, peer: Peer, tmp_path: Path) -> None:
    recording = asyncio.create_task(recorder.record_all(phone, tmp_path / "calls"))
    await peer[0].set_auto_answer("all")
    for _ in range(2):
        call = await phone.dial(peer[1])
        async with phone.events(["recording.*"]) as events:
            await call.wait_active(timeout=5)
            assert (await anext(events)).type == "recording.started"
            await call.hangup()
            assert (await anext(events)).type == "recording.finished"
    await phone.close()
    await recording
    assert len(list((tmp_path / "calls").glob("*.wav"))) == 2


@pytest.mark.lengthy
async def test_transfer(phone: Softphone, peer: Peer, capsys: pytest.CaptureFixture[str]) -> None:
    far, uri = peer
    call = await phone.dial(uri)
    switching = asyncio.create_task(transfer.switch(await first_call(far), {"101": own_uri(phone)}))
    await call.wait_active(timeout=5)
    asked = asyncio.create_task(phone.wait_event("transfer.requested", timeout=10))
    await call.dtmf("999#", duration_ms=60, gap_ms=60)
    await call.dtmf("101#", duration_ms=60, gap_ms=60)
    await asked
    await phone.set_auto_answer("all")
    await call.accept_transfer()
    assert await switching == "101"
    assert "999, which is no extension" in capsys.readouterr().out
    await phone.hangup_all()


async def test_conference(registered: Softphone) -> None:
    talk = asyncio.create_task(conference.confer(registered, ["echo", "tone", "busy"], ring_timeout=10))
    async with asyncio.timeout(10):
        while not (registered.conferences and len(registered.conferences[0].members) == 2):
            await registered.wait_event("conference.*")
    await registered.conferences[0].members[0].hangup()
    assert await talk == 2
    assert not registered.calls


async def test_a_conference_that_is_interrupted_hangs_up(registered: Softphone) -> None:
    talk = asyncio.create_task(conference.confer(registered, ["echo", "noanswer"], ring_timeout=10))
    async with asyncio.timeout(10):
        await registered.wait_event("conference.joined")
    assert len(registered.calls) == 2  # one talks, one is still rung
    talk.cancel()
    with pytest.raises(asyncio.CancelledError):
        await talk
    assert not registered.calls


@pytest.mark.lengthy
async def test_voicemail(phone: Softphone, peer: Peer, tmp_path: Path) -> None:
    far, uri = peer
    call = await phone.dial(uri)
    watching = asyncio.create_task(voicemail.watch(await first_call(far), tmp_path / "box", after=0.1, shortest=0.0))
    await call.wait_active(timeout=5)
    async with far.events(["recording.started"]) as events:
        await anext(events)
    await call.hangup()
    message = await watching
    assert message is not None
    assert message.exists()
    again = await phone.dial(uri)
    watching = asyncio.create_task(voicemail.watch(await first_call(far), tmp_path / "box", after=5))
    await again.wait_ringing(timeout=5)
    await again.hangup()
    assert await watching is None


def test_screen_pop(tmp_path: Path) -> None:
    file = tmp_path / "customers.csv"
    file.write_text("number,name,id\n+49 30 1234-567,Anna,17\noffhook,Bert,18\n")
    customers = screen_pop.read_customers(file)
    assert customers[screen_pop.key("0301234567")[-9:]].name == "Anna"
    for said in ("sip:+49301234567;npdi;rn=+4999@h", "tel:+49-30-1234567"):
        assert customers[screen_pop.key(Party(said).number)].name == "Anna"
    shown: list[str] = []
    with sync_pair() as (one, other):
        known = {screen_pop.key("offhook"): screen_pop.Customer("Bert", "18")}
        watcher = threading.Thread(target=screen_pop.pop, args=(other, known, "x/{id}", shown.append))
        watcher.start()
        with one.dial(uri_of(other)) as call:
            call.wait_ringing(timeout=5)
            deadline = time.monotonic() + 5
            while not shown and time.monotonic() < deadline:
                other.status()
        other.close()
        watcher.join(5)
    assert shown == ["x/18"]


async def test_call_logger_goes_on_where_it_stopped(peer: Peer, tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    async with served_phone(tmp_path / "s") as (phone, _):
        await peer[0].set_dnd(True)

        def log(most: int) -> int:
            with sync.Softphone.connect(tmp_path / "s") as watching:
                return call_logger.log_calls(watching, file, most=most)

        async def call() -> None:
            await (await phone.dial(peer[1])).wait_ended(timeout=5)

        logging = asyncio.create_task(asyncio.to_thread(log, 1))
        async with asyncio.timeout(5):
            while not file.with_name("calls.csv.cursor").exists():
                await phone.status()
        await call()
        assert await logging == 1
        await call()  # nobody is logging
        assert await asyncio.to_thread(log, 1) == 1
    with file.open(newline="") as lines:
        rows = list(csv.reader(lines))
    assert rows[0] == list(call_logger.COLUMNS)
    assert [row[6] for row in rows[1:]] == ["486", "486"]


@contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


SECRET = "whsec_" + base64.b64encode(b"practice secret of 24 by").decode()


def signed(body: bytes, *, name: str = "msg_1", stamp: int = 0, secret: str = SECRET) -> dict[str, str]:
    when = str(stamp or int(time.time()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{name}.{when}.".encode() + body, hashlib.sha256).digest()
    return {"webhook_id": name, "webhook_timestamp": when, "webhook_signature": "v1," + base64.b64encode(digest).decode()}


def test_webhook_receiver_believes_what_is_signed_and_takes_it_once() -> None:
    heard: list[dict[str, Any]] = []
    body = json.dumps({"type": "call.ended", "subject": "calls/c_1"}).encode()
    other = "whsec_" + base64.b64encode(b"another secret").decode()
    with running(webhook_receiver.server(SECRET, heard.append)) as port:
        assert ask(port, "POST", "/", body, **signed(body))[0] == 204
        assert ask(port, "POST", "/", body, **signed(body))[0] == 204
        two = signed(body, name="msg_2")
        old = signed(body, name="msg_2", secret=other)["webhook_signature"]
        two["webhook_signature"] = f"{old} {two['webhook_signature']}"
        assert ask(port, "POST", "/", body, **two)[0] == 204
        assert ask(port, "POST", "/", body + b" ", **signed(body, name="msg_3"))[0] == 401
        assert ask(port, "POST", "/", body, **signed(body, stamp=1_600_000_000))[0] == 401
        assert ask(port, "POST", "/", body, **signed(body, secret=other))[0] == 401
        assert ask(port, "POST", "/", body)[0] == 401
    assert [event["type"] for event in heard] == ["call.ended"] * 2


def test_webhook_receiver_knows_the_published_example() -> None:
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    assert webhook_receiver.verify(headers, b'{"test": 2432232314}', secret, now=1614265400)


async def test_click_to_dial(peer: Peer, tmp_path: Path) -> None:
    async with live_phone() as live, serving(live.running, tmp_path) as served:
        people = {"<Anna>": peer[1]}
        with running(click_to_dial.server(served.url, served.token, people)) as port:

            def click(body: dict[str, str], kind: str = "application/json", path: str = "/dial") -> tuple[int, bytes]:
                return ask(port, "POST", path, json.dumps(body).encode(), Content_Type=kind)

            in_thread: Callable[..., Any] = asyncio.to_thread
            status, page = await in_thread(ask, port, "GET", "/")
            assert status == 200
            assert b"&lt;Anna&gt;" in page
            assert served.token.encode() not in page
            status, text = await in_thread(click, {"to": peer[1]})
            assert status == 200
            assert b"calling" in text
            call = await first_call(peer[0])
            await call.reject()
            assert (await in_thread(click, {"to": "no account for this"}))[0] in (409, 422)
            assert (await in_thread(click, {"to": peer[1]}, "text/plain"))[0] == 404
            body = json.dumps({"to": peer[1]}).encode()
            rebound = partial(ask, port, "POST", "/dial", body, Content_Type="application/json", Host=f"evil.example:{port}")
            assert (await in_thread(rebound))[0] == 404
        assert click_to_dial.dial("http://127.0.0.1:9", "x", "1")[0] == 502


def spoken(folder: Path, *, machine: bool) -> Path:
    """Return a greeting as a file: of a machine with its beep, or of a person."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "media" / "detect"))
    from detect_material import quiet, tone, vowels

    audio = quiet(300) + vowels(4000) + quiet(500) + tone((1000.0,), 400) + quiet(300) if machine else quiet(300) + vowels(600)
    path = folder / f"{machine}.wav"
    path.write_bytes(wav.header(1, 8000, len(audio)) + audio)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(("machine", "tone", "became"), [
    (True, 660, "left a message"), (False, 880, "spoke to a person (human, short_greeting)"),
])  # fmt: skip
async def test_people_and_machines_hear_different_messages(
    phone: Softphone, machine: bool, tone: int, became: str, tmp_path: Path
) -> None:
    async with own_phone() as (other, uri):
        incoming = other.incoming
        dialling = asyncio.create_task(amd_dialer.reach(phone, uri, "", ""))
        theirs = await anext(incoming)
        await theirs.answer(play=spoken(tmp_path, machine=machine))
        recording = await theirs.record(tmp_path / "heard.wav", channels="stereo")
        assert await dialling == became
        heard = read_wav(await recording.wait(timeout=5)).channels[1]
        said = heard[-16 * 1000 : -16 * 400]
        assert abs(dominant_frequency(said) - tone) < 5


@pytest.mark.slow
async def test_a_supervisor_whispers_by_keys(phone: Softphone, tmp_path: Path) -> None:
    async with own_phone() as (customer, uri), own_phone() as (boss, boss_uri):
        incoming, boss_incoming = customer.incoming, boss.incoming
        call = await phone.dial(uri)
        theirs = await anext(incoming)
        await theirs.answer()
        await theirs.play(tone="440")
        supervising = asyncio.create_task(supervisor.supervise(phone, call, boss_uri))
        listening = await anext(boss_incoming)
        await listening.answer()
        recording = await listening.record(tmp_path / "boss.wav", channels="stereo")
        await asyncio.sleep(0.5)
        await listening.dtmf("1")
        await asyncio.sleep(0.3)
        assert [view.speak for view in await phone.taps()] == ["near"]
        await listening.hangup()
        assert await supervising == "1"
        heard = read_wav(await recording.wait(timeout=5)).channels[1]
        assert abs(dominant_frequency(heard[len(heard) // 2 & ~1 :]) - 440) < 5
        assert call.state == "active"
