"""Sound: volumes, mute, playing and recording, and the signals the person at the phone hears."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Final, Literal

from msgspec import structs

from offhook.errors import InvalidArgument, InvalidState, NotFound
from offhook.media.messages import (
    LocalToneKind,
    PausePlayback,
    PauseRecording,
    PlaybackDone,
    PlayLocalTone,
    RecordingDone,
    SetLevels,
    SetLoopback,
    SetStreamMute,
    StartPlayback,
    StartRecording,
    StopPlayback,
    StopRecording,
)
from offhook.media.messages import PlaybackStarted as PlaybackBegan
from offhook.media.messages import RecordingStarted as RecordingBegan
from offhook.phone.call import CONNECTED, Call
from offhook.phone.commands import (
    Accepted,
    Loopback,
    Mute,
    PausePlay,
    PauseRecord,
    Play,
    Record,
    StopPlay,
    StopRecord,
    ToggleMute,
    Unmute,
)
from offhook.phone.desk import Desk
from offhook.phone.devices import Devices
from offhook.phone.events import (
    AudioChanged,
    CallMuted,
    CallUnmuted,
    PlaybackFailed,
    PlaybackFinished,
    PlaybackStarted,
    RecordingFailed,
    RecordingFinished,
    RecordingPaused,
    RecordingResumed,
    RecordingStarted,
)
from offhook.phone.model import CallState, wall
from offhook.phone.web_requests import DropSound, FetchSound, SoundFetched

STEP: Final = 10
"""Points of volume in one step of VolumeUp and VolumeDown."""
BUSY_FOR: Final = 3.0
"""Seconds of busy tone after a call that was refused as busy."""
MAX_STEPS: Final = 10
"""Most steps in one command: from one end to the other."""
MAX_PLAY_MS: Final = 24 * 3600 * 1000
MAX_RECORD: Final = 86400
"""Seconds."""
MIN_GAIN_DB: Final = -60
MAX_GAIN_DB: Final = 20

_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")


def percent(name: str, value: int) -> int:
    """Return a volume 0-100, or refuse."""
    if not 0 <= value <= 100:
        raise InvalidArgument.field(name, f"0-100, not {value}")
    return value


def recording_name(call: Call, at: float) -> str:
    """Return `YYYYMMDD-HHMMSS-<remote>-<incoming|outgoing>-<account>-<call>.wav`, nothing in it able to leave the folder.

    The order is MicroSIP's, for programs that sort such files; the call id keeps two calls of one second apart.
    """
    remote = call.remote.uri.partition(":")[2].partition("@")[0] or call.remote.uri
    parts = (f"{wall(at):%Y%m%d-%H%M%S}", remote, call.direction, call.account, call.id)
    return "-".join(_UNSAFE.sub("_", part).strip(".")[:64] or "_" for part in parts) + ".wav"

_RINGING: Final = frozenset({CallState.RINGING})
_ACTIVE: Final = frozenset({CallState.ACTIVE})


class Sound:
    """All that is heard."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._tone: LocalToneKind = "none"
        self._busy_until = 0.0
        self.devices = Devices(desk)
        self._numbers = 0
        self._fetching: dict[str, StartPlayback] = {}  # by playback: what begins when its sound is here
        self._fetched: dict[str, str] = {}  # the call of a playback whose sound came from the web

    def start(self) -> None:
        """Tell the media engine how it is set."""
        self._levels()
        self.devices.start()

    # --- volumes and mute

    def _levels(self) -> None:
        audio = self.desk.audio
        self.desk.media(SetLevels(audio.output_volume, audio.mic_volume, audio.mic_muted))

    def changed(self, **changes: str | int | bool) -> Accepted:
        before = self.desk.audio
        self.desk.set_audio(**changes)
        if self.desk.audio != before:
            self._levels()
            self.desk.emit(AudioChanged(audio=self.desk.audio))
        return Accepted(value=self.desk.audio)

    def set_volume(self, volume: int) -> Accepted:
        """Loudspeaker."""
        return self.changed(output_volume=percent("volume", volume))

    def set_mic_volume(self, volume: int) -> Accepted:
        """Microphone."""
        return self.changed(mic_volume=percent("volume", volume))

    def step_volume(self, steps: int, sign: int) -> Accepted:
        """Loudspeaker up or down, clamped."""
        if not 1 <= steps <= MAX_STEPS:
            raise InvalidArgument.field("steps", f"1-{MAX_STEPS}, not {steps}")
        return self.changed(output_volume=min(100, max(0, self.desk.audio.output_volume + sign * steps * STEP)))

    def mute(self, command: Mute | Unmute) -> Accepted:
        """Mute or unmute one call, or the microphone for all."""
        muted = isinstance(command, Mute)
        if command.call:
            call = self.desk.find(command.call)
            self._mute_call(call, muted)
            return Accepted(call=call.id)
        return self._mute_all(muted)

    def toggle_mute(self, _command: ToggleMute) -> Accepted:
        """Mute if not muted, and the reverse."""
        return self._mute_all(not self.desk.audio.mic_muted)

    def _mute_all(self, muted: bool) -> Accepted:
        accepted = self.changed(mic_muted=muted)
        for call in list(self.desk.calls.values()):
            self._mute_call(call, muted)
        return accepted

    def _mute_call(self, call: Call, muted: bool) -> None:
        if call.muted == muted:
            return
        call.muted = muted
        if call.port:
            self.desk.media(SetStreamMute(call.id, muted))
        self.desk.emit(CallMuted(call=call.view()) if muted else CallUnmuted(call=call.view()))

    # --- playing

    def _number(self, prefix: str) -> str:
        self._numbers += 1
        return f"{prefix}_{self._numbers}"

    def play(self, command: Play) -> Accepted:
        """Play into a call."""
        call = self.desk.find_connected(command.call)
        if sum(map(bool, (command.file, command.tone, command.url))) > 1:
            raise InvalidArgument.field("file", "one of file, url and tone")
        if not 0 <= command.duration_ms <= MAX_PLAY_MS:
            raise InvalidArgument.field("duration_ms", f"0-{MAX_PLAY_MS}")
        if not MIN_GAIN_DB <= command.gain_db <= MAX_GAIN_DB:
            raise InvalidArgument.field("gain_db", f"{MIN_GAIN_DB} to {MAX_GAIN_DB} dB")
        if command.url:
            _check_url(command.url)
        frequencies = _frequencies(command.tone)
        playback = self._number("pb")
        start = StartPlayback(
            call.id,
            playback,
            "file" if command.file or command.url else "tone" if command.tone else "silence",
            command.file,
            frequencies,
            command.duration_ms,
            command.loop,
            command.gain_db,
        )
        if call.playback and not self._forgo(call, "replaced") and command.url:
            self.desk.media(StopPlayback(call.id, call.playback))
        if command.url:
            self._fetching[playback] = start
            self.desk.outbox.append(FetchSound(playback, call.id, command.url))
        else:
            self.desk.media(start)
        call.playback = playback
        operation = self.desk.begin("play", call, playback)
        return Accepted(call=call.id, operation=operation, value={"playback": playback})

    def _playing(self, name: str) -> Call:
        call = self.desk.find(name)
        if not call.playback:
            raise InvalidState(f"nothing plays into call {call.id}")
        return call

    def stop_play(self, command: StopPlay) -> Accepted:
        """Stop playing."""
        call = self._playing(command.call)
        if not self._forgo(call, "stopped"):
            self.desk.media(StopPlayback(call.id, call.playback))
        return Accepted(call=call.id)

    def pause_play(self, command: PausePlay) -> Accepted:
        """Pause, or go on."""
        call = self._playing(command.call)
        if call.playback in self._fetching:
            raise InvalidState(f"what is to play into call {call.id} is still being fetched")
        self.desk.media(PausePlayback(call.id, call.playback, command.paused))
        return Accepted(call=call.id)

    def fetched(self, item: SoundFetched) -> None:
        """A sound from the web is here, or cannot be had."""
        start = self._fetching.pop(item.playback, None)
        if start is None or item.call not in self.desk.calls:
            self.desk.outbox.append(DropSound(item.playback))
        elif item.error:
            report = PlaybackDone(item.call, item.playback, "failed", 0, item.error)
            self.playback_done(report, self.desk.calls[item.call])
        else:
            self._fetched[item.playback] = item.call
            self.desk.media(structs.replace(start, path=item.path))

    def _forgo(self, call: Call, reason: Literal["stopped", "replaced"]) -> bool:
        """Give up what is only being fetched for the call; whether there was something."""
        if self._fetching.pop(call.playback, None) is None:
            return False
        self.desk.outbox.append(DropSound(call.playback))
        self.playback_done(PlaybackDone(call.id, call.playback, reason, 0), call)
        return True

    def playback_began(self, report: PlaybackBegan, call: Call) -> None:
        """The first frame goes out."""
        self.desk.emit(PlaybackStarted(call=call.view(), playback=report.playback))

    def playback_done(self, report: PlaybackDone, call: Call) -> None:
        """A playback is over."""
        if report.playback in self._fetched:
            self._drop(report.playback)
        if call.playback == report.playback:
            call.playback = ""
        if report.reason == "failed":
            self.desk.emit(PlaybackFailed(call=call.view(), playback=report.playback, reason=report.error))
        else:
            self.desk.emit(
                PlaybackFinished(
                    call=call.view(), playback=report.playback, reason=report.reason, played_ms=report.played_ms
                )
            )
        error = "" if report.reason == "finished" else report.error or report.reason
        self.desk.finish(call, report.playback, error=error)

    def _drop(self, playback: str) -> None:
        self._fetched.pop(playback, None)
        self.desk.outbox.append(DropSound(playback))

    def loopback(self, command: Loopback) -> Accepted:
        """Echo, or not."""
        call = self.desk.find_connected(command.call)
        self.desk.media(SetLoopback(call.id, command.enabled))
        return Accepted(call=call.id)

    # --- recording

    def record(self, command: Record) -> Accepted:
        """Record a call."""
        call = self.desk.find_connected(command.call)
        if call.recording:
            raise InvalidState(f"call {call.id} is being recorded into {call.recording_file}")
        if not 0 <= command.max_seconds <= MAX_RECORD:
            raise InvalidArgument.field("max_seconds", f"0-{MAX_RECORD}")
        path = command.file or str(PurePath(self.desk.settings.recording_dir) / recording_name(call, self.desk.wall))
        call.recording, call.recording_file = self._number("rec"), path
        maximum = int(command.max_seconds * 1000)
        self.desk.media(StartRecording(call.id, call.recording, path, command.channels, maximum, command.beep))
        return Accepted(call=call.id, value={"recording": call.recording, "file": path})

    def record_by_itself(self, call: Call) -> None:
        """Record every call, where the setting says so."""
        if self.desk.settings.auto_recording:
            self.record(Record(call=call.id))

    def _recorded(self, name: str) -> Call:
        call = self.desk.find(name)
        if not call.recording:
            raise NotFound(f"call {call.id} is not being recorded")
        return call

    def stop_record(self, command: StopRecord) -> Accepted:
        """Finish the recording."""
        call = self._recorded(command.call)
        self.desk.media(StopRecording(call.id, call.recording))
        return Accepted(call=call.id, value={"recording": call.recording, "file": call.recording_file})

    def pause_record(self, command: PauseRecord) -> Accepted:
        """Pause the recording, or go on."""
        call = self._recorded(command.call)
        self.desk.media(PauseRecording(call.id, call.recording, command.paused))
        event = RecordingPaused if command.paused else RecordingResumed
        self.desk.emit(event(call=call.view(), recording=call.recording))
        return Accepted(call=call.id)

    def recording_began(self, report: RecordingBegan, call: Call) -> None:
        """The file exists."""
        self.desk.emit(RecordingStarted(call=call.view(), recording=report.recording, file=call.recording_file))

    def recording_done(self, report: RecordingDone, call: Call | None) -> None:
        """The file is complete, or broke off. The call may be over by then."""
        if call is not None and call.recording == report.recording:
            call.recording = call.recording_file = ""
        view = call.view() if call is not None else self.desk.ended.get(report.stream)
        if view is None:
            return
        if report.reason == "failed":
            self.desk.emit(
                RecordingFailed(call=view, recording=report.recording, file=report.path, reason=report.error)
            )
            return
        self.desk.emit(
            RecordingFinished(
                call=view,
                recording=report.recording,
                file=report.path,
                reason=report.reason,
                duration_ms=report.duration_ms,
            )
        )

    # --- what the person hears besides the call

    def call_closed(self, call: Call) -> None:
        """Let the person hear that an outgoing call met a busy line; forget what was fetched for it."""
        if call.playback:
            if self._fetching.pop(call.playback, None) is not None:
                self.desk.outbox.append(DropSound(call.playback))
            for playback in [playback for playback, owner in self._fetched.items() if owner == call.id]:
                self._drop(playback)
        end = call.end
        if end and end.by == "remote" and call.direction == "outgoing" and end.sip_status in (486, 600, 603):
            self._busy_until = self.desk.now + BUSY_FOR
            self.desk.timers.start(self._busy_until, lambda _now: None)

    def follow(self) -> None:
        """Play the signal that fits the calls as they are now."""
        if self.devices.testing and self.desk.calls:
            self.devices.interrupt()
        if self.devices.testing:
            return
        tone = self._fitting_tone() if self.desk.settings.local_tones else "none"
        if tone != self._tone:
            self._tone = tone
            self.desk.media(PlayLocalTone(tone))

    def _fitting_tone(self) -> LocalToneKind:
        desk = self.desk
        if not desk.calls:
            return "busy" if desk.now < self._busy_until else "none"
        if any("auto" not in call.timers for call in desk.incoming()):
            return "waiting" if desk.any_in(CONNECTED) else "ring"
        if desk.any_in(_RINGING) and not desk.any_in(_ACTIVE):
            return "ringback"
        return "none"


def _check_url(text: str) -> None:
    from offhook.phone.urls import Url  # only who plays from the web pays for it

    try:
        Url.parse(text, plain=True)
    except ValueError as error:
        raise InvalidArgument.field("url", str(error)) from None


def _frequencies(text: str) -> tuple[float, ...]:
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
