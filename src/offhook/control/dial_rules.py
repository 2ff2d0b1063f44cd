"""Whom a client may call: patterns of numbers and addresses that are allowed or denied, for one token."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final
from urllib.parse import unquote

from offhook.errors import DialPlanDenied
from offhook.phone.dialplan import bare_number, target_uri
from offhook.phone.settings import AccountSettings

_SOMEWHERE: Final = AccountSettings(id="rules", domain="account.invalid", username="rules")
"""Stands for the account: what it gives its domain to was dialled as a bare number."""


@dataclass(frozen=True, slots=True)
class DialRules:
    """`*` stands for any characters, `?` for one. What is denied is refused; with `allow`, so is what that does not name.

    A pattern without @ is one of numbers (1001, +49*), one with @ of whole addresses (*@example.org). A number that stands in
    an address is denied like a number, but allowed only as an address: it may lead anywhere. What an account's dialling prefix
    and dial plan make of a number is denied as well as what was written; allowed is what is written.
    """

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()

    def check(self, to: str, name: str, dialled: Iterable[str] = ()) -> None:
        """Raise DialPlanDenied if the client `name` may not call `to`; InvalidArgument for what nobody could call.

        `dialled` are the numbers that the phone's accounts make of it.
        """
        if not (self.allow or self.deny):
            return
        uri = target_uri(to, _SOMEWHERE)
        user = unquote(uri.user or "").lower()
        number = user.partition(";")[0]
        # A root's dot changes nothing about a name, and `maddr` is where the call really goes.
        hosts = {host.lower().rstrip(".") for host in (uri.hostname, uri.target_host)}
        whole = [] if hosts == {_SOMEWHERE.domain} else [f"{number}@{_bracketed(host)}" for host in hosts]
        forms = (user, number, bare_number(number), *(each.lower() for each in dialled), *whole)
        denied = any(_fits(self.deny, form) for form in forms)
        if denied or (self.allow and not all(_fits(self.allow, form) for form in whole or (user,))):
            verb = "deny" if denied else "do not allow"
            raise DialPlanDenied(f"{name!r} may not call {to[:100]!r}: the dial rules of its token {verb} it")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _fits(patterns: Iterable[str], form: str) -> bool:
    return any(("@" in pattern) == ("@" in form) and _compiled(pattern).fullmatch(form) for pattern in patterns)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern.lower()).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)
