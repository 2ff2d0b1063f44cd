"""The runner itself: Windows programs start, say what they say, and are gone when the session is."""

from __future__ import annotations

from pathlib import Path

import pytest

from offhook import __version__
from offhook.testing.peers import PeerFailed
from offhook.testing.windows import Windows, windows_path

pytestmark = pytest.mark.windows


def test_it_is_a_windows_python(windows: Windows) -> None:
    done = windows.run("-c", "import sys; print(sys.platform, sys.argv[1:]); sys.exit(7)", "a b", 'c"d', "ü")
    assert done == (7, "win32 ['a b', 'c\"d', 'ü']\n")


def test_this_source_tree_runs(windows: Windows) -> None:
    code, said = windows.offhook("--version")
    assert (code, said.split()[:2]) == (0, ["offhook", __version__])


def test_a_program_is_watched_typed_into_and_ended(windows: Windows) -> None:
    talker = windows.start("-c", "print('ready'); print('heard', input()); input()")
    assert talker.wait_for("ready") == "ready"
    talker.write("hello\n")
    assert talker.wait_for("heard") == "heard hello"
    assert talker.alive()
    talker.stop()
    assert not talker.alive()


def test_what_never_comes_is_told_with_what_came_instead(windows: Windows) -> None:
    talker = windows.start("-c", "print('something else')")
    with pytest.raises(PeerFailed, match="did not print 'ready'\nsomething else"):
        talker.wait_for("ready", 30)
    talker.stop()


def test_a_program_that_does_not_end_is_ended(windows: Windows) -> None:
    with pytest.raises(PeerFailed, match="still runs after"):
        windows.run("-c", "input()", timeout=0.2)


def test_windows_own_programs_run(windows: Windows) -> None:
    key = r"HKCU\Software\offhook-test"
    assert windows.run_program("reg", "add", key, "/v", "name", "/d", "value", "/f").code == 0
    assert "value" in windows.run_program("reg", "query", key).output


def test_files_of_this_system_have_windows_names(windows: Windows, tmp_path: Path) -> None:
    file = tmp_path / "ü"
    windows.run("-c", "import sys; open(sys.argv[1], 'w').write('x')", windows_path(file))
    assert file.read_text() == "x"
