"""A sound card that hears nothing and says nothing, for machines without sound and for tests."""

from __future__ import annotations

from offhook.media.messages import CardReport, DeviceInfo, DeviceKind, DevicesListed
from offhook.media.messages.card import VoiceProcessing
from offhook.media.sources import SAMPLE_RATE, SILENCE

_DEVICES = (
    DeviceInfo("null", "input", "Silence", 0, True),
    DeviceInfo("null", "output", "Silence", 0, True),
)


class NullCard:
    """Silence in, nothing out."""

    def __init__(self, rate: int = SAMPLE_RATE) -> None:
        self.rate = rate
        self._selected: dict[DeviceKind, str] = {"input": "", "output": "", "ring": ""}

    def capture(self) -> bytes:
        """Return silence."""
        return SILENCE

    def play(self, frame: bytes) -> None:
        """Drop the frame."""

    def ring(self, frame: bytes) -> None:
        """Drop the frame."""

    def select(self, kind: DeviceKind, device_id: str) -> None:
        """Remember the choice, so that `devices` tells it."""
        self._selected[kind] = device_id

    def process(self, wanted: VoiceProcessing) -> None:
        """Do nothing: silence is clean."""

    def devices(self) -> DevicesListed:
        """Return one device of each kind, so that choosing works without sound too."""
        return DevicesListed(_DEVICES, tuple(self._selected.items()))

    def poll(self) -> CardReport | None:
        """Return None: nothing ever happens."""
        return None

    def close(self) -> None:
        """Do nothing."""
