"""Sound through sounddevice (PortAudio), for systems miniaudio is not built for. Wants the system's libportaudio2."""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Literal

from offhook.io.audio.backend import BackendError, FoundDevice, OpenDevice, Pull, Push, kept_apart, stable_id
from offhook.media.messages import DeviceInfo

BLOCKS_A_SECOND = 100


class SounddeviceBackend:
    """PortAudio's view of the system."""

    def __init__(self) -> None:
        try:
            import sounddevice
        except (ImportError, OSError) as problem:  # OSError: the package is there, libportaudio is not
            raise BackendError(f"sounddevice cannot be used: {problem}") from problem
        self._library: Any = sounddevice
        self._open = 0
        self._lock = threading.Lock()

    def find(self) -> list[FoundDevice]:
        """Return what there is.

        PortAudio looks only when it starts. It is started again while nothing is open; what is plugged in during a call appears
        after it.
        """
        try:
            with self._lock:
                if not self._open:
                    self._library._terminate()
                    self._library._initialize()
                entries = list(self._library.query_devices())
                defaults = tuple(self._library.default.device)
                hosts = [str(host["name"]) for host in self._library.query_hostapis()]
        except self._library.PortAudioError as problem:
            raise BackendError(str(problem)) from problem
        return kept_apart(
            self._side(entries, hosts, "input", defaults[0]) + self._side(entries, hosts, "output", defaults[1])
        )

    @staticmethod
    def _side(
        entries: list[Any], hosts: list[str], kind: Literal["input", "output"], default: int
    ) -> list[FoundDevice]:
        found: list[FoundDevice] = []
        for number, entry in enumerate(entries):
            if entry[f"max_{kind}_channels"] > 0:
                name = str(entry["name"])
                identity = stable_id("portaudio", kind, hosts[entry["hostapi"]].encode(), name)
                found.append(FoundDevice(DeviceInfo(identity, kind, name, len(found), number == default), number))
        return found

    def open_output(self, native: object | None, rate: int, pull: Pull) -> OpenDevice:
        """Start playing."""

        def fill(outdata: Any, frames: int, _time: object, _status: object) -> None:
            outdata[:] = pull(frames)

        return self._start(self._library.RawOutputStream, native, rate, fill)

    def open_input(self, native: object | None, rate: int, push: Push) -> OpenDevice:
        """Start recording."""

        def take(indata: Any, _frames: int, _time: object, _status: object) -> None:
            push(bytes(indata))

        return self._start(self._library.RawInputStream, native, rate, take)

    def _start(self, make: Any, native: object | None, rate: int, callback: Any) -> OpenDevice:
        with self._lock:
            try:
                stream = make(
                    samplerate=rate, blocksize=rate // BLOCKS_A_SECOND, device=native, channels=1, dtype="int16",
                    latency="low", callback=callback,
                )  # fmt: skip
                try:
                    stream.start()
                except self._library.PortAudioError:
                    stream.close()
                    raise
            except self._library.PortAudioError as problem:
                raise BackendError(str(problem)) from problem
            self._open += 1
        return _Stream(self, stream)

    def closed(self) -> None:
        """Take note that a stream is closed."""
        with self._lock:
            self._open -= 1


class _Stream:
    """A started stream."""

    def __init__(self, backend: SounddeviceBackend, stream: Any) -> None:
        self._backend = backend
        self._stream: Any = stream
        self.latency = float(stream.latency)

    def close(self) -> None:
        """Stop it; harmless when repeated."""
        stream, self._stream = self._stream, None
        if stream is not None:
            with contextlib.suppress(self._backend._library.PortAudioError):
                stream.close()
            self._backend.closed()
