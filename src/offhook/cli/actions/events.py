"""What has happened: past calls, and events as they come."""

from __future__ import annotations

import json
import time

from offhook.cli import render
from offhook.cli.actions.common import fields, json_text, say, show, to_write
from offhook.cli.outcome import DONE, REFUSED, Ended
from offhook.cli.parsing import usage_error
from offhook.control.client import NoPhone, TimedOut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from offhook.cli.parsing import Invocation

    Params = dict[str, Any]

RECONNECT_SECONDS = 0.5
"""How long --follow waits before it looks for the phone again."""

CLOCK_STEP = 0.02
"""Seconds: the clock of Windows goes in steps of 16 ms, and a wait that was long enough may end before its next one."""

_WISHES = ("account", "direction", "missed", "remote", "tag", "since", "until")
"""The options of `history` that say which calls are meant."""

STATES = ("calling", "ringing", "early", "incoming", "active", "held_local", "held_remote", "held_both", "ended", "answered")
"""What can be waited for of a call's state (a test compares them with the phone's)."""


def history(use: Invocation) -> int:
    """Show past calls, or forget them."""
    action = use.text("action", "list")
    _check_page(use, action)
    if action == "list":
        params = {"limit": use.whole("limit", 50), "before": use.text("before"), **_wanted(use)}
        found = use.client.request("history", **params)["entries"]
        return show(use, found, "\n".join(map(render.history_line, found)) or "no past calls")
    if action == "export":
        return _export(use)
    if action == "clear":
        return show(use, use.client.request("clear_history"), "history cleared")
    if action == "delete" and use.text("entry"):
        return show(use, use.client.request("delete_history", entry=use.text("entry")), "deleted")
    raise usage_error(use.verb, "write: history, history export [FILE], history delete ENTRY, or history clear")


def messages(use: Invocation) -> int:
    """Show the texts, or forget them."""
    _check_page(use, use.text("action", "list"))
    if use.text("action", "list") == "clear":
        return show(use, use.client.request("clear_messages"), "texts forgotten")
    if use.text("action", "list") != "list":
        raise usage_error(use.verb, "write: messages, or messages clear")
    found = use.client.request("messages", limit=use.whole("limit", 50), before=use.text("before"))["messages"]
    return show(use, found, "\n".join(map(render.text_line, found)) or "no texts")


def _check_page(use: Invocation, action: str) -> None:
    """Refuse what would be passed over: `clear --before` is meant to forget the older ones, and would forget all."""
    given = [f"--{name}" for name in ("limit", "before", *_WISHES) if use.given(name)]
    if action == "export":
        given = [name for name in given if name[2:] not in _WISHES]
    if given and action != "list":
        raise usage_error(use.verb, f"{given[0]} goes with the list: {action} knows no part of it", given[0][2:])


def _wanted(use: Invocation) -> Params:
    """Return which past calls are meant."""
    found: Params = {name: use.text(name) for name in ("account", "direction", "remote", "tag") if use.text(name)}
    if use.flag("missed"):
        found["missed"] = True
    for name in ("since", "until"):
        if use.text(name):
            found[name] = _moment(use, name)
    return found


def _moment(use: Invocation, name: str) -> str:
    """Return a time of this machine, or with its zone, as the phone wants it."""
    from datetime import UTC, datetime

    try:
        return datetime.fromisoformat(use.text(name)).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        raise usage_error(use.verb, f"--{name} is a day or a time, as 2026-01-31 or 2026-01-31T08:00", name) from None


def _export(use: Invocation) -> int:
    """Write the past calls as CSV, or JSON, into a file or to the terminal."""
    file = to_write(use.text("entry"))
    entries: list[Params] = []
    wanted = _wanted(use)
    while True:
        page = use.client.request("history", limit=1000, before=entries[-1]["id"] if entries else "", **wanted)["entries"]
        entries += page
        if len(page) < 1000:
            break
    if use.json and not file:
        return show(use, entries, "")
    text = _as_file(entries, file)
    if not file:
        say(text.rstrip("\r\n"))
        return DONE
    try:
        with open(file, "w", encoding="utf-8", newline="") as out:
            out.write(text)
    except OSError as error:
        raise Ended(REFUSED, f"{file}: {error.strerror or error}") from None
    return show(use, {"file": file, "calls": len(entries)}, f"{len(entries)} calls written")


def _as_file(entries: list[Params], file: str) -> str:
    """Return what goes into a file of this name: .json is one list, .jsonl an entry in each line, all else CSV."""
    suffix = file.lower().rpartition(".")[2]
    if suffix == "json":
        return json.dumps(entries, ensure_ascii=False) + "\n"
    if suffix == "jsonl":
        return "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
    from offhook.control.spreadsheet import as_csv

    return as_csv(entries)


def events(use: Invocation) -> int:
    """Show events as they come; with --follow also those of the phone's next runs."""
    left = _Left(use.whole("count"), use.number("timeout"))
    place = [use.text("after")]
    while True:
        try:
            for seen in _visit(use, place[-1], left):
                place = [seen]
                if left.none:
                    return DONE
        except NoPhone:
            if not use.flag("follow"):
                raise
        except TimedOut:  # the time that was asked for is over, or the phone is there and does not answer
            if not (left.over or use.flag("follow")):
                raise
        if left.over:
            break
        use.close()
        left.pause(RECONNECT_SECONDS)
    if use.whole("count"):
        raise TimedOut("no event in time")
    return DONE


class _Left:
    """What is still to be shown, and for how long."""

    def __init__(self, count: int, seconds: float | None) -> None:
        self._count = count or -1
        self._deadline = None if seconds is None else time.monotonic() + seconds

    @property
    def none(self) -> bool:
        """Enough has been shown."""
        return self._count == 0

    @property
    def seconds(self) -> float | None:
        """Time left, None for ever."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    @property
    def over(self) -> bool:
        """The time that was asked for has passed, as far as the clock tells."""
        return self.seconds is not None and self.seconds < CLOCK_STEP

    def shown(self) -> None:
        """One event less."""
        self._count -= 1

    def pause(self, seconds: float) -> None:
        """Wait before trying again, no longer than there is time."""
        time.sleep(seconds if self.seconds is None else min(seconds, self.seconds))


def _visit(use: Invocation, after: str, left: _Left) -> Iterator[str]:
    """Show events over one connection; yields the place to go on from."""
    yield use.client.subscribe(*_types(use), after=after)
    for event in use.client.events(left.seconds):
        _show_event(use, event)
        left.shown()
        yield event.get("id", after)


def wait(use: Invocation) -> int:
    """Stay until the first of some things is so, or happens."""
    conditions = [_condition(use, word) for word in use.text("what").replace(",", " ").split()]
    found = use.client.wait(*conditions, timeout=use.number("timeout"), after=use.text("after"))
    return show(use, found, _wait_line(found))


def _condition(use: Invocation, word: str) -> Params:
    """Return one word as a condition: `registered`, an operation's id, an event's type, else a call's state."""
    about = {"call": use.text("call")} if use.text("call") else {}
    if word == "registered":
        return {"registered": use.text("account")}
    if word.startswith("op_"):
        return {"operation": word}
    if "." in word or word == "*":
        data = fields(use, use.texts("data"))
        return {"event": word, **about, **({"data": data} if data else {})}
    if word not in STATES:
        from offhook.errors import FieldError, InvalidArgument

        detail = (
            f"{word!r} cannot be waited for: write a call's state ({', '.join(STATES)}), registered, an operation's id "
            "(op_k7q2-7) or an event's type (call.ended, dtmf.*; `offhook help types` lists them)"
        )
        raise InvalidArgument(detail, errors=(FieldError("/what", detail),))
    return {"state": word, **about}


def _wait_line(found: Params) -> str:
    """Return what happened, or what is so already, in one line."""
    if found["event"]:
        return render.event_line(found["event"])
    if found["operation"]:
        return f"{found['operation']['id']}  {found['operation']['command']}  {found['operation']['state']}"
    return render.account_line(found["account"]) if found["account"] else render.call_line(found["call"])


def _types(use: Invocation) -> Iterable[str]:
    return [part.strip() for given in use.texts("types") for part in given.split(",")] or ["*"]


def _show_event(use: Invocation, event: Params) -> None:
    say(json_text(event) if use.json else render.event_line(event))
    if event["type"] == "stream.slow_consumer" and not use.flag("follow"):
        raise Ended(REFUSED, "the phone closed the connection: events were not read quickly enough")
