"""The verbs against a phone that writes down what it is told: requests, lines, JSON and exit codes."""

from __future__ import annotations

import asyncio
import io
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from msgspec.structs import replace

import offhook.cli
from offhook.cli import main, microsip_main
from offhook.cli.actions import calls, sound
from offhook.cli.actions.events import STATES
from offhook.cli.helping import overview
from offhook.cli.parsing import Invocation
from offhook.cli.verbs import VERBS
from offhook.control.backend import Accepted
from offhook.control.client import LocalClient, TimedOut
from offhook.control.conditions import WaitedState
from offhook.control.windows import handover
from offhook.errors import CommandTimeout, InvalidState, LineBusy
from offhook.phone import commands as c
from offhook.phone.commands import Command
from offhook.phone.events import (
    CallAnswered,
    CallRedirected,
    CallRinging,
    DtmfReceived,
    Event,
    OperationFailed,
    OperationSucceeded,
    SystemReady,
    WatchDialog,
    WatchEnded,
)
from offhook.phone.model import AccountView, CallState, CallView, Party, StatusView, wall
from offhook.phone.records import ALL_CALLS, WantedCalls
from offhook.phone.settings import AccountSettings
from offhook.testing.backend import WATCH, FakeBackend
from offhook.testing.served import served

CALL = CallView("c_1", "a_1", "outgoing", CallState.RINGING, Party("sip:me@h"), Party("sip:1001@h", "Ann"), "x@y", wall(0))


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBackend]:
    backend = FakeBackend()
    with served(backend, tmp_path / "s") as path:
        monkeypatch.setenv("OFFHOOK_SOCKET", path)
        monkeypatch.setattr(sound, "FILE_WITHIN", 0.0)  # this phone makes no files
        yield backend


def then(backend: FakeBackend, *events: Event) -> None:
    """Let these events follow the next commands."""

    def tell(command: Command) -> None:
        for event in events:
            asyncio.get_running_loop().call_soon(backend.emit, event)

    backend.on_execute = tell


SENT: list[tuple[str, Command]] = [
    ("dial 1001", c.Dial(to="1001")),
    ("dial 1001 --no-hold --account a --digits 1,2 --ring-timeout 9 --id x --header X-A:b --header X-B:c",
     c.Dial(to="1001", hold_others=False, account="a", digits="1,2", ring_timeout=9.0, id="x",
            headers=(("X-A", "b"), ("X-B", "c")))),
    ("answer", c.Answer()),
    ("answer c_1", c.Answer(call="c_1")),
    ("answer c_1 --no-hold --codecs opus,PCMA --header X-A:b --user-to-user u --play /tmp/a.wav --record --detect dtmf,vad",
     c.Answer(call="c_1", hold_others=False, codecs=("opus", "PCMA"), headers=(("X-A", "b"),), user_to_user="u",
              play=os.path.abspath("/tmp/a.wav"), record=True, detect=("dtmf", "vad"))),
    ("dial 1001 --play /tmp/a.wav --beside c_1", c.Dial(to="1001", play=os.path.abspath("/tmp/a.wav"), beside="c_1")),
    ("reject --status 603", c.Reject(status=603)),
    ("redirect 1002", c.Redirect(to="1002")),
    ("decide redirect c_1 --to 1002", c.Decide(action="redirect", call="c_1", to="1002")),
    ("decide reject --status 603", c.Decide(action="reject", status=603)),
    ("hangup", c.Hangup()),
    ("hangup c_2", c.Hangup(call="c_2")),
    ("hangup --all", c.HangupAll(which="all")),
    ("codecs opus,PCMA c_1", c.SetCodecs(codecs=("opus", "PCMA"), call="c_1")),
    ("watches dialog 1002 --account a --id w", c.CreateWatch(kind="dialog", to="1002", account="a", id="w")),
    ("hold", c.Hold()),
    ("resume c_1", c.Resume(call="c_1")),
    ("tag order=4711 note=", c.TagCall(tags=(("order", "4711"), ("note", "")))),
    ("tag a=b=c --call last", c.TagCall(tags=(("a", "b=c"),), call="last")),
    ("dial 1001 --tag order=4711 --tag vip=yes", c.Dial(to="1001", tags=(("order", "4711"), ("vip", "yes")))),
    ("mute", c.Mute()),
    ("unmute", c.Unmute()),
    ("dtmf 12#", c.SendDtmf(digits="12#")),
    ("dtmf 12# c_1 --method info", c.SendDtmf(digits="12#", call="c_1", method="info")),
    ("transfer 1002", c.Transfer(to="1002")),
    ("transfer 1002 c_1", c.Transfer(to="1002", call="c_1")),
    ("transfer --attended", c.TransferAttended()),
    ("transfer --attended c_1 c_2", c.TransferAttended(call="c_1", with_call="c_2")),
    ("info hello --type text/x", c.SendInfo(body="hello", content_type="text/x")),
    ("message 1001 good day", c.SendMessage(to="1001", text="good day")),
    ("volume set 80", c.SetVolume(volume=80)),
    ("volume 80", c.SetVolume(volume=80)),
    ("volume up", c.VolumeUp()),
    ("volume down 3", c.VolumeDown(steps=3)),
    ("mic-volume 30", c.SetMicVolume(volume=30)),
    ("devices set output hdmi", c.SetDevice(kind="output", device="hdmi")),
    ("devices test input", c.TestDevice(kind="input")),
    ("voice echo=on", c.SetVoice(echo_cancellation=True)),
    ("voice noise=on gain=off", c.SetVoice(noise_suppression=True, gain_control=False)),
    ("accounts remove a", c.RemoveAccount(account="a")),
    ("accounts register a", c.RegisterAccount(account="a")),
    ("accounts unregister a", c.UnregisterAccount(account="a")),
    ("accounts change a --label Desk --transport tcp",
     c.UpdateAccount(account="a", changes={"label": "Desk", "transport": "tcp"})),
    ("accounts change a --domain d --username u --auth-username w --display-name N --proxy p --dial-plan x",
     c.UpdateAccount(account="a", changes={"domain": "d", "username": "u", "auth_username": "w", "display_name": "N",
                                           "proxy": "p", "dial_plan": "x"})),
    ("accounts change a --no-register", c.UpdateAccount(account="a", changes={"register": False})),
    ("accounts select a", c.SelectAccount(account="a")),
    ("accounts add a --domain d --username u --transport tcp",
     c.AddAccount(account=AccountSettings(id="a", domain="d", username="u", transport="tcp"))),
    ("dnd", c.SetDnd(enabled=True)),
    ("dnd off", c.SetDnd(enabled=False)),
    ("forward 1002 --delay 5", c.SetForwarding(to="1002", delay=5.0)),
    ("forward off", c.SetForwarding(to="")),
    ("auto-answer all", c.SetAutoAnswer(mode="all")),
    ("play /tmp/a.wav --loop --gain -3", c.Play(file=os.path.abspath("/tmp/a.wav"), loop=True, gain_db=-3.0)),
    ("play --tone 440 --duration 500 --call c_1", c.Play(call="c_1", tone="440", duration_ms=500)),
    ("play --stop", c.StopPlay()),
    ("play --stop --call c_1 --playback p_1", c.StopPlay(call="c_1", playback="p_1")),
    ("listen dtmf,vad --call c_1", c.Detect(what=("dtmf", "vad"), call="c_1")),
    ("listen off", c.Detect(what=())),
    ("tap c_1 c_2 --hear far --speak near", c.Tap(by="c_1", call="c_2", hear="far", speak="near")),
    ("stream wss://h/x --call c_1 --listen-only --parameter a=b=c --control --dialect pcm --rate 8000 --track both",
     c.StreamAudio(url="wss://h/x", call="c_1", speak=False, parameters=(("a", "b=c"),), control=True, dialect="pcm", rate=8000,
                   track="both")),
    ("stream wss://h/x --end-call", c.StreamAudio(url="wss://h/x", end_call=True)),
    ("play --pause", c.PausePlay()),
    ("play --resume", c.PausePlay(paused=False)),
    ("record --file /tmp/r.wav --stereo --max 60 --beep",
     c.Record(file=os.path.abspath("/tmp/r.wav"), channels="stereo", max_seconds=60.0, beep=True)),
    ("record --format flac --call c_1", c.Record(call="c_1", format="flac")),
    ("record stop", c.StopRecord()),
    ("record pause", c.PauseRecord()),
    ("record resume", c.PauseRecord(paused=False)),
    ("quit", c.Quit()),
    ("dde [CallTo(1001)]", c.Dial(to="1001", hold_others=False)),
    ("copydata DIAL 1001", c.Dial(to="1001", only_if_idle=True)),
    ("copydata 10", c.Quit()),
    ("open tel:1001 --yes", c.Dial(to="1001")),
    ("op dial to=1001 hold_others:=false", c.Dial(to="1001", hold_others=False)),
    ("1001,12", c.Dial(to="1001", digits="12")),
    ("sip:u@h", c.Dial(to="sip:u@h")),
    ("dtmf:12345", c.SendDtmf(digits="12345")),
    ("/hangupall", c.HangupAll(which="not_incoming")),
    ("exit", c.Quit()),
]  # fmt: skip


@pytest.mark.parametrize(("line", "command"), SENT, ids=[line for line, _ in SENT])
def test_a_verb_sends_its_command(phone: FakeBackend, line: str, command: Command) -> None:
    assert main(line.split()) == 0
    assert phone.commands[0] == command


@pytest.mark.parametrize(("line", "text"), [
    ("status", "active: sip:1001@h (c_1)\n"),
    ("calls", "c_1  ringing to Ann <sip:1001@h>\n"),
    ("call", "c_1  ringing to Ann <sip:1001@h>\n"),
    ("call get c_1", "c_1  ringing to Ann <sip:1001@h>\n"),
    ("call list", "c_1  ringing to Ann <sip:1001@h>\n"),
    ("accounts", "a_1  sip:me@h  failed (403 Forbidden), next attempt in 30 s  default\n"),
    ("devices", "input 0: Headset (USB) [usb-1] (default)\noutput 0: Screen [hdmi]\n"),
    ("volume", "speaker 60, microphone 50\n"),
    ("voice", "echo cancellation on, noise suppression off, gain control off\n"),
    ("dial 1001", "calling 1001 (c_1)\n"),
    ("tag order=4711", "order=4711\n"),
    ("history --limit 1", "id=h_2\n"),
    ("copydata STATUS", "2 ACTIVE\n"),
    ("dde Status", "ACTIVE\n"),
    ("report:status", "ACTIVE\n"),
    ("1001", "ok\n"),
])  # fmt: skip
def test_people_read_one_clear_line(phone: FakeBackend, capsys: pytest.CaptureFixture[str], line: str, text: str) -> None:
    phone.status = StatusView(code=2, name="ACTIVE", call="c_1", remote="sip:1001@h", calls=1)
    phone.calls = (CALL,)
    phone.accounts = (AccountView("a_1", "", "sip:me@h", "", "udp", "failed", 0, 403, "Forbidden", 30.0, True),)
    assert main(line.split()) == 0
    assert capsys.readouterr().out == text


@pytest.mark.parametrize(("line", "call"), [("call", ""), ("call c_1", "c_1"), ("call get c_1", "c_1"), ("call get", "")])
def test_one_call_is_asked_for_by_its_name(phone: FakeBackend, line: str, call: str) -> None:
    phone.calls = (CALL,)
    main(line.split())
    assert phone.commands == [c.GetCall(call=call)]


@pytest.mark.parametrize("line", ["status", "calls", "devices", "volume", "accounts", "history", "dial 1001", "dde Status"])
def test_programs_read_json(phone: FakeBackend, capsys: pytest.CaptureFixture[str], line: str) -> None:
    assert main([*line.split(), "--json"]) == 0
    json.loads(capsys.readouterr().out)


def test_waiting_for_the_answer(phone: FakeBackend, capsys: pytest.CaptureFixture[str]) -> None:
    done = OperationSucceeded(operation="op_1", command="dial", call="c_1")
    other = replace(CALL, id="c_9")
    then(phone, CallRedirected(call=other, target="sip:x@h"), CallRinging(call=CALL), CallRinging(call=CALL),
         CallRedirected(call=CALL, target="sip:y@h"), CallAnswered(call=CALL), done)
    assert main(["dial", "1001", "--wait", "--timeout", "5"]) == 0
    assert capsys.readouterr().out == "calling 1001 … ringing … redirected … answered (c_1)\n"
    assert main(["dial", "1001", "--wait", "--timeout", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["outcome"] == "succeeded"


@pytest.mark.parametrize(("event", "code", "text"), [
    (OperationFailed(operation="op_1", command="dial", sip_status=486, reason="Busy"), 4, "calling 1001 … 486 Busy\n"),
    (OperationFailed(operation="op_1", command="dial", reason="hung up"), 1, "calling 1001 … hung up\n"),
    (OperationFailed(operation="op_1", command="dial", reason="no answer in time"), 5, "calling 1001 … no answer in time\n"),
    (OperationFailed(operation="op_1", command="dial", reason="no answer"), 5, "calling 1001 … no answer\n"),
    (OperationFailed(operation="op_1", command="dial", sip_status=480, reason="Gone"), 4, "calling 1001 … 480 Gone\n"),
])  # fmt: skip
def test_the_far_end_says_no(
    phone: FakeBackend, capsys: pytest.CaptureFixture[str], event: Event, code: int, text: str
) -> None:
    then(phone, event)
    assert main(["dial", "1001", "--wait"]) == code
    assert capsys.readouterr().out == text
    assert main(["dial", "1001", "--wait", "--json"]) == code
    assert json.loads(capsys.readouterr().out)["outcome"] == "failed"


@pytest.mark.parametrize(("line", "text"), [("answer", "answering … answered"), ("hold", "holding … on hold")])
def test_what_is_so_at_once_has_an_outcome_too(
    phone: FakeBackend, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, line: str, text: str
) -> None:
    monkeypatch.setattr(phone, "execute", lambda command, cause=None: Accepted(call="c_1"))
    assert main([line, "--wait"]) == 0
    assert capsys.readouterr().out.startswith(text)
    assert main([line, "--wait", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["outcome"], found["sip_status"], found["reason"]) == ("succeeded", 0, "")


def test_time_runs_out(phone: FakeBackend, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dial", "1001", "--wait", "--timeout", "0.01"]) == 5
    assert "the call goes on: `offhook hangup c_1` ends it" in capsys.readouterr().err
    assert main(["dial", "1001", "--wait", "--timeout", "0.01", "--json"]) == 5
    found = json.loads(capsys.readouterr().err)
    assert (found["code"], found["call"], found["operation"]) == ("timeout", "c_1", "op_1"), "so a program can end it"
    assert main(["wait", "call.active", "--timeout", "0.01"]) == 5
    phone.refuse = CommandTimeout("late")
    assert main(["dial", "1001"]) == 5


@pytest.mark.parametrize("line", ["dial 1001", "hold", "status", "1001", "copydata DIAL 1001"])
def test_a_refusal_is_1_and_says_why(phone: FakeBackend, capsys: pytest.CaptureFixture[str], line: str) -> None:
    phone.refuse = LineBusy("a call rings")
    assert main(line.split()) == 1
    assert "a call rings" in "".join(capsys.readouterr())


@pytest.mark.parametrize(("line", "code", "text"), [
    ("copydata STATUS", 0, "0 IDLE"), ("copydata ACTIVECALL", 0, "0"), ("copydata 4", 0, "0 IDLE"),
    ("copydata STATUS now", 1, "0 "), ("copydata ACTIVECALL now", 1, "0 "), ("copydata MUTE 2", 1, "0 "),
    ("copydata 11", 1, "0 "),
])
def test_0_is_a_refusal_unless_it_was_asked_how_the_phone_is(
    phone: FakeBackend, capsys: pytest.CaptureFixture[str], line: str, code: int, text: str
) -> None:
    assert main(line.split()) == code
    assert capsys.readouterr().out.startswith(text)


@pytest.mark.parametrize("line", [
    "statsu", "dial", "dial 1 2", "dial 1 --speed 3", "dial 1 --timeout", "dial 1 --timeout soon", "dial 1 --wait=yes",
    "volume up x",
    "volume set", "volume loud", "devices paint", "accounts paint a", "accounts register", "accounts add a", "play",
    "record loudly",
    "history burn", "dnd maybe", "copydata X", "op dial to", "op dial to:=x", "dial 1 --header X", "help moon",
    "message 1001",
    "reject --status x", "/nothing", "-x", "run --media moon", "run --port 70000", "wait",
    "--json status", "dial 1 --wait --timeout -3", "volume 5.5", "history clear --before c_1", "history export --limit 5",
    "messages clear --before m_1", "hangup c_1 --all", "1001 --json", "tel:1001 --socket=x", "dtmf:1 --help",
    "dial 1 --timeout 5", "hold --timeout 5", "status -x", "stream https://example.org/x",
    "tag", "tag order", "tag =x", "dial 1 --tag order",
    "stream wss://h/x --parameter a", "volume set +-5", "reject --status ++486", "dial 1 --header :x",
])  # fmt: skip
def test_bad_usage_is_2_and_does_nothing(phone: FakeBackend, capsys: pytest.CaptureFixture[str], line: str) -> None:
    assert main(line.split()) == 2
    assert phone.commands == []
    assert capsys.readouterr().err


@pytest.mark.parametrize(("line", "text"), [
    ("statsu", "there is no verb 'statsu'; did you mean status?"), ("xyzzy", "there is no verb 'xyzzy'; `offhook help`"),
    ("--json status", "there is no verb '--json': options stand behind it"),
    ("dial 1 --timeout 5", "--timeout says how long --wait stays"), ("status -x", "there is no option -x"),
    ("accounts paint", "there is no action 'paint'"), ("stream example.org", "begins with wss://"),
    ("volume loud", "write: volume, volume up 2"), ("history burn", "history export [FILE]"),
])  # fmt: skip
def test_what_may_have_been_meant_is_told(
    phone: FakeBackend, capsys: pytest.CaptureFixture[str], line: str, text: str
) -> None:
    assert main(line.split()) == 2
    assert text in capsys.readouterr().err


def test_a_field_of_an_operation_is_a_word_of_the_shell_spaces_and_all(phone: FakeBackend) -> None:
    assert main(["op", "send_message", "to=1001", "text=good  day = all"]) == 0
    assert phone.commands == [c.SendMessage(to="1001", text="good  day = all")]


def test_an_interrupted_wait_says_that_the_call_goes_on(
    phone: FakeBackend, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> Iterator[dict[str, object]]:
        raise KeyboardInterrupt

    monkeypatch.setattr("offhook.control.client.LocalClient.wait_operation", interrupted)
    assert main(["dial", "1001", "--wait"]) == 130
    said = capsys.readouterr()
    assert said.out == "calling 1001 …\n"
    assert said.err == "interrupted; the call goes on: `offhook hangup c_1` ends it\n"
    assert phone.commands == [c.Dial(to="1001")]
    assert main(["dial", "1001", "--wait", "--json"]) == 130
    found = json.loads(capsys.readouterr().err)
    assert (found["code"], found["call"], found["operation"]) == ("interrupted", "c_1", "op_1")


def test_following_goes_on_when_the_phone_does_not_answer(
    phone: FakeBackend, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = LocalClient.subscribe
    silent = [True, True]

    def subscribe(client: LocalClient, *types: str, after: str = "") -> str:
        if silent:
            silent.pop()
            raise TimedOut("no answer in time")
        return asked(client, *types, after=after)

    monkeypatch.setattr(LocalClient, "subscribe", subscribe)
    monkeypatch.setattr("offhook.cli.actions.events.RECONNECT_SECONDS", 0)
    assert main(["events"]) == 5
    assert capsys.readouterr().err == "no answer in time\n"
    assert main(["events", "--follow", "--timeout", "0.05"]) == 0, "and ends well when its time is over"
    assert silent == []


def test_no_phone_is_3(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFHOOK_SOCKET", str(tmp_path / "none"))
    for line in (["status"], ["dial", "1001"], ["1001"], ["status", "--socket", str(tmp_path / "other")]):
        assert main(line) == 3
    assert microsip_main(["dtmf:12345"]) == 3
    assert "offhook run" in capsys.readouterr().err


@pytest.mark.parametrize(("line", "code", "text"), [
    (["status"], 0, "IDLE\n"), (["report:status"], 0, "IDLE\n"), (["dtmf:12345"], 0, "ok\n"), (["1001 hello"], 0, "ok\n"),
    (["volume", "80"], 0, "ok\n"), (["volume", "101"], 1, ""), (["dtmf:12x"], 1, ""), (["/nothing"], 2, ""),
    (["answer", "now"], 2, ""),
    (["/account:1", "hide"], 0, "ok\n"),
])  # fmt: skip
def test_microsip_forms(phone: FakeBackend, capsys: pytest.CaptureFixture[str], line: list[str], code: int, text: str) -> None:
    assert microsip_main(line) == code
    assert capsys.readouterr().out == text


@pytest.mark.parametrize(("words", "file"), [
    ([], ""), (["/Minimized"], ""), (['/i:"C:\\my files\\a.toml"', "/minimized"], "C:\\my files\\a.toml"), (["/hidden"], ""),
    (["/I:a.toml", "/i:b.toml"], "b.toml"),
])
def test_microsip_starts_a_phone_where_none_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], file: str
) -> None:
    started: list[str] = []

    def run(use: Invocation) -> int:
        started.append(use.text("config"))
        return 0

    monkeypatch.setattr(VERBS["run"], "run", run)
    monkeypatch.setenv("OFFHOOK_SOCKET", str(tmp_path / "s"))
    assert microsip_main(words) == 0
    assert started == [file]


def test_microsip_leaves_a_phone_alone_that_runs(phone: FakeBackend, capsys: pytest.CaptureFixture[str]) -> None:
    assert microsip_main(["/minimized"]) == microsip_main(["status"]) == 0
    assert capsys.readouterr().out == "the phone runs already\nIDLE\n"
    assert phone.commands == [c.Status()]


@pytest.mark.parametrize("line", [[""], [" ", ""]])
def test_an_empty_number_is_no_call_that_was_placed(
    phone: FakeBackend, capsys: pytest.CaptureFixture[str], line: list[str]
) -> None:
    assert microsip_main(line) == 2
    assert "nothing was named" in capsys.readouterr().err
    assert phone.commands == []


def test_microsip_status_in_a_call_that_is_refused(phone: FakeBackend) -> None:
    phone.refuse = InvalidState("no call")
    assert microsip_main(["dtmf:12345"]) == 1


def test_events_are_shown_as_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(FakeBackend(), tmp_path / "s", ticking=SystemReady(address="here")) as path:
        monkeypatch.setenv("OFFHOOK_SOCKET", path)
        assert main(["events", "--follow", "--types", "system.*,call.*", "--count", "2", "--timeout", "5"]) == 0
        assert main(["wait", "system.ready", "--json", "--timeout", "5"]) == 0
        assert main(["events", "--types", "call.*", "--timeout", "0.05"]) == 0, "the time is over, which is no failure"
        assert main(["events", "--types", "call.*", "--timeout", "0.05", "--count", "1"]) == 5
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "22:13:20.250  system.ready  address=here"
    assert json.loads(lines[2])["event"]["type"] == "system.ready"


@pytest.mark.parametrize(("line", "text"), [
    ("active", "c_1  active"), ("moon", ""), ("ringing active --call last", "c_1  active"),
    ("registered", "a_1  sip:me@h  registered"), ("registered --account a_1", "a_1  sip:me@h  registered"),
    ("call.ended,op_2", "op_2  hold  succeeded"),
])  # fmt: skip
def test_what_is_so_already_is_not_waited_for(
    phone: FakeBackend, capsys: pytest.CaptureFixture[str], line: str, text: str
) -> None:
    phone.calls = (msgspec.structs.replace(CALL, state=CallState.ACTIVE),)
    phone.accounts = (AccountView("a_1", "", "sip:me@h", "", "udp", "registered"),)
    then(phone, OperationSucceeded(operation="op_2", command="hold"))
    assert main(["hold", "--wait"]) == 0
    capsys.readouterr()
    code = main(["wait", *line.split(), "--timeout", "5"])
    shown = capsys.readouterr()
    if not text:
        assert (code, shown.err.partition(":")[0]) == (1, "'moon' cannot be waited for")
        return
    assert code == 0
    assert shown.out.startswith(text)
    assert main(["wait", *line.split(), "--timeout", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["event"] is None


def test_the_states_are_those_the_phone_knows() -> None:
    assert get_args(WaitedState) == STATES


def test_an_event_with_its_fields_is_waited_for(phone: FakeBackend, capsys: pytest.CaptureFixture[str]) -> None:
    phone.calls = (CALL,)
    then(phone, *(DtmfReceived(call=CALL, digit=digit, method="rtp", duration_ms=100) for digit in "12#"))
    assert main(["hold"]) == 0
    phone.on_execute = lambda command: None
    assert main(["wait", "dtmf.received", "--after", "t1-0", "--data", "digit=2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["event"]["id"] == "t1-2"
    assert main(["wait", "dtmf.received", "--after", "t1-0", "--data", "duration_ms:=100", "--call", "c_1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["event"]["id"] == "t1-1"
    assert main(["wait", "dtmf.received", "--data", "digit"]) == 2
    assert main(["wait", "dtmf.received", "--data", "digits=2", "--timeout", "5"]) == 1
    assert "there are: call, digit" in capsys.readouterr().err


def test_open_asks_first(phone: FakeBackend, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["open", "tel:1001"]) == 1
    monkeypatch.setattr("sys.stdin", Terminal())
    capsys.readouterr()
    assert main(["open", "tel:1001"]) == 1
    assert capsys.readouterr().err == "nothing was typed\n"
    monkeypatch.setattr("builtins.input", lambda prompt: "n")
    assert main(["open", "tel:1001"]) == 1
    assert main(["open", "msip:answer", "--yes"]) == 1
    assert phone.commands == []
    monkeypatch.setattr("builtins.input", lambda prompt: "y")
    assert main(["open", "tel:1001"]) == 0
    assert phone.commands == [c.Dial(to="1001")]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_password_comes_from_the_pipe(phone: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("s3cret\n"))
    assert main(["accounts", "add", "a", "--domain", "d", "--username", "u", "--ask-password"]) == 0
    assert phone.commands == [c.AddAccount(account=AccountSettings(id="a", domain="d", username="u", password="s3cret"))]


def test_past_calls_are_one_line_each(phone: FakeBackend, capsys: pytest.CaptureFixture[str]) -> None:
    entry = {
        "id": "c_1", "direction": "incoming", "remote_uri": "sip:a@h", "started": "2026-01-31T08:00:00.25Z", "missed": True,
        "sip_status": 487, "tags": [["order", "4711"], ["note", "two\nlines"]],
    }  # fmt: skip
    phone.entries = [entry]
    assert main(["history"]) == 0
    here = f"{datetime(2026, 1, 31, 8, tzinfo=UTC).astimezone():%Y-%m-%d %H:%M:%S}"
    assert capsys.readouterr().out == f"c_1  {here}  from sip:a@h  missed  (487)  order=4711  note=two\\x0alines\n"


def test_only_some_past_calls_are_shown_or_written(
    phone: FakeBackend, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wished = ["--missed", "--direction", "incoming", "--account", "a", "--remote", "1001", "--tag", "order=4711"]
    times = ["--since", "2026-01-31", "--until", "2026-02-01T08:00+02:00"]
    wanted = WantedCalls(
        direction="incoming", missed=True, account="a", remote="1001", tag="order=4711",
        since=datetime(2026, 1, 31).astimezone(), until=datetime(2026, 2, 1, 6, tzinfo=UTC),
    )  # fmt: skip
    for line in (["history"], ["history", "export", str(tmp_path / "calls.csv")]):
        phone.wanted_calls = ALL_CALLS
        assert main([*line, *wished, *times]) == 0
        assert phone.wanted_calls == wanted
    capsys.readouterr()
    assert main(["history", "--since", "yesterday"]) == 2
    assert main(["history", "clear", "--missed"]) == 2
    assert "clear knows no part of it" in capsys.readouterr().err


@pytest.mark.parametrize(("event", "code", "words"), [
    (WatchDialog(watch=replace(WATCH, kind="dialog", line="busy")), 0, "busy"),
    (WatchEnded(watch=replace(WATCH, state="waiting", reason="Not Found", retry_in=9.0)), 0, "waiting Not Found"),
    (WatchEnded(watch=replace(WATCH, state="ended", reason="Bad Event")), 4, "ended Bad Event"),
])
def test_the_first_word_about_what_is_watched_is_shown(
    phone: FakeBackend, capsys: pytest.CaptureFixture[str], event: Event, code: int, words: str
) -> None:
    phone.watch = replace(WATCH, state="asking")
    then(phone, event)
    assert main(["watches", "dialog", "1002"]) == code
    assert capsys.readouterr().out.endswith(f": {words}\n")


def test_who_says_nothing_is_still_asked(
    phone: FakeBackend, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "FIRST_WORD", 0.01)
    phone.watch = replace(WATCH, state="asking")
    assert main(["watches", "presence", "1002"]) == 0
    assert capsys.readouterr().out.endswith(": asking\n")


def test_history_can_be_forgotten(phone: FakeBackend) -> None:
    assert main(["history", "delete", "h_1"]) == 0
    assert main(["history", "delete", "h_1"]) == 1
    assert main(["history", "clear"]) == 0
    assert phone.entries == []


def test_the_overview_names_each_group_once() -> None:
    groups = [line for line in overview().splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert len(groups) == len(set(groups))
    assert {f"{verb.group}:" for verb in VERBS.values()} <= set(groups)


def test_history_is_exported_as_the_file_is_called(
    phone: FakeBackend, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    phone.entries = entries = [{"id": "c_1", "remote_display": "Jürgen"}, {"id": "c_2", "remote_display": ""}]
    for name in ("calls.json", "calls.jsonl", "calls.csv"):
        assert main(["history", "export", str(tmp_path / name)]) == 0
    assert json.loads((tmp_path / "calls.json").read_text("utf-8")) == entries
    assert [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text("utf-8").splitlines()] == entries
    assert (tmp_path / "calls.csv").read_text("utf-8").startswith("id,account,")
    capsys.readouterr()
    for given in ([], ["-"]):
        assert main(["history", "export", *given, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == entries


def test_a_call_whose_answer_is_lost_is_not_placed_again(
    phone: FakeBackend, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(window: int, op: str, **params: object) -> None:
        raise CommandTimeout("its answer was lost: do not repeat it")

    monkeypatch.setattr(offhook.cli, "_phone_window", lambda: 5)
    monkeypatch.setattr(handover, "ask", lost)
    assert microsip_main(["1001"]) == 5
    assert "do not repeat it" in capsys.readouterr().err
    monkeypatch.setattr(handover, "ask", lambda window, op, **params: None)
    assert microsip_main(["1001"]) == 0, "a phone that has surely got nothing is asked by its socket"
    assert phone.commands == [c.Dial(to="1001")]
