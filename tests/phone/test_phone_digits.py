"""Digits: which are accepted, and how they go out."""

from __future__ import annotations

import pytest

from offhook.errors import InvalidArgument, InvalidState, NotFound
from offhook.media import messages as media
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.digits import clean_digits, read_relay, relay_body
from offhook.phone.settings import PhoneSettings
from offhook.sip.events import Body
from offhook.testing.endpoints import Peer
from offhook.testing.phones import VirtualPhone, over, settle, talk, two_phones
from offhook.testing.wire import Wire

NO_EVENTS = (b"v=0\r\no=- 1 1 IN IP4 10.0.0.2\r\ns=-\r\nc=IN IP4 10.0.0.2\r\nt=0 0\r\nm=audio 30000 RTP/AVP 0\r\n"
             b"a=sendrecv\r\n")  # fmt: skip
"""Of a far end that takes no digits as RFC 4733 has them."""


@pytest.mark.parametrize("digit", "0123456789*#ABCD")
def test_relay_bodies(digit: str) -> None:
    assert read_relay(relay_body(digit, 160)) == (digit, 160)


@pytest.mark.parametrize(("kind", "text", "expected"), [
    ("application/dtmf-relay", b"Signal= 5\r\nDuration= 100\r\n", ("5", 100)),
    ("Application/DTMF-Relay; charset=x", b"signal=11\n", ("#", 250)),
    ("application/dtmf", b"7", ("7", 250)),
    ("application/dtmf", b" d\r\n", ("D", 250)),
    ("application/dtmf", b"77", None),
    ("application/dtmf", b"!", None),
    ("application/dtmf-relay", b"Signal=16\r\n", None),
    ("application/dtmf-relay", b"\xff\xfe", None),
    ("text/plain", b"Signal=1", None),
])
def test_what_others_send(kind: str, text: bytes, expected: tuple[str, int] | None) -> None:
    assert read_relay(Body(kind, text)) == expected


def test_an_info_without_a_body() -> None:
    assert read_relay(None) is None


def test_what_may_be_sent() -> None:
    assert clean_digits(" 12ab#*,d ") == "12AB#*,D"
    for bad in ("", " ", "12x", "1 2", "E", "1" * 257, "\u0661"):
        with pytest.raises(InvalidArgument):
            clean_digits(bad)


@pytest.mark.parametrize("command", [
    c.SendDtmf(digits=""), c.SendDtmf(digits="1x"), c.SendDtmf(digits="1", duration_ms=39),
    c.SendDtmf(digits="1", duration_ms=30_001),
    c.SendDtmf(digits="1", gap_ms=29), c.SendDtmf(digits="1", gap_ms=6001),
])
def test_a_bad_argument_sends_nothing(command: c.SendDtmf) -> None:
    alice, bob = two_phones(Wire())
    talk(alice, bob)
    assert isinstance(alice.refuses(command), InvalidArgument)


def test_only_active_calls_take_digits() -> None:
    alice, bob = two_phones(Wire())
    settle(alice.wire, 1)
    assert isinstance(alice.refuses(c.SendDtmf(digits="1")), NotFound)
    talk(alice, bob)
    bob.execute(c.Hold())
    settle(alice.wire, 2)
    assert isinstance(alice.refuses(c.SendDtmf(digits="1")), InvalidState)


@pytest.mark.parametrize(("method", "used"), [("auto", "rtp"), ("rtp", "rtp"), ("inband", "inband")])
def test_digits_in_the_media(method: str, used: str) -> None:
    alice, bob = two_phones(Wire())
    talk(alice, bob)
    operation = alice.execute(c.SendDtmf(digits="1,2", method=method)).operation  # type: ignore[arg-type]  # from the table
    (sent,) = alice.did(media.SendDigits)
    assert (sent.digits, sent.method, sent.pause_ms) == ("1,2", used, 1000)
    settle(alice.wire, 3)
    assert isinstance(alice.outcome(operation), e.OperationSucceeded)
    assert [(event.digit, event.method) for event in alice.of(e.DtmfSent)] == [("1", used), ("2", used)]


@pytest.mark.parametrize("held", [False, True])
def test_digits_dialled_with_a_number_that_cannot_be_sent_are_told_to_have_failed(held: bool) -> None:
    wire = Wire()
    settings = PhoneSettings() if held else PhoneSettings(dtmf_method="rtp")
    alice, peer = VirtualPhone(wire, "alice", "10.0.0.1", settings), Peer(wire, "peer", "10.0.0.2")
    alice.dial("sip:peer@10.0.0.2", digits="12")
    settle(wire, 0.1)
    peer.answer(peer.requests("INVITE")[0], 200, tag="p", body=Body("application/sdp", NO_EVENTS))
    settle(wire, 0.1)
    if held:
        alice.execute(c.Hold())
        settle(wire, 0.1)
        peer.answer(peer.requests("INVITE")[-1], 200, body=Body("application/sdp", NO_EVENTS.replace(b"sendrecv", b"recvonly")))
    settle(wire, 2)
    (failed,) = alice.of(e.DtmfSendFailed)
    assert failed.call.state == ("held_local" if held else "active")
    assert ("in an active call only" if held else "no RFC 4733 digits") in failed.reason
    assert not alice.did(media.SendDigits)


@pytest.mark.lengthy
def test_several_commands_over_info_keep_their_order() -> None:
    alice, bob = two_phones(Wire())
    talk(alice, bob)
    operations = [alice.execute(c.SendDtmf(digits=digits, method="info")).operation for digits in ("12", "34", ",5")]
    settle(alice.wire, 10)
    assert "".join(event.digit for event in bob.of(e.DtmfReceived)) == "12345"
    assert all(isinstance(alice.outcome(operation), e.OperationSucceeded) for operation in operations)


def test_a_call_that_ends_meanwhile_ends_the_operation() -> None:
    alice, bob = two_phones(Wire())
    talk(alice, bob)
    operations = [alice.execute(c.SendDtmf(digits="1234", method=method)).operation for method in ("info", "rtp")]
    settle(alice.wire, 0.3)
    bob.execute(c.Hangup())
    over(alice, bob)
    assert all(isinstance(alice.outcome(operation), e.OperationFailed) for operation in operations)


def test_keys_heard_in_the_media() -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    alice.receive(media.DigitReceived(call, "5", "rtp", 160))
    alice.receive(media.DigitReceived("c_gone", "6", "rtp", 160))
    assert [(event.digit, event.method, event.duration_ms) for event in alice.of(e.DtmfReceived)] == [("5", "rtp", 160)]


def test_masked_keys_are_in_no_event() -> None:
    alice, bob = two_phones(Wire(), one=PhoneSettings(mask_digits=True))
    call, _ = talk(alice, bob)
    alice.execute(c.SendDtmf(digits="4711#"))
    alice.receive(media.DigitReceived(call, "8", "rtp", 100))
    settle(alice.wire, 5)
    assert [event.digit for event in alice.of(e.DtmfSent)] == ["*"] * 5
    assert [event.digit for event in alice.of(e.DtmfReceived)] == ["*"]
    bob.execute(c.Hangup())
    over(alice, bob)
