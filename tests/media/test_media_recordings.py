"""Recordings end at once for the call, whenever their files are complete."""

from __future__ import annotations

from virtual_media import Pair

from offhook.media.messages import CloseStream, RecordingDone, RecordingStarted, StartRecording, StopRecording, StreamClosed
from offhook.media.recordings import COMPLETE_WITHIN


def test_a_slow_disk_holds_nobody_up() -> None:
    pair = Pair()
    pair.do(0, StartRecording("c", "r", "/r"))
    pair.run(0.4)
    recorder = pair.studios[0].recorders["/r"]
    recorder.slow = True
    pair.do(0, StopRecording("c", "r"))
    assert recorder.closed
    pair.run(1.0)
    assert pair.of(0, RecordingDone) == []
    recorder.slow = False
    pair.run(0.1)
    assert [(done.reason, done.duration_ms, done.size) for done in pair.of(0, RecordingDone)] == [("stopped", 400, 44 + 6400)]


def test_the_file_may_be_complete_after_the_call() -> None:
    pair = Pair()
    pair.do(0, StartRecording("c", "r", "/r"))
    pair.run(0.4)
    recorder = pair.studios[0].recorders["/r"]
    recorder.slow = True
    pair.do(0, CloseStream("c"))
    assert isinstance(pair.reports[0][-1], StreamClosed)
    assert not pair.engines[0].idle  # there is still something to look after
    recorder.slow = False
    pair.run(0.1)
    assert [done.reason for done in pair.of(0, RecordingDone)] == ["closed"]
    assert pair.engines[0].idle


def test_a_disk_that_stands_still_is_given_up() -> None:
    pair = Pair()
    pair.do(0, StartRecording("c", "r", "/r"))
    pair.run(0.4)
    pair.studios[0].recorders["/r"].slow = True
    pair.do(0, StopRecording("c", "r"))
    pair.run(COMPLETE_WITHIN * 0.02 + 0.1)
    assert [(done.reason, done.error) for done in pair.of(0, RecordingDone)] == [("failed", "the disk is too slow")]


def test_it_has_started_when_there_is_a_file() -> None:
    pair = Pair()
    pair.do(0, StartRecording("c", "r", "/r"))
    recorder = pair.studios[0].recorders["/r"]
    recorder.is_open = False
    pair.run(0.2)
    assert pair.of(0, RecordingStarted) == []
    recorder.is_open = True
    pair.run(0.2)
    assert pair.of(0, RecordingStarted) == [RecordingStarted("c", "r")]
    pair.engines[0].close(pair.now)
