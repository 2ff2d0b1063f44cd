"""Texts that are kept: in order, by pages, bounded, and through a whole phone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from offhook.app.running import Files, RunningPhone
from offhook.control.operations import Operations
from offhook.errors import NotFound
from offhook.phone.commands import SendMessage
from offhook.phone.model import wall
from offhook.phone.records import MessageEntry
from offhook.storage import texts
from offhook.storage.texts import TextFile
from offhook.testing.live import LivePhone, live_phone, quiet_config


def record(number: int) -> MessageEntry:
    at = wall(number + 0.5)
    return MessageEntry(f"m{number}", at, "incoming", "a", "sip:x@h", "Ada", f"text {number}", "text/plain", "received", 0, "")


def test_pages_come_newest_first(tmp_path: Path) -> None:
    file = TextFile(tmp_path / "t.sqlite3")
    for number in (2, 1, 4, 3):
        file.add(record(number))
    assert [found.id for found in file.list(2)] == ["m4", "m3"]
    assert file.list(5, "m3") == (record(2), record(1))
    file.close()
    again = TextFile(tmp_path / "t.sqlite3")
    assert len(again.list(9)) == 4
    again.clear()
    assert again.list(9) == ()
    again.close()


def test_only_so_many_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "MAX_KEPT", 3)
    file = TextFile(tmp_path / "t.sqlite3")
    for number in range(6):
        file.add(record(number))
    assert [found.id for found in file.list(9)] == ["m5", "m4", "m3"]
    file.close()


def test_long_texts_do_not_fill_the_disk(tmp_path: Path) -> None:
    file = TextFile(tmp_path / "t.sqlite3", most_bytes=100_000)
    for number in range(20):
        file.add(structs.replace(record(number), text="é" * 10_000))
        file._database.ask(lambda _: None)
    found = file.list(50)
    assert found[0].id == "m19"
    assert 2 <= len(found) <= 5
    file.close()


async def asked(phone: RunningPhone) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await Operations(phone).run_aside("messages", {}))["messages"]
    return found


async def test_both_sides_keep_what_was_said_and_what_was_refused(tmp_path: Path) -> None:
    running = await RunningPhone.start(quiet_config(), Files(texts=tmp_path / "t.sqlite3"))
    here = LivePhone(running)
    try:
        async with live_phone() as there:
            said = here.execute(SendMessage(to=there.uri, text="see you\nat nine")).value["message"]
            assert (await here.event("message.sent")).subject == f"messages/{said}"
            since = len(here.events)
            there.execute(SendMessage(to=here.uri, text="\x1b[2J fine"))
            await here.event("message.received", since)
            with pytest.raises(NotFound, match="keeps no texts"):
                await asked(there.running)
        here.execute(SendMessage(to="sip:nobody@127.0.0.1:9;transport=tcp", text="hello?"))
        await here.event("message.failed")
        failed, came, sent = await asked(running)
        assert (sent["id"], sent["direction"], sent["state"], sent["text"]) == (said, "outgoing", "sent", "see you\nat nine")
        assert (came["direction"], came["state"], came["text"]) == ("incoming", "received", "\x1b[2J fine")
        assert (failed["state"], failed["text"], failed["sip_status"]) == ("failed", "hello?", 503)
        assert running.texts(5, said) == []
        with pytest.raises(NotFound):  # an empty page would be the end of what there is
            running.texts(5, "msg_gone")
    finally:
        await running.close()
    kept = TextFile(tmp_path / "t.sqlite3")
    assert len(kept.list(9)) == 3, "also after the end"
    kept.close()


async def test_what_comes_while_the_disk_cannot_be_used_is_written_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offhook.storage.opening.RETRY_SECONDS", 0.01)
    folder = tmp_path / "state"
    folder.write_text("")
    here = LivePhone(await RunningPhone.start(quiet_config(), Files(texts=folder / "t.sqlite3")))
    try:
        here.execute(SendMessage(to="sip:nobody@127.0.0.1:9;transport=tcp", text="hello?"))
        said = (await here.event("system.error")).data["reason"]
        assert said.startswith("texts are not kept: ")
        folder.unlink()
        assert here.running._texts._opening is not None
        await asyncio.wait_for(asyncio.shield(here.running._texts._opening), 10)
    finally:
        await here.running.close()
    kept = TextFile(folder / "t.sqlite3")
    assert [found.text for found in kept.list(9)] == ["hello?"]
    kept.close()
