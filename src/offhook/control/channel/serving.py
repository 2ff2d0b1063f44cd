"""asyncio's two ends of the private way to the phone; see the package's own words."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from offhook.control.channel.pipe_serving import Listener, has_gone, is_same_user, open_stream
else:
    from offhook.control.channel.unix_serving import Listener, has_gone, is_same_user, open_stream

__all__ = ["Listener", "has_gone", "is_same_user", "open_stream"]
