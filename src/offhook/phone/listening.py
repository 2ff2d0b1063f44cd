"""What calls are listened to for: digits in the sound, tones, speech, and who answered."""

from __future__ import annotations

from typing import get_args

from offhook.errors import InvalidArgument
from offhook.media import messages as media
from offhook.phone.call import CONNECTED, Call, Wishes
from offhook.phone.commands import Accepted, Answer, Detect, Dial
from offhook.phone.desk import Desk
from offhook.phone.events import AmdResult, ToneDetected, VadSpeechStarted, VadSpeechStopped
from offhook.phone.model import CallState


class Listening:
    """Has calls listened to."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        desk.on_stepped.append(self._follow)

    def detect(self, command: Detect) -> Accepted:
        """Listen for these things, and nothing else."""
        call = self.desk.find(command.call)
        check_detections(command.what, "what")
        call.detects = tuple(dict.fromkeys(command.what))
        if call.port:
            self._ask(call)
        return Accepted(call=call.id)

    def _wanted(self, call: Call) -> tuple[media.Detection, ...]:
        return self.desk.settings.detect if call.detects is None else call.detects  # type: ignore[return-value]  # checked

    def _ask(self, call: Call) -> None:
        """Have the media listen; nobody has answered yet while there is only early media."""
        wanted = tuple(each for each in self._wanted(call) if each != "amd" or call.is_connected)
        if wanted or call.listening:
            call.listening = bool(wanted)
            self.desk.media(media.Detect(call.id, wanted))

    def _follow(self, call: Call, before: CallState) -> None:
        """Begin with the first sound, and with the answer."""
        first = call.is_connected and before not in CONNECTED
        if self._wanted(call) and (first or call.state is CallState.EARLY):
            self._ask(call)

    # --- reports

    def speech_started(self, _report: media.SpeechStarted, call: Call) -> None:
        """The far end speaks."""
        self.desk.emit(VadSpeechStarted(call=call.view()))

    def speech_stopped(self, report: media.SpeechStopped, call: Call) -> None:
        """The far end is silent."""
        self.desk.emit(VadSpeechStopped(call=call.view(), duration_ms=report.duration_ms))

    def tone_heard(self, report: media.ToneHeard, call: Call) -> None:
        """A signal."""
        self.desk.emit(
            ToneDetected(call=call.view(), tone=report.tone, frequency=report.frequency, duration_ms=report.duration_ms)
        )

    def judged(self, report: media.AnswerJudged, call: Call) -> None:
        """It is decided who answered."""
        found = report.judgement
        self.desk.emit(
            AmdResult(
                call=call.view(), result=found.verdict, reason=found.reason, after_ms=found.after_ms,
                greeting_ms=found.greeting_ms, words=found.words,
            )
        )  # fmt: skip


def check_detections(what: tuple[media.Detection, ...], field: str) -> None:
    """Refuse what nobody can listen for."""
    if not set(what) <= set(get_args(media.Detection)):
        raise InvalidArgument.field(field, "of dtmf, tones, beep, vad and amd")


def wish(call: Call, command: Dial | Answer) -> None:
    """Note what whoever dials or answers wants to be done with the call."""
    if command.detect:
        call.detects = tuple(dict.fromkeys((*(call.detects or ()), *command.detect)))
    if command.record or command.play:
        call.wishes = Wishes(command.record, command.play)
