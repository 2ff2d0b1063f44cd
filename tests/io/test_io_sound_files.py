"""Sound files that commands name: what is not there is refused at once, and a disk that does not answer holds nothing up."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from offhook.errors import InvalidArgument
from offhook.io import sound_files
from offhook.io.sound_files import SoundFiles
from offhook.phone.commands import Answer, Command, Dial, Hangup, ListCalls, Play
from offhook.testing.live import live_phone, quiet_config

MISSING = os.strerror(errno.ENOENT) if os.name == "posix" else "."  # Windows has other words for it


def commands(path: str) -> list[tuple[str, Command]]:
    return [("file", Play(file=path)), ("play", Dial(to="1001", play=path)), ("play", Answer(play=path))]


def test_what_is_there_is_not_looked_at_further(tmp_path: Path) -> None:
    sound = tmp_path / "a.wav"
    sound.write_bytes(b"anything")
    for command in (Hangup(), Play(), Play(tone="440"), Dial(to="1001"), *(each for _, each in commands(str(sound)))):
        SoundFiles().check(command)


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

    monkeypatch.setattr(sound_files, "_trouble", hangs)
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
