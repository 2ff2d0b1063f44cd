"""Who cleans the microphone."""

from __future__ import annotations

import builtins
import math
import re
import struct
from typing import Any

import pytest

from offhook.io.audio.voices import make_voice
from offhook.media.messages.card import VoiceProcessing
from offhook.media.voice.chain import GainVoice, OwnVoice

ALL = VoiceProcessing(True, True, True)


def without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let these packages be missing."""
    real = builtins.__import__

    def importing(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] in names:
            raise ImportError(f"No module named {name!r}")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", importing)


def test_nothing_wanted_and_only_the_level(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "numpy")
    assert make_voice(16_000, VoiceProcessing(), None) is None
    assert isinstance(make_voice(16_000, VoiceProcessing(gain_control=True), None), GainVoice)


def test_what_is_running_is_changed() -> None:
    pytest.importorskip("numpy")
    voice = make_voice(16_000, VoiceProcessing(echo_cancellation=True), None)
    assert isinstance(voice, OwnVoice)
    assert make_voice(16_000, ALL, voice) is voice
    assert isinstance(make_voice(16_000, ALL, GainVoice()), OwnVoice)


@pytest.mark.parametrize(("engine", "missing", "what"), [("own", "numpy", "numpy"), ("webrtc", "livekit", "'offhook[aec]'")])
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, engine: str, missing: str, what: str) -> None:
    without(monkeypatch, missing)
    with pytest.raises(ImportError, match=re.escape(f"pip install {what}")):
        make_voice(16_000, ALL, None, engine)


def test_webrtc_takes_an_echo_out() -> None:
    pytest.importorskip("livekit")
    voice = make_voice(16_000, VoiceProcessing(echo_cancellation=True), None, "webrtc")
    assert voice is not None
    samples = [round(8000 * math.sin(place * place / 3e7) * (place // 8000 % 2)) for place in range(6 * 16_000)]
    late = [0] * 1600 + [sample // 2 for sample in samples]
    heard = left = 0
    for start in range(0, len(samples), 320):
        mic = struct.pack("<320h", *late[start : start + 320])
        made = struct.unpack("<320h", voice.process(mic, struct.pack("<320h", *samples[start : start + 320])))
        if start > 3 * 16_000:
            heard += sum(sample * sample for sample in late[start : start + 320])
            left += sum(sample * sample for sample in made)
    assert left < heard / 100
    voice.change(VoiceProcessing())
    assert len(voice.process(bytes(640), None)) == 640
