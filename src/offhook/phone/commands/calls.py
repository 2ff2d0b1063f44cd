"""Commands about calls, and texts."""

from __future__ import annotations

from typing import ClassVar, Literal

from offhook.media.messages import Detection
from offhook.phone.commands.base import Command, Scope
from offhook.phone.model import HeaderList
from offhook.phone.settings import Decision, DtmfMethod


class Dial(Command, frozen=True, kw_only=True):
    """Call `to` (a number or URI). The call exists at once as `calling`; succeeds when answered.

    `hold_others` puts the active call on hold first (DDE Dial); without it the active call stays (DDE CallTo).
    `only_if_idle` refuses with line-busy while any call rings, is active or held (WM_COPYDATA DIAL).
    `digits` are sent after the answer. `ring_timeout` seconds, 0: never. `id` lets the caller choose the call's id.
    `beside` names a running call: where there are several media workers, the sound of both is in the same one, so that they
    can be joined in a conference. The call that is put on hold is meant where nothing is said.
    `headers` are X-… and those that the setting `sent_headers` allows; `user_to_user` is handed to the far end (RFC 7433).
    `codecs` are offered in this order, in place of the account's or the phone's.
    `detect` is what to listen for (see Detect; amd begins with the answer), `record` and `play` what to do once it is answered.
    """

    to: str
    account: str = ""
    id: str = ""
    headers: HeaderList = ()
    user_to_user: str = ""
    hold_others: bool = True
    only_if_idle: bool = False
    ring_timeout: float = 0.0
    digits: str = ""
    tags: HeaderList = ()
    beside: str = ""
    codecs: tuple[str, ...] = ()
    detect: tuple[Detection, ...] = ()
    record: bool = False
    play: str = ""


class Answer(Command, frozen=True, kw_only=True):
    """Answer the ringing incoming call (the oldest, unless named); with `hold_others` an active call is put on hold first.

    With `codecs` only these are accepted, and not the account's or the phone's. `headers` and `user_to_user` as in Dial, for
    the answer; `detect`, `record` and `play` as there.
    """

    call: str = ""
    headers: HeaderList = ()
    user_to_user: str = ""
    codecs: tuple[str, ...] = ()
    hold_others: bool = True
    detect: tuple[Detection, ...] = ()
    record: bool = False
    play: str = ""


class Reject(Command, frozen=True, kw_only=True):
    """Refuse the ringing incoming call. `status` 300-699; 0 is the setting (486 Busy Here).

    `headers` and `user_to_user` as in Dial, for the refusal.
    """

    call: str = ""
    status: int = 0
    headers: HeaderList = ()
    user_to_user: str = ""


class Redirect(Command, frozen=True, kw_only=True):
    """Send the ringing incoming call elsewhere (302 with Diversion)."""

    to: str
    call: str = ""


class Hangup(Command, frozen=True, kw_only=True):
    """End a call: BYE, CANCEL, or 603 for an incoming one that rings.

    `headers` and `user_to_user` as in Dial, for the message that ends it.
    """

    call: str = ""
    headers: HeaderList = ()
    user_to_user: str = ""


class HangupAll(Command, frozen=True, kw_only=True):
    """End several calls: all, only ringing incoming ones, only outgoing ones not yet answered, or all but ringing incoming."""

    which: Literal["all", "incoming", "calling", "not_incoming"] = "all"


class Hold(Command, frozen=True, kw_only=True):
    """Put the call on hold. Succeeds when the far end agrees; already held is fine.

    A call with early media can be held before it is answered where the far end knows PRACK and UPDATE (RFC 3311).
    """

    call: str = ""


class Resume(Command, frozen=True, kw_only=True):
    """Take the call off our hold; other active calls are put on hold first, but not those in a conference with it.

    Calls that tap another one are left alone, and coming off hold such a call puts none on hold.
    """

    call: str = ""


class ToggleHold(Command, frozen=True, kw_only=True):
    """Hold or resume, whichever changes something (the legacy Hold)."""

    call: str = ""


class SetCodecs(Command, frozen=True, kw_only=True):
    """Go on with other codecs, offered in this order; sound goes on meanwhile. Succeeds when the far end agrees.

    The far end chooses among them: the call's `media.codec` (`call.updated`) says what it took. Where it refuses, the call goes
    on as it was. The list holds for what the far end offers later, too; an empty one is the account's or the phone's.
    """

    codecs: tuple[str, ...]
    call: str = ""


class TagCall(Command, frozen=True, kw_only=True):
    """Keep words of your own with a call, such as an order's number or a note: in its view, its events, its history.

    A tag of the same name is replaced, an empty value takes it away, the others stay. An ended call can be named as long as
    GetCall answers for it. `tags` of Dial are there from the beginning.
    """

    tags: HeaderList
    call: str = ""


class Mute(Command, frozen=True, kw_only=True):
    """Send silence in place of the microphone: in one call, or with no `call` in all calls, present and future."""

    call: str = ""


class Unmute(Command, frozen=True, kw_only=True):
    """Undo Mute."""

    call: str = ""


class ToggleMute(Command, frozen=True, kw_only=True):
    """Mute or unmute the microphone (the legacy Mute)."""


class SendDtmf(Command, frozen=True, kw_only=True):
    """Send digits `0-9 * # A-D` (case-blind), ',' pauses. Any other character refuses the whole command.

    `method` auto: RFC 4733 when negotiated, else SIP INFO, else in-band tones. Succeeds when all have gone out.
    """

    digits: str
    call: str = ""
    method: DtmfMethod | Literal[""] = ""
    duration_ms: int = 160
    gap_ms: int = 80


class Transfer(Command, frozen=True, kw_only=True):
    """Blind transfer (REFER). Succeeds, and the call ends, when the target answers; on failure the call is as before."""

    to: str
    call: str = ""


class TransferAttended(Command, frozen=True, kw_only=True):
    """Connect the far ends of two answered calls with each other: that of `call` calls that of `with_call` in our place.

    `with_call` "" is the current call, `call` "" the only other one that is answered. Succeeds, and both calls end, when the
    two talk to each other; on failure both are as before.
    """

    call: str = ""
    with_call: str = ""


class AcceptTransfer(Command, frozen=True, kw_only=True):
    """Do what the far end's REFER asks: call the target; the answer's `call` is the new one.

    Where the call is in a conference, the others in it go on talking, and the new one comes in when it is answered.
    """

    call: str = ""


class RejectTransfer(Command, frozen=True, kw_only=True):
    """Refuse the far end's REFER."""

    call: str = ""


class SendInfo(Command, frozen=True, kw_only=True):
    """Send a SIP INFO inside the call."""

    body: str
    content_type: str = "text/plain"
    call: str = ""


class SendMessage(Command, frozen=True, kw_only=True):
    """Send a text (SIP MESSAGE). Succeeds when the far end's side accepted it."""

    to: str
    text: str
    account: str = ""


class GetCall(Command, frozen=True, kw_only=True):
    """Answer a CallView (an ended call for some minutes too; when no call runs, `last` is the one that ended last)."""

    call: str = ""
    scope: ClassVar[Scope] = "read"


class CallStats(Command, frozen=True, kw_only=True):
    """Answer a StatsView: how good the call's sound is, both ways (an ended call's final figures for some minutes too)."""

    call: str = ""
    scope: ClassVar[Scope] = "read"


class ListCalls(Command, frozen=True, kw_only=True):
    """Answer the running calls as CallViews, oldest first."""

    scope: ClassVar[Scope] = "read"


class Decide(Command, frozen=True, kw_only=True):
    """Say what becomes of an incoming call that waits for it (setting `decide`; 2 seconds at most).

    answer, reject (with `status`), redirect (`to`), dnd (as do not disturb would) · ring: nothing but ring, whatever the
    settings say · default: what the settings say. `call` "" is the oldest that waits.
    """

    action: Decision
    call: str = ""
    status: int = 0
    to: str = ""
