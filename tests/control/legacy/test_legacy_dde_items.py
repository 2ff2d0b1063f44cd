"""What a DDE client can ask for by item."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.control.legacy.dde_items import ADVISED, DDE_ITEMS, advised_item, ascii_json, dde_poke, dde_request
from offhook.errors import InvalidArgument, NotFound
from offhook.phone import commands as c
from offhook.phone.model import StatusView
from offhook.testing.backend import FakeBackend


def test_request_items(backend: FakeBackend) -> None:
    backend.status = StatusView(code=2, name="ACTIVE", call="c_1", remote="sip:1001@pbx", calls=1)
    answers = {item: dde_request(backend.execute, item) for item in ("Status", "statuscode", "ActiveCall", "Calls", "Volume")}
    assert list(answers.values()) == ["ACTIVE", "2", "sip:1001@pbx", "[]", "60"]
    assert json.loads(answers["Calls"]) == []
    assert dde_request(backend.execute, "Devices").startswith("input 0: Headset (USB) [usb-1]")
    with pytest.raises(NotFound):
        dde_request(backend.execute, "Moon")


def test_items_every_dde_server_has(backend: FakeBackend) -> None:
    assert dde_request(backend.execute, "topics") == "control\tSystem"
    items = dde_request(backend.execute, "SysItems").split("\t")
    assert {*DDE_ITEMS, *ADVISED, "ReturnMessage"} <= set(items)
    assert dde_request(backend.execute, "Formats") == "UNICODETEXT\tTEXT"
    assert backend.commands == []


def test_setting_an_item_is_a_command(backend: FakeBackend) -> None:
    dde_poke(backend.execute, "volume", "40")
    dde_poke(backend.execute, " Dial ", '"1001"')
    assert backend.commands == [c.SetVolume(volume=40), c.Dial(to="1001")]
    with pytest.raises(InvalidArgument):
        dde_poke(backend.execute, "Calls", "x")


def test_what_is_pushed(backend: FakeBackend) -> None:
    assert [advised_item(item.upper()) for item in ADVISED] == list(ADVISED)
    with pytest.raises(NotFound):
        advised_item("Devices")


@given(st.text())
def test_json_survives_a_code_page(text: str) -> None:
    written = ascii_json(json.dumps(text, ensure_ascii=False))
    assert written.isascii()
    assert json.loads(written) == text
