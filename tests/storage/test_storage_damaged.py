"""Files that a crash of the machine has damaged: the phone says so and begins new ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from offhook.storage.paths import Paths, paths
from offhook.testing.process import phone_process


@pytest.mark.lengthy
def test_a_phone_whose_files_are_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFHOOK_HOME", str(tmp_path))
    where: Paths = paths()
    files = (where.journal_file, where.history_file, where.contacts_file, where.texts_file)
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"not a database" * 1000)
    with phone_process(tmp_path) as phone:
        assert phone.ask("list_contacts")["value"] == []  # contacts and texts are opened when they are asked for
        phone.ask("messages")
        phone.until("status", lambda answer: answer["value"]["name"] == "IDLE")
        said = phone.said + phone.stop()
    assert "Traceback" not in said
    assert said.count("was damaged: it is kept as") == len(files)
    assert len(list(tmp_path.rglob("*.damaged-*"))) == len(files)
