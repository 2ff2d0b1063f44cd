"""Calls we place: choosing the account, waiting for what is lacking, inviting, following the answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from offhook.errors import (
    Draining,
    InvalidArgument,
    InvalidState,
    LineBusy,
    MediaNegotiationFailed,
    NoAccount,
    NotRegistered,
    ParseError,
    TooManyCalls,
)
from offhook.media.negotiate import refuses_audio
from offhook.phone.call import OUTGOING_UNANSWERED, Call, CallInput
from offhook.phone.capacity import Capacity
from offhook.phone.closing import Closing
from offhook.phone.commands import Accepted, Dial
from offhook.phone.desk import Account, Desk
from offhook.phone.dialplan import own_uri, target_uri
from offhook.phone.digits import Digits, clean_digits
from offhook.phone.events import (
    CallActive,
    CallAnswered,
    CallCalling,
    CallCreated,
    CallEarly,
    CallRedirected,
    CallRinging,
    CallUpdated,
)
from offhook.phone.headers import extra_headers, user_to_user, values
from offhook.phone.listening import check_detections, wish
from offhook.phone.model import CallState, HeaderList, Party
from offhook.phone.offers import Offers, check_codecs
from offhook.phone.tags import check_tags
from offhook.sip.calling import first_hop
from offhook.sip.events import (
    Body,
    End,
    Invite,
    SessionAnswered,
    SessionCalling,
    SessionEnded,
    SessionProgress,
    SessionRedirected,
)
from offhook.sip.outgoing import ADDRESS_CHANGED
from offhook.sip.uri import Uri

_CALLING: Final = frozenset({CallState.CALLING})

LOCAL_IDENTITY: Final = "local"
"""The identity of calls without an account: straight to an address."""
HIDDEN: Final = "~hidden"
"""What an account's id ends with in the identity that does not say who calls."""
DIGITS_AFTER: Final = 1.0
"""Seconds between the answer and the first of the digits dialled with the number (as in MicroSIP)."""
NOT_ACCEPTABLE: Final = frozenset({415, 488, 606})
"""What a description is refused with (RFC 3261 21.4.26)."""
NOT_ACCEPTABLE_IN_PAGE: Final = NOT_ACCEPTABLE | {480}
"""SIP.js says 480 for every reason why a call that was answered does not come about."""
FORK_ENDED: Final = 199
"""RFC 6228: one of those who ring is not asked any more, and its sound is over."""
MAX_RING: Final = 86400
"""Seconds: nobody lets it ring for longer than a day."""
CUT_OFF_FOR: Final = 30.0
"""Seconds for which a call that is not answered yet waits for a network that is gone; its far end gives up after 32."""
LOOK_AGAIN: Final = 5.0
"""Seconds between questions for the way out meanwhile: the name service may come later than the network."""

_CALL_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_WORDS = ("active", "ringing", "last", "current")
"""What stands for a call's id; `current` in the paths of HTTP, where the empty word cannot stand."""


def _is_useless(account: Account, now: float) -> bool:
    """Whether nothing can be placed with the account: it should be registered, and was refused or is not wanted to be."""
    is_out = account.failed or account.state in ("failed", "unregistered")
    return account.settings.register and is_out and not account.is_bound(now)


def _is_elsewhere(target: Uri, account: Account) -> bool:
    """Whether a target is not of the account's own domain."""
    domain, _, _ = account.settings.domain.partition(":")
    return bool(target.host) and target.host.lower() != domain.lower()


class Outgoing:
    """Places calls. `on_active` are told of each call that was answered, by whichever side."""

    def __init__(self, desk: Desk, offers: Offers, digits: Digits, closing: Closing, capacity: Capacity) -> None:
        self.desk = desk
        self.offers = offers
        self.digits = digits
        self.closing = closing
        self.capacity = capacity
        self.on_active: list[Callable[[Call], None]] = []
        self._targets: dict[str, tuple[Uri, HeaderList]] = {}

    # --- Dial

    def dial(self, command: Dial, parent: str = "", extra: HeaderList = ()) -> Accepted:
        """Create the call and start it as far as possible now. `extra` are headers of the phone's own making."""
        desk = self.desk
        if desk.draining:
            raise Draining("the phone takes no new calls: drain is on")
        digits = clean_digits(command.digits) if command.digits else ""
        headers = extra_headers(command.headers, command.user_to_user, desk.settings.sent_headers)
        check_codecs(command.codecs)
        check_tags(command.tags)
        call_id = self._new_id(command.id)
        if not 0 <= command.ring_timeout <= MAX_RING:  # NaN is refused too
            raise InvalidArgument.field("ring_timeout", f"0-{MAX_RING} seconds, 0 for no limit")
        check_detections(command.detect, "detect")
        if command.only_if_idle and desk.calls:
            raise LineBusy("a call is ringing, active or on hold")
        if reason := self.capacity.lacks_room(in_place=parent in desk.calls):
            raise TooManyCalls(reason)
        beside = desk.find(command.beside) if command.beside else None
        account = self.choose_account(command.account, command.to)
        target = target_uri(command.to, account.settings if account else None)
        if account and _is_useless(account, desk.now):
            if command.account or not _is_elsewhere(target, account):
                raise NotRegistered(f"account {account.settings.id} is not registered: {account.reason or account.state}")
            account = None  # a whole address of somewhere else needs no account
        call = self._create(call_id, account, target, command, parent)
        call.digits_after_answer = digits
        wish(call, command)
        if command.hold_others and beside is None:
            beside = next(reversed(desk.active()), None)  # who is put on hold for a call may well be joined with it
        desk.add(call, beside)
        operation = desk.begin("dial", call)
        desk.emit(CallCreated(call=call.view()))
        if command.hold_others:
            self.offers.hold_others(but=call)
        self._start(call, account, target, headers + extra)
        return Accepted(call=call.id, operation=operation)

    def _new_id(self, wanted: str) -> str:
        if not wanted:
            return "c_" + self.desk.ids.token(10)
        if not _CALL_ID.fullmatch(wanted) or wanted in _WORDS:
            raise InvalidArgument.field("id", f"1-64 characters of A-Z a-z 0-9 _ . -, and not {', '.join(_WORDS)}")
        if wanted in self.desk.calls:
            raise InvalidState(f"there is a call {wanted!r} already")
        if wanted in self.desk.ended:
            raise InvalidState(f"there was a call {wanted!r} a while ago; a new call needs a name of its own")
        return wanted

    def choose_account(self, named: str, to: str) -> Account | None:
        """Return the account that places the call; None for a whole address when there is no account at all."""
        desk = self.desk
        if named == LOCAL_IDENTITY and "@" in to:
            return None
        if named:
            account = desk.accounts.get(named) or next(
                (a for a in desk.accounts.values() if named in (a.settings.label, a.settings.username)), None
            )
            if account is None:
                raise NoAccount(f"there is no account {named!r}")
            return account
        default = desk.default_account()
        if default is None and "@" not in to:
            raise NoAccount("there is no account to dial a number with; add one, or write a whole address (sip:user@host)")
        return default

    def _create(self, call_id: str, account: Account | None, target: Uri, command: Dial, parent: str) -> Call:
        desk = self.desk
        settings = account.settings if account else None
        return Call(
            id=call_id,
            account=settings.id if settings else LOCAL_IDENTITY,
            direction="outgoing",
            state=CallState.CALLING,
            local=Party(str(own_uri(settings)) if settings else "sip:offhook", ""),
            remote=desk.names.known(Party(str(target)), target, settings.dialing_prefix if settings else ""),
            created=desk.wall,
            tags=command.tags,
            headers=command.headers,
            codecs=command.codecs,
            parent=parent,
            ring_timeout=command.ring_timeout or desk.settings.ring_timeout,
            muted=desk.audio.mic_muted,
        )

    def _start(self, call: Call, account: Account | None, target: Uri, headers: HeaderList) -> None:
        """Note what the call lacks, ask for it, and invite when nothing is missing."""
        desk = self.desk
        hidden = account is not None and account.settings.hide_caller_id
        self._targets[call.id] = (target, (*headers, *self._privacy(account, target)) if hidden else headers)
        if account and account.settings.register and account.will_register:
            call.waiting.add("registration")
        if not desk.has_port(call):
            call.waiting.add("port")
        call.waiting.add("address")
        self.offers.secrecy.recall(call)
        if self.offers.reach.searches(call):
            call.waiting.add("candidates")
            if desk.has_port(call):
                self.offers.prepare(call)
        if len(call.waiting) > 1:
            desk.after(call, "wait", desk.settings.register_timeout, self._waited_long)
        self._ask_address(call, target)

    def _privacy(self, account: Account | None, target: Uri) -> HeaderList:
        """Ask for privacy, and tell the account's own server, but nobody else, who calls (RFC 3323, RFC 3325 6)."""
        settings = account.settings if account is not None else None
        if settings is None or not (settings.proxy or target.host.lower() == settings.domain.lower()):
            return (("Privacy", "id"),)
        domain = Uri.parse(f"sip:{settings.domain}")
        own = Uri.sip(settings.username, domain.host, domain.port)
        return ("Privacy", "id"), ("P-Preferred-Identity", f"<{own}>")

    def _ask_address(self, call: Call, target: Uri) -> None:
        """Ask under which address the next hop sees us: our SDP needs it before the INVITE leaves."""
        identity = self.desk.sip.identity(call.account)
        hop, terms = first_hop(identity, target), identity.terms if identity else None

        def found(call: Call, address: str, transport: str, reason: str) -> None:
            if call.is_connected:
                self._moved(call, address)
            elif call.direction == "incoming":
                if address and (":" in address) == (":" in call.address):
                    call.address = address
                    if self.offers.reach.searches(call):
                        self.offers.reach.search(call)
            elif call.invited or call.again:
                self._found_way(call, address, transport)
            elif address:
                if call.address not in ("", address):
                    self._search_anew(call)
                call.address, call.signalling = address, transport
                self._lacks_no_more(call, "address")
            elif (flow := self.desk.sip.registered_flow(call.account, hop)) is not None:
                # The name service is gone, our registrar is not: the INVITE will go where the account is registered.
                call.address, call.signalling = flow.local[0], flow.transport
                self._lacks_no_more(call, "address")
            else:
                self.closing.close(call, "network", 503, f"{hop.host} cannot be reached: {reason}")
        self.offers.routes.ask(call, hop, found, terms)

    def ask_address_again(self, call: Call) -> None:
        """Ask under which address the far end of a call sees us; a call whose address is another one moves there."""
        if call.state in OUTGOING_UNANSWERED:
            self._ask_address(call, self._targets[call.id][0])
            return
        try:
            self._ask_address(call, Uri.parse(call.remote.uri))
        except ParseError:
            return  # nothing that could be asked for; the far end's address may be a name of its own kind

    def _found_way(self, call: Call, address: str, transport: str) -> None:
        """Place a call anew that is not answered yet, if our address is another one: its answer goes to where it came from.

        UPDATE would move the sound, but not the answer (RFC 3261 18.2.2). Who has rung till now hears CANCEL.
        """
        desk = self.desk
        if not address:
            if "cut off" not in call.timers:
                desk.after(call, "cut off", CUT_OFF_FOR, self._stayed_cut_off)
            desk.after(call, "way", LOOK_AGAIN, self.ask_address_again)
            return
        desk.stop(call, "cut off")
        desk.stop(call, "way")
        if address == call.address and not call.again:
            return
        call.address, call.signalling = address, transport
        account = desk.accounts.get(call.account)
        if account is not None and account.settings.register and account.will_register:
            call.waiting.add("registration")
        self._search_anew(call)
        if call.again:  # nothing is left of the former INVITE
            self._place_again(call)
        else:
            call.again = True
            desk.attempt(End(call.id))  # what follows is SessionEnded

    def _search_anew(self, call: Call) -> None:
        call.gathering, call.candidates = False, None
        if self.offers.reach.lacks(call):
            call.waiting.add("candidates")

    def _stayed_cut_off(self, call: Call) -> None:
        self.desk.attempt(End(call.id))
        self.closing.close(call, "network", 503, "the network was gone before the call was answered")

    def _moved(self, call: Call, address: str) -> None:
        # Sound that goes by the other family than the signalling is not moved by the latter.
        if address and address != call.address and (":" in address) == (":" in call.address):
            call.address = address
            self._tell_where(call)

    def _tell_where(self, call: Call) -> None:
        """Tell the far end where we are now, once that is found out."""
        if self.offers.reach.searches(call):
            self.offers.reach.search(call)
        else:
            self.offers.move(call)

    # --- what calls wait for

    def account_registered(self, account: str) -> None:
        """The account's waiting calls can go on."""
        for call in [c for c in self.desk.calls.values() if c.account == account]:
            self._lacks_no_more(call, "registration")

    def account_moved(self, account: str) -> None:
        """The registrar reaches us elsewhere now, and so must the far ends of running calls."""
        for call in self.desk.calls.values():
            if call.account == account and call.is_connected:
                self._tell_where(call)

    def account_failed(self, account: str, status: int, reason: str) -> None:
        """The account's waiting calls cannot be placed."""
        for call in self._waiting_for(account):
            self.closing.close(call, "network", status, f"not registered: {status} {reason}")

    def account_left(self, account: str) -> None:
        """Nor can they when somebody ends the registration that they wait for."""
        for call in self._waiting_for(account):
            self.closing.close(call, "local", 0, "the account was unregistered")

    def _waiting_for(self, account: str) -> list[Call]:
        return [call for call in self.desk.calls.values() if call.account == account and "registration" in call.waiting]

    def ports_ready(self) -> None:
        """Waiting calls can take a port, oldest first."""
        for call in [c for c in self.desk.in_state(_CALLING) if "port" in c.waiting and not c.invited]:
            if self.desk.has_port(call):
                self.offers.prepare(call)
                self._lacks_no_more(call, "port")

    def gathered(self, call: Call) -> None:
        """The call's addresses are known."""
        self._lacks_no_more(call, "candidates")

    def _lacks_no_more(self, call: Call, thing: str) -> None:
        if thing not in call.waiting:
            return
        call.waiting.discard(thing)
        if not call.waiting and not call.invited:
            self._invite(call)

    def _waited_long(self, call: Call) -> None:
        if call.waiting:
            lacking = {"registration": "not registered in time", "port": "no media port", "address": "no answer from DNS",
                       "candidates": "no answer from the media engine"}  # fmt: skip
            self.closing.close(call, "network", 408, lacking[min(call.waiting, key=list(lacking).index)])

    def _invite(self, call: Call) -> None:
        target, headers = self._targets[call.id]
        try:
            offer = self.offers.offer(call)
        except TooManyCalls:
            call.waiting.add("port")
            return
        self.desk.stop(call, "wait")
        call.invited = True
        refusal = self.desk.attempt(Invite(call.id, self._identity(call), target, offer, headers))
        if refusal is not None:
            self.closing.close(call, "local", 0, refusal.detail)
            return
        self.offers.hear_early(call)
        if call.ring_timeout and "ring" not in call.timers:
            self.desk.after(call, "ring", call.ring_timeout, self._rang_long)

    def _identity(self, call: Call) -> str:
        account = self.desk.accounts.get(call.account)
        return call.account + HIDDEN if account is not None and account.settings.hide_caller_id else call.account

    def _rang_long(self, call: Call) -> None:
        if call.state in OUTGOING_UNANSWERED:
            self.closing.hangup(call, reason="no answer")

    def goes_on(self, event: SessionEnded, call: Call) -> bool:
        """Place a call once more that has left its address, or whose description can be said otherwise; False if it is over."""
        if call.state not in OUTGOING_UNANSWERED:
            return False
        if event.by == "network" and event.reason == ADDRESS_CHANGED:
            call.again, call.invited = True, False
            self.ask_address_again(call)
            return True
        refused = event.by == "remote" and event.status in (NOT_ACCEPTABLE_IN_PAGE if call.rings_in_page else NOT_ACCEPTABLE)
        if not call.again and not (refused and self.offers.secrecy.insist(call)):
            return False
        self._place_again(call)
        return call.state is not CallState.ENDED

    def _place_again(self, call: Call) -> None:
        """Invite once more, with nothing of what was agreed with those who rang till now."""
        call.again = call.invited = call.early_hold = False
        call.offered_hold = call.codecs_offered = call.config = None
        call.early.clear()
        call.local_sdp = b""  # the next description follows on none
        self.offers.secrecy.begin_again(call)
        if self.offers.prepare(call):
            call.waiting.add("candidates")
        if call.waiting:
            self.desk.after(call, "wait", self.desk.settings.register_timeout, self._waited_long)
        else:
            self._invite(call)

    def forget(self, call: Call) -> None:
        """The call is over."""
        self._targets.pop(call.id, None)

    # --- what the far end says

    def calling(self, event: SessionCalling, call: Call) -> None:
        """The INVITE has left."""
        again, call.sip_call_id = bool(call.sip_call_id), event.sip_call_id
        self.desk.emit(CallUpdated(call=call.view()) if again else CallCalling(call=call.view()))

    def progress(self, event: SessionProgress, call: Call) -> None:
        """A provisional answer: ringing, or early media, or that of those who ring one has left."""
        if event.status == FORK_ENDED:
            self.offers.leave_early(call, event.fork)
            return
        before, call.rings_in_page = call.config, call.rings_in_page or event.web
        if event.status == 180:
            self._rings(call)
        if event.body is not None and self._hears(event.body, event.fork, call):
            if call.can(CallInput.EARLY_MEDIA):
                call.step(CallInput.EARLY_MEDIA)
                self.desk.emit(CallEarly(call=call.view()))
            elif call.config != before:
                self.desk.emit(CallUpdated(call=call.view()))

    def _rings(self, call: Call) -> None:
        """Tell it once, also of a call whose far end has said before where its sound would come from (183, then 180)."""
        if call.can(CallInput.RING):
            call.step(CallInput.RING)
        elif call.state is not CallState.EARLY or call.ringing is not None:
            return
        call.ringing = self.desk.wall
        self.desk.emit(CallRinging(call=call.view()))

    def _hears(self, body: Body, fork: str, call: Call) -> bool:
        """Take a session description that comes before the answer; False for one that will not do (it rings all the same)."""
        try:
            self.offers.accept(call, body.data)
        except (MediaNegotiationFailed, ParseError):
            return False
        self.offers.note_early(call, fork)
        return True

    def redirected(self, event: SessionRedirected, call: Call) -> None:
        """The far end sent us elsewhere."""
        account = self.desk.accounts.get(call.account)
        prefix = account.settings.dialing_prefix if account else ""
        call.remote = self.desk.names.known(Party(str(event.target)), event.target, prefix)
        self.desk.emit(CallRedirected(call=call.view(), target=str(event.target)))

    def answered(self, event: SessionAnswered, call: Call) -> None:
        """The far end answered."""
        agreed = call.early.get(event.fork)
        if event.body is not None:
            call.early_hold = False  # somebody else answered than the one who agreed to it
        try:
            if event.body is not None:
                self.offers.accept(call, event.body.data)
            elif agreed is not None:
                # RFC 3262 5: it was said before, and another fork may have been heard since
                self.offers.configure(call, agreed, call.local_offer)
            elif call.config is None:
                raise MediaNegotiationFailed("the answer has no session description")
        except (MediaNegotiationFailed, ParseError) as error:
            self._no_media(event, call, f"no media: {error}")
            return
        allow = values(event.headers, "Allow")
        call.user_to_user = user_to_user(event.headers)
        call.allows_info = not allow or "INFO" in ",".join(allow).upper()
        known = call.remote
        said = known.said or event.remote.display
        call.remote = Party(known.uri, said or known.contact, known.asserted, said, known.contact)
        self.offers.secrecy.remember(call)
        self.became_active(call)
        self.desk.finish(call, "dial")
        if call.digits_after_answer:
            self.desk.after(call, "digits", DIGITS_AFTER, self._send_dialled)

    def _no_media(self, event: SessionAnswered, call: Call, reason: str) -> None:
        """The answer will not do. One that refuses the audio may mean its profile (Jami 13): then the call is placed again."""
        refused = event.body is not None and refuses_audio(event.body.data)
        if refused and self.offers.secrecy.insist(call):
            call.again = True
            self.desk.attempt(End(call.id))  # what follows is SessionEnded
        else:
            self.closing.hangup(call, reason=reason)

    def became_active(self, call: Call) -> None:
        """Both directions talk: note the time, tell everyone."""
        desk = self.desk
        call.step(CallInput.ANSWER)
        for wait in ("ring", "cut off", "way"):
            desk.stop(call, wait)
        call.answered, call.talking_since = desk.wall, desk.now
        call.order = desk.next_order()
        view = call.view()
        desk.emit(CallAnswered(call=view))
        desk.emit(CallActive(call=view))
        self.offers.became_active(call)
        for active in self.on_active:
            active(call)
        if desk.settings.auto_hangup:
            desk.after(call, "length", desk.settings.auto_hangup, lambda c: self.closing.hangup(c, reason="time limit"))

    def _send_dialled(self, call: Call) -> None:
        digits, call.digits_after_answer = call.digits_after_answer, ""
        self.digits.send_queued(call, digits)
