"""What the verbs do: a request to the phone, its answer as text or JSON, and an exit code."""

from __future__ import annotations

import json
import sys
import time

from offhook.cli import render
from offhook.cli.outcome import DONE, FAR_END, REFUSED, TIMED_OUT, Ended
from offhook.cli.parsing import usage_error
from offhook.control.client import NoPhone, TimedOut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from offhook.cli.parsing import Invocation

    Params = dict[str, Any]

RECONNECT_SECONDS = 0.5
"""How long --follow waits before it looks for the phone again."""

PROGRESS = {"call.ringing": "ringing", "call.early": "ringing", "call.answered": "answered", "call.redirected": "redirected"}
"""What a call that is waited for goes through, as one word for each event."""


# --- the common path -------------------------------------------------------------------------------------------------


def say(text: str, *, end: str = "\n") -> None:
    """Write for the user, at once."""
    sys.stdout.write(text + end)
    sys.stdout.flush()


def show(use: Invocation, value: object, text: str) -> int:
    """Write `value` as JSON if that was asked for, else `text`."""
    say(json.dumps(value, ensure_ascii=False) if use.json else text)
    return DONE


def perform(use: Invocation, operation: str, params: Params, started: str, done: str = "") -> int:
    """Send one command, and with --wait stay until the far end's part is over. `{call}` in the texts is the call's id."""
    wait = use.flag("wait")
    if wait:
        use.client.subscribe("operation.*", "call.*")
    result = use.client.request(operation, **params)
    call = result["call"]
    if not (wait and result["operation"]):
        suffix = f" ({call})" if call and "{call}" not in started else ""
        return show(use, result, started.format(call=call) + suffix)
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
    except Exception:
        if text:
            say("")
        raise
    return _conclude(use, result, last, done)


def _conclude(use: Invocation, result: Params, last: Params, done: str) -> int:
    data = last["data"]
    succeeded = last["type"] == "operation.succeeded"
    status, reason = data.get("sip_status", 0), data.get("reason", "")
    if use.json:
        say(json.dumps({**result, "outcome": "succeeded" if succeeded else "failed", "sip_status": status, "reason": reason}))
    elif succeeded:
        say(f" {done}" + (f" ({result['call']})" if result["call"] else ""))
    else:
        say(" " + (" ".join(str(part) for part in (status or "", reason) if part) or "failed"))
    if succeeded:
        return DONE
    if status:
        return FAR_END
    return TIMED_OUT if "time" in reason.lower() else REFUSED


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


# --- calls -----------------------------------------------------------------------------------------------------------


def status(use: Invocation) -> int:
    """Show what STATUS shows."""
    view = use.client.request("status")["value"]
    return show(use, view, render.status_line(view))


def dial(use: Invocation) -> int:
    """Call somebody."""
    params: Params = {"to": use.text("to")}
    for name in ("account", "digits", "id"):
        if use.text(name):
            params[name] = use.text(name)
    ring = use.number("ring-timeout")
    if ring is not None:
        params["ring_timeout"] = ring
    if use.flag("no-hold"):
        params["hold_others"] = False
    params["headers"] = [_pair(use, header) for header in use.texts("header")]
    return perform(use, "dial", params, f"calling {use.text('to')}".replace("{", "{{").replace("}", "}}"), "answered")


def _pair(use: Invocation, header: str) -> list[str]:
    name, colon, value = header.partition(":")
    if not colon or not name.strip():
        raise usage_error(use.verb, f'a header is written "Name: value", not {header!r}')
    return [name.strip(), value.strip()]


def get_call(use: Invocation) -> int:
    """Show one call."""
    word = use.text("call")
    if word == "list":
        return calls(use)
    if word in ("trace", "pcap"):
        return _trace(use, word)
    view = use.client.request("get_call", call=use.text("id") if word == "get" else word)["value"]
    return show(use, view, render.call_line(view))


def _trace(use: Invocation, form: str) -> int:
    """Show the SIP messages of a call, or write them into a file for Wireshark."""
    if form == "trace":
        found = use.client.request("trace", call=use.text("id"), format="json" if use.json else "text")
        return show(use, found, found["text"])
    if not (use.text("id") and use.text("file")):
        raise usage_error(use.verb, "write: call pcap CALL FILE")
    import base64

    found = use.client.request("trace", call=use.text("id"), format="pcap")
    try:
        with open(use.text("file"), "wb") as file:
            file.write(base64.b64decode(found["pcap"]))
    except OSError as error:
        raise Ended(REFUSED, f"{use.text('file')} cannot be written: {error.strerror or error}") from None
    return show(use, {"file": use.text("file")}, f"written to {use.text('file')}")


calls = listing("list_calls", render.call_line, "no calls")


def hangup(use: Invocation) -> int:
    """End one call or all."""
    if use.flag("all"):
        return perform(use, "hangup_all", {"which": "all"}, "hung up all calls")
    return simple("hangup", "hung up")(use)


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
    return perform(use, "reject", {"call": use.text("call"), "status": use.whole("status")}, "rejected")


def decide(use: Invocation) -> int:
    """Say what becomes of an incoming call that waits for a decision."""
    params = {"action": use.text("action"), "call": use.text("call"), "status": use.whole("status"), "to": use.text("to")}
    return perform(use, "decide", params, f"decided: {use.text('action')}")


def info(use: Invocation) -> int:
    """Send a SIP INFO."""
    params = {"body": use.text("body"), "content_type": use.text("type", "text/plain"), "call": use.text("call")}
    return perform(use, "send_info", params, "information sent", "accepted")


# --- sound -----------------------------------------------------------------------------------------------------------


def volume(use: Invocation) -> int:
    """Show or change the loudspeaker's volume: get, up, down, set N, or just N."""
    action, amount = use.text("action", "get"), use.text("amount")
    if action == "get" and not amount:
        view = use.client.request("get_audio")["value"]
        return show(use, view, render.audio_line(view))
    if action in ("up", "down"):
        return _sound(use, f"volume_{action}", {"steps": use.whole("amount", 1)})
    if action == "set" and amount:
        return _sound(use, "set_volume", {"volume": use.whole("amount")})
    if action not in ("get", "set") and not amount:
        return _sound(use, "set_volume", {"volume": use.whole("action")})
    raise usage_error(use.verb, "write: volume, volume up 2, volume down, volume 80")


def mic_volume(use: Invocation) -> int:
    """Show or set the microphone's volume."""
    if not use.text("volume"):
        view = use.client.request("get_audio")["value"]
        return show(use, view, render.audio_line(view))
    return _sound(use, "set_mic_volume", {"volume": use.whole("volume")})


def _sound(use: Invocation, operation: str, params: Params) -> int:
    use.client.request(operation, **params)
    view = use.client.request("get_audio")["value"]
    return show(use, view, render.audio_line(view))


def devices(use: Invocation) -> int:
    """List the sound devices, or choose one."""
    action = use.text("action", "list")
    if action == "list":
        return listing("list_devices", render.device_line, "no sound devices")(use)
    if action == "set" and use.text("kind"):
        params = {"kind": use.text("kind"), "device": use.text("device")}
        return perform(use, "set_device", params, "device chosen")
    if action == "test":
        return perform(use, "test_device", {"kind": use.text("kind") or "output"}, "listen", "heard")
    raise usage_error(use.verb, "write: devices list, devices set input|output|ring DEVICE, or devices test output|ring")


def play(use: Invocation) -> int:
    """Play into a call, or control what plays."""
    call: Params = {"call": use.text("call")} if use.text("call") else {}
    others: tuple[tuple[str, str, Params], ...] = (
        ("stop", "stop_play", {}),
        ("pause", "pause_play", {"paused": True}),
        ("resume", "pause_play", {"paused": False}),
    )
    for flag, operation, extra in others:
        if use.flag(flag):
            return perform(use, operation, {**call, **extra}, f"play: {flag}")
    if bool(use.text("file")) == bool(use.text("tone")):
        raise usage_error(use.verb, "name a WAV file or a --tone")
    file = use.text("file")
    source = {"url": file} if file.startswith(("https://", "http://")) else {"file": _absolute(file)}
    params: Params = {**call, **source, "tone": use.text("tone")}
    params |= {"duration_ms": use.whole("duration"), "loop": use.flag("loop"), "gain_db": use.number("gain") or 0.0}
    return perform(use, "play", params, "playing", "played")


def stream(use: Invocation) -> int:
    """Carry the call's sound to a program, or end that."""
    if use.text("stop"):
        return perform(use, "stop_audio_stream", {"stream": use.text("stop")}, "stream stopped")
    if not use.text("url"):
        raise usage_error(use.verb, "name the program's WebSocket, as wss://bot.example.org/calls, or --stop STREAM")
    params: Params = {name: use.text(name) for name in ("url", "call", "dialect", "track") if use.text(name)}
    params |= {"speak": not use.flag("listen-only"), "rate": use.whole("rate"), "parameters": _pairs(use, "parameter")}
    params |= {"control": use.flag("control"), "end_call": use.flag("end-call")}
    return perform(use, "stream_audio", params, "connecting", "connected")


def _pairs(use: Invocation, name: str) -> list[list[str]]:
    pairs = [text.split("=", 1) for text in use.texts(name)]
    if any(len(pair) != 2 for pair in pairs):
        raise usage_error(use.verb, f"a --{name} is written NAME=VALUE")
    return pairs


def streams(use: Invocation) -> int:
    """List what is carried to programs."""
    return listing("list_audio_streams", render.stream_line, "no streams")(use)


def record(use: Invocation) -> int:
    """Start, stop or pause a recording."""
    action = use.text("action", "start")
    call: Params = {"call": use.text("call")} if use.text("call") else {}
    if action == "start":
        params: Params = {**call, "file": _absolute(use.text("file")), "channels": "stereo" if use.flag("stereo") else "mono"}
        params |= {"max_seconds": use.number("max") or 0.0, "beep": use.flag("beep")}
        result = use.client.request("record", **params)
        value = result["value"] or {}
        return show(use, result, f"recording into {value['file']}" if "file" in value else "recording")
    other: dict[str, tuple[str, Params]] = {
        "stop": ("stop_record", {}),
        "pause": ("pause_record", {"paused": True}),
        "resume": ("pause_record", {"paused": False}),
    }
    if action not in other:
        raise usage_error(use.verb, "write: record, record stop, record pause or record resume")
    operation, extra = other[action]
    return perform(use, operation, {**call, **extra}, f"recording: {action}")


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


def watches(use: Invocation) -> int:
    """List what is watched, or change it."""
    action, words = use.text("action", "list"), use.text("what").split()
    if action == "list":
        return listing("list_watches", render.watch_line, "nothing is watched")(use)
    if action in ("presence", "dialog", "mwi") and len(words) <= 1:
        params = {"kind": action, "to": "".join(words), "account": use.text("account"), "id": use.text("id")}
        result = use.client.request("create_watch", **params)
        return show(use, result, render.watch_line(result["value"]))
    if action == "remove" and len(words) == 1:
        result = use.client.request("delete_watch", watch=words[0])
        return show(use, result, f"{words[0]}: not watched any more")
    raise usage_error(use.verb, "there are: list, presence WHOM, dialog WHOM, mwi [MAILBOX], remove WATCH")


def drain(use: Invocation) -> int:
    """Take no new calls, or take them again."""
    switch = use.text("switch", "on")
    if switch not in ("on", "off"):
        raise usage_error(use.verb, "write: drain, or drain off")
    text = "no new calls are taken" if switch == "on" else "new calls are taken"
    return perform(use, "drain", {"enabled": switch == "on"}, text)


def _absolute(file: str) -> str:
    """The phone may run in another folder, so it gets whole paths."""
    import os

    return os.path.abspath(file) if file else ""


# --- accounts and settings -------------------------------------------------------------------------------------------

ACCOUNT_TEXTS = ("domain", "username", "auth-username", "display-name", "label", "proxy", "transport", "dial-plan")


def accounts(use: Invocation) -> int:
    """List accounts, or change one."""
    action, account = use.text("action", "list"), use.text("account")
    if action == "list":
        return listing("list_accounts", render.account_line, "no accounts")(use)
    if not account:
        raise usage_error(use.verb, "which account?")
    if action == "add":
        return _add_account(use, account)
    if action == "change":
        return _change_account(use, account)
    texts = {"remove": "removed", "register": "registering", "unregister": "unregistering", "select": "chosen"}
    if action not in texts:
        raise usage_error(use.verb, f"there is no action {action!r}; there are: list, add, change, {', '.join(texts)}")
    return perform(use, f"{action}_account", {"account": account}, f"{account}: {texts[action]}", "done")


def _add_account(use: Invocation, account: str) -> int:
    settings: Params = {"id": account, "register": not use.flag("no-register")} | _account_texts(use)
    if not (use.text("domain") and use.text("username")):
        raise usage_error(use.verb, "an account needs --domain and --username")
    if use.flag("ask-password"):
        settings["password"] = ask_password(f"password of {account}: ")
    return perform(use, "add_account", {"account": settings}, f"{account}: added", "registered")


def _change_account(use: Invocation, account: str) -> int:
    changes = _account_texts(use)
    if use.flag("no-register"):
        changes["register"] = False
    if use.flag("ask-password"):
        changes["password"] = ask_password(f"password of {account}: ")
    if not changes:
        raise usage_error(use.verb, "what is to be different? For example --label Desk")
    return perform(use, "update_account", {"account": account, "changes": changes}, f"{account}: changed", "registered")


def _account_texts(use: Invocation) -> Params:
    return {name.replace("-", "_"): use.text(name) for name in ACCOUNT_TEXTS if use.text(name)}


def ask_password(prompt: str) -> str:
    """Return a password from the terminal without showing it, or the first line of what is piped in."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    import getpass

    return getpass.getpass(prompt)


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


# --- history and events ----------------------------------------------------------------------------------------------


def history(use: Invocation) -> int:
    """Show past calls, or forget them."""
    action = use.text("action", "list")
    if action == "list":
        found = use.client.request("history", limit=use.whole("limit", 50), before=use.text("before"))["entries"]
        return show(use, found, "\n".join(map(render.history_line, found)) or "no past calls")
    if action == "export":
        return _export(use)
    if action == "clear":
        return show(use, use.client.request("clear_history"), "history cleared")
    if action == "delete" and use.text("entry"):
        return show(use, use.client.request("delete_history", entry=use.text("entry")), "deleted")
    raise usage_error(use.verb, "write: history, history delete ENTRY, or history clear")


def _export(use: Invocation) -> int:
    """Write the past calls as CSV, into a file or to the terminal."""
    from offhook.control.spreadsheet import as_csv

    entries: list[Params] = []
    while True:
        page = use.client.request("history", limit=1000, before=entries[-1]["id"] if entries else "")["entries"]
        entries += page
        if len(page) < 1000:
            break
    text = as_csv(entries)
    if not use.text("entry"):
        say(text.rstrip("\r\n"))
        return DONE
    try:
        with open(use.text("entry"), "w", encoding="utf-8", newline="") as file:
            file.write(text)
    except OSError as error:
        raise Ended(REFUSED, f"{use.text('entry')}: {error.strerror or error}") from None
    return show(use, {"file": use.text("entry"), "calls": len(entries)}, f"{len(entries)} calls written")


def reload(use: Invocation) -> int:
    """Have the configuration file read again."""
    found = use.client.request("reload")
    lines = [f"{what}: {', '.join(found[what])}" for what in ("added", "changed", "removed", "settings") if found[what]]
    lines += [f"with the next start: {', '.join(found['restart'])}"] if found["restart"] else []
    return show(use, found, "\n".join(lines) or "nothing has changed")


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
            left.pause(RECONNECT_SECONDS)
            use.close()


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

    def shown(self) -> None:
        """One event less."""
        self._count -= 1

    def pause(self, seconds: float) -> None:
        """Wait before trying again; the end of the time is a TimedOut."""
        if self.seconds is not None and self.seconds <= 0:
            raise TimedOut("no event in time")
        time.sleep(seconds)


def _visit(use: Invocation, after: str, left: _Left) -> Iterator[str]:
    """Show events over one connection; yields the place to go on from."""
    yield use.client.subscribe(*_types(use), after=after)
    for event in use.client.events(left.seconds):
        _show_event(use, event)
        left.shown()
        yield event.get("id", after)


def wait(use: Invocation) -> int:
    """Stay until an event comes."""
    use.client.subscribe(*use.text("type").split(","))
    call = use.text("call")
    for event in use.client.events(use.number("timeout")):
        if not call or event.get("subject") == f"calls/{call}":
            _show_event(use, event)
            break
    return DONE


def _types(use: Invocation) -> Iterable[str]:
    return [part.strip() for given in use.texts("types") for part in given.split(",")] or ["*"]


def _show_event(use: Invocation, event: Params) -> None:
    say(json.dumps(event, ensure_ascii=False) if use.json else render.event_line(event))
    if event["type"] == "stream.slow_consumer" and not use.flag("follow"):
        raise Ended(REFUSED, "the phone closed the connection: events were not read quickly enough")


# --- other ways to say it --------------------------------------------------------------------------------------------


def dde(use: Invocation) -> int:
    """Carry out a DDE string."""
    result = use.client.request("dde", text=use.text("text"))
    return show(use, result, result["text"] or "ok")


def copydata(use: Invocation) -> int:
    """Carry out a WM_COPYDATA command, by its number or name, and show the LRESULT."""
    given = use.text("code").upper()
    names = ("DIAL", "HANGUP", "ANSWER", "STATUS", "ACTIVECALL", "MUTE", "TRANSFER", "DTMF", "VOLUME", "QUIT")
    code = names.index(given) + 1 if given in names else use.whole("code")
    result = use.client.request("copydata", code=code, data=use.text("text"))
    show(use, result, f"{result['lresult']} {result['text']}".rstrip())
    return DONE if result["lresult"] or code in (4, 5) else REFUSED


def operation(use: Invocation) -> int:
    """Send any operation; `name=text` gives a text, `name:=json` anything else."""
    params: Params = {}
    for field in use.text("fields").split(" ") if use.text("fields") else []:
        name, equals, value = field.partition("=")
        if not equals:
            raise usage_error(use.verb, f"a field is written name=text or name:=json, not {field!r}")
        try:
            params[name.removesuffix(":")] = json.loads(value) if name.endswith(":") else value
        except ValueError:
            raise usage_error(use.verb, f"{value!r} is not JSON") from None
    result = use.client.request(use.text("name").replace("-", "_"), **params)
    return show(use, result, json.dumps(result, ensure_ascii=False, indent=2))


def open_uri(use: Invocation) -> int:
    """Dial a link that another program hands over, after asking."""
    from offhook.cli.opening import open_link

    return open_link(use)


def desktop(use: Invocation) -> int:
    """Say who opens links, or change it."""
    from offhook.cli.desktop import desktop as act

    return act(use)


def contacts(use: Invocation) -> int:
    """List, search or change the contacts."""
    from offhook.cli.contacts import contacts as act

    return act(use)


def import_(use: Invocation) -> int:
    """Take over what another phone left."""
    from offhook.cli.importing import take_over

    return take_over(use)


def password(use: Invocation) -> int:
    """Keep the password of an account where the configuration finds it."""
    from offhook.cli.keep import keep_password

    return keep_password(use)


def token(use: Invocation) -> int:
    """Make, show or end tokens of the HTTP surface."""
    from offhook.cli.tokens import run

    return run(use)


def doctor(use: Invocation) -> int:
    """Say what is not in order and what to do."""
    from offhook.cli.doctor import examine

    return examine(use)


def run(use: Invocation) -> int:
    """Be the phone until it is told to quit."""
    from offhook.cli.serve import run_phone

    return run_phone(use)


def mcp(use: Invocation) -> int:
    """Be tools for a language model until stdin ends."""
    from offhook.cli.serve import run_mcp

    return run_mcp(use)


def exchange(use: Invocation) -> int:
    """Be the practice exchange until interrupted."""
    from offhook.cli.serve import run_exchange

    return run_exchange(use)
