"""What a console or a pipe cannot show is written as JSON writes it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.cli import main
from offhook.cli.actions.common import json_text, say
from offhook.cli.letters import given_words, lenient


def stream(encoding: str) -> tuple[io.TextIOWrapper, io.BytesIO]:
    inner = io.BytesIO()
    made = io.TextIOWrapper(inner, encoding=encoding)
    lenient(made)
    return made, inner


@pytest.mark.parametrize(("encoding", "text", "written"), [
    ("cp1252", "Zoë", b"Zo\xeb"),
    ("cp1252", "Łódź ✓", b"\\u0141\xf3d\\u017a \\u2713"),
    ("ascii", "a\U0001f4de", b"a\\ud83d\\udcde"),
    ("utf-8", "Łódź", "Łódź".encode()),
    ("utf-8", "\udc80", b"\\udc80"),
])  # fmt: skip
def test_text(encoding: str, text: str, written: bytes) -> None:
    made, inner = stream(encoding)
    made.write(text)
    made.flush()
    assert inner.getvalue() == written


def test_the_c_locale() -> None:
    inner = io.BytesIO()
    made = io.TextIOWrapper(inner, encoding="ascii", errors="surrogateescape")  # what Python opens there
    lenient(made)
    made.write("a\udcff…\udc80\U0001f4de")
    made.flush()
    assert inner.getvalue() == b"a\xff\\u2026\x80\\ud83d\\udcde"


@pytest.mark.parametrize(("encoding", "written"), [
    ("cp1252", b'{"name": "J\\u00fcrgen"}'), ("utf-8", '{"name": "Jürgen"}'.encode()),
])  # fmt: skip
def test_json_is_utf8_whatever_the_output_is(monkeypatch: pytest.MonkeyPatch, encoding: str, written: bytes) -> None:
    made, inner = stream(encoding)
    monkeypatch.setattr(sys, "stdout", made)
    say(json_text({"name": "Jürgen"}))
    assert inner.getvalue().rstrip() == written


def test_without_a_console_it_prints_nowhere_and_ends_well(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert main(["--version"]) == 0
    assert main(["nonsense"]) == 2
    assert sys.stdin.read() == ""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows gives arguments as letters, not as bytes")
@pytest.mark.parametrize(("given", "read"), [
    ("1001", "1001"), ("Zoë", "Zoë"), ("J\udcc3\udcbcrgen", "Jürgen"), ("J\udcfcrgen", "J\udcfcrgen"),
])  # fmt: skip
def test_arguments_the_locale_could_not_read(monkeypatch: pytest.MonkeyPatch, given: str, read: str) -> None:
    monkeypatch.setattr("sys.argv", ["offhook", given])
    assert given_words() == [read]


@pytest.mark.lengthy
@given(st.text(st.characters()))
def test_json_stays_json(text: str) -> None:
    made, inner = stream("cp1252")
    made.write(json.dumps({"a": text}, ensure_ascii=False))
    made.flush()
    assert json.loads(inner.getvalue().decode("cp1252")) == {"a": text}


def test_a_stream_of_another_kind_is_left_alone() -> None:
    kept = io.StringIO()
    lenient(kept)
    kept.write("✓")
    assert kept.getvalue() == "✓"


@pytest.mark.lengthy
def test_the_command_line_prints_in_an_old_encoding() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-m", "offhook", "łódź"], env=environment, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"\\u0142" in done.stderr
    done = subprocess.run([sys.executable, "-m", "offhook", "help"], env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(os.name == "nt", reason="descriptors are POSIX's")
@pytest.mark.parametrize(("closed", "words", "code", "said"), [
    (1, ["help", "codes"], 0, b""), (2, ["moon"], 2, b""), (0, ["help", "codes"], 0, b""),
    (0, ["password", "a"], 1, b"nothing was typed"),
])  # fmt: skip
def test_a_stream_that_was_closed_is_there_and_nowhere(closed: int, words: list[str], code: int, said: bytes) -> None:
    line = [sys.executable, "-m", "offhook", *words]
    done = subprocess.run(["/bin/sh", "-c", f'exec "$@" {closed}>&-', "sh", *line], capture_output=True, check=False)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith(said)
    assert b"Traceback" not in done.stderr
