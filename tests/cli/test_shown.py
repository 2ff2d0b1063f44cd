"""Strangers' text on a terminal."""

from __future__ import annotations

import pytest

from offhook.shown import plain


@pytest.mark.parametrize(("text", "shown"), [
    ("\x1b[2J\x9b2J", r"\x1b[2J\x9b2J"), ("\u202e1001\u2066", r"\u202e1001\u2066"),
    ("10\u200b01\u2060\u00ad", r"10\u200b01\u2060\xad"), ("Ada\U000e0041", r"Ada\U000e0041"), ("\ud800", r"\ud800"),
    ("Zoë \u4e2d \u0645\u06cc\u200c\u062e \U0001f469\u200d\U0001f467",
     "Zoë \u4e2d \u0645\u06cc\u200c\u062e \U0001f469\u200d\U0001f467"),
])
def test_what_moves_the_cursor_or_takes_no_room_is_escaped(text: str, shown: str) -> None:
    assert plain(text) == shown
