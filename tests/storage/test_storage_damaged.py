"""Files that a crash of the machine has damaged: the phone says so and begins new ones."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path

import pytest

from offhook.app.running import Files, RunningPhone
from offhook.control.client import Refused
from offhook.control.delivery import Progress, Webhook
from offhook.control.signing import new_secret
from offhook.io.journal import Envelope
from offhook.phone.events import SystemError
from offhook.storage import opening
from offhook.storage.config import Config, MediaSettings, SipSettings
from offhook.storage.paths import Paths, paths
from offhook.storage.webhooks import WebhookStore
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
    instance = paths().state / "instance-id"
    for file in (paths().journal_file, paths().history_file, instance):
        file.mkdir(parents=True)
    with phone_process(tmp_path) as phone:
        assert phone.ask("status")["value"]["name"] == "IDLE"
        with pytest.raises(Refused, match="cannot open the call history"):
            phone.ask("history")
        said = phone.said + phone.stop()
    assert "events are kept in memory alone until the phone is started again: cannot open the event journal" in said
    assert "past calls are not kept until the phone is started again: cannot open the call history" in said
    assert f"{instance}: cannot be written: " in said  # a directory; Windows says that it is forbidden
    assert "; registrars will take the phone for another one when" in said
    assert "Traceback" not in said


async def test_webhooks_whose_file_cannot_be_opened_are_served_as_soon_as_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended the start of the phone."""
    monkeypatch.setattr(opening, "RETRY_SECONDS", 0.01)
    file, kept = tmp_path / "webhooks.sqlite3", tmp_path / "kept.sqlite3"
    webhook = Webhook("wh_1", "https://127.0.0.1:9/x", ("call.*",), new_secret(), 5.0, "", "2026-01-01T00:00:00.000Z")
    store = WebhookStore(kept)
    store.add("wh_1", asdict(webhook), asdict(Progress("a-1")))
    store.close()
    file.mkdir()
    said: list[str] = []
    told = asyncio.Event()

    def note(envelope: Envelope) -> None:
        assert isinstance(envelope.event, SystemError)
        said.append(envelope.event.reason)
        told.set()

    config = Config(sip=SipSettings(host="127.0.0.1", port=0), media=MediaSettings(mode="thread", sound="null"))
    phone = await RunningPhone.start(config, Files(webhooks=file))
    try:
        phone.subscribe(note, SystemError)
        phone.serve_webhooks()
        await asyncio.wait_for(told.wait(), 10)
        file.rmdir()
        kept.rename(file)
        assert phone._serving is not None
        served = await asyncio.wait_for(asyncio.shield(phone._serving), 10)
        assert served is not None
        assert [each["id"] for each in served.list()] == ["wh_1"]
    finally:
        await phone.close()
    assert len(said) == 1
    assert said[0].startswith("webhooks are not served: cannot open the list of webhooks")
