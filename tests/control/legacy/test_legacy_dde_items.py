"""What a DDE client can ask for by item."""

from __future__ import annotations

import json

import pytest

from offhook.control.legacy.dde_items import dde_request
from offhook.errors import NotFound
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
