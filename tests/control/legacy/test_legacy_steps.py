"""The few things an older form asks for that are no command: nudges, and a loudspeaker that comes back."""

from __future__ import annotations

from offhook.control.legacy.command_line import run_command_line
from offhook.control.legacy.steps import SpeakerMemory
from offhook.phone.commands import SetVolume
from offhook.testing.backend import FakeBackend


def test_the_speaker_comes_back_as_loud_as_it_was(backend: FakeBackend) -> None:
    memory = SpeakerMemory()
    for line, volume in (("msip:speakmute", 0), ("msip:speakmute", 0), ("msip:speakunmute", 60), ("msip:speakunmute", 60)):
        run_command_line(backend.execute, line, memory)
        assert backend.audio.output_volume == volume


def test_a_speaker_that_something_else_silenced_comes_back_whole(backend: FakeBackend) -> None:
    backend.execute(SetVolume(volume=0))
    for line, volume in (("msip:speakmute", 0), ("msip:speakunmute", 100)):
        run_command_line(backend.execute, line)
        assert backend.audio.output_volume == volume


def test_up_and_down_stay_within_0_and_100(backend: FakeBackend) -> None:
    for line in ("msip:micup", "msip:micup", "msip:speakdown", "msip:micdown", "msip:micdown", "msip:micdown"):
        run_command_line(backend.execute, line)
    for _ in range(2):
        run_command_line(backend.execute, "msip:speakup")
    assert (backend.audio.output_volume, backend.audio.mic_volume) == (65, 45)
    for _ in range(12):
        run_command_line(backend.execute, "msip:speakup")
        run_command_line(backend.execute, "msip:micdown")
    assert (backend.audio.output_volume, backend.audio.mic_volume) == (100, 0)
