"""The call machine over the whole product of states and inputs."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import InvalidState
from offhook.phone.call import CONNECTED, HELD, LOCALLY_HELD, TRANSITIONS, UNANSWERED, Call, CallInput
from offhook.phone.model import CallState, Party


def a_call(state: CallState) -> Call:
    return Call("c_1", "a_1", "outgoing", state, Party("sip:a@x"), Party("sip:b@x"), 0.0)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(CallState, CallInput)))
def test_every_pair_is_listed_or_refused_and_changes_nothing(state: CallState, event: CallInput) -> None:
    call = a_call(state)
    if (state, event) in TRANSITIONS:
        assert call.can(event)
        call.step(event)
        assert call.state is TRANSITIONS[state, event]
    else:
        assert not call.can(event)
        with pytest.raises(InvalidState, match=state.value):
            call.step(event)
        assert call.state is state


@given(st.lists(st.sampled_from(list(CallInput)), max_size=30), st.sampled_from([CallState.CALLING, CallState.INCOMING]))
def test_any_history_keeps_the_laws(events: list[CallInput], start: CallState) -> None:
    call = a_call(start)
    for event in events:
        before = call.state
        if not call.can(event):
            continue
        call.step(event)
        assert before is not CallState.ENDED, "nothing follows the end"
        assert (before in UNANSWERED) or (call.state not in UNANSWERED), "an answered call never rings again"
        assert call.state in UNANSWERED | CONNECTED | {CallState.ENDED}


def test_the_status_numbers_are_the_contract() -> None:
    numbers = {state: state.status for state in CallState}
    assert {state for state, n in numbers.items() if n == 1} == UNANSWERED
    assert {state for state, n in numbers.items() if n == 2} == {CallState.ACTIVE}
    assert {state for state, n in numbers.items() if n == 3} == HELD
    assert {state for state, n in numbers.items() if n == 4} == {CallState.ENDED}
    assert LOCALLY_HELD <= HELD


def test_every_state_but_the_first_ones_is_reached() -> None:
    reached = set(TRANSITIONS.values()) | {CallState.CALLING, CallState.INCOMING}
    assert reached == set(CallState)
