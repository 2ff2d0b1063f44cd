"""Whose number is it? An index from numbers and addresses to contacts, asked once for each call."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

from msgspec import structs

from offhook.errors import ParseError
from offhook.phone.dialplan import canonical_number
from offhook.phone.model import Contact, ContactDetails, Party
from offhook.sip.uri import NameAddr, Uri

SUFFIX_LEAST: Final = 4
"""Digits a contact's number needs to be found as the end of a longer one: shorter ones are extensions and service numbers."""
SUFFIX_MORE: Final = 3
"""Digits that the longer number may have in front (a trunk prefix, a country code), as in MicroSIP."""
WHOLE_LEAST: Final = 7
"""Digits from which on a number without any prefix may lack only its country code."""


_PORT = re.compile(r":[0-9]{1,5}$")


class Names:
    """Contacts by what they can be called by. A contact of one's own is found before one of the directory."""

    def __init__(self) -> None:
        self.country_code = ""
        self._found: dict[str, tuple[Contact, ...]] = {}

    def add(self, contact: Contact) -> None:
        """Have a contact found from now on."""
        for key in self._keys(contact):
            there = self._found.get(key, ())
            self._found[key] = (*there, contact) if contact.source else (contact, *there)

    def remove(self, contact: Contact) -> None:
        """Have a contact found no more."""
        for key in self._keys(contact):
            left = tuple(each for each in self._found.get(key, ()) if each.id != contact.id)
            if left:
                self._found[key] = left
            else:
                self._found.pop(key, None)

    def _keys(self, contact: ContactDetails) -> set[str]:
        return {key for text in (contact.number, contact.phone, contact.mobile) if text for key in self._spellings(text)}

    def _spellings(self, text: str) -> Iterator[str]:
        """Yield what a number as people write it is found by: its digits, or its address."""
        if ":" in text:
            scheme, _, rest = text.strip().partition(":")
            if scheme.lower() in ("sip", "sips", "tel"):
                text = unquote(rest.partition(";")[0])
        user, at, host = text.strip().partition("@")
        if at:
            yield f"{user}@{_PORT.sub('', host)}".lower()
        number = canonical_number(user, self.country_code)
        if number:
            yield number
        elif user and not at:
            yield user.casefold()

    def find(self, uri: Uri, prefix: str = "") -> Contact | None:
        """Return the contact that `uri` belongs to. `prefix` is what the account puts before numbers it dials."""
        user = uri.user
        if not self._found or not user:
            return None
        if "%" in user or ";" in user:
            user = unquote(user.partition(";")[0])
        there = self._found.get(f"{user}@{uri.host}".lower())
        if there is None:
            there = self._by_number(user, prefix)
        return there[0] if there else None

    def _by_number(self, user: str, prefix: str) -> tuple[Contact, ...] | None:
        number = canonical_number(user, self.country_code)
        if not number:
            return self._found.get(user.casefold())
        there = self._found.get(number)
        if there is None and prefix and user.startswith(prefix):
            there = self._found.get(canonical_number(user[len(prefix) :], self.country_code))
        if there is None and self.country_code and len(number) >= WHOLE_LEAST:
            there = self._found.get(self.country_code + number)
        for more in range(1, SUFFIX_MORE + 1):
            if there is not None or len(number) - more < SUFFIX_LEAST:
                break
            there = self._found.get(number[more:])
        return there

    def known(self, party: Party, uri: Uri, prefix: str = "") -> Party:
        """Return the far end of a call with its contact's name, which is shown where it does not name itself.

        The identity that the network vouches for is asked when the address itself is nobody's.
        """
        if not self._found:
            return party
        contact = self.find(uri, prefix) or (self._asserted(party.asserted) if party.asserted else None)
        if contact is None:
            return party
        return structs.replace(party, display=party.display or contact.name, contact=contact.name)

    def connected(self, party: Party, asserted: str, prefix: str = "") -> Party:
        """Return the far end of a call as the network names it now: whoever has answered, or was put in its place.

        Of somebody whom it does not name ("") there is known who was called.
        """
        try:
            if not asserted:
                return self.known(Party(party.uri), Uri.parse(party.uri), prefix)
            name = NameAddr.parse(asserted)
            same = Uri.parse(party.uri).user_decoded == name.uri.user_decoded
        except ParseError:
            return party
        said = name.display or (party.said if same else "")
        contact = self.find(name.uri)
        known = contact.name if contact is not None else party.contact if same else ""
        return Party(party.uri, said or known, asserted, said, known)

    def _asserted(self, text: str) -> Contact | None:
        try:
            return self.find(NameAddr.parse(text).uri)
        except ParseError:
            return None
