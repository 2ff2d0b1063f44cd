"""What the person at the phone hears and says: volumes, signals, levels, a test of the microphone. The card is behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from offhook.media import pcm
from offhook.media.fades import ramp
from offhook.media.messages import ListDevices, MediaReport, PlayLocalTone, SelectDevice, SetLevels
from offhook.media.messages.card import (
    CardCommand,
    LevelsMeasured,
    MeterLevels,
    MicrophoneTested,
    TestMicrophone,
    VoiceProcessing,
)
from offhook.media.meter import Meter, decibels
from offhook.media.reels import Studio
from offhook.media.sources import FRAME_MS, SILENCE, SoundCard, Source, solid

HandsetCommand: TypeAlias = SetLevels | SelectDevice | PlayLocalTone | ListDevices | CardCommand

OPENING_FRAMES: Final = 300
"""A tested microphone gets 6 s to bring the first sound: a device that was asleep wakes after two."""
LOUDEST_FRAMES: Final = 5
"""A test tells the loudest tenth of a second."""


class Handset:
    """One for each engine. The card is opened when something is first asked of it."""

    def __init__(self, studio: Studio, report: Callable[[MediaReport], None]) -> None:
        self.card: SoundCard | None = None
        self._studio = studio
        self._report = report
        self._tone: Source | None = None
        self._tone_rings = False
        self._output, self._ring, self._mic = Volume(), Volume(), Volume()
        self._meter: Meter | None = None
        self._test: _Test | None = None

    @property
    def idle(self) -> bool:
        """Return whether nothing needs a tick."""
        return self._tone is None and self._meter is None and self._test is None

    def open(self) -> SoundCard:
        """Return the sound card. Whoever is about to be heard is not heard at the volume, or unmuted, of before."""
        for volume in (self._output, self._ring, self._mic):
            volume.now = volume.wanted
        if self.card is None:
            self.card = self._studio.sound_card()
        return self.card

    def execute(self, command: HandsetCommand) -> None:
        """Obey."""
        match command:
            case SetLevels():
                self._output.wanted = self._ring.wanted = max(0, min(100, command.output_volume)) / 100
                self._mic.wanted = 0.0 if command.mic_muted else max(0, min(100, command.mic_volume)) / 100
            case SelectDevice():
                self.open().select(command.kind, command.device)
            case PlayLocalTone():
                self._play_local(command)
            case ListDevices():
                self.open()
                self._studio.list_devices()
            case VoiceProcessing():
                self.open().process(command)
            case MeterLevels():
                self.open()
                self._meter = Meter(command.interval_ms, command.duration_ms) if command.duration_ms > 0 else None
            case TestMicrophone():
                self.open()
                self._test = _Test(command) if command.duration_ms > 0 else None

    def exchange(self, card: SoundCard, far: bytes, talking: bool) -> bytes:
        """Play what the far ends say to the person, and return what the person says to them. `talking`: somebody listens."""
        heard = self._mixed(self._tone_frame(card), far)
        mic = SILENCE
        if talking or self._meter is not None or self._test is not None:
            # The microphone is read even when muted, so that it does not speak of the past afterwards.
            mic = card.capture()
        if self._test is not None:
            heard = self._mixed(heard, self._tested(self._test, mic, talking))
        said = self._mic.apply(mic)
        heard = self._output.apply(heard)
        if talking or heard is not SILENCE:
            card.play(solid(heard, card.rate))
        if self._meter is not None:
            self._metered(self._meter, said, heard)
        return said if talking else SILENCE

    def poll(self) -> None:
        """Pass on what the card has to report."""
        while self.card is not None and (report := self.card.poll()) is not None:
            self._report(report)

    def close(self) -> None:
        """Close the card."""
        if self.card is not None:
            self.card.close()

    @staticmethod
    def _mixed(one: bytes, other: bytes) -> bytes:
        if one is SILENCE or other is SILENCE:
            return other if one is SILENCE else one
        return pcm.add(one, other)

    def _play_local(self, command: PlayLocalTone) -> None:
        if self._tone is not None:
            self._tone.close()
            self._tone = None
        if command.tone != "none":
            self._tone = self._studio.signal(command.tone, self.open().rate)
            self._tone_rings = command.tone == "ring"

    def _tone_frame(self, card: SoundCard) -> bytes:
        """Return the frame of the local tone for the loudspeaker; ringing goes to the ring device instead."""
        if self._tone is None:
            return SILENCE
        frame = self._tone.read()
        if frame is None:
            self._tone = None
            return SILENCE
        if not self._tone_rings:
            return frame
        card.ring(solid(self._ring.apply(frame), card.rate))
        return SILENCE

    def _metered(self, meter: Meter, said: bytes, heard: bytes) -> None:
        meter.feed(said, heard)
        if meter.due:
            self._report(LevelsMeasured(*meter.take()))
        if meter.over:
            self._meter = None

    def _tested(self, test: _Test, mic: bytes, talking: bool) -> bytes:
        """Return what the test plays back."""
        if talking:  # a call came in between: it has the microphone
            self._test = None
            return SILENCE
        if test.record(mic):
            self._report(MicrophoneTested(test.level_db))
        frame = test.play()
        if test.over:
            self._test = None
        return frame


class Volume:
    """How loud something is to be, from 0 to 1; in the first frame after a change it gets there, so that no step is heard."""

    def __init__(self) -> None:
        self.wanted = self.now = 1.0

    def apply(self, frame: bytes) -> bytes:
        """Return a frame at this volume."""
        before, wanted = self.now, self.wanted
        self.now = wanted
        if frame is SILENCE or before == wanted == 1.0:
            return frame
        if before != wanted:
            return ramp(frame, before, wanted)
        return pcm.scale(frame, wanted) if wanted else SILENCE


class _Test:
    """A recording that is played back when it is complete."""

    def __init__(self, command: TestMicrophone) -> None:
        self._wanted = max(LOUDEST_FRAMES, command.duration_ms // FRAME_MS)
        self._patience = OPENING_FRAMES
        self._frames: list[bytes] = []
        self._powers: list[float] = []
        self._complete = False

    def record(self, mic: bytes) -> bool:
        """Take a frame; return whether the recording is complete with it."""
        if self._complete:
            return False
        if mic is SILENCE and not self._frames and self._patience > 0:
            self._patience -= 1  # the device is being opened
            return False
        self._frames.append(mic)
        self._powers.append(0.0 if mic is SILENCE else float(pcm.rms(mic)) ** 2)
        self._complete = len(self._frames) >= self._wanted or self._patience <= 0
        return self._complete

    def play(self) -> bytes:
        return self._frames.pop(0) if self._complete and self._frames else SILENCE

    @property
    def over(self) -> bool:
        return self._complete and not self._frames

    @property
    def level_db(self) -> float:
        starts = range(max(1, len(self._powers) - LOUDEST_FRAMES + 1))
        return decibels(max(sum(self._powers[start : start + LOUDEST_FRAMES]) / LOUDEST_FRAMES for start in starts))
