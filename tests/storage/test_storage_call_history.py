"""The call history made from events, whatever their order."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Literal

import pytest
from msgspec import structs

from offhook.app.history import CallHistory
from offhook.errors import NotFound, SetupError
from offhook.io import clock
from offhook.io.journal import Envelope, EnvelopeMaker
from offhook.media.messages import StreamStats
from offhook.phone.closing import ASTRAY, EXPIRED, NOBODY
from offhook.phone.events import CallEnded, CallIncoming, CallTagged, Event, MediaStats, RecordingStarted
from offhook.phone.model import CallEnd, CallMedia, CallState, CallView, Party, wall

FIGURES = StreamStats(
    stream="c_1", packets_sent=5000, packets_received=4950, bytes_sent=0, bytes_received=0, packets_lost=50, packets_late=0,
    packets_duplicate=0, loss=0.01, jitter_ms=2.34, buffer_ms=41.0, remote_loss=0.0, remote_jitter_ms=4.0, rtt_ms=22.4,
    mos=4.21, rating=88.4, delay_ms=72.2, remote_packets_lost=12, remote_mos=4.01, remote_rating=80.0,
)


class FakeEngine:
    """What the history asks of the engine."""

    def subscribe(self, callback: Callable[[Envelope], None], *_: type[Event]) -> Callable[[], None]:
        self.tell = callback
        return lambda: None

    def say(self, event: Event) -> None:
        pass


@pytest.mark.parametrize("order", ["ended final started", "ended started final"])
def test_a_recording_told_after_the_end_does_not_open_the_row_again(tmp_path: Path, order: str) -> None:
    call = CallView(
        "c_1", "a", "outgoing", CallState.ENDED, Party("sip:me@h"), Party("sip:1001@h"), "sip-1", wall(0.0), answered=wall(1.0),
        ended=wall(6.0), end=CallEnd("remote", 200, "Bye"),
    )  # fmt: skip
    events = {
        "ended": CallEnded(call=call, duration=5.0),
        "final": MediaStats(call=call, stats=FIGURES, final=True),
        "started": RecordingStarted(call=call, recording="rec_1", file="/rec/1.wav", format="wav"),
    }
    engine, maker = FakeEngine(), EnvelopeMaker("e", lambda: 0.0)
    history = CallHistory(engine, tmp_path / "h.sqlite3", print)  # type: ignore[arg-type]
    history.start()
    for name in order.split():
        engine.tell(maker.make(events[name]))
    (entry,) = history.list(10, "")
    assert (entry["end_by"], entry["reason"], entry["duration"]) == ("remote", "Bye", 5.0)
    assert entry["recording"] == ("/rec/1.wav" if order == "ended started final" else "")
    assert history.list(10, "c_1") == []
    history.delete("c_1")
    with pytest.raises(NotFound):  # an empty page would be the end of what there is
        history.list(10, "c_1")
    history.close()


def test_the_row_of_a_call_that_runs_returns_as_it_was_when_it_is_deleted(tmp_path: Path) -> None:
    call = CallView(
        "c_1", "a", "outgoing", CallState.ACTIVE, Party("sip:me@h"), Party("sip:1001@h"), "sip-1", wall(0.0), answered=wall(1.0)
    )  # fmt: skip
    over = structs.replace(call, state=CallState.ENDED, ended=wall(6.0), end=CallEnd("remote", 200, "Bye"))
    engine, maker = FakeEngine(), EnvelopeMaker("e", lambda: 0.0)
    history = CallHistory(engine, tmp_path / "h.sqlite3", print)  # type: ignore[arg-type]
    history.start()
    engine.tell(maker.make(RecordingStarted(call=call, recording="rec_1", file="/rec/1.wav", format="wav")))
    history.delete("c_1")
    engine.tell(maker.make(CallEnded(call=over, duration=5.0)))
    (entry,) = history.list(10, "")
    assert entry["recording"] == "/rec/1.wav"
    history.close()


def test_tags_come_into_the_row_during_the_call_and_after_its_end_but_bring_no_deleted_row_back(tmp_path: Path) -> None:
    call = CallView(
        "c_1", "a", "incoming", CallState.ACTIVE, Party("sip:me@h"), Party("sip:1001@h"), "sip-1", wall(0.0),
        answered=wall(1.0), tags=(("order", "4711"),),
    )  # fmt: skip
    over = structs.replace(call, state=CallState.ENDED, ended=wall(6.0), end=CallEnd("remote", 200, "Bye"))
    sold = structs.replace(over, tags=(("order", "4711"), ("outcome", "sold")))
    engine, maker = FakeEngine(), EnvelopeMaker("e", lambda: 0.0)
    history = CallHistory(engine, tmp_path / "h.sqlite3", print)  # type: ignore[arg-type]
    history.start()
    for event, tags in (
        (CallTagged(call=call), (("order", "4711"),)),
        (CallEnded(call=over, duration=5.0), (("order", "4711"),)),
        (MediaStats(call=over, stats=FIGURES, final=True), (("order", "4711"),)),
        (CallTagged(call=sold), (("order", "4711"), ("outcome", "sold"))),
    ):
        engine.tell(maker.make(event))
        (entry,) = history.list(10, "")
        assert entry["tags"] == tags
    assert (entry["duration"], entry["reason"]) == (5.0, "Bye")
    history.delete("c_1")
    engine.tell(maker.make(CallTagged(call=sold)))
    assert history.list(10, "") == []
    engine.tell(maker.make(CallEnded(call=over, duration=5.0)))
    history.clear()
    engine.tell(maker.make(CallTagged(call=sold)))
    assert history.list(10, "") == []
    history.close()


def test_a_call_that_runs_has_lasted_as_long_as_it_did_though_the_clock_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = CallView(
        "c_1", "a", "outgoing", CallState.ACTIVE, Party("sip:me@h"), Party("sip:1001@h"), "sip-1", wall(0.0), answered=wall(1.0)
    )
    engine, maker = FakeEngine(), EnvelopeMaker("e", lambda: 0.0)
    history = CallHistory(engine, tmp_path / "h.sqlite3", print)  # type: ignore[arg-type]
    history.start()
    for now, unix in ((100.0, 1.0), (105.0, 200_000.0)):
        monkeypatch.setattr(clock, "now", lambda now=now: now)
        monkeypatch.setattr(clock, "wall", lambda unix=unix: unix)
        engine.tell(maker.make(MediaStats(call=call, stats=FIGURES)))
    (entry,) = history.list(10, "")
    assert (entry["duration"], entry["ended"]) == (5.0, "1970-01-03T07:33:20Z")
    history.close()


def test_a_call_that_was_never_answered_has_lasted_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call = CallView("c_1", "a", "incoming", CallState.INCOMING, Party("sip:me@h"), Party("sip:1001@h"), "sip-1", wall(0.0))
    engine, maker = FakeEngine(), EnvelopeMaker("e", lambda: 0.0)
    history = CallHistory(engine, tmp_path / "h.sqlite3", print)  # type: ignore[arg-type]
    history.start()
    ticks = count(100.0)
    monkeypatch.setattr(clock, "now", lambda: next(ticks))
    engine.tell(maker.make(CallIncoming(call=call)))
    (entry,) = history.list(10, "")
    assert entry["duration"] == 0.0
    history.close()


@pytest.mark.parametrize(("end", "missed"), [
    (CallEnd("remote", 487, "Request Terminated"), True), (CallEnd("remote", 487, "Request Terminated", cause=200), False),
    (CallEnd("network", 408, "gone"), True),
    (CallEnd("local", 480, NOBODY), True), (CallEnd("local", 487, EXPIRED), True), (CallEnd("local", 480, ASTRAY), True),
    (CallEnd("local", 603, ""), False), (CallEnd("local", 486, ""), False), (CallEnd("local", 302, "redirected"), False),
])  # fmt: skip
@pytest.mark.parametrize("direction", ["incoming", "outgoing"])
def test_missed_is_what_came_in_and_nobody_took_or_refused(
    tmp_path: Path, end: CallEnd, missed: bool, direction: Literal["incoming", "outgoing"]
) -> None:
    call = CallView(
        "c_1", "a", direction, CallState.ENDED, Party("sip:me@h"), Party("sip:1001@h"), "sip-1", wall(0.0), ended=wall(6.0),
        end=end,
    )  # fmt: skip
    engine, maker = FakeEngine(), EnvelopeMaker("e", lambda: 0.0)
    history = CallHistory(engine, tmp_path / "h.sqlite3", print)  # type: ignore[arg-type]
    history.start()
    engine.tell(maker.make(CallEnded(call=call, duration=0.0)))
    assert history.get("c_1")["missed"] is (missed and direction == "incoming")
    history.close()


def test_the_row_has_the_figures_of_both_ways(tmp_path: Path) -> None:
    media = CallMedia(codec="G722", mos=4.21, remote_mos=4.01, loss=0.01, jitter_ms=2.34, rtt_ms=22.4)
    call = CallView(
        "c_1", "a", "outgoing", CallState.ENDED, Party("sip:me@h"), Party("sip:1001@h"), "sip-1", wall(0.0), ended=wall(6.0),
        end=CallEnd("remote", 200, "Bye"), media=media,
    )  # fmt: skip
    engine, maker = FakeEngine(), EnvelopeMaker("e", lambda: 0.0)
    history = CallHistory(engine, tmp_path / "h.sqlite3", print)  # type: ignore[arg-type]
    history.start()
    engine.tell(maker.make(CallEnded(call=call, duration=5.0)))
    entry = history.get("c_1")
    assert {name: entry[name] for name in ("codec", "mos", "remote_mos", "loss", "jitter_ms", "rtt_ms")} == {
        "codec": "G722", "mos": 4.21, "remote_mos": 4.01, "loss": 0.01, "jitter_ms": 2.34, "rtt_ms": 22.4}
    with pytest.raises(NotFound):
        history.get("c_2")
    with pytest.raises(NotFound):
        history.delete("c_2")
    history.close()


def test_a_file_that_cannot_be_opened_costs_the_history_alone(tmp_path: Path) -> None:
    (tmp_path / "h.sqlite3").mkdir()
    said: list[str] = []
    history = CallHistory(FakeEngine(), tmp_path / "h.sqlite3", said.append)  # type: ignore[arg-type]
    history.start()
    with pytest.raises(SetupError, match="cannot open the call history"):
        history.list(10, "")
    assert said[0].startswith("past calls are not kept")
    history.close()
