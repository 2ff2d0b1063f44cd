"""What a setting's value must be besides its type, and what to write instead."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, get_args

from offhook.errors import InvalidArgument
from offhook.media.messages import Detection
from offhook.media.sdes import SUITES
from offhook.storage.config.sections import OCCASIONS, PLACES, Program, Sources

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
    good = value[0] >= 1024 and value[0] + value[0] % 2 < value[1] <= 65535  # RFC 3550 11: an even one and the next
    return "" if good else "write first and last port, two of a pair at least, as [40000, 40999], between 1024 and 65535"


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
        if not (pattern in types or (pattern.endswith("*") and stem[-1:] in (".", "") and _begins(stem, types))):
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
