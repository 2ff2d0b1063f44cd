"""Playbacks beside and after each other, and music while nothing else plays."""

from __future__ import annotations

from array import array

from virtual_media import ListSource, Pair, level

from offhook.media.messages import (
    CloseStream,
    PausePlayback,
    PlaybackDone,
    PlaybackStarted,
    SetMusic,
    StartPlayback,
    StartRecording,
    StopPlayback,
)

A, B, C = 400.0, 900.0, 1500.0


def tone(name: str, frequency: float, duration_ms: int = 0, **more: object) -> StartPlayback:
    return StartPlayback("c", name, "tone", frequencies=(frequency,), duration_ms=duration_ms, **more)  # type: ignore[arg-type]


def heard(pair: Pair) -> list[bytes]:
    """Return what the far end has heard since the last time."""
    far = pair.studios[1].recorders["/far"].far
    frames, far[:] = list(far), []
    return frames


def listening() -> Pair:
    pair = Pair()
    pair.do(1, StartRecording("c", "far", "/far"))
    pair.run(0.3)
    heard(pair)
    return pair


def reasons(pair: Pair) -> list[tuple[str, str, int]]:
    return [(report.playback, report.reason, report.played_ms) for report in pair.of(0, PlaybackDone)]


def test_one_waits_for_the_other_without_a_gap() -> None:
    pair = listening()
    pair.do(0, tone("a", A, 400))
    pair.do(0, tone("b", B, 400, mode="queue"))
    pair.do(0, tone("c", C, 200, mode="queue"))
    pair.run(1.5)
    frames = heard(pair)
    assert reasons(pair) == [("a", "finished", 400), ("b", "finished", 400), ("c", "finished", 200)]
    assert [report.playback for report in pair.of(0, PlaybackStarted)] == ["a", "b", "c"]
    loud = [place for place, frame in enumerate(frames) if max(level([frame], f) for f in (A, B, C)) > 500]
    assert loud[-1] - loud[0] + 1 <= 51  # 50 frames in a row; their edges may share one more


def test_both_are_heard_where_that_is_asked_for() -> None:
    pair = listening()
    pair.do(0, tone("a", A))
    pair.do(0, tone("b", B, 500, mode="mix"))
    pair.run(0.4)
    both = heard(pair)[5:]
    assert min(level(both, A), level(both, B)) > 2000
    pair.run(0.4)
    heard(pair)
    pair.run(0.2)
    alone = heard(pair)
    assert level(alone, A) > 2000 > 100 > level(alone, B)
    assert reasons(pair) == [("b", "finished", 500)]


def test_another_one_replaces_all_even_those_that_wait() -> None:
    pair = listening()
    pair.do(0, tone("a", A))
    pair.do(0, tone("b", B, mode="mix"))
    pair.do(0, tone("w", C, mode="queue"))
    pair.run(0.2)
    pair.do(0, tone("new", C))
    assert reasons(pair) == [("a", "replaced", 200), ("b", "replaced", 200), ("w", "replaced", 0)]


def test_stopping_one_lets_the_next_begin_and_closing_ends_all() -> None:
    pair = listening()
    for name in ("a", "b", "d", "e"):
        pair.do(0, tone(name, A, mode="queue"))
    pair.run(0.1)
    pair.do(0, StopPlayback("c", "d"))
    pair.do(0, StopPlayback("c", "a"))
    pair.run(0.1)
    assert reasons(pair) == [("d", "stopped", 0), ("a", "stopped", 100)]
    assert pair.of(0, PlaybackStarted)[-1].playback == "b"
    pair.do(0, PausePlayback("c", "b", True))
    pair.run(0.5)
    pair.do(0, CloseStream("c"))
    assert reasons(pair)[2:] == [("b", "closed", 100), ("e", "closed", 0)]


def test_a_file_that_fails_does_not_keep_the_queue() -> None:
    pair = listening()
    pair.studios[0].files["/bad"] = ListSource([b"", OSError(5, "broken")])
    pair.do(0, StartPlayback("c", "bad", "file", path="/bad"))
    pair.do(0, tone("b", B, 100, mode="queue"))
    pair.run(0.4)
    assert [(name, reason) for name, reason, _ in reasons(pair)] == [("bad", "failed"), ("b", "finished")]


def test_music_plays_while_nothing_else_does() -> None:
    pair = listening()
    pair.do(0, SetMusic("c", "tone", frequencies=(A,)))
    pair.run(0.4)
    assert level(heard(pair)[5:], A) > 2000
    pair.do(0, tone("p", B, 400))
    pair.run(0.3)
    during = heard(pair)[5:]
    assert level(during, B) > 2000 > 100 > level(during, A)
    pair.run(0.4)
    heard(pair)
    pair.run(0.2)
    assert level(heard(pair), A) > 2000
    pair.do(0, SetMusic("c", "none"))
    pair.run(0.2)
    heard(pair)
    pair.run(0.2)
    assert level(heard(pair), A) < 50
    assert [name for name, _, _ in reasons(pair)] == ["p"]  # of music nothing is told


def test_music_that_cannot_be_played_is_told_once() -> None:
    pair = listening()
    pair.do(0, SetMusic("c", "file", path="/none"))
    pair.studios[0].files["/bad"] = ListSource([b"", OSError(5, "broken")])
    pair.do(0, SetMusic("c", "file", path="/bad"))
    pair.run(0.3)
    assert [(name, reason) for name, reason, _ in reasons(pair)] == [("hold_music", "failed")] * 2


def test_what_is_broken_off_or_paused_makes_no_click_and_nothing_of_it_is_left_out() -> None:
    pair = Pair(codec="L16/8000", payload_type=96, receive_types=((96, "L16/8000"),))
    even = array("h", [8000] * 160).tobytes()
    pair.studios[0].files["/even"] = ListSource([even] * 60)
    pair.do(1, StartRecording("c", "far", "/far"))
    pair.run(0.3)
    pair.do(0, StartPlayback("c", "a", "file", "/even"))
    pair.run(0.2)
    heard(pair)
    edges: list[int] = []
    for command in (
        PausePlayback("c", "a", True), PausePlayback("c", "a", False), StopPlayback("c", "a"), tone("b", A),
        SetMusic("c", "tone", frequencies=(A / 2,)), StopPlayback("c", "b"), SetMusic("c", "none"),
    ):  # fmt: skip
        pair.do(0, command)
        pair.run(0.2)
        sound = array("h", b"".join(heard(pair)))
        bends = zip(sound, sound[1:], sound[2:], strict=False)
        edges.append(max(abs(one - 2 * middle + other) for one, middle, other in bends))
    assert max(edges) < 4000
    assert reasons(pair)[0] == ("a", "stopped", 400)
    assert pair.of(0, PlaybackStarted)[0].playback == "a"
