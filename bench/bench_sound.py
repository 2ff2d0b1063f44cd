"""What the sound card costs, and how late sound is: a PulseAudio of its own, with null sinks heard through their monitors.

Run: python bench/bench_sound.py [--seconds 8]. Needs pulseaudio and pulseaudio-utils (Debian packages). Each row is a run of
its own: plain, with the microphone cleaned, and with another thread of the same process that runs Python all the time, which is
the worst that a program can do to its own sound.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from offhook.io.audio.backend import FoundDevice, OpenDevice, Pull, Push
from offhook.io.audio.sound import SystemCard, system_backend
from offhook.media.devices import resolve_device
from offhook.media.messages.card import VoiceProcessing
from offhook.media.sources import solid
from offhook.testing.pulse import PulseServer

FRAME = 320
SETTLE = 4.0
"""Seconds until a null sink has woken up and a delay has been shed that nobody needs."""


@dataclass
class Measured:
    """A backend whose callbacks are timed: how long each took, and how far apart they came."""

    inner: Any
    took: list[float] = field(default_factory=list)
    apart: list[float] = field(default_factory=list)

    def find(self) -> list[FoundDevice]:
        found: list[FoundDevice] = self.inner.find()
        return found

    def open_output(self, native: object | None, rate: int, pull: Pull) -> OpenDevice:
        opened: OpenDevice = self.inner.open_output(native, rate, self._timed(pull))
        return opened

    def open_input(self, native: object | None, rate: int, push: Push) -> OpenDevice:
        opened: OpenDevice = self.inner.open_input(native, rate, self._timed(push))
        return opened

    def _timed(self, callback: Callable[[Any], Any]) -> Callable[[Any], Any]:
        last = [0.0]

        def timed(argument: Any) -> Any:
            began = time.perf_counter()
            made = callback(argument)
            self.took.append(time.perf_counter() - began)
            if last[0]:
                self.apart.append(began - last[0])
            last[0] = began
            return made

        return timed


def run(name: str, seconds: float, voice: VoiceProcessing, busy: bool) -> None:
    """Talk to the card as the engine does, and print a row."""
    backend = Measured(system_backend())
    card = SystemCard(lambda: backend)
    card.process(voice)
    found = card.devices().devices
    for kind, device in (("output", "SinkOne"), ("input", "Monitor of SinkOne")):
        chosen = resolve_device(found, kind, device)  # type: ignore[arg-type]  # the two literals above
        assert chosen is not None
        card.select(kind, chosen.id)  # type: ignore[arg-type]
    stop = threading.Event()
    if busy:
        threading.Thread(target=_burn, args=(stop,), daemon=True).start()
    random = np.random.default_rng(1)
    noise = (3000 * random.standard_normal((int((SETTLE + seconds) * 50), FRAME))).astype("<i2")
    spoken, heard, ticks = [], [], []
    due = time.perf_counter()
    cpu = 0.0
    for turn, frame in enumerate(noise):
        if turn == SETTLE * 50:
            backend.took.clear()
            backend.apart.clear()
            cpu = time.process_time()
        began = time.perf_counter()
        card.play(frame.tobytes())
        got = solid(card.capture(), card.rate)
        ticks.append(time.perf_counter() - began)
        spoken.append(frame)
        heard.append(np.frombuffer(got, "<i2"))
        due += 0.02
        time.sleep(max(0.0, due - time.perf_counter()))
    cpu = (time.process_time() - cpu) / seconds
    stop.set()
    lines = [line.current for line in card._lines.values() if line.current is not None]
    told = [device for device in card._listed().devices if device.latency_ms]
    apart = sorted(backend.apart)
    print(f"{name:24} {delay_ms(spoken, heard):>9} {' + '.join(str(device.latency_ms) for device in told):>9} "
          f"{statistics.median(backend.took) * 1e6:8.0f} {apart[int(len(apart) * 0.99)] * 1e3:12.1f} {apart[-1] * 1e3:9.1f} "
          f"{statistics.median(ticks) * 1e6:8.0f} {sum(line.end.underruns for line in lines):>9} "
          f"{sum(line.end.overruns for line in lines):>8} {'' if busy else f'{100 * cpu:.1f} %':>7}")
    card.close()


def delay_ms(spoken: list[Any], heard: list[Any]) -> str:
    """Return how long the latest second of what was said took to come back, "" if it did not."""
    out, back = (np.concatenate(part[-100:]).astype(float) for part in (spoken, heard))
    size = 1 << (2 * len(out)).bit_length()
    match = np.fft.irfft(np.fft.rfft(back, size) * np.fft.rfft(out, size).conj())[: len(out)]
    place = int(np.argmax(match))
    return f"{place / 16:.0f} ms" if match[place] > 8 * np.abs(match).mean() else ""


def _burn(stop: threading.Event) -> None:
    total = 0
    while not stop.is_set():
        for number in range(10_000):
            total += number * number % 7


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        server = PulseServer(Path(folder))
        names = ("PULSE_SERVER", "PULSE_RUNTIME_PATH", "XDG_RUNTIME_DIR")
        os.environ.update({name: server.environment[name] for name in names})
        print(f"{'':24} {'there and':>9} {'told,':>9} {'callback':>8} {'callbacks':>12} {'most':>9} {'a tick':>8}")
        print(f"{'':24} {'back':>9} {'ms':>9} {'µs':>8} {'apart, p99 ms':>12} {'ms':>9} {'µs':>7} {'underruns':>9} "
              f"{'overruns':>8} {'CPU':>7}")
        try:
            run("plain", seconds, VoiceProcessing(), False)
            run("gain control", seconds, VoiceProcessing(gain_control=True), False)
            run("echo, noise and gain", seconds, VoiceProcessing(True, True, True), False)
            run("plain, busy interpreter", seconds, VoiceProcessing(), True)
        finally:
            server.close()


if __name__ == "__main__":
    main()
