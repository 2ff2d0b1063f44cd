"""What is done with a call that is there: ending it, holding it, asking how it is."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from offhook.errors import InvalidArgument, InvalidState
from offhook.phone.call import OUTGOING_UNANSWERED, Call
from offhook.phone.closing import Closing
from offhook.phone.commands import Accepted, CallStats, GetCall, Hangup, HangupAll, Hold, Resume, SetCodecs, TagCall, ToggleHold
from offhook.phone.desk import Desk
from offhook.phone.events import CallTagged
from offhook.phone.headers import extra_headers
from offhook.phone.model import CallState, CallView, StatsView
from offhook.phone.offers import Offers, check_codecs
from offhook.phone.tags import check_tags, merged


class Calls:
    """The calls, for who commands."""

    def __init__(self, desk: Desk, offers: Offers, closing: Closing) -> None:
        self.desk = desk
        self.offers = offers
        self.closing = closing

    def hangup(self, command: Hangup) -> Accepted:
        """End a call."""
        extra = extra_headers(command.headers, command.user_to_user, self.desk.settings.sent_headers)
        call = self.desk.find(command.call)
        self.closing.hangup(call, headers=extra)
        return Accepted(call=call.id)

    def hangup_all(self, command: HangupAll) -> Accepted:
        """End all calls, or those of one kind."""
        chosen: dict[str, Callable[[Call], bool]] = {
            "all": lambda call: True,
            "incoming": lambda call: call.state is CallState.INCOMING,
            "calling": lambda call: call.state in OUTGOING_UNANSWERED,
            "not_incoming": lambda call: call.state is not CallState.INCOMING,
        }
        calls = [call for call in self.desk.calls.values() if chosen[command.which](call)]
        for call in calls:
            self.closing.hangup(call)
        return Accepted(value={"ended": len(calls)})

    def _changeable(self, name: str) -> Call:
        call = self.desk.find(name)
        if not self.offers.may_change(call):
            raise InvalidState(f"call {call.id} is {call.state}, not connected")
        return call

    def hold(self, command: Hold) -> Accepted:
        """Put a call on hold."""
        call = self._changeable(command.call)
        return Accepted(call=call.id, operation=self.offers.want(call, True))

    def resume(self, command: Resume) -> Accepted:
        """Take a call off hold; the others, but those in a conference with it, are put on hold first."""
        call = self._changeable(command.call)
        if not call.want_hold and not call.held_by_us:
            return Accepted(call=call.id)
        self.offers.hold_others(but=call)
        return Accepted(call=call.id, operation=self.offers.want(call, False))

    def toggle_hold(self, command: ToggleHold) -> Accepted:
        """Hold or resume."""
        call = self._changeable(command.call)
        return self.resume(Resume(call=call.id)) if call.want_hold else self.hold(Hold(call=call.id))

    def set_codecs(self, command: SetCodecs) -> Accepted:
        """Offer a call other codecs."""
        check_codecs(command.codecs)
        call = self.desk.find(command.call)
        return Accepted(call=call.id, operation=self.offers.change_codecs(call, command.codecs))

    def tag(self, command: TagCall) -> Accepted:
        """Change the tags of a call, also of one that has ended."""
        if not command.tags:
            raise InvalidArgument.field("tags", "name at least one")
        check_tags(command.tags)
        view: CallView = self.get_call(GetCall(call=command.call)).value
        tags = merged(view.tags, command.tags)
        check_tags(tags)
        if tags != view.tags:
            running = self.desk.calls.get(view.id)
            if running is not None:
                running.tags = tags
                view = running.view()
            else:
                view = self.desk.ended[view.id] = structs.replace(view, tags=tags)
            self.desk.emit(CallTagged(call=view))
        return Accepted(call=view.id, value=view)

    def get_call(self, command: GetCall) -> Accepted:
        """Answer how a call is, or was."""
        ended = self.desk.ended
        over = next(reversed(ended), "") if command.call == "last" and not self.desk.calls else command.call
        if over in ended:
            return Accepted(call=over, value=ended[over])
        call = self.desk.find(command.call)
        return Accepted(call=call.id, value=call.view())

    def call_stats(self, command: CallStats) -> Accepted:
        """Answer how a call sounds, or sounded."""
        view: CallView = self.get_call(GetCall(call=command.call)).value
        running = self.desk.calls.get(view.id)
        stats = running.stats if running is not None else self.desk.ended_stats.get(view.id)
        return Accepted(call=view.id, value=StatsView(view.id, view.state, view.muted, view.media, stats))
