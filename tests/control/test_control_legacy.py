"""The older interfaces: every form, every refusal, and nothing but documented errors for whatever else comes."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from offhook.control.legacy import (
    COPYDATA,
    SpeakerMemory,
    Step,
    Window,
    dde_request,
    open_uri,
    parse_command_line,
    parse_dde,
    run_command_line,
    run_copydata,
    run_dde,
)
from offhook.errors import InvalidArgument, LineBusy, NotFound
from offhook.phone import commands as c
from offhook.phone.model import StatusView
from offhook.testing.backend import FakeBackend

# --- DDE


def test_several_commands_run_in_order_and_status_answers(backend: FakeBackend) -> None:
    assert run_dde(backend.execute, "[Dial(1001)] [Mute] [Status]") == "IDLE"
    assert backend.commands == [c.Dial(to="1001"), c.ToggleMute(), c.Status()]


@pytest.mark.parametrize("text", [
    "[Dial(1001)][SendDTMF(12x)]", "[Dial(1001)][Nothing]", "[Dial(1001)]x", "[Dial(1001)", "[Dial(1001)][SetVolume(101)]",
    "[Dial(1001)][]", '[Dial("1001)]',
])  # fmt: skip
def test_one_mistake_refuses_the_whole_string(backend: FakeBackend, text: str) -> None:
    with pytest.raises(InvalidArgument):
        run_dde(backend.execute, text)
    assert backend.commands == []


@pytest.mark.parametrize("text", [
    "SetVolume 101", "SetVolume abc", "SetVolume -1", "SetVolume", "SetVolume 5.5", "SetVolume ٥", "SetMicVolume 1000",
    "VolumeUp 0", "VolumeUp 11", "VolumeUp x", "VolumeDown 0", "VolumeDown -1", "SendDTMF 12E", "SendDTMF", "SendDTMF 1 2",
    "Dial", "Dial()", "Dial a b", "Dial 1001,x", "CallTo", "Transfer", "SetDevice input", "SetDevice lamp,1",
    "SetDevice input,",
    "Dial1001", "", "[Dial 1001\x07]", "x" * 5000,
])  # fmt: skip
def test_bad_arguments_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_dde(text)


@pytest.mark.parametrize(("text", "command"), [
    ("VolumeUp", c.VolumeUp(steps=1)),
    ("[VolumeDown()]", c.VolumeDown(steps=1)),
    ("[SendDTMF(1,,2)]", c.SendDtmf(digits="1,,2")),
    ("[SendDTMF(abcd*#)]", c.SendDtmf(digits="abcd*#")),
    ('[SetDevice("output","Speakers (USB), left [2]")]', c.SetDevice(kind="output", device="Speakers (USB), left [2]")),
    ("[SetDevice(Ring, hdmi)]", c.SetDevice(kind="ring", device="hdmi")),
    ("[Dial(sip:a@[2001:db8::1]:5060)]", c.Dial(to="sip:a@[2001:db8::1]:5060")),
    ("[Dial(1001,12)]", c.Dial(to="1001", digits="12")),
    ("[Dial(1001)]\0", c.Dial(to="1001")),
    ("dial\t1001", c.Dial(to="1001")),
])  # fmt: skip
def test_dde_forms(text: str, command: c.Command) -> None:
    assert parse_dde(text) == (command,)


def test_request_items(backend: FakeBackend) -> None:
    backend.status = StatusView(code=2, name="ACTIVE", call="c_1", remote="sip:1001@pbx", calls=1)
    answers = {item: dde_request(backend.execute, item) for item in ("Status", "statuscode", "ActiveCall", "Calls", "Volume")}
    assert list(answers.values()) == ["ACTIVE", "2", "sip:1001@pbx", "[]", "60"]
    assert json.loads(answers["Calls"]) == []
    assert dde_request(backend.execute, "Devices").startswith("input 0: Headset (USB) [usb-1]")
    with pytest.raises(NotFound):
        dde_request(backend.execute, "Moon")


@given(st.text(max_size=40) | st.text(alphabet='[]()",Dial1001 \\\0', max_size=40))
@example('[A("' + '""' * 200)
def test_dde_reads_or_refuses_anything(text: str) -> None:
    with contextlib.suppress(InvalidArgument):
        assert parse_dde(text)


# --- WM_COPYDATA


@pytest.mark.parametrize(("name", "payload"), [
    ("DIAL", b""), ("DIAL", b"\0"), ("DIAL", b"10 01"), ("DIAL", b"\xff\xff\xff"), ("DIAL", b"1\x000"), ("DIAL", b"1001,x"),
    ("HANGUP", b"1"), ("MUTE", b""), ("MUTE", b"2"), ("MUTE", b"on"), ("TRANSFER", b""), ("DTMF", b"12E"), ("DTMF", b""),
    ("VOLUME", b"101"), ("VOLUME", b"abc"), ("VOLUME", b"-1"), ("VOLUME", b""), ("QUIT", b"now"),
])  # fmt: skip
def test_copydata_refuses_with_0_and_does_nothing(backend: FakeBackend, name: str, payload: bytes) -> None:
    result = run_copydata(backend.execute, COPYDATA[name].code, payload)
    assert result.lresult == 0
    assert result.text
    assert backend.commands == []


@pytest.mark.parametrize("code", [0, 11, -1, 2**40])
def test_unknown_codes_are_refused(backend: FakeBackend, code: int) -> None:
    assert run_copydata(backend.execute, code, b"1001").lresult == 0
    assert backend.commands == []


def test_a_busy_line_is_0(backend: FakeBackend) -> None:
    backend.refuse = LineBusy("a call is active")
    assert run_copydata(backend.execute, 1, b"1001").lresult == 0


@pytest.mark.parametrize(("code", "lresult", "text"), [(0, 0, ""), *((code, 1, "sip:x@h") for code in (1, 2, 3)), (4, 0, "")])
def test_activecall_is_the_far_end_while_there_is_a_call(backend: FakeBackend, code: int, lresult: int, text: str) -> None:
    backend.status = StatusView(code=code, name="?", call="c_1", remote="sip:x@h")
    result = run_copydata(backend.execute, COPYDATA["ACTIVECALL"].code, b"")
    assert (result.lresult, result.text) == (lresult, text)


@pytest.mark.parametrize(("code", "line", "command"), [
    (1, "1001", c.Dial(to="1001", only_if_idle=True)),
    (2, "1001", c.Dial(to="1001", only_if_idle=True)),
    (1, "/hangupall", c.HangupAll(which="not_incoming")),
    (2, "dtmf:12#", c.SendDtmf(digits="12#")),
    (1, "1001 grüße", c.SendMessage(to="1001", text="grüße")),
    (9, "50", c.SetVolume(volume=50)),
])  # fmt: skip
@pytest.mark.parametrize("ending", ["", "\0"])
def test_utf_16_is_what_microsip_itself_sends(backend: FakeBackend, code: int, line: str, command: Step, ending: str) -> None:
    assert run_copydata(backend.execute, code, (line + ending).encode("utf-16-le")).lresult == 1
    assert backend.commands == [command]


def test_an_empty_code_2_is_hangup(backend: FakeBackend) -> None:
    for payload in (b"", b"\0", b"\0\0"):
        assert run_copydata(backend.execute, 2, payload).lresult == 1
    assert backend.commands == [c.Hangup()] * 3


@given(st.integers(-5, 20), st.binary(max_size=40))
def test_copydata_never_raises(code: int, payload: bytes) -> None:
    assert 0 <= run_copydata(FakeBackend().execute, code, payload).lresult <= 4


# --- the command line

ONE_STEP: list[tuple[str, Step]] = [
    ("1001", c.Dial(to="1001")),
    ("+49.89-1", c.Dial(to="+49.89-1")),
    ("sip:u@h", c.Dial(to="sip:u@h")),
    ("sips:u@h;transport=tls", c.Dial(to="sips:u@h;transport=tls")),
    ("sip://u@h/", c.Dial(to="sip:u@h")),
    ("sip:%2B49@h", c.Dial(to="sip:+49@h")),
    ("sip:a%40b@h", c.Dial(to="sip:a%40b@h")),
    ("sip:a,b@h", c.Dial(to="sip:a,b@h")),
    ("tel:+1-555%20(1)", c.Dial(to="+15551")),
    ("tel://%2B49/", c.Dial(to="+49")),
    ("callto:1001", c.Dial(to="1001")),
    ("CALLTO://1001/", c.Dial(to="1001")),
    ("dial:1001", c.Dial(to="1001")),
    ("/dial:1001", c.Dial(to="1001")),
    ("1001,12,,34", c.Dial(to="1001", digits="12,,34")),
    ("1001 free text", c.SendMessage(to="1001", text="free text")),
    ("sip:u@h see /etc or /minimized maybe", c.SendMessage(to="sip:u@h", text="see /etc or /minimized maybe")),
    ("dtmf:12345", c.SendDtmf(digits="12345")),
    ("/dtmf:12#", c.SendDtmf(digits="12#")),
    ("answer", c.Answer()),
    ("hangup", c.Hangup()),
    ("reject", c.Reject()),
    ("hold", c.ToggleHold()),
    ("mute", c.ToggleMute()),
    ("volume 80", c.SetVolume(volume=80)),
    ("transfer:1002", c.Transfer(to="1002")),
    ("/transfer:1002", c.Transfer(to="1002")),
    ("status", c.Status()),
    ("report:status", c.Status()),
    ("hide", Window("hide")),
    ("show", Window("show")),
    ("exit", c.Quit()),
    ("/exit", c.Quit()),
    ("/answer", c.Answer()),
    ("/hangupall", c.HangupAll(which="not_incoming")),
    ("/HangupIncoming", c.HangupAll(which="incoming")),
    ("/hangupcalling", c.HangupAll(which="calling")),
    ("/minimized", Window("minimize")),
    ("--listdevices", c.ListDevices()),
    ("msip:answer", c.Answer()),
    ("msip://answer/", c.Answer()),
    ("msip:hangupall", c.HangupAll(which="not_incoming")),
    ("msip:hold", c.ToggleHold()),
    ("msip:transfer_1002", c.Transfer(to="1002")),
    ("msip:micmute", c.Mute()),
    ("msip:micunmute", c.Unmute()),
    ("msip:minimize", Window("minimize")),
    ("msip:1001", c.Dial(to="1001")),
    ("/account:2", c.SelectAccount(account="2")),
]


@pytest.mark.parametrize(("line", "step"), ONE_STEP)
def test_command_line_forms(line: str, step: Step) -> None:
    assert parse_command_line(line).steps == (step,)
    assert parse_command_line([line]).steps == (step,)
    assert parse_command_line(line.split(" ")).steps == (step,)


def test_switches_stand_before_or_after() -> None:
    for line in ("/account:2 1001", "1001 /account:2"):
        assert parse_command_line(line).steps == (c.SelectAccount(account="2"), c.Dial(to="1001"))
    action = parse_command_line('/i:"C:\\my files\\a.ini" /minimized')
    assert (action.config, action.minimized, action.steps) == ("C:\\my files\\a.ini", True, (Window("minimize"),))
    assert parse_command_line(["/i:C:\\my files\\a.ini", "1001"]).config == "C:\\my files\\a.ini"
    assert parse_command_line("").steps == ()


@pytest.mark.parametrize("line", [
    "/nothing", "--nothing", "-x", "answer now", "volume", "volume 101", "volume abc", "dtmf:", "dtmf:12x", "/transfer:",
    "transfer:1 2", "1001,12x", "sip:", "tel:", "tel:%00", "callto:%0d%0aBYE", "1001\x07", "msip:", "/account:",
])  # fmt: skip
def test_command_lines_that_are_refused(backend: FakeBackend, line: str) -> None:
    with pytest.raises(InvalidArgument):
        run_command_line(backend.execute, line)
    assert backend.commands == []


def test_results_are_text(backend: FakeBackend) -> None:
    assert run_command_line(backend.execute, "status") == "IDLE"
    assert run_command_line(backend.execute, "report:status") == "IDLE"
    assert "Headset (USB)" in run_command_line(backend.execute, "--listdevices")
    assert run_command_line(backend.execute, "1001") == ""


def test_the_speaker_comes_back_as_loud_as_it_was(backend: FakeBackend) -> None:
    memory = SpeakerMemory()
    for line, volume in (("msip:speakmute", 0), ("msip:speakmute", 0), ("msip:speakunmute", 60), ("msip:speakunmute", 60)):
        run_command_line(backend.execute, line, memory)
        assert backend.audio.output_volume == volume


def test_up_and_down_stay_within_0_and_100(backend: FakeBackend) -> None:
    run_command_line(backend.execute, "msip:speakup")
    run_command_line(backend.execute, "msip:micdown")
    assert (backend.audio.output_volume, backend.audio.mic_volume) == (65, 45)
    for _ in range(12):
        run_command_line(backend.execute, "msip:speakup")
        run_command_line(backend.execute, "msip:micdown")
    assert (backend.audio.output_volume, backend.audio.mic_volume) == (100, 0)


@given(st.text(max_size=60) | st.lists(st.text(max_size=20), max_size=4))
def test_command_lines_are_read_or_refused(line: str | list[str]) -> None:
    with contextlib.suppress(InvalidArgument):
        run_command_line(FakeBackend().execute, line)


# --- opening a URI


@pytest.mark.parametrize(("uri", "to"), [
    ("tel:+49-89-1", "+49891"), ("tel://1001/", "1001"), ("callto:1001", "1001"), ("callto:u@h", "u@h"), ("sip:u@h", "sip:u@h"),
    ("SIP:u@h:5070;transport=tcp", "sip:u@h:5070;transport=tcp"), ("sips:u@[2001:db8::1]", "sips:u@[2001:db8::1]"),
    ("tel:*43%23", "*43#"),
])  # fmt: skip
def test_open_dials(uri: str, to: str) -> None:
    assert open_uri(uri) == c.Dial(to=to)


@pytest.mark.parametrize("uri", [
    "1001", "hangup", "msip:answer", "dtmf:123", "/exit", "--listdevices", "/i:x.ini", "file:///etc/passwd", "javascript:1",
    "callto:/exit", "callto:--listdevices", "callto:%2Fexit", "tel:1%2C2", "tel:1,2", "tel:1%0d%0ax", "tel:1%00", "tel:",
    "sip:",
    "sip:u@h?Route=x", "sip:u@h;method=REFER", "sip:u@h%0d%0aX: y", "tel:%252Fexit", "callto:1001 /exit", "callto:1001 text",

    "callto:msip:answer", 'callto:"1001"', "tel:1\r\n", "x" * 5000, "dial:1001", "sip:u@h hangup", "report:status",
    "tel:1;x=/exit y",
])  # fmt: skip
def test_open_can_only_dial(uri: str) -> None:
    try:
        dial = open_uri(uri)
    except InvalidArgument:
        return
    assert uri == "tel:1;x=/exit y"  # what follows the number of a tel: URI is dropped
    assert dial == c.Dial(to="1")


@given(st.sampled_from(["tel:", "sip:", "callto:", ""]), st.text(max_size=30))
def test_open_dials_something_plain_or_refuses(scheme: str, text: str) -> None:
    try:
        dial = open_uri(scheme + text)
    except InvalidArgument:
        return
    else:
        assert dial == c.Dial(to=dial.to)
        assert dial.to.isprintable()
        assert not dial.to.startswith(("/", "-"))
        assert not set(dial.to) & set(' ,"%\\?')
