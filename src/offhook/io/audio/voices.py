"""Who cleans the microphone: the numpy code of `media.voice`, WebRTC's where that is asked for, or only the level."""

from __future__ import annotations

from typing import Final

from offhook.media.messages.card import VoiceProcessing
from offhook.media.voice.chain import GainVoice, OwnVoice, Voice

MISSING: Final = "echo cancellation and noise suppression need numpy: pip install numpy"
MISSING_WEBRTC: Final = "WebRTC's voice processing is not installed: pip install 'offhook[aec]', or set media.voice = \"own\""


def make_voice(rate: int, wanted: VoiceProcessing, former: Voice | None, engine: str = "own") -> Voice | None:
    """Return what cleans in these ways: `former`, changed, where that can; None where there is none and nothing to do.

    What runs goes on when nothing is wanted, so that it can end without a click, and knows the room when it is wanted again.
    `engine` is "own" or "webrtc". Raises ImportError, with the sentence for people, where its packages are not installed.
    """
    cleans = wanted.echo_cancellation or wanted.noise_suppression
    if former is not None and not (cleans and isinstance(former, GainVoice)):
        former.change(wanted)
        return former
    if not cleans:
        return GainVoice() if wanted.gain_control else None
    if engine == "webrtc":
        return _webrtc(rate, wanted)
    try:
        return OwnVoice(rate, wanted, former.gain if isinstance(former, GainVoice) else None)
    except ImportError as problem:
        raise ImportError(MISSING) from problem


def _webrtc(rate: int, wanted: VoiceProcessing) -> Voice:
    try:
        from offhook.io.audio.webrtc import WebrtcVoice

        return WebrtcVoice(rate, wanted)
    except ImportError as problem:
        raise ImportError(MISSING_WEBRTC) from problem
