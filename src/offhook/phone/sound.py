"""Sound: volumes, mute, and the signals the person at the phone hears."""

from __future__ import annotations

from typing import Final

from offhook.errors import InvalidArgument
from offhook.media.messages import (
    LocalToneKind,
    PlayLocalTone,
    SetLevels,
    SetLoopback,
    SetStreamMute,
)
from offhook.phone.call import CONNECTED, Call
from offhook.phone.commands import (
    Accepted,
    Loopback,
    Mute,
    ToggleMute,
    Unmute,
)
from offhook.phone.desk import Desk
from offhook.phone.devices import Devices
from offhook.phone.events import (
    AudioChanged,
    CallMuted,
    CallUnmuted,
)
from offhook.phone.model import CallState

STEP: Final = 10
"""Points of volume in one step of VolumeUp and VolumeDown."""
BUSY_FOR: Final = 3.0
"""Seconds of busy tone after a call that was refused as busy."""
MAX_STEPS: Final = 10
"""Most steps in one command: from one end to the other."""


def percent(name: str, value: int) -> int:
    """Return a volume 0-100, or refuse."""
    if not 0 <= value <= 100:
        raise InvalidArgument.field(name, f"0-100, not {value}")
    return value


_RINGING: Final = frozenset({CallState.RINGING})
_ACTIVE: Final = frozenset({CallState.ACTIVE})


class Sound:
    """All that is heard."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._tone: LocalToneKind = "none"
        self._busy_until = 0.0
        self.devices = Devices(desk)

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

    def loopback(self, command: Loopback) -> Accepted:
        """Echo, or not."""
        call = self.desk.find_connected(command.call)
        self.desk.media(SetLoopback(call.id, command.enabled))
        return Accepted(call=call.id)

    # --- what the person hears besides the call

    def call_closed(self, call: Call) -> None:
        """Let the person hear that an outgoing call met a busy line."""
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
        if desk.rings():
            return "waiting" if desk.any_in(CONNECTED) else "ring"
        if not desk.any_in(_ACTIVE) and (desk.any_in(_RINGING) or desk.any_of(CallState.EARLY, _is_silent)):
            return "ringback"
        return "none"


def _is_silent(call: Call) -> bool:
    """Whether a call rings of which nothing is heard, though its far end has said where its sound would come from.

    RFC 3960 3.2: after 180 the ringing is ours to make, as long as no packets come. Mobile networks agree upon the sound (183)
    long before there is any.
    """
    return call.ringing is not None and not call.media_seen
