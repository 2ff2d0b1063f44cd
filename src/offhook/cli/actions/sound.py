"""What is done with sound: volumes, devices, playing, recording, streams."""

from __future__ import annotations

import contextlib

from offhook.cli import render
from offhook.cli.actions.common import absolute, json_text, listing, perform, say, show
from offhook.cli.outcome import DONE, REFUSED, Ended
from offhook.cli.parsing import usage_error
from offhook.control.client import NoPhone, Refused, TimedOut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from offhook.cli.parsing import Invocation

    Params = dict[str, Any]

MOST_SHOWN = 3600.0
"""Seconds that a meter runs at most."""

FILE_WITHIN = 2.0
"""Seconds in which a recording's file is there, or known not to be; on a slower disk the command does not wait for it."""


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
    if action.lstrip("+-").isdecimal() and not amount:
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
        kind = use.text("kind") or "output"
        words = ("speak, then listen", "it hears") if kind == "input" else ("listen", "heard")
        return perform(use, "test_device", {"kind": kind}, *words)
    raise usage_error(use.verb, "write: devices list, devices set input|output|ring DEVICE, or devices test input|output|ring")


def voice(use: Invocation) -> int:
    """Show or choose what is done to the microphone."""
    words = {"echo": "echo_cancellation", "noise": "noise_suppression", "gain": "gain_control"}
    wanted = {}
    for part in use.text("parts").split():
        name, equals, value = part.partition("=")
        if name not in words or not equals or value not in ("on", "off"):
            raise usage_error(use.verb, "write: voice, or voice echo=on|off noise=on|off gain=on|off")
        wanted[words[name]] = value == "on"
    if wanted:
        use.client.request("set_voice", **wanted)
    view = use.client.request("get_audio")["value"]
    return show(use, view, render.voice_line(view))


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
            return perform(use, operation, {**call, **extra, "playback": use.text("playback")}, f"play: {flag}")
    if bool(use.text("file")) == bool(use.text("tone")):
        raise usage_error(use.verb, "name a sound file or a --tone")
    file = use.text("file")
    source = {"url": file} if file.startswith(("https://", "http://")) else {"file": absolute(file)}
    params: Params = {**call, **source, "tone": use.text("tone")}
    params |= {"duration_ms": use.whole("duration"), "loop": use.flag("loop"), "gain_db": use.number("gain") or 0.0}
    params["mode"] = "queue" if use.flag("queue") else "mix" if use.flag("mix") else "replace"
    return perform(use, "play", params, "playing", "played")


def levels(use: Invocation) -> int:
    """Show how loud a call is, one line for each interval, until the call or the time is over."""
    seconds = use.number("timeout")
    use.client.subscribe("call.level", "call.ended")
    wanted = {"call": use.text("call"), "interval_ms": use.whole("interval", 200)}
    call = use.client.request("meter_call", **wanted, seconds=MOST_SHOWN if seconds is None else seconds)["call"]
    shown = 0
    try:
        for event in use.client.events(seconds):
            if event.get("subject") != f"calls/{call}":
                continue
            if event["type"] == "call.ended":
                break
            say(json_text(event) if use.json else render.level_line(event))
            shown += 1
            if shown == use.whole("count"):
                break
    except TimedOut:
        if not shown:
            raise
        return DONE
    finally:
        with contextlib.suppress(Refused, NoPhone):  # the call may be over, and the phone gone
            use.client.request("meter_call", call=call, seconds=0)
    return DONE


def _of_calls(use: Invocation, operation: str, line: Callable[[Params], str], nothing: str) -> int:
    found = use.client.request(operation, call=use.text("call"))["value"]
    return show(use, found, "\n".join(map(line, found)) or nothing)


def playbacks(use: Invocation) -> int:
    """List what plays."""
    return _of_calls(use, "list_playbacks", render.playback_line, "nothing plays")


def recordings(use: Invocation) -> int:
    """List recordings."""
    return _of_calls(use, "list_recordings", render.recording_line, "no recordings")


def capture(use: Invocation) -> int:
    """Keep the packets of a call's sound, or stop that."""
    action = use.text("action", "start")
    params: Params = {"call": use.text("call")} if use.text("call") else {}
    if action == "stop":
        return perform(use, "stop_capture", params, "capture ended")
    if action != "start":
        raise usage_error(use.verb, "write: capture, or capture stop")
    seconds = use.number("seconds")
    params |= {"seconds": seconds} if seconds is not None else {}
    params |= {"keys": True} if use.flag("keys") else {}
    return perform(use, "capture", params, "capturing; `offhook call pcap CALL FILE --media` writes it")


def listen(use: Invocation) -> int:
    """Listen to the far end for something."""
    what = [word for word in use.text("what").replace(",", " ").split() if word]
    if not what:
        raise usage_error(use.verb, "write what to listen for: dtmf, tones, beep, vad, amd, or off")
    params: Params = {"what": [] if what == ["off"] else what}
    if use.text("call"):
        params["call"] = use.text("call")
    return perform(use, "detect", params, "listening" if params["what"] else "not listening")


def tap(use: Invocation) -> int:
    """Let one call hear another, or end that."""
    if use.text("stop"):
        return perform(use, "stop_tap", {"by": use.text("stop")}, "tap ended")
    if not use.text("by"):
        raise usage_error(use.verb, "name the call that is to listen, or --stop CALL")
    params = {name: use.text(name) for name in ("by", "call", "hear", "speak") if use.text(name)}
    return perform(use, "tap", params, f"{use.text('by')} listens")


def taps(use: Invocation) -> int:
    """List taps."""
    return listing("list_taps", render.tap_line, "no taps")(use)


def stream(use: Invocation) -> int:
    """Carry the call's sound to a program, or end that."""
    if use.text("stop"):
        return perform(use, "stop_audio_stream", {"stream": use.text("stop")}, "stream stopped")
    if not use.text("url"):
        raise usage_error(use.verb, "name the program's WebSocket, as wss://bot.example.org/calls, or --stop STREAM")
    if not use.text("url").startswith(("wss://", "ws://")):
        raise usage_error(use.verb, "the program's address begins with wss:// (ws:// goes in the clear)", "url")
    params: Params = {name: use.text(name) for name in ("url", "call", "dialect", "track") if use.text(name)}
    params |= {"speak": not use.flag("listen-only"), "rate": use.whole("rate"), "parameters": _pairs(use, "parameter")}
    params |= {"control": use.flag("control"), "end_call": use.flag("end-call")}
    return perform(use, "stream_audio", params, "connecting", "connected")


def _pairs(use: Invocation, name: str) -> list[list[str]]:
    pairs = [text.split("=", 1) for text in use.texts(name)]
    if any(len(pair) != 2 for pair in pairs):
        raise usage_error(use.verb, f"a --{name} is written NAME=VALUE", name)
    return pairs


def streams(use: Invocation) -> int:
    """List what is carried to programs."""
    return listing("list_audio_streams", render.stream_line, "no streams")(use)


def _await_file(use: Invocation, recording: str) -> None:
    """Return when the file is there; Ended if it cannot be made."""
    with contextlib.suppress(TimedOut):
        for event in use.client.events(FILE_WITHIN):
            if event["data"]["recording"] == recording:
                if event["type"] == "recording.failed":
                    raise Ended(REFUSED, f"record: {event['data']['reason']}")
                return


def record(use: Invocation) -> int:
    """Start, stop or pause a recording."""
    action, file = use.text("action", "start"), use.text("file")
    if not file and any(sign in action for sign in "./\\"):
        action, file = "start", action  # record talk.wav: no action looks so
    call: Params = {"call": use.text("call")} if use.text("call") else {}
    if action == "start":
        params: Params = {**call, "file": absolute(file), "channels": "stereo" if use.flag("stereo") else "mono"}
        params |= {"max_seconds": use.number("max") or 0.0, "beep": use.flag("beep"), "format": use.text("format")}
        use.client.subscribe("recording.started", "recording.failed")
        result = use.client.request("record", **params)
        _await_file(use, result["value"]["recording"])
        return show(use, result, f"recording into {result['value']['file']}")
    other: dict[str, tuple[str, Params]] = {
        "stop": ("stop_record", {}),
        "pause": ("pause_record", {"paused": True}),
        "resume": ("pause_record", {"paused": False}),
    }
    if action not in other or file:
        raise usage_error(use.verb, "write: record, record start FILE, record stop, record pause or record resume")
    operation, extra = other[action]
    return perform(use, operation, {**call, **extra, "recording": use.text("recording")}, f"recording: {action}")
