"""The lines: user agents that answer calls to echo, music, keypad and the others. Pure, five verbs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from offhook.errors import CommandError, MediaNegotiationFailed, ParseError
from offhook.exchange.agreement import Agreement, Wish
from offhook.exchange.directory import CONTACT_PREFIX, LINES, Line, find_line
from offhook.exchange.proxy import Note
from offhook.ids import Ids
from offhook.media import messages as media
from offhook.media.negotiate import is_web
from offhook.media.tones import DTMF
from offhook.phone.digits import read_relay
from offhook.phone.secrecy import OwnCertificate
from offhook.sip import events as sip
from offhook.sip.abnf import unescape
from offhook.sip.endpoint import Endpoint
from offhook.sip.events import Address, Body
from offhook.sip.timers import Timer, TimerQueue
from offhook.sip.uri import NameAddr, Uri

SDP: Final = "application/sdp"
DIGIT_MS: Final = 160
"""Milliseconds of a digit played back by the keypad."""
CALLBACK_TALK: Final = 1.0
"""Seconds of tone before the callback line hangs up."""
CALLBACK_PAUSE: Final = 2.0
"""Seconds between hanging up and calling back."""
MAX_TALK: Final = 4 * 3600.0
"""Seconds until a line hangs up by itself."""
MAX_TALK_OF_LINES: Final = 600.0
"""The same where the far end is a line, too: two that were connected by a transfer have nobody to hang up."""
MAX_CALLS: Final = 500
"""Calls at once; more are answered 503."""

LineOutput: TypeAlias = sip.Transmit | sip.Resolve | sip.CloseFlow | media.MediaCommand | Note


@dataclass(slots=True)
class _Call:
    """One call of a line. `agreement` is our side of the media once there is a port; `offer` what the far end came with."""

    session: str
    line: Line
    remote: NameAddr
    offer: Body | None = None
    agreement: Agreement | None = None
    begun: bool = False
    timer: Timer | None = None
    call_back: bool = False
    refer: tuple[str, str] | None = None
    """The session and REFER this call was placed for."""


class Lines:
    """All lines behind one SIP endpoint.

    `address` is where the exchange listens, `music` the WAV file of the melody, `recording` gives the path of a new
    recording for a name that is unique, `certificate` is for the handshakes of phones in web pages.
    """

    def __init__(
        self, address: Address, ids: Ids, *, music: str, recording: Callable[[str], str], certificate: OwnCertificate
    ) -> None:
        self._address = address
        self._ids = ids
        self._certificate = certificate
        self._music = music
        self._recording = recording
        self._endpoint = Endpoint(ids, user_agent="offhook practice exchange")
        self._timers = TimerQueue()
        self._calls: dict[str, _Call] = {}
        self._ports: deque[int] = deque()
        self._known: set[str] = set()
        self._out: deque[LineOutput] = deque()
        self._now = 0.0
        for line in LINES.values():
            self.introduce(line)

    # --- the verbs ---------------------------------------------------------------------------------------------------

    def receive(self, item: sip.SipInput | media.MediaReport, now: float) -> None:
        """Take a SIP message for a line, or a report of the media engine."""
        self._now = now
        if isinstance(item, sip.Datagram | sip.StreamChunk | sip.FlowUp | sip.FlowFailed | sip.NetworkChanged | sip.Resolved):
            self._endpoint.receive(item, now)
        else:
            self._on_report(item)
        self._drain()

    def timeout(self, now: float) -> None:
        """Run what is due."""
        self._now = now
        self._timers.expire(now)
        self._endpoint.timeout(now)
        self._drain()

    def poll(self) -> LineOutput | None:
        """Return the next thing to do, None if there is nothing."""
        return self._out.popleft() if self._out else None

    def deadline(self) -> float | None:
        """Return when `timeout` wants to be called."""
        return min((at for at in (self._timers.deadline(), self._endpoint.deadline()) if at is not None), default=None)

    def introduce(self, line: Line) -> None:
        """Give the line an identity: its own Contact, and the exchange itself as the way to others."""
        if line.name in self._known:
            return
        self._known.add(line.name)
        host, port = self._address
        self._execute(sip.SetIdentity(sip.Identity(
            id=line.name, address=NameAddr(Uri.sip(line.name, host, port)), proxy=Uri.sip(None, host, port, lr=None),
            contact_user=CONTACT_PREFIX + line.name, user_agent="offhook practice exchange")))

    @property
    def talking(self) -> bool:
        """Whether a call is not over on the wire yet."""
        return self._endpoint.statistics()["dialogs"] > 0

    def statistics(self) -> dict[str, int]:
        """Return how many of each thing are alive."""
        return {"calls": len(self._calls), **self._endpoint.statistics()}

    def hang_up(self, now: float) -> None:
        """End all calls."""
        self._now = now
        for session in list(self._calls):
            self._execute(sip.End(session))
        self._drain()

    # --- plumbing ----------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        while (output := self._endpoint.poll()) is not None:
            if isinstance(output, sip.Transmit | sip.Resolve | sip.CloseFlow):
                self._out.append(output)
            else:
                self._on_event(output)

    def _execute(self, command: sip.SipCommand) -> bool:
        """Carry out a command; False if the call has moved on meanwhile and it fits no more."""
        try:
            self._endpoint.execute(command, self._now)
        except CommandError:
            return False
        return True

    def _say(self, text: str) -> None:
        self._out.append(Note(text))

    def _later(self, call: _Call, seconds: float, action: Callable[[_Call], None]) -> None:
        def due(now: float) -> None:
            if self._calls.get(call.session) is call:
                action(call)

        self._stop_timer(call)
        call.timer = self._timers.start(self._now + seconds, due)

    @staticmethod
    def _stop_timer(call: _Call) -> None:
        if call.timer is not None:
            call.timer.stop()
            call.timer = None

    # --- SIP events --------------------------------------------------------------------------------------------------

    def _on_event(self, event: sip.SipEvent) -> None:
        if isinstance(event, sip.SessionIncoming):
            self._on_incoming(event)
            return
        if isinstance(event, sip.MessageReceived):
            self._say(f"{event.identity or 'lines'}: message from {event.remote.uri.user_decoded}")
            return
        call = self._calls.get(getattr(event, "session", ""))
        if call is not None:
            self._on_call_event(call, event)

    def _on_call_event(self, call: _Call, event: sip.SipEvent) -> None:
        match event:
            case sip.SessionConfirmed(body=body):
                if body is not None:
                    self._take_answer(call, body)
            case sip.SessionProgress(status=status, reason=reason):
                self._notify(call, status, reason)
            case sip.SessionAnswered(body=body):
                self._on_answered(call, body)
            case sip.OfferReceived(body=body):
                self._on_offer(call, body)
            case sip.OfferWanted():
                self._on_offer_wanted(call)
            case sip.OfferAnswered(body=body):
                self._take_answer(call, body)
            case sip.InfoReceived(body=body):
                self._on_info(call, body)
            case sip.ReferRequested(refer=refer, target=target):
                self._on_refer(call, refer, target)
            case sip.SessionEnded(status=status, reason=reason):
                self._on_ended(call, status, reason)
            case _:
                pass  # the rest is of no interest to a line

    def _on_incoming(self, event: sip.SessionIncoming) -> None:
        line = find_line(event.request_uri.user_decoded)
        if line is None or len(self._calls) >= MAX_CALLS:
            self._execute(sip.Refuse(event.session, 404 if line is None else 503))
            return
        caller = event.remote.uri.user_decoded or event.remote.uri.host
        self._say(f"{line.name}: call from {caller}")
        call = self._calls[event.session] = _Call(event.session, line, event.remote, event.offer)
        if line.ring > 0:
            self._execute(sip.Progress(call.session, 180))
            self._later(call, line.ring, self._refuse if line.refuse else self._answer)
        elif line.refuse:
            self._refuse(call)
        else:
            self._answer(call)

    def _refuse(self, call: _Call) -> None:
        headers: sip.HeaderList = ()
        if 300 <= call.line.refuse < 400:
            headers = (("Contact", f"<{Uri.sip('echo', *self._address)}>"),)
        self._execute(sip.Refuse(call.session, call.line.refuse, "", headers))

    def _on_ended(self, call: _Call, status: int, reason: str) -> None:
        self._say(f"{call.line.name}: call ended" + (f" ({status} {reason})" if status else ""))
        self._stop_timer(call)
        del self._calls[call.session]
        if call.agreement is not None:
            self._out.append(media.CloseStream(call.session))
        if call.line.act == "conference":
            self._gather()
        if call.refer is not None and not call.begun:
            self._notify(call, status if status >= 300 else 487, reason)
        if call.call_back:
            self._timers.start(self._now + CALLBACK_PAUSE, lambda now: self._call_back(call))

    # --- offers and answers ------------------------------------------------------------------------------------------

    def _take_port(self, call: _Call, wish: Wish = "") -> bool:
        if not self._ports:
            return False
        host, port = self._address[0], self._ports.popleft()
        call.agreement = Agreement(call.session, host, port, self._ids, self._certificate, wish)
        self._out.append(media.OpenStream(call.session, port, "practice@" + host))
        return True

    def _answer(self, call: _Call) -> None:
        if not self._take_port(call) or call.agreement is None:
            self._execute(sip.Refuse(call.session, 503))
        elif call.offer is not None and is_web(call.offer.data):
            call.agreement.web = True
            self._out.append(call.agreement.search())
        else:
            self._accept(call, call.agreement)

    def _accept(self, call: _Call, agreement: Agreement) -> None:
        if call.offer is None:
            self._execute(sip.Accept(call.session, Body(SDP, agreement.offer())))
            return
        try:
            answer, config = agreement.answer(call.offer.data)
        except (MediaNegotiationFailed, ParseError) as error:
            self._execute(sip.Refuse(call.session, 488 if isinstance(error, MediaNegotiationFailed) else 400))
            return
        if self._execute(sip.Accept(call.session, Body(SDP, answer))):
            self._configure(call, config)

    def _on_offer(self, call: _Call, offer: Body) -> None:
        try:
            if call.agreement is None:
                raise MediaNegotiationFailed("this call has no media")
            answer, config = call.agreement.answer(offer.data)
        except (MediaNegotiationFailed, ParseError):
            self._execute(sip.RefuseOffer(call.session, 488))
            return
        if self._execute(sip.AnswerOffer(call.session, Body(SDP, answer))):
            self._configure(call, config)

    def _on_offer_wanted(self, call: _Call) -> None:
        assert call.agreement is not None  # every call that stands has taken its port
        self._execute(sip.AnswerOffer(call.session, Body(SDP, call.agreement.offer())))

    def _take_answer(self, call: _Call, answer: Body) -> None:
        if call.agreement is None:
            return
        try:
            config = call.agreement.accept(answer.data)
        except (MediaNegotiationFailed, ParseError):
            self._execute(sip.End(call.session))
            return
        self._configure(call, config)

    def _configure(self, call: _Call, config: media.StreamConfig) -> None:
        self._out.append(media.ConfigureStream(call.session, config))
        if not call.begun:
            call.begun = True
            alone = find_line(call.remote.uri.user_decoded) is not None
            self._later(call, MAX_TALK_OF_LINES if alone else MAX_TALK, self._end)
            self._begin(call)

    # --- what a line does once it is answered ------------------------------------------------------------------------

    def _begin(self, call: _Call) -> None:
        session, line = call.session, call.line
        match line.act:
            case "echo":
                self._out.append(media.SetLoopback(session, True))
            case "music":
                self._out.append(media.StartPlayback(session, "music", "file", path=self._music, loop=True))
            case "tone":
                self._out.append(media.StartPlayback(session, "tone", "tone", frequencies=line.frequencies))
            case "callback":
                self._out.append(media.StartPlayback(session, "tone", "tone", frequencies=line.frequencies))
                if call.refer is None and not session.startswith(_OUTGOING):
                    self._later(call, CALLBACK_TALK, self._end_and_call_back)
            case "recorder":
                name = f"recording-{self._ids.token(8)}"
                self._out.append(media.StartRecording(session, name, self._recording(name), beep=True))
            case "conference":
                self._gather()
            case "keypad":
                pass  # it waits for digits

    def _gather(self) -> None:
        """Put everybody in the conference into one bridge."""
        present = tuple(each.session for each in self._calls.values() if each.line.act == "conference" and each.begun)
        self._out.append(media.SetBridge("conference", present))

    def _end(self, call: _Call) -> None:
        self._execute(sip.End(call.session))

    def _end_and_call_back(self, call: _Call) -> None:
        # Two lines that call each other back would never stop.
        call.call_back = find_line(call.remote.uri.user_decoded) is None
        self._end(call)

    def _call_back(self, call: _Call) -> None:
        target = Uri.sip(call.remote.uri.user_decoded or None, *self._address)
        self._say(f"{call.line.name}: calling {target.user_decoded or target.host} back")
        self._place(call.line, target, None, call.agreement.wish if call.agreement is not None else "")

    # --- calls the lines make ----------------------------------------------------------------------------------------

    def _place(self, line: Line, target: Uri, refer: tuple[str, str] | None, wish: Wish = "") -> bool:
        call = _Call(_OUTGOING + self._ids.token(12), line, NameAddr(target), refer=refer)
        if not self._take_port(call, wish) or call.agreement is None:
            return False
        self._calls[call.session] = call
        if call.agreement.web:
            self._out.append(call.agreement.search())
            return True
        return self._invite(call, call.agreement)

    def _invite(self, call: _Call, agreement: Agreement) -> bool:
        target = call.remote.uri
        # RFC 3261 19.1.5: of the headers in a Refer-To, only Replaces (RFC 3891) means something to us.
        headers = tuple((name, unescape(value)) for name, value in target.headers if name.lower() == "replaces")
        offer = Body(SDP, agreement.offer())
        if self._execute(sip.Invite(call.session, call.line.name, replace(target, headers=()), offer, headers)):
            return True
        del self._calls[call.session]
        self._out.append(media.CloseStream(call.session))
        return False

    def _on_answered(self, call: _Call, body: Body | None) -> None:
        if body is not None:
            self._take_answer(call, body)
        self._notify(call, 200, "OK")
        call.refer = None

    def _on_refer(self, call: _Call, refer: str, target: NameAddr) -> None:
        if target.uri.scheme != "sip" or len(self._calls) >= MAX_CALLS:
            self._execute(sip.RefuseRefer(call.session, refer, 603))
            return
        if not self._execute(sip.AcceptRefer(call.session, refer)):
            return
        self._say(f"{call.line.name}: transferred to {target.uri.user_decoded or target.uri.host}")
        if not self._place(call.line, target.uri, (call.session, refer)):
            self._execute(sip.NotifyRefer(call.session, refer, 503, "Service Unavailable"))

    def _notify(self, call: _Call, status: int, reason: str) -> None:
        """Tell who transferred us how the call goes."""
        if call.refer is not None:
            session, refer = call.refer
            self._execute(sip.NotifyRefer(session, refer, status, reason))

    # --- media reports -----------------------------------------------------------------------------------------------

    def _on_report(self, report: media.MediaReport) -> None:
        match report:
            case media.PortsReady(ports=ports):
                self._ports.extend(ports)
            case media.EngineTrouble(late_ms=late, reason=reason):
                if not late:
                    self._ports.clear()
                    self._say(f"media: {reason}")
            case media.DigitReceived(stream=stream, digit=digit):
                self._on_digit(stream, digit)
            case media.CandidatesGathered(stream=stream, candidates=candidates):
                self._on_gathered(stream, candidates)
            case media.StreamFailed(stream=stream):
                if stream in self._calls:
                    self._execute(sip.End(stream))
            case media.RecordingDone(stream=stream, path=path, duration_ms=duration, error=error):
                self._say(f"recorder: {error or f'{duration / 1000:.1f} s in {path}'}")
            case _:
                pass  # figures and confirmations: of no interest to a line

    def _on_gathered(self, stream: str, candidates: tuple[media.Candidate, ...]) -> None:
        """Go on with a call that had to wait for our addresses."""
        call = self._calls.get(stream)
        if call is None or call.agreement is None or call.begun:
            return
        call.agreement.candidates = candidates
        if stream.startswith(_OUTGOING):
            self._invite(call, call.agreement)
        else:
            self._accept(call, call.agreement)

    def _on_info(self, call: _Call, body: Body | None) -> None:
        found = read_relay(body)
        if found is not None:
            self._on_digit(call.session, found[0])

    def _on_digit(self, stream: str, digit: str) -> None:
        call = self._calls.get(stream)
        if call is None:
            return
        self._say(f"{call.line.name}: digit {digit}")
        pair = DTMF.get(digit)
        if call.line.act == "keypad" and pair is not None:
            self._out.append(media.StartPlayback(stream, f"digit-{digit}", "tone", frequencies=(float(pair[0]), float(pair[1])),
                                                 duration_ms=DIGIT_MS))


_OUTGOING: Final = "out-"
"""How the session ids of calls the lines make begin."""
