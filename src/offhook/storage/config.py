"""The configuration file: TOML into checked, frozen settings."""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import re
import tomllib
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

from offhook.errors import ConfigError, InvalidArgument
from offhook.media.messages import Detection
from offhook.media.sdes import SUITES
from offhook.phone.settings import AccountSettings, ContactSettings, NatSettings, PhoneSettings, SrtpSettings

CODECS = ("PCMU", "PCMA")

SettingValue: TypeAlias = str | int | float | bool | Sequence[str] | Sequence[int]
S = TypeVar("S")


class Sources(tuple[str, ...]):
    """Who may call: "anyone", "accounts", and networks. Written as one text it is a list of one."""


ANYONE = Sources(("anyone",))


@dataclass(frozen=True, slots=True)
class SipSettings:
    """Where SIP is spoken, and to whom. A busy `port` is replaced by any free one; `user_agent` "" is the program's own name.

    `accept_from` is "anyone", "accounts" (only the accounts' servers) or a list of networks beside them. A stranger may send
    `stranger_rate` requests a second (0: any number); `unlimited_from` are networks to which that does not apply.

    With `tls_certificate` and `tls_key` (PEM files) other phones may connect to `tls_port` by TLS. `nameservers` are asked
    instead of the system's, as ["192.0.2.53", "[2001:db8::53]:5353"].
    """

    host: str = "0.0.0.0"
    port: int = 5060
    user_agent: str = ""
    tls_port: int = 5061
    tls_certificate: str = ""
    tls_key: str = ""
    nameservers: tuple[str, ...] = ()
    accept_from: Sources = ANYONE
    stranger_rate: float = 20.0
    unlimited_from: tuple[str, ...] = ("127.0.0.0/8", "::1/128")


@dataclass(frozen=True, slots=True)
class MediaSettings:
    """How sound is carried. `rtp_ports` is the first and the last port; RTP takes the even ones, RTCP the next.

    `workers` is the number of processes that calls are spread over, for more calls than one core carries; more than one need
    mode "process" and sound "null". `voice` is what cleans the microphone: "own", or "webrtc" (needs the extra packages
    `offhook[aec]`).
    """

    mode: Literal["process", "thread"] = "process"
    sound: Literal["auto", "null", "miniaudio", "sounddevice"] = "auto"
    rtp_ports: tuple[int, int] = (40000, 40999)
    codecs: tuple[str, ...] = CODECS
    workers: int = 1
    voice: Literal["own", "webrtc"] = "own"


class Program(tuple[str, ...]):
    """A program and its arguments. Written as one text it is taken apart once; written as a list it is taken as it is."""


NO_PROGRAM = Program()


@dataclass(frozen=True, slots=True)
class HookSettings:
    """Programs on MicroSIP's eight occasions, with the far end's number; and who decides about incoming calls.

    `timeout` is seconds for a program, `at_once` how many run at a time. `decide` is a program, `decide_url` a web address
    that says what becomes of an incoming call; `decide_secret` (whsec_…) signs what is sent there.
    """

    on_outgoing_call: Program = NO_PROGRAM
    on_incoming_call: Program = NO_PROGRAM
    on_call_ring: Program = NO_PROGRAM
    on_call_answer: Program = NO_PROGRAM
    on_call_answer_video: Program = NO_PROGRAM
    on_call_start: Program = NO_PROGRAM
    on_call_busy: Program = NO_PROGRAM
    on_call_end: Program = NO_PROGRAM
    timeout: float = 10.0
    at_once: int = 8
    decide: Program = NO_PROGRAM
    decide_url: str = ""
    decide_secret: str = ""


@dataclass(frozen=True, slots=True)
class EventHook:
    """A program for events of any type: `events` are types and patterns such as "dtmf.received" and "call.*"."""

    events: tuple[str, ...]
    run: Program
    timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """`allow_http` lets webhooks go to other machines in the clear."""

    allow_http: bool = False


@dataclass(frozen=True, slots=True)
class OutgoingSettings:
    """Web addresses that commands may send the phone to: sounds to play, programs that get a call's sound.

    `urls` are beginnings of addresses ("wss://bot.example.org/calls"), for clients without the scope admin; `allow_http` lets
    http and ws go to other machines in the clear.
    """

    urls: tuple[str, ...] = ()
    allow_http: bool = False


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """The HTTP surface. Beyond this machine it needs `certificate` and `key` (PEM files) and a token that exists.

    `hosts` are further names clients may call it by, `origins` web pages ("https://crm.example.org") that may use it.
    """

    enabled: bool = False
    host: str = "127.0.0.1"
    port: int = 5080
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    certificate: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class WindowsSettings:
    """The `window` of class MicroSIP and the `dde` service, for programs of the same Windows session; without effect elsewhere.

    `calls_per_minute` bounds the calls, transfers and texts that each of the two may cause; 0 is no bound.
    """

    window: bool = True
    dde: bool = True
    calls_per_minute: int = 60


@dataclass(frozen=True, slots=True)
class DesktopSettings:
    """Links that dial (`offhook desktop install`): with `ask` a person is asked before somebody is called."""

    ask: bool = True


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration. `accounts` and `hook` are in the order of the file."""

    phone: PhoneSettings = field(default_factory=PhoneSettings)
    sip: SipSettings = field(default_factory=SipSettings)
    media: MediaSettings = field(default_factory=MediaSettings)
    srtp: SrtpSettings = field(default_factory=SrtpSettings)
    nat: NatSettings = field(default_factory=NatSettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    hooks: HookSettings = field(default_factory=HookSettings)
    webhooks: WebhookSettings = field(default_factory=WebhookSettings)
    windows: WindowsSettings = field(default_factory=WindowsSettings)
    contacts: ContactSettings = field(default_factory=ContactSettings)
    desktop: DesktopSettings = field(default_factory=DesktopSettings)
    outgoing: OutgoingSettings = field(default_factory=OutgoingSettings)
    hook: tuple[EventHook, ...] = ()
    accounts: tuple[AccountSettings, ...] = ()


SECTIONS: Mapping[str, type[Any]] = {
    "phone": PhoneSettings, "sip": SipSettings, "media": MediaSettings, "srtp": SrtpSettings, "http": HttpSettings,
    "hooks": HookSettings, "webhooks": WebhookSettings, "windows": WindowsSettings, "contacts": ContactSettings,
    "desktop": DesktopSettings,
    "outgoing": OutgoingSettings, "nat": NatSettings,
}  # fmt: skip

Check: TypeAlias = Callable[[Any], str]
"""Returns "" if the value is good, else what to write instead."""


def _between(low: float, high: float, unit: str = "") -> Check:
    wanted = f"write a number from {low:g} to {high:g}{unit}"
    return lambda value: "" if low <= value <= high else wanted


def _codecs(value: tuple[str, ...]) -> str:
    from offhook.media.codecs.kinds import missing  # looks for shared libraries; only files that name codecs pay for it

    return next(filter(None, map(missing, value)), "")


def _server(value: str, scheme: str) -> str:
    if not value:
        return ""
    from offhook.io.nat import parse_server  # only files with servers pay for it

    try:
        parse_server(value)
    except ValueError as error:
        return str(error)
    other = re.match(r"(stuns?|turns?):", value)
    return "" if other is None or other[1].startswith(scheme) else f"write a {scheme} server here"


def _suites(value: tuple[str, ...]) -> str:
    return "" if value and set(value) <= set(SUITES) else f"write a list of {', '.join(SUITES)}, the preferred one first"


def _ports(value: tuple[int, int]) -> str:
    good = 1024 <= value[0] < value[1] <= 65535
    return "" if good else "write the first and the last port, as [40000, 40999], between 1024 and 65535"


def _ip(value: str) -> str:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return "write an IP address of this machine, 0.0.0.0 for all its IPv4 addresses, or :: for all of both families"
    return ""


def _nameservers(value: tuple[str, ...]) -> str:
    from offhook.io.names import server_address  # only files with name servers pay for it

    try:
        for each in value:
            server_address(each)
    except ValueError:
        return 'write addresses, as ["192.0.2.53", "[2001:db8::53]:5353"]'
    return ""


def _networks(value: tuple[str, ...]) -> str:
    for each in value:
        try:
            ipaddress.ip_network(each)
        except ValueError:
            return f'{each!r} is no network: write a list of addresses and networks, as ["192.0.2.7", "10.1.0.0/16"]'
    return ""


def _sources(value: Sources) -> str:
    wanted = 'write "anyone", "accounts", or a list of networks, as ["192.0.2.7", "10.1.0.0/16"]'
    return "" if value and not _networks(tuple(set(value) - {"anyone", "accounts"})) else wanted


def _origins(value: tuple[str, ...]) -> str:
    good = all(_ORIGIN.fullmatch(origin) for origin in value)
    return "" if good else 'write scheme, host and port only, as ["https://crm.example.org", "http://localhost:3000"]'


_ORIGIN = re.compile(r"https?://[^\s/?#@*]+")


def _beginnings(value: tuple[str, ...]) -> str:
    from offhook.phone.urls import prefix_of  # only files with such a list pay for it

    for text in value:
        try:
            prefix_of(text)
        except ValueError as error:
            return f"{text!r}: {error}"
    return ""


def _events(value: tuple[str, ...]) -> str:
    from offhook.phone.events import EVENTS  # here and below: only files with hooks pay for it

    types = tuple(event.type for event in EVENTS)
    for pattern in value:
        stem = pattern.removesuffix("*")
        if not (pattern in types or (pattern in ("*", f"{stem}*") and stem[-1:] in (".", "") and _begins(stem, types))):
            close = difflib.get_close_matches(pattern, types, 1)
            return f"there is no event {pattern!r}" + (f"; did you mean {close[0]}?" if close else ", see `offhook help types`")
    return "" if value else 'write a list of event types, as ["call.*", "dtmf.received"]'


def _begins(stem: str, types: tuple[str, ...]) -> bool:
    return any(name.startswith(stem) for name in types)


def _places(value: Program) -> str:
    found = (name for text in value[1:] for name in re.findall(r"\{([a-z_]+)\}", text))
    unknown = next((name for name in found if name not in PLACES), "")
    return f"there is no {{{unknown}}}; there are: {', '.join(f'{{{name}}}' for name in PLACES)}" if unknown else ""


def _needed(value: Program) -> str:
    return _places(value) if value else "write the program and its arguments"


def _secret(value: str) -> str:
    good = not value or re.fullmatch(r"whsec_[A-Za-z0-9+/]{32,88}={0,2}", value)
    return "" if good else "write whsec_ and 24-64 bytes in base64"


PLACES = ("number", "name", "uri", "call", "account", "event")
"""What `{…}` in a hook's argument may stand for."""

OCCASIONS = tuple(each.name for each in dataclasses.fields(HookSettings) if each.name.startswith("on_"))
"""The keys of [hooks] that are MicroSIP's cmdOutgoingCall … cmdCallEnd."""



def _sent_headers(value: tuple[str, ...]) -> str:
    from offhook.phone.headers import is_name

    wrong = next((name for name in value if not is_name(name)), None)
    return "" if wrong is None else f"{wrong!r} is no header that anybody but the phone may set"


def _shown_headers(value: tuple[str, ...]) -> str:
    good = all(re.fullmatch(r"[A-Za-z0-9!%_+`'~.-]*\*?", name) and name for name in value)
    return "" if good else 'write names, beginnings, or everything, as ["User-Agent", "X-*"], ["*"]'


_VOLUME = _between(0, 100)
_DAY = _between(0, 86400, " seconds")
_TOKEN = re.compile(r"[^\s@<>\"]+")

def _detections(value: tuple[str, ...]) -> str:
    return "" if set(value) <= set(get_args(Detection)) else 'write a list of "dtmf", "tones", "beep", "vad" and "amd"'


def _music(value: str) -> str:
    from offhook.phone.playing import music_of

    try:
        music_of("", value)
    except InvalidArgument:
        return 'write the path of a sound file, or a tone, as "tone:440" or "tone:350+440"'
    return ""


CHECKS: Mapping[tuple[str, str], Check] = {
    ("phone", "detect"): _detections,
    ("phone", "hold_music"): _music,
    ("account", "hold_music"): _music,
    ("phone", "status_linger"): _between(0, 3600, " seconds"),
    ("phone", "register_timeout"): _between(0, 600, " seconds"),
    ("phone", "reject_status"): _between(400, 699),
    ("phone", "dtmf_pause_ms"): _between(0, 60000, " milliseconds"),
    ("phone", "auto_answer_delay"): _DAY,
    ("phone", "forwarding_delay"): _DAY,
    ("phone", "max_calls"): _between(0, 100000),
    ("phone", "max_load"): _between(0, 1),
    ("phone", "overload_status"): lambda value: "" if value in (0, 486, 503) else "write 486, 503, or 0 for what fits",
    ("phone", "ring_timeout"): _DAY,
    ("phone", "auto_hangup"): _between(0, 7 * 86400, " seconds"),
    ("phone", "session_expires"): lambda value: "" if not value or 90 <= value <= 86400 else "write 0, or 90 to 86400 seconds",
    ("phone", "session_least"): _between(90, 86400, " seconds"),
    ("phone", "sent_headers"): _sent_headers,
    ("phone", "shown_headers"): _shown_headers,
    ("phone", "output_volume"): _VOLUME,
    ("phone", "mic_volume"): _VOLUME,
    ("sip", "host"): _ip,
    ("sip", "port"): _between(0, 65535),
    ("sip", "tls_port"): _between(0, 65535),
    ("sip", "nameservers"): _nameservers,
    ("sip", "accept_from"): _sources,
    ("sip", "stranger_rate"): _between(0, 100000, " requests a second"),
    ("sip", "unlimited_from"): _networks,
    ("media", "rtp_ports"): _ports,
    ("media", "codecs"): lambda value: _codecs(value) if value else "write a list such as PCMU, PCMA, the preferred one first",
    ("media", "workers"): _between(1, 64),
    ("srtp", "suites"): _suites,
    ("nat", "public_address"): lambda value: _ip(value) and "write an IP address, as 203.0.113.7" if value else "",
    ("nat", "stun"): lambda value: _server(value, "stun"),
    ("nat", "turn"): lambda value: _server(value, "turn"),
    ("http", "host"): _ip,
    ("http", "port"): _between(0, 65535),
    ("http", "origins"): _origins,
    ("contacts", "country_code"): lambda value: "" if re.fullmatch(r"([1-9][0-9]{0,3})?", value) else 'write digits, as "49"',
    ("outgoing", "urls"): _beginnings,
    ("account", "domain"): lambda value: "" if _TOKEN.fullmatch(value) else "write a host name or address, as pbx.example.org",
    ("account", "username"): lambda value: "" if _TOKEN.fullmatch(value) else "write the user part, as 1001",
    ("account", "codecs"): _codecs,
    ("account", "expires"): _between(10, 86400, " seconds"),
    ("account", "keep_alive"): _between(0, 3600, " seconds, 0 for none"),
    ("account", "backups"): lambda value: "" if all(map(_TOKEN.fullmatch, value)) and len(value) < 8 else
        'write at most 7 servers, as ["sip:backup.example.org"]',
    ("account", "ws_path"): lambda value: "" if value.startswith("/") and _TOKEN.fullmatch(value) else 'write a path, as "/ws"',
    ("phone", "instance_id"): lambda value: "" if not value or re.fullmatch(r"urn:uuid:[0-9a-fA-F-]{36}", value) else
        'write "urn:uuid:" and a UUID, or leave it out',
    **{("hooks", name): _places for name in (*OCCASIONS, "decide")},
    ("hooks", "timeout"): _between(0.1, 3600, " seconds"),
    ("hooks", "at_once"): _between(1, 100),
    ("hooks", "decide_secret"): _secret,
    ("windows", "calls_per_minute"): _between(0, 10000),
    ("hook", "events"): _events,
    ("hook", "run"): _needed,
    ("hook", "timeout"): _between(0.1, 3600, " seconds"),
}


def load(path: Path) -> Config:
    """Read the file; a missing one is an empty one. Raises ConfigError naming file, line, key and what to write."""
    try:
        text = text_of(path)
    except FileNotFoundError:
        return Config()
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror or exc}") from exc
    return parse(text, str(path))


def text_of(path: Path) -> str:
    """Return the file's text, without the mark that Windows' editors put before it. Raises OSError, and ConfigError."""
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8: save the file as UTF-8 text") from None


def parse(text: str, source: str = "offhook.toml") -> Config:
    """Turn TOML text into a Config; `source` names it in ConfigError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{source}: not TOML: {exc}") from None
    return _Reader(text, source).config(document)


class _Reader:
    """One pass over one document; knows the text only to say where a mistake is."""

    def __init__(self, text: str, source: str) -> None:
        self._lines = text.splitlines()
        self._source = source

    def config(self, document: Mapping[str, Any]) -> Config:
        self._known(document, (*SECTIONS, "hook", "account"), "")
        values = {name: self._section(name, name, document.get(name, {}), kind) for name, kind in SECTIONS.items()}
        accounts = self._accounts(document.get("account", {}))
        config = Config(accounts=accounts, hook=self._event_hooks(document.get("hook", [])), **values)
        chosen = config.phone.default_account
        if chosen and chosen not in {account.id for account in accounts}:
            raise self._wrong("phone", "default_account", f"there is no account {chosen!r}: write an id from [account.ID]")
        if 0 < config.phone.session_expires < config.phone.session_least:
            raise self._wrong("phone", "session_expires", "is shorter than session_least: write 0, or more than that")
        self._decider(config)
        self._directory(config.contacts)
        return config

    def _decider(self, config: Config) -> None:
        hooks = config.hooks
        if hooks.decide and hooks.decide_url:
            raise self._wrong("hooks", "decide_url", "a program decides already: leave decide or decide_url out")
        if not hooks.decide_url:
            return
        from offhook.phone.urls import Url

        try:
            Url.parse(hooks.decide_url, plain=config.webhooks.allow_http)
        except ValueError as error:
            raise self._wrong("hooks", "decide_url", str(error)) from None

    def _directory(self, settings: ContactSettings) -> None:
        if not settings.directory:
            return
        from offhook.storage.directory import check_address

        try:
            check_address(settings)
        except ValueError as error:
            raise self._wrong("contacts", "directory", str(error)) from None

    def _event_hooks(self, tables: Any) -> tuple[EventHook, ...]:
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise self._wrong("", "hook", "write one table for each hook, as [[hook]]")
        return tuple(
            self._section("hook", f"hook#{number}", table, EventHook) for number, table in enumerate(tables, 1)
        )

    def _accounts(self, tables: Any) -> tuple[AccountSettings, ...]:
        if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
            raise self._wrong("", "account", "write one table for each account, as [account.office]")
        accounts = []
        for name, table in tables.items():
            if "id" in table:
                raise self._wrong(f"account.{name}", "id", f"the id is the table's name, {name!r}: leave this line out")
            accounts.append(self._section("account", f"account.{name}", {"id": name, **table}, AccountSettings))
        return tuple(accounts)

    def _section(self, checks: str, table: str, values: Any, kind: type[S]) -> S:
        if not isinstance(values, dict):
            raise self._wrong("", table, f"write a table, as [{table}]")
        fields = dataclasses.fields(kind)  # type: ignore[arg-type]
        self._known(values, tuple(each.name for each in fields), table)
        hints = get_type_hints(kind)
        settings = {key: self._value(checks, table, key, value, hints[key]) for key, value in values.items()}
        for each in fields:
            if each.name not in settings and each.default is each.default_factory is dataclasses.MISSING:
                raise self._wrong(table, each.name, "is missing: it has no default")
        return kind(**settings)

    def _value(self, checks: str, table: str, key: str, value: Any, hint: Any) -> Any:
        converted, wanted = _convert(value, hint)
        check = CHECKS.get((checks, key))
        if not wanted and check is not None:
            wanted = check(converted)
        if wanted:
            raise self._wrong(table, key, f"{value!r} does not fit: {wanted}")
        return converted

    def _known(self, values: Mapping[str, Any], names: Sequence[str], table: str) -> None:
        for key in values:
            if key not in names:
                close = difflib.get_close_matches(key, names, 1)
                hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(names)}"
                raise self._wrong(table, key, f"is not a setting; {hint}")

    def _wrong(self, table: str, key: str, text: str) -> ConfigError:
        line = self._line_of(table, key)
        where = f"{self._source}:{line}" if line else self._source
        table = table.partition("#")[0]  # the number only says which of several [[hook]] it is
        return ConfigError(f"{where}: {f'{table}.{key}' if table else key}: {text}")

    def _line_of(self, table: str, key: str) -> int:
        current, header_line, lists = "", 0, 0
        for number, line in enumerate(self._lines, 1):
            header = re.match(r"\s*\[+\s*([^\]]*?)\s*\]", line)
            if header:
                current = header[1].replace('"', "").replace("'", "")
                if "[[" in header[0]:
                    lists += 1
                    current += f"#{lists}"
                if current == table or (not table and re.split("[.#]", current)[0] == key):
                    header_line = number
            elif current == table and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
                return number
        return header_line


def _convert(value: Any, hint: Any) -> tuple[Any, str]:
    """Return the value as the field's type, and "" or what to write instead."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Program:
        return _convert_program(value)
    if hint is Sources:
        listed = [value] if isinstance(value, str) else value
        good = isinstance(listed, list) and all(type(each) is str for each in listed)
        return (Sources(listed), "") if good else (value, 'write "anyone", "accounts", or a list of networks')
    if origin is Literal:
        good = isinstance(value, str) and value in arguments
        return value, "" if good else "write one of " + ", ".join(f'"{each}"' for each in arguments)
    if origin is tuple:
        return _convert_list(value, arguments)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value), ""
    # bool is an int to Python, but "expires = true" is a mistake.
    return value, "" if type(value) is hint else _WANTED[hint]


def _convert_list(value: Any, arguments: tuple[Any, ...]) -> tuple[Any, str]:
    item, size = arguments[0], 0 if arguments[-1] is Ellipsis else len(arguments)
    if not isinstance(value, list) or any(type(each) is not item for each in value) or (size and len(value) != size):
        return value, f"write a list of {size or 'any number of'} values in brackets, each: {_WANTED[item]}"
    return tuple(value), ""


def _convert_program(value: Any) -> tuple[Any, str]:
    if isinstance(value, list) and all(type(each) is str for each in value):
        return Program(value), ""
    from offhook.storage import command_line

    try:
        if isinstance(value, str):
            return Program(command_line.split(value)), ""
    except ValueError:
        return value, "a quote has no partner; a list needs none, as [\"/path/to/program\", \"an argument\"]"
    return value, 'write the program and its arguments, as "/path/to/program -x" or ["/path/to/program", "-x"]'


_WANTED: Mapping[Any, str] = types.MappingProxyType({
    str: 'write text in quotes, as "text"', int: "write a whole number", float: "write a number",
    bool: "write true or false",
})


def refusal(table: str, key: str, value: SettingValue) -> str:
    """Return "" if a setting takes this value, else what is wrong with it. `table` is a section, or "account"."""
    kind = AccountSettings if table == "account" else SECTIONS.get(table)
    if kind is None or key not in {each.name for each in dataclasses.fields(kind)}:
        return f"there is no setting {table}.{key} here"
    converted, wanted = _convert(value, get_type_hints(kind)[key])
    check = CHECKS.get((table, key))
    return wanted or (check(converted) if check else "")
