"""Who hears whom: taps on one side or both, whispering, and conferences in which nobody hears themselves; all measured."""

from __future__ import annotations

import pytest
from msgspec import structs
from virtual_media import CONFIG, MemoryStudio, SeededIds, level

from offhook.media.engine import PHASES, Engine
from offhook.media.messages import (
    AttachSound,
    AudioFrames,
    CloseStream,
    ConfigureStream,
    OpenAudio,
    OpenStream,
    SetBridge,
    SetTap,
    Side,
    StartPlayback,
    StartRecording,
)

FAR = {"a": 400.0, "b": 700.0, "s": 1200.0, "d": 1900.0}
"""What the far end of each call says."""
NEAR = {"a": 550.0, "b": 900.0}
"""What we play into each."""
LOUD, FAINT = 1000, 150  # their own tones reach 7300: who is not heard is 33 dB below, what leaks in measuring included


class Room:
    """One engine with several calls, each to an engine of its own that sings one tone."""

    def __init__(self, *names: str) -> None:
        self.now = 1000.0
        self.studio = MemoryStudio()
        self.names = names
        self.engine = Engine(SeededIds(1), self.studio)
        self.others = {name: Engine(SeededIds(100 + place), MemoryStudio()) for place, name in enumerate(names)}
        self.studios = {}
        self._phase = 0
        for place, name in enumerate(names):
            port = 4000 + 2 * place
            studio = self.studios[name] = MemoryStudio()
            other = self.others[name] = Engine(SeededIds(100 + place), studio)
            self.engine.execute(OpenStream(name, port, "us"), self.now)
            other.execute(OpenStream(name, port, "them"), self.now)
            for engine, host in ((self.engine, "10.0.0.2"), (other, "10.0.0.1")):
                engine.execute(
                    ConfigureStream(name, structs.replace(CONFIG, remote=(host, port), remote_rtcp=(host, port + 1))), self.now
                )
            other.execute(StartPlayback(name, "p", "tone", frequencies=(FAR[name],)), self.now)
            other.execute(StartRecording(name, "r", "/heard"), self.now)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 50 * PHASES)):
            self.now += 0.02 / PHASES
            self.engine.tick(self._phase, self.now)
            for other in self.others.values():
                other.tick(self._phase, self.now)
            self._carry(self.engine, self.others, "10.0.0.1")
            for name, other in self.others.items():
                self._carry(other, {name: self.engine}, "10.0.0.2")
            self._phase = (self._phase + 1) % PHASES

    def _carry(self, source: Engine, targets: dict[str, Engine], host: str) -> None:
        for port, packet, (_, to) in source.outbox:
            for engine in targets.values():
                engine.receive(to, packet, (host, port), self.now)
        source.outbox.clear()

    def heard(self, name: str) -> set[str]:
        """Return whose tones the far end of a call hears now."""
        far = self.studios[name].recorders["/heard"].far
        far.clear()
        self.run(0.4)
        return who(far)


def who(frames: list[bytes]) -> set[str]:
    found = set()
    for tones, kind in ((FAR, ""), (NEAR, "near ")):
        for name, frequency in tones.items():
            loud = level(frames, frequency)
            assert loud > LOUD or loud < FAINT, (name, loud)
            if loud > LOUD:
                found.add(kind + name)
    return found


@pytest.mark.parametrize("size", [2, 3, 4])
def test_in_a_conference_everybody_hears_all_others_and_not_themselves(size: int) -> None:
    names = list(FAR)[:size]
    room = Room(*names)
    room.engine.execute(SetBridge("r", tuple(names)), room.now)
    room.run(0.5)
    for name in names:
        assert room.heard(name) == set(names) - {name}


@pytest.mark.parametrize(("hear", "expected"), [
    ("both", {"a", "near a"}), ("far", {"a"}), ("near", {"near a"}), ("none", set()),
])  # fmt: skip
def test_what_is_heard(hear: Side, expected: set[str]) -> None:
    room = Room("a", "s")
    room.engine.execute(StartPlayback("a", "p", "tone", frequencies=(NEAR["a"],)), room.now)
    room.engine.execute(SetTap("a", "s", hear, "far" if hear == "none" else "none"), room.now)
    room.run(0.5)
    assert room.heard("s") == expected
    assert room.heard("a") == ({"near a", "s"} if hear == "none" else {"near a"})


@pytest.mark.parametrize("moved", [False, True])
def test_a_supervisor_who_was_called_first_hears_the_near_side_too(moved: bool) -> None:
    room = Room("s", "a", "b")
    if moved:  # the calls come to the sound card only afterwards
        room.engine.execute(AttachSound("s", True), room.now)
        room.engine.execute(AttachSound("s", False), room.now)
    room.engine.execute(StartPlayback("a", "p", "tone", frequencies=(NEAR["a"],)), room.now)
    room.engine.execute(SetTap("a", "s", "both"), room.now)
    if moved:
        room.engine.execute(AttachSound("a", True), room.now)
    room.engine.execute(SetBridge("r", ("a", "b")), room.now)
    room.run(0.5)
    assert room.heard("s") == {"a", "near a", "b"}


def test_who_speaks_to_the_far_end_does_not_hear_it_back() -> None:
    room = Room("a", "s")
    room.engine.execute(StartPlayback("a", "p", "tone", frequencies=(NEAR["a"],)), room.now)
    room.engine.execute(SetTap("a", "s", "both", "both"), room.now)
    room.run(0.5)
    assert room.heard("s") == {"a", "near a"}
    assert room.heard("a") == {"near a", "s"}


def test_whispering_to_the_person_at_the_phone() -> None:
    room = Room("a", "s")
    room.engine.execute(AttachSound("a", True), room.now)
    room.engine.execute(StartRecording("a", "ours", "/ours"), room.now)
    room.engine.execute(OpenAudio("a", "program", 8000), room.now)
    room.engine.execute(SetTap("a", "s", "both", "near"), room.now)
    room.run(0.5)
    room.studio.card.played.clear()
    assert room.heard("a") == set()  # the customer hears nothing of it
    assert who(room.studio.card.played) == {"a", "s"}
    assert who(room.studio.recorders["/ours"].far[20:]) == {"a"}  # and no recording has it
    told = [report for report in room.engine.reports() if isinstance(report, AudioFrames)]
    frames = [frame for report in told for _, _, frame, _ in report.frames]
    assert who(frames[-20:]) == {"a", "s"}


def test_whispering_to_one_member_of_a_conference() -> None:
    room = Room("a", "b", "s")
    room.engine.execute(SetBridge("r", ("a", "b")), room.now)
    room.engine.execute(SetTap("a", "s", "both", "far"), room.now)
    room.run(0.5)
    assert room.heard("s") == {"a", "b"}
    assert room.heard("a") == {"b", "s"}
    assert room.heard("b") == {"a"}
    room.engine.execute(SetTap("a", "s", "both", "near"), room.now)
    room.run(0.2)
    assert (room.heard("a"), room.heard("b")) == ({"b"}, {"a", "s"})


def test_a_tap_ends_by_word_or_with_a_call() -> None:
    room = Room("a", "s", "d")
    room.engine.execute(SetTap("a", "s", "far"), room.now)
    room.engine.execute(SetTap("a", "d", "far"), room.now)
    room.run(0.5)
    assert room.heard("s") == room.heard("d") == {"a"}
    room.engine.execute(SetTap("a", "s", "none", "none"), room.now)
    room.run(0.2)
    assert (room.heard("s"), room.heard("d")) == (set(), {"a"})
    room.engine.execute(CloseStream("a"), room.now)
    room.run(0.2)
    assert room.heard("d") == set()
