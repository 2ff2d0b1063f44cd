"""Which codecs a call has: the call's own, its account's, the phone's; and what is refused."""

from __future__ import annotations

import pytest

from offhook.errors import InvalidArgument, MediaNegotiationFailed
from offhook.media import messages as media
from offhook.phone import commands as c
from offhook.phone.settings import AccountSettings
from offhook.testing.phones import VirtualPhone, rings, settle, two_phones
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
