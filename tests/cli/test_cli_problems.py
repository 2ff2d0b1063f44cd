"""With --json a failure is a problem object, as HTTP and the sockets give it: one line on stderr, the exit code as ever."""

from __future__ import annotations

import errno
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from offhook.cli import main
from offhook.cli.outcome import EXIT_CODES
from offhook.cli.problems import LOCAL, problem_line
from offhook.cli.verbs import VERBS
from offhook.errors import NO_THREAD, ConfigError, InvalidArgument, NotFound
from offhook.testing.backend import FakeBackend
from offhook.testing.served import served

Capture = pytest.CaptureFixture[str]


def problem(capsys: Capture) -> dict[str, Any]:
    """Return the one line that stderr has; stdout is empty."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    found = json.loads(err)
    assert isinstance(found, dict)
    assert {"code", "title", "detail"} <= set(found)
    return found


@pytest.fixture(autouse=True)
def nobody_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFHOOK_HOME", str(tmp_path))
    monkeypatch.setenv("OFFHOOK_SOCKET", str(tmp_path / "nobody"))


def test_every_failing_exit_code_has_a_problem() -> None:
    assert set(LOCAL) == set(EXIT_CODES) - {0}


def test_the_phone_s_own_problem_comes_as_it_is(tmp_path: Path, capsys: Capture) -> None:
    backend = FakeBackend()
    backend.refuse = InvalidArgument.field("to", "is no number")
    with served(backend, tmp_path / "s") as path:
        assert main(["dial", "x", "--json", "--socket", path]) == 1
    found = problem(capsys)
    assert found["code"] == "invalid-argument"
    assert found["errors"] == [{"pointer": "/to", "detail": "is no number"}]
    assert found["status"] == 422


@pytest.mark.parametrize(("encoding", "text"), [("utf-8", "grün"), ("UTF8", "grün"), ("cp1252", "gr\\u00fcn")])
def test_a_problem_is_utf_8_or_escaped(encoding: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", io.TextIOWrapper(io.BytesIO(), encoding))
    assert text in problem_line(1, "grün", {})


def test_no_phone(capsys: Capture) -> None:
    assert main(["status", "--json"]) == 3
    assert problem(capsys)["code"] == "no-phone"


@pytest.mark.skipif(os.name != "posix" or not os.getuid(), reason="nothing is forbidden here")
def test_a_socket_that_may_not_be_used(tmp_path: Path, capsys: Capture) -> None:
    with served(FakeBackend(), tmp_path / "s") as path:
        Path(path).chmod(0)
        assert main(["status", "--json", "--socket", path]) == 3
    assert "cannot be used" in problem(capsys)["detail"]


@pytest.mark.parametrize(("words", "pointer", "detail"), [
    (["dial"], "/to", "TO is missing"),
    (["dial", "1", "--nosuch"], "/nosuch", "there is no option --nosuch"),
    (["wait", "ended", "--timeout", "soon"], "/timeout", "--timeout must be a number, not 'soon'"),
    (["mic-volume", "loud"], "/volume", "volume must be a whole number, not 'loud'"),
    (["run", "--port", "70000"], "/port", "--port is 0 to 65535"),
])  # fmt: skip
def test_a_command_line_that_is_wrong(words: list[str], pointer: str, detail: str, capsys: Capture) -> None:
    assert main([*words, "--json"]) == 2
    found = problem(capsys)
    assert found["code"] == "invalid-argument"
    assert found["detail"] == detail
    assert found["errors"] == [{"pointer": pointer, "detail": detail}]
    assert found["usage"] == VERBS[words[0]].usage


def test_what_is_no_verb(capsys: Capture) -> None:
    assert main(["statsu", "--json"]) == 2
    assert "did you mean status?" in problem(capsys)["detail"]


@pytest.mark.parametrize(("error", "code"), [
    (ConfigError("offhook.toml: 1: x"), "setup"), (OSError(errno.ENOSPC, "no space", "f"), "setup"),
    (RuntimeError(NO_THREAD), "setup"),
    (NotFound("no such call"), "not-found"), (EOFError(), "command-refused"),
])  # fmt: skip
def test_what_goes_wrong_on_this_side(error: Exception, code: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> int:
        raise error
    monkeypatch.setattr(VERBS["status"], "run", fail)
    assert main(["status", "--json"]) == 1
    assert problem(capsys)["code"] == code


def test_letters_stay_letters(tmp_path: Path, capsys: Capture) -> None:
    assert main(["dial", "--socket", str(tmp_path), "--json", "--grüße"]) == 2
    assert "--grüße" in problem(capsys)["detail"]


def test_json_behind_two_dashes_is_a_word(capsys: Capture) -> None:
    assert main(["status", "--", "--json"]) == 2
    assert capsys.readouterr().err.startswith("'--json' is too much")
    assert main(["status"]) == 3
    assert capsys.readouterr().err.startswith("no phone is running")


def test_a_field_has_one_name_here_and_in_the_phone(capsys: Capture) -> None:
    assert main(["dial", "1001", "--ring-timeout", "soon", "--json"]) == 2
    assert problem(capsys)["errors"][0]["pointer"] == "/ring_timeout"
