"""MicroSIP.ini into this phone's settings, accounts, contacts and past calls, with a word about every key of it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from offhook.errors import InvalidArgument
from offhook.media.codecs.kinds import kind_of, missing
from offhook.phone.dialplan import compile_plan
from offhook.phone.model import ContactDetails
from offhook.phone.settings import AccountSettings, ContactSettings
from offhook.storage.config import SettingValue, refusal
from offhook.storage.directory import check_address
from offhook.storage.takeover.calls import calls_of_ini
from offhook.storage.takeover.findings import Finding, TakenAccount, Takeover, Why
from offhook.storage.takeover.ini import Entry, Ini, Section, read_ini
from offhook.storage.takeover.keys import ACCOUNT, HOOKS, SETTINGS
from offhook.storage.takeover.programs import hook_program

_SETTINGS: Final = {key.name.lower(): key for key in SETTINGS}
_ACCOUNT: Final = {key.name.lower(): key for key in ACCOUNT}
_ACCOUNT_SECTION: Final = re.compile(r"account([1-9][0-9]{0,2})")

# MicroSIP writes what its cipher gave as hexadecimal digits, at least one block of eight bytes.
_ENCRYPTED: Final = re.compile(r"(?=.*[A-Fa-f])(?:[0-9A-F]{2}){8,}|(?=.*[A-Fa-f])(?:[0-9a-f]{2}){8,}")
_PORT: Final = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_SHORTCUT_CALLS: Final = frozenset({"call", "video", "message"})


def _is_folder(path: str) -> bool:
    return Path(path).is_dir()


def take_over_ini(
    text: str, name: str, known: Sequence[AccountSettings] = (), *, is_folder: Callable[[str], bool] = _is_folder
) -> Takeover:
    """Return what an ini file holds. `known` are the accounts there are already: one with the same address keeps its id.

    Raises UnreadableFile for what is no ini file.
    """
    return _Reader(read_ini(text, name), name, known, is_folder).read()


class _Reader:
    def __init__(self, ini: Ini, name: str, known: Sequence[AccountSettings], is_folder: Callable[[str], bool]) -> None:
        self._ini = ini
        self._name = name
        self._known = known
        self._is_folder = is_folder
        self._found = Takeover()
        self._settings = ini.section("settings")
        self._ids: dict[str, str] = {}

    def read(self) -> Takeover:
        for name, section in self._ini.sections.items():
            account = _ACCOUNT_SECTION.fullmatch(name)
            if account:
                self._account(section, account[1])
        for entry in self._settings.entries.values():
            self._setting(entry)
        self._together()
        self._shortcuts()
        self._calls()
        for name, section in self._ini.sections.items():
            if name not in ("settings", "shortcuts", "calls") and not _ACCOUNT_SECTION.fullmatch(name):
                self._left(section, None, "needless", "")
        return self._found

    # --- saying

    def _left(self, section: Section, entry: Entry | None, why: Why, text: str) -> None:
        what = f"[{section.name}]" + (f" {entry.key}" if entry else "")
        self._found.findings.append(Finding(self._name, entry.line if entry else section.line, what, why=why, text=text))

    def _taken(self, section: Section, entry: Entry | None, into: str, text: str = "") -> None:
        what = f"[{section.name}]" + (f" {entry.key}" if entry else "")
        self._found.findings.append(Finding(self._name, entry.line if entry else section.line, what, into, text=text))

    # --- [Settings]

    def _setting(self, entry: Entry) -> None:
        key = _SETTINGS.get(entry.key.lower())
        if key is None:
            self._left(self._settings, entry, "unsupported", "this is not known here")
        elif key.why:
            if entry.value:
                self._left(self._settings, entry, key.why, key.words)
        elif key.convert is not None:
            try:
                value = key.convert(entry.value)
            except ValueError as error:
                self._left(self._settings, entry, "invalid", str(error))
                return
            if value is not None:
                self._set(entry, key.into, value)
        elif entry.key.lower() in HOOKS:
            self._hook(entry, HOOKS[entry.key.lower()])

    def _set(self, entry: Entry, into: str, value: SettingValue) -> None:
        table, _, name = into.partition(".")
        wrong = refusal(table, name, value)
        if wrong:
            self._left(self._settings, entry, "invalid", f"{into}: {wrong}")
            return
        self._found.settings[table, name] = value
        self._taken(self._settings, entry, f"{into} = {_shown(value)}")

    def _hook(self, entry: Entry, occasion: str) -> None:
        if not entry.value:
            return
        program = hook_program(entry.value)
        if isinstance(program, str):
            self._left(self._settings, entry, "unsupported", program)
        else:
            self._set(entry, f"hooks.{occasion}", list(program))

    def _value(self, key: str) -> tuple[Entry | None, str]:
        entry = self._settings.entries.get(key.lower())
        return entry, entry.value if entry else ""

    def _together(self) -> None:
        """Settings that are made of several keys."""
        self._default_account()
        self._codecs()
        self._auto_answer()
        self._forwarding()
        self._deny()
        self._recordings()
        self._ports()
        self._nameservers()
        self._pickup()
        self._directory()

    def _default_account(self) -> None:
        entry, value = self._value("accountId")
        if entry and value in self._ids:
            # Whether there is such an account is seen when all is written.
            self._found.settings["phone", "default_account"] = self._ids[value]
            self._taken(self._settings, entry, f"phone.default_account = {_shown(self._ids[value])}")

    def _codecs(self) -> None:
        entry, value = self._value("audioCodecs")
        if not entry or not value:
            return
        names = list(dict.fromkeys(value.split()))
        lacking = [name for name in names if missing(name)]
        chosen = list(dict.fromkeys(kind_of(name).name for name in names if name not in lacking))
        if chosen:
            self._set(entry, "media.codecs", chosen)
        if lacking:
            texts = dict.fromkeys(name.partition("/")[0].upper() for name in lacking)
            self._left(self._settings, entry, "unsupported", f"no {', '.join(texts)[:200]} here")

    def _auto_answer(self) -> None:
        entry, mode = self._value("autoAnswer")
        pressed = self._settings.text("AA") == "1"
        if entry is None:
            entry, mode = self._value("AA")[0], "button"
        meant = {"": "off", "button": "all" if pressed else "off", "header": "header", "all": "all"}.get(mode.lower())
        if entry and meant is None:
            self._left(self._settings, entry, "invalid", "it is none of the values MicroSIP knows")
        elif entry and meant:
            self._set(entry, "phone.auto_answer", meant)

    def _forwarding(self) -> None:
        entry, mode = self._value("forwarding")
        number = self._settings.text("forwardingNumber")
        pressed = mode.lower() == "all" or (mode.lower() == "button" and self._settings.text("FWD") == "1")
        if entry and pressed and number:
            self._set(entry, "phone.forwarding", number)
        elif number:
            self._left(self._settings, self._value("forwardingNumber")[0], "needless", "")

    def _deny(self) -> None:
        entry, mode = self._value("denyIncoming")
        pressed = self._settings.text("DND") == "1"
        if entry is None:
            entry, mode = self._value("DND")[0], "button"
        if entry and (mode.lower() == "all" or (mode.lower() == "button" and pressed)):
            self._set(entry, "phone.dnd", True)
        elif entry and mode.lower() not in ("", "button", "all"):
            self._left(self._settings, entry, "unsupported", "who may call is decided by `[hooks] decide` here (docs/hooks.md)")

    def _recordings(self) -> None:
        entry, value = self._value("recordingPath")
        if entry and value:
            if self._is_folder(value):
                self._set(entry, "phone.recording_dir", value)
            else:
                self._left(self._settings, entry, "invalid", "there is no such folder on this machine")

    def _ports(self) -> None:
        (first, low), (_, high) = self._value("rtpPortMin"), self._value("rtpPortMax")
        if first and _PORT.fullmatch(low) and _PORT.fullmatch(high):
            self._set(first, "media.rtp_ports", [int(low), int(high)])

    def _nameservers(self) -> None:
        entry, value = self._value("dnsSrvNs")
        found = [part for part in re.split(r"[;,\s]+", value) if part]
        if entry and found:
            self._set(entry, "sip.nameservers", found)

    def _pickup(self) -> None:
        entry, value = self._value("featureCodeCP")
        wrong = refusal("account", "pickup_prefix", value)
        if not entry or not value:
            return
        if wrong:
            self._left(self._settings, entry, "invalid", wrong)
            return
        for account in self._found.accounts:
            account.settings["pickup_prefix"] = value
        self._taken(self._settings, entry, f"account.….pickup_prefix = {_shown(value)}")

    def _directory(self) -> None:
        entry, url = self._value("usersDirectory")
        if not entry or not url:
            return
        clear = url.lower().startswith("http://")
        try:
            check_address(ContactSettings(directory=url, allow_http=clear))
        except ValueError as error:
            self._left(self._settings, entry, "invalid", str(error))
            return
        self._set(entry, "contacts.directory", url)
        if clear:
            self._found.settings["contacts", "allow_http"] = True

    # --- [AccountN]

    def _account(self, section: Section, number: str) -> None:
        domain = section.text("domain") or section.text("server")
        username = section.text("username")
        wrong = refusal("account", "domain", domain) or refusal("account", "username", username)
        if not section.text("domain") and not section.text("server") and not username:
            return  # MicroSIP leaves empty ones behind
        if wrong:
            self._left(section, None, "invalid", f"an account needs a server or domain, and a user name: {wrong}")
            return
        account = TakenAccount(self._id(section, number, domain, username), {"domain": domain, "username": username})
        self._ids[number] = account.id
        for entry in section.entries.values():
            self._account_key(section, entry, account)
        self._proxy(section, account, domain)
        password = self._password(section)
        self._found.accounts.append(TakenAccount(account.id, account.settings, password))
        self._taken(section, None, f"account.{account.id}", "with its password" if password else "without a password")

    def _id(self, section: Section, number: str, domain: str, username: str) -> str:
        for each in self._known:
            if (each.domain.lower(), each.username) == (domain.lower(), username):
                return each.id
        wanted = re.sub(r"[^a-z0-9]+", "-", _in_ascii(section.text("label") or username)).strip("-")[:32] or f"account{number}"
        taken = {each.id for each in self._known} | {account.id for account in self._found.accounts} | {"local"}
        return next(name for name in (wanted, *(f"{wanted}-{place}" for place in range(2, 2000))) if name not in taken)

    def _account_key(self, section: Section, entry: Entry, account: TakenAccount) -> None:
        key = _ACCOUNT.get(entry.key.lower())
        if key is None or key.why:
            if entry.value and entry.value != "0":
                why = key.why if key else "unsupported"
                self._left(section, entry, why, key.words if key else "this is not known here")
            return
        if entry.key.lower() == "transport":
            self._transport(section, entry, account)
        elif entry.key.lower() == "srtp":
            self._srtp(section, entry, account)
        elif entry.key.lower() == "voicemailnumber" and entry.value:
            account.settings["mwi"] = True
        elif key.convert is not None:
            try:
                value = key.convert(entry.value)
            except ValueError as error:
                self._left(section, entry, "invalid", str(error))
                return
            if value is not None:
                self._into_account(section, entry, account, key.into.partition(".")[2], value)

    def _into_account(self, section: Section, entry: Entry, account: TakenAccount, name: str, value: SettingValue) -> None:
        wrong = refusal("account", name, value) or _wrong_plan(name, value)
        if wrong:
            self._left(section, entry, "invalid", wrong)
        else:
            account.settings[name] = value

    def _transport(self, section: Section, entry: Entry, account: TakenAccount) -> None:
        wanted = entry.value.lower() or "udp"
        if not refusal("account", "transport", wanted):
            account.settings["transport"] = wanted
            return
        account.settings["register"] = False  # rather not at all than in the clear
        self._left(section, entry, "unsupported", f"no {wanted[:20]} here: the account is written with register = false")

    def _srtp(self, section: Section, entry: Entry, account: TakenAccount) -> None:
        meant = _SRTP.get(entry.value.lower())
        if meant is None:
            account.settings["srtp"] = "required"  # whatever it means, it is not in the clear
            self._left(section, entry, "invalid", "it is none of the values MicroSIP knows: the account has srtp = required")
        else:
            account.settings.update(meant)

    def _proxy(self, section: Section, account: TakenAccount, domain: str) -> None:
        proxies, server = section.text("proxy").split(), section.text("server")
        proxy = proxies[0] if proxies else server if server.lower() != domain.lower() else ""
        if proxy:
            account.settings["proxy"] = proxy
        if len(proxies) > 1:
            self._into_account(section, section.entries["proxy"], account, "backups", proxies[1:])

    def _password(self, section: Section) -> str:
        entry = section.entries.get("password")
        if entry is None or not entry.value:
            return ""
        if _ENCRYPTED.fullmatch(entry.value) or section.text("passwordSize"):
            self._left(section, entry, "secret", "MicroSIP has encrypted it, with a key of its own: run  offhook password "
                       f"{self._ids.get(section.name[7:], 'ACCOUNT')}  and type it")  # fmt: skip
            return ""
        return entry.value

    # --- the other sections

    def _shortcuts(self) -> None:
        section = self._ini.section("shortcuts")
        for entry in section.entries.values():
            label, _, rest = entry.value.partition(";")
            number, _, kind = rest.partition(";")
            kind = kind.partition(";")[0].strip()
            if not entry.value:
                continue
            if kind in _SHORTCUT_CALLS and number.strip():
                name = label.strip()[:256] or number.strip()[:256]
                self._found.contacts.append(ContactDetails(name=name, number=number.strip()[:512], starred=True))
                self._taken(section, entry, "a starred contact")
            else:
                self._left(section, entry, "unsupported", _SHORTCUTS.get(kind, "there are no shortcut buttons here"))

    def _calls(self) -> None:
        section = self._ini.section("calls")
        if not section.entries:
            return
        domain = next((str(each.settings["domain"]) for each in self._found.accounts), "")
        found = calls_of_ini(section, self._name)
        self._found.calls += [call.record(domain) for call in found.calls]
        if found.calls:
            self._taken(section, None, f"{len(found.calls)} past calls in the history")
        for skipped in found.skipped:
            self._found.findings.append(Finding(self._name, skipped.line, "[Calls]", why="invalid", text=skipped.why))


_SRTP: Final[Mapping[str, Mapping[str, SettingValue]]] = {
    "": {}, "optional": {"srtp": "optional"}, "mandatory": {"srtp": "required"}, "dtls": {"srtp": "required", "keying": "dtls"},
    "dtls-sdes": {"srtp": "required", "keying": "dtls"},
}  # fmt: skip

_SHORTCUTS: Final = {
    "dtmf": "there are no shortcut buttons here; the command is  offhook dtmf DIGITS",
    "transfer": "there are no shortcut buttons here; the command is  offhook transfer NUMBER",
    "attendedTransfer": "there are no shortcut buttons here; the command is  offhook transfer --attended CALL",
    "conference": "there are no shortcut buttons here; the command is  offhook conference create CALL CALL",
}


_SPELT: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe"})


def _in_ascii(text: str) -> str:
    """Return a label in small letters without marks: an id is typed, and heard over the telephone."""
    spelt = unicodedata.normalize("NFC", text).lower().translate(_SPELT)
    return "".join(each for each in unicodedata.normalize("NFKD", spelt) if not unicodedata.combining(each))


def _wrong_plan(name: str, value: SettingValue) -> str:
    if name == "dial_plan":
        try:
            compile_plan(str(value))
        except InvalidArgument as error:
            return error.detail
    return ""


def _shown(value: SettingValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    return f"[{', '.join(_shown_items(value))}]"


def _shown_items(values: Sequence[str] | Sequence[int]) -> Iterator[str]:
    for value in values:
        yield _shown(value)
