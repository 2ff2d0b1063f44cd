"""A conference: everybody hears the sum of the others, clipped, never themselves."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from offhook.media.mix import mix
from offhook.media.sources import SILENCE


def frame(value: int) -> bytes:
    return struct.pack("<h", value) * 160


@given(st.lists(st.integers(-3000, 3000), max_size=10))
def test_frames_are_added(values: list[int]) -> None:
    assert mix([frame(value) for value in values]) == frame(sum(values))


def test_sums_are_clipped() -> None:
    assert mix([frame(30_000)] * 3) == frame(32_767)


def test_nobody_and_one() -> None:
    assert mix([]) == SILENCE
    assert mix([frame(7)]) == frame(7)
