"""Media beside a peer: CPU for each call and second, of this phone and of baresip, with the same caller.

Run: python bench/bench_peers.py [calls ...] [--seconds 10]. A phone of ours calls the one that is measured, over loopback, and
sends G.711; all of its processes count. The phone is measured three times: as a server whose calls send silence, as one
that plays a tone into every call, and with two media workers. baresip plays its tone; its Debian package is baresip-core.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from run import family, phone

from offhook.control.client import LocalClient
from offhook.testing.peers import PeerMissing, baresip

WARM_UP = 3.0
SETTLE = 1.0
TOGETHER = 10  # calls placed at once


def cpu(pid: int) -> float:
    """Return CPU seconds of the threads of the process and its children, to the nanosecond."""
    tasks = (task for member in family(pid) for task in Path(f"/proc/{member}/task").iterdir())
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


@dataclass
class Target:
    """Who is called: its process, its address, and what makes it play into the calls that it has now."""

    pid: int
    address: str
    play: Callable[[], None] = lambda: None


@contextlib.contextmanager
def ours(*, playing: bool, workers: int = 1) -> Iterator[Target]:
    """Run the phone that is measured."""
    with phone(workers=workers) as (process, port, path, _), LocalClient(str(path)) as client:
        begun: set[str] = set()

        def play() -> None:
            for call in client.request("list_calls")["value"]:
                if playing and call["id"] not in begun:
                    client.request("play", call=call["id"], tone="440")
                    begun.add(call["id"])

        yield Target(process.pid, f"sip:bench@127.0.0.1:{port}", play)


@contextlib.contextmanager
def theirs() -> Iterator[Target]:
    """Run baresip."""
    with tempfile.TemporaryDirectory() as folder, baresip(Path(folder), settings="call_max_calls 0") as peer:
        yield Target(peer.process.pid, peer.uri)


def measure(starting: contextlib.AbstractContextManager[Target], counts: list[int], seconds: float) -> list[str]:
    """Return CPU ms for each call-second, by number of calls."""
    found = []
    with starting as target, phone() as (_, _, path, _), LocalClient(str(path)) as caller:
        placed = 0
        for count in sorted(counts):
            while placed < count:
                for _ in range(min(TOGETHER, count - placed)):
                    caller.request("dial", to=target.address, hold_others=False)
                    placed += 1
                time.sleep(0.3)
            time.sleep(WARM_UP)
            target.play()
            time.sleep(SETTLE)
            active = [call for call in caller.request("list_calls")["value"] if call["state"] == "active"]
            if len(active) < count:
                found.append(f"only {len(active)} calls")
                continue
            before, began = cpu(target.pid), time.monotonic()
            time.sleep(seconds)
            used, passed = cpu(target.pid) - before, time.monotonic() - began
            mos = [call["media"]["mos"] for call in active if call["media"]["mos"] is not None]
            found.append(f"{1000 * used / passed / count:.2f}" + (f" (MOS {min(mos):.1f})" if mos else ""))
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("calls", nargs="*", type=int, default=[1, 50, 200])
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    counts = sorted(arguments.calls)
    print("CPU ms for each call and second (and the worst MOS at the caller's)")
    print(f"| calls | {' | '.join(map(str, counts))} |")
    print(f"|---|{'---|' * len(counts)}")
    rows = [
        ("offhook, silence", ours(playing=False)), ("offhook, a tone", ours(playing=True)),
        ("offhook, two workers", ours(playing=False, workers=2)), ("baresip, a tone", theirs()),
    ]  # fmt: skip
    for name, starting in rows:
        try:
            figures = measure(starting, counts, arguments.seconds)
        except PeerMissing as missing:
            figures = [str(missing)]
        print(f"| {name} | {' | '.join(figures)} |", flush=True)


if __name__ == "__main__":
    main()
