"""What is done with calls: placing, ending, handing over, watching and joining them."""

from __future__ import annotations

import contextlib
import sys

from offhook.cli import render
from offhook.cli.actions.common import absolute, listing, perform, show, to_write
from offhook.cli.outcome import DONE, FAR_END, REFUSED, Ended
from offhook.cli.parsing import usage_error
from offhook.control.client import TimedOut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from offhook.cli.parsing import Invocation

    Params = dict[str, Any]

FIRST_WORD = 2.0
"""Seconds for which the first word about something new that is watched is waited for."""


def status(use: Invocation) -> int:
    """Show what STATUS shows."""
    view = use.client.request("status")["value"]
    return show(use, view, render.status_line(view))


def dial(use: Invocation) -> int:
    """Call somebody."""
    params: Params = {"to": use.text("to")}
    for name in ("account", "digits", "id", "beside"):
        if use.text(name):
            params[name] = use.text(name)
    params.update(_codecs(use))
    ring = use.number("ring-timeout")
    if ring is not None:
        params["ring_timeout"] = ring
    if use.flag("no-hold"):
        params["hold_others"] = False
    if use.texts("tag"):
        params["tags"] = [_tag(use, word) for word in use.texts("tag")]
    params |= _extra(use) | _once_answered(use)
    return perform(use, "dial", params, f"calling {use.text('to')}".replace("{", "{{").replace("}", "}}"), "answered")


def _once_answered(use: Invocation) -> Params:
    """Return what is to be done with the call once it is answered."""
    params: Params = {}
    if use.text("detect"):
        params["detect"] = use.text("detect").replace(",", " ").split()
    if use.flag("record"):
        params["record"] = True
    if use.text("play"):
        params["play"] = absolute(use.text("play"))
    return params


def _extra(use: Invocation) -> Params:
    """Return what is to be handed to the far end besides."""
    params: Params = {}
    if use.texts("header"):
        params["headers"] = [_pair(use, header) for header in use.texts("header")]
    if use.text("user-to-user"):
        params["user_to_user"] = use.text("user-to-user")
    return params


def answer(use: Invocation) -> int:
    """Answer the ringing call."""
    params = {"call": use.text("call"), **_extra(use), **_codecs(use), **_once_answered(use)}
    if use.flag("no-hold"):
        params["hold_others"] = False
    return perform(use, "answer", params, "answering", "answered")


def _codecs(use: Invocation) -> Params:
    names = [name for name in use.text("codecs").replace(",", " ").split() if name]
    return {"codecs": names} if names else {}


def codecs(use: Invocation) -> int:
    """Change the codecs of a call."""
    names = [name for name in use.text("names").replace(",", " ").split() if name]
    return perform(use, "set_codecs", {"codecs": names, "call": use.text("call")}, "changing codecs", "changed")


def tag(use: Invocation) -> int:
    """Keep words with a call."""
    tags = [_tag(use, word) for word in use.words]
    found = use.client.request("tag_call", tags=tags, call=use.text("call"))["value"]
    return show(use, found, "\n".join(f"{name}={value}" for name, value in found["tags"]) or "no tags")


def _tag(use: Invocation, word: str) -> list[str]:
    name, equals, value = word.partition("=")
    if not equals or not name:
        raise usage_error(use.verb, f"a tag is written name=value, not {word!r}", "tag")
    return [name, value]


def _pair(use: Invocation, header: str) -> list[str]:
    name, colon, value = header.partition(":")
    if not colon or not name.strip():
        raise usage_error(use.verb, f'a header is written "Name: value", not {header!r}', "header")
    return [name.strip(), value.strip()]


def get_call(use: Invocation) -> int:
    """Show one call."""
    word = use.text("call")
    if word == "list":
        return list_calls(use)
    if word in ("trace", "pcap", "keys"):
        return _trace(use, word)
    if word == "stats":
        found = use.client.request("call_stats", call=use.text("id"))["value"]
        return show(use, found, render.stats_text(found))
    view = use.client.request("get_call", call=use.text("id") if word == "get" else word)["value"]
    return show(use, view, render.call_line(view))


def _trace(use: Invocation, form: str) -> int:
    """Show the SIP messages of a call, or write them into a file for Wireshark, with its sound or not; or write its keys."""
    if form == "trace":
        found = use.client.request("trace", call=use.text("id"), format="json" if use.json else "text")
        return show(use, found, found["text"])
    if not (use.text("id") and use.text("file")):
        raise usage_error(use.verb, f"write: call {form} CALL FILE")
    import base64
    from pathlib import Path

    from offhook.storage.privacy import open_private

    if form == "keys":
        data = use.client.request("capture_keys", call=use.text("id"))["text"].encode()
    else:
        with_sound = {name: True for name in ("media", "opened") if use.flag(name)}
        data = base64.b64decode(use.client.request("trace", call=use.text("id"), format="pcap", **with_sound)["pcap"])
    name = to_write(use.text("file"))
    if not name:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return DONE
    try:
        with open_private(Path(name)) as file:
            file.write(data)
    except OSError as error:
        raise Ended(REFUSED, f"{name} cannot be written: {error.strerror or error}") from None
    return show(use, {"file": name}, f"written to {name}")


list_calls = listing("list_calls", render.call_line, "no calls")


def hangup(use: Invocation) -> int:
    """End one call or all."""
    if use.flag("all") and use.text("call"):
        raise usage_error(use.verb, "name a call, or write --all, which ends every call")
    if use.flag("all"):
        return perform(use, "hangup_all", {"which": "all"}, "hung up all calls")
    return perform(use, "hangup", {"call": use.text("call"), **_extra(use)}, "hung up")


def transfer(use: Invocation) -> int:
    """Connect the far end with somebody else, or the far ends of two calls with each other."""
    first, second = use.text("to"), use.text("call")
    if use.flag("attended"):
        params = {"call": first, "with_call": second}
        return perform(use, "transfer_attended", params, "transferring", "transferred")
    if not first:
        raise usage_error(use.verb, "to whom? write: transfer 1002, or transfer --attended")
    return perform(use, "transfer", {"to": first, "call": second}, "transferring", "transferred")


def reject(use: Invocation) -> int:
    """Refuse the ringing call."""
    return perform(use, "reject", {"call": use.text("call"), "status": use.whole("status"), **_extra(use)}, "rejected")


def decide(use: Invocation) -> int:
    """Say what becomes of an incoming call that waits for a decision."""
    params = {"action": use.text("action"), "call": use.text("call"), "status": use.whole("status"), "to": use.text("to")}
    return perform(use, "decide", params, f"decided: {use.text('action')}")


def info(use: Invocation) -> int:
    """Send a SIP INFO."""
    params = {"body": use.text("body"), "content_type": use.text("type", "text/plain"), "call": use.text("call")}
    return perform(use, "send_info", params, "information sent", "accepted")


def conference(use: Invocation) -> int:
    """List conferences, or change one."""
    action, words = use.text("action", "list"), use.text("what").split()
    if action == "list":
        return listing("list_conferences", render.conference_line, "no conferences")(use)
    if action == "create":
        result = use.client.request("create_conference", id=use.text("id"), calls=words)
        return show(use, result, render.conference_line(result["value"]))
    forms: dict[str, tuple[str, tuple[str, ...]]] = {
        "join": ("join_conference", ("conference", "call")),
        "leave": ("leave_conference", ("call",)),
        "mute": ("mute_member", ("call",)),
        "unmute": ("unmute_member", ("call",)),
        "end": ("end_conference", ("conference",)),
    }
    if action not in forms or len(words) > len(forms[action][1]):
        raise usage_error(use.verb, f"there are: list, create CALL..., {', '.join(forms)}")
    operation, names = forms[action]
    return perform(use, operation, dict(zip(names, words, strict=False)), f"conference: {action}")


def _watch(use: Invocation, params: Params) -> int:
    """Watch something, and show the first that is heard of it: many exchanges answer at once that they will not tell."""
    use.client.subscribe("watch.*")
    result = use.client.request("create_watch", **params)
    subject = f"watches/{result['value']['id']}"
    told: Params = {}
    if result["value"]["state"] == "asking":
        with contextlib.suppress(TimedOut):
            told = next(event for event in use.client.events(FIRST_WORD) if event["subject"] == subject)
            result = {**result, "value": told["data"]["watch"]}
    code = show(use, result, render.watch_line(result["value"]))
    return FAR_END if told.get("type") == "watch.ended" and result["value"]["retry_in"] is None else code


def watches(use: Invocation) -> int:
    """List what is watched, or change it."""
    action, words = use.text("action", "list"), use.text("what").split()
    if action == "list":
        return listing("list_watches", render.watch_line, "nothing is watched")(use)
    if action in ("presence", "dialog", "mwi") and len(words) <= 1:
        return _watch(use, {"kind": action, "to": "".join(words), "account": use.text("account"), "id": use.text("id")})
    if action == "remove" and len(words) == 1:
        result = use.client.request("delete_watch", watch=words[0])
        return show(use, result, f"{words[0]}: not watched any more")
    raise usage_error(use.verb, "there are: list, presence WHOM, dialog WHOM, mwi [MAILBOX], remove WATCH")
