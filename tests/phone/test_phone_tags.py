"""Tags: words of a program's own that stay with a call."""

from __future__ import annotations

import pytest

from offhook.errors import InvalidArgument, NotFound
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.desk import KEPT_ENDED
from offhook.phone.model import CallState
from offhook.phone.tags import MAX_NAME, MAX_TAGS, MAX_TEXT
from offhook.testing.phones import VirtualPhone, settle, talk, two_phones
from offhook.testing.wire import Wire

BOB = "sip:bob@10.0.0.2"


def tagged(phone: VirtualPhone) -> list[dict[str, str]]:
    return [dict(event.call.tags) for event in phone.of(e.CallTagged)]


def test_tags_of_the_same_name_are_replaced_empty_ones_go_and_the_others_stay() -> None:
    alice, bob = two_phones(Wire())
    _, call = talk(alice, bob)
    bob.execute(c.TagCall(tags=(("order", "4711"), ("note", "calls back")), call=call))
    bob.execute(c.TagCall(tags=(("order", "4712"), ("vip", "yes"))))
    answer = bob.execute(c.TagCall(tags=(("note", ""),)))
    assert tagged(bob) == [
        {"order": "4711", "note": "calls back"}, {"note": "calls back", "order": "4712", "vip": "yes"},
        {"order": "4712", "vip": "yes"},
    ]  # fmt: skip
    assert answer.value.tags == bob.calls[call].view().tags == (("order", "4712"), ("vip", "yes"))
    bob.execute(c.TagCall(tags=(("vip", "yes"), ("note", ""))))
    assert len(tagged(bob)) == 3, "nothing has changed"
    alice.execute(c.Hangup())
    settle(alice.wire, 1)
    assert bob.of(e.CallEnded)[0].call.tags == (("order", "4712"), ("vip", "yes"))
    assert not tagged(alice), "they stay on this phone"


def test_the_tags_of_a_call_that_is_dialled_can_be_changed() -> None:
    alice, _bob = two_phones(Wire())
    accepted = alice.execute(c.Dial(to=BOB, tags=(("campaign", "spring"),)))
    alice.execute(c.TagCall(tags=(("try", "2"),), call=accepted.call))
    assert dict(alice.calls[accepted.call].view().tags) == {"campaign": "spring", "try": "2"}


def test_a_call_that_has_ended_is_tagged_as_long_as_it_is_known() -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    alice.execute(c.Hangup())
    settle(alice.wire, 1)
    alice.execute(c.TagCall(tags=(("outcome", "sold"),), call=call))
    told = alice.of(e.CallTagged)[-1].call
    assert (told.id, told.state, told.tags) == (call, CallState.ENDED, (("outcome", "sold"),))
    assert alice.execute(c.GetCall(call=call)).value == told
    assert alice.execute(c.TagCall(tags=(("by", "Ada"),), call="last")).call == call
    for _ in range(KEPT_ENDED):
        alice.execute(c.Dial(to=BOB))
        alice.execute(c.HangupAll())
        settle(alice.wire, 1)
    assert isinstance(alice.refuses(c.TagCall(tags=(("by", "Ada"),), call=call)), NotFound)


@pytest.mark.parametrize("tags", [
    (), (("", "x"),), (("n" * (MAX_NAME + 1), "x"),), (("two\nlines", "x"),), (("n", "x" * MAX_TEXT),),
    tuple((f"n{number}", "x") for number in range(MAX_TAGS + 1)),
])  # fmt: skip
def test_tags_that_are_refused_change_nothing(tags: tuple[tuple[str, str], ...]) -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    assert isinstance(alice.refuses(c.TagCall(tags=tags)), InvalidArgument)
    assert alice.calls[call].view().tags == ()
    if tags:
        assert isinstance(alice.refuses(c.Dial(to=BOB, tags=tags)), InvalidArgument)


def test_the_tags_of_a_call_do_not_grow_beyond_the_limits_bit_by_bit() -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    for number in range(MAX_TAGS):
        alice.execute(c.TagCall(tags=((f"n{number}", "x"),)))
    assert isinstance(alice.refuses(c.TagCall(tags=(("one more", "x"),))), InvalidArgument)
    alice.execute(c.TagCall(tags=(("n0", ""), ("one more", "x"))))
    assert len(alice.calls[call].view().tags) == MAX_TAGS
    assert isinstance(alice.refuses(c.TagCall(tags=(("n1", "x" * MAX_TEXT),))), InvalidArgument)
