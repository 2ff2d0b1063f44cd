"""Documents of others: presence, dialogs, message summaries; what is no document, and what is dangerous."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import ParseError
from offhook.phone.call import Call
from offhook.phone.model import CallState, Party, SummaryView
from offhook.phone.watching.dialogs import DialogInfo, DialogList, dialog_info, parse_dialog_info
from offhook.phone.watching.presence import parse_presence, presence_document
from offhook.phone.watching.summary import parse_summary
from offhook.phone.watching.watches import line_of
from offhook.phone.watching.xml import parse_xml

BOMB = b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><presence>&b;</presence>"""
FILE = b"""<!DOCTYPE p [<!ENTITY x SYSTEM "file:///etc/passwd">]><presence><note>&x;</note></presence>"""


@pytest.mark.parametrize("data", [
    b"", b"<a", b"<a></b>", BOMB, FILE, b"<!DOCTYPE html><html/>", b"<a>" * 30 + b"</a>" * 30,
    b"<a>" + b"<b/>" * 5000 + b"</a>",
    b"<a>" + b" " * 70000 + b"</a>", b"<?xml version='1.0' encoding='nonsense'?><a/>", b"<a>&nbsp;</a>",
    b"<?xml version='1.0' encoding='big5'?><a/>",
])
def test_what_is_dangerous_or_no_xml(data: bytes) -> None:
    with pytest.raises(ParseError):
        parse_xml(data)


texts = st.text(max_size=40)


@given(st.binary(max_size=300)
       | st.text(max_size=200).map(lambda text: f"<presence>{text}</presence>".encode("utf-8", "replace"))
       | texts.map(lambda text: f"<dialog-info version='{text}' state='full'/>".encode("utf-8", "replace")))
def test_anything_is_a_document_or_the_documented_error(data: bytes) -> None:
    for parse in (parse_presence, parse_dialog_info, parse_summary):
        with contextlib.suppress(ParseError):
            parse(data)


@given(texts, texts, texts)
def test_our_calls_are_read_back(uri: str, display: str, call_id: str) -> None:
    call = Call("c_1", "a", "incoming", CallState.INCOMING, Party("sip:me@h"), Party(uri, display), 1.0, sip_call_id=call_id)
    info = parse_dialog_info(dialog_info("sip:me@h", 3, [(call.view(), None)]))
    assert (info.version, info.full, len(info.dialogs)) == (3, True, 1)
    found = info.dialogs[0]
    assert (found.state, found.direction, found.local_tag) == ("early", "incoming", "")


def test_dialogs_that_cannot_be_read_do_not_hide_the_others() -> None:
    info = parse_dialog_info(b"""<?xml version="1.0"?>
      <dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="4" state="full" entity="sip:b@h">
        <dialog><state>confirmed</state></dialog><dialog id="a"><state>humming</state></dialog><dialog id="b"/>
        <dialog id="c" direction="recipient"><state>early</state></dialog></dialog-info>""")
    assert (info.version, info.full) == (4, True)
    assert [(each.id, each.state) for each in info.dialogs] == [("c", "early")]


@pytest.mark.parametrize(("talking", "dnd", "status"), [(False, False, "open"), (True, False, "busy"), (False, True, "busy")])
def test_our_presence_is_read_back(talking: bool, dnd: bool, status: str) -> None:
    view = parse_presence(presence_document('sip:a"&<@h', talking=talking, dnd=dnd))
    assert view.status == status
    assert view.activities == (("on-the-phone",) if talking else ()) + (("busy",) if dnd else ())


def test_presence_of_others() -> None:
    view = parse_presence(b"""<?xml version="1.0" encoding="UTF-8"?>
      <p:presence xmlns:p="urn:ietf:params:xml:ns:pidf" xmlns:r="urn:ietf:params:xml:ns:pidf:rpid" entity="sip:b@h">
        <p:tuple id="a"><p:status><p:basic>closed</p:basic></p:status></p:tuple>
        <p:tuple id="b"><p:status><p:basic>open</p:basic></p:status><p:note>Lunch</p:note></p:tuple>
        <x:person xmlns:x="urn:x"><r:activities><r:meeting/></r:activities></x:person></p:presence>""")
    assert (view.status, view.activities, view.note) == ("busy", ("meeting",), "Lunch")
    assert parse_presence(b'<presence entity="x"/>').status == "closed"
    with pytest.raises(ParseError):
        parse_presence(b"<other/>")


@pytest.mark.parametrize(("text", "expected"), [
    ("Messages-Waiting: yes\r\nMessage-Account: sip:v@h\r\nVoice-Message: 2/8 (0/2)\r\n",
     SummaryView(True, 2, 8, 0, 2, "sip:v@h")),
    ("messages-waiting:no", SummaryView(False)), ("Messages-Waiting: yes\nVoice-Message: 1/0", SummaryView(True, 1)),
    ("Messages-Waiting: yes\nVoice-Message: many", SummaryView(True)),
])
def test_summaries(text: str, expected: SummaryView) -> None:
    assert parse_summary(text.encode()) == expected


@pytest.mark.parametrize("text", ["", "Voice-Message: 1/0", "Messages-Waiting: perhaps", "x" * 20000])
def test_what_is_no_summary(text: str) -> None:
    with pytest.raises(ParseError):
        parse_summary(text.encode())


def info(version: int, *dialogs: tuple[str, str], full: bool = False) -> DialogInfo:
    inner = "".join(f'<dialog id="{name}" direction="recipient"><state>{state}</state></dialog>' for name, state in dialogs)
    state = "full" if full else "partial"
    return parse_dialog_info(f'<dialog-info version="{version}" state="{state}" entity="x">{inner}</dialog-info>'.encode())


def test_partial_documents_are_merged_by_their_versions() -> None:
    known = DialogList()
    assert not known.take(info(4, ("a", "early"))), "nothing whole is known yet"
    assert known.take(info(7, ("a", "early"), ("b", "confirmed"), full=True))
    assert line_of(tuple(known.dialogs.values())) == "busy"
    assert known.take(info(8, ("b", "terminated")))
    assert line_of(tuple(known.dialogs.values())) == "ringing"
    assert known.take(info(8, ("a", "terminated"))), "an old one says nothing"
    assert known.dialogs
    assert not known.take(info(10, ("a", "terminated"))), "one is missing"
    assert known.take(info(0, full=True)), "the other side began anew"
    assert line_of(tuple(known.dialogs.values())) == "idle"


@pytest.mark.parametrize("data", [
    b'<dialog-info version="1" state="half"/>', b'<dialog-info version="x" state="full"/>', b'<dialog-info state="full"/>',
    b'<dialog-info version="1" state="full"><dialog id="a"/></dialog-info>',
    b'<dialog-info version="1" state="full"><dialog><state>early</state></dialog></dialog-info>',
])
def test_what_is_no_dialog_info(data: bytes) -> None:
    with pytest.raises(ParseError):
        parse_dialog_info(data)


@pytest.mark.parametrize("document", [
    """<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:pp="urn:ietf:params:xml:ns:pidf:person"
        xmlns:ep="urn:ietf:params:xml:ns:pidf:rpid:rpid-person" entity="sip:1002@h"><pp:person><status>
        <ep:activities><ep:busy/></ep:activities></status></pp:person><note>On the phone</note><tuple id="1002">
        <contact priority="1">sip:1002@h</contact><status><basic>open</basic></status></tuple></presence>""",
    """<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:r="urn:ietf:params:xml:ns:pidf:rpid" entity="sip:1002@h">
        <tuple id="1"><status><basic>open</basic><r:activities><r:busy/></r:activities></status></tuple></presence>""",
])  # fmt: skip
def test_who_is_busy_by_the_drafts_of_rfc_4480(document: str) -> None:
    view = parse_presence(document.encode())
    assert (view.status, view.activities) == ("busy", ("busy",))
