"""WebRTC's audio processing, from the package livekit: another way to clean the microphone, where somebody prefers it.

It costs half of what ours does, and turns more of the voice down when both sides speak at once (bench/bench_echo.py).
The module is used alone: no room, no connection, no server.
"""

from __future__ import annotations

from typing import Any, Final

from offhook.media.messages.card import VoiceProcessing

BLOCKS_A_SECOND: Final = 100
DELAY_MS: Final = 80
"""What is said about the way from loudspeaker to microphone; it finds the rest by itself."""


class WebrtcVoice:
    """One microphone. Raises ImportError where livekit is not installed."""

    def __init__(self, rate: int, wanted: VoiceProcessing) -> None:
        from livekit import rtc
        from livekit.rtc.apm import AudioProcessingModule

        self._rate = rate
        self._frame: Any = rtc.AudioFrame
        self._make: Any = AudioProcessingModule
        self._block = 2 * rate // BLOCKS_A_SECOND
        self._wanted = wanted
        self._module: Any = self._made(wanted)

    def change(self, wanted: VoiceProcessing) -> None:
        """Switch parts on or off; it has to learn the room again."""
        self._wanted, self._module = wanted, self._made(wanted)

    def restart(self) -> None:
        """Begin again, with another device."""
        self._module = self._made(self._wanted)

    def process(self, frame: bytes, played: bytes | None, moved: int = 0) -> bytes:
        """Return the frame of 20 ms cleaned. What was skipped it has to find out by itself."""
        if self._wanted == VoiceProcessing():
            return frame
        if played is not None:
            played = bytes(max(0, len(frame) - len(played))) + played[max(0, len(played) - len(frame)) :]
        module, echo = self._module, self._wanted.echo_cancellation
        made = bytearray()
        for start in range(0, len(frame), self._block):
            heard = self._audio(frame[start : start + self._block])
            if echo:
                far = played[start : start + self._block] if played is not None else bytes(self._block)
                module.process_reverse_stream(self._audio(far))
                module.set_stream_delay_ms(DELAY_MS)
            module.process_stream(heard)
            made += bytes(heard.data)
        return bytes(made)

    def _audio(self, samples: bytes) -> Any:
        return self._frame(bytearray(samples), self._rate, 1, len(samples) // 2)

    def _made(self, wanted: VoiceProcessing) -> Any:
        return self._make(
            echo_cancellation=wanted.echo_cancellation, noise_suppression=wanted.noise_suppression,
            high_pass_filter=True, auto_gain_control=wanted.gain_control,
        )  # fmt: skip
