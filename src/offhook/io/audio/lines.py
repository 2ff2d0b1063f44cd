"""One device in use: opened when wanted, exchanged without a gap, noticed when it dies, brought back when it returns.

All of this happens on the sound card's own thread. A new device is opened while the old one still plays, and takes over when it
really runs; only then the old one fades out and is closed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from offhook.errors import SetupError
from offhook.io.audio.backend import BackendError, OpenDevice, Pull, Push
from offhook.io.threads import begin
from offhook.media.messages import DeviceFailed, DeviceKind, DeviceRecovered

# PulseAudio calls back once or twice at the start and then not for two seconds: only after some calls is it running.
SETTLED_CALLS: Final = 4
START_LIMIT: Final = 5.0  # seconds until then, and those a library may keep the card's thread waiting
LATER_CALLBACK: Final = 1.0  # seconds without a callback: the library may still say "running", the device is gone
RETRY_FIRST, RETRY_MOST = 1.0, 5.0
CLOSE_WAIT: Final = 0.5  # seconds
FADED: Final = 0.3  # seconds until the fade has left the device's own buffer
UNUSED: Final = 120.0  # seconds; then the microphone's light goes out


class End(Protocol):
    """What a device is connected to, and what it counts."""

    @property
    def ahead_ms(self) -> int: ...
    @property
    def underruns(self) -> int: ...
    @property
    def overruns(self) -> int: ...


@dataclass(slots=True)
class Opened:
    """A device that was opened; its callbacks set `heard` and `calls`."""

    end: End
    opened_at: float
    device: OpenDevice | None = None
    heard: float = 0.0
    calls: int = 0

    @property
    def latency_ms(self) -> int:
        """Return how long sound takes through the device's buffers and ours, as far as it is known."""
        return self.end.ahead_ms + (round(1000 * self.device.latency) if self.device is not None else 0)

    def close(self) -> None:
        """Close the device. A library may wait for a dead sound server for ever; then only a thread is lost."""
        device, self.device = self.device, None
        if device is None:
            return
        try:
            begin(device.close, "offhook-sound-close").join(CLOSE_WAIT)
        except SetupError:
            device.close()


@dataclass(frozen=True, slots=True)
class Choice:
    """What a line should use: the selected device, and where that is "" the one that is the system's default now."""

    selected: str
    default: str = ""


class Exchange(Protocol):
    """What a line needs from its card."""

    def open(self, line: Line, selected: str) -> Opened:
        """Open a device, not to be heard yet. Raises BackendError."""
        ...

    def take(self, line: Line, opened: Opened) -> None:
        """Let it be heard from now on."""
        ...

    def leave(self, line: Line, opened: Opened) -> None:
        """Let it be heard no more, in a moment."""
        ...

    def look_again(self) -> None:
        """Look which devices there are before the next `tend`."""
        ...


class Line:
    """One of the three kinds. The tick sets `wanted`, `used` and `selected`, everything else is done by `tend`."""

    def __init__(self, kind: DeviceKind, card: Exchange, report: Callable[[DeviceFailed | DeviceRecovered], None]) -> None:
        self.kind: DeviceKind = kind
        self.selected = ""
        self.wanted = False
        self.used = 0  # frames
        self.current: Opened | None = None
        self.failed = False
        self._card = card
        self._report = report
        self._target: Choice | None = None
        self._next: Opened | None = None
        self._left: list[tuple[float, Opened]] = []
        self._suspect: Opened | None = None
        self._retry_at = 0.0
        self._retry_after = RETRY_FIRST
        self._used_before, self._used_at = -1, 0.0

    @property
    def busy(self) -> bool:
        """Return whether something is under way that should not wait."""
        return self._next is not None or bool(self._left)

    def tend(self, now: float, choice: Choice) -> None:
        """Do what is due."""
        self._close_left(now)
        if self._unused(now) or (self.kind == "ring" and not choice.selected):
            self.shut()
            self.wanted = self.failed = False
            self._target = None
            return
        if choice != self._target:
            self._turn_to(choice, now)
        if self._next is not None:
            self._wait_for_next(self._next, now)
        elif self.current is None:
            if now >= self._retry_at:
                self._try_open(choice, now)
        else:
            self._look_after(self.current, now)

    def shut(self) -> None:
        """Close whatever is open."""
        for _, opened in self._left:
            opened.close()
        self._left.clear()
        for found in (self._next, self.current):
            if found is not None:
                found.close()
        self._next = self.current = None

    def died(self, now: float, reason: str) -> None:
        """Report it once, and try again later."""
        self.shut()
        if not self.failed:
            self.failed = True
            self._report(DeviceFailed(self.kind, self.selected, reason))
        self._retry_at = now + self._retry_after
        self._retry_after = min(RETRY_MOST, 2 * self._retry_after)

    def hangs(self, now: float) -> None:
        """Report that nothing is heard while the library keeps the card's thread, which would notice it otherwise.

        Called by the tick. Nothing else is done: whether the device lives is seen when the library comes back.
        """
        silent = self.current is None or now - self.current.heard > LATER_CALLBACK
        if self.wanted and silent and not self.failed:
            self.failed = True
            self._report(DeviceFailed(self.kind, self.selected, "the sound system does not answer"))

    def _unused(self, now: float) -> bool:
        if self.used != self._used_before:
            self._used_before, self._used_at = self.used, now
        return now - self._used_at > UNUSED

    def _turn_to(self, choice: Choice, now: float) -> None:
        before, self._target = self._target, choice
        if before is not None and before.selected != choice.selected:
            self.failed = False  # where only the default has moved, what was reported as failed recovers by that
        self._retry_at, self._retry_after = now, RETRY_FIRST
        if self._next is not None:
            self._next.close()
            self._next = None
        if self.current is None:
            return
        try:
            self._next = self._card.open(self, choice.selected)
        except BackendError:
            # Perhaps both are one device that serves only one at a time. And who chose another does not want the old one.
            self.shut()

    def _wait_for_next(self, coming: Opened, now: float) -> None:
        if coming.calls >= SETTLED_CALLS:
            if self.current is not None:
                self._card.leave(self, self.current)
                self._left.append((now + FADED, self.current))
            self.current, self._next = coming, None
            self._card.take(self, coming)
        elif now - coming.opened_at > START_LIMIT:
            self.died(now, "the device does not start")

    def _try_open(self, choice: Choice, now: float) -> None:
        try:
            self.current = self._card.open(self, choice.selected)
        except BackendError as problem:
            self.died(now, str(problem))
            return
        self._card.take(self, self.current)

    def _look_after(self, current: Opened, now: float) -> None:
        if current.calls >= SETTLED_CALLS:
            if now - current.heard <= LATER_CALLBACK:
                self._suspect = None
                if self.failed:
                    self.failed, self._retry_after = False, RETRY_FIRST
                    self._report(DeviceRecovered(self.kind, self.selected))
            elif self._suspect is not current:
                # A sound server that moves a stream to another default device is silent meanwhile, too.
                self._suspect = current
                self._card.look_again()
            else:
                self.died(now, "the device has stopped")
        elif now - current.opened_at > START_LIMIT:
            self.died(now, "the device does not start")

    def _close_left(self, now: float) -> None:
        for entry in tuple(self._left):
            if now >= entry[0]:
                self._left.remove(entry)
                entry[1].close()


def counting(opened: Opened, pull: Pull, clock: Callable[[], float]) -> Pull:
    """Return `pull`, noting that the device asks."""

    def counted(samples: int) -> bytes:
        opened.heard = clock()
        opened.calls += 1
        return pull(samples)

    return counted


def counting_push(opened: Opened, push: Push, clock: Callable[[], float]) -> Push:
    """Return `push`, noting that the device brings sound."""

    def counted(samples: bytes) -> None:
        opened.heard = clock()
        opened.calls += 1
        push(samples)

    return counted
