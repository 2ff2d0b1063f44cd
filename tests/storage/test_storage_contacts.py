"""Contacts on a real disk, and how a running phone has them again after its end."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from offhook.app.running import Files, RunningPhone
from offhook.io.journal import Envelope
from offhook.phone.commands import AddContact, GetContact, ListContacts, RemoveContact
from offhook.phone.contacts import Unsaved
from offhook.phone.events import SystemError
from offhook.phone.model import Contact, ContactDetails
from offhook.storage import opening
from offhook.storage.config import Config, MediaSettings, SipSettings
from offhook.storage.contacts import ContactFile

CONFIG = Config(sip=SipSettings(host="127.0.0.1", port=0), media=MediaSettings(mode="thread", sound="null"))

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def test_contacts_come_back_as_they_were(tmp_path: Path) -> None:
    ada = Contact(id="ct_1", name='"; DROP TABLE contacts; --', number="+49\n%", starred=True, source="directory")
    bob = Contact(id="ct_2", name="Bob")
    first = ContactFile(tmp_path / "state" / "c.sqlite3")
    first.keep(Unsaved((ada, bob), ()))
    first.keep(Unsaved((), ("ct_2", "nobody")))
    first.close()
    second = ContactFile(tmp_path / "state" / "c.sqlite3")
    assert second.load() == (ada,)
    second.close()
    second.close()


CONTACTS = st.builds(Contact, id=TEXT, name=TEXT, number=TEXT, comment=TEXT, presence=st.booleans())


@pytest.mark.lengthy
@given(st.lists(CONTACTS, unique_by=lambda contact: contact.id))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_kept(tmp_path_factory: pytest.TempPathFactory, contacts: list[Contact]) -> None:
    file = ContactFile(tmp_path_factory.mktemp("c") / "c.sqlite3")
    file.keep(Unsaved(tuple(contacts), ()))
    assert {found.id: found for found in file.load()} == {found.id: found for found in contacts}
    file.close()


async def start(path: Path) -> RunningPhone:
    phone = await RunningPhone.start(CONFIG, Files(contacts=path))
    await asyncio.wait_for(phone.people.loaded.wait(), 10)
    return phone


async def test_a_phone_knows_its_contacts_again(tmp_path: Path) -> None:
    path = tmp_path / "contacts.sqlite3"
    phone = await start(path)
    ada = phone.execute(AddContact(details=ContactDetails(name="Ada", number="1001"))).value
    gone = phone.execute(AddContact(details=ContactDetails(name="Gone"))).value
    phone.execute(RemoveContact(contact=gone.id))
    await phone.close()
    again = await start(path)
    assert again.execute(ListContacts()).value == (ada,)
    await again.close()


async def test_a_phone_without_contacts_writes_no_file(tmp_path: Path) -> None:
    phone = await start(tmp_path / "contacts.sqlite3")
    phone.execute(ListContacts())
    await phone.close()
    assert os.listdir(tmp_path) == []


async def test_many_are_read_without_a_pause(tmp_path: Path) -> None:
    path = tmp_path / "contacts.sqlite3"
    file = ContactFile(path)
    file.keep(Unsaved(tuple(Contact(id=f"ct_{n}", name=f"N{n}", number=f"555{n:05}") for n in range(1200)), ()))
    file.close()
    phone = await start(path)
    assert phone.execute(GetContact(contact="ct_1199")).value.name == "N1199"
    await phone.close()


async def unusable(path: Path) -> tuple[RunningPhone, list[str]]:
    """Return a phone whose contacts cannot be written, with one that was added, and what it says."""
    phone = await RunningPhone.start(CONFIG, Files(contacts=path))
    told: list[str] = []
    heard = asyncio.Event()

    def hear(envelope: Envelope) -> None:
        assert isinstance(envelope.event, SystemError)
        told.append(envelope.event.reason)
        heard.set()

    phone.subscribe(hear, SystemError)
    phone.execute(AddContact(details=ContactDetails(name="Ada")))
    await asyncio.wait_for(heard.wait(), 10)
    assert told[0].startswith("contacts are not kept: ")
    assert told[0].endswith("; what is new waits until they can be")
    return phone, told


async def test_a_disk_that_cannot_be_used_costs_the_contacts_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "contacts.sqlite3"
    phone, told = await unusable(path)
    assert len(phone.execute(ListContacts()).value) == 1
    await phone.close()
    await asyncio.sleep(0)
    assert told[1:] == [f"1 change(s) of contacts are missing in {path}"]


@pytest.mark.parametrize("seconds", [0.01, 1000.0], ids=["tried again and again", "tried at the end"])
async def test_what_is_added_while_the_disk_cannot_be_used_is_written_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr(opening, "RETRY_SECONDS", seconds)
    folder = tmp_path / "state"
    folder.write_text("")
    phone, told = await unusable(folder / "contacts.sqlite3")
    phone.execute(AddContact(details=ContactDetails(name="Bob")))
    folder.unlink()
    if seconds < 1:
        assert phone.people._opening is not None
        await asyncio.wait_for(asyncio.shield(phone.people._opening), 10)
        phone.execute(AddContact(details=ContactDetails(name="Cleo")))
    await phone.close()
    assert len(told) == 1
    file = ContactFile(folder / "contacts.sqlite3")
    assert {found.name for found in file.load()} == {"Ada", "Bob", *(["Cleo"] if seconds < 1 else [])}
    file.close()
