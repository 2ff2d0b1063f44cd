"""`offhook record`: it says what becomes of the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from offhook.cli import main
from offhook.phone.commands import Command, Record
from offhook.phone.events import RecordingFailed, RecordingStarted
from offhook.phone.model import CallState, CallView, Party, wall
from offhook.testing.backend import FakeBackend
from offhook.testing.served import served

PARTY = Party("sip:x@h")
CALL = CallView("c_1", "a", "incoming", CallState.ACTIVE, PARTY, PARTY, "x@y", wall(0))


@pytest.mark.parametrize("words", [
    ["start", "talk.wav"], ["start", "--file", "talk.wav"], ["--file", "talk.wav"], ["talk.wav"], ["./talk.wav"],
])
def test_the_file_may_stand_behind_start_or_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    backend = FakeBackend()

    def start(_: Command) -> None:
        backend.emit(RecordingStarted(call=CALL, recording="rec_1", file="/rec/1.wav", format="wav"))
    backend.on_execute = start
    with served(backend, tmp_path / "s") as path:
        assert main(["record", *words, "--socket", path]) == 0
        assert main(["record", "stop", "talk.wav", "--socket", path]) == 2, "nothing is written then"
        assert main(["record", "talk.wav", "other.wav", "--socket", path]) == 2, "which of them?"
        assert main(["record", "sotp", "--socket", path]) == 2, "a word without a dot is an action that is misspelt"
    (command,) = backend.commands
    assert isinstance(command, Record)
    assert command.file == str(tmp_path / "talk.wav")


@pytest.mark.parametrize("fails", [True, False])
def test_a_file_that_cannot_be_made_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str], fails: bool) -> None:
    backend = FakeBackend()

    def start(_: Command) -> None:
        backend.emit(RecordingFailed(call=CALL, recording="rec_2", file="/rec/2.wav", reason="another one's"))
        if fails:
            backend.emit(RecordingFailed(call=CALL, recording="rec_1", file="/rec/1.wav", reason="/rec/1.wav: File exists"))
        else:
            backend.emit(RecordingStarted(call=CALL, recording="rec_1", file="/rec/1.wav", format="wav"))
    backend.on_execute = start
    with served(backend, tmp_path / "s") as path:
        assert main(["record", "--socket", path]) == int(fails)
    said = capsys.readouterr()
    assert (said.out, said.err) == (("", "record: /rec/1.wav: File exists\n") if fails else ("recording into /rec/1.wav\n", ""))
