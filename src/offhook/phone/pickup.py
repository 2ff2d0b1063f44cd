"""Call pickup: taking the call that rings at somebody else's phone, by its dialog or by the PBX's feature code."""

from __future__ import annotations

from offhook.errors import InvalidArgument, ParseError
from offhook.phone.commands import Accepted, Dial, Pickup
from offhook.phone.desk import Desk
from offhook.phone.dialplan import MAX_TARGET
from offhook.phone.model import DialogView, WatchView
from offhook.phone.outgoing import Outgoing
from offhook.sip.replaces import Replaces
from offhook.sip.uri import Uri


def ringing_dialog(view: WatchView) -> DialogView | None:
    """Return a call that rings at whom we watch, if we know enough of it to take it over."""
    return next((dialog for dialog in view.dialogs if dialog.state == "early" and dialog.direction == "incoming"
                 and dialog.sip_call_id and dialog.local_tag and dialog.remote_tag), None)


class Pickups:
    """Takes the calls of others."""

    def __init__(self, desk: Desk, outgoing: Outgoing) -> None:
        self.desk = desk
        self.outgoing = outgoing

    def take(self, command: Pickup, views: tuple[WatchView, ...]) -> Accepted:
        """Take the call that rings at `to`, a number, an address or a watch of its dialogs."""
        if not command.to.strip() or len(command.to) > MAX_TARGET:
            raise InvalidArgument.field("to", "at whose phone it rings: a number, an address, or a watch")
        watch = next((view for view in views if view.kind == "dialog" and self._is_meant(view, command.to)), None)
        dialog = ringing_dialog(watch) if watch is not None else None
        if dialog is not None:
            caller = self._caller(dialog)
            if caller is not None:
                # RFC 3891 7.2: the caller replaces its own early dialog with the one to us, and the other phone falls silent
                replaces = Replaces(dialog.sip_call_id, dialog.remote_tag, dialog.local_tag, early_only=True)
                headers = (("Replaces", str(replaces)), ("Require", "replaces"))
                return self.outgoing.dial(Dial(to=caller, account=command.account), extra=headers)
        account = self.outgoing.choose_account(command.account, "somebody")
        prefix = account.settings.pickup_prefix if account is not None else ""
        number = self._number(watch, command.to)
        if not prefix:
            raise InvalidArgument.field("to", "the account has no pickup_prefix, and no ringing call there is known by a watch")
        return self.outgoing.dial(Dial(to=prefix + number, account=command.account))

    def _is_meant(self, view: WatchView, to: str) -> bool:
        return to in (view.id, view.target) or Uri.parse(view.target).user_decoded == to

    def _number(self, watch: WatchView | None, to: str) -> str:
        if watch is not None:
            return Uri.parse(watch.target).user_decoded
        try:
            return Uri.parse(to).user_decoded or to if to.lower().startswith("sip:") else to.partition("@")[0]
        except ParseError:
            return to

    def _caller(self, dialog: DialogView) -> str | None:
        for address in (dialog.remote_target, dialog.remote):
            try:
                uri = Uri.parse(address)
            except ParseError:
                continue
            if uri.scheme == "sip" and uri.host:
                return str(Uri(uri.scheme, uri.user, uri.host, uri.port, None, uri.without_params("method").params))
        return None
