"""Audio streams on the phone's side: what is asked for outside, what is told, and that none outlives its call."""

from __future__ import annotations

import pytest

from offhook.errors import InvalidArgument, InvalidState, NotFound
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.streams import MAX_PARAMETER, MAX_PARAMETERS, STREAMS_LIMIT
from offhook.phone.web_requests import ConnectStream, LeaveStream, StreamConnected, StreamOver
from offhook.testing.phones import VirtualPhone, over, settle, talk, two_phones
from offhook.testing.wire import Wire

BOT = "wss://bot.example.org/calls?key=secret"


def pair() -> tuple[VirtualPhone, VirtualPhone, str]:
    alice, bob = two_phones(Wire())
    return alice, bob, talk(alice, bob)[0]


def test_a_stream_from_the_wish_to_its_end() -> None:
    alice, bob, call = pair()
    accepted = alice.execute(c.StreamAudio(url=BOT, parameters=(("language", "de"),), track="both"))
    view = accepted.value
    assert (view.call, view.url, view.state, view.rate) == (call, "wss://bot.example.org/calls", "connecting", 8000)
    assert alice.web_requests == [
        ConnectStream(view.id, call, BOT, "twilio", 8000, "both", True, (("language", "de"),), False)
    ]
    assert alice.outcome(accepted.operation) is None
    alice.receive(StreamConnected(view.id))
    (started,) = alice.of(e.AudioStreamStarted)
    assert (started.call.id, started.stream.state) == (call, "connected")
    assert isinstance(alice.outcome(accepted.operation), e.OperationSucceeded)
    assert alice.execute(c.ListAudioStreams()).value == (started.stream,)
    settle(alice.wire, 2.5)
    alice.receive(StreamOver(view.id, "the program ended it", False))
    (stopped,) = alice.of(e.AudioStreamStopped)
    assert (stopped.reason, stopped.duration, stopped.stream.state) == ("the program ended it", 2.5, "ended")
    assert alice.execute(c.ListAudioStreams()).value == ()
    assert alice.calls, "the call goes on"
    assert "secret" not in str(alice.events)
    bob.execute(c.Hangup())
    over(alice, bob)


def test_stopping_tells_the_program_first() -> None:
    alice, _, _ = pair()
    stream = alice.execute(c.StreamAudio(url=BOT, end_call=True)).value.id
    alice.receive(StreamConnected(stream))
    alice.execute(c.StopAudioStream(stream=stream))
    assert alice.web_requests[1:] == [LeaveStream(stream, "stopped")]
    assert not alice.of(e.AudioStreamStopped)
    alice.receive(StreamOver(stream, "stopped", False))
    assert [event.reason for event in alice.of(e.AudioStreamStopped)] == ["stopped"]
    assert alice.calls, "end_call is for a stream that ends by itself"
    assert isinstance(alice.refuses(c.StopAudioStream(stream=stream)), NotFound)


@pytest.mark.parametrize("failed", [False, True])
@pytest.mark.parametrize("end_call", [False, True])
def test_a_stream_that_ends_ends_its_call_where_that_is_wanted(end_call: bool, failed: bool) -> None:
    alice, _, _ = pair()
    accepted = alice.execute(c.StreamAudio(url=BOT, end_call=end_call))
    alice.receive(StreamOver(accepted.value.id, "no connection: refused", failed))
    assert [event.reason for event in alice.of(e.AudioStreamFailed)] == ["no connection: refused"] * failed
    assert isinstance(alice.outcome(accepted.operation), e.OperationFailed)
    assert bool(alice.calls) is not end_call


def test_the_end_of_the_call_gives_up_what_is_being_connected_and_lets_the_others_say_goodbye() -> None:
    alice, bob, call = pair()
    waiting = alice.execute(c.StreamAudio(url=BOT)).value.id
    running = alice.execute(c.StreamAudio(url=BOT, dialect="pcm", rate=24000)).value.id
    alice.receive(StreamConnected(running))
    bob.execute(c.Hangup())
    settle(alice.wire, 5)
    assert [each for each in alice.web_requests if isinstance(each, LeaveStream)] == [LeaveStream(waiting, "the call ended")]
    alice.receive(StreamConnected(waiting))  # both at the same moment
    for stream in (waiting, running):
        alice.receive(StreamOver(stream, "the call ended", False))
    assert [(event.call.id, event.stream.id) for event in alice.of(e.AudioStreamStopped)] == [(call, waiting), (call, running)]
    over(alice, bob)
    alice.receive(StreamOver(running, "again", True))
    alice.receive(StreamConnected(running))
    assert not alice.of(e.AudioStreamFailed)


@pytest.mark.parametrize(("command", "error"), [
    (c.StreamAudio(url=BOT, call="c_9"), NotFound),
    (c.StreamAudio(url="https://bot.example.org"), InvalidArgument),
    (c.StreamAudio(url="wss://u:p@bot.example.org"), InvalidArgument),
    (c.StreamAudio(url="wss://bot.example.org:99999"), InvalidArgument),
    (c.StreamAudio(url=""), InvalidArgument),
    (c.StreamAudio(url=BOT, rate=16000), InvalidArgument),
    (c.StreamAudio(url=BOT, rate=44100, dialect="pcm"), InvalidArgument),  # type: ignore[arg-type]
    (c.StreamAudio(url=BOT, track="both", dialect="pcm"), InvalidArgument),
    (c.StreamAudio(url=BOT, parameters=(("", "x"),)), InvalidArgument),
    (c.StreamAudio(url=BOT, parameters=(("a", "x" * MAX_PARAMETER),)), InvalidArgument),
    (c.StreamAudio(url=BOT, parameters=(("a", "b"),) * (MAX_PARAMETERS + 1)), InvalidArgument),
    (c.StopAudioStream(stream="as_9"), NotFound),
])
def test_what_is_refused_changes_nothing(command: c.Command, error: type[Exception]) -> None:
    alice, _, _ = pair()
    assert isinstance(alice.refuses(command), error)
    assert not alice.web_requests


def test_a_call_has_so_many_streams_at_most() -> None:
    alice, _, _ = pair()
    for _ in range(STREAMS_LIMIT):
        alice.execute(c.StreamAudio(url=BOT))
    assert isinstance(alice.refuses(c.StreamAudio(url=BOT)), InvalidState)
