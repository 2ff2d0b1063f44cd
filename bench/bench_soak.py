"""An hour of a call between two phones whose clocks are 200 ppm apart, in real time: does the delay grow, are there seams?

Run: python bench/bench_soak.py [--minutes 60] [--ppm 200]. The clock by which the caller works is fast. Both play a tone that
is louder for a moment each ten seconds, and record what they hear. When such a moment is heard, less when it was played, is the
delay; what does not continue the tone is a seam.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
import wave
from array import array
from pathlib import Path

import numpy as np
from run import phone

from offhook.control.client import LocalClient

RATE = 8000
PERIOD = 10
HERTZ = 437
"""Whole waves in PERIOD and none in a frame, so that the file goes round without a seam and no frame is like the one before."""
LEVEL = 5000
MARK = range(RATE, RATE + 480)
SEAM = 0.25
"""What a sample may be off from where its neighbours put it, in parts of the level; half a wave's jump is 0.7 and more."""
REPORT = 300.0


def tone(path: Path) -> None:
    """Write what is played."""
    made = [LEVEL * (2 if at in MARK else 1) * math.sin(math.tau * HERTZ * at / RATE) for at in range(PERIOD * RATE)]
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, len(made), "NONE", ""))
        file.writeframes(array("h", map(round, made)).tobytes())


def fast_clock(folder: str, rate: float) -> dict[str, str]:
    """Return the environment of a phone and its media workers whose clock runs at so many times its speed."""
    program = f"import time\nright = time.perf_counter\ntime.perf_counter = lambda: right() * {rate!r}\n"
    Path(folder, "sitecustomize.py").write_text(program)
    return {"PYTHONPATH": os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))}


def heard(path: Path) -> np.ndarray:
    """Return what a recording holds of the far end."""
    with wave.open(str(path), "rb") as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())
    return samples[:, -1].astype(float)


def judge(sound: np.ndarray, rate: float) -> str:
    """Return the delay's course in ms and the number of seams; `rate` is the far clock's speed by the recorder's."""
    level = np.sqrt(np.convolve(sound**2, np.ones(40) / 40, "same"))
    loud = np.flatnonzero((level[1:] > LEVEL * 1.06) & (level[:-1] <= LEVEL * 1.06))
    marks = loud[np.diff(loud, prepend=-RATE * PERIOD) > RATE * PERIOD / 2].tolist()
    delay = np.array([1000 * (place / RATE - number * PERIOD / rate) for number, place in enumerate(marks)])
    delay -= delay[:30].mean()
    off = np.abs(sound[:-2] + sound[2:] - 2 * math.cos(math.tau * HERTZ / RATE) * sound[1:-1]) / LEVEL
    for place in marks:
        off[max(0, place - 800) : place + 1600] = 0
    off[: 3 * RATE] = off[-RATE:] = 0
    seams = np.flatnonzero(off > SEAM)
    apart = int(np.count_nonzero(np.diff(seams, prepend=-RATE) > RATE // 10))
    silent = int(np.count_nonzero(level[3 * RATE : -RATE] < LEVEL / 4))
    return (
        f"{len(marks)} marks, delay {delay.min():+.1f} to {delay.max():+.1f} ms of its first five minutes' mean, "
        f"last five minutes {delay[-30:].mean():+.1f}; {apart} seams (worst {off.max():.2f}), {silent / 8:.0f} ms silent"
    )


def main() -> None:
    """Call, wait, and print what both heard."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--ppm", type=float, default=200.0)
    arguments = parser.parse_args()
    rate = 1 + arguments.ppm / 1e6
    with (
        tempfile.TemporaryDirectory() as folder,
        phone() as (_, port, slow, _),
        phone(variables=fast_clock(folder, rate)) as (_, _, fast, _),
        LocalClient(str(slow)) as answered, LocalClient(str(fast)) as caller,
    ):  # fmt: skip
        tone(Path(folder, "tone.wav"))
        caller.request("dial", to=f"sip:bench@127.0.0.1:{port}")
        time.sleep(2.0)
        for name, client in ("answered", answered), ("caller", caller):
            client.request("play", file=str(Path(folder, "tone.wav")), loop=True)
            client.request("record", file=str(Path(folder, f"{name}.wav")), channels="stereo")
        until = time.monotonic() + 60 * arguments.minutes
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, REPORT))
            for name, client in ("answered", answered), ("caller", caller):
                media = client.request("list_calls")["value"][0]["media"]
                print(f"{name}: {media}", file=sys.stderr, flush=True)
        caller.request("hangup")
        time.sleep(1.0)
        print(f"{arguments.minutes:g} minutes, clocks {arguments.ppm:g} ppm apart")
        print(f"hears a fast clock: {judge(heard(Path(folder, 'answered.wav')), rate)}")
        print(f"hears a slow clock: {judge(heard(Path(folder, 'caller.wav')), 1 / rate)}")


if __name__ == "__main__":
    main()
