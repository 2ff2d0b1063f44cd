"""Text of Windows programs of any age: what is UTF-16, what a code page, and where a C string ends."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.control.legacy.text import is_wide, read_c_string, read_text
from offhook.errors import InvalidArgument


@pytest.mark.parametrize(("payload", "wide"), [
    (b"", False), (b"1", False), (b"1\0", True), (b"1\x002\0", True), (b"12\0\0", False), (b"\xff\xfeA\0", True),
    (b"\0\0", False), (b"1\0ju", False), ("ü1".encode("utf-16-le"), True), ("ü1".encode(), False), (b"1\x002", False),
])  # fmt: skip
def test_what_is_utf_16(payload: bytes, wide: bool) -> None:
    assert is_wide(payload) == wide


@pytest.mark.parametrize("payload", ["grüße", "grüße\0", "\ufeffgrüße"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_both_encodings_are_read(payload: str, encoding: str) -> None:
    assert read_text(payload.encode(encoding)) == "grüße"


def test_a_code_page_is_the_last_resort() -> None:
    assert read_text("grüße".encode("cp1252"), "cp1252") == "grüße"
    with pytest.raises(InvalidArgument, match="neither UTF-8 nor UTF-16"):
        read_text("grüße".encode("cp1252"))


def test_what_lies_behind_the_nul_means_nothing() -> None:
    assert read_c_string(b"[Mute]\0\x07\xff junk", "cp1252") == "[Mute]"
    assert read_c_string("[Mute]\0\x07junk".encode("utf-16-le") + b"x\xd8", "cp1252") == "[Mute]"
    assert read_c_string(b"[Mute]", "cp1252") == "[Mute]"
    assert read_c_string(b"1\0junk") == read_c_string("1\0junk".encode("utf-16-le")) == read_c_string(b"1\0\0\0ju") == "1"


@pytest.mark.parametrize("payload", [b"1\x000", b"1\x000\x000"])
def test_utf_16_that_was_cut_is_no_shorter_number(payload: bytes) -> None:
    with pytest.raises(InvalidArgument):
        read_c_string(payload)
    assert read_c_string(payload[:2] + b"0\0\0\0x") == "10"  # with its end it is whole, whatever lies behind


@given(st.binary(max_size=60))
def test_any_bytes_are_text_or_refused(payload: bytes) -> None:
    for read in (read_text, lambda found: read_c_string(found, "cp1252")):
        with contextlib.suppress(InvalidArgument):
            assert "\0" not in read(payload)
