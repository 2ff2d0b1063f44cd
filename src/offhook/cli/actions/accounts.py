"""What is done with accounts, and with the phone as a whole."""

from __future__ import annotations

from offhook.cli import render
from offhook.cli.actions.common import ask_password, json_text, listing, perform, say, show
from offhook.cli.outcome import DONE, FAR_END, Ended
from offhook.cli.parsing import usage_error
from offhook.control.client import ClientError, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from offhook.cli.parsing import Invocation

    Params = dict[str, Any]

ACCOUNT_TEXTS = ("domain", "username", "auth-username", "display-name", "label", "proxy", "transport", "dial-plan")


def accounts(use: Invocation) -> int:
    """List accounts, or change one."""
    action, account = use.text("action", "list"), use.text("account")
    if action == "list":
        return listing("list_accounts", render.account_line, "no accounts")(use)
    texts = {"remove": "removed", "register": "registering", "unregister": "unregistering", "select": "chosen"}
    if action not in ("add", "change", *texts):
        raise usage_error(use.verb, f"there is no action {action!r}; there are: list, add, change, {', '.join(texts)}")
    if not account:
        raise usage_error(use.verb, "which account?")
    if action == "add":
        return _add_account(use, account)
    if action == "change":
        return _change_account(use, account)
    if use.flag("keep") and action != "remove":
        raise usage_error(use.verb, "--keep goes with add, change and remove")
    if use.flag("wait") and action in ("remove", "select"):
        raise usage_error(use.verb, "--wait goes with add, change, register and unregister")

    def forget() -> None:
        from offhook.cli.keep import forget_account

        forget_account(use, account)

    return _perform(use, f"{action}_account", {"account": account}, f"{account}: {texts[action]}", forget)


def _add_account(use: Invocation, account: str) -> int:
    settings: Params = {"id": account, "register": not use.flag("no-register")} | _account_texts(use)
    if not (use.text("domain") and use.text("username")):
        raise usage_error(use.verb, "an account needs --domain and --username")
    if use.flag("ask-password"):
        settings["password"] = ask_password(f"password of {account}: ")
    return _perform_and_keep(use, "add_account", {"account": settings}, f"{account}: added", account, settings)


def _change_account(use: Invocation, account: str) -> int:
    changes = _account_texts(use)
    if use.flag("no-register"):
        changes["register"] = False
    if use.flag("ask-password"):
        changes["password"] = ask_password(f"password of {account}: ")
    if not changes:
        raise usage_error(use.verb, "what is to be different? For example --label Desk")
    params = {"account": account, "changes": changes}
    return _perform_and_keep(use, "update_account", params, f"{account}: changed", account, changes)


def _perform_and_keep(use: Invocation, operation: str, params: Params, text: str, account: str, settings: Params) -> int:
    def keep() -> None:
        from offhook.cli.keep import keep_account

        keep_account(use, account, settings)

    return _perform(use, operation, params, text, keep)


def _perform(use: Invocation, operation: str, params: Params, started: str, keep: Callable[[], None]) -> int:
    """Send one command, keep what the phone has accepted, and with --wait stay until the registrar has answered."""
    before = use.client.request("ping")["as_of"] if use.flag("wait") else ""
    result = use.client.request(operation, **params)
    if use.flag("keep"):
        keep()
    wanted = _expected(operation, result["value"]) if before else None
    if wanted is None:
        return show(use, result, started)
    if not use.json:
        say(f"{started} …", end="")
    try:
        found = use.client.wait(wanted, timeout=use.number("timeout"), after=before)
    except ClientError as error:
        if not use.json:
            say("")
        if isinstance(error, Refused) and error.code == "not-registered":
            raise Ended(FAR_END, str(error), error.problem) from None
        raise
    view = found["account"] or found["event"]["data"]["account"]
    say(json_text({**result, "value": view}) if use.json else f" {view['registration']}")
    return DONE


def _expected(operation: str, view: Params | None) -> Params | None:
    """Return what a registrar's answer will make true, None where none is asked."""
    if view is None:
        return None
    if operation == "unregister_account" and view["registration"] != "unregistered":
        return {"event": "account.unregistered", "data": {"account.id": view["id"]}}
    return {"registered": view["id"]} if view["registration"] == "registering" else None


def _account_texts(use: Invocation) -> Params:
    return {name.replace("-", "_"): use.text(name) for name in ACCOUNT_TEXTS if use.given(name)}


def dnd(use: Invocation) -> int:
    """Switch do not disturb."""
    enabled = use.text("switch", "on")
    if enabled not in ("on", "off"):
        raise usage_error(use.verb, "write: dnd on, or dnd off")
    return perform(use, "set_dnd", {"enabled": enabled == "on"}, f"do not disturb is {enabled}")


def forward(use: Invocation) -> int:
    """Forward incoming calls, or end that."""
    to = "" if use.text("to") == "off" else use.text("to")
    text = f"forwarding to {to}" if to else "forwarding is off"
    return perform(use, "set_forwarding", {"to": to, "delay": use.number("delay") or 0.0}, text)


def auto_answer(use: Invocation) -> int:
    """Set which calls are answered without a person."""
    params = {"mode": use.text("mode"), "delay": use.number("delay") or 0.0}
    return perform(use, "set_auto_answer", params, f"automatic answer: {use.text('mode')}")


def drain(use: Invocation) -> int:
    """Take no new calls, or take them again."""
    switch = use.text("switch", "on")
    if switch not in ("on", "off"):
        raise usage_error(use.verb, "write: drain, or drain off")
    text = "no new calls are taken" if switch == "on" else "new calls are taken"
    return perform(use, "drain", {"enabled": switch == "on"}, text)


def reload(use: Invocation) -> int:
    """Have the configuration file read again."""
    found = use.client.request("reload")
    lines = [f"{what}: {', '.join(found[what])}" for what in ("added", "changed", "removed", "settings") if found[what]]
    lines += [f"with the next start: {', '.join(found['restart'])}"] if found["restart"] else []
    return show(use, found, "\n".join(lines) or "nothing has changed")
