"""Coverage-guided fuzzing: `python tests/fuzz/fuzzing.py [--seconds N] [--keep] [target …]` drives the targets of `targets.py`.

With `atheris` (extra `fuzz`, Linux) inputs that reach new code are kept and grown; without it they are made of the corpus by
chance. An input that breaks a target is written beside this file as `crash-TARGET-…`, and the exit status is 1. `--keep`
merges what reached new code into tests/fuzz/corpus.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"
LONGEST = 4096
"""Bytes of an input: any message of the corpus with room to grow."""
GRACE = 400
"""Seconds a target may take to start and to end beyond its time."""


def fuzz_with_coverage(name: str, arguments: list[str]) -> None:
    """Hand this process over to libFuzzer. Called in a process of its own: it never returns."""
    import atheris

    with atheris.instrument_imports(include=["offhook"]):
        import targets

    target = targets.TARGETS[name]
    atheris.Setup([sys.argv[0], *arguments], lambda data: target(data) and None)
    atheris.Fuzz()


def fuzz_by_chance(name: str, seconds: float) -> int:
    """Make inputs of the corpus without looking at coverage; return 1 if one broke the target."""
    import targets

    target, chance, end = targets.TARGETS[name], random.Random(time.time_ns()), time.monotonic() + seconds
    known = [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))] or [b""]
    done = 0
    while time.monotonic() < end:
        data = mutated(chance, known)
        try:
            target(data)
        except Exception as error:
            path = HERE / f"crash-{name}-{hashlib.sha1(data).hexdigest()[:12]}"
            path.write_bytes(data)
            print(f"{name}: {type(error).__name__}: {error}; the input is {path}")
            return 1
        done += 1
    print(f"{name}: {done} inputs by chance")
    return 0


def mutated(chance: random.Random, known: list[bytes]) -> bytes:
    """Return a new input: one of the known with some of it changed, doubled, cut or taken from another."""
    data = bytearray(chance.choice(known))
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(data) + 1)
        kind = chance.randrange(4)
        if kind == 0:
            data[at:at + 1] = chance.randbytes(1)
        elif kind == 1:
            other = chance.choice(known)
            start = chance.randrange(len(other) + 1)
            data[at:at] = other[start:start + chance.randint(1, 40)]
        elif kind == 2:
            del data[at:at + chance.randint(1, 20)]
        else:
            data[at:at] = data[at:at + chance.randint(1, 20)]
    return bytes(data[:LONGEST])


def drive(name: str, seconds: float, keep: bool) -> int:
    """Fuzz one target for a while; return the exit status."""
    if importlib.util.find_spec("atheris") is None:
        return fuzz_by_chance(name, seconds)
    kept = CORPUS / name
    kept.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as found:
        options = (f"-max_total_time={max(1, round(seconds))}", f"-max_len={LONGEST}", "-timeout=20", "-print_final_stats=1")
        done = _child(name, [found, str(kept), *options, f"-artifact_prefix={HERE}/crash-{name}-", "-verbosity=0"], seconds)
        told = done.stderr + done.stdout
        count = next((line.split()[-1] for line in told.splitlines() if "number_of_executed_units" in line), "?")
        fresh = len(list(Path(found).iterdir()))
        print(f"{name}: {count} inputs, {fresh} reached new code" + ("" if done.returncode == 0 else "; BROKEN"), flush=True)
        if done.returncode:
            print(told[-4000:])
            return 1
        if keep and fresh:
            merge(name, kept, Path(found), seconds)
    return 0


def merge(name: str, kept: Path, found: Path, seconds: float) -> None:
    """Keep the fewest and shortest inputs that reach what all of them reach."""
    with tempfile.TemporaryDirectory() as fewest:
        _child(name, ["-merge=1", f"-max_len={LONGEST}", fewest, str(kept), str(found)], seconds + 120)
        chosen = {path.read_bytes() for path in Path(fewest).iterdir()}
        for path in kept.iterdir():
            if not path.name.startswith("seed-"):
                path.unlink()
        seeds = {path.read_bytes() for path in kept.iterdir()}
        for data in sorted(chosen - seeds, key=len)[:200]:
            (kept / hashlib.sha1(data).hexdigest()[:12]).write_bytes(data)


def _child(name: str, arguments: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, __file__, "--child", name, *arguments], capture_output=True, text=True, check=False,
                          timeout=seconds + GRACE, env={**os.environ, "PYTHONHASHSEED": "0"}, errors="replace")


def main() -> int:
    """Drive the targets one after another, each its share of the time."""
    sys.path.insert(0, str(HERE))
    if sys.argv[1:2] == ["--child"]:
        fuzz_with_coverage(sys.argv[2], sys.argv[3:])
    import targets

    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("targets", nargs="*", choices=[*targets.TARGETS, []], metavar="target")
    parser.add_argument("--seconds", type=float, default=300.0, help="for all targets together")
    parser.add_argument("--keep", action="store_true", help="merge what reached new code into the corpus")
    options = parser.parse_args()
    chosen = options.targets or list(targets.TARGETS)
    return max([drive(name, options.seconds / len(chosen), options.keep) for name in chosen])


if __name__ == "__main__":
    sys.exit(main())
