"""What the person at the phone hears and says: meters and the microphone's test; the rest is in test_media_engine."""

from __future__ import annotations

import struct

import pytest
from virtual_media import FakeCard, MemoryStudio

from offhook.media.handset import OPENING_FRAMES, Handset
from offhook.media.messages import MediaReport, PlayLocalTone, SetLevels, card
from offhook.media.messages.card import LevelsMeasured, MeterLevels, MicrophoneTested, VoiceProcessing
from offhook.media.sources import SILENCE


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
