"""Playbacks by their names: beside and after each other, listed, stopped one by one; and music while we hold."""

from __future__ import annotations

import pytest

from offhook.errors import InvalidArgument, InvalidState, NotFound
from offhook.media import messages as media
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.playing import MOST_AT_ONCE
from offhook.phone.settings import PhoneSettings
from offhook.phone.web_requests import DropSound, FetchSound, SoundFetched
from offhook.testing.phones import settle, talk, two_phones
from offhook.testing.wire import Wire

FROM = "https://sounds.example.org/hello.mp3?key=1"


def test_each_has_its_name_and_is_listed() -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    one = alice.execute(c.Play(file="/a.mp3", loop=True)).value["playback"]
    two = alice.execute(c.Play(tone="440", mode="mix", gain_db=-3.0)).value["playback"]
    three = alice.execute(c.Play(url=FROM, mode="queue")).value["playback"]
    four = alice.execute(c.Play(duration_ms=500, mode="queue")).value["playback"]
    alice.receive(media.PlaybackStarted(call, one))
    views = alice.execute(c.ListPlaybacks()).value
    assert [(v.id, v.kind, v.source, v.state) for v in views] == [
        (one, "file", "/a.mp3", "playing"), (two, "tone", "440", "waiting"),
        (three, "url", "https://sounds.example.org/hello.mp3", "fetching"), (four, "silence", "", "waiting"),
    ]  # fmt: skip
    assert [start.mode for start in alice.did(media.StartPlayback)] == ["replace", "mix"], "the last waits for what is fetched"
    alice.execute(c.PausePlay(playback=one))
    assert alice.did(media.PausePlayback) == [media.PausePlayback(call, one, True)]
    alice.execute(c.StopPlay(playback=three))
    assert alice.web_requests == [FetchSound(three, call, FROM), DropSound(three)]
    assert [v.state for v in alice.execute(c.ListPlaybacks(call=call)).value] == ["paused", "waiting", "waiting"]
    assert isinstance(alice.refuses(c.StopPlay(playback="pb_99")), NotFound)
    alice.execute(c.StopPlay())
    assert {stop.playback for stop in alice.did(media.StopPlayback)} == {one, two, four}
    settle(alice.wire, 1)
    assert alice.execute(c.ListPlaybacks()).value == ()
    assert isinstance(alice.refuses(c.StopPlay()), InvalidState)


def test_a_sound_that_is_fetched_keeps_its_mode() -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    alice.execute(c.Play(tone="440"))
    playback = alice.execute(c.Play(url=FROM, mode="mix")).value["playback"]
    assert not alice.did(media.StopPlayback), "what plays goes on"
    alice.receive(SoundFetched(playback, call, "/tmp/1.sound"))
    assert alice.did(media.StartPlayback)[-1].mode == "mix"


def test_a_queue_keeps_its_order_whichever_sound_is_fetched_first() -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    first, second, third = (
        alice.execute(c.Play(mode="queue", **what)).value["playback"]
        for what in ({"url": FROM}, {"url": FROM}, {"tone": "440", "duration_ms": 100})
    )
    alice.receive(SoundFetched(second, call, "/tmp/2.sound"))
    assert not alice.did(media.StartPlayback)
    alice.execute(c.PausePlay(playback=second))
    alice.receive(SoundFetched(first, call, "/tmp/1.sound"))
    assert [start.playback for start in alice.did(media.StartPlayback)] == [first, second, third]
    assert alice.did(media.PausePlayback) == [media.PausePlayback(call, second, True)]


def test_what_plays_is_paused_beside_a_sound_that_is_being_fetched_and_goes_on() -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    plays = alice.execute(c.Play(tone="440")).value["playback"]
    alice.execute(c.Play(url=FROM, mode="mix"))
    settle(alice.wire, 0.1)
    states = []
    for paused in (True, False):
        alice.execute(c.PausePlay(paused=paused))
        states.append([view.state for view in alice.execute(c.ListPlaybacks()).value])
    assert states == [["paused", "fetching"], ["playing", "fetching"]]
    assert alice.did(media.PausePlayback) == [media.PausePlayback(call, plays, paused) for paused in (True, False)]


def test_what_is_queued_behind_a_sound_that_cannot_be_had_is_heard_all_the_same() -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    lost = alice.execute(c.Play(url=FROM)).value["playback"]
    queued = alice.execute(c.Play(tone="440", duration_ms=100, mode="queue")).value["playback"]
    alice.receive(SoundFetched(lost, call, "", "the answer is 404"))
    assert [start.playback for start in alice.did(media.StartPlayback)] == [queued]


def test_a_sound_that_is_fetched_replaces_what_was_before_it_only() -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    before = alice.execute(c.Play(tone="440")).value["playback"]
    fetched = alice.execute(c.Play(url=FROM)).value["playback"]
    beside = alice.execute(c.Play(tone="500", mode="mix")).value["playback"]
    after = alice.execute(c.Play(tone="600", mode="queue")).value["playback"]
    alice.receive(SoundFetched(fetched, call, "/tmp/1.sound"))
    assert [stop.playback for stop in alice.did(media.StopPlayback)] == [before]
    assert [(start.playback, start.mode) for start in alice.did(media.StartPlayback)] == [
        (before, "replace"), (beside, "mix"), (fetched, "mix"), (after, "queue"),
    ]  # fmt: skip


def test_what_waits_for_a_sound_is_told_when_it_is_given_up() -> None:
    alice, bob = two_phones(Wire())
    talk(alice, bob)
    told: list[tuple[str, str]] = []
    for end, reason in (
        (c.StopPlay(), "stopped"), (c.Play(tone="500"), "replaced"), (c.Hangup(), "closed"),
    ):  # fmt: skip
        alice.execute(c.Play(url=FROM, mode="queue"))
        waits = alice.execute(c.Play(tone="440", mode="queue")).value["playback"]
        alice.execute(end)
        told.append((waits, reason))
    ends = {event.playback: event.reason for event in alice.of(e.PlaybackFinished)}
    assert [(playback, ends.get(playback)) for playback, _ in told] == told


def test_a_queue_has_an_end() -> None:
    alice, bob = two_phones(Wire())
    talk(alice, bob)
    for _ in range(MOST_AT_ONCE):
        alice.execute(c.Play(tone="440", mode="queue"))
    assert isinstance(alice.refuses(c.Play(tone="440", mode="queue")), InvalidState)
    assert isinstance(alice.refuses(c.Play(tone="440", mode="then")), InvalidArgument)  # type: ignore[arg-type]
    alice.execute(c.Play(tone="440"))


def test_how_much_was_heard_is_told_though_the_call_is_over() -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    played = alice.execute(c.Play(tone="440")).value["playback"]
    fetched = alice.execute(c.Play(url=FROM, mode="mix")).value["playback"]
    alice.execute(c.Hangup())
    alice.receive(media.PlaybackDone(call, played, "closed", 1500))
    alice.receive(media.PlaybackDone("c_nobody", "pb_9", "closed", 0))
    told = [(event.playback, event.reason, event.played_ms, str(event.call.state)) for event in alice.of(e.PlaybackFinished)]
    assert told == [(fetched, "closed", 0, "ended"), (played, "closed", 1500, "ended")]


@pytest.mark.parametrize(("setting", "music"), [
    ("tone:440", ("tone", "", (440.0,))), ("/music.mp3", ("file", "/music.mp3", ())),
])  # fmt: skip
def test_music_while_we_hold(setting: str, music: tuple[str, str, tuple[float, ...]]) -> None:
    alice, bob = two_phones(Wire(), one=PhoneSettings(hold_music=setting))
    call, _ = talk(alice, bob)
    before = len(alice.did(media.AttachSound))
    alice.execute(c.Hold())
    settle(alice.wire, 1)
    (found,) = alice.did(media.SetMusic)
    assert (found.kind, found.path, found.frequencies) == music
    assert alice.did(media.AttachSound)[before:] == [media.AttachSound(call, False)], "nobody hears the microphone meanwhile"
    alice.execute(c.Resume())
    settle(alice.wire, 1)
    assert alice.did(media.SetMusic)[-1].kind == "none"
    assert alice.did(media.AttachSound)[-1] == media.AttachSound(call, True)


def test_when_the_far_end_holds_there_is_no_music_of_ours() -> None:
    alice, bob = two_phones(Wire(), one=PhoneSettings(hold_music="tone:440"))
    talk(alice, bob)
    bob.execute(c.Hold())
    settle(alice.wire, 1)
    assert not alice.did(media.SetMusic)


def test_music_that_cannot_be_played_is_told() -> None:
    alice, bob = two_phones(Wire(), one=PhoneSettings(hold_music="tone:1"))
    call, _ = talk(alice, bob)
    alice.execute(c.Hold())
    settle(alice.wire, 1)
    assert "hold_music" in alice.of(e.SystemError)[0].reason
    alice.receive(media.PlaybackDone(call, "hold_music", "failed", 0, "no such file"))
    assert [(event.playback, event.reason) for event in alice.of(e.PlaybackFailed)] == [("hold_music", "no such file")]
