"""Sound files that commands name: what is not there is refused at once, and a disk that does not answer holds nothing up."""

from __future__ import annotations

import errno
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from offhook.app.running import RunningPhone
from offhook.errors import InvalidArgument
from offhook.io import sound_files
from offhook.io.sound_files import SoundFiles
from offhook.phone.commands import AddAccount, Answer, Command, Dial, Hangup, ListAccounts, ListCalls, Play, UpdateAccount
from offhook.phone.settings import AccountSettings
from offhook.testing.live import LivePhone, live_phone, quiet_config

MISSING = os.strerror(errno.ENOENT) if os.name == "posix" else "."  # Windows has other words for it


def commands(path: str) -> list[tuple[str, Command]]:
    return [
        ("file", Play(file=path)), ("play", Dial(to="1001", play=path)), ("play", Answer(play=path)),
        ("account/hold_music", AddAccount(account=account(path))),
        ("changes/hold_music", UpdateAccount(account="a_1", changes={"hold_music": path})),
    ]  # fmt: skip


def account(music: str) -> AccountSettings:
    return AccountSettings("a_1", "10.0.0.2", "1001", "secret", register=False, hold_music=music)


def test_what_is_there_is_not_looked_at_further(tmp_path: Path) -> None:
    sound = tmp_path / "a.wav"
    sound.write_bytes(b"anything")
    for command in (Hangup(), Play(), Play(tone="440"), Dial(to="1001"), *(each for _, each in commands(str(sound)))):
        SoundFiles().check(command)
    for music in ("", "tone:440"):
        SoundFiles().check(AddAccount(account=account(music)))
    for changes in ({}, {"label": "Desk"}, {"hold_music": 5}):
        SoundFiles().check(UpdateAccount(account="a_1", changes=changes))


@pytest.mark.parametrize(("name", "why"), [("missing.wav", MISSING), (".", "not a file"), ("a\0.wav", "null")])
def test_what_cannot_be_played_is_told_with_its_field(tmp_path: Path, name: str, why: str) -> None:
    for field, command in commands(f"{tmp_path}/{name}"):
        with pytest.raises(InvalidArgument, match=why) as refused:
            SoundFiles().check(command)
        assert [each.pointer for each in refused.value.errors] == [f"/{field}"]


def test_a_disk_that_does_not_answer_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()

    def hangs(path: str) -> str:
        answers.wait(10)
        return f"{path} is late"

    monkeypatch.setattr(sound_files, "trouble_of", hangs)
    monkeypatch.setattr(sound_files, "PATIENCE", 0.001)
    files = SoundFiles()
    for _ in range(3):
        files.check(Play(file="/server/a.wav"))
    waiting = [thread for thread in threading.enumerate() if thread.name == "offhook-sound-file"]
    assert len(waiting) == 1
    answers.set()
    waiting[0].join(10)


def test_a_system_without_threads_refuses_no_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def none_left(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    SoundFiles().check(Play(file=str(tmp_path / "missing.wav")))


async def test_a_phone_dials_nobody_for_a_sound_that_is_missing() -> None:
    async with live_phone(quiet_config()) as phone:
        with pytest.raises(InvalidArgument, match=r"play: /no/such\.wav: "):
            phone.execute(Dial(to="sip:1001@127.0.0.1:9", play="/no/such.wav"))
        assert phone.execute(ListCalls()).value == ()


async def test_music_that_is_missing_is_told_at_the_start_and_costs_no_account(tmp_path: Path) -> None:
    """It came out when a call was put on hold, and only who read the events heard of it."""
    here, config = tmp_path / "here.wav", quiet_config()
    here.write_bytes(b"anything")
    music = "/no/a.wav", str(here), "tone:440", "/no/a.wav"
    accounts = [replace(account(each), id=f"a_{number}") for number, each in enumerate(music)]
    config = replace(config, phone=replace(config.phone, hold_music="/no/b.wav"), accounts=tuple(accounts))
    running = RunningPhone(config)
    phone = LivePhone(running)
    await running.begin()
    try:
        await phone.until(lambda: phone.types.count("system.error") == 2)
        said = [each.data["reason"] for each in phone.events if each.type == "system.error"]
        assert [reason.rpartition(": ")[0] for reason in said] == ["hold_music: /no/b.wav", "hold_music: /no/a.wav"]
        assert len(phone.execute(ListAccounts()).value) == 4
    finally:
        await running.close()
