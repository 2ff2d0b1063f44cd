"""Who cleans the microphone: the numpy code of `media.voice`, WebRTC's where that is asked for, or only the level."""

from __future__ import annotations

from offhook.media.card_messages import VoiceProcessing
from offhook.media.voice.chain import GainVoice, OwnVoice, Voice

MISSING = "echo cancellation and noise suppression need numpy: pip install 'offhook[voice]'"


def make_voice(rate: int, wanted: VoiceProcessing, former: Voice | None) -> Voice | None:
    """Return what cleans in these ways (`former`, changed, where that can), None where nothing is to be done.

    Raises ImportError, with the sentence for people, where the packages for it are not installed.
    """
    if not (wanted.echo_cancellation or wanted.noise_suppression):
        return GainVoice() if wanted.gain_control else None
    if former is not None and not isinstance(former, GainVoice):
        former.change(wanted)
        return former
    try:
        return OwnVoice(rate, wanted)
    except ImportError as problem:
        raise ImportError(MISSING) from problem
