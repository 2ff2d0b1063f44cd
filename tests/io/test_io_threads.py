"""A system that gives no more threads: what needed one fails with words that say what to do, and the engine goes on."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from offhook.errors import NO_THREAD, SetupError
from offhook.io.audio.backend import Backend, BackendError
from offhook.io.audio.null import NullCard
from offhook.io.audio.sound import SystemCard
from offhook.io.media_loop import SystemIds
from offhook.io.media_studio import LateCard, LocalStudio
from offhook.io.relay_link import LateRelayLink
from offhook.io.threads import begin
from offhook.media.engine import Engine
from offhook.media.messages import (
    ConfigureStream,
    DeviceFailed,
    OpenStream,
    PlaybackDone,
    RecordingDone,
    StartPlayback,
    StartRecording,
    StreamConfig,
    TurnServer,
)
from offhook.media.sources import SILENCE

CONFIG = StreamConfig(
    remote=("10.0.0.2", 4000), remote_rtcp=("10.0.0.2", 4001), codec="PCMU", payload_type=0,
    receive_types=((0, "PCMU"),),
)  # fmt: skip


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Nothing can start a thread, until what comes is called."""
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError(NO_THREAD)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        yield patch.undo


@pytest.mark.usefixtures("no_threads")
def test_beginning_one_says_what_to_do() -> None:
    with pytest.raises(SetupError, match="no more threads: raise the limit"):
        begin(lambda: None, "one")


@pytest.mark.usefixtures("no_threads")
def test_a_file_that_cannot_be_played_or_recorded_ends_no_call(tmp_path: Path) -> None:
    engine = Engine(SystemIds(), LocalStudio("null"))
    engine.execute(OpenStream("c", 4000, "a@b"), 0.0)
    engine.execute(ConfigureStream("c", CONFIG), 0.0)
    engine.execute(StartPlayback("c", "p", "file", str(tmp_path / "hello.wav")), 0.0)
    engine.execute(StartRecording("c", "r", str(tmp_path / "call.wav")), 0.0)
    for tick in range(100):
        engine.tick(0, tick / 50)
    told = engine.reports()
    assert [report.error[:31] for report in told if isinstance(report, PlaybackDone)] == ["the system gives no more thread"]
    assert [report.error[:31] for report in told if isinstance(report, RecordingDone)] == ["the system gives no more thread"]
    assert len(engine.outbox) >= 100
    engine.close(3.0)


@pytest.mark.usefixtures("no_threads")
def test_a_sound_card_without_its_thread_has_failed() -> None:
    card = LateCard(lambda: NullCard(8000), 8000)
    card.list_devices()
    card.play(SILENCE)
    assert card.capture() == SILENCE
    found = card.poll()
    assert isinstance(found, DeviceFailed)
    assert "raise the limit" in found.reason
    card.close()


def test_devices_are_tried_again_with_the_next_frame(no_threads: Callable[[], None]) -> None:
    def broken() -> Backend:
        raise BackendError("no library")

    card = SystemCard(broken)
    assert card.devices().devices == ()
    for _ in range(3):
        card.play(SILENCE)
    found = card.poll()
    assert isinstance(found, DeviceFailed)
    assert found.kind == "output"
    assert card.poll() is None
    no_threads()
    card.play(SILENCE)
    assert any(thread.name == "offhook-sound" for thread in threading.enumerate())
    card.close()


@pytest.mark.usefixtures("no_threads")
def test_a_relay_that_cannot_be_connected_to_says_so() -> None:
    link = LateRelayLink(TurnServer(("127.0.0.1", 9), "user", "word", "tcp"))
    assert "raise the limit" in link.problem
    link.send(b"anything")
    assert link.receive() == []
    link.close()


def test_a_media_worker_whose_phone_is_gone_says_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "offhook.io.media_worker"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "the phone has ended before its media worker could begin\n"
