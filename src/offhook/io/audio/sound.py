"""The sound card of the phone: opens devices when first used, keeps them open, notices when they die and brings them back.

Three parties meet here. The engine's tick calls `capture`, `play` and `ring` and must never wait. The library's threads call
`pull` and `push` and must never wait either. Everything slow (opening, closing, looking for devices, noticing silence) happens
on one thread of this file. Between them lie deques of bounded length, whose append and popleft need no lock.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from offhook.errors import InvalidArgument
from offhook.io.audio.backend import Backend, BackendError, FoundDevice, OpenDevice, Pull, Push
from offhook.io.audio.files import FileCard
from offhook.io.audio.null import NullCard
from offhook.media import pcm
from offhook.media.messages import DeviceFailed, DeviceInfo, DeviceKind, DeviceRecovered, DevicesListed
from offhook.media.sources import FRAME_BYTES, SAMPLE_RATE, SILENCE, SoundCard

PLAY_FRAMES: Final = 8  # at most 160 ms before the loudspeaker; older frames fall out
START_FRAMES: Final = 2  # after running dry, wait for two frames so that one late tick is not heard again
CAPTURE_FRAMES: Final = 8
CAPTURE_TARGET: Final = 4  # more than 80 ms waiting: drop one extra frame a tick until the delay is gone
# PulseAudio calls back once or twice at the start and then not for two seconds: only after some calls is it running.
SETTLED_CALLS: Final = 4
START_LIMIT: Final = 5.0  # seconds until then
LATER_CALLBACK: Final = 1.0  # seconds without a callback: the library may still say "running", the device is gone
CHECK_EVERY: Final = 0.2
RETRY_FIRST, RETRY_MOST = 1.0, 5.0
CLOSE_WAIT: Final = 0.5  # seconds
LIST_WAIT: Final = 0.5  # seconds the caller of devices() waits before it gets the last known list


def open_sound_card(backend: str = "auto") -> SoundCard:
    """Return the sound card: 'auto' (the system's), 'null' (silence) or 'file:IN.wav,OUT.wav' (either may be empty).

    'auto' never fails here: without sound there is one DeviceFailed from `poll`, and silence. Raises InvalidArgument for
    another word.
    """
    if backend == "null":
        return NullCard()
    if backend.startswith("file:"):
        source, _, target = backend.removeprefix("file:").partition(",")
        return FileCard(source, target)
    if backend != "auto":
        raise InvalidArgument.field("audio", "write auto, null or file:IN.wav,OUT.wav")
    return SystemCard(system_backend)


def system_backend() -> Backend:
    """Return miniaudio, or sounddevice where that is not installed. Imported late: it costs 30 ms and 10 MB."""
    try:
        from offhook.io.audio.miniaudio_backend import MiniaudioBackend
    except ImportError:
        from offhook.io.audio.sounddevice_backend import SounddeviceBackend

        return SounddeviceBackend()
    return MiniaudioBackend()


class Speaker:
    """Frames on their way to an output device: what is played, and the ring if it has no device of its own."""

    def __init__(self) -> None:
        self.frames: deque[bytes] = deque(maxlen=PLAY_FRAMES)
        self.ringing: deque[bytes] = deque(maxlen=PLAY_FRAMES)
        self._rest = b""
        self._dry = True

    def pull(self, samples: int) -> bytes:
        """Return this many samples; silence when there is nothing."""
        wanted = 2 * samples
        parts = [self._rest]
        have = len(self._rest)
        while have < wanted:
            frame = self._next()
            parts.append(frame)
            have += len(frame)
        block = b"".join(parts)
        self._rest = block[wanted:]
        return block[:wanted]

    def _next(self) -> bytes:
        waiting = max(len(self.frames), len(self.ringing))
        if waiting == 0 or (self._dry and waiting < START_FRAMES):
            self._dry = True
            return SILENCE
        self._dry = False
        frame, ring = _take(self.frames), _take(self.ringing)
        if frame is None or ring is None:
            return frame or ring or SILENCE
        return pcm.add(frame, ring)


class Microphone:
    """Frames from an input device."""

    def __init__(self) -> None:
        self.frames: deque[bytes] = deque(maxlen=CAPTURE_FRAMES)
        self._rest = b""

    def push(self, samples: bytes) -> None:
        """Take what the device has heard."""
        block = self._rest + samples
        end = len(block) - len(block) % FRAME_BYTES
        for start in range(0, end, FRAME_BYTES):
            self.frames.append(block[start:start + FRAME_BYTES])
        self._rest = block[end:]

    def read(self) -> bytes:
        """Return the oldest frame, or silence."""
        if len(self.frames) > CAPTURE_TARGET:
            _take(self.frames)
        return _take(self.frames) or SILENCE


def _take(frames: deque[bytes]) -> bytes | None:
    """Return the oldest frame, None if there is none (the other side of the deque may be emptying it at this moment)."""
    try:
        return frames.popleft()
    except IndexError:
        return None


@dataclass(slots=True)
class _Line:
    """One device in use. The card's thread changes it; the tick sets `wanted` and `selected`, callbacks `heard` and `calls`."""

    kind: DeviceKind
    selected: str = ""
    wanted: bool = False
    device: OpenDevice | None = None
    opened_for: str = ""
    opened_at: float = 0.0
    heard: float = 0.0  # time of the last callback
    calls: int = 0  # callbacks since opening
    failed: bool = False
    retry_at: float = 0.0
    retry_after: float = RETRY_FIRST


class SystemCard:
    """The devices of this machine. Takes a function that gives the backend, so that its import costs the tick nothing."""

    rate = SAMPLE_RATE

    def __init__(self, make_backend: Callable[[], Backend], clock: Callable[[], float] = time.monotonic) -> None:
        self._make_backend = make_backend
        self._clock = clock
        self._backend: Backend | None = None
        self._speaker, self._ringer, self._microphone = Speaker(), Speaker(), Microphone()
        kinds: tuple[DeviceKind, ...] = ("input", "output", "ring")
        self._lines = {kind: _Line(kind) for kind in kinds}
        self._reports: deque[DeviceFailed | DeviceRecovered | DevicesListed] = deque(maxlen=100)
        self._known: tuple[DeviceInfo, ...] = ()
        self._askers: deque[threading.Event] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    # --- the tick's side: nothing here waits, except devices()

    def capture(self) -> bytes:
        """Return one frame from the microphone; silence when there is none."""
        self._want("input")
        return self._microphone.read()

    def play(self, frame: bytes) -> None:
        """Queue one frame for the loudspeaker."""
        self._want("output")
        self._speaker.frames.append(frame)

    def ring(self, frame: bytes) -> None:
        """Queue one frame for the ring device; without one of its own the ring is mixed into the loudspeaker."""
        if self._lines["ring"].selected:
            self._want("ring")
            self._ringer.ringing.append(frame)
        else:
            self._want("output")
            self._speaker.ringing.append(frame)

    def select(self, kind: DeviceKind, device_id: str) -> None:
        """Use this device from now on; a running one is exchanged within a moment."""
        self._lines[kind].selected = device_id
        if self._thread is not None:
            self._wake.set()

    def devices(self) -> DevicesListed:
        """Return the devices there are now and those selected; after half a second of waiting the last known ones."""
        answered = threading.Event()
        self._askers.append(answered)
        self._start()
        answered.wait(LIST_WAIT)
        return self._listed()

    def poll(self) -> DeviceFailed | DeviceRecovered | DevicesListed | None:
        """Return the next thing to report, or None."""
        return self._reports.popleft() if self._reports else None

    def close(self) -> None:
        """Close all devices; waits a moment for the library."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(CLOSE_WAIT)

    def _want(self, kind: DeviceKind) -> None:
        line = self._lines[kind]
        if not line.wanted:
            line.wanted = True
            self._start()

    def _start(self) -> None:
        if self._thread is None and not self._closing:
            self._thread = threading.Thread(target=self._run, name="offhook-sound", daemon=True)
            self._thread.start()
        self._wake.set()

    def _listed(self) -> DevicesListed:
        return DevicesListed(self._known, tuple((kind, line.selected) for kind, line in self._lines.items()))

    # --- the card's own thread

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(CHECK_EVERY)
            self._wake.clear()
            try:
                self.check()
            except Exception as problem:  # the outermost loop: a surprise in a driver's library must not end all sound
                self._surprised(problem)
        for line in self._lines.values():
            self._shut(line)

    def _surprised(self, problem: Exception) -> None:
        for line in self._lines.values():
            if line.wanted:
                self._died(line, self._clock(), f"{type(problem).__name__}: {problem}")

    def check(self) -> None:
        """Do what is due: answer askers, open what is wanted, exchange what was selected, notice what died."""
        if self._askers:
            self._answer()
        for line in self._lines.values():
            if line.wanted:
                self._tend(line)

    def _answer(self) -> None:
        # Whatever happens in the library, who asked gets an answer.
        with contextlib.suppress(BackendError):
            self._look()
        while self._askers:
            self._askers.popleft().set()

    def _look(self) -> list[FoundDevice]:
        if self._backend is None:
            self._backend = self._make_backend()
        found = self._backend.find()
        self._known = tuple(device.info for device in found)
        return found

    def _tend(self, line: _Line) -> None:
        now = self._clock()
        if line.opened_for != line.selected:
            self._shut(line)
            line.opened_for, line.failed, line.retry_at, line.retry_after = line.selected, False, now, RETRY_FIRST
        if line.kind == "ring" and not line.selected:
            line.wanted = False  # the ring goes through the loudspeaker again
        elif line.device is None:
            if now >= line.retry_at:
                self._try_open(line, now)
        elif line.calls >= SETTLED_CALLS:
            self._recovered(line)
            if now - line.heard > LATER_CALLBACK:
                self._died(line, now, "the device has stopped")
        elif now - line.opened_at > START_LIMIT:
            self._died(line, now, "the device does not start")

    def _try_open(self, line: _Line, now: float) -> None:
        try:
            self._open(line)
        except BackendError as problem:
            self._died(line, now, str(problem))

    def _open(self, line: _Line) -> None:
        before = self._known
        found = self._look()
        if line.failed and self._known != before:
            self._reports.append(self._listed())
        side = "input" if line.kind == "input" else "output"
        choices = [device for device in found if device.info.kind == side]
        if not choices:
            raise BackendError(f"this machine has no {side} device")
        native = None
        if line.selected:
            native = next((device.native for device in choices if device.info.id == line.selected), None)
            if native is None:
                raise BackendError("the selected device is not there")
        assert self._backend is not None
        line.calls, line.opened_at = 0, self._clock()
        if line.kind == "input":
            line.device = self._backend.open_input(native, self._push(line))
        else:
            speaker = self._speaker if line.kind == "output" else self._ringer
            line.device = self._backend.open_output(native, self._pull(line, speaker))

    def _pull(self, line: _Line, speaker: Speaker) -> Pull:
        clock = self._clock

        def pull(samples: int) -> bytes:
            line.heard = clock()
            line.calls += 1
            return speaker.pull(samples)

        return pull

    def _push(self, line: _Line) -> Push:
        clock = self._clock

        def push(samples: bytes) -> None:
            line.heard = clock()
            line.calls += 1
            self._microphone.push(samples)

        return push

    def _died(self, line: _Line, now: float, reason: str) -> None:
        self._shut(line)
        if not line.failed:
            line.failed = True
            self._reports.append(DeviceFailed(line.kind, line.opened_for, reason))
        line.retry_at = now + line.retry_after
        line.retry_after = min(RETRY_MOST, 2 * line.retry_after)

    def _recovered(self, line: _Line) -> None:
        if line.failed:
            line.failed, line.retry_after = False, RETRY_FIRST
            self._reports.append(DeviceRecovered(line.kind, line.opened_for))

    @staticmethod
    def _shut(line: _Line) -> None:
        device, line.device = line.device, None
        if device is None:
            return
        # A library may wait for a dead sound server for ever; then only this thread is lost.
        closing = threading.Thread(target=device.close, name="offhook-sound-close", daemon=True)
        closing.start()
        closing.join(CLOSE_WAIT)
