"""What an older form asks for, step by step: the phone's commands, and the few things that are none. Pure.

Everything is read before anything runs; then the first refusal raises and ends the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, assert_never

from offhook.control.backend import Execute
from offhook.media.messages import DeviceInfo
from offhook.phone.commands import Command, GetAudio, ListAccounts, SelectAccount, SetMicVolume, SetVolume, Status
from offhook.phone.model import AccountView, AudioView, StatusView


@dataclass(frozen=True, slots=True)
class Nudge:
    """Raise or lower the loudspeaker or the microphone by `points`, kept within 0-100."""

    what: Literal["speaker", "mic"]
    points: int


@dataclass(frozen=True, slots=True)
class SpeakerMute:
    """Silence the loudspeaker, or bring its former volume back."""

    muted: bool


@dataclass(frozen=True, slots=True)
class Window:
    """Something only a window could do; accepted, and nothing happens."""

    action: Literal["show", "hide", "minimize"]


Step: TypeAlias = Command | Nudge | SpeakerMute | Window


@dataclass(slots=True)
class SpeakerMemory:
    """The loudspeaker's volume before it was silenced: the one thing an older form has to remember."""

    volume: int | None = None


def run_steps(execute: Execute, steps: Sequence[Step], memory: SpeakerMemory | None = None) -> str:
    """Carry out `steps` in order and return what they answer, one line each. The first refusal raises and ends the row."""
    memory = memory if memory is not None else SpeakerMemory()
    answers = [_run(execute, step, memory) for step in steps]
    return "\n".join(answer for answer in answers if answer)


def _run(execute: Execute, step: Step, memory: SpeakerMemory) -> str:
    match step:
        case SelectAccount():
            return _text(execute(_numbered(execute, step)).value)
        case Command():
            return _text(execute(step).value)
        case Nudge():
            audio = audio_view(execute)
            if step.what == "mic":
                execute(SetMicVolume(volume=_clamp(audio.mic_volume + step.points)))
            else:
                execute(SetVolume(volume=_clamp(audio.output_volume + step.points)))
        case SpeakerMute():
            _mute_speaker(execute, step.muted, memory)
        case Window():
            pass
        case _:
            assert_never(step)
    return ""


def _numbered(execute: Execute, step: SelectAccount) -> SelectAccount:
    """Return the step with the account's id where it says a number, as old scripts do: the first account is 1."""
    name = step.account
    if not (name.isascii() and name.isdecimal()):
        return step
    views: tuple[AccountView, ...] = execute(ListAccounts()).value
    if any(name in (view.id, view.label, view.uri[4:].partition("@")[0]) for view in views) or not 0 < int(name) <= len(views):
        return step
    return SelectAccount(account=views[int(name) - 1].id)


def _mute_speaker(execute: Execute, muted: bool, memory: SpeakerMemory) -> None:
    if muted:
        before = audio_view(execute).output_volume
        execute(SetVolume(volume=0))
        memory.volume = before or memory.volume  # silencing twice keeps the first volume
    elif audio_view(execute).output_volume == 0:
        execute(SetVolume(volume=100 if memory.volume is None else memory.volume))


def _text(value: object) -> str:
    """What an older form shows of an answer; most have none."""
    match value:
        case StatusView():
            return value.name
        case tuple():  # the one list that an older form asks for
            return device_lines(value) or "no sound devices"
        case _:
            return ""


def device_lines(devices: Sequence[DeviceInfo]) -> str:
    return "\n".join(f"{at.kind} {at.index}: {at.name} [{at.id}]{' (default)' if at.default else ''}" for at in devices)


def _clamp(points: int) -> int:
    return min(100, max(0, points))


def audio_view(execute: Execute) -> AudioView:
    view = execute(GetAudio()).value
    assert isinstance(view, AudioView)
    return view


def status_view(execute: Execute) -> StatusView:
    view = execute(Status()).value
    assert isinstance(view, StatusView)
    return view


def remote_of(status: StatusView) -> str:
    """The far end of the current call; "" when idle, and also while status 4 lingers: that call is over."""
    return status.remote if status.code in (1, 2, 3) else ""
