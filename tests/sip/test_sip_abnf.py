"""The shared grammar: quoting, escapes, lists and parameters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import ParseError
from offhook.sip import abnf

text = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=30)


@given(text)
def test_quoting_is_undone(value: str) -> None:
    quoted = abnf.quote(value)
    assert abnf.quoted_end(quoted + "tail") == len(quoted)
    assert abnf.unquote(quoted) == value
    assert not abnf.breaks_line(quoted)
    assert abnf.split_list(f"{quoted},{quoted}") == [quoted, quoted]
    assert abnf.find_param(abnf.parse_params(f"a={quoted};b"), "a") == value


@given(st.text(max_size=20, alphabet="aé%;@ \U0001f600\udcff"))
def test_escaping_is_undone(value: str) -> None:
    escaped = abnf.escape(value, frozenset("a"))
    assert escaped.isascii()
    assert abnf.unescape(escaped) == value


def test_unescape_leaves_what_is_no_escape() -> None:
    assert abnf.unescape("é%C3%A9%zz%") == "éé%zz%"
    assert abnf.unescape("%ff") == "\udcff"


def test_params_keep_order_spelling_and_quotes() -> None:
    params = abnf.parse_params('A=1; b ;c="x;y" ; d=')
    assert params == (("A", "1"), ("b", None), ("c", '"x;y"'), ("d", ""))
    assert abnf.format_params(params) == ';A=1;b;c="x;y";d='
    assert [abnf.find_param(params, name) for name in ("a", "b", "c", "d", "e")] == ["1", "", "x;y", "", None]
    assert abnf.set_param(params, "a", "2")[0] == ("A", "2")
    assert abnf.set_param(params, "z", None)[-1] == ("z", None)
    assert abnf.drop_params(params, ("a", "B")) == params[2:]


@pytest.mark.parametrize("bad", ["", ";a", "a;;b", "a b", "a=b c", 'a="', 'a="b"c', "a=<b>", "a=b,c", "=", "a=\x01"])
def test_misspelt_params_are_refused(bad: str) -> None:
    with pytest.raises(ParseError):
        abnf.parse_params(bad)


def test_which_nul_may_be_in_a_header() -> None:
    assert abnf.breaks_line("a\x00")
    assert abnf.breaks_line("\\\r")
    assert not abnf.breaks_line('"\\\x00"')
