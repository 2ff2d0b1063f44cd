"""vCards as Outlook, Apple, Google, Android and RFC 6350 write them: the same person, and nothing lost without a word."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import UnreadableFile
from offhook.phone.model import ContactDetails
from offhook.storage import taking_over
from offhook.storage.takeover import vcard
from offhook.storage.takeover.people import People, people_of, read_people

OUTLOOK = b"""BEGIN:VCARD\r
VERSION:2.1\r
N;LANGUAGE=de;CHARSET=Windows-1252;ENCODING=QUOTED-PRINTABLE:M=FCller;Anna;;Dr.\r
FN;CHARSET=Windows-1252;ENCODING=QUOTED-PRINTABLE:Anna M=FC=\r
ller\r
ORG:Example\\; Sons;Sales\r
NOTE;ENCODING=QUOTED-PRINTABLE:first line=0D=0Asecond line\r
TEL;WORK;VOICE:+49 (30) 123-456\r
TEL;CELL;VOICE:+49 172 9\r
TEL;WORK;FAX:+49 30 99\r
ADR;WORK;PREF;ENCODING=QUOTED-PRINTABLE:;2. OG;Hauptstra=C3=9Fe 1;Berlin;BE;10115;Germany\r
EMAIL;PREF;INTERNET:anna@example.org\r
PHOTO;TYPE=JPEG;ENCODING=BASE64:\r
 /9j/4AAQSkZJRgABAQEAYABgAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkS\r
\r
END:VCARD\r
"""

APPLE = """BEGIN:VCARD
VERSION:3.0
PRODID:-//Apple Inc.//iPhone OS 17.0//EN
N:Müller;Anna;;Dr.;
FN:Anna Müller
ORG:Example\\; Sons;Sales
NOTE:first line\\nsecond
  line
item1.TEL;type=WORK;type=VOICE:+49 (30) 123-456
item1.X-ABLabel:_$!<Work>!$_
TEL;type=CELL;type=VOICE:+49 172 9
TEL;type=WORK;type=FAX:+49 30 99
ADR;type=WORK;type=pref:;2. OG;Hauptstraße 1;Berlin;BE;10115;Germany
EMAIL;type=INTERNET;type=HOME:private@example.org
EMAIL;type=INTERNET;type=pref:anna@example.org
PHOTO;ENCODING=b;TYPE=JPEG:/9j/4AAQSkZJRgABAQEAYABgAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQN
 DAsLDBkS
END:VCARD
"""

RFC_6350 = """begin:vcard
version:4.0
n:Müller;Anna;;Dr.;
fn;pref=2:Annie
fn;pref=1:Anna Müller
org;sort-as="Example":Example\\; Sons;Sales
note:first line\\nsecond line
tel;value=uri;type="voice,work":tel:+49 (30) 123-456;ext=5
tel;type=cell;value=uri:tel:+49 172 9
tel;type=fax:+49 30 99
adr;label="a;b:c":;2. OG;Hauptstraße 1;Berlin;BE;10115;Germany
email:anna@example.org
photo:data:image/jpeg;base64,/9j/4A
end:vcard
"""

ANNA = ContactDetails(
    name="Anna Müller", first_name="Anna", last_name="Müller", number="+49 (30) 123-456", mobile="+49 172 9",
    email="anna@example.org", address="Hauptstraße 1, 2. OG", city="Berlin", state="BE", zip="10115",
    comment="first line\nsecond line", info="Example; Sons, Sales",
)  # fmt: skip


@pytest.mark.parametrize("data", [OUTLOOK, APPLE.encode(), APPLE.replace("\n", "\r\n").encode("utf-16"), RFC_6350.encode()])
def test_one_person_in_every_version(data: bytes) -> None:
    people = read_people(data, "anna.vcf")
    assert people.contacts == [ANNA]
    told = [note.why for note in people.notes if "extension" not in note.why]  # which is lost of the last one
    assert told == ["+49 30 99: nobody talks there (fax)"]
    assert "PHOTO" in people.needless
    assert not people.skipped


def one(*lines: str) -> ContactDetails:
    (found,) = cards(*lines).contacts
    return found


def cards(*lines: str) -> People:
    return people_of("\n".join(["BEGIN:VCARD", "VERSION:3.0", *lines, "END:VCARD"]), "x.vcf")


@pytest.mark.parametrize(("lines", "number", "phone", "mobile", "left"), [
    (("TEL;TYPE=CELL:1",), "1", "", "", 0),
    (("TEL;TYPE=CELL:1", "TEL;TYPE=HOME:2"), "2", "", "1", 0),
    (("TEL;TYPE=CELL,PREF:1", "TEL;TYPE=HOME:2", "TEL;TYPE=WORK:3"), "1", "2", "3", 0),
    (("TEL:1", "TEL:2", "TEL;PREF=1:3", "TEL:3"), "3", "1", "2", 0),
    (("TEL:1", "TEL:2", "TEL;TYPE=iPhone:3", "TEL:4", "TEL;TYPE=CELL:5"), "1", "2", "3", 2),
    (("TEL;TYPE=FAX:1", "TEL;TYPE=VOICE,FAX:2"), "2", "", "", 1),
    (("IMPP:sip:ada@example.org", "IMPP:xmpp:a@b", "TEL:"), "sip:ada@example.org", "", "", 0),
    (("IMPP;TYPE=pref:xmpp:a@b",), "", "", "", 0),
    (("TEL;VALUE=uri:tel:+1-555;ext=12",), "+1-555", "", "", 1), (("TEL:tel:+1-555;phone-context=x",), "+1-555", "", "", 0),
])  # fmt: skip
def test_three_numbers_are_kept_and_the_others_told(
    lines: tuple[str, ...], number: str, phone: str, mobile: str, left: int
) -> None:
    people = cards("FN:Ada", *lines)
    (found,) = people.contacts
    assert (found.number, found.phone, found.mobile, len(people.notes)) == (number, phone, mobile, left)


@pytest.mark.parametrize(("lines", "name"), [
    (("N:Lovelace;Ada;;;",), "Ada Lovelace"), (("NICKNAME:Countess",), "Countess"), (("ORG:Example;",), "Example"),
    (("TEL:1001",), "1001"), (("FN:a\\, b\\; c; d\\\\n\\Z",), "a, b; c; d\\nZ"), (("FN:two\\nlines\x1b[2J",), "two, lines[2J"),
    (("FN:Old\x07",), "Old"),
])  # fmt: skip
def test_names(lines: tuple[str, ...], name: str) -> None:
    found = one(*lines)
    assert found.name == name
    assert found.info == ""


def test_a_charset_that_lies_is_seen_through() -> None:
    assert one("FN;ENCODING=QUOTED-PRINTABLE;CHARSET=base64:J=C3=B6").name == "Jö"
    assert one("FN;ENCODING=QUOTED-PRINTABLE;CHARSET=utf-8:J=F6").name == "Jö"


def test_what_is_no_person_is_left_out_with_the_reason() -> None:
    people = cards("FN:Friends", "X-ADDRESSBOOKSERVER-KIND:group")
    assert (people.contacts, people.skipped[0].why) == ([], "it is a group, not a person")
    assert cards("NOTE:x").skipped[0].why == "it has neither a name nor a number"
    people = people_of("BEGIN:VCARD\nFN:Cut\nBEGIN:VCARD\nFN:Whole\nEND:VCARD\nBEGIN:VCARD\nFN:Cut", "x")
    assert ([each.name for each in people.contacts], [each.line for each in people.skipped]) == (["Whole"], [1, 6])


def test_a_card_inside_a_card_is_not_read() -> None:
    assert one("FN:Ada", "AGENT:", "BEGIN:VCARD", "FN:Bob", "TEL:2", "END:VCARD", "TEL:1").number == "1"


def test_long_things() -> None:
    people = cards("FN:Ada", "NOTE:" + "x" * 5000, "UID:" + "u" * 600, "TEL:1" + "0" * vcard.MAX_VALUE)
    (found,) = people.contacts
    assert (len(found.comment), found.external_id, found.number, len(people.notes)) == (4096, "", "", 1)
    with pytest.raises(UnreadableFile, match=r"x\.vcf:1002: a card with more than 1000 entries"):
        cards(*["TEL:1"] * 1002)
    assert len(cards("FN:Ada", *(f"X-{number}:1" for number in range(500))).needless) == vcard.MAX_KINDS


def test_a_card_of_millions_of_lines_is_not_kept_in_memory() -> None:
    with pytest.raises(UnreadableFile, match=rf"x\.vcf:{vcard.MAX_LINES + 2}: a card with more than {vcard.MAX_LINES} lines"):
        cards("FN:Ada", "\n" * (vcard.MAX_LINES + 10))


@pytest.mark.parametrize("line", [
    '"' * 400_000, "a" * 1_000_000, "N:" + "\\;" * 30_000, 'TEL;"' + ";" * 400_000, "FN;QUOTED-PRINTABLE:=\n" * 200_000,
    "TEL;" + '"";' * 100_000 + ":1",
])  # fmt: skip
def test_what_is_made_to_take_long_does_not(line: str) -> None:
    began = time.monotonic()
    cards("FN:Ada", line)
    assert time.monotonic() - began < 5


@given(st.binary(max_size=200))
def test_any_bytes_are_people_or_refused(data: bytes) -> None:
    people = read_people(b"BEGIN:VCARD\n" + data.replace(b"\0", b"") + b"\nEND:VCARD\n", "x")
    assert len(people.contacts) + people.left_out >= 1


def test_a_folder_of_cards(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"{number}.VCF").write_text(f"BEGIN:VCARD\nFN:P{number}\nBDAY:2000-01-01\nTEL;TYPE=FAX:1\nEND:VCARD\n")
    found = taking_over.read(tmp_path)
    assert [each.name for each in found.contacts] == ["P1", "P2"]
    assert "not needed here: BDAY" in found.lines()
    assert "not taken: a part (1.VCF:1): 1: nobody talks there (fax)" in found.lines()
