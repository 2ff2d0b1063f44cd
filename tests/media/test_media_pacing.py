"""Playing faster and slower: what is done to a frame, by how much there is in hand and what is heard in it."""

from __future__ import annotations

import math
from array import array
from random import Random

from offhook.media.pacing import (
    EXCESS_S,
    FORCE_TICKS,
    HURRY_S,
    PACE_TICKS,
    PATIENCE_TICKS,
    PAUSE_TICKS,
    SHORTAGE_S,
    SURPLUS_S,
    Pace,
)

CLOCK = RATE = 8000
FRAME = 160
VOICE = array("h", [int(8000 * math.sin(2 * math.pi * 200 * number / RATE)) for number in range(FRAME)]).tobytes()
HISS = array("h", Random(1).choices(range(-8000, 8000), k=FRAME)).tobytes()  # in which there is no period
NOTHING = bytes(2 * FRAME)
MUCH = (SURPLUS_S + HURRY_S) / 2


def pace(*, behind: bool = True) -> Pace:
    """Return one that finds the same frame once more behind a frame, or nothing."""
    def collect(audio: bytes, at: int, size: int) -> tuple[bytes, int]:
        sound = audio + (audio if behind and len(audio) < size else b"")
        return sound, at + len(sound) // 2
    return Pace(collect, CLOCK, RATE)


def applied(used: Pace, audio: bytes, spare: float, frames: int = 1, off: int = 0) -> int:
    """Return by how much what is heard is longer than what it was made of, of the last of so many frames."""
    for _ in range(frames):
        sound, end = used.apply(audio, 1000, spare, off)
    return len(sound) // 2 - (end - 1000)


def test_with_enough_in_hand_and_not_more_a_frame_is_heard_as_it_is() -> None:
    for spare in (-SHORTAGE_S / 2, 0.0, SURPLUS_S / 2):
        for audio in (VOICE, NOTHING):
            assert pace().apply(audio, 1000, spare, 0)[0] is audio


def test_where_too_little_is_in_hand_a_period_is_heard_twice_in_every_third_frame() -> None:
    used = pace()
    changes = [applied(used, VOICE, -0.010) for _ in range(2 * (PACE_TICKS + 1))]
    assert [change > 0 for change in changes] == 2 * [*PACE_TICKS * [False], True]
    assert applied(pace(), VOICE, -HURRY_S - 0.001) > 0


def test_of_a_pause_a_frame_is_left_out_and_of_a_voice_nothing_while_there_is_patience() -> None:
    used = pace()
    assert [applied(used, NOTHING, MUCH) for _ in range(PAUSE_TICKS)] == [*(PAUSE_TICKS - 1) * [0], -FRAME]
    assert applied(pace(), VOICE, MUCH, PATIENCE_TICKS) == 0
    assert -FRAME < applied(pace(), VOICE, MUCH, PATIENCE_TICKS + 1) < 0


def test_far_too_much_is_left_out_of_a_voice_too_if_there_is_something_behind_it() -> None:
    assert applied(pace(), VOICE, EXCESS_S + 0.001) == -FRAME
    assert applied(pace(behind=False), VOICE, EXCESS_S + 0.001) == 0


def test_a_quiet_moment_brings_what_is_heard_back_to_the_grid_of_the_packets() -> None:
    assert applied(pace(), NOTHING, SURPLUS_S, PAUSE_TICKS, off=40) == 40 - FRAME
    assert applied(pace(), NOTHING, 0.0, PAUSE_TICKS, off=40) == 40
    assert applied(pace(), NOTHING, 0.0, PAUSE_TICKS, off=120) == FRAME // 2  # and the rest in the next frame


def test_sound_without_a_period_is_changed_only_when_there_is_no_other_way() -> None:
    less_than_a_frame, more = -0.015, -0.021
    assert applied(pace(), HISS, less_than_a_frame, PACE_TICKS + 1) == 0
    assert applied(pace(), HISS, more, PACE_TICKS + 1) > 0
    used = pace()
    assert applied(used, HISS, MUCH, FORCE_TICKS) == 0
    assert applied(used, HISS, MUCH) < 0


def test_a_pause_is_made_longer_at_once_where_too_little_is_in_hand() -> None:
    assert applied(pace(), NOTHING, -0.010) == FRAME // 2
