"""A sound server of a test's own: a PulseAudio with null sinks, heard through their monitors."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Final

from offhook.testing import ears
from offhook.testing.peers import PeerMissing, program

PROGRAMS: Final = {
    "pulseaudio": "pulseaudio", "pactl": "pulseaudio-utils", "parec": "pulseaudio-utils", "pacat": "pulseaudio-utils"
}  # fmt: skip


SAMPLES: Final = ("--rate=8000", "--channels=1", "--format=s16le")


class PulseServer:
    """A private PulseAudio with two null sinks, one and two; `environment` is what makes programs use it.

    Raises PeerMissing where it is not installed, or does not start.
    """

    def __init__(self, folder: Path) -> None:
        self._programs = {name: program(name, package) for name, package in PROGRAMS.items()}
        self.socket = folder / "native"
        self.environment = {
            **os.environ, "XDG_RUNTIME_DIR": str(folder), "PULSE_RUNTIME_PATH": str(folder), "HOME": str(folder),
            "PULSE_SERVER": f"unix:{self.socket}",
        }
        self.modules = {
            "one": "module-null-sink sink_name=one sink_properties=device.description=SinkOne",
            "two": "module-null-sink sink_name=two sink_properties=device.description=SinkTwo",
        }
        loads = [f"module-native-protocol-unix socket={self.socket} auth-anonymous=1", *self.modules.values()]
        self.process = subprocess.Popen(  # noqa: S603 - an argument list, for tests
            [self._programs["pulseaudio"], "-n", "--daemonize=no", "--exit-idle-time=-1", "--disable-shm", "--use-pid-file=no",
             *(part for load in loads for part in ("-L", load))],
            env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while self.control("info", check=False) is None:
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise PeerMissing("PulseAudio does not start here")
            time.sleep(0.05)

    def control(self, *words: str, check: bool = True) -> str | None:
        """Run pactl; returns what it prints, None if it fails."""
        command = [self._programs["pactl"], *words]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=check)  # noqa: S603
        return done.stdout if done.returncode == 0 else None

    def record(self, sink: str) -> subprocess.Popen[bytes]:
        """Start to record what a sink plays: 16-bit samples, 8000 a second, on its standard output."""
        return subprocess.Popen(  # noqa: S603 - an argument list, for tests
            [self._programs["parec"], "-d", f"{sink}.monitor", *SAMPLES, "--latency-msec=20"],
            env=self.environment, stdout=subprocess.PIPE,
        )

    def play(self, sink: str, samples: Path) -> subprocess.Popen[bytes]:
        """Start to play a file of such samples into a sink."""
        with samples.open("rb") as stream:
            return subprocess.Popen(  # noqa: S603 - an argument list, for tests
                [self._programs["pacat"], "-d", sink, *SAMPLES], env=self.environment, stdin=stream
            )

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(10)


class Recording:
    """What a sink plays, from now on: 16-bit samples, 8000 a second. A pipe alone would hold four seconds and then stop."""

    def __init__(self, server: PulseServer, sink: str) -> None:
        self._process = server.record(sink)
        self._heard = bytearray()
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        while piece := os.read(self._process.stdout.fileno(), 4096):
            with self._more:
                self._heard += piece
                self._more.notify_all()

    def first(self, seconds: float) -> bytes:
        """Wait (it blocks) until so much has been recorded, and return it."""
        with self._more:
            assert self._more.wait_for(lambda: len(self._heard) >= 16_000 * seconds, timeout=30)
            return bytes(self._heard[: int(16_000 * seconds)])

    def end(self, seconds: float) -> bytes:
        """Stop, and return the latest seconds."""
        self._process.terminate()
        self._process.wait(10)
        self._reader.join(10)
        assert self._process.stdout is not None
        self._process.stdout.close()
        with self._more:
            return bytes(self._heard[len(self._heard) % 2 :][-int(16_000 * seconds):])


async def until_heard(server: PulseServer, sink: str, frequency: float) -> None:
    """Wait until a sink plays this tone, in Hz; AssertionError after some seconds."""
    for _ in range(8):
        recording = Recording(server, sink)
        try:
            heard = await asyncio.to_thread(recording.first, 1.0)
        finally:
            recording.end(0)
        if ears.level_dbfs(heard) > -40 and ears.has_tone(heard, frequency):
            return
    raise AssertionError(f"{frequency} Hz is not heard at sink {sink}")
