"""`offhook doctor`: looks at everything a call needs and says, in plain words, what is not in order and what to do next.

Nothing is changed by it. `configuration`, `running` (the phone), `accounts`, `target` (somebody to call), `nat` (STUN),
`codecs`, `load`, `devices`, `ports`, `folders` and `programs` each look at one area, `way` and `names` serve several; `runner`
runs them all, each with a time limit.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial

from offhook.cli.actions.common import json_text, say
from offhook.cli.doctor import (
    accounts,
    codecs,
    configuration,
    devices,
    folders,
    listeners,
    load,
    nat,
    ports,
    programs,
    relay,
    running,
    secrecy,
    target,
    way,
)
from offhook.cli.doctor.case import Case
from offhook.cli.doctor.finding import Check, Finding
from offhook.cli.doctor.runner import run_checks
from offhook.cli.outcome import DONE, REFUSED
from offhook.cli.parsing import Invocation, usage_error
from offhook.io.probe import PATIENCE
from offhook.io.resolver import LOOKUP_TIMEOUT
from offhook.sip.auth import CHALLENGE_LIMIT

MOST_PATIENCE = 60.0
"""Seconds: longer than any transaction of SIP (32 s) waits."""


def examine(use: Invocation) -> int:
    """Show every finding, each as it comes; REFUSED if something is wrong. Warnings alone are no reason for that."""
    patience = use.number("timeout")
    if patience is not None and not 0 < patience <= MOST_PATIENCE:
        raise usage_error(use.verb, f"--timeout is a number of seconds up to {MOST_PATIENCE:g}", "timeout")
    to = use.text("to")
    case = Case(use.socket_path, use.text("config"), PATIENCE if patience is None else patience, use.text("stun"))
    report = _Report(as_json=use.json)
    for finding in _findings(case, to, report):
        report.add(finding)
    report.close()
    return REFUSED if report.counted["wrong"] else DONE


def _findings(case: Case, to: str, report: _Report) -> Iterator[Finding]:
    # What the others build on comes first, one after the other; the rest waits for networks and devices side by side.
    first = (
        Check("phone", lambda: running.look_at_phone(case), limit=30.0),
        Check("configuration", lambda: configuration.look_at_configuration(case)),
        Check("passwords", lambda: configuration.look_at_passwords(case)),
    )
    for check in first:
        yield from run_checks([check], report.begin)
    called = [Check(f"call to {to}", lambda: target.look_at_target(case, to), _way_limit(case))] if to else []
    yield from run_checks([*_account_checks(case), *called, *_machine_checks(case)], report.begin)


def _account_checks(case: Case) -> Iterator[Check]:
    found = list(case.accounts())
    if not found:
        yield Check("accounts", accounts.no_accounts)
    for account, view in found:
        yield Check(f"account {account.id}", partial(accounts.look_at_account, case, account, view), _way_limit(case))


def _way_limit(case: Case) -> float:
    """Return seconds for a name, all its addresses, and as many questions as a chain of challenges takes."""
    return LOOKUP_TIMEOUT + case.patience * (way.MOST_ADDRESSES + CHALLENGE_LIMIT + 1) + 2.0


def _machine_checks(case: Case) -> Iterator[Check]:
    if case.stun or case.config.nat.stun:
        yield Check("STUN", lambda: nat.look_through_stun(case), LOOKUP_TIMEOUT + case.patience + 2.0)
    if case.config.nat.turn or case.config.nat.policy == "address":
        yield Check("TURN", lambda: relay.look_at_servers(case), 2 * LOOKUP_TIMEOUT + case.patience + 2.0)
    yield Check("encryption", lambda: secrecy.look_at_encryption(case))
    yield Check("codecs", lambda: codecs.look_at_codecs(case))
    yield Check("capacity", lambda: load.look_at_load(case))
    yield Check("sound", lambda: devices.look_at_devices(case), devices.LIMIT)
    yield Check("SIP port", lambda: ports.look_at_sip_port(case))
    yield Check("listeners", lambda: listeners.look_at_listeners(case))
    yield Check("RTP ports", lambda: ports.look_at_rtp_ports(case))
    yield Check("open files", lambda: ports.look_at_descriptors(case))
    yield Check("loopback", lambda: ports.look_at_loopback(case))
    yield Check("folders", lambda: folders.look_at_folders(case))
    yield Check("hooks", lambda: programs.look_at_programs(case))


class _Report:
    """Writes findings for people as they come, for programs as one list at the end."""

    def __init__(self, *, as_json: bool) -> None:
        self.counted: Counter[str] = Counter()
        self._all: list[Finding] = []
        self._json = as_json
        self._live = not as_json and sys.stdout.isatty()
        self._shown = ""
        self._begun = ""

    def begin(self, name: str) -> None:
        """Say on a terminal what is being looked at; the next line takes its place."""
        self._begun = name
        self._wipe()
        if self._live:
            self._shown = f"..  {name} …"
            say(self._shown, end="")

    def add(self, finding: Finding) -> None:
        """Take one finding."""
        finding = finding.printable()
        self.counted[finding.level] += 1
        self._all.append(finding)
        if not self._json:
            self._wipe()
            say(str(finding))
            self.begin(self._begun)

    def close(self) -> None:
        """Write what comes at the end."""
        self._wipe()
        if self._json:
            say(json_text([asdict(finding) for finding in self._all]))
            return
        wrong, warnings = self.counted["wrong"], self.counted["warning"]
        parts = [_count(wrong, "thing is wrong", "things are wrong")] if wrong else []
        parts += [_count(warnings, "warning", "warnings")] if warnings else []
        say(("\n" + ", ".join(parts)) if parts else "\nall is well")

    def _wipe(self) -> None:
        if self._shown:
            say("\r" + " " * len(self._shown) + "\r", end="")
            self._shown = ""


def _count(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"
