"""Looks at the configuration, the phone, its accounts and its sound devices, and says what to do about each trouble."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from offhook.cli.actions import show
from offhook.cli.outcome import DONE, REFUSED
from offhook.cli.parsing import Invocation
from offhook.control.client import ClientError, NoPhone
from offhook.errors import SetupError
from offhook.storage.config import load
from offhook.storage.paths import paths

# What a registrar's answer means to the person who set the account up.
ADVICE: dict[int, str] = {
    401: "the password or the user name is wrong: `offhook password ACCOUNT` keeps another",
    403: "the registrar forbids it: wrong password, or the account is blocked or used elsewhere",
    404: "the registrar does not know this user name: check username and domain",
    407: "the password or the user name is wrong: `offhook password ACCOUNT` keeps another",
    408: "the registrar does not answer: check domain and proxy, and that UDP port 5060 is not blocked",
    503: "the registrar is out of service, or the name of the domain has no address: check domain and proxy",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `advice` says what to do if it is not `ok`."""

    name: str
    ok: bool
    text: str
    advice: str = ""


def examine(use: Invocation) -> int:
    """Show every finding; REFUSED if one is not in order."""
    found = [_configuration(use.text("config")), *_phone(use)]
    show(use, [asdict(item) for item in found], "\n".join(map(_line, found)))
    return DONE if all(item.ok for item in found) else REFUSED


def _line(item: Finding) -> str:
    return f"{'ok' if item.ok else '!!'}  {item.name}: {item.text}" + (f"\n    {item.advice}" if item.advice else "")


def _configuration(given: str) -> Finding:
    path = Path(given) if given else paths().config_file
    if not path.exists():
        advice = f"there is no {path}" if given else ""
        return Finding("configuration", not given, "none; the defaults hold", advice)
    try:
        config = load(path)
    except (SetupError, OSError) as error:
        return Finding("configuration", False, str(error), f"correct {path}, then run this again")
    return Finding("configuration", True, f"{path}, {len(config.accounts)} accounts")


def _phone(use: Invocation) -> Iterator[Finding]:
    try:
        view = use.client.request("status")["value"]
    except NoPhone as error:
        yield Finding("phone", False, str(error), "start it: `offhook run`")
        return
    except ClientError as error:
        yield Finding("phone", False, str(error), "it runs but does not answer: end it and start it again")
        return
    yield Finding("phone", True, f"running at {use.socket_path}, {view['name'].lower()}")
    for ask, judge in (("list_accounts", _accounts), ("list_devices", _devices)):
        yield from _part(use, ask, judge)


def _part(use: Invocation, ask: str, judge: Callable[[list[dict[str, Any]]], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from judge(use.client.request(ask)["value"])
    except ClientError as error:
        yield Finding(ask.removeprefix("list_"), False, str(error))


def _accounts(accounts: list[dict[str, Any]]) -> Iterator[Finding]:
    if not accounts:
        yield Finding("accounts", False, "none", "add one: `offhook accounts add NAME --domain … --username … --ask-password`")
    for account in accounts:
        state, status = account["registration"], account.get("sip_status", 0)
        text = " ".join(str(part) for part in (state, status or "", account.get("reason", "")) if part)
        failed = state == "failed"
        advice = ADVICE.get(status, "see `offhook events --types 'account.*'` while it tries again") if failed else ""
        yield Finding(f"account {account['id']}", not failed, text, advice)


def _devices(devices: list[dict[str, Any]]) -> Iterator[Finding]:
    for kind, what in (("input", "microphone"), ("output", "loudspeaker")):
        names = [device["name"] for device in devices if device["kind"] == kind]
        yield Finding(what, bool(names), ", ".join(names) or "none", "" if names else "calls work, but without it: plug one in")
