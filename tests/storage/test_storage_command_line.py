"""A program and its arguments from one text: paths with blanks, quotes, both systems' rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from offhook.storage.command_line import split


@pytest.mark.parametrize(("text", "files", "arguments"), [
    ("/bin/ring", (), ("/bin/ring",)),
    ("/bin/ring -s  x", (), ("/bin/ring", "-s", "x")),
    ('"/opt/My Programs/ring" -s', (), ("/opt/My Programs/ring", "-s")),
    ("'/opt/My Programs/ring' 'a b'", (), ("/opt/My Programs/ring", "a b")),
    ("/opt/My Programs/ring", ("/opt/My Programs/ring",), ("/opt/My Programs/ring",)),
    ("/opt/My Programs/ring -s 'a b'", ("/opt/My Programs/ring",), ("/opt/My Programs/ring", "-s", "a b")),
    ("/opt/My Programs/ring", (), ("/opt/My", "Programs/ring")),
    ("/a b c", ("/a b", "/a b c"), ("/a b c",)),
    ("ring $(reboot) `x` ; y", (), ("ring", "$(reboot)", "`x`", ";", "y")),
    ("", (), ()),
])
def test_elsewhere(text: str, files: tuple[str, ...], arguments: tuple[str, ...]) -> None:
    assert split(text, platform="linux", is_file=files.__contains__) == arguments


@pytest.mark.parametrize(("text", "files", "arguments"), [
    (r"C:\bin\ring.exe /x", (), (r"C:\bin\ring.exe", "/x")),
    (r'"C:\Program Files\ring.exe" "a b"  c', (), (r"C:\Program Files\ring.exe", "a b", "c")),
    (r"C:\Program Files\ring.exe -s", (r"C:\Program Files\ring.exe",), (r"C:\Program Files\ring.exe", "-s")),
    (r'x.exe "say \"hi\"" ""', (), ("x.exe", 'say "hi"', "")),
    ("x.exe 'a b'", (), ("x.exe", "'a", "b'")),
])
def test_on_windows(text: str, files: tuple[str, ...], arguments: tuple[str, ...]) -> None:
    assert split(text, platform="win32", is_file=files.__contains__) == arguments


@pytest.mark.parametrize("platform", ["linux", "win32"])
def test_a_quote_without_its_partner(platform: str) -> None:
    with pytest.raises(ValueError, match="quotation"):
        split('ring "a', platform=platform)


def test_a_real_file_with_blanks(tmp_path: Path) -> None:
    program = tmp_path / "my ring"
    program.touch()
    assert split(f"{program} 1") == (str(program), "1")
