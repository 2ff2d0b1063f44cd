"""Where the far end sends from: symmetric RTP (RFC 4961), but not for every stranger."""

from __future__ import annotations

from typing import Final

from offhook.media.address import Address, reachable

RELATCH_S: Final = 1.0  # the peer must be silent so long before packets from elsewhere are believed
PROOF: Final = 3  # packets in sequence from an address that was not agreed on; 60 ms that only a far end behind a NAT loses


class Latch:
    """Which addresses are believed to be the far end's. `heard_from` is the one that is, None before the first packet.

    Who sends from the agreed address is the peer at once. Somebody else (a far end behind a NAT) is after PROOF packets in
    sequence, and only as long as there is no peer, or none that was heard within a second.
    """

    __slots__ = ("_expected", "_left", "_moved", "_proof", "_stranger", "_told", "_trusting", "heard_from")

    def __init__(self) -> None:
        self.heard_from: Address | None = None
        self._told: Address = ("", 0)  # where the far end said last that it is
        self._expected: Address = ("", 0)  # the same, without the times when it held by an address that is none
        self._left: Address | None = None  # whence it was heard before it moved, and when that was
        self._moved = 0.0
        self._trusting = False
        self._stranger: tuple[Address, int, int] = (("", 0), -1, -1)
        self._proof = 0

    def expect(self, source: Address, trusting: bool, now: float) -> None:
        """Be told where the far end says it is; `trusting`: what comes is known to be the far end's, wherever from."""
        self._trusting = trusting
        if source == self._told:
            return
        self._told = source
        if reachable(source):
            if reachable(self._expected) and source != self._expected:
                self._left, self._moved = self.heard_from, now
            self._expected = source
        self.heard_from = None  # whoever was heard before is believed no longer

    def hears(self, source: Address, ssrc: int, sequence: int, heard: float, now: float) -> bool:
        """Say whether to listen to a packet from somewhere else than `heard_from`, which was heard last at `heard`.

        What the far end sent before it moved is still under way, and says nothing of where it is now: sound of ours that
        followed it would go to whom we have been taken away from, until something comes from the new place. It is heard only
        where it is known to be the far end's, and `heard_from` stays.
        """
        if source == self._left and source != self._expected and now - self._moved < RELATCH_S:
            return self._trusting
        if not self._trusting and source != self._expected:
            busy = self.heard_from is not None and now - heard < RELATCH_S
            if busy or not self._proves(source, ssrc, sequence):
                return False
        self.heard_from = source
        return True

    def _proves(self, source: Address, ssrc: int, sequence: int) -> bool:
        """Count the packets in sequence that come from a source nobody has named."""
        stranger = source, ssrc, sequence
        self._proof = self._proof + 1 if stranger == self._stranger else 1
        self._stranger = source, ssrc, (sequence + 1) & 0xFFFF
        return self._proof >= PROOF
