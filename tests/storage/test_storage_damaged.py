"""Files that a crash of the machine has damaged: the phone says so and begins new ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from offhook.control.client import Refused
from offhook.storage.paths import Paths, paths
from offhook.testing.process import phone_process


@pytest.mark.lengthy
def test_a_phone_whose_files_are_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFHOOK_HOME", str(tmp_path))
    where: Paths = paths()
    files = (where.journal_file, where.history_file, where.contacts_file, where.texts_file, where.requests_file)
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"not a database" * 1000)
    with phone_process(tmp_path, "[http]\nenabled = true\nport = 0\n") as phone:
        assert phone.ask("list_contacts")["value"] == []  # contacts and texts are opened when they are asked for
        phone.ask("messages")
        phone.until("status", lambda answer: answer["value"]["name"] == "IDLE")
        said = phone.said + phone.stop()
    assert "Traceback" not in said
    assert said.count("was damaged: it is kept as") == len(files)
    assert len(list(tmp_path.rglob("*.damaged-*"))) == len(files)


@pytest.mark.lengthy
def test_a_phone_whose_files_cannot_be_opened_takes_calls_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk, or where somebody has started it as root once."""
    monkeypatch.setenv("OFFHOOK_HOME", str(tmp_path))
    for file in (paths().journal_file, paths().history_file):
        file.mkdir(parents=True)
    with phone_process(tmp_path) as phone:
        assert phone.ask("status")["value"]["name"] == "IDLE"
        with pytest.raises(Refused, match="cannot open the call history"):
            phone.ask("history")
        said = phone.said + phone.stop()
    assert "events are kept in memory alone until the phone is started again: cannot open the event journal" in said
    assert "past calls are not kept until the phone is started again: cannot open the call history" in said
    assert "Traceback" not in said
