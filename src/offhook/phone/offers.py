"""Offers and answers of a call: its SDP, hold and resume, and the media stream that follows from them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from msgspec import structs

from offhook.errors import CommandError, InvalidArgument, InvalidState, MediaNegotiationFailed, ParseError, TooManyCalls
from offhook.media.codecs.kinds import missing
from offhook.media.messages import ConfigureStream, OpenStream, StreamConfig
from offhook.media.negotiate import (
    LocalMedia,
    accept_answer,
    before_answer,
    check_offer,
    make_answer,
    make_offer,
    media_address,
    receivable,
    used_formats,
)
from offhook.phone.call import HELD_BY_THEM, Call, CallInput
from offhook.phone.desk import Desk
from offhook.phone.events import (
    CallHeld,
    CallHoldFailed,
    CallRemoteHeld,
    CallRemoteResumed,
    CallResumed,
    CallUpdated,
)
from offhook.phone.model import CallState
from offhook.phone.reach import Reach
from offhook.phone.routes import Routes
from offhook.phone.secrecy import Secrecy
from offhook.sip.events import (
    AnswerOffer,
    Body,
    OfferAnswered,
    OfferFailed,
    OfferReceived,
    OfferWanted,
    RefreshWanted,
    RefuseOffer,
    Reoffer,
)
from offhook.sip.stack import Hop

SDP_TYPE = "application/sdp"
MAX_CODECS = 16
"""In one list: more than there are."""
MOVE_AGAIN = 5.0
"""Seconds until a call that could not tell of its new address tries again."""
RETRY_OFFER = 0.3
"""Seconds: when our offer met another one, look again this much later."""


def check_codecs(codecs: tuple[str, ...], field: str = "codecs") -> None:
    """Refuse codecs that there are not, or not on this machine; InvalidArgument says what to install."""
    if len(codecs) > MAX_CODECS:
        raise InvalidArgument.field(field, f"at most {MAX_CODECS}")
    for name in codecs:
        if reason := missing(name):
            raise InvalidArgument.field(field, reason)


class Offers:
    """Makes offers and answers for calls, and keeps each call's stream in step with them."""

    def __init__(self, desk: Desk, codecs: tuple[str, ...], secrecy: Secrecy, reach: Reach) -> None:
        self.desk = desk
        self.codecs = codecs
        self.secrecy = secrecy
        self.reach = reach
        self.routes = Routes(desk)
        self.together: Callable[[Call], Collection[str]] = lambda _: ()  # the calls in a conference with one
        self.give_up: Callable[[Call, str], None] = lambda call, reason: None  # ends a call

    # --- ports and streams

    def take_port(self, call: Call) -> None:
        """Open the call's stream on a port made ready before; raises TooManyCalls when none is."""
        if call.port:
            return
        if not self.desk.has_port(call):
            raise TooManyCalls("no media port is free; end a call, or widen the range of RTP ports")
        call.port = self.desk.workers.take_port(call.worker)
        self.desk.media(OpenStream(call.id, call.port, f"{call.id}@offhook", sound=True, muted=call.muted))

    def prepare(self, call: Call) -> bool:
        """Take a port and have its addresses found out; say whether that takes a while (CandidatesGathered)."""
        self.take_port(call)
        return self.reach.lacks(call)

    def _local(self, call: Call, *, offering: bool = False) -> LocalMedia:
        security = self.secrecy.of(call)
        codecs = call.codecs_offered if offering and call.codecs_offered is not None else call.codecs
        plain = LocalMedia(
            call.address, call.port, codecs or self._usual_codecs(call), security=security, rtcp_mux=security.keying == "dtls",
            extended_reports=self.desk.settings.extended_reports, comfort_noise=self.desk.settings.comfort_noise,
        )
        return self.reach.local(call, plain)

    def with_address_for(self, call: Call, offer: bytes, then: Callable[[Call], None]) -> None:
        """Go on when the call has an address that the offer's media can reach: an answer follows the offer's family.

        An offer of the other family than ours has the way there asked for first. Where there is none the call keeps the
        address it has, and what is said to the offer is said by `check` and `answer`. One of a browser is noticed.
        """
        self.reach.notice(call, offer)
        host = media_address(offer)
        if not host or not call.address or (":" in host) == (":" in call.address):
            then(call)
            return

        def found(call: Call, address: str, _transport: str, _reason: str) -> None:
            call.address = address or call.address
            then(call)
        self.routes.ask(call, Hop(host, None, "udp"), found)

    def _usual_codecs(self, call: Call) -> tuple[str, ...]:
        """Return the codecs of a call that has none of its own, its account's or the phone's: those it began with.

        Others that the account gets meanwhile may have none in common with what the call speaks.
        """
        if not call.usual_codecs:
            account = self.desk.accounts.get(call.account)
            call.usual_codecs = (account.settings.codecs if account is not None else ()) or self.codecs
        return call.usual_codecs

    def check(self, call: Call, offer: bytes) -> None:
        """Say before anybody is asked whether the call's offer could be answered; raises as `answer` does."""
        check_offer(self.reach.expected(call, self._local(call)), offer)

    def _new_version(self, call: Call) -> None:
        if not call.sdp_id:
            call.sdp_id = self.desk.ids.integer(31) + 1
        call.sdp_version += 1

    def offer(self, call: Call, *, hold: bool = False, afresh: bool = False) -> Body:
        """Return our offer for the call (its port is taken if it has none), `afresh` as for somebody who knows nothing yet."""
        self.take_port(call)
        self._new_version(call)
        direction = call.our_direction(hold)
        local = self.reach.renamed(call, self._local(call, offering=True))
        if afresh:
            local = replace(local, security=replace(local.security, clear=False))
        call.local_offer = make_offer(
            local, call.sdp_id, call.sdp_version, direction=direction, previous=call.local_sdp,
            earlier=call.formats,
        )  # fmt: skip
        call.local_sdp = call.local_offer
        return Body(SDP_TYPE, call.local_offer)

    def said_early(self, call: Call) -> Body:
        """Return the offer that the caller has had while it rang, and set the stream if it has answered; raises as `answer`."""
        if call.early_answer:
            self.accept(call, call.early_answer)
        return Body(SDP_TYPE, call.local_offer)

    def hear_early(self, call: Call) -> None:
        """Let what comes be heard, now that our offer is on its way, and before anything is agreed on."""
        config = before_answer(self._local(call, offering=True), call.local_offer)
        if config is not None:
            self.desk.media(ConfigureStream(call.id, config))

    def answer(self, call: Call, offer: bytes, *, hold: bool = False) -> Body:
        """Return our answer to `offer` and set the stream accordingly.

        Raises MediaNegotiationFailed or ParseError; then nothing has changed.
        """
        self.take_port(call)
        self.reach.meet(call, offer)
        self._new_version(call)
        text, config = make_answer(
            self._local(call), offer, call.sdp_id, call.sdp_version, direction=call.our_direction(hold)
        )
        call.local_sdp = text
        self.configure(call, config, text)
        return Body(SDP_TYPE, text)

    def accept(self, call: Call, answer: bytes) -> None:
        """Set the stream after the far end's `answer` to our latest offer; raises as `answer` does."""
        local, held = self._local(call, offering=True), call.state in HELD_BY_THEM
        self.configure(call, accept_answer(local, call.local_offer, answer, held=held), call.local_offer)

    def note_early(self, call: Call, fork: str) -> None:
        """Remember what was agreed with one of those who may answer: who does need not say it again."""
        if call.config is not None and not call.is_connected:
            call.early[fork] = call.config

    def leave_early(self, call: Call, fork: str) -> None:
        """One of those who may answer has left: where it was heard, another one is, or whoever sends something next."""
        left = call.early.pop(fork, None)
        if left is None or left != call.config:
            return
        if call.early:
            self.configure(call, next(reversed(call.early.values())), call.local_offer)
        else:
            call.config = None
            self.hear_early(call)

    def configure(self, call: Call, config: StreamConfig, ours: bytes) -> None:
        """Start the stream, or change it, if anything differs. `ours` is our part of what was agreed."""
        config = self.secrecy.complete(config)
        if config != call.config:
            call.config = config
            self.reach.agreed(call, config)
            self.desk.media(ConfigureStream(call.id, config))
            self.secrecy.note(call, config, ours)

    # --- hold and resume

    def want(self, call: Call, hold: bool, operation: str = "") -> str:
        """Ask for hold or resume; returns the operation's id, "" when it is so already. Refused unless it may change."""
        if not self.may_change(call):
            raise InvalidState(f"call {call.id} is {call.state}, not connected")
        call.want_hold = hold
        if call.held_by_us == hold and call.offered_hold is None:
            self._conclude(call)
            return ""
        started = self.desk.begin(operation or ("hold" if hold else "resume"), call, "hold" if hold else "resume")
        self.reconcile(call)
        return started

    def may_change(self, call: Call) -> bool:
        """Say whether hold and resume fit the call: it is connected, or has early media that may be changed (RFC 3311)."""
        return call.is_connected or (call.state is CallState.EARLY and self.desk.sip.may_offer(call.id))

    def reconcile(self, call: Call) -> None:
        """Send an offer if what is wanted is not what was agreed and no offer is open."""
        if not self.may_change(call) or call.offered_hold is not None:
            return
        if call.want_hold == call.held_by_us and not call.moved:
            self._conclude(call)
            if call.codecs_wanted is None:
                return
            call.codecs_offered = call.codecs_wanted  # one change in each offer: so it is clear what a refusal refuses
        wanted, before = call.want_hold, (call.local_offer, call.local_sdp)
        refusal = self.desk.attempt(Reoffer(call.id, self.offer(call, hold=wanted)))
        if refusal is not None:
            call.codecs_offered = None
            call.local_offer, call.local_sdp = before
            self.desk.after(call, "offer", RETRY_OFFER, self.reconcile)
            return
        call.offered_hold, call.moved = wanted, False
        if call.codecs_offered is not None:
            self._hear_offered(call, before[1])

    def move(self, call: Call) -> None:
        """Tell the far end, by an offer that changes nothing else, that the call goes on at our new address."""
        call.moved = True
        self.reconcile(call)

    # --- another list of codecs

    def change_codecs(self, call: Call, codecs: tuple[str, ...]) -> str:
        """Offer other codecs, () those the call has by itself; returns the operation's id. Refused unless it may change."""
        if not self.may_change(call):
            raise InvalidState(f"call {call.id} is {call.state}, not connected")
        self.desk.finish(call, "codecs", error="overtaken by a later command")
        started = self.desk.begin("set_codecs", call, "codecs")
        call.codecs_wanted = codecs
        self.reconcile(call)
        return started

    def _hear_offered(self, call: Call, before: bytes) -> None:
        """Understand what we have just offered: packets of it may come before the answer."""
        call.formats = used_formats(before, call.formats)
        if call.config is None:
            return
        known = dict(call.config.receive_types)
        more = tuple(each for each in receivable(self._local(call, offering=True), call.local_offer) if each[0] not in known)
        call.config = structs.replace(call.config, receive_types=(*call.config.receive_types, *more))
        self.desk.media(ConfigureStream(call.id, call.config))

    def _codecs_decided(self, call: Call, codecs: tuple[str, ...], *, error: str = "", status: int = 0) -> None:
        """The far end has taken these codecs, or has not; the command that asked for them is over, unless it was overtaken."""
        if call.codecs_wanted == codecs:
            call.codecs_wanted = None
            self.desk.finish(call, "codecs", error=error, sip_status=status)

    def _conclude(self, call: Call) -> None:
        """What is wanted is agreed: end the operations that asked for it, and those that a later command overtook."""
        self.desk.finish(call, "hold" if call.want_hold else "resume")
        self.desk.finish(call, "resume" if call.want_hold else "hold", error="overtaken by a later command")

    def hold_others(self, but: Call | None, staying: Collection[str] = ()) -> None:
        """Put every active call on hold but this one, those in a conference with it, and those that only listen to another.

        Who taps a call is no party of the person at the phone, who therefore loses nobody to it either.
        """
        if but is not None and but.off_card:
            return
        staying = self.together(but) if but is not None else staying
        for other in self.desk.active():
            if other is not but and other.id not in staying and not other.want_hold and not other.off_card:
                self.want(other, True)

    def refresh(self, _event: RefreshWanted, call: Call) -> None:
        """Say again what is agreed, as a sign of life. When another offer is open that is one too."""
        if call.is_connected and call.offered_hold is None:
            self.desk.attempt(Reoffer(call.id, self.offer(call, hold=call.held_by_us), refresh=True))

    # --- what comes back

    def answered(self, event: OfferAnswered, call: Call) -> None:
        """Our offer was answered: hold or resume is agreed."""
        if call.state is CallState.INCOMING:
            call.early_answer = event.body.data  # nobody is heard before the call is answered
            return
        offered, call.offered_hold = call.offered_hold, None
        codecs, before = call.codecs_offered, call.config
        try:
            self.accept(call, event.body.data)
        except (MediaNegotiationFailed, ParseError) as error:
            call.codecs_offered = None
            if codecs is not None:
                self._codecs_decided(call, codecs, error=str(error), status=488)
            elif offered is not None and offered != call.held_by_us:
                self._failed(call, offered, 488, str(error))
            else:  # nothing new was offered
                self.give_up(call, f"no media: {error}")
                return
            self.move(call)  # the far end believes in something else now: say again what holds
            return
        if codecs is not None:
            call.codecs, call.codecs_offered = codecs, None
        if offered is not None and offered == call.held_by_us:
            self.desk.emit(CallUpdated(call=call.view()))
        elif offered is not None:
            self._agreed(call, offered)
        if codecs is not None:
            self._codecs_decided(call, codecs)
        self.note_early(call, event.fork)
        if offered is None:
            self.follow(call, before)
        else:
            self._follow_remote(call)
        self.reconcile(call)

    def follow(self, call: Call, before: StreamConfig | None) -> None:
        """Tell what the far end's description has changed: that it holds, or does so no more, else codec or address."""
        if not self._follow_remote(call) and before != call.config:
            self.desk.emit(CallUpdated(call=call.view()))

    def became_active(self, call: Call) -> None:
        """The call is answered: what was agreed before that holds, what is wanted besides is asked for now."""
        if call.early_hold:
            call.early_hold = False
            self._agreed(call, True)
        self._follow_remote(call)  # a call may begin on hold: who connects two phones says so to the first (RFC 3725 4)
        if call.want_hold:
            self.reconcile(call)

    def _agreed(self, call: Call, hold: bool) -> None:
        if not call.is_connected:
            call.early_hold = hold
            self.desk.emit(CallUpdated(call=call.view()))
        elif hold and call.can(CallInput.HOLD):
            call.step(CallInput.HOLD)
            call.held_order = self.desk.next_order()
            self.desk.emit(CallHeld(call=call.view()))
        elif not hold and call.can(CallInput.RESUME):
            call.step(CallInput.RESUME)
            call.order = self.desk.next_order()
            self.desk.emit(CallResumed(call=call.view()))
        self.desk.finish(call, "hold" if hold else "resume")

    def failed(self, event: OfferFailed, call: Call) -> None:
        """Our offer was refused: the call is as before."""
        offered, call.offered_hold = call.offered_hold, None
        codecs, call.codecs_offered = call.codecs_offered, None
        if codecs is not None:
            self._codecs_decided(call, codecs, error=event.reason or "refused", status=event.status)
            self.reconcile(call)
            return
        if offered is not None and offered == call.held_by_us and call.want_hold == offered:
            if event.status == 503:  # nobody can be reached at this moment: the network may not be there yet
                self.desk.after(call, "offer", MOVE_AGAIN, self.move)
            return
        if offered is None:
            self.reconcile(call)  # the far end wanted our offer, and has not answered it
        else:
            self._failed(call, offered, event.status, event.reason)

    def _failed(self, call: Call, offered: bool, status: int, reason: str) -> None:
        call.want_hold = call.held_by_us
        self.desk.emit(CallHoldFailed(call=call.view(), sip_status=status, reason=reason))
        self.desk.finish(call, "hold" if offered else "resume", error=reason or "refused", sip_status=status)
        self.reconcile(call)

    # --- what the far end offers

    def received(self, event: OfferReceived, call: Call) -> None:
        """Answer the far end's new offer; one we cannot accept is refused with 488 and changes nothing."""
        if call.state is CallState.INCOMING:
            self.desk.attempt(RefuseOffer(call.id, 488))  # nobody is heard before the call is answered
            return
        self.with_address_for(call, event.body.data, lambda call: self._take(event, call))

    def _take(self, event: OfferReceived, call: Call) -> None:
        if call.web and self.prepare(call):
            call.unanswered = event  # the far end is a page now: our addresses are being found out
            return
        before = call.config
        try:
            body = self.answer(call, event.body.data, hold=call.want_hold)
        except (CommandError, ParseError):
            self.desk.attempt(RefuseOffer(call.id, 488))
            return
        self.desk.attempt(AnswerOffer(call.id, body))  # refused if the offer was withdrawn meanwhile
        self.note_early(call, event.fork)
        self.follow(call, before)
        self.reconcile(call)

    def answer_waiting(self, call: Call) -> None:
        """Answer the offer that waited for our addresses."""
        event, call.unanswered = call.unanswered, None
        if event is not None:
            self._take(event, call)

    def wanted(self, _event: OfferWanted, call: Call) -> None:
        """The far end wants our offer, perhaps for somebody else (RFC 3725): say what is agreed now, and offer keys anew."""
        self.desk.attempt(AnswerOffer(call.id, self.offer(call, hold=call.want_hold, afresh=True)))

    def _follow_remote(self, call: Call) -> bool:
        """Take over the far end's hold or resume; say whether there was one."""
        # We always want to send, also while we hold: the far end holds when it lets nothing in.
        holds = call.config is not None and call.config.direction in ("recvonly", "inactive")
        if holds and call.can(CallInput.REMOTE_HOLD):
            call.step(CallInput.REMOTE_HOLD)
            call.held_order = self.desk.next_order()
            self.desk.emit(CallRemoteHeld(call=call.view()))
            return True
        if not holds and call.can(CallInput.REMOTE_RESUME):
            call.step(CallInput.REMOTE_RESUME)
            if call.state.status == 2:
                call.order = self.desk.next_order()
            self.desk.emit(CallRemoteResumed(call=call.view()))
            return True
        return False

