"""What every codec can do: an object of theirs serves one stream in one direction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Codec(Protocol):
    """Turns frames of PCM into payloads and back.

    The methods take and return bytes and never raise, whatever they are given. They are attributes that hold functions, so
    that the packet path calls C with one Python frame in between.
    """

    @property
    def name(self) -> str:
        """Return the encoding name of SDP, in capitals; with its clock rate ("L16/16000") where there are several."""
        ...

    @property
    def payload_type(self) -> int:
        """Return the static payload type (RFC 3551), -1 where it is dynamic."""
        ...

    @property
    def clock_rate(self) -> int:
        """Return the units a second of the RTP timestamp."""
        ...

    @property
    def rate(self) -> int:
        """Return the samples a second of the PCM."""
        ...

    @property
    def frame_payload(self) -> int:
        """Return the bytes that a frame of 20 ms always has, 0 where that varies: then ask `units`."""
        ...

    @property
    def remembers(self) -> bool:
        """Return whether a payload means what it means only after those before it."""
        ...

    @property
    def encode(self) -> Callable[[bytes], bytes]:
        """Return the function from PCM (whole frames) to payload; b"" is nothing that has to be sent."""
        ...

    @property
    def decode(self) -> Callable[[bytes], bytes]:
        """Return the function from payload to PCM; what `units` calls a frame becomes exactly one."""
        ...

    @property
    def units(self) -> Callable[[bytes], int]:
        """Return the function that says how long a payload is by the RTP clock, 0 for one that cannot be decoded."""
        ...

    @property
    def expect_loss(self) -> Callable[[float], object] | None:
        """Return the function to be told how much the far end loses of what is sent (0-1); None: it would not help."""
        ...

    @property
    def steer(self) -> Callable[[Codec], object] | None:
        """Return the function to be told which codec speaks in the same stream; None: nothing that is heard concerns it."""
        ...

    @property
    def ask(self) -> Callable[[float], object] | None:
        """Return the function to be told how much of what comes was lost of late (0-1), so that what is sent asks the far end
        for what gets through better; None: it cannot.
        """
        ...

    @property
    def conceal(self) -> Callable[[], bytes] | None:
        """Return the function that makes a frame up in place of one that did not come; None: others have to."""
        ...

    @property
    def recover(self) -> Callable[[bytes], bytes] | None:
        """Return the function that finds a lost frame in the payload after it, b"" if it is not there; None: never."""
        ...

    @property
    def resume(self) -> Callable[[bytes], object] | None:
        """Return the function to be told, after a loss, what is heard in its place; None: what was lost does not matter.

        It is given what was heard before, what fills the gap, and a frame of how that would go on.
        """
        ...
