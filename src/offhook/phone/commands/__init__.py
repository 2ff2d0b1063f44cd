"""THE list of commands. One frozen struct each; every surface is a translation of this list.

Each class names its operation (`Dial` is "dial", `SetVolume` is "set_volume") and says what it answers: `result` is the type
of the value in the Accepted that `Phone.execute` returns. A command that cannot be done raises a CommandError and changes
nothing. A `call` is an id, or "active", "ringing", "last" or "" (the current call as STATUS sees it); see `Phone`.
"""

from __future__ import annotations

from offhook.phone.commands.base import Accepted, Command, Scope
from offhook.phone.commands.calls import (
    AcceptTransfer,
    Answer,
    CallStats,
    Decide,
    Dial,
    GetCall,
    Hangup,
    HangupAll,
    Hold,
    ListCalls,
    Mute,
    Redirect,
    Reject,
    RejectTransfer,
    Resume,
    SendDtmf,
    SendInfo,
    SendMessage,
    ToggleHold,
    ToggleMute,
    Transfer,
    TransferAttended,
    Unmute,
)
from offhook.phone.commands.people import (
    AddContact,
    CreateWatch,
    DeleteWatch,
    GetContact,
    ImportContacts,
    ListContacts,
    ListWatches,
    Pickup,
    RemoveContact,
    UpdateContact,
)
from offhook.phone.commands.sound import (
    CloseAudio,
    CreateConference,
    EndConference,
    GetAudio,
    JoinConference,
    LeaveConference,
    ListAudioStreams,
    ListConferences,
    ListDevices,
    Loopback,
    MeterAudio,
    MuteMember,
    OpenAudio,
    PausePlay,
    PauseRecord,
    Play,
    Record,
    SetDevice,
    SetMicVolume,
    SetVoice,
    SetVolume,
    StopAudioStream,
    StopPlay,
    StopRecord,
    StreamAudio,
    TestDevice,
    UnmuteMember,
    VolumeDown,
    VolumeUp,
)
from offhook.phone.commands.system import (
    AddAccount,
    Drain,
    GetSnapshot,
    ListAccounts,
    Quit,
    RegisterAccount,
    RemoveAccount,
    SelectAccount,
    SetAutoAnswer,
    SetDnd,
    SetForwarding,
    Status,
    UnregisterAccount,
    UpdateAccount,
)

COMMANDS: tuple[type[Command], ...] = (
    Dial, Answer, Reject, Redirect, Hangup, HangupAll, Hold, Resume, ToggleHold, Mute, Unmute, ToggleMute, SendDtmf, Transfer,
    TransferAttended, AcceptTransfer, RejectTransfer, SendInfo, SendMessage, GetCall, CallStats, ListCalls, Decide, OpenAudio,
    CloseAudio, StreamAudio, StopAudioStream, ListAudioStreams,
    Play, StopPlay, PausePlay, Record, StopRecord, PauseRecord, Loopback,
    CreateConference, JoinConference, LeaveConference, MuteMember, UnmuteMember, EndConference, ListConferences,
    CreateWatch, DeleteWatch, ListWatches, Pickup,
    SetVolume, VolumeUp, VolumeDown, SetMicVolume, SetDevice, SetVoice, MeterAudio, TestDevice, ListDevices, GetAudio,
    AddAccount, UpdateAccount, RemoveAccount, RegisterAccount, UnregisterAccount, SelectAccount, ListAccounts,
    ListContacts, GetContact, AddContact, UpdateContact, RemoveContact, ImportContacts,
    SetDnd, SetForwarding, SetAutoAnswer, Status, GetSnapshot, Drain, Quit,
)  # fmt: skip
"""Every command, in the order of the documentation."""
