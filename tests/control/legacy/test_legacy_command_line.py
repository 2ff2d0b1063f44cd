"""The command line of scripts written for MicroSIP: every form and every refusal."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.control.legacy.command_line import parse_command_line, run_command_line
from offhook.control.legacy.steps import Step, Window
from offhook.errors import InvalidArgument
from offhook.phone import commands as c
from offhook.phone.model import AccountView
from offhook.testing.backend import FakeBackend

ONE_STEP: list[tuple[str, Step]] = [
    ("1001", c.Dial(to="1001")),
    ("+49.89-1", c.Dial(to="+49.89-1")),
    ("sip:u@h", c.Dial(to="sip:u@h")),
    ("sips:u@h;transport=tls", c.Dial(to="sips:u@h;transport=tls")),
    ("sip://u@h/", c.Dial(to="sip:u@h")),
    ("SIPS://u%31@h/", c.Dial(to="sips:u1@h")),
    ("sip:%2B49@h", c.Dial(to="sip:+49@h")),
    ("sip:a%40b@h", c.Dial(to="sip:a%40b@h")),
    ("sip:a,b@h", c.Dial(to="sip:a,b@h")),
    ("tel:+1-555%20(1)", c.Dial(to="+15551")),
    ("tel:+49(0)30%201", c.Dial(to="+49301")),
    ("tel://%2B49/", c.Dial(to="+49")),
    ("callto:1001", c.Dial(to="1001")),
    ("callto:b%FCro", c.Dial(to="b\N{REPLACEMENT CHARACTER}ro")),
    ("CALLTO://1001/", c.Dial(to="1001")),
    ("callto:1001/", c.Dial(to="1001")),
    ("dialpad:1001", c.Dial(to="1001")),
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
    ("volume 100", c.SetVolume(volume=100)),
    ("volume 0", c.SetVolume(volume=0)),
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
    ("/hidden", Window("minimize")),
    ("--listdevices", c.ListDevices()),
    ("msip:answer", c.Answer()),
    ("msip://answer/", c.Answer()),
    ("msip:hangupall", c.HangupAll(which="not_incoming")),
    ("msip:hold", c.ToggleHold()),
    ("msip:transfer_1002", c.Transfer(to="1002")),
    ("msip:micmute", c.Mute()),
    ("msip:micunmute", c.Unmute()),
    ("msip:micmuteclick", c.ToggleMute()),
    ("msip:minimize", Window("minimize")),
    ("msip:1001", c.Dial(to="1001")),
    ("/account:2", c.SelectAccount(account="2")),
]


@pytest.mark.parametrize(("line", "step"), ONE_STEP)
def test_command_line_forms(line: str, step: Step) -> None:
    assert parse_command_line(line).steps == (step,)
    assert parse_command_line([line]).steps == (step,)
    assert parse_command_line(line.split(" ")).steps == (step,)


@pytest.mark.parametrize(("argument", "to"), [
    ("+49 30 1234", "+49301234"), ("030 1234-5", "0301234-5"), ("(030) 1234", "(030)1234"), ("+49 (0)30/1234", "+49(0)30/1234"),
    ("tel:+49 30 1234", "+49301234"), ("callto://+49 30 1234", "+49301234"), (" 1001 ", "1001"), ("Tel: 030/1234", "0301234"),
    ("+49\u00a030\u00a01234", "+49301234"), ("\u202a+49 30 1234\u202c", "+49301234"), ("\uff0b\uff14\uff19\u300030", "+4930"),
    ("201 555 0123", "2015550123"), ("1 (201) 555-0123", "1(201)555-0123"), ("(201) 555-0123", "(201)555-0123"),
])
def test_a_number_in_groups_is_one_number(argument: str, to: str) -> None:
    for line in ([argument], f'"{argument.strip()}"', [argument, "/account:1"]):
        assert parse_command_line(line).steps[-1] == c.Dial(to=to), "and not a text to its first group"


@pytest.mark.parametrize("form", ["transfer:", "/transfer:", "msip:transfer_", "Transfer:"])
def test_a_call_is_transferred_to_a_number_in_groups(form: str) -> None:
    for line in ([f"{form}+49 30\u00a01234"], f'"{form}+49 30 1234"', f'{form}"+49 30 1234"'):
        assert parse_command_line(line).steps == (c.Transfer(to="+49301234"),)
    with pytest.raises(InvalidArgument):
        parse_command_line([f"{form}1002 1003"])


def test_digits_stand_behind_a_number_in_groups() -> None:
    for line in (["+1 201 555 0123,,7"], '"+1 201 555 0123,,7"', "+1 201 555 0123,,7"):
        assert parse_command_line(line).steps == (c.Dial(to="+12015550123", digits=",7"),)


@pytest.mark.parametrize("line", ["+49 30 1234", "+49 (0)30 12", "\u202a+49 30 1234"])
def test_behind_a_country_code_stands_a_number(line: str) -> None:
    assert isinstance(parse_command_line(line).steps[0], c.Dial), "without quotation marks too"
    assert parse_command_line(line.split()).steps == parse_command_line([line]).steps


@pytest.mark.parametrize("number", ["+49 (0)30/1234-56 ext. 7", "+49 30 123456 x7", "030 123456 DW 7", "+49 30 1 oder 2"])
def test_a_number_with_words_behind_it_is_no_text(number: str) -> None:
    for line in ([number], f'"{number}"'):
        with pytest.raises(InvalidArgument) as refused:
            parse_command_line(line)
        if number.endswith("7"):
            assert "3012345" in refused.value.detail
            assert ",,7 and it is sent after the answer" in refused.value.detail
        else:
            assert "is no number from end to end" in refused.value.detail


@pytest.mark.parametrize("argument", ["1001 5", "030123456 is my number", "+4930123456 5 more minutes", "0171 x"])
def test_a_text_stays_a_text(argument: str) -> None:
    to, _, text = argument.partition(" ")
    assert parse_command_line([argument]).steps == (c.SendMessage(to=to, text=text),)


def test_switches_stand_before_or_after() -> None:
    for line in ("/account:2 1001", "1001 /account:2"):
        assert parse_command_line(line).steps == (c.SelectAccount(account="2"), c.Dial(to="1001"))
    action = parse_command_line('/i:"C:\\my files\\a.ini" /minimized')
    assert (action.config, action.minimized, action.steps) == ("C:\\my files\\a.ini", True, (Window("minimize"),))
    assert parse_command_line("1001 /minimized").minimized
    assert parse_command_line(["/i:C:\\my files\\a.ini", "1001"]).config == "C:\\my files\\a.ini"
    assert parse_command_line("").steps == ()


@pytest.mark.parametrize("line", [
    "/nothing", "--nothing", "-x", "answer now", "volume", "volume 101", "volume abc", "dtmf:", "dtmf:12x", "/transfer:",
    "transfer:1 2", "1001,12x", "sip:", "tel:", "tel:%00", "callto:%0d%0aBYE", "1001\x07", "msip:", "/account:",
    "/i:",
])  # fmt: skip
def test_command_lines_that_are_refused(backend: FakeBackend, line: str) -> None:
    with pytest.raises(InvalidArgument):
        run_command_line(backend.execute, line)
    assert backend.commands == []


@pytest.mark.parametrize(("line", "hint"), [
    ("/hangup", "did you mean /hangupall?"), ("/anwser", "did you mean /answer?"), ("--listdevice", "--listdevices?"),
    ("/zzz", "there are: /answer /hangupall"),
])
def test_a_switch_that_is_none_is_told_with_those_there_are(line: str, hint: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(hint)):
        parse_command_line(line)


def test_results_are_text(backend: FakeBackend) -> None:
    assert run_command_line(backend.execute, "status") == "IDLE"
    assert run_command_line(backend.execute, "report:status") == "IDLE"
    devices = "input 0: Headset (USB) [usb-1] (default)\noutput 0: Screen [hdmi]"
    assert run_command_line(backend.execute, "--listdevices") == devices
    assert run_command_line(backend.execute, "/account:2 status") == "IDLE"
    assert run_command_line(backend.execute, "1001") == ""


def test_no_sound_device_is_said(backend: FakeBackend) -> None:
    assert run_command_line(lambda command: c.Accepted(value=()), "--listdevices") == "no sound devices"


@pytest.mark.lengthy
@given(st.text(max_size=60) | st.lists(st.text(max_size=20), max_size=4))
def test_command_lines_are_read_or_refused(line: str | list[str]) -> None:
    with contextlib.suppress(InvalidArgument):
        run_command_line(FakeBackend().execute, line)


@pytest.mark.parametrize(
    ("said", "chosen"),
    [("1", "office"), ("2", "home"), ("3", "3"), ("0", "0"), ("home", "home"), ("Desk", "Desk"), ("1001", "1001"),
     ("²", "²"), ("\N{ARABIC-INDIC DIGIT TWO}",) * 2],
)
def test_accounts_have_numbers_too(said: str, chosen: str, backend: FakeBackend) -> None:
    backend.accounts = tuple(
        AccountView(name, label, uri, "", "udp", "registered")
        for name, label, uri in (("office", "Desk", "sip:1001@a"), ("home", "", "sip:7@b"))
    )
    run_command_line(backend.execute, f"/account:{said}")
    assert backend.commands[-1] == c.SelectAccount(account=chosen)


@pytest.mark.parametrize("said", ["1", "2", "3"])
def test_a_name_goes_before_a_number(said: str, backend: FakeBackend) -> None:
    backend.accounts = tuple(
        AccountView(name, label, uri, "", "udp", "registered")
        for name, label, uri in (("a", "2", "sip:u@a"), ("b", "", "sip:1@b"), ("3", "", "sip:v@c"), ("d", "", "sip:w@d"))
    )
    run_command_line(backend.execute, f"/account:{said}")
    assert backend.commands[-1] == c.SelectAccount(account=said)
