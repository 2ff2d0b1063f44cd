"""Sound: volumes, mute, devices, playing, recording and the signals the person hears."""

from __future__ import annotations

from pathlib import Path

import pytest

from offhook.errors import CommandError, InvalidArgument, InvalidState
from offhook.media import messages as media
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.settings import PhoneSettings
from offhook.phone.web_requests import DropSound, FetchSound, SoundFetched
from offhook.testing.phones import over, rings, settle, talk, two_phones
from offhook.testing.wire import Wire


@pytest.mark.parametrize("command", [
    c.SetVolume(volume=-1), c.SetVolume(volume=101), c.SetMicVolume(volume=101), c.VolumeUp(steps=0), c.VolumeDown(steps=11),
    c.SetDevice(kind="input", device="no such"), c.Play(file="a.wav", tone="440"), c.Play(tone="10"), c.Play(tone="440+x"),
    c.Play(duration_ms=-1), c.Play(gain_db=21), c.Play(gain_db=float("nan")), c.Record(max_seconds=-1),
    c.Record(max_seconds=float("inf")), c.StopPlay(), c.PausePlay(),
    c.StopRecord(), c.PauseRecord(), c.Mute(call="c_9"), c.Loopback(call="c_9"),
])
def test_a_bad_argument_changes_nothing(command: c.Command) -> None:
    alice, bob = two_phones(Wire())
    talk(alice, bob)
    assert isinstance(alice.refuses(command), CommandError)


def test_volume_steps_are_clamped() -> None:
    alice, _ = two_phones(Wire())
    assert alice.execute(c.VolumeUp(steps=3)).value.output_volume == 100
    assert alice.execute(c.VolumeDown(steps=10)).value.output_volume == 0
    assert alice.execute(c.VolumeUp()).value.output_volume == 10
    assert [event.audio.output_volume for event in alice.of(e.AudioChanged)] == [0, 10]
    assert alice.did(media.SetLevels)[-1] == media.SetLevels(10, 100, False)


def test_mute_for_all_and_for_one() -> None:
    alice, bob = two_phones(Wire())
    alice.execute(c.Mute())
    call, _ = talk(alice, bob)
    assert alice.only.muted, "future calls too"
    alice.execute(c.Unmute(call=call))
    assert not alice.only.muted
    assert alice.snapshot().audio.mic_muted
    alice.execute(c.ToggleMute())
    assert not alice.snapshot().audio.mic_muted
    assert alice.did(media.OpenStream)[0].muted
    assert alice.did(media.SetStreamMute) == [media.SetStreamMute(call, False)]


FROM = "https://sounds.example.org/hello.wav?key=1"


def test_a_sound_from_the_web_is_fetched_then_played_then_dropped() -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    accepted = alice.execute(c.Play(url=FROM, loop=True, gain_db=-6.0))
    playback = accepted.value["playback"]
    assert alice.web_requests == [FetchSound(playback, call, FROM)]
    assert not alice.did(media.StartPlayback)
    assert isinstance(alice.refuses(c.PausePlay()), InvalidState)
    alice.receive(SoundFetched(playback, call, "/tmp/1.wav"))
    (start,) = alice.did(media.StartPlayback)
    assert (start.kind, start.path, start.loop, start.gain_db) == ("file", "/tmp/1.wav", True, -6.0)
    alice.execute(c.StopPlay())
    settle(alice.wire, 1)
    assert alice.web_requests[1:] == [DropSound(playback)]
    assert [event.reason for event in alice.of(e.PlaybackFinished)] == ["stopped"]
    bob.execute(c.Hangup())
    over(alice, bob)
    assert alice.web_requests[2:] == []


def test_a_sound_that_cannot_be_had_is_a_failed_playback() -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    accepted = alice.execute(c.Play(url=FROM))
    alice.receive(SoundFetched(accepted.value["playback"], call, error="the answer is 404"))
    (failed,) = alice.of(e.PlaybackFailed)
    assert failed.reason == "the answer is 404"
    outcome = alice.outcome(accepted.operation)
    assert isinstance(outcome, e.OperationFailed)
    assert outcome.reason == "the answer is 404"
    assert isinstance(alice.refuses(c.StopPlay()), InvalidState)


def test_what_is_fetched_is_stopped_replaced_and_ends_with_the_call() -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    alice.execute(c.Play(tone="440"))
    first = alice.execute(c.Play(url=FROM)).value["playback"]
    settle(alice.wire, 1)
    assert [event.reason for event in alice.of(e.PlaybackFinished)] == ["stopped"], "what played is over at once"
    second = alice.execute(c.Play(url=FROM)).value["playback"]
    alice.execute(c.StopPlay())
    assert [event.reason for event in alice.of(e.PlaybackFinished)] == ["stopped", "replaced", "stopped"]
    third = alice.execute(c.Play(url=FROM)).value["playback"]
    bob.execute(c.Hangup())
    over(alice, bob)
    each = (first, second, third)
    assert alice.web_requests == [wanted for name in each for wanted in (FetchSound(name, call, FROM), DropSound(name))]
    alice.receive(SoundFetched(third, call, "/tmp/late.wav"))
    assert alice.web_requests[-1] == DropSound(third), "nobody wants it any more"


@pytest.mark.parametrize("command", [
    c.Play(url="ftp://h/x.wav"), c.Play(url="wss://h/x.wav"), c.Play(url="https://u:p@h/x"), c.Play(url="https://h/a b"),
    c.Play(url=FROM, file="/a.wav"), c.Play(url=FROM, tone="440"), c.Play(url=FROM, tone="1"),
])
def test_bad_places_to_play_from_are_refused(command: c.Play) -> None:
    alice, bob = two_phones(Wire())
    talk(alice, bob)
    assert isinstance(alice.refuses(command), InvalidArgument)
    assert not alice.web_requests


def test_playing_is_stopped_replaced_and_ends_with_the_call() -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    first = alice.execute(c.Play(tone="350+440"))
    second = alice.execute(c.Play(file="/a.wav", loop=True))
    settle(alice.wire, 1)
    assert [event.reason for event in alice.of(e.PlaybackFinished)] == ["replaced"]
    assert isinstance(alice.outcome(first.operation), e.OperationFailed)
    alice.execute(c.PausePlay())
    alice.execute(c.StopPlay())
    settle(alice.wire, 1)
    assert [event.reason for event in alice.of(e.PlaybackFinished)] == ["replaced", "stopped"]
    assert alice.outcome(second.operation) is not None
    assert isinstance(alice.refuses(c.StopPlay()), InvalidState)
    alice.media.play_ms = 500
    third = alice.execute(c.Play())
    settle(alice.wire, 1)
    assert isinstance(alice.outcome(third.operation), e.OperationSucceeded)
    alice.media.play_ms = 0
    alice.execute(c.Play())
    bob.execute(c.Hangup())
    over(alice, bob)
    assert alice.of_call(call)[-2:] == ["call.ended", "playback.finished"]
    assert alice.of(e.PlaybackFinished)[-1].reason == "closed"


def test_a_recording_is_complete_after_the_call() -> None:
    alice, bob = two_phones(Wire(), one=PhoneSettings(auto_recording=True, recording_dir="/rec"))
    call, _ = talk(alice, bob)
    assert alice.only.view().recording == "rec_1"
    alice.execute(c.PauseRecord())
    alice.execute(c.PauseRecord(paused=False))
    alice.execute(c.Hangup())
    over(alice, bob)
    assert alice.of_call(call)[-2:] == ["call.ended", "recording.finished"]
    (finished,) = alice.of(e.RecordingFinished)
    assert finished.file.startswith(str(Path("/rec/20231114-")))
    assert finished.file.endswith(f"-outgoing-local-{call}.wav")


def test_media_that_breaks_ends_the_call() -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    alice.receive(media.StreamFailed(call, "no socket"))
    over(alice, bob)
    assert alice.of_call(call)[-2:] == ["media.failed", "call.ended"]


def test_local_tones_follow_the_calls() -> None:
    alice, bob = two_phones(Wire())
    alice.dial(bob)
    alice.wire.run_until(rings(bob))
    settle(alice.wire, 1)
    assert alice.did(media.PlayLocalTone)[-1].tone == "ringback"
    assert bob.did(media.PlayLocalTone)[-1].tone == "ring"
    bob.execute(c.Reject())
    settle(alice.wire, 1)
    assert bob.did(media.PlayLocalTone)[-1].tone == "none"
    assert alice.did(media.PlayLocalTone)[-1].tone == "busy"
    settle(alice.wire, 4)
    assert alice.did(media.PlayLocalTone)[-1].tone == "none"


def test_a_bad_tone_names_the_field() -> None:
    alice, bob = two_phones(Wire())
    talk(alice, bob)
    error = alice.refuses(c.Play(tone="9999"))
    assert isinstance(error, InvalidArgument)
    assert error.errors[0].pointer == "/tone"
