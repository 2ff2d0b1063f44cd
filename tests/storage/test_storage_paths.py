"""Where files live."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from offhook.errors import SetupError
from offhook.storage.paths import MAX_SOCKET_PATH, make_private, paths, socket_path

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX paths, owners and modes")


@posix
def test_xdg_folders() -> None:
    found = paths({
        "HOME": "/home/ann", "XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "/s", "XDG_DATA_HOME": "/d",
        "XDG_RUNTIME_DIR": "/run/user/7",
    }, "linux")
    assert found.config_file == Path("/c/offhook/offhook.toml")
    assert found.history_file == Path("/s/offhook/history.sqlite3")
    assert found.journal_file.parent == found.state
    assert found.recordings == Path("/d/offhook/recordings")
    assert found.runtime == Path("/run/user/7/offhook")


def test_xdg_defaults_and_relative_paths_that_do_not_count() -> None:
    found = paths({"HOME": "/home/ann", "XDG_CONFIG_HOME": "relative", "TMPDIR": "/tmp"}, "linux")
    assert found.config == Path("/home/ann/.config/offhook")
    assert found.state == Path("/home/ann/.local/state/offhook")
    assert found.runtime.parent == Path("/tmp")


def test_windows_and_macos() -> None:
    windows = paths({"APPDATA": "/roaming", "LOCALAPPDATA": "/local"}, "win32")
    assert (windows.config, windows.state) == (Path("/roaming/offhook"), Path("/local/offhook"))
    macos = paths({"HOME": "/Users/ann"}, "darwin")
    assert macos.config == macos.state == Path("/Users/ann/Library/Application Support/offhook")


@pytest.mark.parametrize("platform", ["linux", "win32", "darwin"])
def test_offhook_home_puts_everything_under_one_folder(platform: str, tmp_path: Path) -> None:
    found = paths({"OFFHOOK_HOME": str(tmp_path)}, platform)
    assert all(tmp_path in (each, *each.parents) for each in (
        found.config_file, found.secrets_file, found.history_file, found.recordings, found.runtime))


@posix
@pytest.mark.parametrize("environ", [{}, {"OFFHOOK_HOME": "~/phone"}])
def test_a_user_without_a_folder_is_told_what_to_set(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under a number."""

    def unknown(*_: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("home", "expanduser"):
        monkeypatch.setattr(Path, name, unknown)
    with pytest.raises(SetupError, match="OFFHOOK_HOME"):
        paths(environ, "linux")


@posix
def test_socket_names() -> None:
    env = {"XDG_RUNTIME_DIR": "/run/user/7", "HOME": "/h"}
    assert socket_path("", env, "linux") == "/run/user/7/offhook/offhook.sock"
    assert socket_path("desk", env, "linux") == "/run/user/7/offhook/offhook-desk.sock"
    assert socket_path("desk", {**env, "OFFHOOK_SOCKET": "/x.sock"}, "linux") == "/x.sock"
    assert socket_path("desk", {"USERNAME": "Änn B."}, "win32") == "\\\\.\\pipe\\offhook-Änn B.-desk"
    assert socket_path("", {"USERNAME": "a\\b"}, "win32") == "\\\\.\\pipe\\offhook-a-b"


def test_a_long_home_still_has_a_short_socket_of_its_own() -> None:
    first, second = (socket_path("", {"OFFHOOK_HOME": "/" + letter * 120}, "linux") for letter in "ab")
    assert len(first) < MAX_SOCKET_PATH
    assert first != second


def test_bad_instances_and_overrides_are_refused() -> None:
    with pytest.raises(SetupError, match="instance name"):
        socket_path("../evil", {}, "linux")
    with pytest.raises(SetupError, match="too long"):
        socket_path("", {"OFFHOOK_SOCKET": "/" + "x" * 200}, "linux")


@posix
def test_make_private(tmp_path: Path) -> None:
    made = make_private(tmp_path / "run" / "offhook")
    assert made.stat().st_mode & 0o777 == 0o700
    assert make_private(made) == made
    made.chmod(0o777)
    with pytest.raises(SetupError, match="chmod"):
        make_private(made)


@posix
def test_make_private_says_what_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="cannot create"):
        make_private(tmp_path / "file" / "offhook")


@posix
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    with pytest.raises(SetupError, match="another user"):
        make_private(tmp_path)
