"""Events about calls."""

from __future__ import annotations

from offhook.media.messages import StreamStats
from offhook.phone.events.base import CallEvent
from offhook.phone.settings import Decision

# --- calls ---------------------------------------------------------------------------------------------------------


class CallIncoming(CallEvent, frozen=True, kw_only=True):
    """A call comes in. `rings` is False if it is answered by itself at once, or waits for a decision (`call.decided`)."""

    rings: bool = True


class CallCreated(CallEvent, frozen=True, kw_only=True):
    """An outgoing call exists; it may wait for the registration."""


class CallCalling(CallEvent, frozen=True, kw_only=True):
    """The INVITE has left."""


class CallRinging(CallEvent, frozen=True, kw_only=True):
    """The far end rings. The state is `early` where the session description came before (183, then 180)."""


class CallEarly(CallEvent, frozen=True, kw_only=True):
    """The far end sends sound before the answer (early media), or has said where it would come from. It may ring, too."""


class CallAnswered(CallEvent, frozen=True, kw_only=True):
    """The call was answered, by whichever side."""


class CallActive(CallEvent, frozen=True, kw_only=True):
    """Both sides talk."""


class CallHeld(CallEvent, frozen=True, kw_only=True):
    """We hold."""


class CallResumed(CallEvent, frozen=True, kw_only=True):
    """We do not hold any more."""


class CallRemoteHeld(CallEvent, frozen=True, kw_only=True):
    """The far end holds."""


class CallRemoteResumed(CallEvent, frozen=True, kw_only=True):
    """The far end does not hold any more."""


class CallMuted(CallEvent, frozen=True, kw_only=True):
    """The microphone is silent in this call."""


class CallUnmuted(CallEvent, frozen=True, kw_only=True):
    """The microphone is heard again in this call."""


class CallUpdated(CallEvent, frozen=True, kw_only=True):
    """Something else changed: codec, address, the far end's name."""


class CallTagged(CallEvent, frozen=True, kw_only=True):
    """Its tags have changed, perhaps after its end."""


class CallRedirected(CallEvent, frozen=True, kw_only=True):
    """The call is sent elsewhere: the far end told us (outgoing) or we told the caller (incoming)."""

    target: str


class CallReplaced(CallEvent, frozen=True, kw_only=True):
    """This call has taken the place of another, `replaced`, which ends: somebody connected us with its far end."""

    replaced: str


class CallHoldFailed(CallEvent, frozen=True, kw_only=True):
    """The far end refused our hold or resume; the call is as before."""

    sip_status: int
    reason: str


class CallEnded(CallEvent, frozen=True, kw_only=True):
    """The call is over; `call.end` says by whom and why. `duration` is seconds since the answer, 0 if never answered.

    `stats` are the latest figures of its sound. The final ones follow as `media.stats`: the end does not wait for them.
    """

    duration: float
    stats: StreamStats | None = None


class CallDecided(CallEvent, frozen=True, kw_only=True):
    """What becomes of an incoming call that waited for a decision; "default" if none came in time.

    "ring", too, where a call that was to be answered by itself at once rings after all, because another one was first.
    `rings` says whether it rings now, for somebody to answer.
    """

    action: Decision
    rings: bool


# --- transfer ------------------------------------------------------------------------------------------------------


class TransferRequested(CallEvent, frozen=True, kw_only=True):
    """The far end asks us to call `target` instead (REFER): answer with AcceptTransfer or RejectTransfer.

    `attended`: it has talked to the target already, and our call takes the place of that one.
    """

    target: str
    referred_by: str
    attended: bool = False


class TransferStarted(CallEvent, frozen=True, kw_only=True):
    """We asked the far end to call `target`; in place of our call `with_call` if it is an attended transfer."""

    target: str
    with_call: str = ""


class TransferProgress(CallEvent, frozen=True, kw_only=True):
    """What the far end tells of its call to the target."""

    sip_status: int
    reason: str


class TransferCompleted(CallEvent, frozen=True, kw_only=True):
    """The target answered; our call ends."""


class TransferFailed(CallEvent, frozen=True, kw_only=True):
    """The transfer did not work; the call is as before."""

    sip_status: int
    reason: str
