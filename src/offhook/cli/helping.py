"""The help, made from the list of verbs and from the phone's own lists."""

from __future__ import annotations

import re
import sys

from offhook.cli.actions.common import json_text
from offhook.cli.outcome import DONE, EXIT_CODES, USAGE, Ended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from offhook.cli.parsing import Invocation, Verb

WIDTH = 100
"""Columns of the usage; many a terminal has as many."""

LEGACY_USAGE = """\
the forms of older scripts (`microsip FORM`, and most of them as `offhook FORM`):
  1001  sip:user@host  tel:+1…  callto:1001  dial:1001      dial
  1001,12,,34                                               dial, and send digits after the answer
  1001 free text                                            send a text
  dtmf:12345  transfer:1002  volume 80                      as named
  answer hangup reject hold mute status report:status       as named
  hide show exit /minimized /hidden /exit                   as named
  /answer /hangupall /hangupincoming /hangupcalling         as named
  /transfer:N /dtmf:N /dial:N /account:N /i:FILE            as named
  --listdevices                                             list the sound devices
  msip:answer|hangupall|hold|transfer_N|micmute|micunmute|speakmute|speakunmute
  msip:micup|micdown|speakup|speakdown|minimize|N
"""


def overview() -> str:
    """Return the help on everything, short."""
    from offhook.cli.verbs import VERBS

    usage = ("usage: offhook VERB … [--json] [--socket PATH] [--help]", "       offhook --version")
    lines = ["offhook: a SIP softphone that programs drive", "", *usage]
    for group in dict.fromkeys(verb.group for verb in VERBS.values()):
        lines += ["", f"{group}:"]
        lines += [f"  {verb.name:<12} {verb.summary}" for verb in VERBS.values() if verb.group == group]
    return "\n".join([*lines, "", LEGACY_USAGE, exit_codes()])


def exit_codes() -> str:
    """Return the exit codes and their meanings."""
    return "exit codes:\n" + "\n".join(f"  {code}  {meaning}" for code, meaning in EXIT_CODES.items())


def verb_help(verb: Verb, *, as_json: bool = False) -> str:
    """Return the help on one verb."""
    if as_json:
        return json_text(_described(verb))
    from offhook.cli.options import EXAMPLES, argument, meaning

    words = {word.upper(): argument(verb.name, word.strip("[].")) for word in verb.arguments}
    kinds = {**verb.options, "json": "flag", "socket": "PATH"}
    named = {f"--{name}" + ("" if kind == "flag" else f" {kind}"): meaning(verb.name, name) for name, kind in kinds.items()}
    examples = dict.fromkeys((f"offhook {example}" for example in EXAMPLES.get(verb.name, ())), "")
    parts = [*_table("arguments:", words), *_table("options:", named), *_table("examples:", examples)]
    return "\n".join([*_usage(verb), "", verb.summary, "", *parts, exit_codes()])


def _described(verb: Verb) -> dict[str, object]:
    """Return what the help says of a verb, for a program."""
    from offhook.cli.options import EXAMPLES, argument, meaning

    options = {**verb.options, "json": "flag", "socket": "PATH"}
    return {
        "verb": verb.name,
        "group": verb.group,
        "summary": verb.summary,
        "usage": verb.usage,
        "arguments": {word.upper(): argument(verb.name, word.strip("[].")) for word in verb.arguments},
        "options": {
            f"--{name}": {"value": "" if kind == "flag" else kind, "meaning": meaning(verb.name, name)}
            for name, kind in options.items()
        },
        "examples": [f"offhook {example}" for example in EXAMPLES.get(verb.name, ())],
    }


def _table(title: str, rows: dict[str, str]) -> list[str]:
    width = max(map(len, rows), default=0)
    return [title, *(f"  {name:<{width}}  {text}".rstrip() for name, text in rows.items()), ""] if rows else []


def _usage(verb: Verb) -> list[str]:
    """Return the usage in lines that fit a terminal; an option is not parted from its value."""
    lines = ["usage:"]
    for part in re.findall(r"\[[^\s\]]+ [^\s]+\]+|\S+", f"{verb.usage} [--json] [--socket PATH]"):
        if len(lines[-1]) + 1 + len(part) > WIDTH:
            lines.append(" " * len("usage: offhook"))
        lines[-1] += f" {part}"
    return lines


def show_help(use: Invocation) -> int:
    """Show help on a verb or a topic."""
    from offhook.cli.verbs import VERBS

    topic = use.text("topic")
    if topic in VERBS:
        text = verb_help(VERBS[topic], as_json=use.json)
    elif topic in TOPICS:
        text = TOPICS[topic](use.json)
    elif not topic:
        text = json_text([_described(verb) for verb in VERBS.values()]) if use.json else overview()
    else:
        raise Ended(USAGE, f"there is no help on {topic!r}; there is on every verb, and on: {', '.join(TOPICS)}")
    sys.stdout.write(text + "\n")
    return DONE


def _operations(as_json: bool) -> str:
    from offhook.control.operations import EXTRA
    from offhook.control.schema import command_help, to_json

    if as_json:
        return json_text(to_json(command_help()))
    lines: list[str] = []
    for command in command_help():
        lines += [f"{command.operation}", *(f"    {line}".rstrip() for line in command.text.split("\n"))]
        for field in command.fields:
            lines.append(f"    {field.name}: {field.type}" + ("" if field.required else f" = {field.default}"))
        lines.append("")
    return "\n".join([*lines, "besides commands: " + ", ".join((*EXTRA, "subscribe", "unsubscribe", "cancel_wait"))])


def _events(as_json: bool) -> str:
    import inspect

    from offhook.phone.events import EVENTS

    found = {event.type: (inspect.getdoc(event) or "").split("\n")[0] for event in EVENTS}
    if as_json:
        return json_text(found)
    return "\n".join(f"{name:<24} {text}" for name, text in found.items())


def _config(as_json: bool) -> str:
    from offhook.storage.config.reference import text

    return text(as_json)


def _service(as_json: bool) -> str:
    from importlib.resources import files

    unit = files("offhook.app").joinpath("offhook.service").read_text("utf-8").rstrip("\n")
    return json_text(unit) if as_json else unit


def _codes(as_json: bool) -> str:
    return json_text(EXIT_CODES) if as_json else exit_codes()


TOPICS: dict[str, Callable[[bool], str]] = {
    "ops": _operations, "types": _events, "config": _config, "service": _service, "codes": _codes,
}  # fmt: skip
