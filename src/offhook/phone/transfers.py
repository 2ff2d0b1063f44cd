"""Blind and attended transfer, both ways (RFC 3515, RFC 3891, RFC 5589)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from offhook.errors import AmbiguousCall, CommandError, InvalidArgument, InvalidState, NotFound, ParseError
from offhook.phone.call import CONNECTED, Call
from offhook.phone.closing import Closing
from offhook.phone.commands import Accepted, AcceptTransfer, Dial, RejectTransfer, Transfer, TransferAttended
from offhook.phone.desk import Desk
from offhook.phone.dialplan import target_uri
from offhook.phone.events import TransferCompleted, TransferFailed, TransferProgress, TransferRequested, TransferStarted
from offhook.phone.outgoing import Outgoing
from offhook.sip.events import AcceptRefer, NotifyRefer, Refer, ReferProgress, ReferRequested, RefuseRefer
from offhook.sip.replaces import split_target
from offhook.sip.uri import Uri

DECIDE_WITHIN: Final = 20.0
"""Seconds the application has to decide on a REFER: the transferor's transaction lives 32."""


class Asker(NamedTuple):
    """Who had us place a call: the call that asked, its REFER, whether it is on hold for that alone, and who else talked."""

    call: str
    refer: str
    held_for_it: bool
    beside: tuple[str, ...]


class Transfers:
    """Asks far ends to call others, and does what far ends ask.

    `on_placed` are told of a call that asked for another, and of the one placed for it.
    """

    def __init__(self, desk: Desk, outgoing: Outgoing, closing: Closing) -> None:
        self.desk = desk
        self.outgoing = outgoing
        self.closing = closing
        self.on_placed: list[Callable[[Call, Call], None]] = []
        self._placed_for: dict[str, Asker] = {}  # by the call placed for a transfer

    # --- ours

    def start(self, command: Transfer) -> Accepted:
        """Ask the far end to call `to`."""
        call = self.desk.find_connected(command.call)
        if call.transfer_target:
            raise InvalidState(f"call {call.id} is being transferred to {call.transfer_target}")
        account = self.desk.accounts.get(call.account)
        target = target_uri(command.to, account.settings if account else None)
        self.desk.signal(Refer(call.id, target))
        call.transfer_target = str(target)
        operation = self.desk.begin("transfer", call)
        self.desk.emit(TransferStarted(call=call.view(), target=str(target)))
        return Accepted(call=call.id, operation=operation)

    def start_attended(self, command: TransferAttended) -> Accepted:
        """Ask the far end of one call to take our place in another."""
        other = self.desk.find_connected(command.with_call)
        call = self._partner(command.call, other)
        for each in (call, other):
            if each.transfer_target:
                raise InvalidState(f"call {each.id} is being transferred to {each.transfer_target}")
        self.desk.signal(Refer(call.id, self._reached_at(other), replaces=other.id))
        call.transfer_target, call.transfer_with = other.remote.uri, other.id
        operation = self.desk.begin("transfer_attended", call, "transfer")
        self.desk.emit(TransferStarted(call=call.view(), target=call.transfer_target, with_call=other.id))
        return Accepted(call=call.id, operation=operation)

    def _partner(self, name: str, other: Call) -> Call:
        if name:
            call = self.desk.find_connected(name)
            if call is other:
                raise InvalidArgument.field("call", "the two calls must be different ones")
            return call
        calls = [call for call in self.desk.in_state(CONNECTED) if call is not other]
        if not calls:
            raise NotFound(f"there is no answered call besides {other.id}")
        if len(calls) > 1:
            raise AmbiguousCall(f"{len(calls)} calls could be connected with {other.id}: name one by its id")
        return calls[0]

    def _reached_at(self, other: Call) -> Uri | None:
        """Return the address under which others reach the far end; None: where it reaches us from.

        What was dialled led there once and leads there again, and so does an address of our own provider. A Contact of
        somebody behind NAT or a provider's border (RFC 5589 7.3) often does not.
        """
        account = self.desk.accounts.get(other.account)
        uri = Uri.parse(other.remote.uri)
        if other.direction == "outgoing" or (account is not None and uri.host.lower() == account.settings.domain.lower()):
            return uri
        return None

    def progress(self, event: ReferProgress, call: Call) -> None:
        """What became of our REFER."""
        if not event.final:
            self.desk.emit(TransferProgress(call=call.view(), sip_status=event.status, reason=event.reason))
            return
        call.transfer_target = ""
        if 200 <= event.status < 300:
            self.desk.emit(TransferCompleted(call=call.view()))
            self.desk.finish(call, "transfer")
            consulted = self.desk.calls.get(call.transfer_with)
            self.closing.hangup(call, reason="transferred")
            if consulted is not None:  # its far end has another call in its place, and says BYE itself, perhaps later
                self.closing.hangup(consulted, reason="transferred")
            return
        call.transfer_with = ""
        self.desk.emit(TransferFailed(call=call.view(), sip_status=event.status, reason=event.reason))
        self.desk.finish(call, "transfer", error=event.reason or "refused", sip_status=event.status)

    # --- theirs

    def requested(self, event: ReferRequested, call: Call) -> None:
        """The far end asks us to call another: a program decides, or the setting `transfers` does."""
        if call.refer:
            self.desk.attempt(RefuseRefer(call.id, event.refer, 491))
            return
        try:
            target, replaces = split_target(event.target.uri)
        except ParseError:
            self.desk.attempt(RefuseRefer(call.id, event.refer, 400))
            return
        refused = self.desk.settings.transfers == "refuse"
        if refused or (target.param("method") or "INVITE").upper() != "INVITE":
            # RFC 3515 2.1 lets a REFER ask for any request. Calling is the one that a phone does for others.
            self.desk.attempt(RefuseRefer(call.id, event.refer, 603))
            return
        headers = [("Replaces", str(replaces))] if replaces else []
        if event.referred_by:
            headers.append(("Referred-By", event.referred_by))  # RFC 3892 2.2
        call.refer, call.refer_target = event.refer, str(target.without_params("method"))
        call.refer_headers = tuple(headers)
        self.desk.after(call, "refer", DECIDE_WITHIN, self._undecided)
        self.desk.emit(
            TransferRequested(
                call=call.view(), target=call.refer_target, referred_by=event.referred_by, attended=replaces is not None
            )
        )
        if self.desk.settings.transfers == "accept":
            try:
                self.accept(AcceptTransfer(call=call.id))
            except CommandError:  # nobody will decide otherwise
                self.refuse(RejectTransfer(call=call.id))

    def _asked(self, name: str) -> Call:
        call = self.desk.find_connected(name)
        if not call.refer or "refer" not in call.timers:
            raise InvalidState(f"nobody asked for a transfer in call {call.id}")
        return call

    def _undecided(self, call: Call) -> None:
        refer, call.refer = call.refer, ""
        self.desk.attempt(RefuseRefer(call.id, refer, 603))

    def refuse(self, command: RejectTransfer) -> Accepted:
        """Do not call the other."""
        call = self._asked(command.call)
        self.desk.stop(call, "refer")
        refer, call.refer = call.refer, ""
        self.desk.signal(RefuseRefer(call.id, refer, 603))
        return Accepted(call=call.id)

    def accept(self, command: AcceptTransfer) -> Accepted:
        """Call the other, and tell the far end how that goes. Where we cannot call, it waits for another decision."""
        call = self._asked(command.call)
        dial = Dial(to=call.refer_target, account=self._account_of(call), hold_others=False)
        placed = self.outgoing.dial(dial, parent=call.id, extra=call.refer_headers)
        self.desk.stop(call, "refer")
        beside = self._beside(call)
        self._placed_for[placed.call] = Asker(call.id, call.refer, not call.want_hold, beside)
        self.desk.signal(AcceptRefer(call.id, call.refer))
        for told in self.on_placed:
            told(call, self.desk.calls[placed.call])
        self.outgoing.offers.hold_others(but=None, staying=(*self._mates(call), *beside))
        return placed

    def _beside(self, call: Call) -> tuple[str, ...]:
        """Return whom the new call leaves alone: it takes the place of one that talks, and those beside that talk on."""
        active = self.desk.active()
        return tuple(other.id for other in active if other is not call) if call in active else ()

    def _account_of(self, call: Call) -> str:
        return call.account if call.account in self.desk.accounts else ""

    def tell(self, placed: Call, status: int, reason: str) -> None:
        """Pass the progress of a call placed for a transfer on to who asked for it."""
        asked = self._placed_for.get(placed.id)
        if asked is None or asked.call not in self.desk.calls:
            return
        if status >= 200:
            del self._placed_for[placed.id]
            self.desk.calls[asked.call].refer = ""
        self.desk.attempt(NotifyRefer(asked.call, asked.refer, status, reason))

    def closed(self, call: Call) -> None:
        """A call is over: it may have been placed for a transfer."""
        end = call.end
        asked = self._placed_for.get(call.id)
        if asked is not None and end is not None and call.answered is None:
            self.tell(call, end.sip_status if end.sip_status >= 300 else 503, end.reason)
            transferor = self.desk.calls.get(asked.call)
            if transferor is not None and transferor.want_hold and asked.held_for_it and not self._talks_besides(asked):
                # Dialling put it on hold; RFC 3515 leaves the dialog as it was when the transfer fails.
                self.outgoing.offers.want(transferor, False)
        self._placed_for.pop(call.id, None)

    def _talks_besides(self, asked: Asker) -> bool:
        """Whether another call has been taken up meanwhile."""
        known = {asked.call, *asked.beside, *self._mates(self.desk.calls[asked.call])}
        return any(each.id not in known for each in self.desk.active())

    def _mates(self, call: Call) -> tuple[str, ...]:
        """Return who is in a conference with this call, and goes on talking whatever becomes of it."""
        return tuple(other for other in self.outgoing.offers.together(call) if other != call.id)
