"""Help, the doctor, passwords, where the socket is, and how light the quick path stays."""

from __future__ import annotations

import errno
import gc
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import get_args, get_type_hints

import pytest

from offhook.app.settings import check_workers
from offhook.cli import main, microsip_main
from offhook.cli.actions.sound import MOST_SHOWN
from offhook.cli.helping import WIDTH, verb_help
from offhook.cli.options import ARGUMENTS, EXAMPLES, SPECIAL, USUAL, argument, meaning
from offhook.cli.outcome import EXIT_CODES
from offhook.cli.parsing import default_socket_path, parse
from offhook.cli.serve import SOUNDS
from offhook.cli.verbs import VERBS
from offhook.errors import SetupError
from offhook.io.probe import PATIENCE
from offhook.phone.captures import MOST_SECONDS
from offhook.phone.commands import COMMANDS, Capture
from offhook.phone.devices import MOST_INTERVAL_MS
from offhook.phone.events import EVENTS
from offhook.phone.meters import LEAST_CALL_INTERVAL_MS
from offhook.phone.playing import MAX_GAIN_DB, MIN_GAIN_DB
from offhook.phone.preferences import MAX_DELAY
from offhook.phone.settings import AccountSettings
from offhook.storage.config import MediaSettings
from offhook.storage.paths import socket_path
from offhook.storage.tokens import SCOPES
from offhook.testing.backend import FakeBackend
from offhook.testing.served import served


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OFFHOOK_HOME", str(tmp_path))
    monkeypatch.delenv("OFFHOOK_SOCKET", raising=False)
    return tmp_path


def test_more_media_workers_need_processes_and_no_sound_card() -> None:
    check_workers(MediaSettings())
    check_workers(MediaSettings(workers=4, sound="null"))
    with pytest.raises(SetupError, match=r'needs media\.sound = "null": every call is heard'):
        check_workers(MediaSettings(workers=2))
    with pytest.raises(SetupError, match=r'needs media\.mode = "process"'):
        check_workers(MediaSettings(workers=2, mode="thread", sound="null"))


def test_the_overview_names_every_verb_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help"]) == main([]) == main(["--help"]) == 0
    text = capsys.readouterr().out
    for verb in VERBS.values():
        assert f"  {verb.name} " in text
        assert verb.summary in text
    assert max(map(len, text.splitlines())) <= 128
    for code, told in EXIT_CODES.items():
        assert f"  {code}  {told}" in text


def test_the_overview_names_every_verb_of_the_contract() -> None:
    wanted = """run exchange status dial call calls answer reject redirect hangup hold resume mute unmute dtmf transfer
        info volume mic-volume devices accounts password history record play message events wait dnd forward auto-answer
        dde copydata open doctor quit"""
    assert set(wanted.split()) <= set(VERBS)


@pytest.mark.parametrize("name", list(VERBS))
def test_every_verb_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert main([name, "-h"]) == main(["help", name]) == 0
    assert f"usage: offhook {name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", list(VERBS))
def test_the_help_is_there_for_programs_too(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for line in (["help", name, "--json"], [name, "--help", "--json"]):
        assert main(line) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["verb"], found["usage"]) == (name, VERBS[name].usage)
        assert set(found["options"]) == {f"--{option}" for option in (*VERBS[name].options, "json", "socket")}
    assert main(["help", "--json"]) == 0
    assert found in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", list(VERBS))
def test_every_option_is_explained_in_the_help(name: str) -> None:
    lines = verb_help(VERBS[name]).splitlines()
    for option in (*VERBS[name].options, "json", "socket"):
        line = next(line for line in lines if line.startswith(f"  --{option} "))
        assert meaning(name, option) in line, option
        assert len(line) <= 128, line


@pytest.mark.parametrize("name", list(VERBS))
def test_every_argument_is_explained_in_the_help(name: str) -> None:
    lines = verb_help(VERBS[name]).splitlines()
    for word in VERBS[name].arguments:
        line = next(line for line in lines if line.startswith(f"  {word.upper()} "))
        assert line.endswith(argument(name, word.strip("[].")))
        assert len(line) <= 128, line
    usage = lines[: lines.index("")]
    assert " ".join(line.strip() for line in usage) == f"usage: {VERBS[name].usage} [--json] [--socket PATH]"
    assert all(len(line) <= WIDTH and line.count("[") == line.count("]") for line in usage)


def test_the_examples_are_understood() -> None:
    for name, examples in EXAMPLES.items():
        for example in examples:
            verb, *words = shlex.split(example)
            assert verb == name
            parse(VERBS[verb], words)


def test_no_argument_is_explained_that_does_not_exist() -> None:
    known = {verb.name: [word.strip("[].") for word in verb.arguments] for verb in VERBS.values()}
    assert [(verb, word) for verb, told in ARGUMENTS.items() for word in told if word not in known[verb]] == []


def test_no_option_is_explained_that_does_not_exist() -> None:
    assert set(SPECIAL) <= set(VERBS)
    assert [(verb, option) for verb, told in SPECIAL.items() for option in told if option not in VERBS[verb].options] == []
    assert set(USUAL) <= {option for verb in VERBS.values() for option in verb.options}


def test_the_help_has_the_defaults_that_hold() -> None:
    assert meaning("doctor", "timeout").endswith(f"without it {PATIENCE:g}")
    assert f" to {MOST_SECONDS}; without it {Capture().seconds:g}" in meaning("capture", "seconds")
    assert f"{MIN_GAIN_DB} to {MAX_GAIN_DB}" in meaning("play", "gain")
    assert f"{LEAST_CALL_INTERVAL_MS} to {MOST_INTERVAL_MS}" in meaning("levels", "interval")
    assert meaning("levels", "timeout").endswith(f"{MOST_SHOWN:g}")
    assert f"up to {MAX_DELAY}" in meaning("forward", "delay") == meaning("auto-answer", "delay")
    assert VERBS["accounts"].options["transport"].split("|") == list(get_args(get_type_hints(AccountSettings)["transport"]))
    assert meaning("token", "scopes").startswith(f"what is allowed, separated by commas: {','.join(SCOPES)}")


def test_every_command_and_event_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "ops"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {command.operation for command in COMMANDS} <= set(lines)
    assert main(["help", "types"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [event.type for event in EVENTS]
    assert [line for line in lines if not line.endswith((".", ")"))] == [], "the first line of a docstring is a sentence"
    for topic in ("ops", "types", "config", "service", "codes"):
        assert main(["help", topic, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)


@pytest.mark.lengthy
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_the_unit_of_a_server_is_understood_by_systemd_and_allows_little(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["help", "service"]) == 0
    unit = tmp_path / "offhook.service"
    unit.write_text(capsys.readouterr().out.replace("/opt/offhook/bin/offhook", "/bin/true"))
    said = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (0, "")
    measured = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", unit],
                              capture_output=True, text=True, check=False)  # fmt: skip
    assert measured.returncode == 0, measured.stdout[-100:]
    assert "\nMemoryDenyWriteExecute" not in unit.read_text(), "DTLS calls back by memory that is written and executed"


def test_microsip_help_and_versions(capsys: pytest.CaptureFixture[str]) -> None:
    assert microsip_main(["/?"]) == main(["--version"]) == microsip_main(["--version"]) == 0
    text = capsys.readouterr().out
    assert "--listdevices" in text
    assert "offhook 0." in text


def test_a_full_disk_is_a_plain_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setenv("OFFHOOK_HOME", str(tmp_path))
    monkeypatch.setattr(os, "fsync", full)
    assert main(["token", "create", "desk", "--scopes", "read"]) == 1
    assert capsys.readouterr() == ("", f"{tmp_path / 'tokens.json'}: cannot be written: No space left on device\n")


def test_a_sound_library_that_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--sound", "nosuch"]) == 2
    assert "auto, null, miniaudio, sounddevice" in capsys.readouterr().err
    assert set(SOUNDS) == set(get_args(get_type_hints(MediaSettings)["sound"]))


@pytest.mark.parametrize("environ", [
    {"OFFHOOK_HOME": "/srv/phone"}, {"XDG_RUNTIME_DIR": "/run/user/1000"}, {"OFFHOOK_SOCKET": "/x/y"},
    {"OFFHOOK_HOME": "relative"}, {"OFFHOOK_HOME": "/a/../b"}, {"OFFHOOK_HOME": "/" + "x" * 120}, {"XDG_RUNTIME_DIR": "no"}, {},
    {"OFFHOOK_HOME": "/srv/phone", "XDG_RUNTIME_DIR": "/run/user/1000"},
])  # fmt: skip
def test_the_socket_is_where_the_storage_says(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OFFHOOK_HOME", "OFFHOOK_SOCKET", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert default_socket_path() == socket_path()


def test_passwords_are_kept_for_the_next_start(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept: dict[str, str] = {}

    class Box:
        def set(self, name: str, value: str) -> None:
            kept[name] = value

    monkeypatch.setattr("offhook.cli.keep.open_secrets", lambda path: Box())
    read, write = os.pipe()
    os.write(write, b"s3cret\n")
    os.close(write)
    with os.fdopen(read) as pipe:
        monkeypatch.setattr("sys.stdin", pipe)
        assert main(["password", "work"]) == 0
        assert main(["password", "work"]) == 1
    assert kept == {"work": "s3cret"}
    assert "s3cret" not in "".join(capsys.readouterr())


def test_run_leaves_to_the_configuration_what_is_not_said(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[SimpleNamespace] = []

    def run_phone(options: SimpleNamespace) -> int:
        given.append(options)
        return 0

    monkeypatch.setattr("offhook.app.serve.run_phone", run_phone)
    try:
        assert main(["run"]) == main(["run", "--sound", "null", "--media", "thread"]) == 0
    finally:
        gc.enable()
    assert [(options.sound, options.media) for options in given] == [("", ""), ("null", "thread")]


def test_the_practice_exchange_asks_for_md5_alone_where_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def exchange(*_: object, algorithms: tuple[str, ...], **__: object) -> None:
        asked.append(algorithms)
        raise SetupError("seen")

    monkeypatch.setattr("offhook.exchange.server.Exchange", exchange)
    assert main(["exchange"]) == main(["exchange", "--md5"]) == 1
    assert asked == [("SHA-256", "MD5"), ("MD5",)]


def test_sound_is_carried_in_a_process_or_a_thread(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--media", "media"]) == 2
    assert "--media is process or thread" in capsys.readouterr().err


def test_the_quick_path_imports_nothing_heavy(tmp_path: Path) -> None:
    program = "import sys; from offhook.cli import main; code = main(['status']); print(code, *sys.modules)"
    with served(FakeBackend(), tmp_path / "s") as path:
        found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env={
            **os.environ, "OFFHOOK_SOCKET": path,
        })  # fmt: skip
    status, modules = found.stdout.splitlines()
    assert status == "idle"
    assert modules.split()[0] == "0"
    heavy = {"asyncio", "msgspec", "argparse", "dataclasses", "logging", "offhook.phone", "subprocess", "tempfile", "hashlib"}
    assert not heavy & set(modules.split())
