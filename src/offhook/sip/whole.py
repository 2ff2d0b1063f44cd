"""What has parts that refer to it weakly."""

from __future__ import annotations


class Whole:
    """What has parts. Plain Python even where the rest is compiled: a compiled class takes no weak references by itself."""
