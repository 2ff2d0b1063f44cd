"""The contacts: found, changed, imported, and brought up to date from a users directory. `unsaved` is for the disk."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec import structs

from offhook.errors import FieldError, InvalidArgument, InvalidState, NotFound
from offhook.phone.commands import (
    Accepted,
    AddContact,
    GetContact,
    ImportContacts,
    ListContacts,
    RemoveContact,
    UpdateContact,
)
from offhook.phone.desk import Desk
from offhook.phone.events import ContactChanged, ContactsImported
from offhook.phone.model import Contact, ContactDetails, ImportedView

MAX_CONTACTS: Final = 100_000
"""More people than one phone's user calls; keeps an endless import from filling the memory."""
MAX_FIELD: Final = 512
"""Characters of one field: longer than any name, address or number."""
MAX_COMMENT: Final = 4096
"""Characters of a comment."""
MAX_PAGE: Final = 1000
"""Contacts in one answer; further ones by `after`."""
MAX_BATCH: Final = 500
"""Contacts of one import command: what the phone takes in without its calls noticing. Send more in several commands."""
MAX_SEARCH: Final = 256
"""Characters of a search."""

DIRECTORY: Final = "directory"
"""The source of contacts that the users directory names."""

TEXTS: Final = tuple(each.name for each in structs.fields(ContactDetails) if each.type is str)


@dataclass(frozen=True, slots=True)
class ContactsLoaded:
    """Input: what was kept on the disk. May come in several parts."""

    contacts: tuple[Contact, ...]


@dataclass(frozen=True, slots=True)
class DirectoryListed:
    """Input: a part of a users directory. With `complete`, those that no part has named are gone.

    `statuses` gives by number what people do ("online" …), and the line to show with it in the place of the list's own.
    """

    contacts: tuple[ContactDetails, ...]
    complete: bool = False
    statuses: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unsaved:
    """What the disk does not know yet: contacts to write, and ids to forget."""

    changed: tuple[Contact, ...]
    removed: tuple[str, ...]


def check_details(details: ContactDetails, at: str = "/details") -> None:
    """Refuse what is too long or has no name; raises InvalidArgument that points at the field."""
    for name, text in zip(_FIELDS, structs.astuple(details), strict=False):
        if isinstance(text, str) and len(text) > MAX_FIELD and (name != "comment" or len(text) > MAX_COMMENT):
            raise _wrong(f"{at}/{name}", f"at most {MAX_COMMENT if name == 'comment' else MAX_FIELD} characters")
    if not details.name:
        raise _wrong(f"{at}/name", "a contact needs a name (a number will do)")


def _wrong(pointer: str, detail: str) -> InvalidArgument:
    return InvalidArgument(f"{pointer[1:]}: {detail}", errors=(FieldError(pointer, detail),))


class Contacts:
    """Every contact by its id."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._contacts: dict[str, Contact] = {}
        self._by_key: dict[tuple[str, ...], str] = {}
        self._others: dict[tuple[str, ...], list[str]] = {}  # further ones of the same key, which were added by hand
        self._order: list[tuple[str, str]] = []
        self._searchable: dict[str, str] = {}
        self._listed: set[str] = set()
        self._pushed: dict[str, int] = {"added": 0, "updated": 0}
        self._changed: dict[str, Contact] = {}
        self._removed: dict[str, None] = {}

    # --- from and to the disk

    def loaded(self, item: ContactsLoaded) -> None:
        """Take in what the disk kept."""
        for contact in item.contacts:
            if contact.id not in self._contacts:
                self._link(contact)

    def unsaved(self) -> Unsaved:
        """Return what has changed since the last time."""
        found = Unsaved(tuple(self._changed.values()), tuple(self._removed))
        self._changed.clear()
        self._removed.clear()
        return found

    # --- commands

    def get(self, command: GetContact) -> Accepted:
        """Answer one."""
        return Accepted(value=self._one(command.contact))

    def page(self, command: ListContacts) -> Accepted:
        """Answer a page, in the order of names."""
        if not 1 <= command.limit <= MAX_PAGE:
            raise InvalidArgument.field("limit", f"1-{MAX_PAGE}")
        if len(command.search) > MAX_SEARCH:
            raise InvalidArgument.field("search", f"at most {MAX_SEARCH} characters")
        places, texts = self._order, self._searchable
        if command.after:
            places = places[bisect_right(places, _place(self._one(command.after))) :]
        for word in command.search.casefold().split():
            places = [place for place in places if word in texts[place[1]]]
        return Accepted(value=tuple(self._contacts[contact] for _, contact in places[: command.limit]))

    def add(self, command: AddContact) -> Accepted:
        """Make one."""
        check_details(command.details)
        self._room(1)
        contact = self._new(command.details, "")
        self._put(contact)
        self.desk.emit(ContactChanged(change="created", contact=contact))
        return Accepted(value=contact)

    def update(self, command: UpdateContact) -> Accepted:
        """Give one other details."""
        before = self._own(command.contact)
        check_details(command.details)
        contact = structs.replace(before, **_fields(command.details))
        if contact != before:
            self._replace(before, contact)
            self.desk.emit(ContactChanged(change="updated", contact=contact))
        return Accepted(value=contact)

    def remove(self, command: RemoveContact) -> Accepted:
        """Forget one."""
        contact = self._own(command.contact)
        self._drop(contact)
        self.desk.emit(ContactChanged(change="deleted", contact=contact))
        return Accepted()

    def import_(self, command: ImportContacts) -> Accepted:
        """Take many in: new ones are added, those there are (same external id, or same name and number) brought up to date."""
        if len(command.contacts) > MAX_BATCH:
            raise InvalidArgument.field("contacts", f"at most {MAX_BATCH} at once; send the others in a further command")
        for number, details in enumerate(command.contacts):
            check_details(details, f"/contacts/{number}")
        fresh = {_key("", details) for details in command.contacts} - self._by_key.keys()
        self._room(len(fresh))
        added, updated = self._take(command.contacts, "")
        view = ImportedView(added=added, updated=updated, unchanged=len(command.contacts) - added - updated)
        if added or updated:
            self.desk.emit(ContactsImported(source="", added=added, updated=updated, removed=0))
        return Accepted(value=view)

    # --- the users directory

    def directory(self, item: DirectoryListed) -> None:
        """Take a part of the directory in; the last one ends it. What does not fit is left out: it is not the user's doing."""
        fitting = list(filter(_acceptable, item.contacts))
        known = [details for details in fitting if _key(DIRECTORY, details) in self._by_key]
        new = [details for details in fitting if _key(DIRECTORY, details) not in self._by_key]
        room = max(0, MAX_CONTACTS - len(self._contacts))
        added, updated = self._take((*known, *new[:room]), DIRECTORY, self._listed)
        self._pushed["added"] += added
        self._pushed["updated"] += updated
        self._pushed["updated"] += self._say_statuses(item.statuses)
        if not item.complete:
            return
        gone = [each for each in self._contacts.values() if each.source == DIRECTORY and each.id not in self._listed]
        for contact in gone:
            self._drop(contact)
        if gone or any(self._pushed.values()):
            self.desk.emit(ContactsImported(source=DIRECTORY, **self._pushed, removed=len(gone)))
        self._listed.clear()
        self._pushed = {"added": 0, "updated": 0}

    def _say_statuses(self, statuses: Mapping[str, tuple[str, str]]) -> int:
        if not statuses:
            return 0
        changes = 0
        for contact in list(self._contacts.values()):
            found = statuses.get(contact.number) if contact.source == DIRECTORY else None
            if found is not None and found != (contact.status, contact.info):
                self._replace(contact, structs.replace(contact, status=found[0], info=found[1][:MAX_FIELD]))
                changes += 1
        return changes

    # --- inside

    def _take(self, many: Iterable[ContactDetails], source: str, seen: set[str] | None = None) -> tuple[int, int]:
        added = updated = 0
        for details in many:
            known = self._by_key.get(_key(source, details))
            if known is None:
                contact = self._new(details, source)
                self._put(contact)
                added += 1
            else:
                before = self._contacts[known]
                fields = _fields(details)
                if before.status:
                    fields["info"] = before.info  # is what was told with the status, until another one is
                contact = structs.replace(before, **fields)
                if contact != before:
                    self._replace(before, contact)
                    updated += 1
            if seen is not None:
                seen.add(contact.id)
        return added, updated

    def _new(self, details: ContactDetails, source: str) -> Contact:
        return Contact(id="ct_" + self.desk.ids.token(10), source=source, **_fields(details))

    def _put(self, contact: Contact) -> None:
        self._link(contact)
        self._changed[contact.id] = contact

    def _link(self, contact: Contact) -> None:
        self._contacts[contact.id] = contact
        key = _key(contact.source, contact)
        if self._by_key.setdefault(key, contact.id) != contact.id:
            self._others.setdefault(key, []).append(contact.id)
        self.desk.names.add(contact)
        # Kept in order and ready for searching: doing that when somebody asks would hold up the calls for all contacts at once.
        insort(self._order, _place(contact))
        self._searchable[contact.id] = _searchable(contact)

    def _replace(self, before: Contact, after: Contact) -> None:
        self._unlink(before)
        self._put(after)

    def _drop(self, contact: Contact) -> None:
        self._unlink(contact)
        del self._contacts[contact.id]
        self._changed.pop(contact.id, None)
        self._removed[contact.id] = None

    def _unlink(self, contact: Contact) -> None:
        self.desk.names.remove(contact)
        self._forget_key(contact)
        del self._searchable[contact.id]
        del self._order[bisect_left(self._order, _place(contact))]

    def _forget_key(self, contact: Contact) -> None:
        """Have the next one of the same key found by it, so that an import brings that one up to date."""
        key = _key(contact.source, contact)
        others = self._others.pop(key, [])
        if self._by_key[key] != contact.id:
            others.remove(contact.id)
        elif others:
            self._by_key[key] = others.pop(0)
        else:
            del self._by_key[key]
        if others:
            self._others[key] = others

    def _room(self, wanted: int) -> None:
        if len(self._contacts) + wanted > MAX_CONTACTS:
            raise InvalidState(f"there are {len(self._contacts)} contacts, and {MAX_CONTACTS} is the limit")

    def _one(self, contact: str) -> Contact:
        found = self._contacts.get(contact)
        if found is None:
            raise NotFound(f"there is no contact {contact[:64]!r}")
        return found

    def _own(self, contact: str) -> Contact:
        found = self._one(contact)
        if found.source:
            raise InvalidState(f"{contact} comes from the users {found.source}: change it there, or add a contact of your own")
        return found


_SEPARATORS = str.maketrans("", "", " ()-./")


def _place(contact: Contact) -> tuple[str, str]:
    """Return where a contact stands in the list."""
    return contact.name.casefold(), contact.id


def _searchable(contact: Contact) -> str:
    """Return everything known of a contact as one text; numbers also without their punctuation."""
    texts = [text for text in structs.astuple(contact)[: len(_FIELDS)] if text and text is not True]
    plain = [text.translate(_SEPARATORS) for text in (contact.number, contact.phone, contact.mobile) if text]
    return "\n".join(texts + plain).casefold()


def _acceptable(details: ContactDetails) -> bool:
    try:
        check_details(details)
    except InvalidArgument:
        return False
    return True


def _fields(details: ContactDetails) -> dict[str, Any]:
    return dict(zip(_FIELDS, structs.astuple(details), strict=False))  # a Contact has further ones behind these


_FIELDS: Final = ContactDetails.__struct_fields__


def _key(source: str, details: ContactDetails) -> tuple[str, ...]:
    """Return by what a contact is known again: its id elsewhere, else its name and number."""
    if details.external_id:
        return (source, details.external_id)
    return (source, details.name.casefold(), details.number or details.mobile or details.phone)
