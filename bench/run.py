"""Measures the phone beside its peers and writes bench/RESULTS.md: `python bench/run.py` (a few minutes, loopback only)."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from offhook.testing.peers import PeerMissing, baresip, free_port

STARTS = 6
HERE = Path(__file__).resolve().parent
TICKS = os.sysconf("SC_CLK_TCK")
OFFHOOK = [sys.executable, "-m", "offhook"]
OPTIONS = (
    "OPTIONS sip:ping@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{n};rport\r\n"
    "From: <sip:bench@127.0.0.1>;tag={n}\r\nTo: <sip:ping@127.0.0.1>\r\nCall-ID: bench{n}\r\nCSeq: 1 OPTIONS\r\n"
    "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
)


def script(name: str) -> list[str]:
    """Return the installed console script beside this Python, which is what people run."""
    path = Path(sys.executable).parent / name
    return [str(path)] if path.exists() else OFFHOOK


def family(pid: int) -> list[int]:
    """Return the process and its children."""
    children = [number for task in Path(f"/proc/{pid}/task").glob("*/children") for number in task.read_text().split()]
    return [pid, *(child for number in children for child in family(int(number)))]


def cpu(pid: int) -> float:
    """Return CPU seconds used so far by the process and its children that live."""
    total = 0
    for member in family(pid):
        fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def memory_mb(pid: int) -> tuple[float, float]:
    """Return (resident, proportional) megabytes of the process and its children."""
    rss = pss = 0
    for member in family(pid):
        text = Path(f"/proc/{member}/smaps_rollup").read_text()
        rss += int(re.search(r"Rss:\s+(\d+)", text).group(1))  # type: ignore[union-attr]  # the kernel writes both lines
        pss += int(re.search(r"Pss:\s+(\d+)", text).group(1))  # type: ignore[union-attr]
    return rss / 1024, pss / 1024


def installed() -> dict[str, str]:
    """Return the environment of an installed package, which is compiled."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@contextlib.contextmanager
def phone(
    *arguments: str, workers: int = 1, variables: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], int, Path, float]]:
    """Run the phone as people do; gives the process, its SIP port, its socket, and seconds to the first answered OPTIONS.

    `variables` are further ones of its environment.
    """
    with tempfile.TemporaryDirectory() as home:
        port = free_port()
        config = Path(home, "bench.toml")
        config.write_text(
            f'[sip]\nhost = "127.0.0.1"\nport = {port}\n[phone]\nauto_answer = "all"\n[media]\nsound = "null"\n'
            f"workers = {workers}\n"
        )
        environment = {**installed(), "OFFHOOK_HOME": home, "OFFHOOK_SOCKET": str(Path(home, "s")), **(variables or {})}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            probe.settimeout(0.005)
            started = time.perf_counter()
            process = subprocess.Popen(
                [*script("offhook"), "run", "--config", str(config), "--sound", "null", *arguments],
                env=environment,
                stdout=subprocess.DEVNULL,
            )
            try:
                for number in range(2000):
                    probe.sendto(OPTIONS.format(port=probe.getsockname()[1], n=number).encode(), ("127.0.0.1", port))
                    try:
                        probe.recv(4096)
                        break
                    except (TimeoutError, ConnectionRefusedError):
                        time.sleep(0.002)
                ready = time.perf_counter() - started
                for _ in range(400):
                    if Path(home, "s").exists():
                        break
                    time.sleep(0.01)
                time.sleep(1.0)
                yield process, port, Path(home, "s"), ready
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(15)


def whole_process(command: list[str], environment: dict[str, str], runs: int = 15) -> float:
    """Return the median wall milliseconds of a command as a whole process."""
    times = []
    for _ in range(runs + 2):
        begun = time.perf_counter()
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        times.append((time.perf_counter() - begun) * 1000)
    return statistics.median(times[2:])


def round_trips(path: Path, count: int = 5000) -> tuple[float, float]:
    """Return (p50, p99) milliseconds of STATUS over the local socket."""
    times = []
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        for number in range(count):
            begun = time.perf_counter()
            client.sendall(b'{"id":%d,"op":"status"}\n' % number)
            answer = b""
            while not answer.endswith(b"\n"):
                answer += client.recv(65536)
            times.append((time.perf_counter() - begun) * 1000)
        assert json.loads(answer)["ok"]
    times.sort()
    return times[count // 2], times[count * 99 // 100]


def calls(pid: int, port: int, rate: int = 100, count: int = 1000) -> tuple[float, int, int]:
    """Let SIPp make `count` calls; return (CPU ms for each call, calls that succeeded, calls that failed)."""
    with tempfile.TemporaryDirectory() as folder:
        before = cpu(pid)
        done = subprocess.run(
            ["sipp", "-sn", "uac", f"127.0.0.1:{port}", "-s", "offhook", "-i", "127.0.0.1", "-p", str(free_port()),
             "-m", str(count), "-r", str(rate), "-d", "0", "-nostdin", "-timeout", "60", "-trace_stat", "-fd", "1"],
            cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=120,
        )  # fmt: skip
        used = cpu(pid) - before
        rows = next(Path(folder).glob("*.csv")).read_text().splitlines()
        names, last = rows[0].split(";"), rows[-1].split(";")
        figures = dict(zip(names, last, strict=False))
        ok, failed = int(figures["SuccessfulCall(C)"]), int(figures["FailedCall(C)"])
        assert done.returncode in (0, 1)
        return used * 1000 / count, ok, failed


@contextlib.contextmanager
def awake() -> Iterator[None]:
    """Keep the cores from sleeping, by a program of the lowest priority on each.

    A core of a virtual machine that sleeps between two calls wakes slowly, with caches others have used meanwhile.
    """
    busy = [subprocess.Popen(["nice", "-n", "19", "sh", "-c", "while :; do :; done"]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def callee() -> str:
    """Return the table of what a call costs that comes in, is answered and hung up, for the phone and for baresip."""
    def row(name: str, pid: int, port: int) -> str:
        calls(pid, port, count=300)  # the caches are full after that
        cells = [calls(pid, port)]
        with awake():
            cells.append(calls(pid, port))
        return f"| {name} | " + " | ".join(f"{used:.2f} ms, {ok} ok, {failed} failed" for used, ok, failed in cells) + " |"

    rows = ["| CPU of a call at 100 a second, all processes | cores asleep in between | cores kept awake |", "|---|---|---|"]
    with phone() as (process, port, _, _):
        rows.append(row(f"{form()} (goal ≤ 1.5 ms; pjsua 0.63)", process.pid, port))
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.suppress(PeerMissing),
        # A call for a call: baresip answers the same SIPp.
        baresip(Path(folder), user="offhook", settings="call_max_calls 0") as peer,
    ):
        rows.append(row("baresip", peer.process.pid, peer.port))
    return "\n".join(rows)


def form() -> str:
    """Return what is measured: "offhook 0.1.0 (compiled), Python 3.11.7"."""
    return subprocess.run([*script("offhook"), "--version"], capture_output=True, text=True, check=True).stdout.strip()


def surfaces() -> str:
    """Return the table of HTTP, WebSocket and local socket."""
    return printed("bench_api.py")


def on_windows() -> str:
    """Return the table of the window and DDE, under Wine."""
    return printed("bench_windows.py")


def sip() -> str:
    """Return the table of the SIP core."""
    return printed("bench_sip.py")


def printed(name: str) -> str:
    done = subprocess.run([sys.executable, str(HERE / name)], capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr.strip()[-2000:]


def pacing() -> str:
    """Return how evenly sound is sent."""
    return f"```\n{printed('bench_pacing.py')}\n```"


def beside_peers() -> str:
    """Return what calls cost here and elsewhere."""
    return printed("bench_peers.py")


PARTS = {
    "calls": ("Calls", callee), "sip": ("SIP", sip), "surfaces": ("Surfaces", surfaces),
    "windows": ("Windows programs, under Wine", on_windows),
    "pacing": ("How evenly sound is sent", pacing), "peers": ("Media beside a peer", beside_peers),
}  # fmt: skip


def only(part: str) -> None:
    """`python bench/run.py surfaces` (or another of PARTS): measure these again and leave the rest of the page as it is."""
    title, measure = PARTS[part]
    page = HERE / "RESULTS.md"
    head, _, rest = page.read_text().partition(f"## {title}\n")
    before, found, after = (head, "## ", rest.partition("\n## ")[2]) if rest else head.partition("## ")
    page.write_text(f"{before}## {title}\n\n{measure()}\n\n{found}{after}")


def kept(title: str) -> list[str]:
    """Return a section as it is, for what is not measured each time: `bench_load.py` and `bench_soak.py` take an hour."""
    _, found, rest = (HERE / "RESULTS.md").read_text().partition(f"\n## {title}\n")
    return ["", f"## {title}", rest.partition("\n## ")[0].rstrip()] if found else []


def main() -> None:
    """Measure everything and write the page."""
    rows: list[tuple[str, str, str, str]] = []
    starts = []
    for _ in range(STARTS):
        with phone() as (_, _, _, ready):
            starts.append(ready)
    ready = statistics.median(starts[1:])  # the first one compiles
    with phone() as (process, port, path, _):
        environment = {**installed(), "OFFHOOK_SOCKET": str(path)}
        resident, proportional = memory_mb(process.pid)
        status = whole_process([*script("offhook"), "status"], environment)
        bare = whole_process([sys.executable, "-c", "pass"], environment)
        p50, p99 = round_trips(path)
        calls(process.pid, port)
        after, _ = memory_mb(process.pid)
    ratio = f"{status:.0f} ms ({status / bare:.1f} × bare Python's {bare:.0f} ms)"
    rows += [
        ("start to the first answered OPTIONS", f"{ready:.2f} s", "≤ 0.35 s", "pjsua2 from Python 0.35 s"),
        ("idle memory with the media worker", f"{resident:.0f} MB resident, {proportional:.0f} MB proportional", "≤ 45 MB", ""),
        ("`offhook status` as a whole process", ratio, "≤ 3 ×", ""),
        ("STATUS on the local socket", f"p50 {p50:.3f} ms, p99 {p99:.3f} ms", "p50 ≤ 0.15 ms", "baresip 0.025 ms"),
        ("memory after 1000 calls", f"{after:.0f} MB resident", "", ""),
    ]
    command = [sys.executable, str(HERE / "bench_media.py"), "25", "100", "200"]
    media = subprocess.run(command, capture_output=True, text=True, check=False)
    links = [sys.executable, str(HERE / "bench_audio.py"), "20", "100"]
    audio = subprocess.run(links, capture_output=True, text=True, check=False)
    secure = subprocess.run([sys.executable, str(HERE / "bench_secure.py")], capture_output=True, text=True, check=False)
    page = [
        "# Results",
        "",
        f"Made by `make bench` on {time.strftime('%Y-%m-%d')}: {form()}, {os.cpu_count()} virtual cores, loopback.",
        "Peer figures without a row of their own were measured earlier, on a machine of the same size.",
        "",
        "| what | measured | goal | peers |",
        "|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        "## Calls",
        "",
        callee(),
        "",
        "## SIP",
        "",
        sip(),
        "",
        "## Surfaces",
        "",
        surfaces(),
        "",
        "## Windows programs, under Wine",
        "",
        on_windows(),
        "",
        "## Media",
        "",
        "```",
        media.stdout.strip() or media.stderr.strip()[-2000:],
        "```",
        "",
        "## How evenly sound is sent",
        "",
        pacing(),
        "",
        "## Media beside a peer",
        "",
        beside_peers(),
        "",
        "## Encrypted sound",
        "",
        "```",
        secure.stdout.strip() or secure.stderr.strip()[-2000:],
        "```",
        "",
        "## Audio links",
        "",
        "```",
        audio.stdout.strip() or audio.stderr.strip()[-2000:],
        "```",
        *kept("Compiled rooms"),
        *kept("An hour with two clocks"),
        *kept("Load"),
    ]
    (HERE / "RESULTS.md").write_text("\n".join(page) + "\n")
    print("\n".join(page))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped, too
    only(sys.argv[1]) if sys.argv[1:] else main()
