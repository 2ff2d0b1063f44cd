"""Calls that come in: who calls, whether it may ring, and how it is answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, assert_never

from offhook.errors import CommandError, InvalidArgument, InvalidState, MediaNegotiationFailed, NotFound, ParseError
from offhook.phone.answer_mode import answer_mode, asked_delay
from offhook.phone.call import CONNECTED, OUTGOING_UNANSWERED, Call
from offhook.phone.capacity import AGAIN, UNAVAILABLE, Capacity
from offhook.phone.closing import ASTRAY, EXPIRED, NOBODY, Closing
from offhook.phone.commands import Accepted, Answer, Decide, Redirect, Reject
from offhook.phone.desk import Account, Desk
from offhook.phone.dialplan import own_uri, target_uri
from offhook.phone.diversion import diversions
from offhook.phone.events import CallDecided, CallIncoming, CallRedirected, CallReplaced, SystemError
from offhook.phone.headers import extra_headers, shown_headers, user_to_user, values
from offhook.phone.listening import check_detections, wish
from offhook.phone.model import CallState, HeaderList, Party
from offhook.phone.offers import Offers, check_codecs
from offhook.phone.outgoing import LOCAL_IDENTITY, Outgoing
from offhook.phone.settings import Decision
from offhook.sip.events import Accept, Body, Progress, Refuse, SessionConfirmed, SessionIncoming
from offhook.sip.uri import NameAddr, Uri

DECISION_WITHIN: Final = 2.0
"""Seconds a program has to decide about a call; the caller hears nothing meanwhile (the server's 100 stops its retries)."""

RING_LONGEST: Final = 600.0
"""Seconds an incoming call rings at most: longer than anybody waits, and proxies are told each minute that it still rings."""

PORT_WITHIN: Final = 10.0
"""Seconds in which a call that is answered gets a media port, as it does while the media engine starts; else all are in use."""

AWAY: Final = 30
"""Seconds: Retry-After of a phone that takes no calls because it stops or is about to."""

PICKED_UP: Final = ("Reason", 'SIP;cause=200;text="Call completed elsewhere"')
"""RFC 3326: a phone whose ringing call was picked up at another one has missed nothing."""

WARN_AGENT: Final = "offhook"


def _quotable(text: str) -> str:
    """Return what fits a quoted string on a header line."""
    return "".join(each for each in text[:120] if " " <= each <= "~" and each not in '"\\')


def _unsuitable(error: CommandError | ParseError) -> tuple[int, str, HeaderList]:
    """Return how an offer is refused that has nothing in common with us, or is none."""
    # RFC 3261 20.43: 305, no format in common; the text is for people
    status, code = (400, 399) if isinstance(error, ParseError) else (488, 305)
    return status, error.detail, (("Warning", f'{code} {WARN_AGENT} "{_quotable(error.detail)}"'),)


class Incoming:
    """Takes calls in. `on_replaced` are told of a call (the second) that takes the place of another."""

    def __init__(
        self, desk: Desk, offers: Offers, closing: Closing, outgoing: Outgoing, capacity: Capacity
    ) -> None:  # fmt: skip
        self.desk = desk
        self.offers = offers
        self.closing = closing
        self.outgoing = outgoing
        self.capacity = capacity
        self.on_replaced: list[Callable[[Call, Call], None]] = []
        self._without_port: dict[str, Call] = {}  # answered as soon as there is one
        self._untold: dict[str, Call] = {}  # their callers are told that it rings as soon as there is an offer to tell it with

    def received(self, event: SessionIncoming) -> None:
        """Decide about a new call: refuse, forward, or let it ring."""
        desk = self.desk
        if event.replaces:
            self._replace(event)
            return
        refusal = self._refusal()
        if refusal is not None:
            desk.attempt(Refuse(event.session, *refusal))
            return
        call = self._create(event)
        desk.add(call)
        if event.offer is None:
            self._consider(event, call)
        else:
            self.offers.with_address_for(call, event.offer.data, lambda call: self._consider(event, call))

    def _consider(self, event: SessionIncoming, call: Call) -> None:
        desk = self.desk
        at_once = self._answers_at_once(call) and not desk.settings.decide and not self._forwards_at_once
        if event.offer is not None and not at_once:  # else the answer shows whether it suits
            try:
                self.offers.check(call, event.offer.data)
            except (MediaNegotiationFailed, ParseError) as error:
                # RFC 3261 13.3.1.3: what nobody could answer is refused before it rings
                self._tell(call, rings=False)
                self.closing.refuse(call, *_unsuitable(error))
                return
        if desk.has_port(call) and self.offers.reach.searches(call):
            self.offers.prepare(call)  # while it rings, so that the answer need not wait for it
        if self._forwards_at_once and not desk.settings.decide:
            self._forward(call)
            return
        mode, insists = answer_mode(event.headers)
        if insists and (mode == "auto") != (self._auto_delay(call) is not None) and not desk.settings.decide:
            # RFC 5373: who insists on what will not be done is told so
            self._tell(call, rings=False)
            self.closing.refuse(call, 403, f"the caller insists on {mode} answering")
            return
        self._limit(call, event.headers)
        if desk.settings.decide:
            self._tell(call, rings=False)
            desk.after(call, "decide", DECISION_WITHIN, self._undecided)
            return
        self._ring(call, silently=at_once)
        self._tell(call, rings=not at_once)
        self._arm(call)

    def _tell(self, call: Call, *, rings: bool) -> None:
        call.told = True
        self.desk.emit(CallIncoming(call=call.view(), rings=rings))

    # --- in the place of another

    def _replace(self, event: SessionIncoming) -> None:
        """Take a call that takes the place of another: nobody is asked, for nobody new calls (RFC 3891 3)."""
        old = self.desk.calls.get(event.replaces)
        if old is None:
            self.desk.attempt(Refuse(event.session, 481))
            return
        call = self._create(event)
        call.parent, call.replaces, call.muted, call.tags = old.id, old.id, old.muted, old.tags
        self.desk.add(call)
        self._tell(call, rings=False)
        if event.offer is None:
            self._answer_by_itself(call, hold_others=False)
        else:
            self.offers.with_address_for(
                call, event.offer.data, lambda call: self._answer_by_itself(call, hold_others=False)
            )

    def took_over(self, call: Call) -> None:
        """A call that takes the place of another is answered: the other ends, and what held it holds."""
        old = self.desk.calls.get(call.replaces)
        if old is None:
            return
        self.desk.emit(CallReplaced(call=call.view(), replaced=old.id))
        for replaced in self.on_replaced:
            replaced(old, call)
        hold = old.want_hold
        picked_up = old.state in OUTGOING_UNANSWERED
        self.closing.hangup(old, reason="replaced", headers=(PICKED_UP,) if picked_up else ())
        if hold:
            self.offers.want(call, True)

    @property
    def _forwards_at_once(self) -> bool:
        return bool(self.desk.settings.forwarding) and not self.desk.settings.forwarding_delay

    def _ring(self, call: Call, *, silently: bool = False) -> None:
        if not silently or not self.desk.has_port(call):  # who answers at once need not tell the caller that it rings
            self._say_ringing(call)
        call.silent = silently
        call.ringing = self.desk.wall

    def _say_ringing(self, call: Call) -> None:
        self._untold.pop(call.id, None)
        if not call.wants_offer:
            self.desk.attempt(Progress(call.id, 180))
        elif self.desk.has_port(call) and not self.offers.prepare(call):
            # RFC 3262 5: the first answer that is acknowledged has our offer
            self.desk.attempt(Progress(call.id, 180, self.offers.offer(call)))
        else:
            self._untold[call.id] = call

    def _tell_untold(self) -> None:
        for call in tuple(self._untold.values()):
            if call.state is CallState.INCOMING:
                self._say_ringing(call)
            else:
                del self._untold[call.id]

    def _refusal(self) -> tuple[int, str, HeaderList] | None:
        desk = self.desk
        if desk.draining or desk.stopping:
            # RFC 3261 21.5.4: when to try again; by then another phone has its place, or this one is back
            return 503, "Shutting Down", (("Retry-After", str(AWAY)),)
        if desk.settings.dnd:
            return 486, "Do Not Disturb", ()
        if reason := self.capacity.lacks_room():
            status = self.capacity.refuse(reason)
            if status == UNAVAILABLE:
                return status, "Service Unavailable", (("Retry-After", str(AGAIN)),)  # RFC 3261 21.5.4
            return status, "Busy Here", ()
        if desk.calls and not desk.settings.call_waiting:
            return 486, "Busy Here", ()
        return None

    def _create(self, event: SessionIncoming) -> Call:
        desk = self.desk
        allow = ",".join(values(event.headers, "Allow"))
        return Call(
            id=event.session,
            account=event.identity or LOCAL_IDENTITY,
            direction="incoming",
            state=CallState.INCOMING,
            local=Party(str(event.local.uri), event.local.display),
            remote=self._caller(event),
            created=desk.wall,
            headers=shown_headers(event.headers, desk.settings.shown_headers),
            sip_call_id=event.sip_call_id,
            address=event.flow.local[0],
            signalling=event.flow.transport,
            remote_offer=event.offer.data if event.offer else None,
            wants_offer=event.wants_offer,
            diverted=diversions(event.headers),
            user_to_user=user_to_user(event.headers),
            asks_answer=asked_delay(event.headers),
            allows_info=not allow or "INFO" in allow.upper(),
            invited=True,
            muted=desk.audio.mic_muted,
        )

    def _caller(self, event: SessionIncoming) -> Party:
        said, account = event.remote.display, self.desk.accounts.get(event.identity or "")
        party = Party(str(event.remote.uri), said, event.asserted, said)
        return self.desk.names.known(party, event.remote.uri, account.settings.dialing_prefix if account else "")

    def _auto_delay(self, call: Call) -> float | None:
        """Return after how many seconds the call is answered without a person, None if it is not."""
        settings = self.desk.settings
        if settings.auto_answer == "off":
            return None
        asked = call.asks_answer
        if asked is None and settings.auto_answer != "all":
            return None
        return max(settings.auto_answer_delay, asked or 0.0)

    def _answers_at_once(self, call: Call) -> bool:
        return self._auto_delay(call) == 0.0 and not self._busy_for_auto()

    def _busy_for_auto(self) -> bool:
        """Whether a call that is talking, or is just being answered, keeps others from being answered without a person."""
        desk = self.desk
        return desk.settings.auto_answer_calls == "idle" and (
            desk.any_in(CONNECTED) or any(each.waiting for each in desk.incoming())
        )

    def _limit(self, call: Call, headers: HeaderList) -> None:
        """Let it ring no longer than its caller wants, nor for ever: the caller may have died."""
        expires = next((value for name, value in headers if name == "Expires"), "")
        wanted = int(expires) if expires.isdigit() and len(expires) < 5 else 0
        if 0 < wanted < RING_LONGEST:
            # RFC 3261 13.3.1: an INVITE that expires before it is answered gets 487
            self.desk.after(call, "ring", wanted, lambda late: self.closing.refuse(late, 487, EXPIRED))
        else:
            self.desk.after(call, "ring", RING_LONGEST, lambda late: self.closing.refuse(late, 480, NOBODY))

    def _arm(self, call: Call) -> None:
        """Start what happens without a person: auto answer, forwarding after a while."""
        settings = self.desk.settings
        delay = self._auto_delay(call)
        if delay is not None:
            # Even at once means after this verb: the call is announced before it is answered.
            self.desk.after(call, "auto", delay, self._auto_answer)
            return
        self.desk.ring(call)
        if settings.forwarding:
            self.desk.after(call, "forward", settings.forwarding_delay, self._forward)

    # --- deciding

    def decide(self, command: Decide) -> Accepted:
        """Do what a program says about a call that waits for it."""
        call = self._deciding(command.call)
        # What can be refused is refused before anything is said.
        if command.action == "redirect":
            self._target(call, command.to)
        elif command.action == "reject":
            self._refusal_status(command.status)
        self._decided(call, command.action)
        match command.action:
            case "answer":
                return self.answer(Answer(call=call.id))
            case "reject":
                return self.reject(Reject(call=call.id, status=command.status))
            case "redirect":
                return self.redirect(Redirect(call=call.id, to=command.to))
            case "dnd":
                self.closing.refuse(call, 486, "Do Not Disturb")
            case "ring":
                self._ring(call)
                self.desk.ring(call)
            case "default":
                self._take_course(call)
            case _:
                assert_never(command.action)
        return Accepted(call=call.id)

    def _deciding(self, name: str) -> Call:
        if not name:
            waiting = [call for call in self.desk.incoming() if "decide" in call.timers]
            if not waiting:
                raise NotFound("no incoming call waits for a decision")
            return waiting[0]
        call = self._ringing(name)
        if "decide" not in call.timers:
            raise InvalidState(f"call {call.id} does not wait for a decision (any more)")
        return call

    def _undecided(self, call: Call) -> None:
        if call.state is CallState.INCOMING:
            self._decided(call, "default")
            self._take_course(call)

    def _decided(self, call: Call, action: Decision) -> None:
        self.desk.stop(call, "decide")
        rings = action == "ring" or (action == "default" and not self._forwards_at_once and not self._answers_at_once(call))
        self.desk.emit(CallDecided(call=call.view(), action=action, rings=rings))

    def _take_course(self, call: Call) -> None:
        """Let the settings have their way with a call that was held back."""
        if self._forwards_at_once:
            self._forward(call)
            return
        self._ring(call, silently=self._answers_at_once(call))
        self._arm(call)

    # --- answering

    def _ringing(self, name: str) -> Call:
        """Return the incoming call meant: by name, else the oldest that rings."""
        if name in ("", "ringing"):
            incoming = self.desk.incoming()
            if not incoming:
                raise NotFound("no incoming call is ringing")
            return incoming[0]
        call = self.desk.find(name)
        if call.state is not CallState.INCOMING:
            raise InvalidState(f"call {call.id} is {call.state}, not a ringing incoming call")
        return call

    def answer(self, command: Answer) -> Accepted:
        """Answer; a call whose offer has nothing in common with us is refused with 488."""
        extra = extra_headers(command.headers, command.user_to_user, self.desk.settings.sent_headers)
        check_codecs(command.codecs)
        check_detections(command.detect, "detect")
        call = self._ringing(command.call)
        wish(call, command)
        if not call.local_offer:  # else they are offered already
            call.codecs = command.codecs or call.codecs
        call.answer_with = extra or call.answer_with
        waits = self._answer(call, hold_others=command.hold_others)
        return Accepted(call=call.id, operation=self.desk.begin("answer", call) if waits else "")

    def _answer(self, call: Call, *, hold_others: bool) -> bool:
        """Answer; say whether that has to wait for a port or for our addresses."""
        if not call.port and not self.desk.has_port(call):
            # The media engine is still starting (or just restarted): the answer goes out as soon as it has a port.
            if call.id not in self._without_port:
                self.desk.after(call, "port", PORT_WITHIN, self._no_port)
            call.waiting.add("port")
            call.hold_others = hold_others
            self._without_port[call.id] = call
            return True
        if self.offers.prepare(call):
            call.waiting.add("candidates")
            call.hold_others = hold_others
            return True
        try:
            body = self._description(call)
        except (MediaNegotiationFailed, ParseError) as error:
            self.closing.refuse(call, *_unsuitable(error))
            kind = type(error) if isinstance(error, MediaNegotiationFailed) else MediaNegotiationFailed
            raise kind(f"call {call.id}: {error}") from None
        if hold_others:
            self.offers.hold_others(but=call)
        self.desk.signal(Accept(call.id, body, call.answer_with))
        self.outgoing.became_active(call)
        self.desk.finish(call, "answer")
        return False

    def _description(self, call: Call) -> Body:
        if call.remote_offer is not None:
            return self.offers.answer(call, call.remote_offer)
        return self.offers.said_early(call) if call.local_offer else self.offers.offer(call)

    def ports_ready(self) -> None:
        """Answer the calls that waited for a port, and say that others ring."""
        for call in tuple(self._without_port.values()):
            over = call.state is not CallState.INCOMING
            if over or self.desk.has_port(call):
                del self._without_port[call.id]
                call.waiting.discard("port")
                self.desk.stop(call, "port")
                if not over:
                    self._answer_by_itself(call, hold_others=call.hold_others)
        self._tell_untold()

    def _no_port(self, call: Call) -> None:
        """Refuse a call that cannot be answered because every port is in use, rather than let it ring for ever."""
        self._without_port.pop(call.id, None)
        if call.state is CallState.INCOMING:
            # RFC 3261 21.5.4: another call will end
            self.closing.refuse(call, UNAVAILABLE, "no media port is free", (("Retry-After", str(AGAIN)),))

    def gathered(self, call: Call) -> None:
        """Answer the call that waited for its addresses, or say that it rings."""
        if "candidates" in call.waiting and call.state is CallState.INCOMING:
            call.waiting.discard("candidates")
            self._answer_by_itself(call, hold_others=call.hold_others)
        self._tell_untold()

    def _auto_answer(self, call: Call) -> None:
        if call.state is not CallState.INCOMING:
            return
        if self._busy_for_auto() or self._auto_delay(call) is None:  # switched off since it came in
            if call.silent:
                self._ring(call)
                self.desk.emit(CallDecided(call=call.view(), action="ring", rings=True))
            self.desk.ring(call)  # a person may answer it all the same
        else:
            self._answer_by_itself(call, hold_others=self.desk.settings.auto_answer_calls == "hold")

    def _answer_by_itself(self, call: Call, *, hold_others: bool) -> None:
        try:
            self._answer(call, hold_others=hold_others)
        except CommandError as error:
            if call.state is not CallState.ENDED:  # else its end tells why
                self.desk.emit(SystemError(reason=f"auto answer of call {call.id}: {error.detail}"))

    def confirmed(self, event: SessionConfirmed, call: Call) -> None:
        """The ACK came; without an offer in the INVITE it carries the answer to ours."""
        if call.remote_offer is not None:
            return
        if event.body is None:
            if call.config is None:  # else an earlier acknowledgement had it
                self.closing.hangup(call, reason="no media: the far end has not answered our offer")
            return
        before = call.config
        try:
            self.offers.accept(call, event.body.data)
        except (MediaNegotiationFailed, ParseError) as error:
            self.closing.hangup(call, reason=f"no media: {error}")
        else:
            self.offers.follow(call, before)

    # --- not answering

    def reject(self, command: Reject) -> Accepted:
        """Refuse a ringing call."""
        extra = extra_headers(command.headers, command.user_to_user, self.desk.settings.sent_headers)
        status = self._refusal_status(command.status)
        call = self._ringing(command.call)
        self.closing.refuse(call, status, headers=extra)
        return Accepted(call=call.id)

    def _refusal_status(self, status: int) -> int:
        status = status or self.desk.settings.reject_status
        if not 300 <= status <= 699:
            raise InvalidArgument.field("status", "300-699, such as 486 (busy) or 603 (declined)")
        return status

    def redirect(self, command: Redirect) -> Accepted:
        """Send a ringing call elsewhere."""
        call = self._ringing(command.call)
        self._send_elsewhere(call, command.to, "deflection")
        return Accepted(call=call.id)

    def _account(self, call: Call) -> Account | None:
        return self.desk.accounts.get(call.account) or self.desk.default_account()

    def _target(self, call: Call, to: str) -> Uri:
        account = self._account(call)
        return target_uri(to, account.settings if account else None)

    def _forward(self, call: Call) -> None:
        if call.state is not CallState.INCOMING or not self.desk.settings.forwarding:  # switched off since it came in
            return
        reason = "no-answer" if self.desk.settings.forwarding_delay else "unconditional"
        try:
            self._send_elsewhere(call, self.desk.settings.forwarding, reason)
        except CommandError as error:
            self.desk.emit(SystemError(reason=f"forwarding: {error.detail}"))
            self.closing.refuse(call, 480, ASTRAY)

    def _send_elsewhere(self, call: Call, to: str, reason: str) -> None:
        account, target = self._account(call), self._target(call, to)
        own = f"<{own_uri(account.settings) if account else call.local.uri}>"
        headers = (("Contact", str(NameAddr(target))), ("Diversion", f"{own};reason={reason}"))
        call.told = True
        self.desk.emit(CallRedirected(call=call.view(), target=str(target)))
        self.closing.refuse(call, 302, "redirected", headers)
