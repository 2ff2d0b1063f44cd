"""A person is told from a machine by how the first words go: the rules, one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from offhook.media.detect.machine import DECIDED_WITHIN_MS, GREETING_MS, INITIAL_SILENCE_MS, WAITS_MS, Judge
from offhook.media.messages import Judgement


def judged(*spans: int) -> Judgement | None:
    """Return the judgement of silence, speech, silence … of so many ms each."""
    judge, speaking = Judge(), False
    for span in spans:
        for _ in range(span // 20):
            found = judge.feed(speaking)
            if found is not None:
                return found
        speaking = not speaking
    return None


def test_a_short_greeting_and_somebody_who_waits_is_a_person() -> None:
    found = judged(600, 700, 2000)
    assert found is not None
    assert (found.verdict, found.reason, found.greeting_ms, found.words) == ("human", "short_greeting", 700, 1)
    assert found.after_ms == 600 + 700 + WAITS_MS


def test_two_words_with_a_pause() -> None:
    found = judged(400, 400, 500, 600, 2000)
    assert found is not None
    assert (found.verdict, found.words) == ("human", 2)


def test_whoever_goes_on_is_a_machine() -> None:
    found = judged(600, 5000)
    assert found is not None
    assert (found.verdict, found.reason, found.after_ms) == ("machine", "long_greeting", 600 + GREETING_MS)


def test_many_words_are_a_machine() -> None:
    found = judged(200, *(140, 280) * 6)
    assert found is not None
    assert (found.verdict, found.reason) == ("machine", "many_words")


def test_nobody() -> None:
    found = judged(10_000)
    assert found is not None
    assert (found.verdict, found.reason, found.after_ms) == ("unknown", "no_speech", INITIAL_SILENCE_MS)


def test_knocks_are_no_words() -> None:
    found = judged(200, 60, 300, 60, 300, 60, 10_000)
    assert found is not None
    assert found.reason == "no_speech"


def test_a_fax_machine() -> None:
    judge = Judge()
    judge.feed(False)
    found = judge.fax()
    assert found is not None
    assert (found.verdict, found.reason) == ("machine", "fax")
    assert judge.fax() is None
    assert judge.feed(True) is None


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=20))
def test_it_is_decided_once_and_in_time(spans: list[int]) -> None:
    judge, speaking, found = Judge(), False, []
    for span in (*spans, 10_000):
        for _ in range(span // 20):
            judgement = judge.feed(speaking)
            found += [judgement] if judgement is not None else []
        speaking = not speaking
    assert len(found) == 1
    assert found[0].after_ms <= DECIDED_WITHIN_MS
