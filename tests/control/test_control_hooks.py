"""Programs on events: which run when, what they get, and what happens when they do not work."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from offhook.control.backend import Envelope, EnvelopeMaker
from offhook.control.hooks import OCCASIONS, PLACES, Hook, Hooks, arguments, foreign, number, variables
from offhook.io.programs import Outcome, Programs, Run
from offhook.phone import events as e
from offhook.phone.model import CallEnd, CallState, CallView, Party, wall
from offhook.storage import config
from offhook.testing.backend import FakeBackend

PATIENCE = 20.0

CALL = CallView(
    "c_1", "a_1", "incoming", CallState.INCOMING, Party("sip:me@h"), Party("sip:1001@h", "Ann"), "x@y", wall(0),
    ringing=wall(1), headers=(("X-Queue", "two\r\nlines"), ("X-Queue", "second"), ("LD_PRELOAD", "x")), tags=(("lead", "7"),),
)  # fmt: skip
OUTGOING = replace(CALL, direction="outgoing")

EVIL = ["'\"", "a b", "1&2|3;4", "$(reboot)`x`", "%PATH%", "two\nlines", "-rf", "/transfer:1002", "\\", "é☎", "{name}", "*", ""]
"""Caller's numbers that somebody might think up."""


def escaped(number: str) -> str:
    return "".join(f"%{byte:02X}" for byte in number.encode())


def envelope(event: e.Event) -> Envelope:
    return EnvelopeMaker("k7q2", lambda: 1_700_000_000.25, "desk").make(event)


def ended(status: int) -> e.CallEnded:
    return e.CallEnded(call=replace(CALL, end=CallEnd("remote", status)), duration=0.0)


LOG = """#!{python}
import json, os, sys
with open(os.path.join({folder!r}, f"log-{{os.getpid()}}"), "x") as file:
    file.write(json.dumps(sys.argv[1:]))
"""


def program(folder: Path) -> tuple[str, ...]:
    """Return the program that `log` reads of, with the blank in its name that programs' names have."""
    file = str(folder / "log it")
    return (*BARE, file) if sys.platform == "win32" else (file,)


@pytest.fixture
def log(tmp_path: Path) -> Callable[[], list[list[str]]]:
    """Make a program that writes down its arguments; return what reads them, oldest first."""
    made = tmp_path / "log it"
    made.write_text(LOG.format(python=sys.executable, folder=str(tmp_path)))
    made.chmod(0o700)

    def read() -> list[list[str]]:
        files = sorted(tmp_path.glob("log-*"), key=lambda file: file.stat().st_mtime_ns)
        return [json.loads(file.read_text()) for file in files]

    return read


BARE = (sys.executable, "-I", "-S")
"""A Python that starts in half the time: it looks for no installed packages."""


def python(script: str) -> tuple[str, ...]:
    return (*BARE, "-c", script)


class Running:
    """Hooks on a phone that is none."""

    def __init__(self, backend: FakeBackend, *hooks: Hook, **options: int) -> None:
        self.backend = backend
        self.hooks = Hooks(backend, hooks, **options)  # type: ignore[arg-type]
        self.hooks.start()

    async def end(self) -> None:
        await self.hooks.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


@pytest.fixture
async def run(backend: FakeBackend) -> AsyncIterator[Callable[..., Running]]:
    running: list[Running] = []

    def start(*hooks: Hook, **options: int) -> Running:
        running.append(Running(backend, *hooks, **options))
        return running[-1]

    yield start
    for each in running:
        await each.end()


OCCASIONS_OF: list[tuple[e.Event, set[str]]] = [
    (e.CallCalling(call=OUTGOING), {"on_outgoing_call"}),
    (e.CallIncoming(call=CALL), {"on_incoming_call", "on_call_ring"}),
    (e.CallIncoming(call=CALL, rings=False), {"on_incoming_call"}),
    (e.CallDecided(call=CALL, action="ring", rings=True), {"on_call_ring"}),
    (e.CallDecided(call=CALL, action="reject", rings=False), set()),
    (e.CallActive(call=CALL), {"on_call_answer", "on_call_start"}),
    (e.CallActive(call=OUTGOING), {"on_call_start"}),
    (ended(486), {"on_call_busy"}), (ended(600), {"on_call_busy"}), (ended(603), {"on_call_busy"}),
    (ended(404), {"on_call_end"}), (ended(480), {"on_call_end"}), (ended(0), {"on_call_end"}),
    (e.CallRinging(call=OUTGOING), set()), (e.CallResumed(call=CALL), set()), (e.SystemReady(address="x"), set()),
]  # fmt: skip


@pytest.mark.parametrize(("event", "occasions"), OCCASIONS_OF, ids=lambda item: getattr(item, "type", None))
async def test_the_eight_occasions(
    backend: FakeBackend, run: Callable[..., Running], monkeypatch: pytest.MonkeyPatch, event: e.Event, occasions: set[str]
) -> None:
    would_run: list[tuple[str, ...]] = []

    def start(_: Programs, prepare: Callable[[], Run], done: Callable[[Outcome], None]) -> bool:
        would_run.append(prepare().arguments)
        done(Outcome(0, ""))
        return True

    monkeypatch.setattr(Programs, "start", start)
    running = run(*(Hook(name, ("/bin/tell", name), occasion=name) for name in OCCASIONS))
    backend.emit(event)
    await running.end()
    assert sorted(would_run) == sorted(("/bin/tell", name, "1001") for name in occasions)
    assert not backend.said


@pytest.mark.lengthy
async def test_a_real_program_on_an_occasion(
    backend: FakeBackend, run: Callable[..., Running], log: Callable[[], list[list[str]]], tmp_path: Path
) -> None:
    running = run(*(Hook(name, (*program(tmp_path), name), occasion=name) for name in OCCASIONS))
    backend.emit(e.CallIncoming(call=CALL))
    await running.end()
    assert sorted(log()) == [["on_call_ring", "1001"], ["on_incoming_call", "1001"]]
    assert not backend.said


def test_the_configuration_knows_the_same_names() -> None:
    assert tuple(OCCASIONS) == config.OCCASIONS
    assert tuple(PLACES) == config.PLACES


async def test_any_event(
    backend: FakeBackend, run: Callable[..., Running], log: Callable[[], list[list[str]]], tmp_path: Path
) -> None:
    running = run(Hook("digits", (*program(tmp_path), "--digit", "{event}={number}"), ("dtmf.*", "system.ready")))
    backend.emit(e.DtmfReceived(call=CALL, digit="5", method="rtp", duration_ms=100))
    backend.emit(e.CallRinging(call=CALL))
    backend.emit(e.SystemReady(address="x"))
    await running.end()
    assert sorted(log()) == [["--digit", "dtmf.received=1001"], ["--digit", "system.ready="]]


@pytest.mark.parametrize("user", ["+4930123;npdi;rn=+4999", "%2B4930123", "+4930123;phone-context=+49"])
def test_what_a_carrier_puts_behind_a_number_is_none_of_it(user: str) -> None:
    event = envelope(e.CallIncoming(call=replace(CALL, remote=Party(f"sip:{user}@h;user=phone"))))
    assert (number(event), variables(event)["OFFHOOK_NUMBER"]) == ("+4930123", "+4930123")


@pytest.mark.parametrize("given", EVIL)
def test_a_number_is_data(given: str) -> None:
    event = envelope(e.CallIncoming(call=replace(CALL, remote=Party(f"sip:{escaped(given)}@h" if given else "sip:h", "{uri}"))))
    assert number(event) == given
    assert arguments(("x",), event) == ("x", given)
    # A program given with -c takes its arguments as they are, but braces of its own must have stayed, too.
    shows = python("import json, os, sys; print(json.dumps([{}, sys.argv[1:], os.environ['OFFHOOK_NUMBER']]))")
    made = arguments((*shows, "{number}", "x", "n={number};{name}"), event)
    assert foreign(("x", "{number}", "n={number};{name}", "{moon}"), event) == (given, given, "{uri}")
    assert foreign(("x", "y"), event) == (given,)
    found = subprocess.run(made, env={**os.environ, **variables(event)}, capture_output=True, check=True).stdout
    assert json.loads(found) == [{}, [given, "x", f"n={given};{{uri}}"], given.replace("\n", " ")]


def test_a_nul_is_left_out() -> None:
    event = envelope(e.CallIncoming(call=replace(CALL, remote=Party("sip:1%000@h"))))
    assert arguments(("x",), event) == ("x", "10")
    assert "\0" not in "".join(variables(event).values())


def test_every_field_is_in_the_environment() -> None:
    found = variables(envelope(e.DtmfReceived(call=CALL, digit="5", method="rtp", duration_ms=100)))
    expected = {
        "OFFHOOK_EVENT": "dtmf.received", "OFFHOOK_EVENT_ID": "k7q2-1", "OFFHOOK_TIME": "2023-11-14T22:13:20.250Z",
        "OFFHOOK_SUBJECT": "calls/c_1", "OFFHOOK_ACCOUNT": "a_1", "OFFHOOK_INSTANCE": "desk", "OFFHOOK_NUMBER": "1001",
        "OFFHOOK_DIGIT": "5", "OFFHOOK_METHOD": "rtp", "OFFHOOK_DURATION_MS": "100", "OFFHOOK_CALL_ID": "c_1",
        "OFFHOOK_CALL_REMOTE_URI": "sip:1001@h", "OFFHOOK_CALL_REMOTE_DISPLAY": "Ann", "OFFHOOK_CALL_MUTED": "false",
        "OFFHOOK_CALL_ANSWERED": "", "OFFHOOK_CALL_HEADERS_X_QUEUE": "two  lines", "OFFHOOK_CALL_HEADERS_LD_PRELOAD": "x",
        "OFFHOOK_CALL_TAGS_LEAD": "7",
    }  # fmt: skip
    assert expected.items() <= found.items()
    assert json.loads(found["OFFHOOK_EVENT_JSON"])["data"]["call"]["headers"][0] == ["X-Queue", "two\r\nlines"]
    assert all(name.startswith("OFFHOOK_") and name.isascii() for name in found)


def test_the_environment_has_bounds() -> None:
    headers = tuple((f"X-{n}", "v" * 10_000) for n in range(500))
    found = variables(envelope(e.CallIncoming(call=replace(CALL, headers=headers))))
    assert len(found) <= 201
    assert max(len(value) for value in found.values()) <= 4096
    assert "OFFHOOK_EVENT_JSON" not in found


def test_no_field_changes_which_phone_is_meant() -> None:
    entry = {"id": "h_1"}
    event = e.HistoryAdded(entry=entry)
    assert variables(envelope(event))["OFFHOOK_ENTRY_ID"] == "h_1"
    assert not variables(envelope(event)).keys() & {"OFFHOOK_HOME", "OFFHOOK_SOCKET"}


async def test_a_failure_is_an_event_and_runs_no_hook(
    backend: FakeBackend, run: Callable[..., Running], log: Callable[[], list[list[str]]], tmp_path: Path
) -> None:
    running = run(
        Hook("fails", python("import sys; sys.stderr.write('no'); sys.exit(7)"), ("system.ready",)),
        Hook("missing", ("/nonexistent",), ("system.ready",)),
        Hook("slow", (*python("import time; time.sleep(60)"), "{event}x"), ("call.ended",), timeout=0.1),
        Hook("all", (*program(tmp_path), "{event}"), ("*",)),
    )
    first = backend.emit(e.SystemReady(address="x"))
    await running.end()
    backend.emit(e.HookFailed(hook="x", event="x", program="x", reason="x"))
    found = {event.hook: event for event in backend.said if isinstance(event, e.HookFailed)}
    assert found["fails"] == e.HookFailed(
        hook="fails", event=first.id, program=sys.executable, reason="ended with status 7", status=7, complaint="no"
    )
    assert found["missing"].reason.startswith("cannot be started: ")
    assert set(found) == {"fails", "missing"}
    assert log() == [["system.ready"]]


async def test_too_many_are_said_once(backend: FakeBackend, run: Callable[..., Running], tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    waits = python(f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)")
    running = run(Hook("waits", (*waits, "{event}"), ("*",)), at_once=1, waiting=2)
    backend.emit(e.SystemReady(address="x"))
    async with asyncio.timeout(PATIENCE):
        while not running.hooks._programs._running:  # noqa: ASYNC110 - else there is room again when it begins
            await asyncio.sleep(0.001)
    for _ in range(20):
        backend.emit(e.SystemReady(address="x"))
    gate.touch()
    await running.end()
    assert [event.reason for event in backend.said if isinstance(event, e.HookFailed)] == [
        "too many programs wait: until there is room none is run"
    ]
