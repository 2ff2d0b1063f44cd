"""Audio links: which program hears and speaks in which call. The sound itself never comes here."""

from __future__ import annotations

from typing import Final, get_args

from offhook.errors import InvalidArgument, InvalidState, NotFound
from offhook.media import messages as media
from offhook.phone.call import Call
from offhook.phone.commands import Accepted, CloseAudio, OpenAudio
from offhook.phone.desk import Desk
from offhook.phone.events import AudioCleared, AudioMarkReached, AudioOverrun, AudioUnderrun

LINKS_LIMIT: Final = 8
"""Links of one call: a bot, a monitor, a transcriber and then some; each costs a little in every frame."""


class Audio:
    """The links there are. `links` gives the call of each."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.links: dict[media.AudioId, str] = {}
        self._numbers = 0

    def open(self, command: OpenAudio) -> Accepted:
        """Open a link. The call need not have been answered: then it hears from the first moment on, and can prepare."""
        call = self.desk.find(command.call)
        if command.rate not in get_args(media.AudioRate):
            raise InvalidArgument.field("rate", "8000, 16000, 24000 or 48000 Hz")
        if not (command.hear or command.speak):
            raise InvalidArgument.field("hear", "hear, speak, or both")
        if sum(owner == call.id for owner in self.links.values()) >= LINKS_LIMIT:
            raise InvalidState(f"call {call.id} has {LINKS_LIMIT} audio links already")
        self._numbers += 1
        audio = f"aud_{self._numbers}"
        self.links[audio] = call.id
        self.desk.media(media.OpenAudio(call.id, audio, command.rate, command.hear, command.speak, command.near))
        return Accepted(call=call.id, value={"audio": audio})

    def close(self, command: CloseAudio) -> Accepted:
        """Close a link."""
        call = self.links.pop(command.audio, "")
        if not call:
            raise NotFound(f"there is no audio link {command.audio!r}")
        self.desk.media(media.CloseAudio(call, command.audio))
        return Accepted(call=call)

    def call_closed(self, call: Call) -> None:
        """Close the links of a call. Most have ended with its stream; but a call may never have had one."""
        for audio in [audio for audio, owner in self.links.items() if owner == call.id]:
            del self.links[audio]
            self.desk.media(media.CloseAudio(call.id, audio))

    def lost(self, calls: tuple[str, ...]) -> None:
        """Forget the links of calls whose media engine has died: it was started again and knows of none."""
        for audio in [audio for audio, owner in self.links.items() if owner in calls]:
            del self.links[audio]

    # --- reports

    def closed(self, report: media.AudioClosed) -> None:
        """A link is gone."""
        self.links.pop(report.audio, None)

    def mark_reached(self, report: media.AudioMarkReached, call: Call) -> None:
        """What was written before the mark has been played."""
        self.desk.emit(
            AudioMarkReached(call=call.view(), audio=report.audio, name=report.name, played_ms=report.played_ms)
        )

    def cleared(self, report: media.AudioCleared, call: Call) -> None:
        """A link was silenced."""
        self.desk.emit(
            AudioCleared(
                call=call.view(),
                audio=report.audio,
                played_ms=report.played_ms,
                dropped_ms=report.dropped_ms,
                marks=report.marks,
            )
        )

    def underrun(self, report: media.AudioUnderrun, call: Call) -> None:
        """A link has nothing more to say."""
        self.desk.emit(AudioUnderrun(call=call.view(), audio=report.audio, played_ms=report.played_ms))

    def overrun(self, report: media.AudioOverrun, call: Call) -> None:
        """A link lost something."""
        self.desk.emit(
            AudioOverrun(
                call=call.view(),
                audio=report.audio,
                direction=report.direction,
                dropped_ms=report.dropped_ms,
                marks=report.marks,
            )
        )
