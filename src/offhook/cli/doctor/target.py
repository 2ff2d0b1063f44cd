"""Somebody to call: may the phone call him, where the call would go, and what the far end would say to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from offhook.cli.doctor import way
from offhook.cli.doctor.asking import Asked, ask_options
from offhook.cli.doctor.case import Case
from offhook.cli.doctor.finding import Finding, Level
from offhook.cli.doctor.meaning import meaning
from offhook.errors import CommandError, ParseError
from offhook.phone.dialplan import target_uri
from offhook.phone.identities import identity_of
from offhook.phone.settings import AccountSettings
from offhook.sip.calling import first_hop
from offhook.sip.message import Response

# RFC 3261 11.2: the answer to OPTIONS is the one an INVITE would have got.
_VERDICTS: Final[dict[int, tuple[Level, str, str]]] = {
    403: ("wrong", "we may not call it", "ask the provider which numbers the account may call"),
    404: ("wrong", "nobody has this number there", "check the number, and what the account's dial plan makes of it"),
    405: ("ok", "it does not say beforehand whether it would take a call", ""),
    480: ("warning", "it is known there, but no phone is registered for it now", "have the other side look at its phone"),
    484: ("wrong", "the number is not complete", "dial all of it, with area code"),
    486: ("warning", "it is busy now", "try again later"),
    488: ("wrong", "it could not agree on sound with us", "compare the codecs"),
    501: ("ok", "it does not say beforehand whether it would take a call", ""),
    600: ("warning", "all of its phones are busy now", "try again later"),
    603: ("warning", "it does not want calls now", "it may have do not disturb on"),
    604: ("wrong", "nobody has this number anywhere", "check the number, and what the account's dial plan makes of it"),
}
"""By status: level, what a call would meet, and what to do."""


def look_at_target(case: Case, to: str) -> Iterator[Finding]:
    """Look at what a call to `to` would meet, without calling."""
    name = f"call to {to}"
    account, view = _account(case)
    try:
        target = target_uri(to, account)
        identity = identity_of(account, "") if account is not None else None
    except (CommandError, ParseError) as error:
        yield Finding(name, "wrong", str(error), "write a number an account can dial, or a whole address: sip:1001@example.org")
        return
    through = f"by account {account.id}" if account is not None else "without an account"
    yield Finding(name, "ok", f"would go to {target}, {through}")
    if account is not None and (finding := _unregistered(name, account, view)) is not None:
        yield finding
    hop = first_hop(identity, target)
    hop, remotes = yield from way.remotes(case, name, hop)
    for remote in remotes:
        with way.probe(case, way.spoken(hop), remote) as probe:
            asked = ask_options(probe, identity, target)
        if asked.reply.response is not None:
            yield _verdict(name, asked, asked.reply.response, way.answer_text(remote, asked.reply, asked.reply.response))
            yield from way.from_answer(case, name, way.spoken(hop), remote, asked.reply)
            return
        text, advice = way.no_answer(case, way.spoken(hop), remote, asked.reply)
        yield Finding(f"{name}, answer", "wrong", text, advice)


def _account(case: Case) -> tuple[AccountSettings | None, dict[str, Any] | None]:
    """Return the account the phone would call with: its default, else the first."""
    found = list(case.accounts())
    default = case.config.phone.default_account
    chosen = [each for each in found if each[0].id == default or (each[1] or {}).get("default")] or found
    return chosen[0] if chosen else (None, None)


def _unregistered(name: str, account: AccountSettings, view: dict[str, Any] | None) -> Finding | None:
    if view is None or not account.register or view["registration"] not in ("failed", "unregistered"):
        return None
    if view.get("expires"):
        return None  # the registrar could not renew what it granted, which holds still: calls are placed
    text = f"the phone refuses to call while account {account.id} is not registered"
    return Finding(f"{name}, account", "wrong", text, "see what the findings on that account say")


def _verdict(name: str, asked: Asked, response: Response, answer: str) -> Finding:
    name, status = f"{name}, answer", response.status
    if asked.ended != "answered":
        text = f"{answer}: a password is wanted and {_PASSWORDS[asked.ended]}"
        return Finding(name, "warning", text, "a call may meet the same: see what the findings on the account say")
    if status < 300:
        return Finding(name, "ok", f"{answer}: it would take a call now")
    level, what, advice = _VERDICTS.get(status, ("wrong", *meaning(status)))
    return Finding(name, level, f"{answer.partition(', which')[0]}: {what}", advice.replace("ACCOUNT", "NAME"))


_PASSWORDS: Final = {"no password": "none is known", "refused password": "ours is refused",
                     "unknown challenge": "the way it is asked for is not known here"}
