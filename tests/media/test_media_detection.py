"""Listening for digits and speech in a call, at either rate."""

from __future__ import annotations

import sys
from pathlib import Path

from virtual_media import ListSource, Pair

from offhook.media.messages import Detect, DigitReceived, SpeechStarted, SpeechStopped, StartPlayback
from offhook.media.tones import dtmf_frames

sys.path.insert(0, str(Path(__file__).parent / "detect"))
from detect_material import frames, quiet, vowels

KEYS = quiet(200) + b"".join(b"".join(dtmf_frames(digit, 100)) + quiet(100) for digit in "19#")


def test_in_a_call() -> None:
    pair = Pair()
    pair.do(0, Detect("c", ("dtmf", "vad")))
    pair.studios[1].files["/said"] = ListSource(list(frames(KEYS + quiet(500) + vowels(1000) + quiet(500))))
    pair.do(1, StartPlayback("c", "p", "file", path="/said"))
    pair.run(4.0)
    assert [(r.digit, r.method) for r in pair.of(0, DigitReceived)] == [("1", "inband"), ("9", "inband"), ("#", "inband")]
    assert len(pair.of(0, SpeechStarted)) == len(pair.of(0, SpeechStopped)) == 1
    pair.do(0, Detect("c", ()))
    pair.studios[1].files["/said"] = ListSource(list(frames(KEYS)))
    pair.do(1, StartPlayback("c", "q", "file", path="/said"))
    pair.run(2.0)
    assert len(pair.of(0, DigitReceived)) == 3


def test_at_a_wideband_rate() -> None:
    pair = Pair(codec="L16/16000", payload_type=96, receive_types=((96, "L16/16000"),))
    pair.do(0, Detect("c", ("dtmf",)))
    pair.studios[1].files["/said"] = ListSource([f for d in "147" for f in (*dtmf_frames(d, 100, 16_000), *[bytes(640)] * 5)])
    pair.do(1, StartPlayback("c", "p", "file", path="/said"))
    pair.run(2.0)
    assert [r.digit for r in pair.of(0, DigitReceived)] == ["1", "4", "7"]
