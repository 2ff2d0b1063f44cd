"""Sound devices: which there are, which are used, and whether they open."""

from __future__ import annotations

import contextlib
import importlib.util
import threading
from collections.abc import Iterator

from offhook.cli.doctor.case import Case
from offhook.cli.doctor.finding import Finding, listed, milliseconds, within
from offhook.errors import CommandError
from offhook.io import clock
from offhook.io.audio.backend import CARD_RATE, Backend, BackendError, FoundDevice, OpenDevice
from offhook.io.audio.lines import START_LIMIT
from offhook.io.audio.sound import open_sound_card, system_backend
from offhook.media.devices import resolve_device
from offhook.media.messages import DeviceKind

OPEN_WITHIN = 2.0
"""Seconds one device gets to open."""
RUN_WITHIN = START_LIMIT
"""Seconds until sound passes, as long as the phone itself waits: a silent PulseAudio source wakes after two."""
LIMIT = 30.0

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
        open_sound_card(sound).close()  # it opens no device before sound flows, but knows which words are none
    except CommandError as error:
        yield Finding("sound", "wrong", f'the engine does not know media.sound = "{sound}", so calls are silent: {error}',
                      'set media.sound = "auto"')
        return
    try:
        backend = within(OPEN_WITHIN, system_backend)
        found = within(OPEN_WITHIN, backend.find)
    except (BackendError, ImportError, OSError, TimeoutError) as error:
        yield Finding("sound", "wrong", f"the sound system cannot be used: {error}", _SOUND_ADVICE)
        return
    yield _voice(case)
    for kind, what in SIDES:
        devices = [device for device in found if device.info.kind == kind]
        yield _listed(devices, what)
        if devices and case.phone is not None and case.phone.calls:
            yield Finding(f"{what}, use", "ok", "not opened: the phone is in a call, and some devices serve only one program")
        elif devices:
            yield from _side(case, backend, devices, kind, what)


def _voice(case: Case) -> Finding:
    """Say what is done to the microphone, and whether what is needed for it is installed."""
    audio = case.phone.audio if case.phone is not None else {}
    wanted = [words for name, words in VOICE.items() if audio.get(name, getattr(case.config.phone, name))]
    if not wanted:
        return Finding("voice", "ok", "the microphone is used as it is")
    text = f"{listed(wanted)} on"
    if wanted != [VOICE["gain_control"]] and case.config.media.voice == "webrtc":
        if importlib.util.find_spec("livekit") is None:
            return Finding("voice", "warning", f"{text}, but livekit is missing for it: the microphone is used as it is",
                           "pip install 'offhook[aec]', or set media.voice = \"own\"")
        text += ", by WebRTC"
    elif importlib.util.find_spec("numpy") is None and wanted != [VOICE["gain_control"]]:
        advice = "pip install numpy, or switch it off: offhook voice echo=off noise=off"
        return Finding("voice", "warning", f"{text}, but numpy is missing for it: the microphone is used as it is", advice)
    return Finding("voice", "ok", text)


VOICE: dict[str, str] = {
    "echo_cancellation": "echo cancellation", "noise_suppression": "noise suppression", "gain_control": "gain control"
}  # fmt: skip


_SOUND_ADVICE = "is a sound server running, and is the package miniaudio (or sounddevice and libportaudio2) installed?"


def _listed(devices: list[FoundDevice], what: str) -> Finding:
    if not devices:
        return Finding(what, "warning", "none", SILENT)
    names = [device.info.name + (" (default)" if device.info.default else "") for device in devices]
    return Finding(what, "ok", listed(names))


def _side(case: Case, backend: Backend, devices: list[FoundDevice], kind: DeviceKind, what: str) -> Iterator[Finding]:
    used, finding = _used(case, devices, kind, what)
    if finding is not None:
        yield finding
        return
    yield _runs(backend, used, kind, what)
    others = [device for device in devices if device is not used and not (used is None and device.info.default)]
    failing = [f"{device.info.name} ({why})" for device in others if (why := _opens(backend, device, kind))]
    if failing:
        yield Finding(f"{what}, others", "ok", f"not to be used: {listed(failing, 3)}")


def _used(case: Case, devices: list[FoundDevice], kind: DeviceKind, what: str) -> tuple[FoundDevice | None, Finding | None]:
    """Return the device the phone uses (None: the default), or the finding that there is no such one."""
    setting = f"{kind}_device"
    wanted = str((case.phone.audio if case.phone is not None else {}).get(setting) or getattr(case.config.phone, setting))
    try:
        chosen = resolve_device([device.info for device in devices], kind, wanted)
    except CommandError as error:
        advice = f"plug it in, or choose another: `offhook devices set {kind} DEVICE`"
        return None, Finding(f"{what}, use", "wrong", str(error), advice)
    return next((device for device in devices if device.info == chosen), None), None


def _runs(backend: Backend, device: FoundDevice | None, kind: DeviceKind, what: str) -> Finding:
    """Open the device the phone uses, and see sound pass."""
    name = f"{what}, {device.info.name if device is not None else 'default'}"
    passed = threading.Event()
    began = clock.now()
    try:
        opened = within(OPEN_WITHIN, lambda: _open(backend, device.native if device is not None else None, kind, passed))
    except (BackendError, TimeoutError) as error:
        return Finding(name, "wrong", _refusal(error), _BUSY)
    runs = passed.wait(RUN_WITHIN)
    took = clock.now() - began
    latency = opened.latency
    with contextlib.suppress(BackendError, TimeoutError):  # some drivers hang here, and we are done with it
        within(OPEN_WITHIN, opened.close)
    if runs:
        buffered = f"its buffers hold {milliseconds(latency)}"
        return Finding(name, "ok", f"opens, and sound passes after {milliseconds(took)}; {buffered}")
    return Finding(name, "wrong", f"opens, but no sound passes within {RUN_WITHIN:g} s", _BUSY)


def _opens(backend: Backend, device: FoundDevice, kind: DeviceKind) -> str:
    """Open and close a device the phone does not use; return "" or why it does not open."""
    try:
        within(OPEN_WITHIN, lambda: _open(backend, device.native, kind, threading.Event()).close())
    except (BackendError, TimeoutError) as error:
        return _refusal(error)
    return ""


def _refusal(error: Exception) -> str:
    return f"does not open within {OPEN_WITHIN:g} s" if isinstance(error, TimeoutError) else f"does not open: {error}"


_BUSY = "another program may hold it; else pull it out and in, or choose another: `offhook devices`"


def _open(backend: Backend, native: object | None, kind: DeviceKind, passed: threading.Event) -> OpenDevice:
    """Open a device; `passed` is set when it first takes or brings sound. A library may open a device that never runs."""

    def pull(samples: int) -> bytes:
        passed.set()
        return bytes(2 * samples)

    def push(samples: bytes) -> None:
        passed.set()

    if kind == "input":
        return backend.open_input(native, CARD_RATE, push)
    return backend.open_output(native, CARD_RATE, pull)
