"""The verb `webhooks`: events posted to web addresses."""

from __future__ import annotations

from offhook.cli.actions.common import show
from offhook.cli.outcome import DONE, FAR_END
from offhook.cli.parsing import usage_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from offhook.cli.parsing import Invocation

TEST_SECONDS = 70.0
"""A little longer than the longest time limit of a webhook."""


def webhooks(use: Invocation) -> int:
    """List webhooks, or change one."""
    action, target = use.text("action", "list"), use.text("target")
    if action == "list":
        found = use.client.request("list_webhooks")["webhooks"]
        return show(use, found, "\n".join(map(_line, found)) or "no webhooks")
    actions = {"add": _add, "remove": _remove, "test": _test, "enable": _enable, "disable": _disable, "rotate": _rotate}
    if action not in actions:
        raise usage_error(use.verb, f"there is no action {action!r}; there are: list, {', '.join(actions)}")
    if not target:
        raise usage_error(use.verb, "which URL?" if action == "add" else "which webhook? `offhook webhooks` lists them")
    return actions[action](use, target)


def _add(use: Invocation, url: str) -> int:
    params: dict[str, Any] = {"url": url, "secret": use.text("secret"), "description": use.text("description")}
    types = [part.strip() for given in use.texts("types") for part in given.split(",")]
    if types:
        params["types"] = types
    seconds = use.number("timeout")
    if seconds is not None:
        params["timeout"] = seconds
    made = use.client.request("create_webhook", **params)
    return show(use, made, f"{made['id']}: added\n{_secret(made)}")


def _remove(use: Invocation, webhook: str) -> int:
    return show(use, use.client.request("delete_webhook", webhook=webhook), f"{webhook}: removed")


def _enable(use: Invocation, webhook: str) -> int:
    changed = use.client.request("update_webhook", webhook=webhook, enabled=True, skip=use.flag("skip"))
    return show(use, changed, f"{webhook}: enabled")


def _disable(use: Invocation, webhook: str) -> int:
    changed = use.client.request("update_webhook", webhook=webhook, enabled=False)
    return show(use, changed, f"{webhook}: disabled; `offhook webhooks enable {webhook}` goes on where it was")


def _rotate(use: Invocation, webhook: str) -> int:
    changed = use.client.request("rotate_webhook", webhook=webhook, secret=use.text("secret"))
    return show(use, changed, f"{_secret(changed)}\nThe old one signs too for a day.")


def _secret(webhook: dict[str, Any]) -> str:
    return f"secret: {webhook['secret']}\nIt is not shown again; the receiver checks signatures with it."


def _test(use: Invocation, webhook: str) -> int:
    use.client.subscribe("webhook.tested")
    test = use.client.request("test_webhook", webhook=webhook)["test"]
    for event in use.client.events(use.number("timeout") or TEST_SECONDS):
        data = event["data"]
        if data["test"] == test:
            said = f"HTTP {data['status']}" if data["status"] else data["reason"]
            show(use, data, f"{webhook}: {said} after {data['duration_ms']} ms")
            return DONE if data["ok"] else FAR_END
    return FAR_END  # not reached: events end with TimedOut or NoPhone


def _line(webhook: dict[str, Any]) -> str:
    """Return one line about a webhook."""
    if not webhook["enabled"]:
        state = f"disabled: {webhook['disabled']}"
    elif webhook["failing_since"]:
        state = f"failing since {webhook['failing_since']}: {webhook['last_error']}; {webhook['waiting']} events wait"
    elif webhook["held_back"]:
        state = f"held back: {', '.join(webhook['held_back'])}; {webhook['last_error']}"
    else:
        state = "ok" if not webhook["waiting"] else f"{webhook['waiting']} events wait"
    name = f" ({webhook['description']})" if webhook["description"] else ""
    return f"{webhook['id']}{name}  {webhook['url']}  {','.join(webhook['types'])}  {state}"
