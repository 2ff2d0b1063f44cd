"""What a call is listened to for: the detectors that were asked for, fed with every frame of the far end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from offhook.media import pcm
from offhook.media.detect.digits import BLOCK_BYTES, DtmfDetector, key_in
from offhook.media.detect.machine import Judge
from offhook.media.detect.speech import Speech
from offhook.media.detect.tones import Heard, Progress, Signals
from offhook.media.detect.whistle import Whistle
from offhook.media.messages import (
    AnswerJudged,
    Detection,
    DigitReceived,
    MediaReport,
    SpeechStarted,
    SpeechStopped,
    StreamId,
    ToneHeard,
)
from offhook.media.sources import FRAME_MS

BEEP_WITHIN_MS: Final = 60_000
"""After a machine was recognised: longer announcements are rare, and every note of music could be a beep."""
QUIET_RMS: Final = 40
TONE_FRAMES: Final = 1
"""Frames of a steady tone after which it is nobody who speaks."""


class Ear:
    """Listens to one stream. `feed` takes the far end's frames at 8 kHz, `SILENCE` included; `report` is told."""

    def __init__(self, stream: StreamId, what: frozenset[Detection], report: Callable[[MediaReport], object]) -> None:
        self.what: frozenset[Detection] = frozenset()
        self._stream = stream
        self._report = report
        self._now_ms = self._spoke_at = 0
        self._beeps_until = -1
        self._digits: DtmfDetector | None = None
        self._judge: Judge | None = None
        self._speech: Speech | None = None
        self._progress: Progress | None = None
        self._whistle: Whistle | None = None
        self._signals = Signals()
        self._steady_frames = 0
        self._speaking = False
        self.change(what)

    def change(self, what: frozenset[Detection]) -> None:
        """Listen for these from now on; whatever was listened for before and still is goes on undisturbed."""
        former, self.what = self.what, what
        if "dtmf" not in what:
            self._finish_digits()
        if "vad" in former - what and self._speaking:
            self._report(SpeechStopped(self._stream, self._now_ms - self._spoke_at))
        elif "vad" in what - former:
            self._speaking = False  # speech that is under way is told from here on
        if "amd" not in what:
            self._beeps_until = -1
        self._digits = (self._digits or DtmfDetector()) if "dtmf" in what else None
        self._judge = (self._judge or Judge()) if "amd" in what else None
        self._speech = (self._speech or Speech()) if what & {"vad", "amd"} else None
        self._progress = (self._progress or Progress()) if "tones" in what else None
        self._whistle = (self._whistle or Whistle()) if what & {"tones", "beep", "amd", "vad"} else None

    def feed(self, frame: bytes) -> None:
        """Listen to 20 ms."""
        self._now_ms += FRAME_MS
        rms = pcm.rms(frame)
        if self._digits is not None:
            for digit, duration_ms in self._digits.feed(frame):
                self._report(DigitReceived(self._stream, digit, "inband", duration_ms))
        tone = self._follow_tones(frame, rms)
        if self._speech is not None:
            tone = tone or (rms > QUIET_RMS and bool(key_in(frame[:BLOCK_BYTES])))
            self._follow_speech(self._speech.feed(frame, 0 if tone else rms))

    def close(self) -> None:
        """Tell what was under way."""
        self._finish_digits()
        self._follow_speech(False)

    def _finish_digits(self) -> None:
        if self._digits is not None:
            for digit, duration_ms in self._digits.finish():
                self._report(DigitReceived(self._stream, digit, "inband", duration_ms))

    def _follow_tones(self, frame: bytes, rms: int) -> bool:
        """Report signals; return whether a tone sounds, which is nobody's voice."""
        if self._whistle is None:
            return False
        steady = self._whistle.feed(frame, rms)
        self._steady_frames = self._steady_frames + 1 if steady is not None and not steady.over else 0
        beeps = "beep" in self.what or self._now_ms <= self._beeps_until
        signal = self._signals.feed(steady, beeps=beeps)
        if signal is not None:
            self._tell(signal)
        if self._progress is not None:
            progress = self._progress.feed(frame)
            if progress is not None:
                self._tell(progress)
            return self._steady_frames >= TONE_FRAMES or self._progress.sounds
        return self._steady_frames >= TONE_FRAMES

    def _tell(self, heard: Heard) -> None:
        if heard.tone == "beep" or "tones" in self.what:
            self._report(ToneHeard(self._stream, heard.tone, heard.frequency, heard.duration_ms))
        if heard.tone in ("fax_calling", "fax_answer") and self._judge is not None:
            judgement = self._judge.fax()
            if judgement is not None:
                self._report(AnswerJudged(self._stream, judgement))

    def _follow_speech(self, speaking: bool) -> None:
        if speaking != self._speaking:
            self._speaking = speaking
            if speaking:
                self._spoke_at = self._now_ms
            if "vad" in self.what:
                duration_ms = self._now_ms - self._spoke_at
                self._report(SpeechStarted(self._stream) if speaking else SpeechStopped(self._stream, duration_ms))
        if self._judge is not None:
            judgement = self._judge.feed(speaking)
            if judgement is not None:
                self._report(AnswerJudged(self._stream, judgement))
                if judgement.verdict == "machine":
                    self._beeps_until = self._now_ms + BEEP_WITHIN_MS
