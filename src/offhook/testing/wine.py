"""Is this Windows Wine? A few things it does otherwise are no fault of what is tested."""

from __future__ import annotations

import sys


def under_wine() -> bool:
    """Say whether this process is a Windows program under Wine."""
    if sys.platform != "win32":
        return False
    import ctypes

    return hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")
