"""What the `value` of an answer to a command holds, and which commands take their time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from offhook.media.messages import DeviceInfo
from offhook.phone import commands as c
from offhook.phone.model import (
    AccountView,
    AudioStreamView,
    AudioView,
    CallView,
    ConferenceView,
    Contact,
    ImportedView,
    PlaybackView,
    RecordingView,
    Snapshot,
    StatsView,
    StatusView,
    TapView,
    WatchView,
)


@dataclass(frozen=True, slots=True)
class PlaybackAnswer:
    """The playback that begins."""

    playback: str


@dataclass(frozen=True, slots=True)
class RecordingAnswer:
    """The recording, and the file on the phone's machine."""

    recording: str
    file: str


@dataclass(frozen=True, slots=True)
class MessageAnswer:
    """The text that is on its way."""

    message: str


@dataclass(frozen=True, slots=True)
class EndedAnswer:
    """How many calls were ended."""

    ended: int


@dataclass(frozen=True, slots=True)
class AudioAnswer:
    """The audio link."""

    audio: str


VALUES: Final[Mapping[type[c.Command], Any]] = {
    c.HangupAll: EndedAnswer,
    c.GetCall: CallView,
    c.CallStats: StatsView,
    c.ListCalls: tuple[CallView, ...],
    c.OpenAudio: AudioAnswer,
    c.StreamAudio: AudioStreamView,
    c.ListAudioStreams: tuple[AudioStreamView, ...],
    c.CreateConference: ConferenceView,
    c.JoinConference: ConferenceView,
    c.LeaveConference: ConferenceView,
    c.MuteMember: ConferenceView,
    c.UnmuteMember: ConferenceView,
    c.EndConference: ConferenceView,
    c.ListConferences: tuple[ConferenceView, ...],
    c.CreateWatch: WatchView,
    c.DeleteWatch: WatchView,
    c.ListWatches: tuple[WatchView, ...],
    c.SendMessage: MessageAnswer,
    c.Play: PlaybackAnswer,
    c.Record: RecordingAnswer,
    c.StopRecord: RecordingAnswer,
    c.TagCall: CallView,
    c.ListPlaybacks: tuple[PlaybackView, ...],
    c.ListRecordings: tuple[RecordingView, ...],
    c.Tap: TapView,
    c.ListTaps: tuple[TapView, ...],
    c.ToggleMute: AudioView,
    c.SetVolume: AudioView,
    c.VolumeUp: AudioView,
    c.VolumeDown: AudioView,
    c.SetMicVolume: AudioView,
    c.SetDevice: AudioView,
    c.SetVoice: AudioView,
    c.ListDevices: tuple[DeviceInfo, ...],
    c.GetAudio: AudioView,
    c.AddAccount: AccountView,
    c.RegisterAccount: AccountView,
    c.UnregisterAccount: AccountView,
    c.SelectAccount: AccountView,
    c.UpdateAccount: AccountView,
    c.ListAccounts: tuple[AccountView, ...],
    c.ListContacts: tuple[Contact, ...],
    c.GetContact: Contact,
    c.AddContact: Contact,
    c.UpdateContact: Contact,
    c.ImportContacts: ImportedView,
    c.Status: StatusView,
    c.GetSnapshot: Snapshot,
    c.Mute: AudioView | None,
    c.Unmute: AudioView | None,
}
"""The type of `value` in the answer to a command; it is null for all others."""

PENDING: Final[frozenset[type[c.Command]]] = frozenset({
    c.Dial, c.Answer, c.Hold, c.Resume, c.ToggleHold, c.SetCodecs, c.SendDtmf, c.Transfer, c.TransferAttended, c.AcceptTransfer,
    c.SendInfo, c.SendMessage, c.Pickup, c.Play, c.StreamAudio, c.TestDevice, c.Quit,
})  # fmt: skip
"""Commands that may need the far end, or time: their answer names an operation unless all is done already."""
