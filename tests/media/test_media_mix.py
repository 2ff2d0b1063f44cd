"""A conference: everybody hears the sum of the others, clipped, never themselves."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from offhook.media.mix import mix, mix_minus_one
from offhook.media.sources import SILENCE


def frame(value: int) -> bytes:
    return struct.pack("<h", value) * 160


@given(st.lists(st.integers(-3000, 3000), max_size=10))
def test_everybody_hears_the_others(values: list[int]) -> None:
    assert mix_minus_one([frame(value) for value in values]) == [frame(sum(values) - value) for value in values]


def test_sums_are_clipped() -> None:
    assert mix([frame(30_000)] * 3) == frame(32_767)
    assert mix_minus_one([frame(30_000), frame(30_000), frame(-5)])[2] == frame(32_767)


def test_nobody_and_one() -> None:
    assert mix([]) == SILENCE
    assert mix_minus_one([]) == []
    assert mix_minus_one([frame(7)]) == [SILENCE]
