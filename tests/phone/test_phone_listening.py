"""What calls are listened to for, when that begins, and what is told; and what is done once a call is answered."""

from __future__ import annotations

from offhook.errors import InvalidArgument
from offhook.media import messages as media
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.settings import PhoneSettings
from offhook.sip.events import Body
from offhook.testing.endpoints import Peer
from offhook.testing.phones import VirtualPhone, settle, talk, two_phones
from offhook.testing.wire import Wire

SDP = Body("application/sdp", b"v=0\r\no=- 1 1 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n"
                              b"m=audio 30000 RTP/AVP 0\r\n")  # fmt: skip


def test_asked_for_in_a_call_and_ended() -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    assert not alice.did(media.Detect), "off unless asked for"
    alice.execute(c.Detect(what=("vad", "tones", "vad")))
    alice.execute(c.Detect(what=()))
    assert alice.did(media.Detect) == [media.Detect(call, ("vad", "tones")), media.Detect(call, ())]
    assert isinstance(alice.refuses(c.Detect(what=("music",))), InvalidArgument)  # type: ignore[arg-type]


def test_dialled_with_it_a_person_is_told_from_a_machine_after_the_answer() -> None:
    wire = Wire()
    alice, bob = two_phones(wire)
    call = alice.execute(c.Dial(to="sip:bob@10.0.0.2", detect=("amd", "tones"), record=True, play="/hello.wav")).call
    settle(wire, 1)
    assert not alice.did(media.Detect), "there is nothing to hear yet"
    bob.execute(c.Answer())
    settle(wire, 1)
    assert alice.did(media.Detect) == [media.Detect(call, ("amd", "tones"))]
    assert [start.path for start in alice.did(media.StartPlayback)] == ["/hello.wav"]
    assert len(alice.did(media.StartRecording)) == 1
    alice.receive(media.AnswerJudged(call, media.Judgement("machine", "long_greeting", 3200, 2600, 2)))
    alice.receive(media.ToneHeard(call, "beep", 1000, 400))
    (result,), (tone,) = alice.of(e.AmdResult), alice.of(e.ToneDetected)
    assert (result.result, result.reason, result.after_ms, result.greeting_ms, result.words) == (
        "machine", "long_greeting", 3200, 2600, 2,
    )  # fmt: skip
    assert (tone.tone, tone.frequency, tone.duration_ms) == ("beep", 1000, 400)


def test_before_the_answer_nobody_is_judged() -> None:
    wire = Wire()
    alice, peer = VirtualPhone(wire, "alice", "10.0.0.1"), Peer(wire, "peer", "10.0.0.9")
    call = alice.execute(c.Dial(to="sip:peer@10.0.0.9", detect=("amd", "tones"))).call
    settle(wire, 0.1)
    invite = peer.requests("INVITE")[0]
    listened: tuple[tuple[int, tuple[media.Detection, ...]], ...] = ((183, ("tones",)), (200, ("amd", "tones")))
    for status, wanted in listened:
        peer.answer(invite, status, tag="t", body=SDP)
        settle(wire, 0.1)
        assert alice.did(media.Detect)[-1] == media.Detect(call, wanted)


def test_answered_with_it() -> None:
    wire = Wire()
    alice, bob = two_phones(wire)
    alice.execute(c.Dial(to="sip:bob@10.0.0.2"))
    settle(wire, 1)
    assert isinstance(bob.refuses(c.Answer(detect=("ears",))), InvalidArgument)  # type: ignore[arg-type]
    bob.execute(c.Answer(detect=("vad",), record=True))
    settle(wire, 1)
    assert [found.what for found in bob.did(media.Detect)] == [("vad",)]
    assert len(bob.did(media.StartRecording)) == 1


def test_the_setting_is_for_every_call() -> None:
    alice, bob = two_phones(Wire(), one=PhoneSettings(detect=("dtmf",)))
    call, _ = talk(alice, bob)
    assert alice.did(media.Detect) == [media.Detect(call, ("dtmf",))]
    alice.execute(c.Detect(what=()))
    assert alice.did(media.Detect)[-1].what == ()


def test_speech_is_told() -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    alice.receive(media.SpeechStarted(call))
    alice.receive(media.SpeechStopped(call, 740))
    assert alice.of_call(call)[-2:] == ["vad.speech_started", "vad.speech_stopped"]
    assert alice.of(e.VadSpeechStopped)[0].duration_ms == 740


def test_keys_that_come_as_events_are_not_told_twice() -> None:
    alice, bob = two_phones(Wire())
    call, _ = talk(alice, bob)
    alice.receive(media.DigitReceived(call, "1", "inband", 80))
    alice.receive(media.DigitReceived(call, "2", "rtp", 160))
    alice.receive(media.DigitReceived(call, "2", "inband", 40))
    assert [(event.digit, event.method) for event in alice.of(e.DtmfReceived)] == [("1", "inband"), ("2", "rtp")]


def test_a_second_call_may_be_answered_without_holding_the_first() -> None:
    wire = Wire()
    alice, bob = two_phones(wire)
    first, _ = talk(alice, bob)
    bob.execute(c.Dial(to="sip:alice@10.0.0.1", hold_others=False))
    settle(wire, 1)
    alice.execute(c.Answer(hold_others=False))
    settle(wire, 1)
    assert [call.state for call in alice.calls.values()] == ["active", "active"]
    assert first in alice.calls
