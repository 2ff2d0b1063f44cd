"""What a jitter buffer takes in and gives out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Linear:
    """Audio that is decoded already, because it was not just one frame when it came; where it is less, the rest is missing."""

    pcm: bytes


class Gap:
    """Nothing, where there should be a frame. Each is another one."""

    __slots__ = ()


Item: TypeAlias = bytes | Linear  # a whole packet of exactly one frame, decoded by whoever wants to hear it; or PCM
