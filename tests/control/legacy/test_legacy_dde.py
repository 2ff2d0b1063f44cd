"""The DDE grammar: every form, every refusal, and one documented error for whatever else comes."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from offhook.control.legacy.dde import parse_dde, run_dde
from offhook.errors import InvalidArgument
from offhook.phone import commands as c
from offhook.testing.backend import FakeBackend


def test_several_commands_run_in_order_and_status_answers(backend: FakeBackend) -> None:
    assert run_dde(backend.execute, "[Dial(1001)] [Mute] [Status]") == "IDLE"
    assert run_dde(backend.execute, "[Status][Mute][Status]") == "IDLE\nIDLE", "each answer has its line"
    assert backend.commands == [c.Dial(to="1001"), c.ToggleMute(), c.Status(), c.Status(), c.ToggleMute(), c.Status()]


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
    ("VolumeUp 1", c.VolumeUp(steps=1)),
    ("[SetVolume(100)]", c.SetVolume(volume=100)),
    ("[SendDTMF(1,,2)]", c.SendDtmf(digits="1,,2")),
    ("[SendDTMF(abcd*#)]", c.SendDtmf(digits="abcd*#")),
    ('[SetDevice("output","Speakers (USB), left [2]")]', c.SetDevice(kind="output", device="Speakers (USB), left [2]")),
    ('[SetDevice("output", "24"" Monitor")]', c.SetDevice(kind="output", device='24" Monitor')),
    ('[SetDevice(output , "usb-1")]', c.SetDevice(kind="output", device="usb-1")),
    ('[Dial "sip:a]@example.org"]', c.Dial(to="sip:a]@example.org")),
    ("[SetDevice(Ring, hdmi)]", c.SetDevice(kind="ring", device="hdmi")),
    ("[Dial(sip:a@[2001:db8::1]:5060)]", c.Dial(to="sip:a@[2001:db8::1]:5060")),
    ("[Dial(1001,12)]", c.Dial(to="1001", digits="12")),
    ('[Dial(" 1001 ")]', c.Dial(to="1001")),
    ('[SendDTMF(" 12# ")]', c.SendDtmf(digits="12#")),
    ('[Transfer(" 1002 ")]', c.Transfer(to="1002")),
    ('[VolumeUp(" 3 ")]', c.VolumeUp(steps=3)),
    ("[Dial(1001)]\0", c.Dial(to="1001")),
    ("dial\t1001", c.Dial(to="1001")),
])  # fmt: skip
def test_dde_forms(text: str, command: c.Command) -> None:
    assert parse_dde(text) == (command,)


@given(st.text(max_size=40) | st.text(alphabet='[]()",Dial1001 \\\0', max_size=40))
@example('[A("' + '""' * 200)
def test_dde_reads_or_refuses_anything(text: str) -> None:
    with contextlib.suppress(InvalidArgument):
        assert parse_dde(text)


@pytest.mark.parametrize("number", ["+49 (0)30 1234", "030 12-34", "(030) 1234", "201 555 0123", "1 (201) 555-0123"])
def test_a_number_in_groups_is_taken(backend: FakeBackend, number: str) -> None:
    assert run_dde(backend.execute, f'[Dial("{number}")]') == ""
    assert backend.commands == [c.Dial(to=number.replace(" ", ""))]


def test_a_command_that_is_none_is_told_with_those_there_are(backend: FakeBackend) -> None:
    with pytest.raises(InvalidArgument, match=r"no DDE command 'HangupAll'; there are: Dial, CallTo, Hangup, .*, Close"):
        run_dde(backend.execute, "[HangupAll]")
