"""Sound through miniaudio: one context for each device, playback and capture apart (its duplex mode doubles the delay)."""

from __future__ import annotations

import contextlib
import ctypes
import re
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any, Literal

import miniaudio

from offhook.io.audio.backend import BackendError, FoundDevice, OpenDevice, Pull, Push, kept_apart, stable_id
from offhook.media.messages import DeviceInfo

PERIOD_MS = 10
PERIODS = 3  # miniaudio's own number
INPUT_PERIODS = 20
"""How much a microphone may hand over at once: PulseAudio's protocol throws away what is more, and PipeWire, whose quantum is
mostly 21 ms and can be 170, hands over a quantum. Room for more costs no delay."""
APPLICATION = "offhook"


class MiniaudioBackend:
    """The system's sound: WASAPI, Core Audio, PulseAudio, ALSA, whichever miniaudio finds first."""

    def __init__(self) -> None:
        _quiet_alsa()

    def find(self) -> list[FoundDevice]:
        """Return what there is now; a fresh context each time, for an old one keeps its view of the world."""
        try:
            listing = miniaudio.Devices()
            if listing.backend == "Null":
                return []
        except miniaudio.MiniaudioError as problem:
            raise BackendError(_text(problem)) from problem
        return kept_apart(_found(listing, "input") + _found(listing, "output"))

    def open_output(self, native: object | None, rate: int, pull: Pull) -> OpenDevice:
        """Start playing."""
        device = self._device(miniaudio.PlaybackDevice, native, rate, "output_format", PERIODS)
        return _Running(device, _puller(pull), PERIODS * PERIOD_MS / 1000)

    def open_input(self, native: object | None, rate: int, push: Push) -> OpenDevice:
        """Start recording."""
        device = self._device(miniaudio.CaptureDevice, native, rate, "input_format", INPUT_PERIODS)
        return _Running(device, _pusher(push), PERIOD_MS / 1000)

    @staticmethod
    def _device(make: Any, native: object | None, rate: int, format_name: str, periods: int) -> Any:
        try:
            device = make(
                nchannels=1,
                sample_rate=rate,
                buffersize_msec=PERIOD_MS,
                callback_periods=periods,
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

    def __init__(self, device: Any, callback: Generator[Any, Any, None], latency: float) -> None:
        self._device = device
        self.latency = latency
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


def _found(listing: Any, kind: Literal["input", "output"]) -> list[FoundDevice]:
    """List one kind. miniaudio's own list hides which is the default, and fails whole when one device is broken."""
    ffi, lib = miniaudio.ffi, miniaudio.lib
    infos, count = ffi.new("ma_device_info**"), ffi.new("ma_uint32*")
    outputs = (infos, count) if kind == "output" else (ffi.NULL, ffi.NULL)
    inputs = (infos, count) if kind == "input" else (ffi.NULL, ffi.NULL)
    if lib.ma_context_get_devices(listing._context, *outputs, *inputs) != lib.MA_SUCCESS:
        raise BackendError("the sound system does not list its devices")
    side = miniaudio.DeviceType.PLAYBACK if kind == "output" else miniaudio.DeviceType.CAPTURE
    found: list[FoundDevice] = []
    for place in range(count[0]):
        entry = infos[0][place]
        native = ffi.new("ma_device_id*", entry.id)  # a copy: the list dies with the context
        name = ffi.string(entry.name).decode(errors="replace")
        # Plugins of ALSA that are on every machine and are no devices; only asking jack writes to stderr.
        key = _native_key(listing.backend, bytes(ffi.buffer(native)))
        if listing.backend == "ALSA" and key.partition(b":")[0] in (b"null", b"jack", b"oss"):
            continue
        details = ffi.new("ma_device_info*")
        if lib.ma_context_get_device_info(listing._context, side.value, native, details) != lib.MA_SUCCESS:
            continue
        identity = stable_id(listing.backend, kind, key, name)
        info = DeviceInfo(identity, kind, name, len(found), bool(entry.isDefault))
        found.append(FoundDevice(info, native))
    return found


def _native_key(backend: str, raw: bytes) -> bytes:
    """Return what the system calls a device. miniaudio's id is an opaque union to Python: a string ended by NUL, wide with
    WASAPI, 16 bytes with DirectSound, a number with WinMM."""
    if backend == "WASAPI":
        end = next((place for place in range(0, len(raw), 2) if raw[place : place + 2] == b"\0\0"), len(raw))
        return raw[:end]
    if backend in ("DirectSound", "WinMM"):
        return raw.rstrip(b"\0")
    key = raw.partition(b"\0")[0]
    return _by_card_name(key) if backend == "ALSA" else key


def _by_card_name(key: bytes, cards: Path = Path("/proc/asound")) -> bytes:
    """Return an ALSA name with the card's name for its number, which depends on the order in which things are plugged in."""
    found = _ALSA_NUMBER.match(key)
    if found is None:
        return key
    try:
        name = (cards / f"card{int(found[2])}" / "id").read_bytes().strip()
    except OSError:
        return key
    return found[1] + b"CARD=" + name + key[found.end() :]


_ALSA_NUMBER = re.compile(rb"((?:[a-z]+)?:)([0-9]{1,3})(?=,|$)")


def _text(problem: Exception) -> str:
    return str(problem.args[0]) if problem.args else "the sound system refuses"


def _quiet_alsa() -> None:
    """Keep ALSA from writing to stderr each time it is asked for a device that is not there."""
    if sys.platform != "linux" or _silent:
        return
    with contextlib.suppress(OSError, AttributeError):
        handler = ctypes.CFUNCTYPE(None)(lambda: None)
        ctypes.CDLL("libasound.so.2").snd_lib_error_set_handler(handler)
        _silent.append(handler)


_silent: list[object] = []  # ALSA keeps the handler, so it must live as long as the process
