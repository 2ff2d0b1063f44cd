"""What is fuzzed: each target takes any bytes, and on top of it stands what must hold whatever they are.

Everything else that is raised is a mistake of ours. The targets are replayed with the kept corpus by the fast suite
(`test_fuzz_corpus.py`) and driven by coverage in `fuzzing.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import json
from collections.abc import Callable
from typing import Any

import msgspec

from offhook.control.access import Client, local_client
from offhook.control.conditions import WaitRequest, watched
from offhook.control.http.dispatch import Application
from offhook.control.http.surface import Surface
from offhook.control.operations import Operations
from offhook.control.schema import record_from_json
from offhook.control.session import Session
from offhook.errors import ConfigError, InvalidArgument, MediaNegotiationFailed, NotFound, ParseError, UnreadableFile
from offhook.media import rtcp, rtp, stun
from offhook.media.codecs import codec
from offhook.media.codecs.kinds import usable
from offhook.media.containers import look, tag_bytes
from offhook.media.handshakes import ATTEMPT_S, MAX_ATTEMPTS, PATIENCE_S
from offhook.media.messages import DtlsPeer, MediaReport, StreamConfig, StreamSecured
from offhook.media.negotiate import LocalMedia, accept_answer, make_answer, make_offer
from offhook.media.receiving import DTLS_FIRST, Receiver
from offhook.media.sdes import parse_crypto
from offhook.media.sdp import parse_sdp
from offhook.media.sources import SILENCE, frame_bytes
from offhook.media.wav import read_header
from offhook.phone.events import CallActive
from offhook.phone.model import CallState, CallView, Party, wall
from offhook.sip.events import Datagram, Flow, StreamChunk
from offhook.sip.framing import StreamFramer
from offhook.sip.keepalive import is_stun
from offhook.sip.parsing import MessageError, parse_message
from offhook.sip.sanity import check
from offhook.storage import config
from offhook.storage.takeover.calls import calls_of_csv, calls_of_xml
from offhook.storage.takeover.microsip import take_over_ini
from offhook.storage.takeover.people import people_of
from offhook.storage.takeover.texts import decode
from offhook.storage.takeover.vcard import read_cards
from offhook.storage.takeover.xml import read_xml
from offhook.testing.backend import FakeBackend
from offhook.testing.ids import SeededIds
from offhook.testing.phones import VirtualPhone, talk, two_phones
from offhook.testing.wire import Wire

Target = Callable[[bytes], object]

STRANGER = ("203.0.113.9", 5060)
LOCAL = LocalMedia("10.0.0.1", 40000, ("OPUS", "G722", "PCMU", "PCMA", "L16/16000"), comfort_noise=True)
CODECS = usable()
OFFER = make_offer(LOCAL, 1, 1)


def sip_message(data: bytes) -> None:
    """A message is read, or MessageError; what was read and is sane prints to bytes that read as the same message."""
    try:
        message = parse_message(data)
        check(message)
    except MessageError:
        return
    assert parse_message(message.encode()) == message


def sip_stream(data: bytes) -> None:
    """A stream is cut into frames however it arrives: in one piece or byte by byte the frames are the same, or ParseError."""
    assert _frames([data]) == _frames([data[at:at + 1] for at in range(len(data))])


def _frames(pieces: list[bytes]) -> tuple[list[bytes], bool]:
    framer, found = StreamFramer(), list[bytes]()
    for piece in pieces:
        try:
            found += framer.feed(piece)
        except ParseError:
            return found, True
        if framer.fault is not None:
            return found, True
    return found, False


@functools.cache
def _talking() -> tuple[VirtualPhone, VirtualPhone]:
    alice, bob = two_phones(Wire())
    talk(alice, bob)
    return alice, bob


def sip_phone(data: bytes) -> None:
    """A phone in a call takes any datagram and any chunk of a stream: nothing is raised, its call goes on, no loop is begun.

    What it tells of that can be told: JSON holds it.
    """
    alice, bob = _talking()
    wire, before, told = alice.wire, len(alice.wire.sent), len(alice.events)
    try:
        alice.node.receive(Datagram(Flow("udp", ("10.0.0.1", 5060), STRANGER), data))
        alice.node.receive(StreamChunk(Flow("tcp", ("10.0.0.1", 5060), STRANGER, before + 1), data))
        wire.run(wire.now + 0.3)
        assert len(wire.sent) - before <= 2 * (2 + data.count(b"\r\n\r\n"))
        assert [call.state for call in bob.calls.values()] == [CallState.ACTIVE]
        assert msgspec.json.encode((alice.events[told:], alice.snapshot()))
    except BaseException:
        _talking.cache_clear()
        raise
    if len(alice.calls) > 8 or len(wire.sent) > 5000:
        _talking.cache_clear()


def sdp(data: bytes) -> None:
    """A description is read, or ParseError; printed and read again it is the same. Offer and answer refuse it in words."""
    try:
        found = parse_sdp(data)
    except ParseError:
        return
    assert parse_sdp(found.encode()) == found
    for use in (
        lambda: make_answer(LOCAL, data, 1, 1), lambda: accept_answer(LOCAL, OFFER, data),
        lambda: make_offer(LOCAL, 1, 2, previous=data),
    ):
        with contextlib.suppress(ParseError, MediaNegotiationFailed):
            use()


def sdp_crypto(data: bytes) -> None:
    """A key in a description is read, or ParseError; what was read prints to what reads the same."""
    with contextlib.suppress(ParseError):
        found = parse_crypto(data.decode("utf-8", "replace"))
        assert parse_crypto(str(found)) == found


def media_rtp(data: bytes) -> None:
    """The receiving side of a stream takes any packets: nothing is raised, and there is always a frame of 20 ms to hear."""
    span = rtp.payload_span(data)
    assert span is None or 12 <= span[0] <= span[1] <= len(data)
    receiver = Receiver(_nothing, lambda: None, _nothing, lambda *_: None, SeededIds("fuzz"))
    codecs = {0: codec("PCMU"), 8: codec("PCMA"), **{96 + n: codec(name) for n, name in enumerate(CODECS)}}
    receiver.configure(codecs, {101: 8000})
    receiver.listen(True)
    # The first two bytes of each piece say how long it is: several packets are one input.
    at, now = 0, 0.0
    while at + 2 <= len(data):
        length = int.from_bytes(data[at:at + 2], "big") & 0x3FF
        receiver.receive(data[at + 2:at + 2 + length], ("203.0.113.9", 4000), now)
        at, now = at + 2 + length, now + 0.02
        receiver.hear(now)
        assert receiver.far is SILENCE or len(receiver.far) == frame_bytes(receiver.rate)
        receiver.buffer.review(now)
    for _ in range(12):
        now += 0.02
        receiver.hear(now)
        assert receiver.far is SILENCE or len(receiver.far) == frame_bytes(receiver.rate)


def media_payload(data: bytes) -> None:
    """Every codec takes any payloads: a length in words it can keep, PCM of just that length, nothing raised, no crash.

    The first byte chooses the codec; before each payload stands its length.
    """
    chosen = codec(CODECS[data[0] % len(CODECS)]) if data else codec("PCMU")
    at = 1
    while at + 2 <= len(data):
        length = int.from_bytes(data[at:at + 2], "big") & 0xFFF
        payload = data[at + 2:at + 2 + length]
        at += 2 + length
        units = chosen.units(payload)
        if payload and units:
            assert len(chosen.decode(payload)) == units * chosen.rate // chosen.clock_rate * 2
        if chosen.recover is not None:
            assert len(chosen.recover(payload)) in (0, frame_bytes(chosen.rate))
        if chosen.conceal is not None:
            assert len(chosen.conceal()) == frame_bytes(chosen.rate)


def _nothing(*_: object) -> None:
    """Nobody listens."""


def media_rtcp(data: bytes) -> None:
    """Reports are read, or ParseError."""
    with contextlib.suppress(ParseError):
        rtcp.parse(data)


def media_stun(data: bytes) -> None:
    """A STUN message is read, or ParseError; what is not even one is told apart without an error."""
    is_stun(data)
    stun.is_stun(data)
    with contextlib.suppress(ParseError):
        stun.parse_stun(data)


def media_srtp(data: bytes) -> None:
    """What is not sealed with our key is nothing: b"", never an error."""
    from offhook.media.srtp import Opening

    opening = Opening("AES_CM_128_HMAC_SHA1_80", bytes(30))
    assert opening.open(data) == b""
    assert opening.open_control(data) == b""


class _Quiet(FakeBackend):
    """A backend of which nothing is kept."""


@functools.cache
def _certificates() -> tuple[bytes, bytes]:
    from offhook.io.certificate import make_certificate

    return make_certificate(), make_certificate()


def _shown(certificate: bytes) -> tuple[tuple[str, str], ...]:
    from offhook.io.certificate import fingerprint_of

    name, text = fingerprint_of(certificate).split()
    return ((name, text),)


def media_handshake(data: bytes) -> None:
    """Strangers' datagrams at a stream that waits for keys (RFC 7983): they get none, nothing leaves in the clear.

    As the server it agrees with the far end afterwards all the same.
    """
    from offhook.io.dtls import DtlsHandshake  # after the other targets: these pay for OpenSSL
    from offhook.media.path import Path

    ours, theirs = _certificates()
    agreed, started = ("203.0.113.1", 4000), list[str]()
    for role in ("server", "client"):
        outbox, reports = list[tuple[int, bytes, tuple[str, int]]](), list[MediaReport]()

        def begin(peer: DtlsPeer) -> DtlsHandshake:
            started.append(peer.role)
            return DtlsHandshake(peer)

        path = Path(
            "c", 4000, outbox, _nothing, _nothing, report=reports.append, handshake=begin, move_to=_nothing,
            move_control_to=_nothing,
        )  # fmt: skip
        peer = DtlsPeer(role, _shown(theirs), ours)
        path.configure(StreamConfig(agreed, (agreed[0], 4001), "PCMU", 0, ((0, "PCMU"),), security=peer), 0.0)
        path.append((4000, b"\x80\0" + bytes(170), agreed))
        at, now = 0, 0.0
        while at + 3 <= len(data):  # of each piece: from whom and where it comes and how long it takes, and its length
            kind, length = data[at], int.from_bytes(data[at + 1:at + 3], "big") & 0x7FF
            source = ("203.0.113.9", 4000 + (kind >> 1 & 7))
            take = path.receive_control if kind & 1 else path.receive
            take(data[at + 3:at + 3 + length], source, now)
            at, now = at + 3 + length, now + (kind >> 4) / 32
            path.timeout(now)
        assert started.count(role) <= 2 * (1 + MAX_ATTEMPTS + int(now / ATTEMPT_S) * MAX_ATTEMPTS)
        assert all(datagram[0] in DTLS_FIRST for _, datagram, _ in outbox)
        assert not any(isinstance(report, StreamSecured) for report in reports)
        if role == "server" and now < PATIENCE_S:
            outbox.clear()
            far_end = DtlsHandshake(DtlsPeer("client", _shown(ours), theirs))
            waiting = far_end.timeout()
            while waiting:
                for datagram in waiting:
                    path.receive(datagram, agreed, now)
                answers = [datagram for port, datagram, to in outbox if (port, to) == (4000, agreed)]
                outbox.clear()
                waiting = [more for datagram in answers for more in far_end.receive(datagram)]
            assert isinstance(reports[-1], StreamSecured)


def local_json(data: bytes) -> None:
    """A line on the local socket gets one answer in JSON: a result, or the problem in words; nothing is raised."""
    session = Session(Operations(_Quiet()), local_client(), lambda: None)
    answer = session.answer(data)
    if not isinstance(answer, bytes):
        assert answer is not None
        answer.close()  # type: ignore[attr-defined]  # a coroutine that would wait for the disk
        return
    found = json.loads(answer)
    assert found["ok"] is True or found["error"]["code"]
    assert b"\n" not in answer


def wait_conditions(data: bytes) -> None:
    """Conditions become things to watch, which look at the phone and at an event, or are refused by name; nothing is raised."""
    try:
        params = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return
    backend = _Quiet()
    backend.calls = (CallView("c_1", "a", "outgoing", CallState.ACTIVE, Party("sip:a@h"), Party("sip:b@h"), "x@y", wall(0.0)),)
    event = json.loads(backend.emit(CallActive(call=backend.calls[0])).json)
    with contextlib.suppress(InvalidArgument, NotFound):
        request: WaitRequest = record_from_json(WaitRequest, params)
        for condition in request.conditions:
            found = watched(condition, backend.execute, backend.outcomes)
            found.now()
            found.see(event)
            assert str(found)


def http_request(data: bytes) -> None:
    """A request gets one whole answer, of a known status, whatever method, path, query, headers and body are."""
    asyncio.run(_ask_http(data))


async def _ask_http(data: bytes) -> None:
    head, _, body = data.partition(b"\n\n")
    line, *fields = head.split(b"\n")
    method, _, target = line.partition(b" ")
    path, _, query = target.partition(b"?")
    surface = Surface(_Quiet(), _Open())  # type: ignore[arg-type]  # the guard is asked one thing only
    scope = {
        "type": "http", "method": method.decode("latin-1"), "raw_path": path, "path": path.decode("latin-1"),
        "query_string": query, "client": ("127.0.0.1", 1), "scheme": "http", "http_version": "1.1",
        "headers": [(name.strip().lower(), value.strip()) for name, _, value in (field.partition(b":") for field in fields)],
    }
    sent: list[Any] = []
    inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    inbox.put_nowait({"type": "http.request", "body": body})
    inbox.put_nowait({"type": "http.disconnect"})

    async def send(message: Any) -> None:
        sent.append(message)

    await asyncio.wait_for(Application(surface)(scope, inbox.get, send), 5)
    surface.close()
    starts = [each for each in sent if each["type"] == "http.response.start"]
    assert len(starts) <= 1
    assert all(100 <= each["status"] < 600 and each["status"] != 500 for each in starts)


class _Open:
    """A guard that lets everybody in: what is behind it is fuzzed."""

    def check_host(self, _host: object, *, may_lack: bool) -> None: ...
    def check_origin(self, _origin: object, _host: object) -> None: ...
    def check_scope(self, _client: object, _route: object) -> None: ...
    def denied(self, _peer: object, _reason: object) -> None: ...

    def cors(self, _origin: object) -> dict[str, str]:
        return {}

    def preflight(self, _origin: object, _methods: object) -> dict[str, str]:
        return {}

    def client(self, _authorization: object, _peer: object) -> Client:
        return local_client()

    client_of = client


def sound_file(data: bytes) -> None:
    """A sound file is known for what it is, or ParseError; and a WAV file's header promises no more than there is."""
    with contextlib.suppress(ParseError):
        tag_bytes(data)
        found = look(data)
        if found.kind == "wav":
            form = read_header(io.BytesIO(data), len(data))
            assert form.start + form.length <= len(data)
        else:
            assert found.rate >= 1000
            assert found.channels >= 1


def config_toml(data: bytes) -> None:
    """A configuration is read, or ConfigError; reading it changes nothing on the disk."""
    with contextlib.suppress(ConfigError, UnicodeDecodeError):
        config.parse(data.decode("utf-8"))


def takeover_ini(data: bytes) -> None:
    """Another phone's settings are taken over as far as they can be, or UnreadableFile."""
    with contextlib.suppress(UnreadableFile):
        take_over_ini(decode(data, "MicroSIP.ini"), "MicroSIP.ini", (), is_folder=lambda _path: False)


def takeover_people(data: bytes) -> None:
    """Another phone's address book is taken over as far as it can be, or UnreadableFile."""
    with contextlib.suppress(UnreadableFile):
        people_of(decode(data, "Contacts.xml"), "Contacts.xml")


def takeover_vcards(data: bytes) -> None:
    """Cards are taken over as far as they can be, or UnreadableFile; each of them is a contact, or there is a reason."""
    with contextlib.suppress(UnreadableFile):
        text = decode(b"BEGIN:VCARD\r\n" + data, "people.vcf")
        cards, people = list(read_cards(text, "people.vcf")), people_of(text, "people.vcf")
        assert len(cards) == len(people.contacts) + people.left_out
        assert all(contact.name for contact in people.contacts)


def takeover_calls(data: bytes) -> None:
    """Another phone's past calls are taken over as far as they can be, or UnreadableFile."""
    with contextlib.suppress(UnreadableFile):
        text = decode(data, "Calls.csv")
        calls_of_csv(text, "Calls.csv")
        calls_of_xml(read_xml(text, "Calls.xml"), "Calls.xml")


TARGETS: dict[str, Target] = {target.__name__: target for target in (
    sip_message, sip_stream, sip_phone, sdp, sdp_crypto, media_rtp, media_payload, media_rtcp, media_stun, media_srtp,
    media_handshake, local_json, wait_conditions, http_request, sound_file, config_toml, takeover_ini, takeover_people,
    takeover_vcards, takeover_calls,
)}
