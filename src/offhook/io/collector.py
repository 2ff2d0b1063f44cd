"""Python's cycle collector, kept from pausing a phone in the middle of its work."""

from __future__ import annotations

import gc


def keep_collector_quiet() -> None:
    """Make full collections rare: one takes 6 ms with a thousand streams, and frames, packets and calls need few.

    What a call leaves behind in cycles is found young: 10,000 objects are some hundred calls' worth, and half a millisecond.
    """
    gc.freeze()
    gc.enable()
    gc.set_threshold(10_000, 20, 50)
