"""Windows' access lists: whose an object is, and who else may use it. Runs where it is about, on Windows."""

from __future__ import annotations

import sys

import pytest

if sys.platform != "win32":
    pytest.skip("only Windows has these lists", allow_module_level=True)
assert sys.platform == "win32"

from pathlib import Path

from offhook.windows import security
from offhook.windows.security import WRITE, claim, is_ours, keep_private, strangers, user_sid


def test_who_we_are() -> None:
    assert user_sid().startswith("S-1-5-")


@pytest.mark.parametrize(("rights", "mask"), [("FA", 0x1F01FF), ("FRFX", 0x1200A9), ("0x1301bf", 0x1301BF), ("??", 0xFFFFFFFF)])
def test_rights(rights: str, mask: int) -> None:
    assert security._mask(rights) == mask


@pytest.mark.parametrize(
    ("rights", "reads", "writes"), [("FR", ["WD"], []), ("FA", ["WD"], ["WD"]), ("0x1301bf", ["WD"], ["WD"])]
)
def test_strangers(tmp_path: Path, rights: str, reads: list[str], writes: list[str]) -> None:
    file = tmp_path / "f"
    file.write_text("")
    security.describe(str(file), f"D:P(A;;FA;;;{user_sid()})(A;;{rights};;;WD)")
    assert strangers(str(file)) == reads
    assert strangers(str(file), WRITE) == writes
    keep_private(str(file))
    assert strangers(str(file)) == []


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        strangers("C:\\no such file")
    with pytest.raises(FileNotFoundError):
        keep_private("C:\\no such file")


def test_a_name_is_claimed_once() -> None:
    import _winapi

    handle = claim("offhook-test\\name")
    assert handle is not None
    assert claim("offhook-test\\name") is None
    assert is_ours(handle)
    _winapi.CloseHandle(handle)
    again = claim("offhook-test\\name")
    assert again is not None
    _winapi.CloseHandle(again)


def test_a_list_for_the_owner_alone_is_a_list() -> None:
    assert security.OwnerOnly().address != 0
    with pytest.raises(OSError, match=r"87|nvalid"):
        security._Descriptor("nonsense")
