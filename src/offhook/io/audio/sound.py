"""The sound card of the phone: three lines to devices, who is there and what is the default, and the voice that is cleaned.

Three parties meet here. The engine's tick calls `capture`, `play` and `ring` and must never wait. The library's threads call
`pull` and `push` and must never wait either. Everything slow (opening, closing, looking for devices, noticing silence, reading
numpy) happens on one thread of this file. Between them lie rings of samples that need no lock.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec import structs

from offhook.errors import InvalidArgument, SetupError
from offhook.io.audio.backend import CARD_RATE, Backend, BackendError, FoundDevice
from offhook.io.audio.ends import Microphone, Speaker
from offhook.io.audio.files import FileCard
from offhook.io.audio.lines import START_LIMIT, Choice, Line, Opened, counting, counting_push
from offhook.io.audio.null import NullCard
from offhook.io.audio.rings import Capture, Playout, Reference, Ring
from offhook.io.audio.voices import make_voice
from offhook.io.threads import begin
from offhook.media.messages import CardReport, DeviceFailed, DeviceInfo, DeviceKind, DevicesListed
from offhook.media.messages.card import VoiceFailed, VoiceProcessing
from offhook.media.sources import SILENCE, SoundCard
from offhook.media.voice.chain import Voice

CHECK_EVERY: Final = 0.2  # seconds, while a device is in use …
CHECK_SOON: Final = 0.02  # … and while one takes over from another
LOOK_EVERY: Final = 2.0  # seconds between two looks for devices that came or went while one is in use …
LOOK_IDLE: Final = 5.0  # … and while none is
FIGURES_EVERY: Final = 5.0  # seconds between two reports of latency and what was missed, while a device is in use
LOOK_SHARE: Final = 200  # … but no more than this fraction of the time: without a sound server a look takes 60 ms
CLOSE_WAIT: Final = 0.5  # seconds
LIST_WAIT: Final = 2.0  # seconds the caller of devices() waits before it gets the last known list


def open_sound_card(backend: str = "auto", voice: str = "own") -> SoundCard:
    """Return the sound card: 'auto' (the system's), 'miniaudio' or 'sounddevice' (the same, by this library), 'null' (silence)
    or 'file:IN.wav,OUT.wav' (either may be empty).

    `voice` says who cleans the microphone (`voices.make_voice`). The system's card never fails here: without sound there is one
    DeviceFailed from `poll`, and silence. Raises InvalidArgument for another word.
    """
    if backend == "null":
        return NullCard()
    if backend.startswith("file:"):
        source, _, target = backend.removeprefix("file:").partition(",")
        return FileCard(source, target)
    makers = {"auto": system_backend, "miniaudio": _miniaudio, "sounddevice": _sounddevice}
    if backend not in makers:
        raise InvalidArgument.field("audio", "write auto, miniaudio, sounddevice, null or file:IN.wav,OUT.wav")
    return SystemCard(makers[backend], voice=voice)


def system_backend() -> Backend:
    """Return miniaudio, or sounddevice where that is not installed. Imported late: it costs 30 ms and 10 MB."""
    try:
        return _miniaudio()
    except ImportError:
        return _sounddevice()


def _miniaudio() -> Backend:
    from offhook.io.audio.miniaudio_backend import MiniaudioBackend

    return MiniaudioBackend()


def _sounddevice() -> Backend:
    from offhook.io.audio.sounddevice_backend import SounddeviceBackend

    return SounddeviceBackend()


class SystemCard:
    """The devices of this machine. Takes a function that gives the backend, so that its import costs the tick nothing."""

    def __init__(
        self, make_backend: Callable[[], Backend], clock: Callable[[], float] = time.monotonic, *, rate: int = CARD_RATE,
        voice: str = "own",
    ) -> None:  # fmt: skip
        self.rate = rate
        self._voice_engine = voice
        self._make_backend = make_backend
        self._clock = clock
        self._backend: Backend | None = None
        self._reports: deque[CardReport] = deque(maxlen=100)
        self._voice_ring, self._shared_ring, self._ringer_ring = Ring(rate), Ring(rate), Ring(rate)
        self._microphone, self._reference = Microphone(), Reference(rate)
        kinds: tuple[DeviceKind, ...] = ("input", "output", "ring")
        self._lines = {kind: Line(kind, self, self._reports.append) for kind in kinds}
        self._wanted_voice = VoiceProcessing()
        self._made_voice = VoiceProcessing()
        self._voice: Voice | None = None
        self._known: tuple[DeviceInfo, ...] = ()
        self._told: tuple[DeviceInfo, ...] | None = None  # None: nobody has asked yet
        self._defaults: dict[str, str] = {}
        self._look_at = 0.0
        self._working_since: float | None = None  # None: the card's thread waits for nothing
        self._figures: tuple[DeviceInfo, ...] = ()
        self._figures_at = 0.0
        self._askers: deque[threading.Event] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    # --- the tick's side: nothing here waits, except devices()

    def capture(self) -> bytes:
        """Return one frame from the microphone; silence when there is none."""
        self._want("input")
        got = self._microphone.read()
        if got is None:
            return SILENCE
        frame, ring, at = got
        voice = self._voice
        if voice is None:
            return frame
        try:
            if self._lines["output"].current is None:
                return voice.process(frame, None)
            beside = self._reference.beside(ring, at, len(frame) // 2)
            if beside.fresh:
                voice.restart()
            return voice.process(frame, beside.samples, beside.moved)
        except (RuntimeError, ValueError) as problem:  # a library that gives up must not take the call with it
            self._voice = None
            self._reports.append(VoiceFailed(f"voice processing has stopped: {problem}"))
            return frame

    def play(self, frame: bytes) -> None:
        """Queue one frame for the loudspeaker."""
        self._want("output")
        self._voice_ring.write(frame)

    def ring(self, frame: bytes) -> None:
        """Queue one frame for the ring device; without one of its own the ring is mixed into the loudspeaker.

        So it is while that device fails: a loudspeaker that rings unasked is less harm than a call that nobody notices.
        """
        line = self._lines["ring"]
        if line.selected:
            self._want("ring")
            self._ringer_ring.write(frame)
        if not line.selected or line.failed:
            self._want("output")
            self._shared_ring.write(frame)

    def select(self, kind: DeviceKind, device_id: str) -> None:
        """Use this device from now on; a running one plays until the new one does."""
        self._lines[kind].selected = device_id
        if self._thread is not None:
            self._wake.set()

    def process(self, wanted: VoiceProcessing) -> None:
        """Clean the microphone in these ways from now on; what is missing for it comes out of `poll`."""
        self._wanted_voice = wanted
        if self._thread is not None:
            self._wake.set()

    def devices(self) -> DevicesListed:
        """Return the devices there are now and those selected; after two seconds of waiting the last known ones."""
        answered = threading.Event()
        self._askers.append(answered)
        with contextlib.suppress(SetupError):  # who wants sound is told
            self._start()
            answered.wait(LIST_WAIT)
        self._told = self._known  # what comes out of a longer wait is reported
        return self._listed()

    def poll(self) -> CardReport | None:
        """Return the next thing to report, or None."""
        since = self._working_since
        if since is not None and (now := self._clock()) - since > START_LIMIT:
            for line in self._lines.values():
                line.hangs(now)
        return self._reports.popleft() if self._reports else None

    def close(self) -> None:
        """Close all devices; waits a moment for the library."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(CLOSE_WAIT)

    def _want(self, kind: DeviceKind) -> None:
        line = self._lines[kind]
        line.used += 1
        if line.wanted:
            return
        line.wanted = True
        try:
            self._start()
        except SetupError as problem:  # the tick goes on, and tries it again with its next frame
            line.wanted = False
            if not line.failed:
                line.failed = True
                self._reports.append(DeviceFailed(kind, line.selected, str(problem)))

    def _start(self) -> None:
        if self._thread is None and not self._closing:
            self._thread = begin(self._run, "offhook-sound")
        self._wake.set()

    def _listed(self) -> DevicesListed:
        return DevicesListed(self._with_figures(), tuple((kind, line.selected) for kind, line in self._lines.items()))

    def _with_figures(self) -> tuple[DeviceInfo, ...]:
        """Return the devices, with what is known of those in use."""
        using: dict[tuple[str, str], Opened] = {}
        for line in self._lines.values():
            if (current := line.current) is not None and not line.failed:
                side = "input" if line.kind == "input" else "output"
                using.setdefault((side, line.selected or self._defaults.get(side, "")), current)
        return tuple(
            device if (used := using.get((device.kind, device.id))) is None else structs.replace(
                device, latency_ms=used.latency_ms, underruns=used.end.underruns, overruns=used.end.overruns
            )
            for device in self._known
        )  # fmt: skip

    # --- the card's own thread

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(self._patience())
            self._wake.clear()
            try:
                self.check()
            except Exception as problem:  # the outermost loop: a surprise in a driver's library must not end all sound
                self._surprised(problem)
        for line in self._lines.values():
            line.shut()

    def _patience(self) -> float:
        lines = self._lines.values()
        if any(line.busy for line in lines):
            return CHECK_SOON
        if any(line.wanted for line in lines):
            return CHECK_EVERY
        return max(CHECK_EVERY, self._look_at - self._clock())

    def _surprised(self, problem: Exception) -> None:
        for line in self._lines.values():
            if line.wanted:
                line.died(self._clock(), f"{type(problem).__name__}: {problem}")

    def check(self) -> None:
        """Do what is due: answer askers, notice who came and went, open what is wanted, exchange what was selected."""
        self._working_since = self._clock()
        try:
            self._check()
        finally:
            self._working_since = None

    def _check(self) -> None:
        if self._askers:
            self._answer()
        elif self._clock() >= self._look_at:
            with contextlib.suppress(BackendError):
                self._look()
        if self._wanted_voice != self._made_voice and self._lines["input"].wanted:
            self._change_voice(self._wanted_voice)
        self._tell_figures()
        for kind, line in self._lines.items():
            if line.wanted:
                side = "input" if kind == "input" else "output"
                line.tend(self._clock(), Choice(line.selected, "" if line.selected else self._defaults.get(side, "")))

    def _tell_figures(self) -> None:
        now = self._clock()
        if self._told is None or now < self._figures_at:
            return
        self._figures_at = now + FIGURES_EVERY
        figures = tuple(device for device in self._with_figures() if device.latency_ms)
        if figures != self._figures:
            self._figures = figures
            self._reports.append(self._listed())

    def _change_voice(self, wanted: VoiceProcessing) -> None:
        self._made_voice = wanted
        try:
            self._voice = make_voice(self.rate, wanted, self._voice, self._voice_engine)
        except ImportError as problem:
            self._voice = None
            self._reports.append(VoiceFailed(str(problem)))

    def _answer(self) -> None:
        # Whatever happens in the library, who asked gets an answer.
        with contextlib.suppress(BackendError):
            self._look()
        while self._askers:
            self._askers.popleft().set()

    def _look(self) -> list[FoundDevice]:
        began = self._clock()
        self._look_at = began + LOOK_IDLE
        if self._backend is None:
            self._backend = self._make_backend()
        spent = time.thread_time()
        found = self._backend.find()
        spent = time.thread_time() - spent
        every = LOOK_EVERY if any(line.wanted for line in self._lines.values()) else LOOK_IDLE
        self._look_at = began + max(every, LOOK_SHARE * spent)
        self._known = tuple(device.info for device in found)
        self._defaults = {device.kind: device.id for device in self._known if device.default}
        if self._known != self._told and not self._askers:
            if self._told is not None:
                self._reports.append(self._listed())
            self._told = self._known
        return found

    # --- what lines ask for

    def open(self, line: Line, selected: str) -> Opened:
        """Open a device for a line. Raises BackendError."""
        found = self._look()
        side = "input" if line.kind == "input" else "output"
        choices = [device for device in found if device.info.kind == side]
        if not choices:
            raise BackendError(f"this machine has no {side} device")
        native = None
        if selected:
            native = next((device.native for device in choices if device.info.id == selected), None)
            if native is None:
                raise BackendError("the selected device is not there")
        assert self._backend is not None
        now, rate = self._clock(), self.rate
        if line.kind == "input":
            capture = Capture(rate)
            opened = Opened(capture, now)
            opened.device = self._backend.open_input(native, rate, counting_push(opened, capture.ring.write, self._clock))
            return opened
        rings = (self._voice_ring, self._shared_ring) if line.kind == "output" else (self._ringer_ring,)
        speaker = Speaker(*(Playout(ring, rate, silent=True) for ring in rings))
        opened = Opened(speaker, now)
        opened.device = self._backend.open_output(native, rate, counting(opened, speaker.pull, self._clock))
        return opened

    def take(self, line: Line, opened: Opened) -> None:
        """Let a device be heard."""
        if line.kind != "ring":
            self._reference.restart()
        if isinstance(opened.end, Capture):
            self._microphone.coming = opened.end
        elif isinstance(opened.end, Speaker):
            if line.kind == "output":
                opened.end.reference = self._reference
            opened.end.fade_in()

    def leave(self, line: Line, opened: Opened) -> None:
        """Let a device be heard no more."""
        if isinstance(opened.end, Speaker):
            opened.end.reference = None
            opened.end.fade_out()

    def look_again(self) -> None:
        """Look which devices there are when things are next seen to."""
        self._look_at = 0.0
