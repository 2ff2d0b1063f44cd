"""Programs run beside the phone: real ones that end, fail, hang, flood and leave children behind."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from offhook.io.programs import MAX_COMPLAINT, Outcome, Programs, Run, unsafe_for_batch, unsafe_for_shell

PATIENCE = 20.0


class Ends:
    """Collects outcomes and waits for them."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self._changed = threading.Condition()

    def __call__(self, outcome: Outcome) -> None:
        with self._changed:
            self.outcomes.append(outcome)
            self._changed.notify_all()

    def wait(self, count: int) -> list[Outcome]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.outcomes) >= count, PATIENCE), self.outcomes
            return list(self.outcomes)


@pytest.fixture
def ends() -> Ends:
    return Ends()


@pytest.fixture
def programs() -> Iterator[Programs]:
    found = Programs(at_once=2, waiting=50)
    yield found
    found.close(0)


def python(script: str, *arguments: str, timeout: float = 10.0, output: int = 4096) -> Run:
    # -I -S: a Python that looks for no installed packages starts in half the time.
    return Run((sys.executable, "-I", "-S", "-c", script, *arguments), {**os.environ, "GREETING": "hello"}, timeout, output)


def once(programs: Programs, ends: Ends, run: Run) -> Outcome:
    assert programs.start(lambda: run, ends)
    (outcome,) = ends.wait(1)
    return outcome


SHOW = "import os, sys; print([os.environ['GREETING'], *sys.argv[1:]], end='')"


def test_a_program_gets_its_arguments_and_its_environment(programs: Programs, ends: Ends) -> None:
    assert once(programs, ends, python(SHOW, "a b", '"&%x\n-/transfer:')).output == repr(
        ["hello", "a b", '"&%x\n-/transfer:']
    )


def test_its_input_is_closed(programs: Programs, ends: Ends) -> None:
    assert once(programs, ends, python("import sys; print(sys.stdin.read(), end='over')")).output == "over"


def test_a_failure_says_its_status_and_what_it_complained_of(programs: Programs, ends: Ends) -> None:
    outcome = once(programs, ends, python("import sys; sys.stderr.write('no such thing'); sys.exit(3)"))
    assert outcome == Outcome(3, "ended with status 3", "", "no such thing")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows' processes end with a status, whoever ends them")
def test_a_signal(programs: Programs, ends: Ends) -> None:
    assert once(programs, ends, python("import os; os.kill(os.getpid(), 15)")).reason == "ended with signal 15"


@pytest.mark.parametrize("arguments", [("/nonexistent/program",), ("a\0b",), ("/",)])
def test_what_cannot_be_started_is_an_outcome(programs: Programs, ends: Ends, arguments: tuple[str, ...]) -> None:
    outcome = once(programs, ends, Run(arguments, {}, 5.0))
    assert outcome.status is None
    assert outcome.reason.startswith("cannot be started: ")


@pytest.mark.skipif(sys.platform != "win32", reason="elsewhere a script says itself what runs it")
def test_a_script_is_no_program_of_windows(programs: Programs, ends: Ends) -> None:
    outcome = once(programs, ends, Run((__file__,), {}, 5.0))
    assert outcome.reason == "cannot be started: it is no program: write the one that runs it first"


DEAF = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"


@pytest.mark.lengthy
def test_one_that_hangs_is_ended_with_its_children(programs: Programs, ends: Ends) -> None:
    began = time.monotonic()
    # The child writes into the parent's own output: it is read to its end only when the child is gone, too.
    script = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-I', '-S', '-c', {DEAF!r}])\n{DEAF}"
    outcome = once(programs, ends, python(script, timeout=2.0))
    assert outcome.reason == "did not end within 2 s and was ended"
    assert outcome.output.split() == ["deaf", "deaf"]
    assert time.monotonic() - began < 15
    deadline = time.monotonic() + PATIENCE
    while programs._pipes:
        assert time.monotonic() < deadline, "its child is still there"
        time.sleep(0.01)


def test_a_flood_of_output_is_cut(programs: Programs, ends: Ends) -> None:
    script = "import sys; sys.stdout.write('x' * 5_000_000); sys.stderr.write('y' * 5_000_000)"
    outcome = once(programs, ends, python(script))
    assert (outcome.status, len(outcome.output), len(outcome.complaint)) == (0, 4096, MAX_COMPLAINT)


@pytest.mark.lengthy
def test_a_child_left_behind_does_not_hold_it_up(programs: Programs, ends: Ends) -> None:
    child = "[sys.executable, '-I', '-S', '-c', 'import time; time.sleep(60)']"
    script = f"import subprocess, sys; print(subprocess.Popen({child}).pid)"
    outcome = once(programs, ends, python(script))
    assert (outcome.status, outcome.reason) == (0, "")
    os.kill(int(outcome.output), 9)


def test_only_so_many_at_once_and_so_many_wait(ends: Ends, tmp_path: Path) -> None:
    programs = Programs(at_once=2, waiting=3)
    gate = tmp_path / "gate"
    script = f"import os, sys, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)\nprint(sys.argv[1], end='')"

    def starts(number: int) -> bool:
        return programs.start(lambda: python(script, str(number)), ends)

    try:
        assert starts(0)
        assert starts(1)
        deadline = time.monotonic() + PATIENCE
        while len(programs._running) < 2:
            assert time.monotonic() < deadline
        assert [starts(number) for number in range(2, 7)] == [True, True, True, False, False]
        gate.touch()
        assert sorted(outcome.output for outcome in ends.wait(5)) == ["0", "1", "2", "3", "4"]
    finally:
        programs.close(0)


def test_they_start_in_order(ends: Ends, tmp_path: Path) -> None:
    programs = Programs(at_once=1, waiting=50)
    for number in range(4):
        script = f"open({str(tmp_path / 'log')!r}, 'a').write('{number} ')"
        programs.start(lambda script=script: python(script), ends)  # type: ignore[misc]
    programs.close(PATIENCE)
    assert (tmp_path / "log").read_text().split() == [str(number) for number in range(4)]


@pytest.mark.lengthy
def test_closing_ends_what_does_not_end(ends: Ends) -> None:
    programs = Programs(at_once=1, waiting=50)
    programs.start(lambda: python("import time; time.sleep(60)"), ends)
    programs.start(lambda: python("import time; time.sleep(60)"), ends)
    began = time.monotonic()
    programs.close(0.2)
    assert time.monotonic() - began < 10
    assert not programs.start(lambda: python(""), ends)
    assert not programs._running


@pytest.mark.parametrize(("program", "argument", "safe"), [
    ("x.bat", "1001", True), ("x.cmd", "+49 (30)", False), ("x.CMD", 'a"b', False), ("x.bat", "a&b", False),
    ("x.bat", "%PATH%", False), ("x.bat. ", "a\nb", False), ("x.bat", "sip:1001@h", True), ("x.exe", '"&%', True),
    ("x.bat", "^", False), ("x.bat", "a|b", False), ("x.bat", "<", False), ("x.bat", "!x!", False), ("x.bat", "", True),
])
def test_a_batch_file_gets_nothing_it_could_misread(program: str, argument: str, safe: bool) -> None:
    assert (unsafe_for_batch((program, f"-n:{argument}"), (argument,), "win32") == "") is safe
    assert unsafe_for_batch((program, argument), (argument,), "linux") == ""


@pytest.mark.parametrize(("argument", "safe"), [
    ("Büro Nord", True), ("C:\\Program Files (x86)\\CRM", True), ("/mode=in;out", True), ("{unit}'", True), ("100%", False),
    ("a&b", False), ('say "x"', False), ("a\nb", False), ("!x!", False),
])
def test_a_batch_file_gets_what_its_owner_wrote(argument: str, safe: bool) -> None:
    assert (unsafe_for_batch(("x.bat", argument, "1001"), ("1001",), "win32") == "") is safe


@pytest.mark.parametrize(("line", "foreign", "safe"), [
    ("cmd /c start http://crm/?n=1&x=1", "1", True), ("cmd /c echo", "1&calc", False), ("cmd.exe /c echo", "%PATH%", False),
    ("C:\\Windows\\System32\\CMD.EXE. /c echo", "1|calc", False), ("x.exe", "1&calc", True), ("my-cmd.exe", "1&calc", True),
    ("powershell -NoProfile popup", "1;calc", False), ("powershell.exe -File x.ps1", "1;calc", True),
    ("pwsh x.ps1", "1;calc", True), ("pwsh -c popup", "1;calc", False),
])  # fmt: skip
def test_a_shell_of_windows_gets_nothing_into_its_command_that_it_could_misread(line: str, foreign: str, safe: bool) -> None:
    arguments = (*line.split(), foreign)
    assert (unsafe_for_shell(arguments, (foreign,), "win32") == "") is safe
    assert unsafe_for_shell(arguments, (foreign,), "linux") == ""
