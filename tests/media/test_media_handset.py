"""What the person at the phone hears and says: meters and the microphone's test; the rest is in test_media_engine."""

from __future__ import annotations

import struct
from array import array
from itertools import pairwise

import pytest
from virtual_media import FakeCard, MemoryStudio

from offhook.media.handset import OPENING_FRAMES, Handset
from offhook.media.messages import MediaReport, PlayLocalTone, SetLevels, card
from offhook.media.messages.card import LevelsMeasured, MeterLevels, MicrophoneTested, VoiceProcessing
from offhook.media.sources import SILENCE, solid


class House:
    def __init__(self) -> None:
        self.studio = MemoryStudio()
        self.studio.card = FakeCard(16_000)
        self.card = self.studio.card
        self.reports: list[MediaReport] = []
        self.handset = Handset(self.studio, self.reports.append)
        self.handset.open()

    def run(self, frames: int, far: bytes = SILENCE, *, talking: bool = False) -> list[bytes]:
        return [self.handset.exchange(self.card, far, talking) for _ in range(frames)]


def square(value: int) -> bytes:
    return struct.pack("<hh", value, -value) * 160


def test_levels_of_both_sides() -> None:
    house = House()
    house.card.mic = square(3277)  # a tenth of full scale: -20 dB
    house.handset.execute(MeterLevels(100, 400))
    house.run(20, square(328), talking=True)
    assert house.reports == [LevelsMeasured(-20.0, -40.0)] * 4
    house.run(20, talking=True)
    assert len(house.reports) == 4
    assert house.handset.idle


def test_levels_without_a_call() -> None:
    house = House()
    house.card.mic = square(3277)
    house.handset.execute(MeterLevels(200, 10_000))
    assert not house.handset.idle
    assert set(house.run(10)) == {SILENCE}  # nobody else hears it
    assert house.reports == [LevelsMeasured(-20.0, -96.0)]
    assert house.card.played == []
    house.handset.execute(MeterLevels(200, 0))
    assert house.handset.idle


def test_levels_are_those_behind_volume_and_mute() -> None:
    house = House()
    house.card.mic = square(3277)
    house.handset.execute(SetLevels(10, 100, True))
    house.handset.execute(MeterLevels(100, 100))
    house.run(5, square(3277), talking=True)
    (levels,) = house.reports
    assert isinstance(levels, LevelsMeasured)
    assert levels.input_db == -96.0
    assert levels.output_db == pytest.approx(-40.0, abs=0.1)


def test_a_microphone_is_recorded_and_played_back() -> None:
    house = House()
    house.handset.execute(card.TestMicrophone(200))
    house.run(50)  # the device is being opened
    assert house.reports == []
    house.card.mic = square(33)
    house.run(5)
    house.card.mic = square(3277)
    house.run(5)
    assert house.reports == [MicrophoneTested(-20.0)]  # the loudest tenth of a second, which was the second
    house.run(10)
    assert house.card.played == [square(33)] * 5 + [square(3277)] * 5
    assert house.handset.idle


def test_a_microphone_that_never_speaks() -> None:
    house = House()
    house.handset.execute(card.TestMicrophone(200))
    house.run(OPENING_FRAMES + 20)
    assert house.reports == [MicrophoneTested(-96.0)]
    assert house.handset.idle


def test_a_call_takes_the_microphone_from_its_test() -> None:
    house = House()
    house.card.mic = square(3277)
    house.handset.execute(card.TestMicrophone(200))
    house.run(5)
    assert house.run(1, talking=True) == [square(3277)]
    assert house.handset.idle
    house.run(20)
    assert house.reports == []


def test_processing_reaches_the_card() -> None:
    house = House()
    house.handset.execute(VoiceProcessing(echo_cancellation=True))
    assert house.card.processing == VoiceProcessing(echo_cancellation=True)


def test_a_tone_has_the_rate_of_the_card() -> None:
    house = House()
    house.handset.execute(PlayLocalTone("ringback"))
    house.run(5)
    assert {len(frame) for frame in house.card.played} == {640}


def steps(frames: list[bytes], before: int) -> int:
    """Return the widest step from sample to sample of one side's frames, beginning at `before`."""
    heard = [before, *array("h", b"".join(solid(frame, 16_000) for frame in frames))]
    return max(abs(one - other) for one, other in pairwise(heard))


@pytest.mark.parametrize("levels", [SetLevels(40, 40, False), SetLevels(0, 100, True), SetLevels(0, 0, False)])
def test_a_change_of_volume_makes_no_click(levels: SetLevels) -> None:
    house = House()
    even = array("h", [8000] * 320).tobytes()
    house.card.mic = even
    for wanted in (levels, SetLevels(100, 100, False)):
        house.handset.execute(SetLevels(100, 100, False) if wanted is levels else levels)
        house.run(2, even, talking=True)
        before = len(house.card.played)
        last = array("h", solid(house.run(1, even, talking=True)[0], 16_000))[-1]
        house.handset.execute(wanted)
        said = house.run(3, even, talking=True)
        assert steps(said, last) <= 8000 // 320 + 1
        assert steps(house.card.played[before:], array("h", house.card.played[before])[0]) <= 8000 // 320 + 1
        assert set(array("h", solid(said[-1], 16_000))) == {0 if wanted.mic_muted else 80 * wanted.mic_volume}


def test_a_microphone_that_was_muted_before_the_call_is_not_heard_at_all() -> None:
    house = House()
    house.card.mic = square(3277)
    house.run(3, talking=True)
    house.handset.execute(SetLevels(100, 100, True))
    house.handset.open()  # the next call begins
    assert set(house.run(3, talking=True)) == {SILENCE}
