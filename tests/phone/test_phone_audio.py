"""Audio links on the phone's side: who may open one, what is told, and that none outlives its call."""

from __future__ import annotations

from typing import Any

import pytest

from offhook.errors import InvalidArgument, InvalidState, NotFound
from offhook.media import messages as media
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.audio import LINKS_LIMIT
from offhook.testing.phones import over, rings, settle, talk, two_phones
from offhook.testing.wire import Wire


def test_a_link_is_opened_closed_and_told_to_the_engine() -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    accepted = alice.execute(c.OpenAudio(rate=24000, hear=False))
    audio = accepted.value["audio"]
    assert accepted.call == call
    assert alice.did(media.OpenAudio) == [media.OpenAudio(call, audio, 24000, False, True)]
    second = alice.execute(c.OpenAudio(call=call)).value["audio"]
    assert second != audio
    assert alice.did(media.OpenAudio)[1] == media.OpenAudio(call, second, 16000, True, True)
    assert alice.execute(c.CloseAudio(audio=audio)).call == call
    assert alice.did(media.CloseAudio) == [media.CloseAudio(call, audio)]
    assert isinstance(alice.refuses(c.CloseAudio(audio=audio)), NotFound)
    bob.execute(c.Hangup())
    over(alice, bob)
    assert isinstance(alice.refuses(c.CloseAudio(audio=second)), NotFound)


@pytest.mark.parametrize(("command", "error"), [
    (c.OpenAudio(call="c_9"), NotFound),
    (c.OpenAudio(rate=44100), InvalidArgument),  # type: ignore[arg-type]
    (c.OpenAudio(hear=False, speak=False), InvalidArgument),
    (c.CloseAudio(audio=""), NotFound),
    (c.CloseAudio(audio="aud_9"), NotFound),
])
def test_what_is_refused_changes_nothing(command: c.Command, error: type[Exception]) -> None:
    alice, bob = two_phones(Wire())
    talk(alice, bob)
    assert isinstance(alice.refuses(command), error)


def test_a_call_has_so_many_links_at_most() -> None:
    alice, bob = two_phones(Wire())
    talk(alice, bob)
    first = alice.execute(c.OpenAudio()).value["audio"]
    for _ in range(LINKS_LIMIT - 1):
        alice.execute(c.OpenAudio())
    assert isinstance(alice.refuses(c.OpenAudio()), InvalidState)
    alice.execute(c.CloseAudio(audio=first))
    alice.execute(c.OpenAudio())


def test_a_call_that_is_never_answered_leaves_no_link() -> None:
    wire = Wire()
    alice, bob = two_phones(wire)
    call = alice.dial(bob)
    early = alice.execute(c.OpenAudio(call=call)).value["audio"]
    wire.run_until(rings(bob), 10)
    waiting = bob.execute(c.OpenAudio()).value["audio"]
    assert bob.did(media.OpenAudio)[0].audio == waiting
    alice.execute(c.Hangup())
    over(alice, bob)
    assert [closing.audio for closing in alice.did(media.CloseAudio)] == [early]
    assert [closing.audio for closing in bob.did(media.CloseAudio)] == [waiting]


def test_a_new_engine_knows_of_no_link() -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    audio = alice.execute(c.OpenAudio()).value["audio"]
    alice.receive(media.EngineTrouble("late", 300.0))
    alice.execute(c.CloseAudio(audio=audio))
    other = alice.execute(c.OpenAudio()).value["audio"]
    alice.receive(media.EngineTrouble("the media worker ended", streams=(call,)))
    assert isinstance(alice.refuses(c.CloseAudio(audio=other)), NotFound)


def test_reports_become_events_of_the_call() -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    audio = alice.execute(c.OpenAudio()).value["audio"]
    reports: list[media.MediaReport] = [
        media.AudioMarkReached(call, audio, "greeting", 1240),
        media.AudioCleared(call, audio, 1300, 700, ("rest",)),
        media.AudioUnderrun(call, audio, 1500),
        media.AudioOverrun(call, audio, "hear", 40),
        media.AudioFrames(((audio, 0, bytes(640), 0),)),
    ]
    said = len(alice.events)
    for report in reports:
        alice.receive(report)
    told: list[Any] = alice.events[said:]
    assert [event.type for event in told] == ["audio.mark_reached", "audio.cleared", "audio.underrun", "audio.overrun"]
    assert {(event.call.id, event.audio) for event in told} == {(call, audio)}
    mark, cleared, underrun, overrun = told
    assert (mark.name, mark.played_ms) == ("greeting", 1240)
    assert (cleared.played_ms, cleared.dropped_ms, cleared.marks) == (1300, 700, ("rest",))
    assert (underrun.played_ms, overrun.direction, overrun.dropped_ms) == (1500, "hear", 40)


def test_a_link_that_the_engine_closed_is_forgotten() -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    audio = alice.execute(c.OpenAudio()).value["audio"]
    alice.receive(media.AudioClosed(call, audio, error="no such call"))
    assert isinstance(alice.refuses(c.CloseAudio(audio=audio)), NotFound)


def test_what_comes_after_the_call_is_not_told() -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    audio = alice.execute(c.OpenAudio()).value["audio"]
    alice.execute(c.Hangup())
    alice.receive(media.AudioMarkReached(call, audio, "late", 10))
    alice.receive(media.AudioClosed(call, audio, 10))
    settle(alice.wire)
    assert not alice.of(e.AudioMarkReached)
    over(alice, bob)
