"""One call: its machine as a table, and its record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum, auto
from functools import lru_cache
from typing import Final

from offhook.errors import InvalidState
from offhook.media.formats import Format
from offhook.media.messages import Candidate, Detection, Direction, StreamConfig, StreamStats
from offhook.media.security import Keying, Security
from offhook.phone.model import CallDirection, CallEnd, CallMedia, CallState, CallView, Diversion, HeaderList, Party, wall
from offhook.sip.events import OfferReceived
from offhook.sip.timers import Timer


class CallInput(IntEnum):
    """What can happen to a call."""

    RING = auto()
    EARLY_MEDIA = auto()
    ANSWER = auto()
    HOLD = auto()
    RESUME = auto()
    REMOTE_HOLD = auto()
    REMOTE_RESUME = auto()
    END = auto()


_S = CallState
_I = CallInput

# An unlisted pair is refused: `Call.can` says so beforehand, `Call.step` raises InvalidState.
TRANSITIONS: Final[dict[tuple[CallState, CallInput], CallState]] = {
    (_S.CALLING, _I.RING): _S.RINGING,
    (_S.CALLING, _I.EARLY_MEDIA): _S.EARLY,
    (_S.CALLING, _I.ANSWER): _S.ACTIVE,
    (_S.CALLING, _I.END): _S.ENDED,
    (_S.RINGING, _I.EARLY_MEDIA): _S.EARLY,
    (_S.RINGING, _I.ANSWER): _S.ACTIVE,
    (_S.RINGING, _I.END): _S.ENDED,
    (_S.EARLY, _I.ANSWER): _S.ACTIVE,
    (_S.EARLY, _I.END): _S.ENDED,
    (_S.INCOMING, _I.ANSWER): _S.ACTIVE,
    (_S.INCOMING, _I.END): _S.ENDED,
    (_S.ACTIVE, _I.HOLD): _S.HELD_LOCAL,
    (_S.ACTIVE, _I.REMOTE_HOLD): _S.HELD_REMOTE,
    (_S.ACTIVE, _I.END): _S.ENDED,
    (_S.HELD_LOCAL, _I.RESUME): _S.ACTIVE,
    (_S.HELD_LOCAL, _I.REMOTE_HOLD): _S.HELD_BOTH,
    (_S.HELD_LOCAL, _I.END): _S.ENDED,
    (_S.HELD_REMOTE, _I.HOLD): _S.HELD_BOTH,
    (_S.HELD_REMOTE, _I.REMOTE_RESUME): _S.ACTIVE,
    (_S.HELD_REMOTE, _I.END): _S.ENDED,
    (_S.HELD_BOTH, _I.RESUME): _S.HELD_REMOTE,
    (_S.HELD_BOTH, _I.REMOTE_RESUME): _S.HELD_LOCAL,
    (_S.HELD_BOTH, _I.END): _S.ENDED,
}

UNANSWERED: Final = frozenset({_S.CALLING, _S.RINGING, _S.EARLY, _S.INCOMING})
OUTGOING_UNANSWERED: Final = frozenset({_S.CALLING, _S.RINGING, _S.EARLY})
HELD: Final = frozenset({_S.HELD_LOCAL, _S.HELD_REMOTE, _S.HELD_BOTH})
LOCALLY_HELD: Final = frozenset({_S.HELD_LOCAL, _S.HELD_BOTH})
HELD_BY_THEM: Final = frozenset({_S.HELD_REMOTE, _S.HELD_BOTH})
CONNECTED: Final = HELD | {_S.ACTIVE}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is to be done once a call is answered: record it, play a file."""

    record: bool = False
    play: str = ""


NOTHING_WISHED: Final = Wishes()


@dataclass(slots=True)
class Call:
    """A call's record. Times are Unix seconds; `order` rises with every activation, so that the latest is known.

    `waiting` holds what an outgoing call still lacks before its INVITE: "registration", "address", "port".
    `on_step` is told the state before. `want_hold` is what the person wants, `offered_hold` what our open offer says; the
    machine's state is what was agreed. So with the codecs, where None is "as they are". `formats` are those of our earlier
    descriptions, where the codecs have changed. `recording` is the oldest that runs. A call that is `off_card` taps another.
    """

    id: str
    account: str
    direction: CallDirection
    state: CallState
    local: Party
    remote: Party
    created: float
    tags: HeaderList = ()
    headers: HeaderList = ()
    parent: str = ""
    diverted: tuple[Diversion, ...] = ()
    user_to_user: str = ""  # what the far end has handed over last
    answer_with: HeaderList = ()  # headers of our answer
    asks_answer: float | None = None  # after so many seconds the caller wants to be answered without a person
    sip_call_id: str = ""
    ringing: float | None = None
    answered: float | None = None
    talking_since: float = 0.0  # the same by the phone's own seconds, for its length: the clock may be set meanwhile
    ended: float | None = None
    end: CallEnd | None = None
    muted: bool = False
    told: bool = False  # an incoming one: that it is there
    order: int = 0
    held_order: int = 0
    # signalling
    invited: bool = False
    again: bool = False  # it is placed once more as soon as this attempt is over
    waiting: set[str] = field(default_factory=set)
    ring_timeout: float = 0.0
    want_hold: bool = False
    offered_hold: bool | None = None
    early_hold: bool = False  # our hold was agreed before the call was answered
    moved: bool = False
    codecs: tuple[str, ...] = ()
    usual_codecs: tuple[str, ...] = ()  # in place of those, once it has been asked for them
    codecs_wanted: tuple[str, ...] | None = None
    codecs_offered: tuple[str, ...] | None = None
    formats: tuple[Format, ...] = ()
    early: dict[str, StreamConfig] = field(default_factory=dict)  # what was agreed before the answer, by fork
    remote_offer: bytes | None = None
    wants_offer: bool = False  # while it rings: the caller has made none, and acknowledges that it rings
    unanswered: OfferReceived | None = None  # while our addresses are being found out
    early_answer: bytes = b""  # to that offer, which is heard when the call is answered
    local_offer: bytes = b""
    local_sdp: bytes = b""
    sdp_id: int = 0
    sdp_version: int = 0
    allows_info: bool = True
    refer: str = ""
    refer_target: str = ""
    refer_headers: HeaderList = ()
    transfer_target: str = ""
    transfer_with: str = ""
    replaces: str = ""
    # media
    worker: int = 0
    port: int = 0
    address: str = ""
    signalling: str = ""
    security: Security | None = None
    secrecy_told: bool = False
    insisted: tuple[Keying, ...] = ()  # a secure profile was offered for keys of these kinds
    recalled: bool = False  # what was offered first is what the far end took the last time
    srtp: str = ""
    cipher: str = ""
    rings_in_page: bool = False  # of a web browser
    web: bool = False  # the far end speaks a handshake and ICE only, as browsers do
    gathering: bool = False
    hold_others: bool = False
    silent: bool = False  # to be answered at once: nobody was told that it rings
    candidates: tuple[Candidate, ...] | None = None
    ice_ufrag: str = ""
    ice_pwd: str = ""
    ice_remote: str = ""
    ice_anew: bool = False  # our next offer has another name
    config: StreamConfig | None = None
    stats: StreamStats | None = None
    media_seen: bool = False
    digits_after_answer: str = ""
    recording: str = ""
    off_card: bool = False
    detects: tuple[Detection, ...] | None = None
    listening: bool = False
    keys_as_events: bool = False
    wishes: Wishes = NOTHING_WISHED
    # kept by the desk
    serial: int = 0
    on_step: Callable[[Call, CallState], None] | None = None
    # waits
    timers: dict[str, Timer] = field(default_factory=dict)
    operations: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def can(self, event: CallInput) -> bool:
        """Say whether the table lists `event` for the present state."""
        return (self.state, event) in TRANSITIONS

    def step(self, event: CallInput) -> None:
        """Go where the table says; raises InvalidState for an unlisted pair."""
        following = TRANSITIONS.get((self.state, event))
        if following is None:
            raise InvalidState(f"call {self.id} is {self.state}: {event.name.lower().replace('_', ' ')} does not apply")
        before, self.state = self.state, following
        if self.on_step is not None:
            self.on_step(self, before)

    @property
    def is_connected(self) -> bool:
        """Answered and not over."""
        return self.state in CONNECTED

    @property
    def held_by_us(self) -> bool:
        """Our hold is agreed."""
        return self.state in LOCALLY_HELD or self.early_hold

    def our_direction(self, hold: bool) -> Direction:
        """Return the direction we offer: sendonly while we hold."""
        return "sendonly" if hold else "sendrecv"

    def view(self) -> CallView:
        """Return the call as everyone sees it."""
        return CallView(
            id=self.id,
            account=self.account,
            direction=self.direction,
            state=self.state,
            local=self.local,
            remote=self.remote,
            sip_call_id=self.sip_call_id,
            created=_wall(self.created),
            ringing=_wall(self.ringing) if self.ringing else None,
            answered=_wall(self.answered) if self.answered else None,
            ended=_wall(self.ended) if self.ended else None,
            end=self.end,
            media=self._media_view(),
            muted=self.muted,
            recording=self.recording,
            headers=self.headers,
            tags=self.tags,
            parent=self.parent,
            diverted=self.diverted,
            user_to_user=self.user_to_user,
        )

    def _media_view(self) -> CallMedia:
        stats, config = self.stats, self.config
        if config is None:
            return _NO_MEDIA
        if stats is None:
            return CallMedia(config.codec, config.direction, srtp=self.srtp, cipher=self.cipher)
        return CallMedia(
            config.codec, config.direction, stats.mos, stats.loss, stats.jitter_ms, stats.rtt_ms, self.srtp, self.cipher,
            stats.remote_mos,
        )


_NO_MEDIA: Final = CallMedia()
_wall = lru_cache(256)(wall)  # each view of a call names its moments again
