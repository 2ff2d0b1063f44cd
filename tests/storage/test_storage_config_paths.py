"""`~` in the names of files and programs of the configuration."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from offhook.app.settings import complete
from offhook.storage.config import parse
from offhook.storage.config.files import at_home

TEXT = """
[phone]
recording_dir = "~/calls"
hold_music = "~/music.wav"
[http]
certificate = "~/c.pem"
key = "/etc/k.pem"
[hooks]
on_call_end = "~/bin/over --to ~/log"
[[hook]]
events = ["call.*"]
run = ["~/bin/note", "~"]
[account.a]
domain = "example.org"
username = "1"
tls_ca = "~/ca.pem"
tls_certificate = "~/ours.pem"
tls_key = "~/ours.key"
hold_music = "tone:440"
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    return str(tmp_path)


def test_files_and_programs_are_found_in_the_users_folder(home: str) -> None:
    config = at_home(parse(TEXT))
    assert (config.phone.recording_dir, config.phone.hold_music) == (f"{home}/calls", f"{home}/music.wav")
    assert (config.http.certificate, config.http.key) == (f"{home}/c.pem", "/etc/k.pem")
    assert config.hooks.on_call_end == (f"{home}/bin/over", "--to", "~/log"), "arguments are the program's own matter"
    assert config.hook[0].run == (f"{home}/bin/note", "~")
    account = config.accounts[0]
    assert (account.tls_ca, account.hold_music) == (f"{home}/ca.pem", "tone:440")
    assert (account.tls_certificate, account.tls_key) == (f"{home}/ours.pem", f"{home}/ours.key")


def test_a_file_without_such_names_is_the_same() -> None:
    config = parse('[phone]\nrecording_dir = "calls"\n')
    assert at_home(config) == config


def test_recordings_have_whole_names(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    assert complete(parse('[phone]\nrecording_dir = "calls"\n')).phone.recording_dir == os.path.join(home, "calls")
    assert complete(parse('[phone]\nrecording_dir = "~/calls"\n')).phone.recording_dir == os.path.join(home, "calls")
