"""Contacts: made, changed, searched, imported, refreshed from a directory; and calls that show their names."""

from __future__ import annotations

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from offhook.errors import InvalidArgument, InvalidState, NotFound
from offhook.phone import commands as c
from offhook.phone import contacts as book
from offhook.phone import events as e
from offhook.phone.contacts import ContactsLoaded, DirectoryListed
from offhook.phone.model import Contact, ContactDetails
from offhook.testing.phones import VirtualPhone, over, rings, two_phones
from offhook.testing.wire import Wire

HOSTILE = '"; rm -rf / & %PATH% \n/transfer:999 \x1b[2J\u202e$(id)`'


@pytest.fixture
def phone() -> VirtualPhone:
    return VirtualPhone(Wire(), "alice", "10.0.0.1")


def add(phone: VirtualPhone, name: str, number: str = "", **more: str) -> Contact:
    contact = phone.execute(c.AddContact(details=ContactDetails(name=name, number=number, **more))).value  # type: ignore[arg-type]
    assert isinstance(contact, Contact)
    return contact


def names(phone: VirtualPhone, **ask: object) -> list[str]:
    return [found.name for found in phone.execute(c.ListContacts(**ask)).value]  # type: ignore[arg-type]  # its fields


def test_a_contacts_life(phone: VirtualPhone) -> None:
    ada = add(phone, "Ada", "1001")
    assert phone.execute(c.GetContact(contact=ada.id)).value == ada
    changed = phone.execute(c.UpdateContact(contact=ada.id, details=ContactDetails(name="Ada L.", starred=True))).value
    assert (changed.id, changed.name, changed.number, changed.starred) == (ada.id, "Ada L.", "", True)
    phone.execute(c.RemoveContact(contact=ada.id))
    assert isinstance(phone.refuses(c.GetContact(contact=ada.id)), NotFound)
    assert [event.change for event in phone.of(e.ContactChanged)] == ["created", "updated", "deleted"]
    assert phone.of(e.ContactChanged)[2].subject == f"contacts/{ada.id}"


def test_an_update_that_changes_nothing_says_nothing(phone: VirtualPhone) -> None:
    ada = add(phone, "Ada")
    phone.execute(c.UpdateContact(contact=ada.id, details=ContactDetails(name="Ada")))
    assert len(phone.of(e.ContactChanged)) == 1


def test_pages_are_in_the_order_of_names(phone: VirtualPhone) -> None:
    for name in ("delta", "Alpha", "charlie", "Bravo"):
        add(phone, name)
    first = phone.execute(c.ListContacts(limit=3)).value
    assert [found.name for found in first] == ["Alpha", "Bravo", "charlie"]
    assert names(phone, after=first[-1].id) == ["delta"]
    for bad in ({"limit": 0}, {"limit": book.MAX_PAGE + 1}, {"search": "x" * 257}):
        assert isinstance(phone.refuses(c.ListContacts(**bad)), InvalidArgument)
    assert isinstance(phone.refuses(c.ListContacts(after="nobody")), NotFound)


def test_search_wants_every_word_in_whichever_field(phone: VirtualPhone) -> None:
    add(phone, "Ada Lovelace", "+49 30 123-456", city="London")
    add(phone, "Grace", "1002", comment="Navy, London")
    assert names(phone, search="LONDON") == ["Ada Lovelace", "Grace"]
    assert names(phone, search="london ada") == ["Ada Lovelace"]
    assert names(phone, search="+4930123456") == ["Ada Lovelace"]
    assert names(phone, search="100") == ["Grace"]
    assert names(phone, search="%") == []


@pytest.mark.parametrize("details", [
    ContactDetails(name=""), ContactDetails(name="x" * 513), ContactDetails(name="x", comment="y" * 4097),
])
def test_what_does_not_fit_is_refused(phone: VirtualPhone, details: ContactDetails) -> None:
    assert isinstance(phone.refuses(c.AddContact(details=details)), InvalidArgument)
    refused = phone.refuses(c.ImportContacts(contacts=(ContactDetails(name="good"), details)))
    assert isinstance(refused, InvalidArgument)
    assert refused.errors[0].pointer.startswith("/contacts/1/")


def test_an_import_knows_again_what_it_brought(phone: VirtualPhone) -> None:
    many = (ContactDetails(name="Ada", number="1"), ContactDetails(name="Bob", external_id="crm-7", number="2"))
    assert phone.execute(c.ImportContacts(contacts=many)).value.added == 2
    again = (many[0], ContactDetails(name="Robert", external_id="crm-7", number="3"), ContactDetails(name="Ada", number="9"))
    found = phone.execute(c.ImportContacts(contacts=again)).value
    assert (found.added, found.updated, found.unchanged) == (1, 1, 1)
    assert names(phone) == ["Ada", "Ada", "Robert"]
    assert [(ev.added, ev.updated) for ev in phone.of(e.ContactsImported)] == [(2, 0), (1, 1)]
    phone.execute(c.ImportContacts(contacts=again))
    assert len(phone.of(e.ContactsImported)) == 2
    assert isinstance(phone.refuses(c.ImportContacts(contacts=many * 251)), InvalidArgument)


@pytest.mark.parametrize("gone", range(3))
def test_an_import_knows_again_who_is_left_of_the_same_contacts(phone: VirtualPhone, gone: int) -> None:
    same = [add(phone, "Ada", "1001") for _ in range(3)]
    phone.execute(c.RemoveContact(contact=same.pop(gone).id))
    phone.execute(c.UpdateContact(contact=same[0].id, details=ContactDetails(name="Another", number="1001")))
    seen = phone.execute(c.ImportContacts(contacts=(ContactDetails(name="Ada", number="1001", city="London"),))).value
    assert (seen.added, seen.updated) == (0, 1)
    assert phone.execute(c.GetContact(contact=same[1].id)).value.city == "London"


@pytest.mark.plain
def test_there_is_an_end_to_contacts(phone: VirtualPhone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "MAX_CONTACTS", 2)
    many = tuple(ContactDetails(name=str(number)) for number in range(3))
    assert isinstance(phone.refuses(c.ImportContacts(contacts=many)), InvalidState)
    for _ in range(2):  # what has come in stays, where there is no room for more
        phone.receive(DirectoryListed(many[::-1], complete=True))
        assert names(phone) == ["1", "2"]
    assert [(event.added, event.removed) for event in phone.of(e.ContactsImported)] == [(2, 0)]
    assert isinstance(phone.refuses(c.AddContact(details=many[0])), InvalidState)


def test_a_directory_comes_in_parts_and_what_it_names_no_more_is_gone(phone: VirtualPhone) -> None:
    add(phone, "Mine", "1")
    ada, bob = ContactDetails(name="Ada", number="10"), ContactDetails(name="Bob", number="11")
    phone.receive(DirectoryListed((ada,)))
    phone.receive(DirectoryListed((bob, ContactDetails(name="")), complete=True))
    before = {found.name: found for found in phone.execute(c.ListContacts()).value}
    assert {name: found.source for name, found in before.items()} == {"Ada": "directory", "Bob": "directory", "Mine": ""}
    phone.receive(DirectoryListed((ada,), complete=True, statuses={"10": ("busy", "in a meeting"), "1": ("busy", "")}))
    ada_now = phone.execute(c.GetContact(contact=before["Ada"].id)).value
    assert (ada_now.status, ada_now.info) == ("busy", "in a meeting")
    assert names(phone) == ["Ada", "Mine"]
    assert [(ev.added, ev.updated, ev.removed) for ev in phone.of(e.ContactsImported)] == [(2, 0, 0), (0, 1, 1)]
    for command in (c.RemoveContact(contact=ada_now.id), c.UpdateContact(contact=ada_now.id, details=ada)):
        assert isinstance(phone.refuses(command), InvalidState)


def test_what_a_person_of_the_directory_does_is_news_once(phone: VirtualPhone) -> None:
    told = {"10": ("busy", "in a meeting")}
    for _ in range(2):
        phone.receive(DirectoryListed((ContactDetails(name="Ada", number="10"),)))
        phone.receive(DirectoryListed((), complete=True, statuses=told))
        (ada,) = phone.execute(c.ListContacts()).value
        phone.receive(DirectoryListed((ContactDetails(name="Ada", number="10"),)))
        assert phone.execute(c.GetContact(contact=ada.id)).value.info == "in a meeting", "between the parts, too"
    phone.receive(DirectoryListed((), complete=True, statuses={"10": ("busy", "")}))
    assert phone.execute(c.GetContact(contact=ada.id)).value.info == ""
    assert [(event.added, event.updated) for event in phone.of(e.ContactsImported)] == [(1, 1), (0, 1)]


def test_what_is_loaded_is_not_unsaved_and_what_changes_is(phone: VirtualPhone) -> None:
    phone.receive(ContactsLoaded((Contact(id="ct_1", name="Ada", number="1"), Contact(id="ct_2", name="Bob"))))
    assert phone.phone.contacts.unsaved() == book.Unsaved((), ())
    cara = add(phone, "Cara")
    phone.execute(c.RemoveContact(contact="ct_2"))
    phone.receive(ContactsLoaded((Contact(id=cara.id, name="Old"),)))
    unsaved = phone.phone.contacts.unsaved()
    assert (unsaved.changed, unsaved.removed) == ((cara,), ("ct_2",))
    assert phone.phone.contacts.unsaved() == book.Unsaved((), ())


def test_calls_both_ways_show_the_contacts_name() -> None:
    alice, bob = two_phones(Wire())
    add(alice, "Bob at work", "sip:offhook@10.0.0.2")
    add(bob, HOSTILE, "offhook")
    alice.dial(bob)
    alice.wire.run_until(rings(bob), 60)
    assert alice.only.remote.display == alice.only.remote.contact == "Bob at work"
    assert (bob.only.remote.display, bob.only.remote.said, bob.only.remote.contact) == (HOSTILE, "", HOSTILE)
    assert bob.of(e.CallIncoming)[0].call.remote.contact == HOSTILE
    bob.execute(c.Answer())
    alice.wire.run_until(lambda: alice.only.is_connected, 60)
    assert (alice.only.remote.display, alice.only.remote.contact) == ("Bob at work", "Bob at work")
    alice.execute(c.HangupAll())
    over(alice, bob)


def test_a_call_that_is_sent_elsewhere_shows_who_is_there() -> None:
    alice, bob = two_phones(Wire())
    carol = VirtualPhone(alice.wire, "carol", "10.0.0.3")
    add(alice, "Carol", "sip:offhook@10.0.0.3")
    alice.dial(bob)
    alice.wire.run_until(rings(bob), 60)
    bob.execute(c.Redirect(to="sip:offhook@10.0.0.3"))
    alice.wire.run_until(rings(carol), 60)
    assert alice.only.remote.contact == "Carol"
    alice.execute(c.HangupAll())
    over(alice, bob, carol)


def test_a_text_shows_who_sent_it() -> None:
    alice, bob = two_phones(Wire())
    add(bob, "Alice", "offhook")
    alice.execute(c.SendMessage(to="sip:offhook@10.0.0.2", text="hi"))
    alice.wire.run(alice.wire.now + 5)
    assert bob.of(e.MessageReceived)[0].remote.contact == "Alice"


class Book(RuleBasedStateMachine):
    """Whatever is done, the phone knows the same contacts as a plain list, and the disk is told of each change."""

    def __init__(self) -> None:
        super().__init__()
        self.phone = VirtualPhone(Wire(), "alice", "10.0.0.1")
        self.mine: dict[str, ContactDetails] = {}
        self.kept: dict[str, Contact] = {}

    details = st.builds(ContactDetails, name=st.sampled_from("ABC"), number=st.sampled_from(["", "1001", "+4912345"]))

    @rule(details=details)
    def add(self, details: ContactDetails) -> None:
        self.mine[self.phone.execute(c.AddContact(details=details)).value.id] = details

    @rule(details=details, data=st.data())
    def update(self, details: ContactDetails, data: st.DataObject) -> None:
        if self.mine:
            contact = data.draw(st.sampled_from(sorted(self.mine)))
            self.phone.execute(c.UpdateContact(contact=contact, details=details))
            self.mine[contact] = details

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        if self.mine:
            contact = data.draw(st.sampled_from(sorted(self.mine)))
            self.phone.execute(c.RemoveContact(contact=contact))
            del self.mine[contact]

    @rule(listed=st.lists(details, max_size=4), complete=st.booleans())
    def directory(self, listed: list[ContactDetails], complete: bool) -> None:
        self.phone.receive(DirectoryListed(tuple(listed), complete))

    @rule(many=st.lists(details, max_size=4))
    def import_many(self, many: list[ContactDetails]) -> None:
        self.phone.execute(c.ImportContacts(contacts=tuple(many)))
        self.mine |= {found.id: details_of(found) for found in self.all() if not found.source}

    def all(self) -> list[Contact]:
        return list(self.phone.execute(c.ListContacts(limit=1000)).value)

    @invariant()
    def mine_are_as_they_should_be(self) -> None:
        assert {found.id: details_of(found) for found in self.all() if not found.source} == self.mine

    @invariant()
    def the_disk_can_follow(self) -> None:
        unsaved = self.phone.phone.contacts.unsaved()
        self.kept = {**self.kept, **{each.id: each for each in unsaved.changed}}
        for gone in unsaved.removed:
            self.kept.pop(gone, None)
        assert self.kept == {found.id: found for found in self.all()}

    @invariant()
    def the_index_holds_nothing_else(self) -> None:
        indexed = {contact for found in self.phone.phone.desk.names._found.values() for contact in found}
        assert indexed == {found for found in self.all() if found.number}


def details_of(contact: Contact) -> ContactDetails:
    return ContactDetails(name=contact.name, number=contact.number)


TestBook = Book.TestCase
TestBook.settings = hypothesis_settings(stateful_step_count=15)
