"""What most verbs share: send, show, and with --wait stay until it is done."""

from __future__ import annotations

import codecs
import json
import sys

from offhook.cli.outcome import DONE, FAR_END, INTERRUPTED, REFUSED, TIMED_OUT, Ended
from offhook.cli.parsing import usage_error
from offhook.control.client import TimedOut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from offhook.cli.parsing import Invocation

    Params = dict[str, Any]

PROGRESS = {"call.ringing": "ringing", "call.early": "ringing", "call.answered": "answered", "call.redirected": "redirected"}
"""What a call that is waited for goes through, as one word for each event."""

RANG_OUT = "no answer"
"""Why a call failed that the ring timeout ended."""


def say(text: str, *, end: str = "\n") -> None:
    """Write for the user, at once."""
    sys.stdout.write(text + end)
    sys.stdout.flush()


def json_text(value: object, *, indent: int | None = None) -> str:
    """Return `value` as JSON. JSON is UTF-8: an output of another encoding (a pipe of Windows) gets all else escaped."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return json.dumps(value, ensure_ascii=codecs.lookup(encoding).name != "utf-8", indent=indent)


def show(use: Invocation, value: object, text: str) -> int:
    """Write `value` as JSON if that was asked for, else `text`."""
    say(json_text(value) if use.json else text)
    return DONE


def perform(use: Invocation, operation: str, params: Params, started: str, done: str = "") -> int:
    """Send one command, and with --wait stay until the far end's part is over. `{call}` in the texts is the call's id."""
    wait = use.flag("wait")
    if wait:
        use.client.subscribe("operation.*", "call.*")
    result = use.client.request(operation, **params)
    call = result["call"]
    if wait and not result["operation"]:  # it is so already: a call on hold is put on hold, a ringing one is answered
        result |= {"outcome": "succeeded", "sip_status": 0, "reason": ""}
    if not (wait and result["operation"]):
        suffix = f" ({call})" if call and "{call}" not in started else ""
        text = f"{started} … {done}" if wait and done else started
        return show(use, result, text.format(call=call) + suffix)
    return _await(use, result, started.format(call=call), done.format(call=call) or "done")


def _await(use: Invocation, result: Params, started: str, done: str) -> int:
    text = not use.json
    if text:
        say(f"{started} …", end="")
    last: Params = {}
    shown = ""
    try:
        for last in use.client.wait_operation(result["operation"], use.number("timeout")):
            word = PROGRESS.get(last["type"], "") if _is_about(last, result["call"]) else ""
            if text and word and word not in (shown, done):
                say(f" {word} …", end="")
                shown = word
    except (Exception, KeyboardInterrupt) as error:
        if text:
            say("")
        goes_on = f"; the call goes on: `offhook hangup {result['call']}` ends it" if result["call"] else ""
        begun = {name: result[name] for name in ("call", "operation") if result[name]}  # a program may end it
        if isinstance(error, KeyboardInterrupt):
            raise Ended(INTERRUPTED, f"interrupted{goes_on}", begun) from None
        if isinstance(error, TimedOut):
            raise Ended(TIMED_OUT, f"{error}{goes_on}", begun) from None
        raise
    return _conclude(use, result, last, done)


def _conclude(use: Invocation, result: Params, last: Params, done: str) -> int:
    data = last["data"]
    succeeded = last["type"] == "operation.succeeded"
    status, reason = data.get("sip_status", 0), data.get("reason", "")
    if use.json:
        say(json_text({**result, "outcome": "succeeded" if succeeded else "failed", "sip_status": status, "reason": reason}))
    elif succeeded:
        say(f" {done}" + (f" ({result['call']})" if result["call"] else ""))
    else:
        say(" " + (" ".join(str(part) for part in (status or "", reason) if part) or "failed"))
    if succeeded:
        return DONE
    if status:
        return FAR_END
    return TIMED_OUT if "time" in reason.lower() or reason == RANG_OUT else REFUSED


def _is_about(event: Params, call: str) -> bool:
    found = event["data"].get("call")
    return isinstance(found, dict) and found.get("id") == call


def simple(operation: str, started: str, done: str = "", *, fields: str = "call") -> Callable[[Invocation], int]:
    """Return the action of a verb whose arguments and options are the command's fields by the same names."""
    names = fields.split()

    def run(use: Invocation) -> int:
        return perform(use, operation, {name: use.text(name) for name in names if use.text(name)}, started, done)

    return run


def listing(operation: str, line: Callable[[Params], str], nothing: str) -> Callable[[Invocation], int]:
    """Return the action of a verb that shows a list, one line for each thing."""

    def run(use: Invocation) -> int:
        found = use.client.request(operation)["value"]
        return show(use, found, "\n".join(map(line, found)) or nothing)

    return run


def fields(use: Invocation, given: Iterable[str]) -> Params:
    """Return what is written as `name=text`, or `name:=json` for anything else than a text."""
    found: Params = {}
    for field in given:
        name, equals, value = field.partition("=")
        if not equals:
            raise usage_error(use.verb, f"a field is written name=text or name:=json, not {field!r}")
        try:
            found[name.removesuffix(":")] = json.loads(value) if name.endswith(":") else value
        except ValueError:
            raise usage_error(use.verb, f"{value!r} is not JSON") from None
    return found


def ask_password(prompt: str) -> str:
    """Return a password from the terminal without showing it, or the first line of what is piped in."""
    if not sys.stdin.isatty():
        # PowerShell begins a pipe with a byte order mark where its $OutputEncoding is UTF-8; it is no part of the password.
        mark = "\ufeff".encode().decode(sys.stdin.encoding or "utf-8", "replace")
        return sys.stdin.readline().removeprefix(mark).rstrip("\r\n")
    import getpass

    return getpass.getpass(prompt)


def to_write(file: str) -> str:
    """Return the file that is written, "" for the terminal or a pipe, which `-` means, too."""
    return "" if file == "-" else file


def absolute(file: str) -> str:
    """The phone may run in another folder, so it gets whole paths."""
    import os

    return os.path.abspath(file) if file else ""
