"""What a call leaves in memory."""

from __future__ import annotations

import gc

import pytest

from offhook.phone import commands as c
from offhook.sip.answering import Answering
from offhook.testing.phones import over, settle, talk, two_phones
from offhook.testing.wire import Wire


def sessions() -> int:
    return sum(isinstance(each, Answering) for each in gc.get_objects())


@pytest.mark.lengthy
def test_an_answered_call_needs_no_collector_to_be_forgotten() -> None:
    alice, bob = two_phones(Wire())
    gc.collect()
    gc.disable()
    try:
        before = sessions()
        talk(alice, bob)
        assert sessions() == before + 1
        alice.execute(c.Hold())
        settle(alice.wire, 2)
        alice.execute(c.Hangup())
        over(alice, bob)
        settle(alice.wire, 70)  # longer than any transaction lives
        assert sessions() == before
    finally:
        gc.enable()
