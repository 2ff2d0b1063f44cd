"""Sound through miniaudio: one context for each device, playback and capture apart (its duplex mode doubles the delay)."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any, Literal

import miniaudio

from offhook.io.audio.backend import BackendError, FoundDevice, OpenDevice, Pull, Push, stable_id
from offhook.media.messages import DeviceInfo
from offhook.media.sources import SAMPLE_RATE

PERIOD_MS = 10
APPLICATION = "offhook"


class MiniaudioBackend:
    """The system's sound: WASAPI, Core Audio, PulseAudio, ALSA, whichever miniaudio finds first."""

    def find(self) -> list[FoundDevice]:
        """Return what there is now; a fresh context each time, for an old one keeps its view of the world."""
        try:
            listing = miniaudio.Devices()
            if listing.backend == "Null":
                return []
            inputs, outputs = listing.get_captures(), listing.get_playbacks()
        except miniaudio.MiniaudioError as problem:
            raise BackendError(_text(problem)) from problem
        return _found(listing.backend, "input", inputs) + _found(listing.backend, "output", outputs)

    def open_output(self, native: object | None, pull: Pull) -> OpenDevice:
        """Start playing."""
        return _Running(self._device(miniaudio.PlaybackDevice, native, "output_format"), _puller(pull))

    def open_input(self, native: object | None, push: Push) -> OpenDevice:
        """Start recording."""
        return _Running(self._device(miniaudio.CaptureDevice, native, "input_format"), _pusher(push))

    @staticmethod
    def _device(make: Any, native: object | None, format_name: str) -> Any:
        try:
            device = make(
                nchannels=1,
                sample_rate=SAMPLE_RATE,
                buffersize_msec=PERIOD_MS,
                device_id=native,
                app_name=APPLICATION,
                **{format_name: miniaudio.SampleFormat.SIGNED16},
            )
        except miniaudio.MiniaudioError as problem:
            raise BackendError(_text(problem)) from problem
        if device.backend == "Null":
            _release(device)
            raise BackendError("this machine has no sound")
        return device


class _Running:
    """A started device."""

    def __init__(self, device: Any, callback: Generator[Any, Any, None]) -> None:
        self._device = device
        self._callback = callback  # miniaudio keeps no reference of its own in every version
        next(callback)
        try:
            device.start(callback)
        except miniaudio.MiniaudioError as problem:
            _release(device)
            raise BackendError(_text(problem)) from problem

    def close(self) -> None:
        """Stop it and free its context."""
        device, self._device = self._device, None
        if device is not None:
            _release(device)


def _release(device: Any) -> None:
    context = getattr(device, "_context", None)
    device.close()
    if context is not None:
        # miniaudio makes a context for each device and leaves it behind: a connection and a thread for each reopening.
        with contextlib.suppress(AttributeError):
            miniaudio.lib.ma_context_uninit(context)


def _puller(pull: Pull) -> Generator[bytes, int, None]:
    wanted = yield b""
    while True:
        wanted = yield pull(wanted)


def _pusher(push: Push) -> Generator[None, bytearray, None]:
    while True:
        push(bytes((yield)))


def _found(library: str, kind: Literal["input", "output"], entries: list[dict[str, Any]]) -> list[FoundDevice]:
    found = []
    for index, entry in enumerate(entries):
        native = bytes(miniaudio.ffi.buffer(entry["id"])).rstrip(b"\0")
        name = str(entry["name"])
        # miniaudio puts the default first where the system tells it, and does not pass the flag on.
        info = DeviceInfo(stable_id(library, kind, native, name), kind, name, index, index == 0)
        found.append(FoundDevice(info, entry["id"]))
    return found


def _text(problem: Exception) -> str:
    return str(problem.args[0]) if problem.args else "the sound system refuses"
