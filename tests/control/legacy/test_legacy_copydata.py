"""WM_COPYDATA: every code, every refusal, MicroSIP's own command lines, and never an exception."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.control.legacy.copydata import COPYDATA, run_copydata
from offhook.control.legacy.steps import Step
from offhook.errors import LineBusy
from offhook.phone import commands as c
from offhook.phone.model import StatusView
from offhook.testing.backend import FakeBackend


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


@pytest.mark.parametrize(("name", "payload", "command"), [
    ("DIAL", b"1001\0\xcd\xcd\xff left", c.Dial(to="1001", only_if_idle=True)),
    ("MUTE", b"1\0\xcd\xcd\xcd\xcd", c.Mute()),
    ("DTMF", b"123#\0\0\x07", c.SendDtmf(digits="123#")),
    ("DIAL", b"1001\r\n", c.Dial(to="1001", only_if_idle=True)),
    ("VOLUME", b"100", c.SetVolume(volume=100)),
    ("HANGUP", b"\0\xcd\xcd", c.Hangup()),
    ("DIAL", "1001\0\x07 left".encode("utf-16-le"), c.Dial(to="1001", only_if_idle=True)),
])  # fmt: skip
def test_what_lies_in_a_buffer_behind_the_text_means_nothing(
    backend: FakeBackend, name: str, payload: bytes, command: Step
) -> None:
    assert run_copydata(backend.execute, COPYDATA[name].code, payload).lresult == 1
    assert backend.commands == [command]


def test_an_empty_code_2_is_hangup(backend: FakeBackend) -> None:
    for payload in (b"", b"\0", b"\0\0"):
        assert run_copydata(backend.execute, 2, payload).lresult == 1
    assert backend.commands == [c.Hangup()] * 3


@given(st.integers(-5, 20), st.binary(max_size=40))
def test_copydata_never_raises(code: int, payload: bytes) -> None:
    assert 0 <= run_copydata(FakeBackend().execute, code, payload).lresult <= 4
