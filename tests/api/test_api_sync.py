"""The synchronous twin: it has everything the asynchronous classes have, and works from ordinary code."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import offhook
from offhook import Busy, PhoneGone, api, sync
from offhook.api import twin
from offhook.api.portal import Portal
from offhook.errors import InvalidArgument
from offhook.phone import commands, events
from offhook.sync import CallHandle, Softphone
from offhook.testing.live import quiet_config

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_twin_is_up_to_date() -> None:
    assert Path(str(sync.__file__)).read_text("utf-8") == twin.source(), "run  make docs"


@pytest.mark.parametrize("original", twin.CLASSES, ids=lambda found: found.__name__)
def test_every_public_name_has_its_twin_with_the_same_parameters(original: type) -> None:
    mirrored: Any = getattr(sync, original.__name__)
    for name, member in twin.public(original):
        found = inspect.getattr_static(mirrored, name)
        assert isinstance(member, property) == isinstance(found, property), name
        if not isinstance(member, property):
            theirs, ours = (getattr(each, "__func__", each) for each in (member, found))
            mine, other = inspect.signature(ours), inspect.signature(theirs)
            assert list(mine.parameters.values()) == list(other.parameters.values()), name
            assert mine.return_annotation == other.return_annotation, name
            assert not inspect.iscoroutinefunction(ours), name
    for name in re.findall(r"self\.([a-z]\w*) = ", inspect.getsource(original.__init__)):  # type: ignore[misc]
        assert hasattr(mirrored, name), name
    for pair in (("__aiter__", "__iter__"), ("__anext__", "__next__"), ("__aenter__", "__enter__"), ("__aexit__", "__exit__")):
        assert hasattr(original, pair[0]) == hasattr(mirrored, pair[1]), pair
    assert set(sync.__all__) == {found.__name__ for found in twin.CLASSES}


def uri(phone: Softphone) -> str:
    link: Any = phone._inner._link
    return f"sip:offhook@127.0.0.1:{link.phone.address[1]}"


@pytest.fixture
def pair() -> Iterator[tuple[Softphone, Softphone]]:
    with Softphone(quiet_config()) as caller, Softphone(quiet_config()) as callee:
        yield caller, callee


@pytest.mark.lengthy
def test_a_call(pair: tuple[Softphone, Softphone], tmp_path: Path) -> None:
    caller, callee = pair
    incoming = callee.incoming
    call = caller.dial(uri(callee))
    theirs = next(incoming)
    assert isinstance(theirs, CallHandle)
    theirs.answer()
    call.wait_active(timeout=5)
    recording = theirs.record(tmp_path / "r.wav")
    call.dtmf("42#", duration_ms=40, gap_ms=40)
    assert theirs.digits.read(5, end="#", timeout=5) == "42"
    assert theirs.play(tone="440", duration_ms=60).wait() == 60
    with call.open_audio() as audio:
        assert audio.rate == 16000
        audio.write(b"\0\0" * 320)
        assert len(next(audio)) == 640
        audio.drain()
        audio.write(b"\0\0" * 16000)
        assert audio.clear() >= 500
    assert recording.stop() == recording.file
    room = caller.create_conference([call])
    assert room.members == (call,)
    assert caller.calls == (call,)
    with call:
        pass
    assert call.is_ended
    assert [event.type for event in call.events][-1] == "call.ended"
    assert list(theirs.digits) == []


def test_errors_are_those_of_the_asynchronous_classes(pair: tuple[Softphone, Softphone]) -> None:
    caller, callee = pair
    callee.set_dnd(True)
    with pytest.raises(Busy):
        caller.dial(uri(callee)).wait_active(timeout=5)
    with pytest.raises(InvalidArgument):
        caller.set_volume(1000)
    with pytest.raises(TimeoutError):
        caller.wait_event("call.ended", timeout=0.01)


def test_several_threads_share_a_phone(pair: tuple[Softphone, Softphone]) -> None:
    caller, callee = pair
    heard: list[str] = []
    events = callee.events(["call.incoming", "call.ended"])

    def listen() -> None:
        for event in events:
            heard.append(event.type)
            if event.type == "call.ended":
                events.close()

    listener = threading.Thread(target=listen)
    listener.start()
    with caller.dial(uri(callee)) as call:
        call.wait_ringing(timeout=5)
    listener.join(5)
    assert heard == ["call.incoming", "call.ended"]


def test_without_a_block_as_at_the_prompt() -> None:
    before = threading.active_count()
    phone = Softphone(quiet_config())
    with pytest.raises(PhoneGone):
        phone.status()
    phone.open()
    assert phone.status().name == "IDLE"
    phone.close()
    phone.close()
    with pytest.raises(PhoneGone):
        phone.status()
    assert threading.active_count() <= before


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl+C is sent otherwise there")
def test_ctrl_c_interrupts_a_wait_and_nothing_is_left() -> None:
    program = (
        "import signal\n"
        "from offhook.sync import Softphone\n"
        "from offhook.testing.live import quiet_config\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs ignore it
        "with Softphone(quiet_config()) as phone:\n"
        "    print('waiting', flush=True)\n"
        "    for call in phone.incoming: pass\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process:
        try:
            assert process.stdout.readline() == "waiting\n"
            process.send_signal(signal.SIGINT)
            started = time.monotonic()
            _, errors = process.communicate(timeout=20)
        finally:
            process.kill()
    assert time.monotonic() - started < 5
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert "never retrieved" not in errors


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="nothing forks there")
def test_a_forked_process_is_told_that_the_phone_is_not_its_own() -> None:
    program = (
        "import os, sys\n"
        "from offhook import PhoneGone\n"
        "from offhook.sync import Softphone\n"
        "from offhook.testing.live import quiet_config\n"
        "with Softphone(quiet_config()) as phone:\n"
        "    child = os.fork()\n"
        "    try:\n"
        "        print(phone.status().name, flush=True)\n"
        "    except PhoneGone as error:\n"
        "        print('forked' in str(error), flush=True)\n"
        "    if not child:\n"
        "        sys.exit(3)\n"
        "    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), phone.status().name)\n"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert sorted(found.stdout.splitlines()) == ["3 IDLE", "IDLE", "True"]


def test_what_a_signals_handler_raises_ends_the_wait_and_its_task() -> None:
    portal, cancelled = Portal(), threading.Event()

    async def wait() -> None:
        signal.raise_signal(signal.SIGINT)  # its handler runs in the main thread
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    former = signal.signal(signal.SIGINT, lambda *_: sys.exit(3))  # as a service does for SIGTERM
    try:
        with pytest.raises(SystemExit):
            portal.run(wait())
        assert cancelled.wait(10)
    finally:
        signal.signal(signal.SIGINT, former)
        portal.close()


def test_a_phone_is_not_given_to_another_process() -> None:
    with pytest.raises(TypeError, match="another process"):
        pickle.dumps(Softphone(quiet_config()))


def test_the_command_line_reads_none_of_it() -> None:
    program = "import sys, offhook.cli; print([name for name in sys.modules if name in ('asyncio', 'offhook.api')])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    assert offhook.Softphone is api.Softphone


@pytest.mark.lengthy
@pytest.mark.parametrize("module", ["app", "errors", "control.schema"])
def test_what_is_no_part_of_the_interface_does_not_read_it(module: str) -> None:
    package, _, name = f"offhook.{module}".rpartition(".")
    program = f"import sys; from {package} import {name}; print('offhook.api' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
    assert set(api.__all__) == offhook._NAMES <= set(dir(offhook))
    assert not hasattr(offhook, "nothing")


def test_a_star_imports_the_whole_interface() -> None:
    space: dict[str, Any] = {}
    exec("from offhook import *", space)
    assert set(api.__all__) <= set(space)
    assert set(events.__all__) >= {event.__name__ for event in events.EVENTS}  # for type checkers
    assert set(commands.__all__) >= {command.__name__ for command in commands.COMMANDS}


@pytest.mark.slow
@pytest.mark.parametrize("forgotten", ["", "del phone\n"])
def test_a_program_that_ends_without_closing_closes_everything(tmp_path: Path, forgotten: str) -> None:
    program = (
        "from offhook.app import running\n"
        "from offhook.sync import Softphone\n"
        "from offhook.testing.live import quiet_config\n"
        "close = running.RunningPhone.close\n"
        "async def closing(phone):\n"
        "    await close(phone)\n"
        "    print('closed')\n"
        "running.RunningPhone.close = closing\n"
        f"phone = Softphone(quiet_config(), history={str(tmp_path / 'h')!r}, journal={str(tmp_path / 'j')!r})\n"
        f"phone.open()\n{forgotten}"
    )
    found = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=30)
    assert (found.stdout.strip(), found.stderr, found.returncode) == ("closed", "", 0)
    assert not list(tmp_path.glob("j.spool-*"))  # the journal was closed too: nothing is left to be recovered
