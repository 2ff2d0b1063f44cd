"""Only what was asked for is listened to, and told as reports of the stream."""

from __future__ import annotations

import pytest
from detect_material import cadence, frames, quiet, tone, vowels

from offhook.media.detect.ear import Ear
from offhook.media.messages import (
    AnswerJudged,
    Detection,
    DigitReceived,
    MediaReport,
    SpeechStarted,
    SpeechStopped,
    ToneHeard,
)
from offhook.media.tones import dtmf_frames


def reports(audio: bytes, *what: Detection) -> list[MediaReport]:
    found: list[MediaReport] = []
    ear = Ear("c", frozenset(what), found.append)
    for frame in frames(audio):
        ear.feed(frame)
    ear.close()
    return found


KEYS = quiet(200) + b"".join(b"".join(dtmf_frames(digit, 100)) + quiet(100) for digit in "19#")
BUSY = cadence((425.0,), (500, 500), times=4)


@pytest.mark.lengthy
def test_nothing_but_what_was_asked_for() -> None:
    everything = KEYS + BUSY + quiet(500) + vowels(800) + quiet(500) + tone((1000.0,), 400) + quiet(500)
    assert [r.digit for r in reports(everything, "dtmf") if isinstance(r, DigitReceived)] == ["1", "9", "#"]
    assert [r.tone for r in reports(everything, "tones") if isinstance(r, ToneHeard)] == ["busy"]
    assert [r.tone for r in reports(everything, "beep") if isinstance(r, ToneHeard)][-1:] == ["beep"]
    assert [type(r) for r in reports(everything, "vad")][-2:] == [SpeechStarted, SpeechStopped]
    for what, kinds in (("dtmf", DigitReceived), ("tones", ToneHeard), ("beep", ToneHeard)):
        assert all(isinstance(report, kinds) for report in reports(everything, what))  # type: ignore[arg-type]


def test_a_fax_machine_is_heard_by_who_asked_for_tones_alone() -> None:
    audio = quiet(500) + tone((2100.0,), 1500) + quiet(500)
    assert [r.tone for r in reports(audio, "tones") if isinstance(r, ToneHeard)] == ["fax_answer"]


def test_tones_of_the_network_are_nobody_who_speaks() -> None:
    ring = cadence((425.0,), (1000, 4000), times=2)
    assert not [r for r in reports(ring + BUSY, "vad", "tones") if isinstance(r, SpeechStarted)]


@pytest.mark.lengthy
def test_a_machine_and_then_its_beep() -> None:
    audio = quiet(500) + vowels(4000) + quiet(600) + tone((1000.0,), 400) + quiet(1000)
    judged, beep = reports(audio, "amd")
    assert isinstance(judged, AnswerJudged)
    assert (judged.judgement.verdict, judged.judgement.reason) == ("machine", "long_greeting")
    assert isinstance(beep, ToneHeard)
    assert beep.tone == "beep"
    assert abs(beep.frequency - 1000) < 3


def test_a_person_and_no_beep_is_looked_for() -> None:
    audio = quiet(500) + vowels(700) + quiet(1500) + tone((1000.0,), 400) + quiet(500)
    (judged,) = reports(audio, "amd")
    assert isinstance(judged, AnswerJudged)
    assert judged.judgement.verdict == "human"


def test_a_fax_is_a_machine_at_once() -> None:
    (judged,) = reports(quiet(500) + tone((2100.0,), 3000), "amd")
    assert isinstance(judged, AnswerJudged)
    assert (judged.judgement.verdict, judged.judgement.reason) == ("machine", "fax")


def changing(audio: bytes, *lists: tuple[int, frozenset[Detection]]) -> list[MediaReport]:
    """Return what is told where the list is changed at these milliseconds, the first of them 0."""
    found: list[MediaReport] = []
    ear = Ear("c", lists[0][1], found.append)
    for place, frame in enumerate(frames(audio)):
        for at, what in lists[1:]:
            if at == 20 * place:
                ear.change(what)
        ear.feed(frame)
    ear.close()
    return found


def test_what_is_listened_for_already_goes_on_when_something_is_added() -> None:
    audio = quiet(500) + vowels(1000) + quiet(1500)
    before, after = frozenset[Detection](("amd", "vad")), frozenset[Detection](("amd", "vad", "dtmf"))
    assert changing(audio, (0, before), (1000, after), (2900, before)) == changing(audio, (0, before))
    key = quiet(200) + b"".join(dtmf_frames("5", 100)) + quiet(200)
    digits = frozenset[Detection](("dtmf",))
    assert changing(key, (0, digits), (240, digits | {"vad"})) == changing(key, (0, digits))


def test_what_is_added_begins_in_that_moment_and_what_is_left_out_ends() -> None:
    audio = quiet(500) + vowels(1500) + quiet(1500)
    amd, both = frozenset[Detection](("amd",)), frozenset[Detection](("amd", "vad"))
    kinds = [type(report) for report in changing(audio, (0, amd), (1000, both))]
    assert kinds == [SpeechStarted, SpeechStopped, AnswerJudged]
    started, stopped, judged = changing(audio, (0, both), (1500, amd))
    assert isinstance(started, SpeechStarted)
    assert isinstance(stopped, SpeechStopped)
    assert 900 <= stopped.duration_ms <= 1000
    assert isinstance(judged, AnswerJudged)
