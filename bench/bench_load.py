"""Load: `python bench/bench_load.py [virtual calls] [real calls] [rate]` makes very many calls and writes section "Load"."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from offhook.testing.load import real_calls, virtual_calls
from offhook.testing.process import phone_process

PAGE = Path(__file__).resolve().parent / "RESULTS.md"
TITLE = "## Load\n"


def measure(virtual: int, real: int, rate: float) -> str:
    """Make the calls; return the table."""
    begun = time.monotonic()
    grown = virtual_calls(virtual, virtual // 10, lambda text: print(text, flush=True))
    took = time.monotonic() - begun
    with tempfile.TemporaryDirectory() as folder, phone_process(Path(folder), '[phone]\nauto_answer = "all"\n') as phone:
        load = real_calls(phone, real, max(real // 5, 500), rate)  # by then all that is kept for a while is full
        left = phone.ask("status")["value"]["calls"]
    return "\n".join([
        f"Made by `python bench/bench_load.py {virtual} {real} {rate:g}` on {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores"
        " that others used too. Growth is against what there was after a warm-up: a tenth as many calls in virtual time, a"
        " fifth as many real ones.",
        "",
        "| what | measured | goal |",
        "|---|---|---|",
        f"| calls in virtual time, 2 % loss | {grown.calls:,} made, {grown.ended:,} ended, nothing left over, in {took:.0f} s "
        f"| ≥ 200,000 |",
        f"| memory of both phones | {_mb(grown.before)}, then {_mb(grown.after)}: {grown.percent:+.1f} % | < 5 % |",
        f"| real calls from SIPp | {load.succeeded:,} ok, {load.failed} failed, {load.succeeded / load.seconds:.0f} a second, "
        f"{left} left | ≥ 20,000, 0 failed |",
        f"| memory of the phone and its media worker | {_mb(load.before.memory)}, then {_mb(load.after.memory)}: "
        f"{load.percent:+.1f} % | < 5 % |",
        f"| its descriptors | {load.before.descriptors}, then {load.after.descriptors} | no more |",
        f"| its threads | {load.before.threads}, then {load.after.threads} | no more |",
    ])


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def write(table: str) -> None:
    """Put the section into the page, in the place of the old one."""
    head, found, rest = PAGE.read_text().partition(TITLE)
    after = rest.partition("\n## ")[2] if found else ""
    page = f"{head.rstrip()}\n\n{TITLE}\n{table}\n"
    PAGE.write_text(page + (f"\n## {after}" if after else ""))


def main(arguments: list[str]) -> None:
    """Measure and write."""
    virtual, real = (int(arguments[n]) if len(arguments) > n else default for n, default in ((0, 200_000), (1, 20_000)))
    table = measure(virtual, real, float(arguments[2]) if len(arguments) > 2 else 100.0)
    print(table)
    write(table)


if __name__ == "__main__":
    main(sys.argv[1:])
