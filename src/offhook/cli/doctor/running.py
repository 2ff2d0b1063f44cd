"""The running phone: is it there, which one is it, does it take commands, does its SIP socket answer."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from statistics import median
from typing import Any

from offhook import __version__
from offhook.cli.doctor.asking import options_request
from offhook.cli.doctor.case import Case, PhoneFacts
from offhook.cli.doctor.finding import Finding, milliseconds
from offhook.control.client import ClientError, LocalClient, NoPhone, Refused
from offhook.io import clock
from offhook.io.probe import Probe
from offhook.sip.events import Address
from offhook.sip.stack import host_port
from offhook.sip.uri import Uri

PINGS = 5
ANSWER_WITHIN = 3.0
"""Seconds for one command: a phone that needs longer is no use to anybody."""
SLOW = 0.1
"""Seconds: a command that only reads takes well under a millisecond in the phone."""


def look_at_phone(case: Case) -> Iterator[Finding]:
    """Ask the phone what it is; `case.phone` has its answers from here on, None if none runs."""
    try:
        with LocalClient(case.socket_path, timeout=ANSWER_WITHIN) as client:
            case.phone, findings = _facts(client, case)
    except NoPhone as error:
        yield _absent(case.socket_path, str(error))
        return
    except ClientError as error:
        text = f"something listens at {case.socket_path} but does not answer: {error}"
        yield Finding("phone", "wrong", text, "end the phone and start it again: `offhook run`")
        return
    yield from findings
    yield from _own_socket(case)


def _absent(path: str, reason: str) -> Finding:
    text, advice = f"none is running at {path}", "start it: `offhook run`; what can be looked at without it follows"
    foreign = "another user" in reason
    if not foreign and (sys.platform == "win32" or not os.path.exists(path)):
        return Finding("phone", "warning", text, advice)
    if foreign or not os.access(path, os.W_OK):
        return Finding("phone", "wrong", f"{path} belongs to another user", "run this as the user whose phone it is")
    return Finding("phone", "warning", f"{text}; its socket was left behind by one that was killed, which does no harm", advice)


def _facts(client: LocalClient, case: Case) -> tuple[PhoneFacts, list[Finding]]:
    status = client.request("status")["value"]
    try:
        about = client.request("about")
    except Refused:
        about = {}
    facts = PhoneFacts(about, client.request("list_accounts")["value"], client.request("list_devices")["value"],
                       client.request("get_audio")["value"], status.get("calls", 0))
    took = []
    for _ in range(PINGS):
        began = clock.now()
        client.request("ping")
        took.append(clock.now() - began)
    findings = [_identity(about, status["name"].lower()), _commands(median(took), case.socket_path)]
    return facts, findings + _switches(client.request("get_snapshot")["value"])


def _switches(state: Mapping[str, Any]) -> list[Finding]:
    """Say what keeps calls away because somebody wanted it so, and has forgotten it perhaps."""
    found = []
    if state.get("draining"):
        found.append(Finding("phone, calls", "warning", "drain is on: no new calls are taken", "`offhook drain off`"))
    if state.get("dnd"):
        found.append(Finding("phone, calls", "warning", "do not disturb is on: callers hear busy", "`offhook dnd off`"))
    if state.get("forwarding"):
        text = f"incoming calls are sent to {state['forwarding']}"
        found.append(Finding("phone, calls", "warning", text, "`offhook forward off`"))
    return found


def _identity(about: dict[str, object], state: str) -> Finding:
    version = about.get("version")
    if version is None:
        return Finding("phone", "warning", f"running, {state}; it is older than this program", _RESTART)
    since = datetime.fromisoformat(str(about["since"]))
    text = f"offhook {version} runs since {since.astimezone():%Y-%m-%d %H:%M} ({_ago(since)}), {state}, process {about['pid']}"
    if version != __version__:
        return Finding("phone", "warning", f"{text}; this program is {__version__}", _RESTART)
    return Finding("phone", "ok", text)


_RESTART = "start the phone again to run the installed version: `offhook quit`, then `offhook run`"


def _ago(since: datetime) -> str:
    seconds = (datetime.now(UTC) - since).total_seconds()
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "less than a minute"


def _commands(took: float, path: str) -> Finding:
    text = f"answered in {milliseconds(took)} (middle of {PINGS}) at {path}"
    if took < SLOW:
        return Finding("phone, commands", "ok", text)
    return Finding("phone, commands", "warning", text, "this machine is very busy: calls will stutter; see what takes its time")


def own_address(case: Case) -> Address | None:
    """Return where we can reach the running phone's SIP socket; None if it does not say."""
    if case.phone is None or "sip_port" not in case.phone.about:
        return None
    host = case.sip_host
    if ipaddress.ip_address(host).is_unspecified:
        host = "::1" if case.speaks_ipv6 else "127.0.0.1"
    return host, int(case.phone.about["sip_port"])


def _own_socket(case: Case) -> Iterator[Finding]:
    address = own_address(case)
    if address is None:
        return
    where = host_port((case.sip_host, address[1]))
    with Probe("udp", address, patience=min(case.patience, ANSWER_WITHIN)) as probe:
        reply = probe.ask(lambda local: options_request(Uri.sip(None, *address), local, "udp"))
    if reply.response is not None:
        yield Finding("phone, SIP", "ok", f"listens on {where} and answers after {milliseconds(reply.after)}")
    else:
        text = f"listens on {where} but does not answer there ({reply.how}{': ' if reply.detail else ''}{reply.detail})"
        yield Finding("phone, SIP", "wrong", text, "a firewall on this machine stops UDP of loopback: let it pass")
