"""From what a person types to a URI: prefixes, MicroSIP's dial-plan syntax, and the account's domain."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import Final, get_args
from urllib.parse import unquote

from offhook.errors import DialPlanDenied, InvalidArgument, ParseError
from offhook.phone.settings import AccountSettings
from offhook.sip.events import TransportName
from offhook.sip.uri import Uri

MAX_TARGET: Final = 512
"""Characters: longer than any number or address a person dials."""
MAX_PLAN: Final = 4096
"""Characters of a dial plan."""

TRANSPORTS: Final[tuple[str, ...]] = get_args(TransportName)

_SEPARATORS = str.maketrans("", "", " ()-./\t")
_COPIED = str.maketrans(
    dict.fromkeys("\u00ad\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff", "")
    | dict.fromkeys("\u00a0\u2007\u2009\u202f\u3000", " ") | dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-")
    | {chr(0xFEE0 + ord(narrow)): narrow for narrow in "0123456789+-()*#./"}
)  # fmt: skip
"""What is not seen in a number that was copied: marks of direction, as address books put around it, wide spaces and dashes;
and the digits of double width that Japanese programs write."""
_NUMBER = re.compile(r"\+?[0-9 ()\-./*#A-Da-d]+")
_SIP_NUMBER = re.compile(r"[Ss][Ii][Pp][Ss]?:([+*#]*[0-9*#]+)(?:;[^?]*)?")
_KEEP_ZERO: Final = frozenset({"39", "378"})
"""Country codes behind which the 0 of a national number stays (Italy, San Marino)."""
_TRUNK_ZERO = re.compile(rf"(?:\+|00) ?(?!(?:{'|'.join(sorted(_KEEP_ZERO))})\b)[0-9]{{1,3}}[ ./\-]*\(0\)")
_AND_DIGITS = re.compile(r"(\+?[0-9*# ()./-]+),([0-9*#A-Da-d,]+)")
_USER = re.compile(r"[A-Za-z0-9_.!~*'()&=+$,;?/#%-]+")


@lru_cache(maxsize=64)
def compile_plan(plan: str) -> tuple[tuple[re.Pattern[str], tuple[str | None, ...]], ...]:
    """Return the rules of `(a|b|c)`: for each a pattern and, group by group, what replaces it (None: itself).

    `x` is any character, `.` repeats the item before it any number of times, `[2-9]` is a class, `<match:replace>`
    substitutes. Raises InvalidArgument for a plan that cannot be read.
    """
    text = plan.strip()
    if len(text) > MAX_PLAN:
        raise InvalidArgument.field("dial_plan", f"longer than {MAX_PLAN} characters")
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    return tuple(_compile_rule(rule.strip()) for rule in text.split("|") if rule.strip())


def _compile_rule(rule: str) -> tuple[re.Pattern[str], tuple[str | None, ...]]:
    pattern: list[str] = []
    replacements: list[str | None] = []
    for piece in re.split(r"(<[^<>]*>)", rule):
        if not piece:
            continue
        if piece.startswith("<") and piece.endswith(">"):
            match, colon, replace = piece[1:-1].partition(":")
            replacements.append(replace if colon else None)
            pattern.append(f"({_items(match, rule)})")
        else:
            replacements.append(None)
            pattern.append(f"({_items(piece, rule)})")
    try:
        return re.compile("".join(pattern)), tuple(replacements)
    except re.error as error:
        raise InvalidArgument.field("dial_plan", f"the rule {rule!r} cannot be read: {error}") from None


def _items(text: str, rule: str) -> str:
    """Return the regular expression for a run of items without substitutions."""
    out: list[str] = []
    index = 0
    while index < len(text):
        character = text[index]
        if character == "[":
            end = text.find("]", index)
            members = text[index + 1 : end] if end > 0 else ""
            if not re.fullmatch(r"[0-9A-Za-z*#+\-]+", members):
                raise InvalidArgument.field("dial_plan", f"the class in {rule!r} is not like [2-9]")
            out.append(f"[{members}]")
            index = end
        elif character in "()<>]":
            raise InvalidArgument.field("dial_plan", f"the {character!r} in {rule!r} has no partner: write (a|<b:c>x.|[2-9]x)")
        elif character in "xX":
            out.append(".")
        elif character == ".":
            if not out:
                raise InvalidArgument.field("dial_plan", f"'.' in {rule!r} has nothing before it to repeat")
            # A repeated repetition means the same, and nesting it would make matching exponential.
            out[-1] = out[-1] if out[-1].endswith("*") and len(out[-1]) > 1 else out[-1] + "*"
        else:
            out.append(re.escape(character))
        index += 1
    return "".join(out)


def apply_plan(plan: str, number: str) -> str:
    """Return `number` as the first rule that fits the whole of it makes it; raises DialPlanDenied when none does."""
    if not plan.strip():
        return number
    for pattern, replacements in compile_plan(plan):
        found = pattern.fullmatch(number)
        if found:
            return "".join(g if r is None else r for g, r in zip(found.groups(), replacements, strict=True))
    raise DialPlanDenied(f"the dial plan has no rule for {number!r}")


def target_uri(text: str, account: AccountSettings | None) -> Uri:
    """Return the URI to call for what was typed: `1001`, `+49 (30) 123`, `sip:u@h`, `tel:…`, `u@h`.

    A bare number or name needs an account for its domain. Raises InvalidArgument or DialPlanDenied.
    """
    text = as_typed(text).strip()
    if len(text) > MAX_TARGET:
        raise InvalidArgument.field("to", f"longer than {MAX_TARGET} characters")
    if not text or any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise InvalidArgument.field("to", "write a number or a SIP address, such as 1001 or sip:1001@example.org")
    scheme = text.partition(":")[0].lower()
    try:
        # RFC 3261 25.1: no host ends in a word of digits, so what links and MicroSIP call sip:1002 is a number.
        if (found := _SIP_NUMBER.fullmatch(text)) is not None:
            return _secured(_number(found[1], account), account) if scheme == "sips" else _number(found[1], account)
        if scheme in ("sip", "sips"):
            return _checked(Uri.parse(text), account)
        if scheme == "tel":
            return _number(unquote(text[4:].partition(";")[0]).strip(" "), account)
        if "@" in text:
            return _checked(Uri.parse("sip:" + text), account)
    except ParseError as error:
        raise InvalidArgument.field("to", f"{text!r} is not a SIP address: {error.detail}") from None
    return _number(text, account)


def as_typed(text: str) -> str:
    """Return what was copied from a page or an address book as somebody would type it."""
    return text.translate(_COPIED)


def bare_number(text: str) -> str:
    """Return a number without what is only there to be read: separators, and what comes of copying."""
    return as_typed(text).translate(_SEPARATORS)


def canonical_number(text: str, country_code: str = "") -> str:
    """Return the digits of a number however it was written, "" for what is none: numbers are compared in this form.

    Punctuation means nothing; `+` and `00` stand before a country code. With our own `country_code` a national number is
    given it, in the place of its trunk `0`.
    """
    if not (text.isascii() and text.isdigit()):
        text = as_typed(text).strip()
        if not _NUMBER.fullmatch(text):
            return ""
        text = without_trunk_zero(text).translate(_SEPARATORS)
    if text[:1] == "+":
        return text[1:]
    if text[:2] == "00":
        return text[2:]
    if country_code and text[:1] == "0" and len(text) > 1:
        return country_code + (text if country_code in _KEEP_ZERO else text[1:])
    return text


def without_trunk_zero(text: str) -> str:
    """Return "+49 (0)30 1234" without the (0), which is dialled inside the country only; all else as it is."""
    return text.replace("(0)", "", 1) if _TRUNK_ZERO.match(text) else text


def _checked(uri: Uri, account: AccountSettings | None) -> Uri:
    if uri.headers:
        raise InvalidArgument.field("to", "a SIP address to dial must not carry headers (?…)")
    if uri.port == 0:
        raise InvalidArgument.field("to", "nobody listens on port 0; without a port it is 5060, or what the name service says")
    if account is None or not account.proxy:  # which may speak what we do not
        _check_transport(uri, "to")
    return uri


def _check_transport(uri: Uri, field: str) -> None:
    if uri.transport is not None and uri.transport not in TRANSPORTS:
        raise InvalidArgument.field(field, f"there is no transport {uri.transport!r} here; there are: {', '.join(TRANSPORTS)}")


def _number(text: str, account: AccountSettings | None) -> Uri:
    if account is None or not account.domain:
        raise InvalidArgument.field("to", f"{text!r} needs an account for its domain; write a whole address or add an account")
    user = without_trunk_zero(text).translate(_SEPARATORS) if _NUMBER.fullmatch(text) else text
    if (found := _AND_DIGITS.fullmatch(user)) is not None:
        raise InvalidArgument.field("to", f"what is sent after the answer stands apart: to {found[1]}, digits {found[2]}")
    if not user or not _USER.fullmatch(user):
        raise InvalidArgument.field("to", f"{text!r} is neither a number nor a SIP address")
    if account.dialing_prefix and _NUMBER.fullmatch(text) and not user.startswith(("+", "*", account.dialing_prefix)):
        user = account.dialing_prefix + user
    user = apply_plan(account.dial_plan, user)
    domain = account.domain
    try:
        host = Uri.parse("sip:" + domain)
    except ParseError as error:
        raise InvalidArgument.field("account", f"the domain {domain!r} is not valid: {error.detail}") from None
    return Uri.sip(user, host.host, host.port)


def _secured(uri: Uri, account: AccountSettings | None) -> Uri:
    """Return the sips: address of a number. The domain's port is kept if it speaks TLS, else it is the one for that."""
    secure = account is not None and account.transport in ("tls", "wss")
    return replace(uri, scheme="sips", port=uri.port if secure else None)


def own_uri(account: AccountSettings) -> Uri:
    """Return the address of an account, whatever characters its user name has."""
    host = Uri.parse("sip:" + account.domain)
    return Uri.sip(account.username, host.host, host.port)


def proxy_uri(text: str) -> Uri:
    """Return an outbound proxy, written as a URI or as host:port, as a loose route (RFC 3261 8.1.2)."""
    uri = Uri.parse(text if text.lower().startswith(("sip:", "sips:")) else "sip:" + text)
    _check_transport(uri, "account/proxy")
    return uri if uri.is_loose else uri.with_param("lr")
