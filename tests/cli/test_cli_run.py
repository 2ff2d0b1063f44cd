"""`offhook run`: when it does not start, and where its words go."""

from __future__ import annotations

import sys
from multiprocessing.connection import Listener
from pathlib import Path
from types import SimpleNamespace

import pytest

from offhook.app.serve import run_phone
from offhook.errors import SetupError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OFFHOOK_HOME", str(tmp_path))
    return tmp_path


def options(socket: Path) -> SimpleNamespace:
    return SimpleNamespace(config="", port=0, sound="null", media="thread", http="", socket=str(socket), verbose=False)


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe of whoever listens would do; what is tested is no matter of it")
def test_a_second_phone_is_refused_before_it_registers_or_writes_anything(home: Path) -> None:
    with Listener(str(home / "s"), "AF_UNIX"), pytest.raises(SetupError, match="already running"):
        run_phone(options(home / "s"))
    assert not (home / "state").exists(), "nothing ran"
