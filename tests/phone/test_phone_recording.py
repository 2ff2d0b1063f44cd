"""Recordings by their names: formats, several of one call, and what is known of them when they are over."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from offhook.errors import InvalidArgument, InvalidState, NotFound
from offhook.media import messages as media
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.model import Party
from offhook.phone.recording import MOST_AT_ONCE, recording_name
from offhook.phone.settings import PhoneSettings
from offhook.testing.phones import over, settle, talk, two_phones
from offhook.testing.wire import Wire


@pytest.mark.parametrize("setting", get_args(media.RecordingFormat))
@pytest.mark.parametrize(("command", "form"), [
    (c.Record(), ""), (c.Record(file="/a.bin"), ""), (c.Record(file="/a.wav"), "wav"), (c.Record(file="/a.FLAC"), "flac"),
    (c.Record(file="/a.mp3"), "mp3"), (c.Record(file="/a.ogg"), "opus"), (c.Record(file="/a.opus"), "opus"),
    (c.Record(file="/a.wav", format="opus"), "opus"), (c.Record(format="flac"), "flac"),
])  # fmt: skip
def test_the_format_is_what_is_asked_for_or_the_suffix_or_the_setting(
    command: c.Record, form: str, setting: media.RecordingFormat
) -> None:
    alice, bob = two_phones(Wire(), one=PhoneSettings(recording_dir="/rec", recording_format=setting))
    talk(alice, bob)
    form = form or setting
    file = alice.execute(command).value["file"]
    (start,) = alice.did(media.StartRecording)
    assert (start.form, start.path) == (form, file)
    assert start.make_folder is not bool(command.file), "a folder that somebody named may be a mistake"
    assert Path(file).suffix == (f".{form}" if not command.file else Path(command.file).suffix)


def test_several_at_once() -> None:
    alice, bob = two_phones(Wire(), one=PhoneSettings(recording_dir="/rec"))
    call, _ = talk(alice, bob)
    first = alice.execute(c.Record()).value
    second = alice.execute(c.Record(channels="stereo", format="flac")).value
    third = alice.execute(c.Record()).value
    assert len({first["file"], second["file"], third["file"]}) == 3
    assert alice.only.view().recording == first["recording"]
    assert isinstance(alice.refuses(c.StopRecord()), InvalidArgument), "which of them?"
    assert isinstance(alice.refuses(c.Record(file=first["file"])), InvalidState)
    alice.execute(c.Record(file="/b.wav"))
    assert MOST_AT_ONCE == 4
    assert isinstance(alice.refuses(c.Record(file="/c.wav")), InvalidState)
    alice.execute(c.PauseRecord(recording=second["recording"]))
    assert [view.state for view in alice.execute(c.ListRecordings()).value] == ["opening", "paused", "opening", "opening"]
    settle(alice.wire, 0.1)
    assert [view.state for view in alice.execute(c.ListRecordings()).value] == ["recording", "paused", "recording", "recording"]
    alice.execute(c.StopRecord(recording=first["recording"]))
    settle(alice.wire, 1)
    assert alice.only.view().recording == second["recording"]
    assert isinstance(alice.refuses(c.StopRecord(recording="rec_9")), NotFound)
    alice.execute(c.Hangup())
    over(alice, bob)
    assert {view.state for view in alice.execute(c.ListRecordings(call=call)).value} == {"finished"}


def test_what_is_known_of_one_that_is_over() -> None:
    alice, bob = two_phones(Wire(), one=PhoneSettings(recording_dir="/rec"))
    call, _ = talk(alice, bob)
    accepted = alice.execute(c.Record(file="/a.flac"))
    alice.receive(media.RecordingDone(call, accepted.value["recording"], "/a.flac", "stopped", 1500, size=4096))
    (finished,) = alice.of(e.RecordingFinished)
    assert (finished.file, finished.format, finished.duration_ms, finished.size) == ("/a.flac", "flac", 1500, 4096)
    accepted = alice.execute(c.Record(file="/b.wav"))
    alice.receive(media.RecordingDone(call, accepted.value["recording"], "/b.wav", "failed", 20, "No space left on device"))
    (failed,) = alice.of(e.RecordingFailed)
    assert failed.reason == "No space left on device"
    done, broken = alice.execute(c.ListRecordings()).value
    assert (done.state, done.size, broken.state, broken.reason) == ("finished", 4096, "failed", "No space left on device")
    assert alice.only.state == "active", "the call goes on"


def test_the_beginning_is_told_before_the_end_however_short_it_is() -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    recording = alice.execute(c.Record(file="/a.wav")).value["recording"]
    alice.receive(media.RecordingDone(call, recording, "/a.wav", "stopped", 20, size=364))
    alice.receive(media.RecordingStarted(call, recording))
    assert [type(event) for event in alice.events[-2:]] == [e.RecordingStarted, e.RecordingFinished]


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("over", [False, True])
def test_a_pause_is_told_after_the_beginning(again: bool, over: bool) -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    recording = alice.execute(c.Record(file="/a.wav")).value["recording"]
    alice.execute(c.PauseRecord())
    if again:
        alice.execute(c.PauseRecord(paused=False))
    assert not [event for event in alice.types if event.startswith("recording.")]
    if over:
        alice.receive(media.RecordingDone(call, recording, "/a.wav", "stopped", 0, size=44))
    else:
        alice.receive(media.RecordingStarted(call, recording))
    told = [event for event in alice.types if event.startswith("recording.")]
    after = ["recording.finished"] if over else [] if again else ["recording.paused"]
    assert told == ["recording.started", *after]


def test_the_only_one_may_be_called_current() -> None:
    alice, bob = two_phones(Wire())
    talk(alice, bob)
    assert isinstance(alice.refuses(c.StopRecord(recording="current")), NotFound)
    name = alice.execute(c.Record(file="/a.wav")).value["recording"]
    assert alice.execute(c.StopRecord(recording="current")).value["recording"] == name


def test_bad_wishes_are_refused() -> None:
    alice, bob = two_phones(Wire())
    talk(alice, bob)
    assert isinstance(alice.refuses(c.Record(format="aiff")), InvalidArgument)  # type: ignore[arg-type]
    assert isinstance(alice.refuses(c.Record(max_seconds=-1)), InvalidArgument)


def test_it_pauses_and_goes_on_each_told_once() -> None:
    alice, bob = two_phones(Wire(), one=PhoneSettings(recording_dir="/rec"))
    call, _ = talk(alice, bob)
    recording = alice.execute(c.Record(beep=True)).value["recording"]
    settle(alice.wire, 1)
    assert alice.did(media.StartRecording)[0].beep
    for paused in (False, True, True, False, False):
        alice.execute(c.PauseRecord(paused=paused))
    assert alice.did(media.PauseRecording) == [
        media.PauseRecording(call, recording, True), media.PauseRecording(call, recording, False),
    ]  # fmt: skip
    told = [event for event in alice.events if event.type.startswith("recording.")]
    assert [event.type for event in told] == ["recording.started", "recording.paused", "recording.resumed"]
    assert {event.recording for event in told} == {recording}  # type: ignore[attr-defined]  # all three have it


@pytest.mark.parametrize(("remote", "shown"), [
    ("sip:1002@pbx.example.org", "1002"), ("sip:+49%2030@h", "+49_2030"), ("sip:../../etc/passwd@h", "_.._etc_passwd"),
    ("sip:h.example.org", "h.example.org"), ("sip:...@h", "_"), ("sip:" + "x" * 300 + "@h", "x" * 64),
    ("tel:112;a=b", "112_a_b"),
])  # fmt: skip
def test_names_are_as_microsips_and_cannot_leave_the_folder(remote: str, shown: str) -> None:
    alice, bob = two_phones(Wire(), one=PhoneSettings(recording_dir="/rec"))
    call, _ = talk(alice, bob)
    alice.only.remote = Party(remote)
    name = recording_name(alice.only, 1_700_000_000.0, "mp3")
    assert name == f"20231114-221320-{shown}-outgoing-local-{call}.mp3"
    file = Path(alice.execute(c.Record()).value["file"])
    assert file.parent == Path("/rec")
