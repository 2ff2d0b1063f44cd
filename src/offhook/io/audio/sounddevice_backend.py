"""Sound through sounddevice (PortAudio), for systems miniaudio is not built for. Wants the system's libportaudio2."""

from __future__ import annotations

from typing import Any, Literal

from offhook.io.audio.backend import BackendError, FoundDevice, OpenDevice, Pull, Push, stable_id
from offhook.media.messages import DeviceInfo
from offhook.media.sources import SAMPLE_RATE

BLOCK_SAMPLES = SAMPLE_RATE // 100


class SounddeviceBackend:
    """PortAudio's view of the system."""

    def __init__(self) -> None:
        try:
            import sounddevice
        except (ImportError, OSError) as problem:  # OSError: the package is there, libportaudio is not
            raise BackendError(f"sounddevice cannot be used: {problem}") from problem
        self._library: Any = sounddevice

    def find(self) -> list[FoundDevice]:
        """Return what there is. PortAudio looks only when it starts, so a device plugged in later appears at restart."""
        try:
            entries = list(self._library.query_devices())
            defaults = tuple(self._library.default.device)
        except self._library.PortAudioError as problem:
            raise BackendError(str(problem)) from problem
        return self._side(entries, "input", defaults[0]) + self._side(entries, "output", defaults[1])

    @staticmethod
    def _side(entries: list[Any], kind: Literal["input", "output"], default: int) -> list[FoundDevice]:
        found: list[FoundDevice] = []
        for number, entry in enumerate(entries):
            if entry[f"max_{kind}_channels"] > 0:
                name = str(entry["name"])
                identity = stable_id("portaudio", kind, str(entry["hostapi"]).encode(), name)
                found.append(FoundDevice(DeviceInfo(identity, kind, name, len(found), number == default), number))
        return found

    def open_output(self, native: object | None, pull: Pull) -> OpenDevice:
        """Start playing."""

        def fill(outdata: Any, frames: int, _time: object, _status: object) -> None:
            outdata[:] = pull(frames)

        return self._start(self._library.RawOutputStream, native, fill)

    def open_input(self, native: object | None, push: Push) -> OpenDevice:
        """Start recording."""

        def take(indata: Any, _frames: int, _time: object, _status: object) -> None:
            push(bytes(indata))

        return self._start(self._library.RawInputStream, native, take)

    def _start(self, make: Any, native: object | None, callback: Any) -> OpenDevice:
        try:
            stream = make(
                samplerate=SAMPLE_RATE, blocksize=BLOCK_SAMPLES, device=native, channels=1, dtype="int16",
                latency="low", callback=callback,
            )
            stream.start()
        except self._library.PortAudioError as problem:
            raise BackendError(str(problem)) from problem
        opened: OpenDevice = stream
        return opened
