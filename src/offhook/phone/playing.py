"""Playing into calls: several at once or in turn, from files, the web, tones; and music while we hold."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import structs

from offhook.errors import InvalidArgument, InvalidState, NotFound
from offhook.media.messages import (
    AttachSound,
    PausePlayback,
    PlaybackDone,
    PlayMode,
    SetMusic,
    StartPlayback,
    StopPlayback,
)
from offhook.media.messages import PlaybackStarted as PlaybackBegan
from offhook.phone.call import LOCALLY_HELD, Call
from offhook.phone.commands import Accepted, ListPlaybacks, PausePlay, Play, StopPlay
from offhook.phone.desk import Desk
from offhook.phone.events import PlaybackFailed, PlaybackFinished, PlaybackStarted, SystemError
from offhook.phone.model import CallState, CallView, PlaybackView
from offhook.phone.web_requests import DropSound, FetchSound, SoundFetched

MAX_PLAY_MS: Final = 24 * 3600 * 1000
MIN_GAIN_DB: Final = -60
MAX_GAIN_DB: Final = 20
MOST_AT_ONCE: Final = 100
"""Playbacks of one call that play, wait or are fetched: a queue of prompts is shorter, a mistake in a loop is not."""
TONE: Final = "tone:"
"""How hold music that is a tone begins: tone:440."""


class _Playing:
    """One playback: what begins when its sound is here and its turn has come, and what is known of it."""

    __slots__ = ("begun", "fetched", "fetching", "kept", "start", "view")

    def __init__(self, start: StartPlayback, view: PlaybackView) -> None:
        self.start = start
        self.view = view
        self.fetching = view.state == "fetching"
        self.fetched = False  # its file came from the web and is to be deleted
        self.kept = not self.fetching  # it is here, and the media does not know of it yet
        self.begun = False


class Playing:
    """The playbacks there are, in the order in which they were asked for."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._numbers = 0
        self._all: dict[str, _Playing] = {}
        desk.on_stepped.append(self._follow_hold)

    def play(self, command: Play) -> Accepted:
        """Play into a call."""
        call = self.desk.find_connected(command.call)
        if sum(map(bool, (command.file, command.tone, command.url))) > 1:
            raise InvalidArgument.field("file", "one of file, url and tone")
        if not 0 <= command.duration_ms <= MAX_PLAY_MS:
            raise InvalidArgument.field("duration_ms", f"0-{MAX_PLAY_MS}")
        if not MIN_GAIN_DB <= command.gain_db <= MAX_GAIN_DB:
            raise InvalidArgument.field("gain_db", f"{MIN_GAIN_DB} to {MAX_GAIN_DB} dB")
        if command.mode not in ("replace", "queue", "mix"):
            raise InvalidArgument.field("mode", "replace, queue or mix")
        if command.url:
            _check_url(command.url)
        frequencies = frequencies_of(command.tone)
        if command.mode != "replace" and len(self._of(call)) >= MOST_AT_ONCE:
            raise InvalidState(f"call {call.id} has {MOST_AT_ONCE} playbacks already")
        self._numbers += 1
        playback = f"pb_{self._numbers}"
        start = StartPlayback(
            call.id, playback, "file" if command.file or command.url else "tone" if command.tone else "silence", command.file,
            frequencies, command.duration_ms, command.loop, command.gain_db, command.mode,
        )  # fmt: skip
        self._begin(call, start, command)
        operation = self.desk.begin("play", call, playback)
        return Accepted(call=call.id, operation=operation, value={"playback": playback})

    def play_by_itself(self, call: Call) -> None:
        """Play what whoever dialled or answered the call wants to be heard first."""
        if call.wishes.play:
            self.play(Play(call=call.id, file=call.wishes.play))

    def _begin(self, call: Call, start: StartPlayback, command: Play) -> None:
        if command.mode == "replace":
            for other in self._of(call):
                if other.fetching or other.kept:
                    self._forgo(call, other, "replaced")
                elif command.url:
                    self.desk.media(StopPlayback(call.id, other.view.id))
        shown = command.file or command.url.partition("?")[0] or command.tone
        kind, state = ("url", "fetching") if command.url else (start.kind, "waiting")
        view = PlaybackView(start.playback, call.id, kind, shown, state, command.loop, command.gain_db)  # type: ignore[arg-type]
        self._all[start.playback] = _Playing(start, view)
        if command.url:
            self.desk.outbox.append(FetchSound(start.playback, call.id, command.url))
        else:
            self._go_on(call)

    def _go_on(self, call: Call) -> None:
        """Begin with what is here; what is queued keeps its place behind sounds that are still being fetched."""
        behind = False
        for playing in self._of(call):
            if playing.fetching:
                behind = True
            elif playing.kept and not (behind and playing.start.mode == "queue"):
                playing.kept = False
                self.desk.media(playing.start)
                if playing.view.state == "paused":
                    self.desk.media(PausePlayback(call.id, playing.view.id, True))

    def _of(self, call: Call) -> list[_Playing]:
        return [playing for playing in self._all.values() if playing.view.call == call.id]

    def _chosen(self, name: str, playback: str) -> tuple[Call, list[_Playing]]:
        call = self.desk.find(name)
        chosen = self._of(call)
        if playback:
            chosen = [playing for playing in chosen if playing.view.id == playback]
            if not chosen:
                raise NotFound(f"there is no playback {playback!r} in call {call.id}")
        if not chosen:
            raise InvalidState(f"nothing plays into call {call.id}")
        return call, chosen

    def stop(self, command: StopPlay) -> Accepted:
        """Stop playing."""
        call, chosen = self._chosen(command.call, command.playback)
        for playing in reversed(chosen):  # those that wait first: none of them begins for a moment
            if playing.fetching or playing.kept:
                self._forgo(call, playing, "stopped")
            else:
                self.desk.media(StopPlayback(call.id, playing.view.id))
        self._go_on(call)
        return Accepted(call=call.id)

    def pause(self, command: PausePlay) -> Accepted:
        """Pause, or go on."""
        call, chosen = self._chosen(command.call, command.playback)
        if all(playing.fetching for playing in chosen):
            raise InvalidState(f"what is to play into call {call.id} is still being fetched")
        for playing in chosen:
            if not playing.fetching:
                going = "playing" if playing.begun else "waiting"
                playing.view = structs.replace(playing.view, state="paused" if command.paused else going)
                if not playing.kept:
                    self.desk.media(PausePlayback(call.id, playing.view.id, command.paused))
        return Accepted(call=call.id)

    def list(self, command: ListPlaybacks) -> Accepted:
        """Answer the playbacks of a call, or all."""
        call = self.desk.find(command.call).id if command.call else ""
        views = tuple(playing.view for playing in self._all.values() if call in ("", playing.view.call))
        return Accepted(call=call, value=views)

    def fetched(self, item: SoundFetched) -> None:
        """A sound from the web is here, or cannot be had."""
        playing = self._all.get(item.playback)
        if playing is None or item.call not in self.desk.calls:
            self.desk.outbox.append(DropSound(item.playback))
            return
        call = self.desk.calls[item.call]
        playing.fetching = False
        if item.error:
            self.done(PlaybackDone(item.call, item.playback, "failed", 0, item.error), call)
        else:
            playing.fetched = playing.kept = True
            playing.view = structs.replace(playing.view, state="waiting")
            # What it takes the place of has been stopped; what has begun since is not of it.
            mode: PlayMode = "mix" if playing.start.mode == "replace" else playing.start.mode
            playing.start = structs.replace(playing.start, path=item.path, mode=mode)
        self._go_on(call)

    def _forgo(self, call: Call, playing: _Playing, reason: Literal["stopped", "replaced"]) -> None:
        """Give up what the media does not know of."""
        playing.fetched = playing.fetched or playing.fetching  # what of it is here is dropped
        self.done(PlaybackDone(call.id, playing.view.id, reason, 0), call)

    def began(self, report: PlaybackBegan, call: Call) -> None:
        """The first frame goes out."""
        playing = self._all.get(report.playback)
        if playing is not None:
            playing.begun = True
            if playing.view.state == "waiting":
                playing.view = structs.replace(playing.view, state="playing")
        self.desk.emit(PlaybackStarted(call=call.view(), playback=report.playback))

    def over(self, report: PlaybackDone) -> None:
        """The media has ended a playback. The call may be over by then: how much of it was heard is told all the same."""
        call = self.desk.calls.get(report.stream)
        if call is not None:
            self.done(report, call)
        elif (view := self.desk.ended.get(report.stream)) is not None:
            self._tell(report, view)

    def done(self, report: PlaybackDone, call: Call) -> None:
        """A playback is over."""
        playing = self._all.pop(report.playback, None)
        if playing is not None and playing.fetched:
            self.desk.outbox.append(DropSound(report.playback))
        self._tell(report, call.view())
        error = "" if report.reason == "finished" else report.error or report.reason
        self.desk.finish(call, report.playback, error=error)

    def _tell(self, report: PlaybackDone, call: CallView) -> None:
        playback = report.playback
        if report.reason == "failed":
            self.desk.emit(PlaybackFailed(call=call, playback=playback, reason=report.error))
        else:
            self.desk.emit(
                PlaybackFinished(call=call, playback=playback, reason=report.reason, played_ms=report.played_ms)
            )

    def call_closed(self, call: Call) -> None:
        """Forget the call's playbacks, and what was fetched for them. The media says how much of the others was heard."""
        for playing in self._of(call):
            if playing.fetching or playing.kept:
                self._tell(PlaybackDone(call.id, playing.view.id, "closed", 0), call.view())
            if playing.fetching or playing.fetched:
                self.desk.outbox.append(DropSound(playing.view.id))
            del self._all[playing.view.id]

    # --- while we hold

    def _follow_hold(self, call: Call, before: CallState) -> None:
        """Take the call off the sound card while we hold it, and let the far end hear the music that is set."""
        held = call.state in LOCALLY_HELD
        if held == (before in LOCALLY_HELD) or call.id not in self.desk.calls or not call.is_connected:
            return
        if not call.off_card:
            self.desk.media(AttachSound(call.id, not held))
        account = self.desk.accounts.get(call.account)
        text = (account.settings.hold_music if account else "") or self.desk.settings.hold_music
        if not text:
            return
        if not held:
            self.desk.media(SetMusic(call.id, "none"))
            return
        try:
            self.desk.media(music_of(call.id, text))
        except InvalidArgument as error:
            self.desk.emit(SystemError(reason=f"hold_music: {error.detail}"))


def music_of(call: str, text: str) -> SetMusic:
    """Return the music that a setting names: a file, or tone:440. Raises InvalidArgument for a tone that is none."""
    if text.startswith(TONE):
        return SetMusic(call, "tone", frequencies=frequencies_of(text.removeprefix(TONE)))
    return SetMusic(call, "file", path=text)


def _check_url(text: str) -> None:
    from offhook.phone.urls import Url  # only who plays from the web pays for it

    try:
        Url.parse(text, plain=True)
    except ValueError as error:
        raise InvalidArgument.field("url", str(error)) from None


def frequencies_of(text: str) -> tuple[float, ...]:
    """Return the frequencies of "440" or "350+440"; refuse what cannot be heard in a call."""
    if not text:
        return ()
    try:
        frequencies = tuple(float(part) for part in text.split("+"))
    except ValueError:
        frequencies = ()
    if not 1 <= len(frequencies) <= 4 or not all(50 <= f <= 3800 for f in frequencies):
        raise InvalidArgument.field("tone", "1-4 frequencies of 50-3800 Hz, such as 440 or 350+440")
    return frequencies
