"""Files of strangers: read as they are meant, or refused with the one documented error. Nothing else ever comes out."""

from __future__ import annotations

import codecs
import json
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offhook.errors import UnreadableFile
from offhook.phone.model import ContactDetails
from offhook.storage.takeover import people, texts, xml
from offhook.storage.takeover.calls import PastCall, PastCalls, calls_of_csv, calls_of_ini, calls_of_xml
from offhook.storage.takeover.ini import read_ini
from offhook.storage.takeover.people import COLUMNS, People, people_of, read_people
from offhook.storage.takeover.texts import decode
from offhook.storage.takeover.xml import read_xml

HOSTILE = '"; rm -rf / & %PATH% \n/transfer:999 \x1b[2J\u202e$(id)`'

# --- text ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [
    codecs.BOM_UTF16_LE + "Müller".encode("utf-16-le"), codecs.BOM_UTF16_BE + "Müller".encode("utf-16-be"),
    "Müller".encode("utf-16-le"), codecs.BOM_UTF8 + "Müller".encode(), "Müller".encode(), "Müller".encode("cp1252"),
])
def test_encodings(data: bytes) -> None:
    assert decode(data, "x") == "Müller"


@pytest.mark.parametrize(("platform", "own", "page"), [
    ("win32", "cp1251", "cp1251"), ("win32", "cp932", "cp932"), ("win32", "cp65001", "cp1252"), ("win32", "utf-8", "cp1252"),
    ("linux", "cp1251", "cp1252"),
])  # fmt: skip
def test_an_old_file_is_read_by_the_code_page_of_this_windows(
    monkeypatch: pytest.MonkeyPatch, platform: str, own: str, page: str
) -> None:
    monkeypatch.setattr("locale.getencoding", lambda: own)
    assert texts.ansi(platform) == page


def test_an_encoding_may_be_named() -> None:
    assert decode("Привет".encode("cp1251"), "x", "cp1251") == "Привет"
    assert decode('<?xml version="1.0" encoding="windows-1251"?><contacts>Привет'.encode("cp1251"), "x").endswith("Привет")
    for wrong in ("base64", "zip", "rot13", "idna", "no such", "utf-8\n", "unicode_escape", "utf_7"):
        with pytest.raises(ValueError, match="encoding"):
            texts.known_encoding(wrong)


@pytest.mark.parametrize("lie", ["utf-16", "base64", "zlib", "gb99", "ascii", "cp9999", "utf-32"])
def test_an_encoding_that_lies_is_seen_through(lie: str) -> None:
    assert decode(f'<?xml version="1.0" encoding="{lie}"?><contacts>ü</contacts>'.encode(), "x").endswith("ü</contacts>")


def test_what_is_no_text_is_refused() -> None:
    for data in (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", codecs.BOM_UTF8 + b"a\0b", b"x" * (texts.MAX_BYTES + 1)):
        with pytest.raises(UnreadableFile, match="file"):
            decode(data, "file")


# --- XML -----------------------------------------------------------------------------------------------------------

LAUGHS = '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(12)
) + "]><contacts><contact name='&m;'/></contacts>"  # fmt: skip


@pytest.mark.parametrize(("text", "why"), [
    (LAUGHS, "document type"),
    ('<!DOCTYPE c [<!ENTITY x SYSTEM "file:///etc/passwd">]><contacts>&x;</contacts>', "document type"),
    ('<!DOCTYPE c SYSTEM "http://127.0.0.1/x.dtd"><contacts/>', "document type"),
    ("<contacts>&x;</contacts>", "undefined entity"),
    ("<contacts><contact></contacts>", ":1: not XML: mismatched tag"),
    ("<contacts>\n<contact name='", ":2: not XML"),
    ("<contacts/>trailing", "not XML"),
    ("<a>" * 40, "inside each other"),
    (f"<a>{'x' * (xml.MAX_TEXT + 1)}</a>", "characters of text"),
    ("<a b='1' b='2'/>", "duplicate attribute"),
])
def test_bad_xml_is_refused_at_once(text: str, why: str) -> None:
    began = time.monotonic()
    with pytest.raises(UnreadableFile, match=why):
        read_xml(text, "book.xml")
    assert time.monotonic() - began < 5


def test_elements_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml, "MAX_ELEMENTS", 10)
    with pytest.raises(UnreadableFile, match="more than 10 elements"):
        read_xml(f"<a>{'<b/>' * 10}</a>", "x")


# --- people --------------------------------------------------------------------------------------------------------

ADA = ContactDetails(name="Ada", number="1001", mobile="0172", comment="Analyst", external_id="7", starred=True)


@pytest.mark.parametrize("text", [
    '<contacts><contact name="Ada" number="1001" mobile="0172" comment="Analyst" id="7" starred="1" directory="0"/></contacts>',
    '<x:contacts xmlns:x="u"><X:contact xmlns:X="u" NAME="Ada" Number="1001" mobile="0172" comment="Analyst" '
    'id="7" starred="1"/></x:contacts>',
    '[{"name": "Ada", "number": 1001, "mobile": "0172", "comment": "Analyst", "id": 7, "starred": true}]',
    '{"items": [{"Name": " Ada ", "telephone": "1001", "mobile": "0172", "comment": "Analyst", "id": "7", "starred": 1}]}',
    '[{"name": "Ada", "phone": "1001", "mobile": "0172", "comment": "Analyst", "id": "7", "starred": "1"}]',
    "Name,Number,Mobile Number,Comment,Id,Starred\nAda,1001,0172,Analyst,7,1\n",
    "NAME;Primary Phone;Mobile Phone;notes;ID;starred;Unknown\r\nAda;1001;0172;Analyst;7;yes;x\r\n",
    'name\tnumber\tPhone 1 - Value\tComment\tid\tstarred\r"Ada"\t1001\t0172\tAnalyst\t7\ttrue',
])
def test_one_person_in_every_form(text: str) -> None:
    assert people_of(text, "x").contacts == [ADA]


def test_yealink_and_others() -> None:
    book = people_of(
        '<YealinkIPPhoneBook><Title>All</Title><Menu Name="Office"><Unit Name="Ada" Phone1="1001" Phone2="" Phone3="0172"/>'
        '<Unit Name="Bob" Phone1="" Phone2="1002"/></Menu></YealinkIPPhoneBook>', "x"
    )  # fmt: skip
    assert book.contacts == [
        ContactDetails(name="Ada", number="1001", mobile="0172"), ContactDetails(name="Bob", number="1002")
    ]  # fmt: skip
    book = people_of(
        "<CiscoIPPhoneDirectory><DirectoryEntry><Name>Ada</Name><Telephone>1001</Telephone><Telephone>2</Telephone>"
        "<Telephone>3</Telephone><Telephone>4</Telephone></DirectoryEntry></CiscoIPPhoneDirectory>", "x"
    )  # fmt: skip
    assert book.contacts == [ContactDetails(name="Ada", number="1001", phone="2", mobile="3")]
    book = people_of(
        "<list><entry><name>Bob</name><extension>1002</extension><presence>Busy</presence><info>lunch</info></entry></list>",
        "x",
    )
    assert (book.contacts[0].number, book.statuses) == ("1002", {"1002": ("busy", "lunch")})


def test_a_directory_says_when_to_come_again_and_what_people_do() -> None:
    book = people_of(json.dumps({
        "refresh": 60, "items": [{"name": "Ada", "number": "1"}],
        "presence": [{"number": 1, "status": "Phone", "info": "talks"}, {"number": "2", "status": "dances"}, 3],
    }), "x")  # fmt: skip
    assert (book.refresh, book.statuses) == (60, {"1": ("phone", "talks")})
    assert people_of('<contacts refresh="120"/>', "x").refresh == 120
    assert people_of('{"refresh": "soon", "items": []}', "x").refresh is None


def test_a_name_or_a_number_is_enough_and_nothing_is_too_little() -> None:
    book = people_of("Number,First Name,Last Name\n1001,,\n,Ada,Lovelace\n,,\n , ,x\n" + "9" * 600 + ",y,\n", "x")
    assert [(found.name, found.number) for found in book.contacts] == [("1001", "1001"), ("Ada Lovelace", ""), ("x", "")]
    assert [(skipped.line, skipped.why) for skipped in book.skipped] == [(6, "number: at most 512 characters")]
    assert people_of('[{}, 5, {"name": "x"}]', "x").left_out == 2


@pytest.mark.parametrize(("text", "why"), [
    ("[1, 2", "x:1: not JSON"), ('{"items": 5}', "write a list"), ("[" * 100_000, "not JSON|without end"),
    ('{"items": [' + "1" * 5000 + "]}", "not JSON"), ("<html><body/></html>", "x:1: <html> is no address book"),
    ("some,words\n1,2", "x:1: the first line must name"), ('Name,Number\n"' + "x" * 200_000, "x:2: not CSV"),
])
def test_what_is_no_address_book(text: str, why: str) -> None:
    with pytest.raises(UnreadableFile, match=why):
        people_of(text, "x")


def test_nothing_is_nobody() -> None:
    for text in ("", "\n\n", "<contacts/>", "[]", "{}", "Name,Number\n"):
        assert people_of(text, "x") == People(refresh=None)


def test_the_number_of_people_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "MAX_ROWS", 3)
    with pytest.raises(UnreadableFile, match=r"x:5: more than 3 entries"):
        people_of("Name\n" + "a\n" * 4, "x")
    with pytest.raises(UnreadableFile, match=r"x:4: more than 3 entries"):
        people_of("[{}, 1, 2, 3]", "x")


@pytest.mark.parametrize("wrap", [
    lambda text: json.dumps([{"name": text, "number": text}]),
    lambda text: "Name,Number\n" + ",".join(['"' + text.replace('"', '""') + '"'] * 2),
])
def test_hostile_text_is_carried_as_data(wrap: Callable[[str], str]) -> None:
    (found,) = people_of(wrap(HOSTILE), "x").contacts
    assert (found.name, found.number) == (HOSTILE, HOSTILE)


def test_half_a_character_of_json_is_no_text() -> None:
    (found,) = people_of(r'[{"name": "Eve \ud83d", "number": "5", "comment": "\ud83d\ude00"}]', "x").contacts
    assert (found.name, found.comment) == ("Eve \ufffd", "\U0001f600")


@pytest.mark.lengthy
def test_twenty_thousand_people_are_read_in_a_moment() -> None:
    text = "Name,Number\n" + "".join(f"Person {number},555{number:06}\n" for number in range(20_000))
    began = time.monotonic()
    assert len(people_of(text, "x").contacts) == 20_000
    assert time.monotonic() - began < 5  # measured: 0.1 s


# --- ini and calls -------------------------------------------------------------------------------------------------


@pytest.mark.lengthy
def test_an_ini_file_as_windows_reads_it() -> None:
    text = '\ufeff; no [x]\r\n[Settings]\r\nAudioCodecs = "a b"\r\naudiocodecs=second\r\n;c=d\r\nnothing\r\n[ACCOUNT1]\nx='
    ini = read_ini(text, "x")
    entry = ini.section("settings").entries["audiocodecs"]
    assert (entry.key, entry.value, entry.line) == ("AudioCodecs", "a b", 3)
    assert list(ini.section("Settings").entries) == ["audiocodecs"]
    assert (ini.section("account1").text("X"), ini.section("none").text("x")) == ("", "")
    for bad in ("", "a=b", "[x]\n" * 100_001, "[x]\na=" + "y" * 9000):
        with pytest.raises(UnreadableFile):
            read_ini(bad, "x")


def test_past_calls_in_every_form() -> None:
    ada = PastCall("in", "1001", "Ada", 1_700_000_000, 61, "OK")
    ini = read_ini("[Calls]\n0=1001;Ada;1;1700000000;61;OK\n1=2;B;ob;2;1700000000;0;a;b\n2=\n3=1;x;7;1;1;\n4=;x;1;1;1;\n", "x")
    found = calls_of_ini(ini.section("Calls"), "x")
    assert found.calls == [ada, PastCall("miss", "2", "B;ob", 1_700_000_000, 0, "a;b")]
    assert found.left_out == 3
    assert calls_of_csv("Type,Name,Number,Time,Duration,Info\nin,Ada,1001,1700000000,0:01:01,OK\n", "x").calls == [ada]
    dated = calls_of_csv("Type;Number;Time\nin;1;yesterday\nin;1;2023-11-14T22:13:20+00:00", "x")
    assert [call.started for call in dated.calls] == [1_700_000_000]
    root = read_xml('<calls><call type="in" name="Ada" number="1001" time="1700000000" duration="61" info="OK"/></calls>', "x")
    assert calls_of_xml(root, "x").calls == [ada]
    with pytest.raises(UnreadableFile):
        calls_of_csv("Name,Number\n", "x")


def test_a_row_that_is_no_call_says_what_to_write() -> None:
    rows = ["Incoming,1,31.01.2024 12:05,0", "ein,1,1700000000,0", "in,1,1700000000,1m", "in,,1700000000,0", "in,1,,0"]
    found = calls_of_csv("\n".join(["Type,Number,Time,Duration", *rows]), "x")
    assert [skipped.why for skipped in found.skipped] == [
        "the time '31.01.2024 12:05' cannot be read: write it as 2024-01-31 12:05:00, or in Unix seconds",
        "the type 'ein' is not known: write out, in or miss",
        "the duration '1m' cannot be read: write seconds, or H:MM:SS",
        *["no call with a type, a number, a time and a duration"] * 2,
    ]


def test_a_past_call_is_the_same_entry_however_often_it_is_taken_over() -> None:
    call = PastCall("miss", "1001", "Ada", 1_700_000_000, 0, "")
    assert call.record("pbx.example") == call.record("pbx.example")
    assert call.record("pbx.example").remote_uri == "sip:1001@pbx.example"
    assert call.record("").remote_uri == "tel:1001"
    assert call.record("10.0.0.1:5070").remote_uri == "sip:1001@10.0.0.1:5070"
    assert call.record("a:b:c").remote_uri == "sip:1001@unknown.invalid"
    assert call.record("pb;x").remote_uri == "sip:1001@unknown.invalid"  # an account's domain that is none
    assert (call.record("").missed, call.record("").answered, call.record("").direction) == (True, None, "incoming")
    assert PastCall("out", "sip:bob@h:5070", "", 1, 2, "").record("d").remote_uri == "sip:bob@h:5070"
    assert "\n" not in PastCall("out", HOSTILE, "", 1, 2, "").record("d").remote_uri


def test_a_spreadsheet_says_how_it_is_written() -> None:
    book = people_of("sep=;\r\nName;Number\r\nAda, Countess;1001\r\n;\r\nBob;4,93012E+11\r\n", "x")
    assert [(each.name, each.number) for each in book.contacts] == [("Ada, Countess", "1001")]
    assert [(skipped.line, skipped.why) for skipped in book.skipped] == [
        (5, "a spreadsheet has rounded its number to '4,93012E+11': format the column as text, and export again"),
    ]  # fmt: skip
    calls = calls_of_csv("\ufeffsep=|\nType|Number|Time\nin|1|1700000000\nin|1|x\n", "x")
    assert len(calls.calls) == 1
    assert [skipped.line for skipped in calls.skipped] == [4]


def test_columns_that_are_not_known_are_told() -> None:
    book = people_of("Name;Nummer;Abteilung;Labels;Email\nAda;1001;EDV;;a@b\nBob;1002;;;\n", "x")
    assert [each.name for each in book.contacts] == ["Ada", "Bob"]
    assert [(note.line, note.why) for note in book.notes] == [
        (1, "columns not known here: 'Nummer', 'Abteilung'; known are Name, Number, Mobile Number, Comment"),
    ]  # fmt: skip
    assert people_of("Name,Number\nAda,1\n", "x").notes == []


# --- anything at all -----------------------------------------------------------------------------------------------

PIECES = st.sampled_from([
    "<contacts>", "</contacts>", "<contact name='a' number='1'/>", "<entry>", "</entry>", "<name>", "</name>", "&amp;", "&#0;",
    "&x;", "<!DOCTYPE a>", "<![CDATA[", "]]>",
    "<?xml version='1.0' encoding='utf-16'?>", "[", "]", "{", "}", '"name"', '"items"', ":",
    ",", '"', "Name", "Number", "\n", "\r", ";", "\t", "Type,Name,Number,Time", "1700000000", "[Calls]", "0=1;a;1;1;1;x", "=",
    "\ufeff", "\x1b", "1e999", "true", "null", "é", *COLUMNS,
])  # fmt: skip
TEXT = st.lists(PIECES | st.text(max_size=5), max_size=25).map("".join)
BYTES = st.binary(max_size=200) | st.builds(
    lambda mark, text, codec: mark + text.encode(codec, "replace"),
    st.sampled_from([b"", codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE]), TEXT,
    st.sampled_from(["utf-8", "utf-16-le", "utf-16-be", "cp1252"]),
)


def read_or_refused(read: Callable[[], object]) -> object:
    """Return what was read, None for what was refused with a text that names the file."""
    try:
        return read()
    except UnreadableFile as refused:
        text = str(refused)
    assert text.startswith("x:")
    return None


@pytest.mark.lengthy
@given(BYTES, st.sampled_from(["", "utf-8", "utf-16-le", "cp1252"]))
@settings(deadline=None, max_examples=4 * settings().max_examples)
def test_any_bytes_are_people_or_the_one_error(data: bytes, encoding: str) -> None:
    found = read_or_refused(lambda: read_people(data, "x", encoding))
    if isinstance(found, People):
        assert all(contact.name for contact in found.contacts)


@pytest.mark.lengthy
@given(TEXT)
@settings(deadline=None, max_examples=4 * settings().max_examples)
def test_any_text_is_calls_or_the_one_error(text: str) -> None:
    readers: tuple[Callable[[], object], ...] = (
        lambda: calls_of_ini(read_ini(text, "x").section("Calls"), "x"), lambda: calls_of_csv(text, "x"),
        lambda: calls_of_xml(read_xml(text, "x"), "x"),
    )  # fmt: skip
    for read in readers:
        found = read_or_refused(read)
        for call in found.calls if isinstance(found, PastCalls) else ():
            call.record("pbx.example")
            call.record("")
