"""Sound devices: which there are, which are used, and whether they open."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from offhook.cli.doctor.case import Case
from offhook.cli.doctor.finding import Finding, listed, milliseconds, within
from offhook.errors import CommandError
from offhook.io import clock
from offhook.io.audio.backend import Backend, BackendError, FoundDevice
from offhook.media.devices import resolve_device
from offhook.media.messages import DeviceKind

OPEN_WITHIN = 2.0
"""Seconds one device gets to open and to run."""
LIMIT = 20.0

SIDES: tuple[tuple[DeviceKind, str], ...] = (("input", "microphone"), ("output", "loudspeaker"))
SILENT = "calls work, but without it: plug one in; a server without sound is best run with media.sound = \"null\""


def look_at_devices(case: Case) -> Iterator[Finding]:
    """List and open what the phone would use. A microphone is opened for a moment; nothing is kept."""
    sound = str(case.fact("sound", case.config.media.sound))
    if sound == "null":
        yield Finding("sound", "ok", 'switched off (media.sound is "null"): calls carry only what is played into them')
        return
    if sound.startswith("file:"):
        yield Finding("sound", "ok", f"files stand in for the sound card ({sound})")
        return
    try:
        backend = within(OPEN_WITHIN, _backend)
        found = within(OPEN_WITHIN, backend.find)
    except (BackendError, ImportError, OSError, TimeoutError) as error:
        yield Finding("sound", "wrong", f"the sound system cannot be used: {error}", _SOUND_ADVICE)
        return
    for kind, what in SIDES:
        yield from _side(case, backend, found, kind, what)


_SOUND_ADVICE = "is a sound server running, and is the package miniaudio (or sounddevice and libportaudio2) installed?"


def _backend() -> Backend:
    from offhook.io.audio.sound import system_backend

    return system_backend()


def _side(case: Case, backend: Backend, found: list[FoundDevice], kind: DeviceKind, what: str) -> Iterator[Finding]:
    devices = [device for device in found if device.info.kind == kind]
    if not devices:
        yield Finding(what, "warning", "none", SILENT)
        return
    names = listed([device.info.name + (" (default)" if device.info.default else "") for device in devices])
    yield Finding(what, "ok", names)
    used, finding = _used(case, devices, kind, what)
    if finding is not None:
        yield finding
        return
    yield _opens(backend, used, kind, what)
    others = [device for device in devices if device is not used and not (used is None and device.info.default)]
    failing = [f"{device.info.name} ({finding.text})" for device in others
               if (finding := _opens(backend, device, kind, what)).level != "ok"]
    if failing:
        yield Finding(f"{what}, others", "ok", f"not to be used: {listed(failing, 3)}")


def _used(case: Case, devices: list[FoundDevice], kind: DeviceKind, what: str) -> tuple[FoundDevice | None, Finding | None]:
    """Return the device the phone uses (None: the default), or the finding that there is no such one."""
    setting = f"{kind}_device"
    wanted = str((case.phone.audio if case.phone is not None else {}).get(setting) or getattr(case.config.phone, setting))
    try:
        chosen = resolve_device([device.info for device in devices], kind, wanted)
    except CommandError as error:
        return None, Finding(what, "wrong", str(error), f"plug it in, or choose another: `offhook devices set {kind} DEVICE`")
    return next((device for device in devices if device.info == chosen), None), None


def _opens(backend: Backend, device: FoundDevice | None, kind: DeviceKind, what: str) -> Finding:
    name = f"{what}, {device.info.name if device is not None else 'default'}"
    began = clock.now()
    try:
        runs = within(OPEN_WITHIN, lambda: _run(backend, device.native if device is not None else None, kind))
    except TimeoutError:
        return Finding(name, "wrong", f"does not open within {OPEN_WITHIN:g} s", _BUSY)
    except BackendError as error:
        return Finding(name, "wrong", f"does not open: {error}", _BUSY)
    if not runs:
        return Finding(name, "wrong", "opens, but nothing comes from it", _BUSY)
    return Finding(name, "ok", f"opens and runs after {milliseconds(clock.now() - began)}")


_BUSY = "another program may hold it; else pull it out and in, or choose another: `offhook devices`"


def _run(backend: Backend, native: object | None, kind: DeviceKind) -> bool:
    """Open, wait for the first callback, close. A library may say "open" for a device that never runs."""
    called = threading.Event()

    def pull(samples: int) -> bytes:
        called.set()
        return bytes(2 * samples)

    def push(samples: bytes) -> None:
        called.set()

    opened = backend.open_input(native, push) if kind == "input" else backend.open_output(native, pull)
    try:
        return called.wait(0.75 * OPEN_WITHIN)
    finally:
        opened.close()
