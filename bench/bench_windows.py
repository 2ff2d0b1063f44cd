"""Measures the phone as a Windows program under Wine: messages to its window, DDE, a second start. Prints a table."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

from offhook.testing.peers import PeerMissing
from offhook.testing.windows import REPOSITORY, Windows, windows

sys.path.insert(0, str(REPOSITORY / "tests" / "windows"))
from windows_drivers import UNICODE, Dde, Window, WindowsPhone, compiled

ROUNDS = 5000
STARTS = 7

Row = tuple[str, str, str]


def status_by_window(session: Windows, folder: Path) -> Row:
    """Return the round trip of STATUS: from a C program to the phone's loop and back."""
    client = Window(session.start_program(compiled(REPOSITORY / "tests/windows/copydata_driver.c", folder / "window.exe")))
    client.ask("bench 500")
    mean, p99, _ = client.ask(f"bench {ROUNDS}", 120).split()[1:]
    return "STATUS by WM_COPYDATA, a C program", f"mean {float(mean):.2f} ms, p99 {float(p99):.2f} ms", "mean ≤ 2 ms"


def execute_by_dde(session: Windows, folder: Path) -> Row:
    """Return the time of one DDE execute, as its client's log sees it: the way through our pipe to the client included."""
    client = Dde(session.start_program(compiled(REPOSITORY / "tests/windows/dde_driver.c", folder / "dde.exe", *UNICODE)))
    assert client.ask("connect MicroSIP control") == "connected"
    times = []
    for _ in range(300):
        begun = time.perf_counter()
        assert client.execute("[SetVolume(50)]")
        times.append((time.perf_counter() - begun) * 1000)
    return "DDE execute, told to the client through a pipe", f"median {statistics.median(times):.1f} ms", ""


def second_start(session: Windows) -> Row:
    """Return how long `microsip status` takes as a whole process, beside a Python that does nothing."""
    script = "import sys; from offhook.cli import microsip_main; sys.exit(microsip_main(['status']))"
    took = {code: median_start(session, code) for code in ("pass", script)}
    return "`microsip status` as a whole process", f"{took[script]:.2f} s (Python alone {took['pass']:.2f} s)", ""


def median_start(session: Windows, code: str) -> float:
    times = []
    for _ in range(STARTS):
        begun = time.perf_counter()
        assert session.run("-c", code).code == 0
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def main() -> None:
    """Print the table; nothing where there is no Wine."""
    try:
        with tempfile.TemporaryDirectory() as name, windows() as session, WindowsPhone(session, Path(name)):
            rows = [status_by_window(session, Path(name)), execute_by_dde(session, Path(name)), second_start(session)]
    except PeerMissing as missing:
        print(f"Not measured: {missing}", file=sys.stderr)
        return
    print("| what | measured | goal |\n|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
