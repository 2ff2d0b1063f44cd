"""Every event class, written as JSON by the envelope and read back, is the same event."""

from __future__ import annotations

import functools
import types
import typing
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offhook.control.backend import EnvelopeMaker
from offhook.control.schema import event_from_json, hints_of, is_record
from offhook.errors import ParseError
from offhook.phone.events import EVENTS, CallEnded, Event

_TEXT = st.text("aZ09 \n\"\\/\0\u007f\u00e4\u20ac\U0001f600", max_size=8)
_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: _TEXT,
    int: st.integers(-(2**40), 2**40),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    datetime: st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)),
    dict[str, Any]: st.dictionaries(_TEXT, _TEXT | st.none(), max_size=3).map(lambda found: {"id": "h_1", **found}),
    type(None): st.none(),
}


@functools.cache
def _values(kind: Any) -> st.SearchStrategy[Any]:
    """Return values of a field's type, nested records included."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, types.UnionType):
        return st.one_of(*(_values(each) for each in arguments))
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(_values(arguments[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*(_values(each) for each in arguments))
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return st.sampled_from(list(kind))
    assert is_record(kind), f"no values for {kind}"
    return st.fixed_dictionaries({name: _values(hint) for name, hint in hints_of(kind).items()}).map(
        lambda fields: typing.cast("Any", kind)(**fields)
    )


@pytest.mark.parametrize("event_class", EVENTS, ids=lambda event: event.type)
def test_an_event_read_back_is_the_same(event_class: type[Event]) -> None:
    @settings(max_examples=max(2, settings().max_examples // 10))  # there are a hundred of these
    @given(_values(event_class))
    def check(event: Event) -> None:
        envelope = EnvelopeMaker("e1", lambda: 1.5).make(event)
        raw = msgspec.json.decode(envelope.json, type=dict[str, msgspec.Raw])
        assert event_from_json(event.type, raw["data"]) == event

    check()


def test_what_only_a_newer_phone_knows_is_left_out() -> None:
    assert event_from_json("call.teleported", b"{}") is None
    assert event_from_json("system.error", b'{"reason":"x","colour":"red"}') is not None


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"call":7,"duration":1}', b"\xff"])
def test_data_that_do_not_fit(data: bytes) -> None:
    with pytest.raises(ParseError, match=r"call\.ended"):
        event_from_json(CallEnded.type, data)
