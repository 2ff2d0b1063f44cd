"""What the packet engine plays from, records to and speaks through: three protocols of 20 ms frames.

A frame is 20 ms of mono signed 16-bit little-endian PCM at a rate that is known beside it: 320 bytes at 8 kHz. Where there is
nothing to hear it may be `SILENCE` itself, whatever the rate: to look for that costs one comparison, and `solid` makes samples
of it. None of these methods blocks: whoever implements one over a disk or a device keeps a thread of its own behind it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

from offhook.media.messages import CardReport, DeviceKind, DevicesListed
from offhook.media.messages.card import VoiceProcessing

SAMPLE_RATE = 8000  # of the telephone network, and of everything that does not say another
FRAME_MS = 20
FRAMES_A_SECOND = 1000 // FRAME_MS
FRAME_SAMPLES = SAMPLE_RATE // FRAMES_A_SECOND
FRAME_BYTES = 2 * FRAME_SAMPLES
SILENCE = bytes(FRAME_BYTES)


def frame_bytes(rate: int) -> int:
    """Return the length of a frame at a rate (Hz)."""
    return 2 * (rate // FRAMES_A_SECOND)


@lru_cache
def silence(rate: int) -> bytes:
    """Return a frame of silence as samples of this rate; at 8 kHz it is `SILENCE` itself."""
    return SILENCE if rate == SAMPLE_RATE else bytes(frame_bytes(rate))


def solid(frame: bytes, rate: int) -> bytes:
    """Return the frame with samples of this rate also where it is only `SILENCE`."""
    return silence(rate) if frame is SILENCE else frame


class Source(Protocol):
    """Something to play."""

    def read(self) -> bytes | None:
        """Return the next frame (the last one is padded with silence), or None at the end and ever after."""
        ...

    def close(self) -> None:
        """Let go of file and thread; harmless when repeated. Reading afterwards gives None."""
        ...


class Recorder(Protocol):
    """A recording of both sides of a call. A thread of its own opens the file, writes and completes it."""

    def write(self, near: bytes, far: bytes) -> None:
        """Take one frame of each side (`near` is us, `far` the other end). Never blocks, never raises: see `error`."""
        ...

    def finish(self) -> None:
        """Have what is left written and the file completed; harmless when repeated. `is_complete` says when that is done."""
        ...

    def close(self) -> None:
        """Do that and wait for it, for two seconds at most."""
        ...

    @property
    def error(self) -> str:
        """Return why recording failed, or "" while all is well. What was written until then stays."""
        ...

    @property
    def is_open(self) -> bool:
        """Return whether the file has been made."""
        ...

    @property
    def is_complete(self) -> bool:
        """Return whether nothing more will happen to the file."""
        ...

    @property
    def size(self) -> int:
        """Return the file's length in bytes, once it is complete."""
        ...


class SoundCard(Protocol):
    """Loudspeaker, microphone and the ring device, behind one object that lives as long as the engine."""

    @property
    def rate(self) -> int:
        """Return the rate of all its frames, in and out (Hz)."""
        ...

    def capture(self) -> bytes:
        """Return one frame from the microphone; silence when there is none."""
        ...

    def play(self, frame: bytes) -> None:
        """Queue one frame for the loudspeaker; dropped when the device has fallen behind."""
        ...

    def ring(self, frame: bytes) -> None:
        """Queue one frame for the ring device (the loudspeaker unless another was selected)."""
        ...

    def select(self, kind: DeviceKind, device_id: str) -> None:
        """Use this device from now on ("" is the system's default); what goes wrong comes out of `poll`."""
        ...

    def process(self, wanted: VoiceProcessing) -> None:
        """Clean the microphone in these ways from now on; what is missing for it comes out of `poll`."""
        ...

    def devices(self) -> DevicesListed:
        """Return the devices there are now (re-enumerates, may take tens of milliseconds) and those selected."""
        ...

    def poll(self) -> CardReport | None:
        """Return the next thing to report, or None."""
        ...

    def close(self) -> None:
        """Close all devices; harmless when repeated."""
        ...
