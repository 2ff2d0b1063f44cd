"""The lines in virtual time, called by real endpoints."""

from __future__ import annotations

import pytest
from exchange_world import EXCHANGE, SDP, World, page

from offhook.exchange.directory import LINES, find_line
from offhook.exchange.lines import MAX_TALK, MAX_TALK_OF_LINES
from offhook.media import messages as media
from offhook.media.negotiate import is_web, make_answer, make_offer
from offhook.sip import events as sip
from offhook.sip.events import Body
from offhook.sip.uri import Uri


def commands(world: World, kind: type) -> list[media.MediaCommand]:
    return [command for command in world.media if isinstance(command, kind)]


@pytest.mark.parametrize(("line", "kind"), [
    ("echo", media.SetLoopback), ("music", media.StartPlayback), ("tone", media.StartPlayback),
    ("tone-1000", media.StartPlayback),
    ("recorder", media.StartRecording), ("conference", media.SetBridge), ("keypad", media.ConfigureStream),
])
def test_a_line_answers_and_acts(line: str, kind: type) -> None:
    world = World()
    phone = world.phone("1001")
    phone.call(line)
    world.run(1)
    assert "SessionAnswered" in phone.names()
    assert len(commands(world, media.ConfigureStream)) == 1
    assert commands(world, kind)
    phone.execute(sip.End("c1"))
    world.run(1)
    assert len(commands(world, media.CloseStream)) == 1
    world.run(64)
    assert world.switch.lines._endpoint.statistics()["dialogs"] == 0


@pytest.mark.parametrize(("line", "status"), [("busy", 486), ("decline", 603), ("forbidden", 403), ("nobody", 404)])
def test_a_line_refuses(line: str, status: int) -> None:
    world = World()
    phone = world.phone("1001")
    phone.call(line)
    world.run(1)
    assert phone.ended().status == status


def test_the_caller_is_redirected_to_echo() -> None:
    world = World()
    phone = world.phone("1001")
    phone.call("redirect")
    world.run(1)
    assert "SessionRedirected" in phone.names()
    assert "SessionAnswered" in phone.names()
    assert commands(world, media.SetLoopback)


def test_a_line_that_is_never_answered_rings_until_the_caller_gives_up_or_a_minute() -> None:
    world = World()
    patient, hasty = world.phone("1001"), world.phone("1002")
    patient.call("noanswer")
    hasty.call("noanswer")
    world.run(5)
    assert "SessionProgress" in patient.names()
    hasty.execute(sip.End("c1"))
    world.run(50)
    assert "SessionEnded" not in patient.names()
    world.run(10)
    assert patient.ended().status == 480


def test_ring_3_answers_after_three_seconds() -> None:
    world = World()
    phone = world.phone("1001")
    phone.call("ring-3")
    world.run(2.9)
    assert "SessionAnswered" not in phone.names()
    world.run(0.5)
    assert "SessionAnswered" in phone.names()


def test_the_keypad_plays_back_digits() -> None:
    world = World()
    phone = world.phone("1001")
    phone.call("keypad")
    world.run(1)
    (opened,) = commands(world, media.OpenStream)
    assert isinstance(opened, media.OpenStream)
    world.report(media.DigitReceived(opened.stream, "5", "rtp", 100))
    (played,) = commands(world, media.StartPlayback)
    assert isinstance(played, media.StartPlayback)
    assert (played.frequencies, played.duration_ms) == ((770.0, 1336.0), 160)
    assert "keypad: digit 5" in world.notes


def test_callback_hangs_up_and_calls_back() -> None:
    world = World()
    phone = world.phone("1001")
    phone.register()
    phone.auto = "answer"
    world.run(1)
    phone.call("callback")
    world.run(2)
    assert phone.ended().by == "remote"
    world.run(3)
    assert "SessionIncoming" in phone.names()
    assert "SessionConfirmed" in phone.names()
    (incoming,) = [event for event in phone.events if isinstance(event, sip.SessionIncoming)]
    phone.execute(sip.End(incoming.session))
    world.run(1)
    assert len(commands(world, media.CloseStream)) == 2


def test_a_conference_grows_and_shrinks() -> None:
    world = World()
    phones = [world.phone(user) for user in ("1001", "1002")]
    for phone in phones:
        phone.call("conference")
    world.run(1)
    phones[0].execute(sip.End("c1"))
    world.run(1)
    sizes = [len(each.streams) for each in world.media if isinstance(each, media.SetBridge)]
    assert sizes == [1, 2, 1]


def test_hold_is_answered() -> None:
    world = World()
    phone = world.phone("1001")
    phone.call("tone")
    world.run(1)
    held = sip.Body("application/sdp", SDP.data + b"a=sendonly\r\n")
    phone.execute(sip.Reoffer("c1", held))
    world.run(1)
    assert b"a=recvonly" in next(event for event in phone.events if isinstance(event, sip.OfferAnswered)).body.data
    configured = [each.config.direction for each in world.media if isinstance(each, media.ConfigureStream)]
    assert configured == ["sendrecv", "recvonly"]


def test_a_call_without_offer_is_offered_one() -> None:
    world = World()
    phone = world.phone("1001")
    phone.execute(sip.Invite("c1", "1001", Uri.sip("tone", *EXCHANGE), None))
    world.run(1)
    (offered,) = [event for event in phone.events if isinstance(event, sip.OfferReceived)]
    assert b"m=audio" in offered.body.data
    phone.execute(sip.AnswerOffer("c1", SDP))
    world.run(1)
    assert len(commands(world, media.ConfigureStream)) == 1


def test_sdp_that_is_none_or_suits_nobody_is_refused() -> None:
    for text, status in ((b"nonsense", 400), (b"v=0\r\no=- 1 1 IN IP4 1.1.1.1\r\ns=-\r\nc=IN IP4 1.1.1.1\r\nt=0 0\r\n"
                                              b"m=audio 4000 RTP/AVP 97\r\na=rtpmap:97 speex/8000\r\n", 488)):
        world = World()
        phone = world.phone("1001")
        phone.execute(sip.Invite("c1", "1001", Uri.sip("tone", *EXCHANGE), sip.Body("application/sdp", text)))
        world.run(1)
        assert phone.ended().status == status
        assert len(commands(world, media.CloseStream)) == 1


def test_a_line_can_be_transferred_to_a_phone() -> None:
    world = World()
    phone, other = world.phone("1001"), world.phone("1002")
    other.register()
    other.auto = "answer"
    world.run(1)
    phone.call("tone")
    world.run(1)
    phone.execute(sip.Refer("c1", Uri.sip("1002", *EXCHANGE)))
    world.run(2)
    steps = [event for event in phone.events if isinstance(event, sip.ReferProgress)]
    assert steps[-1].final
    assert steps[-1].status == 200
    assert "SessionConfirmed" in other.names()
    phone.execute(sip.End("c1"))
    world.run(1)
    (incoming,) = [event for event in other.events if isinstance(event, sip.SessionIncoming)]
    other.execute(sip.End(incoming.session))
    world.run(1)
    assert len(commands(world, media.CloseStream)) == 2


def test_lines_that_are_connected_with_each_other_come_to_an_end() -> None:
    world = World()
    phone = world.phone("1001")
    for line in ("callback", "echo", "busy"):
        phone.call("tone", line)
        world.run(1)
        phone.execute(sip.Refer(line, Uri.sip(line, *EXCHANGE)))
        world.run(1)
        phone.execute(sip.End(line))
    finals = [event.status for event in phone.events if isinstance(event, sip.ReferProgress) and event.final]
    assert finals == [200, 200, 486]
    phone.call("tone", "own")
    world.run(MAX_TALK_OF_LINES + 100)
    assert [call.remote.uri.user for call in world.switch.lines._calls.values()] == ["1001"]
    world.run(MAX_TALK)
    assert world.switch.lines._calls == {}
    assert not world.switch.lines.talking
    assert len(commands(world, media.OpenStream)) == len(commands(world, media.CloseStream)) == 9


def test_a_transfer_to_nobody_is_reported() -> None:
    world = World()
    phone = world.phone("1001")
    phone.call("tone")
    world.run(1)
    phone.execute(sip.Refer("c1", Uri.sip("1002", *EXCHANGE)))
    world.run(2)
    steps = [event for event in phone.events if isinstance(event, sip.ReferProgress)]
    assert (steps[-1].final, steps[-1].status) == (True, 480)


@pytest.mark.parametrize("seed", range(6))
def test_calls_to_lines_survive_loss(seed: int) -> None:
    world = World(loss=0.3, seed=seed)
    phone = world.phone("1001")
    phone.call("tone")
    world.run(30)
    assert "SessionAnswered" in phone.names()
    phone.execute(sip.End("c1"))
    world.run(70)
    assert world.switch.lines._calls == {}


def test_without_ports_the_call_is_refused() -> None:
    world = World()
    world.report(media.EngineTrouble("the engine died"))
    phone = world.phone("1001")
    phone.call("tone")
    world.run(1)
    assert phone.ended().status == 503


def test_a_stream_that_fails_ends_its_call() -> None:
    world = World()
    phone = world.phone("1001")
    phone.call("tone")
    world.run(1)
    (opened,) = commands(world, media.OpenStream)
    assert isinstance(opened, media.OpenStream)
    world.report(media.StreamFailed(opened.stream, "gone"))
    world.run(1)
    assert phone.ended().by == "remote"


def test_the_directory_finds_lines_by_name_and_by_contact() -> None:
    for name, line in LINES.items():
        assert find_line(name) is line
        assert find_line("line-" + name) is line
    for wrong in ("tone-99", "tone-3401", "tone-", "ring-100", "ring-x", "", "1001", "Echo"):
        assert find_line(wrong) is None


# --- phones in web pages -----------------------------------------------------------------------------------------------


def found(world: World) -> media.CandidatesGathered:
    """Return what the media engine says to the latest search."""
    search = commands(world, media.GatherCandidates)[-1]
    assert isinstance(search, media.GatherCandidates)
    return media.CandidatesGathered(search.stream, (media.Candidate("1", 1, 9, EXCHANGE[0], 10000, "host"),))


def test_a_phone_in_a_page_is_answered_when_our_addresses_are_known() -> None:
    world = World()
    phone = world.phone("1001")
    phone.call("echo", offer=Body("application/sdp", make_offer(page(), 1, 1)))
    world.run(1)
    assert "SessionAnswered" not in phone.names()
    world.report(found(world))
    world.run(1)
    assert "SessionAnswered" in phone.names()
    (configured,) = commands(world, media.ConfigureStream)
    assert isinstance(configured, media.ConfigureStream)
    assert configured.config.ice is not None
    world.report(found(world))  # found out again, after a change of the network: the call stands
    assert len(commands(world, media.ConfigureStream)) == 1


def test_a_phone_in_a_page_that_gives_up_at_once_leaves_nothing_behind() -> None:
    world = World()
    phone = world.phone("1001")
    phone.call("echo", offer=Body("application/sdp", make_offer(page(), 1, 1)))
    world.run(1)
    phone.execute(sip.End("c1"))
    world.run(1)
    world.report(found(world))
    world.run(64)
    assert world.switch.lines.statistics()["calls"] == 0
    assert len(commands(world, media.CloseStream)) == 1


def test_a_phone_in_a_page_is_called_back_with_all_that_it_needs() -> None:
    world = World()
    phone = world.phone("1001")
    phone.register()
    world.run(1)
    phone.call("callback", offer=Body("application/sdp", make_offer(page(), 1, 1)))
    world.run(1)
    world.report(found(world))
    world.run(5)
    assert len(commands(world, media.GatherCandidates)) == 2
    world.report(found(world))
    world.run(1)
    (called,) = [event for event in phone.events if isinstance(event, sip.SessionIncoming)]
    assert called.offer is not None
    assert is_web(called.offer.data)
    phone.execute(sip.Accept(called.session, Body("application/sdp", make_answer(page(), called.offer.data, 1, 1)[0])))
    world.run(1)
    assert len(commands(world, media.ConfigureStream)) == 2


def test_the_keypad_takes_digits_in_the_signalling() -> None:
    world = World()
    phone = world.phone("1001")
    phone.call("keypad")
    world.run(1)
    phone.execute(sip.SendInfo("c1", "i1", Body("application/dtmf-relay", b"Signal=5\r\nDuration=100\r\n")))
    phone.execute(sip.SendInfo("c1", "i2", Body("text/plain", b"5")))
    world.run(1)
    (played,) = commands(world, media.StartPlayback)
    assert isinstance(played, media.StartPlayback)
    assert played.frequencies == (770.0, 1336.0)
