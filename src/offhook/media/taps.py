"""Taps: one call hears what is said on the sides of another, and speaks to one of them, both or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offhook.media import pcm
from offhook.media.messages import SetTap, Side
from offhook.media.sources import SILENCE

if TYPE_CHECKING:
    from offhook.media.stream import Stream

_NEAR: frozenset[Side] = frozenset({"near", "both"})
_FAR: frozenset[Side] = frozenset({"far", "both"})


class Tap:
    """The stream `by` listens to `target`."""

    __slots__ = ("_hears_far", "_hears_near", "by", "speaks_far", "speaks_near", "target")

    def __init__(self, command: SetTap, target: Stream, by: Stream) -> None:
        self.target = target
        self.by = by
        self._hears_near, self._hears_far = command.hear in _NEAR, command.hear in _FAR
        self.speaks_near, self.speaks_far = command.speak in _NEAR, command.speak in _FAR

    def mix(self, near: bytes, rate: int) -> bytes:
        """Return what `by` is sent, with what it hears of the target."""
        for wanted, side in ((self._hears_far, self.target.far_at), (self._hears_near, self.target.said_at)):
            if wanted and (frame := side(rate)) is not SILENCE:
                near = frame if near is SILENCE else pcm.add(near, frame)
        return near
