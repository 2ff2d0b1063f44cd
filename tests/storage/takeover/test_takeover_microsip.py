"""MicroSIP.ini as people have it: what each key becomes, what is left and why, and a page that says the same."""

from __future__ import annotations

import codecs
import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offhook.errors import UnreadableFile
from offhook.phone.model import ContactDetails
from offhook.phone.settings import AccountSettings
from offhook.storage import taking_over
from offhook.storage.config import SECTIONS, load
from offhook.storage.history import History
from offhook.storage.takeover import keys
from offhook.storage.takeover.findings import Takeover
from offhook.storage.takeover.microsip import take_over_ini
from offhook.storage.takeover.programs import hook_program

PAGE = Path(__file__).resolve().parents[3] / "docs" / "from-microsip.md"

INI = r"""
[Settings]
accountId=2
singleMode=1
volumeOutput=80
volumeInput=55
audioRingDevice=""
audioOutputDevice="Headset (USB)"
audioCodecs=SILK/16000/1 PCMA/8000/1 PCMU/8000/1
VAD=1
EC=1
DTMFMethod=2
autoAnswer=button
AA=1
autoAnswerDelay=3
denyIncoming=button
DND=0
forwarding=button
FWD=1
forwardingNumber=1002
forwardingDelay=15
callWaiting=0
maxConcurrentCalls=4
autoHangUpTime=3600
rtpPortMin=20000
rtpPortMax=20100
sourcePort=5070
userAgent=Desk
recordingPath=C:\Nowhere
usersDirectory=https://pbx.example.org/users?u={username}
cmdIncomingCall=C:\Program Files\CRM\pop.exe --who {number} --name {callerid}
cmdCallEnd=C:\scripts\end.vbs
cmdCallStart=https://crm.example.org/start
cmdOutgoingCall=C:\x.exe {password}
mainX=10
strange=1

[Account1]
label=Office & Co
server=pbx.example.org
proxy=proxy.example.org backup.example.org
domain=pbx.example.org
username=1001
password=plain secret
authID=auth1001
displayName="Ada "the" Countess"
dialingPrefix=0
dialPlan=(xxxx|<0:+49>x.)
hideCID=1
voicemailNumber=*97
transport=tcp
SRTP=mandatory
registerRefresh=120
keepAlive=15

[Account2]
label=
server=sip.example.net:5080
domain=other.example.net
username=ada
password=00112233445566778899AABBCCDDEEFF
transport=carrier-pigeon
dialPlan=([)

[Account3]
label=
domain=

[Shortcuts]
0=Front desk;1000;call;;0
1=Menu;12#;dtmf
2=;;

[Calls]
0=1002;Bob;0;1700000000;61;
1=0301234567;;2;1700000100;0;Verpasst

[Dialed]
0=1002
"""


def taken(found: Takeover) -> dict[str, str]:
    return {each.what: each.into for each in found.taken}


def left(found: Takeover) -> dict[str, str]:
    return {each.what: f"{each.why}: {each.text}" for each in found.left}


@pytest.fixture
def found() -> Takeover:
    return take_over_ini(INI, "MicroSIP.ini")


def test_settings(found: Takeover) -> None:
    assert found.settings == {
        ("phone", "default_account"): "ada", ("phone", "output_volume"): 80, ("phone", "mic_volume"): 55,
        ("phone", "echo_cancellation"): True, ("phone", "comfort_noise"): True,
        ("phone", "output_device"): "Headset (USB)", ("media", "codecs"): ["PCMA", "PCMU"], ("phone", "dtmf_method"): "rtp",
        ("phone", "auto_answer"): "all", ("phone", "auto_answer_delay"): 3.0, ("phone", "forwarding"): "1002",
        ("phone", "forwarding_delay"): 15.0, ("phone", "call_waiting"): False, ("phone", "max_calls"): 4,
        ("phone", "auto_hangup"): 3600.0, ("media", "rtp_ports"): [20000, 20100], ("sip", "port"): 5070,
        ("sip", "user_agent"): "Desk", ("contacts", "directory"): "https://pbx.example.org/users?u={username}",
        ("hooks", "on_incoming_call"): [r"C:\Program Files\CRM\pop.exe", "--who", "{number}", "--name", "{name}"],
        ("hooks", "on_call_end"): ["wscript.exe", "//B", r"C:\scripts\end.vbs"],
    }  # fmt: skip


def test_accounts(found: Takeover) -> None:
    office, ada = found.accounts
    assert (office.id, office.password) == ("office-co", "plain secret")
    assert office.settings == {
        "domain": "pbx.example.org", "username": "1001", "label": "Office & Co", "proxy": "proxy.example.org",
        "auth_username": "auth1001", "display_name": 'Ada "the" Countess', "dialing_prefix": "0", "expires": 120,
        "dial_plan": "(xxxx|<0:+49>x.)", "hide_caller_id": True, "transport": "tcp",
        "backups": ["backup.example.org"], "srtp": "required", "mwi": True, "keep_alive": 15,
    }  # fmt: skip
    assert (ada.id, ada.password) == ("ada", "")
    assert ada.settings == {
        "domain": "other.example.net", "username": "ada", "proxy": "sip.example.net:5080", "register": False
    }  # fmt: skip


def test_what_is_left_says_why(found: Takeover) -> None:
    why = left(found)
    assert "offhook password ada" in why["[Account2] password"]
    assert why["[Account2] password"].startswith("secret")
    assert "register = false" in why["[Account2] transport"]
    assert why["[Account2] dialPlan"].startswith("invalid")
    assert "SILK" in why["[Settings] audioCodecs"]
    assert "offhook webhooks add" in why["[Settings] cmdCallStart"]
    assert "{password}" in why["[Settings] cmdOutgoingCall"]
    assert "no such folder" in why["[Settings] recordingPath"]
    assert "offhook dtmf" in why["[Shortcuts] 1"]
    assert why["[Settings] strange"].startswith("unsupported")
    assert why["[Settings] mainX"].startswith("needless")
    assert "[Account3]" not in why


def test_every_key_with_a_value_is_answered_for(found: Takeover) -> None:
    ours = {"[Settings] AA", "[Settings] FWD", "[Settings] DND", "[Settings] forwardingNumber", "[Settings] denyIncoming",
            "[Settings] rtpPortMax", "[Settings] audioRingDevice"}  # fmt: skip
    said = {each.what for each in found.findings} | ours
    written = [line.partition("=")[0] for line in INI.partition("[Account1]")[0].splitlines() if "=" in line]
    assert [key for key in written if f"[Settings] {key}" not in said] == []


def test_contacts_and_calls(found: Takeover) -> None:
    assert found.contacts == [ContactDetails(name="Front desk", number="1000", starred=True)]
    assert [(call.remote_uri, call.remote_display, call.missed, call.duration) for call in found.calls] == [
        ("sip:1002@pbx.example.org", "Bob", False, 61), ("sip:0301234567@pbx.example.org", "", True, 0)
    ]  # fmt: skip


def test_no_password_is_told_to_anybody(found: Takeover) -> None:
    for told in (str(found.as_json()), "\n".join(found.lines()), repr(found)):
        assert "plain secret" not in told
        assert "00112233445566778899" not in told


@pytest.mark.parametrize(("written", "encrypted"), [
    ("00112233445566778899AABBCCDDEEFF", True), ("1234567890123456", False), ("deadbeef", False), ("correct horse", False),
    ("00112233445566778899aabbccddeefg", False), ("a" * 17, False),
])
def test_which_passwords_are_encrypted(written: str, encrypted: bool) -> None:
    found = take_over_ini(f"[Account1]\ndomain=d\nusername=u\npassword={written}\n", "x")
    assert found.accounts[0].password == ("" if encrypted else written)


@pytest.mark.parametrize(("written", "settings"), [
    ("SRTP=", {}), ("SRTP=optional", {"srtp": "optional"}), ("SRTP=dtls", {"srtp": "required", "keying": "dtls"}),
    ("SRTP=dtls-sdes", {"srtp": "required", "keying": "dtls"}), ("SRTP=new", {"srtp": "required"}),
    ("transport=tls", {"transport": "tls"}), ("transport=", {"transport": "udp"}), ("publish=1", {"publish_presence": True}),
    ("proxy=a b c", {"proxy": "a", "backups": ["b", "c"]}), ("keepAlive=30", {"keep_alive": 30}),
    ("transport=new", {"register": False}), ("hideCID=anonymous", {"hide_caller_id": True}), ("hideCID=0", {}),
    ("registerRefresh=5", {}), ("[Settings]\nfeatureCodeCP=*8", {"pickup_prefix": "*8"}),
])
def test_single_keys_of_an_account(written: str, settings: dict[str, object]) -> None:
    found = take_over_ini(f"[Account1]\ndomain=d\nusername=u\n{written}\n", "x")
    assert found.accounts[0].settings == {"domain": "d", "username": "u", **settings}


@pytest.mark.parametrize(("text", "key", "value"), [
    ("dnsSrvNs=192.0.2.1;192.0.2.2", ("sip", "nameservers"), ["192.0.2.1", "192.0.2.2"]),
    ("autoAnswer=", ("phone", "auto_answer"), "off"), ("autoAnswer=header", ("phone", "auto_answer"), "header"),
    ("autoAnswer=button\nAA=0", ("phone", "auto_answer"), "off"), ("autoAnswer=all", ("phone", "auto_answer"), "all"),
    ("denyIncoming=button\nDND=1", ("phone", "dnd"), True), ("denyIncoming=all", ("phone", "dnd"), True),
    ("denyIncoming=user\nDND=1", ("phone", "dnd"), None), ("forwarding=all\nforwardingNumber=5", ("phone", "forwarding"), "5"),
    ("forwarding=button\nFWD=0\nforwardingNumber=5", ("phone", "forwarding"), None),
    ("volumeOutput=101", ("phone", "output_volume"), None), ("volumeOutput=loud", ("phone", "output_volume"), None),
    ("rtpPortMin=0\nrtpPortMax=0", ("media", "rtp_ports"), None),
    ("usersDirectory=http://pbx/users", ("contacts", "allow_http"), True),
    ("usersDirectory=http://pbx/users?p={md5_password}", ("contacts", "directory"), None),
    ("DTMFMethod=7", ("phone", "dtmf_method"), None), ("audioCodecs=GSM/8000/1", ("media", "codecs"), None),
])
def test_single_settings(text: str, key: tuple[str, str], value: object) -> None:
    assert take_over_ini(f"[Settings]\n{text}\n", "x").settings.get(key) == value


def test_an_account_that_is_there_keeps_its_id_and_another_one_its_own() -> None:
    known = (AccountSettings("main", "PBX.example.org", "1001"), AccountSettings("ada", "somewhere", "x"))
    found = take_over_ini(INI, "x", known)
    assert [account.id for account in found.accounts] == ["main", "ada-2"]


@pytest.mark.parametrize(("label", "name"), [
    ("Büro Süd", "buero-sued"), ("Cafe\u0301 Łódź", "cafe-lodz"), ("Straße 7", "strasse-7"), ("\uff11\uff12", "12"),
    ("Продажи", "account3"), ("  ", "u"),
])
def test_the_id_of_an_account_is_made_of_its_label(label: str, name: str) -> None:
    assert take_over_ini(f"[Account3]\nlabel={label}\ndomain=d\nusername=u\n", "x").accounts[0].id == name


@pytest.mark.parametrize(("text", "program"), [
    (r"C:\a.exe", (r"C:\a.exe",)), (r'"C:\a b.exe" "c d"', (r"C:\a b.exe", "c d")),
    (r"C:\a b\c.BAT -x", (r"C:\a b\c.BAT", "-x")), ("notify-send", ("notify-send",)),
    (r"C:\x y.ps1", ("powershell.exe", "-NoProfile", "-File", r"C:\x y.ps1")),
    (r"C:\x y.py -q", ("py.exe", r"C:\x y.py", "-q")),
    (r"C:\ahk v2\AutoHotkey.exe C:\x.ahk", (r"C:\ahk v2\AutoHotkey.exe", r"C:\x.ahk")),
    ("a.exe {Number} {callid}", ("a.exe", "{number}", "{call}")),
    (r'C:\x.bat "Büro (Nord)" /m=in', (r"C:\x.bat", "Büro (Nord)", "/m=in")), ("a.exe 100%", ("a.exe", "100%")),
])
def test_programs(text: str, program: tuple[str, ...]) -> None:
    assert hook_program(text) == program


@pytest.mark.parametrize(("written", "program"), [
    (r'"C:\a b.exe" "c d"', [r"C:\a b.exe", "c d"]), (r'"C:\a b.exe" /n', [r"C:\a b.exe", "/n"]),
    (r'"C:\a b.exe" /n {number} "{name}"', [r"C:\a b.exe", "/n", "{number}", "{name}"]),
    (r'"C:\a b.exe"', [r"C:\a b.exe"]), (r'C:\a b.exe "c d"', [r"C:\a b.exe", "c d"]),
    (r'"C:\a b.exe" "c" x "d e"', [r"C:\a b.exe", "c", "x", "d e"]),
])
def test_a_program_in_quotes_has_its_arguments_in_quotes(written: str, program: list[str]) -> None:
    """Of the whole value Windows takes the outer quotes, which are here of the program and of the last argument."""
    found = take_over_ini(f"[Settings]\ncmdCallStart={written}\n", "x")
    assert found.settings["hooks", "on_call_start"] == program


@pytest.mark.parametrize("text", ["", '"', "HTTPS://x", "a.exe {duration}", '""', r"C:\My Scripts\popup.ahk", '"C:\\x.lnk"',
                                  r"C:\x.bat 100%"])
def test_what_is_no_program(text: str) -> None:
    assert isinstance(hook_program(text), str)


# --- writing -------------------------------------------------------------------------------------------------------


@pytest.mark.lengthy
def test_it_is_written_with_comments_kept_and_twice_is_no_more_than_once(tmp_path: Path, found: Takeover) -> None:
    file = tmp_path / "offhook.toml"
    file.write_text('# mine\n[phone]\nname = "desk" # here\noutput_volume = 80\n\n[account.office-co]\n'
                    'domain = "pbx.example.org"\nusername = "1001"\nlabel = "Mine"  # stays a comment\n')  # fmt: skip
    taking_over.write_settings(found, file, only_look=True)
    assert "ada" not in file.read_text()
    taking_over.write_settings(found, file)
    once = file.read_text()
    assert once.startswith('# mine\n[phone]\nname = "desk" # here\noutput_volume = 80\n')
    assert "# stays a comment" in once
    assert "secret" not in once
    config = load(file)
    assert config.phone.default_account == "ada"
    office = config.accounts[0]
    assert (office.label, office.transport, office.dial_plan, office.expires) == ("Office & Co", "tcp", "(xxxx|<0:+49>x.)", 120)
    assert config.accounts[1].register is False
    taking_over.write_settings(take_over_ini(INI, "x", config.accounts), file)
    assert file.read_text() == once


def test_a_folder_brings_everything_in_it(tmp_path: Path) -> None:
    (tmp_path / "microsip.ini").write_bytes(codecs.BOM_UTF16_LE + INI.encode("utf-16-le"))
    (tmp_path / "Contacts.xml").write_text('<contacts><contact name="Ada" number="1"/><contact/></contacts>')
    (tmp_path / "Calls.csv").write_text("Type,Name,Number,Time,Duration,Info\nout,Ada,1,1700000000,5,\n")
    (tmp_path / "ring.wav").write_bytes(b"RIFF\0")
    found = taking_over.read(tmp_path)
    assert (len(found.accounts), len(found.contacts), len(found.calls)) == (2, 2, 3)
    assert "an entry" in {each.what for each in found.left}
    assert taking_over.read(tmp_path / "Contacts.xml").contacts == [ContactDetails(name="Ada", number="1")]
    for wrong in (tmp_path / "ring.wav", tmp_path / "nothing.ini", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(UnreadableFile):
            taking_over.read(wrong)


@pytest.mark.lengthy
def test_contacts_and_calls_are_kept_once(tmp_path: Path, found: Takeover) -> None:
    many = [ContactDetails(name=f"N{number}", number=str(number)) for number in range(1200)]
    assert taking_over.keep_contacts(many, tmp_path / "c.sqlite3").added == 1200
    again = taking_over.keep_contacts([*many, ContactDetails(name="new")], tmp_path / "c.sqlite3")
    assert (again.added, again.updated, again.unchanged) == (1, 0, 1200)
    for _ in range(2):
        taking_over.keep_calls(found.calls, tmp_path / "h.sqlite3")
    history = History(tmp_path / "h.sqlite3")
    assert len(history.list()) == 2
    history.close()


# --- the tables ----------------------------------------------------------------------------------------------------


def test_what_a_key_becomes_is_a_setting() -> None:
    for key in (*keys.SETTINGS, *keys.ACCOUNT):
        assert bool(key.why) is not bool(key.into) or key.name == "password", key
        if key.into:
            table, _, name = key.into.partition(".")
            kind = AccountSettings if table == "account" else SECTIONS[table]
            assert name in {each.name for each in dataclasses.fields(kind)}, key


def test_the_page_has_these_tables() -> None:
    assert keys.table() in PAGE.read_text("utf-8"), "put what `python -m offhook.storage.takeover.keys` prints into the page"


NAMES = [f"{key.name}" for key in (*keys.SETTINGS, *keys.ACCOUNT)]
VALUES = st.sampled_from(["", "0", "1", "all", "button", "a b", "{number}", "65535"]) | st.text(max_size=12)
LINES = st.builds("{}={}".format, st.sampled_from(NAMES), VALUES) | st.sampled_from([
    "domain=pbx:5070", "domain=a:b:c", "username=u", "server=[::1]", "0=1;a;1;1;1;x", "1=u@h:x;a;2;1;0;", "2=a;b;call",
])  # fmt: skip
SECTION_NAMES = st.sampled_from(["[Settings]", "[Account1]", "[Account2]", "[Shortcuts]", "[Calls]", "[Other]"])


@pytest.mark.lengthy
@given(st.lists(SECTION_NAMES | LINES | LINES | LINES, max_size=30).map("\n".join))
@settings(deadline=None, max_examples=4 * settings().max_examples)
def test_any_ini_file_makes_a_configuration_that_can_be_read(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    try:
        found = take_over_ini(text, "x")
    except UnreadableFile:
        return
    file = tmp_path_factory.mktemp("ini") / "offhook.toml"
    taking_over.write_settings(found, file)
    assert {account.id for account in load(file).accounts} == {account.id for account in found.accounts}
