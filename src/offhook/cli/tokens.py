"""Makes, shows and ends the tokens of the HTTP surface: `offhook token`. A running phone sees the change at once."""

from __future__ import annotations

import sys
from dataclasses import asdict

from offhook.cli.actions.common import show
from offhook.cli.outcome import DONE
from offhook.cli.parsing import Invocation, usage_error
from offhook.storage.paths import paths
from offhook.storage.tokens import USUAL, Token, TokenFile


def run(use: Invocation) -> int:
    """Do what was asked with the tokens."""
    action = _ACTIONS.get(use.text("action"))
    if action is None:
        raise usage_error(use.verb, f"ACTION is {', '.join(_ACTIONS)}", "action")
    return action(use, TokenFile(paths().tokens_file))


def _create(use: Invocation, tokens: TokenFile) -> int:
    name = _name(use)
    scopes = [scope for scope in use.text("scopes").replace(" ", "").split(",") if scope] or USUAL
    token = tokens.create(
        name, scopes, use.whole("calls-per-minute"), max_calls=use.whole("max-calls"), allow=use.texts("allow"),
        deny=use.texts("deny"),
    )  # fmt: skip
    shown = {"name": name, "token": token, "scopes": list(scopes)}
    if not use.json:  # what TOKEN=$(offhook token create …) takes is the token alone
        print("Keep it: nobody can show it again.", file=sys.stderr)
    return show(use, shown, token)


def _list(use: Invocation, tokens: TokenFile) -> int:
    found = [_shown(token) for token in tokens.list()]
    show(use, found, "\n".join(map(_line, tokens.list())) or "there is no token")
    return DONE


def _change(use: Invocation, tokens: TokenFile) -> int:
    limits: dict[str, object] = {}
    if use.text("scopes"):
        limits["scopes"] = [scope for scope in use.text("scopes").replace(" ", "").split(",") if scope]
    limits |= {key.replace("-", "_"): use.whole(key) for key in ("calls-per-minute", "max-calls") if use.text(key)}
    for key in ("allow", "deny"):
        if use.texts(key):
            limits[key] = tuple(pattern for pattern in use.texts(key) if pattern != "none")
    if not limits:
        raise usage_error(use.verb, "what is to be changed? --allow none takes all patterns away")
    changed = tokens.change(_name(use), **limits)
    return show(use, _shown(changed), _line(changed))


def _shown(token: Token) -> dict[str, object]:
    found = asdict(token)
    del found["sha256"]
    return found


def _line(token: Token) -> str:
    parts = [token.name, ",".join(token.scopes)]
    parts += [f"{token.calls_per_minute} calls/min"] if token.calls_per_minute else []
    parts += [f"{token.max_calls} at once"] if token.max_calls else []
    parts += [f"allow {' '.join(token.allow)}"] if token.allow else []
    parts += [f"deny {' '.join(token.deny)}"] if token.deny else []
    return "  ".join(parts)


def _revoke(use: Invocation, tokens: TokenFile) -> int:
    name = _name(use)
    tokens.revoke(name)
    return show(use, {"name": name}, f"{name}: revoked")


def _name(use: Invocation) -> str:
    name = use.text("name")
    if not name:
        raise usage_error(use.verb, "NAME is missing", "name")
    return name


_ACTIONS = {"create": _create, "list": _list, "change": _change, "revoke": _revoke}
