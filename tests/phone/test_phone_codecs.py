"""Which codecs a call has: the call's own, its account's, the phone's; and what is refused."""

from __future__ import annotations

import pytest

from offhook.errors import InvalidArgument, InvalidState, MediaNegotiationFailed, NotFound
from offhook.media import messages as media
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.model import CallState
from offhook.phone.settings import AccountSettings
from offhook.sip.offers import OfferState
from offhook.testing.phones import VirtualPhone, over, rings, settle, talk, two_phones
from offhook.testing.wire import Wire

G711 = ("PCMU", "PCMA")


def pair(alice: tuple[str, ...] = G711, bob: tuple[str, ...] = G711) -> tuple[VirtualPhone, VirtualPhone]:
    wire = Wire()
    return VirtualPhone(wire, "alice", "10.0.0.1", codecs=alice), VirtualPhone(wire, "bob", "10.0.0.2", codecs=bob)


def ring(alice: VirtualPhone, bob: VirtualPhone, **dial: object) -> str:
    settle(alice.wire, 1)
    call = alice.execute(c.Dial(to="sip:bob@10.0.0.2", **dial)).call  # type: ignore[arg-type]
    alice.wire.run_until(rings(bob))
    return call


def codec_of(phone: VirtualPhone) -> str:
    (view,) = phone.execute(c.ListCalls()).value
    codec: str = view.media.codec
    return codec


def test_a_call_has_codecs_of_its_own() -> None:
    alice, bob = pair(bob=("PCMU", "L16/16000", "PCMA"))
    ring(alice, bob, codecs=("L16", "PCMA"))
    bob.execute(c.Answer())
    settle(alice.wire, 2)
    assert (codec_of(alice), codec_of(bob)) == ("L16/16000", "L16/16000")
    config = bob.did(media.ConfigureStream)[-1].config
    assert (config.clock_rate, config.event_clock, config.receive_types) == (16000, 16000, ((102, "L16/16000"), (8, "PCMA")))


def test_the_answer_may_choose_others_than_the_phones() -> None:
    alice, bob = pair(alice=("PCMU", "PCMA", "L16/16000"))
    ring(alice, bob)
    bob.execute(c.Answer(codecs=("l16/16000/1",)))
    settle(alice.wire, 2)
    assert (codec_of(alice), codec_of(bob)) == ("L16/16000", "L16/16000")
    alice.execute(c.Hold())
    settle(alice.wire, 2)
    assert codec_of(bob) == "L16/16000", "a hold offers what the call began with"
    assert bob.did(media.ConfigureStream)[-1].config.codec == "L16/16000"


def test_an_answer_that_leaves_nothing_in_common_refuses_the_call() -> None:
    alice, bob = pair()
    ring(alice, bob)
    with pytest.raises(MediaNegotiationFailed):
        bob.execute(c.Answer(codecs=("L16/8000",)))
    settle(alice.wire, 2)
    assert alice.states == []


def test_an_account_has_codecs_of_its_own() -> None:
    alice, bob = two_phones(Wire())
    account = AccountSettings("work", "10.0.0.2", "alice", register=False, codecs=("PCMA",))
    alice.execute(c.AddAccount(account=account))
    ring(alice, bob, account="work")
    bob.execute(c.Answer())
    settle(alice.wire, 2)
    assert (codec_of(alice), codec_of(bob)) == ("PCMA", "PCMA")


@pytest.mark.parametrize("who", [0, 1])
def test_codecs_that_the_account_gets_meanwhile_are_for_later_calls(who: int) -> None:
    """The far end of the running call may have none of them: it could not be put on hold, nor put us on hold."""
    alice, bob = phones = two_phones(Wire())
    alice.execute(c.AddAccount(account=AccountSettings("work", "10.0.0.2", "alice", register=False)))
    ring(alice, bob, account="work")
    bob.execute(c.Answer())
    settle(alice.wire, 2)
    alice.execute(c.UpdateAccount(account="work", changes={"codecs": ["L16/16000"]}))
    phones[who].execute(c.Hold())
    settle(alice.wire, 2)
    assert phones[who].of(e.CallHeld)
    phones[who].execute(c.Resume())
    settle(alice.wire, 2)
    assert (codec_of(alice), codec_of(bob)) == ("PCMU", "PCMU")
    assert (alice.states, bob.states) == ([CallState.ACTIVE], [CallState.ACTIVE])
    alice.execute(c.Hangup())
    settle(alice.wire, 2)
    later = alice.calls[alice.dial("1002", account="work")]
    settle(alice.wire, 2)
    assert b"L16/16000" in later.local_offer
    assert b"PCMU" not in later.local_offer


@pytest.mark.parametrize(("codecs", "words"), [
    (("G729",), "no codec 'G729'"), (("PCMU", ""), "no codec ''"), (("PCMU",) * 17, "at most 16"),
    (("x" * 1000,), "no codec 'x"),
])  # fmt: skip
def test_other_codecs_refuse_the_whole_command(codecs: tuple[str, ...], words: str) -> None:
    alice, bob = pair()
    settle(alice.wire, 1)
    refusal = alice.refuses(c.Dial(to="sip:bob@10.0.0.2", codecs=codecs))
    assert isinstance(refusal, InvalidArgument)
    assert words in refusal.detail
    account = AccountSettings("work", "10.0.0.2", "alice", codecs=codecs)
    assert words in alice.refuses(c.AddAccount(account=account)).detail
    ring(alice, bob)
    assert words in bob.refuses(c.Answer(codecs=codecs)).detail


def test_what_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "G722", None)
    alice, _ = pair()
    settle(alice.wire, 1)
    assert "pip install 'offhook[g722]'" in alice.refuses(c.Dial(to="sip:bob@10.0.0.2", codecs=("g722",))).detail


def test_a_reinvite_of_the_far_end_changes_the_codec() -> None:
    alice, bob = pair(alice=("PCMU", "L16/16000"), bob=("PCMU", "L16/16000"))
    ring(alice, bob)
    bob.execute(c.Answer())
    settle(alice.wire, 2)
    assert codec_of(alice) == "PCMU"
    for call in bob.phone.desk.calls.values():
        call.codecs = ("L16/16000",)
    bob.execute(c.Hold())
    settle(alice.wire, 2)
    assert (codec_of(alice), codec_of(bob)) == ("L16/16000", "L16/16000")
    assert alice.did(media.ConfigureStream)[-1].config.codec == "L16/16000"


# --- changed by command --------------------------------------------------------------------------------------------

MANY = ("PCMU", "PCMA", "L16/8000", "L16/16000", "L16/48000")


def talking(bob: tuple[str, ...] = MANY) -> tuple[VirtualPhone, VirtualPhone]:
    alice, bob_ = pair(bob=bob)
    talk(alice, bob_)
    return alice, bob_


def types_in(phone: VirtualPhone) -> dict[int, str]:
    return dict(phone.did(media.ConfigureStream)[-1].config.receive_types)


def test_a_command_changes_the_codec_of_both_sides() -> None:
    alice, bob = talking()
    for list_, codec in ((("L16/16000", "PCMU"), "L16/16000"), (("PCMA",), "PCMA"), ((), "PCMU")):
        before, told = len(bob.did(media.ConfigureStream)), alice.types.count("call.updated")
        operation = alice.execute(c.SetCodecs(codecs=list_)).operation
        settle(alice.wire, 2)
        assert isinstance(alice.outcome(operation), e.OperationSucceeded)
        assert (codec_of(alice), codec_of(bob)) == (codec, codec)
        assert alice.did(media.ConfigureStream)[-1].config.codec == codec
        assert len(bob.did(media.ConfigureStream)) == before + 1
        assert alice.types.count("call.updated") == told + 1
    assert "call.hold_failed" not in alice.types
    alice.execute(c.Hangup())
    over(alice, bob)


def test_what_is_offered_is_understood_before_the_answer_comes() -> None:
    """RFC 3264 8.3.2: the far end's first packets may be faster than its answer."""
    alice, bob = talking()
    count = len(alice.did(media.ConfigureStream))
    alice.execute(c.SetCodecs(codecs=("L16/16000",)))
    first = alice.did(media.ConfigureStream)[count].config
    assert first.codec == "PCMU"
    assert set(dict(first.receive_types).values()) == {"PCMU", "PCMA", "L16/16000"}
    settle(alice.wire, 2)
    assert set(types_in(alice).values()) == {"L16/16000"}
    assert codec_of(bob) == "L16/16000"


def test_a_refusal_leaves_the_old_codec_and_says_why() -> None:
    alice, bob = talking(bob=G711)
    operation = alice.execute(c.SetCodecs(codecs=("L16/16000",))).operation
    settle(alice.wire, 2)
    failed = alice.outcome(operation)
    assert isinstance(failed, e.OperationFailed)
    assert (failed.command, failed.sip_status, failed.reason) == ("set_codecs", 488, "Not Acceptable Here")
    assert (codec_of(alice), codec_of(bob)) == ("PCMU", "PCMU")
    assert alice.did(media.ConfigureStream)[-1].config.codec == "PCMU"
    assert "call.hold_failed" not in alice.types
    held = alice.execute(c.Hold()).operation
    settle(alice.wire, 2)
    assert isinstance(alice.outcome(held), e.OperationSucceeded), "and what is offered next is what was agreed"
    assert (codec_of(alice), codec_of(bob)) == ("PCMU", "PCMU")


def test_a_far_end_that_is_busy_with_an_offer_of_its_own_for_ever() -> None:
    alice, bob = talking()
    (session,) = bob.phone.desk.sip._sessions.by_id.values()
    session.offers.state = OfferState.SENT  # it says 491 to every offer
    operation = alice.execute(c.SetCodecs(codecs=("PCMA",))).operation
    settle(alice.wire, 30)
    failed = alice.outcome(operation)
    assert isinstance(failed, e.OperationFailed)
    assert failed.sip_status == 491
    assert codec_of(alice) == "PCMU"
    session.offers.state = OfferState.NONE
    operation = alice.execute(c.SetCodecs(codecs=("PCMA",))).operation
    settle(alice.wire, 2)
    assert isinstance(alice.outcome(operation), e.OperationSucceeded)


def test_both_sides_change_at_once() -> None:
    """The offers meet (491, RFC 3261 14.1); one after the other is made again, and both phones agree in the end."""
    alice, bob = talking()
    operations = [(phone, phone.execute(c.SetCodecs(codecs=codecs)).operation)
                  for phone, codecs in ((alice, ("L16/16000", "PCMU")), (bob, ("L16/16000", "PCMA")))]
    settle(alice.wire, 20)
    for phone, operation in operations:
        assert isinstance(phone.outcome(operation), e.OperationSucceeded), phone.name
    assert (codec_of(alice), codec_of(bob)) == ("L16/16000", "L16/16000")


def test_hold_and_another_codec_go_one_after_the_other() -> None:
    alice, bob = talking()
    held, changed = alice.execute(c.Hold()).operation, alice.execute(c.SetCodecs(codecs=("PCMA",))).operation
    settle(alice.wire, 5)
    assert [type(alice.outcome(each)).__name__ for each in (held, changed)] == ["OperationSucceeded"] * 2
    assert (codec_of(alice), alice.only.state.value) == ("PCMA", "held_local")
    assert bob.did(media.ConfigureStream)[-1].config.direction == "recvonly"


def test_a_refused_codec_does_not_refuse_the_hold_beside_it() -> None:
    alice, _ = talking(bob=G711)
    changed, held = alice.execute(c.SetCodecs(codecs=("L16/16000",))).operation, alice.execute(c.Hold()).operation
    settle(alice.wire, 5)
    assert [type(alice.outcome(each)).__name__ for each in (held, changed)] == ["OperationSucceeded", "OperationFailed"]
    assert (codec_of(alice), alice.only.state.value) == ("PCMU", "held_local")


def test_a_later_list_overtakes_an_earlier_one() -> None:
    alice, bob = talking()
    one, two = (alice.execute(c.SetCodecs(codecs=(name,))).operation for name in ("PCMA", "L16/16000"))
    settle(alice.wire, 5)
    failed = alice.outcome(one)
    assert isinstance(failed, e.OperationFailed)
    assert "later command" in failed.reason
    assert isinstance(alice.outcome(two), e.OperationSucceeded)
    assert (codec_of(alice), codec_of(bob)) == ("L16/16000", "L16/16000")


def test_a_number_never_means_two_codecs() -> None:
    """RFC 3264 8.3.2, also for what was not in the description right before."""
    alice, bob = talking()
    meanings: dict[int, str] = {}
    for name in ("L16/8000", "PCMA", "L16/16000", "PCMU", "L16/48000", "L16/8000", "L16/16000"):
        alice.execute(c.SetCodecs(codecs=(name,)))
        settle(alice.wire, 2)
        assert codec_of(bob) == name
        for number, codec in types_in(alice).items():
            assert meanings.setdefault(number, codec) == codec
    assert len(meanings) == 5


@pytest.mark.plain
def test_an_answer_that_is_none_brings_the_old_codecs_back(monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = talking()

    def broken(*_: object, **_named: object) -> object:
        monkeypatch.undo()
        raise MediaNegotiationFailed("the answer names no codec we offered")
    monkeypatch.setattr("offhook.phone.offers.accept_answer", broken)
    operation = alice.execute(c.SetCodecs(codecs=("PCMA",))).operation
    settle(alice.wire, 5)
    failed = alice.outcome(operation)
    assert isinstance(failed, e.OperationFailed)
    assert (failed.sip_status, "no codec we offered" in failed.reason) == (488, True)
    assert (codec_of(alice), codec_of(bob)) == ("PCMU", "PCMU")


def test_other_codecs_are_for_calls_that_are_answered() -> None:
    alice, bob = pair()
    settle(alice.wire, 1)
    assert isinstance(alice.refuses(c.SetCodecs(codecs=("PCMA",))), NotFound)
    ring(alice, bob)
    assert isinstance(alice.refuses(c.SetCodecs(codecs=("PCMA",))), InvalidState)
    bob.execute(c.Answer())
    settle(alice.wire, 2)
    assert "no codec 'G729'" in alice.refuses(c.SetCodecs(codecs=("G729",))).detail
    operation = alice.execute(c.SetCodecs(codecs=("PCMA",))).operation
    alice.execute(c.Hangup())
    assert isinstance(alice.outcome(operation), e.OperationFailed)
    over(alice, bob)
