"""Makes, shows and ends the tokens of the HTTP surface: `offhook token`. A running phone sees the change at once."""

from __future__ import annotations

from offhook.cli.actions import show
from offhook.cli.outcome import DONE, REFUSED, Ended
from offhook.cli.parsing import Invocation, usage_error
from offhook.errors import SetupError
from offhook.storage.paths import paths
from offhook.storage.tokens import SCOPES, TokenFile


def run(use: Invocation) -> int:
    """Do what was asked with the tokens."""
    action = _ACTIONS.get(use.text("action"))
    if action is None:
        raise usage_error(use.verb, f"ACTION is {', '.join(_ACTIONS)}")
    try:
        return action(use, TokenFile(paths().tokens_file))
    except SetupError as error:
        raise Ended(REFUSED, str(error)) from None


def _create(use: Invocation, tokens: TokenFile) -> int:
    name = _name(use)
    scopes = [scope for scope in use.text("scopes").replace(" ", "").split(",") if scope] or SCOPES
    token = tokens.create(name, scopes, use.whole("calls-per-minute"))
    shown = {"name": name, "token": token, "scopes": list(scopes)}
    return show(use, shown, f"{token}\nKeep it: nobody can show it again.")


def _list(use: Invocation, tokens: TokenFile) -> int:
    found = [{"name": t.name, "scopes": list(t.scopes), "calls_per_minute": t.calls_per_minute} for t in tokens.list()]
    lines = [
        f"{token.name}  {','.join(token.scopes)}" + (f"  {token.calls_per_minute} calls/min" if token.calls_per_minute else "")
        for token in tokens.list()
    ]
    show(use, found, "\n".join(lines) or "there is no token")
    return DONE


def _revoke(use: Invocation, tokens: TokenFile) -> int:
    name = _name(use)
    tokens.revoke(name)
    return show(use, {"name": name}, f"{name}: revoked")


def _name(use: Invocation) -> str:
    name = use.text("name")
    if not name:
        raise usage_error(use.verb, "NAME is missing")
    return name


_ACTIONS = {"create": _create, "list": _list, "revoke": _revoke}
