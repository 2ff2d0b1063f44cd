"""The configuration file: what it means, what is wrong with it, and writing it."""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import ConfigError
from offhook.phone.settings import AccountSettings, NatSettings, PhoneSettings, SrtpSettings
from offhook.storage import config
from offhook.storage.config import Config, MediaSettings, SipSettings, checks, editing
from offhook.testing.sharing import read_by_others

OFFICE = '[account.office]\ndomain = "pbx.example"\nusername = "1001"\n'


def test_nothing_written_means_the_defaults(tmp_path: Path) -> None:
    assert config.load(tmp_path / "none.toml") == config.parse("") == Config()


def test_every_section_is_read() -> None:
    found = config.parse(
        '[phone]\nstatus_linger = 5\ndnd = true\ndtmf_method = "info"\ndefault_account = "office"\n'
        '[sip]\nhost = "::1"\nport = 0\nuser_agent = "x"\n'
        '[media]\nmode = "thread"\nsound = "null"\nrtp_ports = [20000, 20100]\ncodecs = ["PCMA"]\n' + OFFICE
        + 'password = "s"\nexpires = 60\ntransport = "tcp"\nregister = false\n[account.home]\ndomain = "h"\nusername = "h"\n'
    )
    assert found.phone == PhoneSettings(status_linger=5.0, dnd=True, dtmf_method="info", default_account="office")
    assert isinstance(found.phone.status_linger, float)
    assert found.sip == SipSettings("::1", 0, "x")
    assert found.media == MediaSettings("thread", "null", (20000, 20100), ("PCMA",))
    assert found.accounts[0] == AccountSettings(
        "office", "pbx.example", "1001", password="s", expires=60, transport="tcp", register=False)
    assert [account.id for account in found.accounts] == ["office", "home"]


@pytest.mark.parametrize(("written", "read"), [
    ('"anyone"', ("anyone",)), ('"accounts"', ("accounts",)), ('["accounts", "10.1.0.0/16", "2001:db8::/32"]', None),
    ('"192.0.2.7"', ("192.0.2.7",)),
])
def test_who_may_call(written: str, read: tuple[str, ...] | None) -> None:
    found = config.parse(f"[sip]\naccept_from = {written}\nstranger_rate = 5\nunlimited_from = []\n").sip
    assert found.accept_from == (read or ("accounts", "10.1.0.0/16", "2001:db8::/32"))
    assert (found.stranger_rate, found.unlimited_from) == (5.0, ())


@pytest.mark.parametrize("written", ['"nobody"', "[]", "7", '["10.0.0.1/8"]', "[1]"])
def test_a_mistake_in_who_may_call(written: str) -> None:
    with pytest.raises(ConfigError, match=r'accept_from.*write "anyone", "accounts", or a list of networks'):
        config.parse(f"[sip]\naccept_from = {written}\n")


def test_hooks_are_read() -> None:
    found = config.parse(
        "[hooks]\non_call_end = '/bin/log \"a b\" {number}'\non_call_start = ['/opt/My Programs/x']\ntimeout = 2\n"
        "[webhooks]\nallow_http = true\n"
        "[[hook]]\nevents = ['dtmf.received', 'call.*', '*']\nrun = ['x', '{event}', '{\"a\"}']\ntimeout = 5\n"
        "[[hook]]\nevents = ['call.ended']\nrun = 'y'\n"
    )
    assert found.hooks.on_call_end == ("/bin/log", "a b", "{number}")
    assert found.hooks.on_call_start == ("/opt/My Programs/x",)
    assert found.hooks.on_call_busy == ()
    assert found.hooks.timeout == 2.0
    assert found.webhooks.allow_http
    assert found.hook == (
        config.EventHook(("dtmf.received", "call.*", "*"), config.Program(("x", "{event}", '{"a"}')), 5.0),
        config.EventHook(("call.ended",), config.Program(("y",))),
    )
    assert len(config.OCCASIONS) == 8


MISTAKES = {
    "[phone]\ndndd = true\n": r"f:2: phone\.dndd: is not a setting; did you mean dnd\?",
    "[fone]\n": r"f:1: fone: is not a setting; did you mean phone\?",
    "[sip]\nxyzzy = 1\n": r"f:2: sip\.xyzzy: is not a setting; known here: host, port",
    "\n[sip]\nport = 70000\n": r"f:3: sip\.port: 70000 does not fit: write a number from 0 to 65535",
    '[sip]\nport = "5060"\n': r"f:2: sip\.port: '5060' does not fit: write a whole number",
    '[sip]\nhost = "pbx"\n': r"f:2: .*write an IP address",
    "[phone]\nmax_calls = true\n": r"f:2: .*write a whole number",
    "[phone]\ndnd = 1\n": r"f:2: .*write true or false",
    "[phone]\nstatus_linger = \"3\"\n": r"f:2: .*write a number",
    '[phone]\ndtmf_method = "morse"\n': r'f:2: .*write one of "auto", "rtp", "info", "inband"',
    "[phone]\ndtmf_method = 1\n": r"f:2: .*write one of",
    "[phone]\noutput_volume = 101\n": r"f:2: .*from 0 to 100",
    "[phone]\nregister_timeout = nan\n": r"f:2: .*from 0 to 600",
    "[media]\nrtp_ports = [1, 2]\n": r"f:2: .*between 1024 and 65535",
    "[media]\nrtp_ports = [1024, 1024]\n": r"f:2: .*between 1024 and 65535",
    "[sip]\nport = 65536\n": r"f:2: .*65535", "[sip]\ntls_port = 65536\n": r"f:2: .*65535",
    "[http]\nport = 65536\n": r"f:2: .*65535",
    "[phone]\nsession_expires = 89\n": r"f:2: .*90 to 86400", "[phone]\nsession_expires = 86401\n": r"f:2: .*90 to 86400",
    '[contacts]\ncountry_code = "+49"\n': r"f:2: .*write digits",
    "[media]\nrtp_ports = [40001, 40002]\n": r"f:2: .*two of a pair at least",
    "[media]\nrtp_ports = [20000]\n": r"f:2: .*list of 2 values",
    '[srtp]\npolicy = "always"\n': r'f:2: srtp\.policy: .*"off", "optional", "required"',
    '[srtp]\nsuites = ["ROT13"]\n': r"f:2: srtp\.suites: .*AEAD_AES_256_GCM",
    "[srtp]\nsuites = []\n": r"f:2: srtp\.suites: .*AEAD_AES_256_GCM",
    '[nat]\npublic_address = "router"\n': r"f:2: nat\.public_address: .*203\.0\.113\.7",
    '[nat]\nstun = "a b"\n': r"f:2: nat\.stun: .*host:port",
    '[nat]\nstun = "turn:relay.example.org"\n': r"f:2: nat\.stun: .*write a stun server here",
    '[nat]\nturn = "stun:stun.example.org"\n': r"f:2: nat\.turn: .*write a turn server here",
    '[nat]\npolicy = "upnp"\n': r'f:2: nat\.policy: .*"ice"',
    OFFICE + 'srtp = "yes"\n': r'f:4: account\.office\.srtp: .*"default"',
    "[media]\ncodecs = []\n": r"f:2: .*PCMU, PCMA",
    '[media]\ncodecs = ["G729"]\n': r"f:2: .*no codec 'G729': write some of PCMU, PCMA",
    "phone = 3\n": r"f:1: phone: write a table, as \[phone\]",
    "account = 3\n": r"f:1: account: write one table for each account",
    '[account.a]\nusername = "x"\n': r"f:1: account\.a\.domain: is missing",
    '[account.a]\nid = "b"\n': r"f:2: account\.a\.id: .*leave this line out",
    '[account.a]\nusername = "x y"\ndomain = "d"\n': r"f:2: account\.a\.username: .*as 1001",
    '[account.a]\nusername = "x"\ndomain = ""\n': r"f:3: account\.a\.domain: .*pbx\.example\.org",
    OFFICE + "expires = 1\n": r"f:4: account\.office\.expires: .*from 10 to 86400",
    OFFICE + 'dial_plan = "(("\n': r"f:4: account\.office\.dial_plan: the '\(' .* has no partner",
    OFFICE + 'proxy = "a b"\n': r"f:4: account\.office\.proxy: not a host name",
    OFFICE.replace("office", "'the office'"): r"f:1: account\.the office\.id: 1-64 characters of A-Z",
    OFFICE + '[phone]\ndefault_account = "offise"\n': r"f:5: phone\.default_account: there is no account 'offise'",
    "[hooks]\non_call_end = 3\n": r'f:2: hooks\.on_call_end: .*as "/path/to/program -x"',
    "[hooks]\non_call_end = '\"a'\n": r"f:2: .*a quote has no partner",
    '[hooks]\non_call_end = ["a", "{nomber}"]\n': r"f:2: .*there is no {nomber}; there are: {number}, {name}",
    "[hooks]\ntimeout = 0\n": r"f:2: hooks\.timeout: .*from 0\.1 to 3600",
    '[hooks]\ndecide = "a"\ndecide_url = "https://h/"\n': r"f:3: hooks\.decide_url: a program decides already",
    '[hooks]\ndecide_url = "http://pbx.example/"\n': r"f:2: hooks\.decide_url: http sends everything in the clear",
    '[hooks]\ndecide_url = "ftp://h/"\n': r"f:2: .*begins with https://",
    '[hooks]\ndecide_secret = "abc"\n': r"f:2: hooks\.decide_secret: .*write whsec_",
    "hook = 3\n": r"f:1: hook: write one table for each hook, as \[\[hook\]\]",
    '[[hook]]\nrun = "a"\n': r"f:1: hook\.events: is missing",
    '[[hook]]\nevents = ["*"]\nrun = "a"\n\n[[hook]]\nevents = ["call.endet"]\nrun = "b"\n':
        r"f:6: hook\.events: .*there is no event 'call\.endet'; did you mean call\.ended\?",
    '[[hook]]\nevents = ["xyz.*"]\nrun = "a"\n': r"f:2: .*see `offhook help types`",
    '[[hook]]\nevents = []\nrun = "a"\n': r"f:2: .*write a list of event types",
    '[[hook]]\nevents = ["*"]\nrun = ""\n': r"f:3: hook\.run: .*write the program",
    "sip.port = 70000\n": r"f: sip\.port: 70000",
    '[account."my.office"]\nusername = "x y"\n': r"f:2: account\.my\.office\.username: .*as 1001",
    "[account]\na = 3\n": r"f:1: account: write one table for each account",
    '[media]\ncodecs = "PCMA"\n': r"f:2: .*write a list of any number of values",
    '[http]\nhost = "pbx"\n': r"f:2: .*write an IP address",
    '[http]\norigins = ["http://h/path"]\n': r"f:2: .*write scheme, host and port only",
    '[sip]\nnameservers = ["dns example"]\n': r"f:2: .*write addresses, as",
    OFFICE + 'backups = ["a b"]\n': r"f:4: .*write at most 7 servers",
    "[phone\n": r"f: not TOML: .*line 1",
}


@pytest.mark.parametrize(("text", "message"), MISTAKES.items())
def test_a_mistake_names_file_line_key_and_cure(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.parse(text, "f")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_file_of_microsip_in_its_place_is_known(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "MicroSIP.ini"
    file.write_text("[Settings]\nringingSound=\n", encoding)
    with pytest.raises(ConfigError, match=r"MicroSIP\.ini: a file of MicroSIP is .*`offhook import` takes it over"):
        config.load(file)


@pytest.mark.parametrize("text", [
    "[phone]\nsession_expires = 0\n", f'[hooks]\ndecide_secret = "whsec_{"A" * 43}="\n',
    '[http]\norigins = ["https://crm.example.org", "http://localhost:3000"]\n', OFFICE + 'backups = ["sip:b.example"]\n',
])
def test_what_may_be_written(text: str) -> None:
    assert config.parse(text) != Config()


KINDS = {**config.SECTIONS, "account": AccountSettings, "hook": config.EventHook}


@pytest.mark.parametrize(("table", "key"), [
    (table, each.name) for table, kind in KINDS.items() for each in dataclasses.fields(kind) if each.type in ("int", "float")
])
def test_every_number_may_be_what_its_refusal_says_and_nothing_beyond(table: str, key: str) -> None:
    check = checks.CHECKS[table, key]
    said = [float(number) for number in re.findall(r"[0-9]+(?:\.[0-9]+)?", check(-1))]
    assert len(said) > 1
    assert not any(map(check, said))
    assert check(min(said) - 0.05)
    assert check(max(said) + 1)


PIECES = ("[phone]", "[sip]", "[account.a]", "port = ", "1", "\n", '"x"', "[", "=")


@pytest.mark.lengthy
@given(st.text(max_size=200) | st.lists(st.sampled_from(PIECES)).map("".join))
def test_any_text_is_a_config_or_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(config.parse(text), Config)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "utf16.toml").write_bytes("[phone]".encode("utf-16"))
    with pytest.raises(ConfigError, match="UTF-8"):
        config.load(tmp_path / "utf16.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(tmp_path)


def test_the_mark_of_an_editor_before_the_text_is_no_mistake(tmp_path: Path) -> None:
    file = tmp_path / "offhook.toml"
    file.write_bytes("[sip]\r\nport = 5090  # ours\r\n".encode("utf-8-sig"))
    assert config.load(file).sip.port == 5090
    assert editing.take(file, {("phone", "dnd"): True}, {}).phone.dnd
    assert config.load(file).sip.port == 5090
    assert b"# ours" in file.read_bytes()


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_a_file_with_the_line_ends_of_windows_keeps_them(tmp_path: Path, mark: bytes) -> None:
    file = tmp_path / "offhook.toml"
    before = mark + b'# ours\r\n[account.office]\r\ndomain = "d"\r\nusername = "u"\r\n\r\n[sip]\r\nport = 5090\r\n'
    file.write_bytes(before)
    editing.add_account(file, FRESH)
    written = file.read_bytes()
    assert written.startswith(before)
    assert b"\n" not in written.replace(b"\r\n", b"")
    file.write_bytes(b"[sip]\nport = 5090\r\n\n")
    editing.take(file, {("phone", "dnd"): True}, {})
    assert b"\r" not in file.read_bytes(), "mixed ends become those of most lines"


def test_every_check_is_for_a_field_that_exists() -> None:
    for section, key in checks.CHECKS:
        assert key in {each.name for each in dataclasses.fields(KINDS[section])}


def test_a_change_keeps_comments_and_order(tmp_path: Path) -> None:
    file = tmp_path / "offhook.toml"
    file.write_text("# mine\n[phone]\ndnd = false  # not now\nmax_calls = 2\n")
    assert editing.take(file, {("phone", "dnd"): True}, {}).phone.dnd
    assert file.read_text() == "# mine\n[phone]\ndnd = true  # not now\nmax_calls = 2\n"
    assert editing.take(file, {("media", "codecs"): ["PCMA"]}, {}).media.codecs == ("PCMA",)
    assert "# mine" in file.read_text()


def test_a_bad_change_leaves_the_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "offhook.toml"
    file.write_text("[sip]\nport = 5080\n")
    with pytest.raises(ConfigError, match="from 0 to 65535"):
        editing.take(file, {("sip", "port"): 99999}, {})
    assert file.read_text() == "[sip]\nport = 5080\n"
    assert os.listdir(tmp_path) == ["offhook.toml"]


def test_accounts_come_and_go(tmp_path: Path) -> None:
    file = tmp_path / "new" / "offhook.toml"
    office = AccountSettings("office", "pbx.example", "1001", password='q"\\', expires=60)
    home = AccountSettings("home", "h.example", "ann", hide_caller_id=True)
    assert editing.add_account(file, office).accounts == (office,)
    assert editing.add_account(file, home).accounts == (office, home)
    changed = dataclasses.replace(office, label="desk")
    assert set(editing.add_account(file, changed).accounts) == {home, changed}
    assert config.load(file).accounts == editing.take(file, {}, {"home": {"expires": 300}}).accounts
    assert editing.remove_account(file, "office").accounts == (home,)
    assert editing.remove_account(file, "nobody").accounts == (home,)
    assert not re.search("office", file.read_text())


HOME = '[account.home]\ndomain = "h.example"\nusername = "ann"\n'
FRESH = AccountSettings("fresh", "n.example", "7")
WRITTEN = '\n[account.fresh]\ndomain = "n.example"\nusername = "7"\n'


@pytest.mark.parametrize("before", [
    HOME + "[phone]  # between\ndnd = true\n" + OFFICE,
    'account.home.domain = "h.example"  # dotted\naccount.home.username = "ann"\n',
    '[account]\nhome = {domain = "h.example", username = "ann"}  # inline\n[sip]\n', "# nothing yet\n",
])
def test_a_new_account_stands_at_the_end_however_the_others_are_written(tmp_path: Path, before: str) -> None:
    file = tmp_path / "f.toml"
    for imported in (False, True):
        file.write_text(before)
        if imported:
            found = editing.take(file, {}, {"fresh": {"domain": "n.example", "username": "7"}})
        else:
            found = editing.add_account(file, FRESH)
        assert found.accounts == (*config.parse(before).accounts, FRESH)
        assert file.read_text() == before + WRITTEN
        assert editing.remove_account(file, "fresh") == config.parse(before)


def test_what_an_account_says_already_stays_as_it_is_written(tmp_path: Path) -> None:
    file = tmp_path / "f.toml"
    file.write_text(OFFICE + 'backups = [\n  "b.example",  # the old one\n]\nexpires = 60\n')
    office = dataclasses.replace(config.load(file).accounts[0], expires=300, label="desk")
    assert editing.add_account(file, office).accounts == (office,)
    assert file.read_text() == OFFICE + 'backups = [\n  "b.example",  # the old one\n]\nlabel = "desk"\n'
    editing.take(file, {}, {"office": {"expires": 90}})
    assert editing.take(file, {}, {"office": {"expires": 300}}).accounts == (office,), "back to the default"


@pytest.mark.parametrize(("text", "message"), [
    ("[phone\n", r"f\.toml: not TOML: .*line 1"),
    ('account = {home = {domain = "h.example", username = "ann"}}\n', "account: write one table for each account"),
])
def test_a_file_that_cannot_be_changed_is_left_alone(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "f.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        editing.add_account(file, FRESH)
    assert file.read_text() == text


def test_the_written_file_is_ours_alone(tmp_path: Path) -> None:
    editing.take(tmp_path / "f.toml", {("phone", "dnd"): True}, {})
    assert not read_by_others(tmp_path / "f.toml")


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be"):
        editing.take(tmp_path / "file" / "offhook.toml", {("phone", "dnd"): True}, {})
    with pytest.raises(ConfigError, match=r"offhook\.toml: cannot be written: "):
        editing.add_account(tmp_path / "file" / "offhook.toml", FRESH)


def test_encryption_and_nat_are_read() -> None:
    found = config.parse(
        '[srtp]\npolicy = "required"\nkeying = "dtls"\nsuites = ["AES_CM_128_HMAC_SHA1_80"]\n'
        '[nat]\npolicy = "ice"\nstun = "stun.example.org"\nturn = "turns:relay.example.org:443"\nturn_username = "u"\n'
        'public_address = "203.0.113.7"\n' + OFFICE + 'srtp = "off"\nkeying = "sdes"\nnat = "turn"\n'
    )
    assert found.srtp == SrtpSettings("required", "dtls", ("AES_CM_128_HMAC_SHA1_80",))
    assert found.nat == NatSettings("ice", "203.0.113.7", "stun.example.org", "turns:relay.example.org:443", "u")
    assert (found.accounts[0].srtp, found.accounts[0].keying, found.accounts[0].nat) == ("off", "sdes", "turn")


@pytest.mark.parametrize(("line", "message"), [
    ('sent_headers = ["Via"]', "no header that anybody but the phone may set"), ('sent_headers = ["a b"]', "no header"),
    ('sent_headers = [""]', "no header"), ('shown_headers = [""]', "write names"), ('shown_headers = ["X-*-y"]', "write names"),
])
def test_headers_that_cannot_be_meant(line: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.parse(f"[phone]\n{line}\n")


def test_headers_that_clients_may_send_and_see() -> None:
    found = config.parse('[phone]\nsent_headers = ["History-Info"]\nshown_headers = ["X-*", "User-Agent"]\n').phone
    assert found.sent_headers == ("History-Info",)
    assert found.shown_headers == ("X-*", "User-Agent")
