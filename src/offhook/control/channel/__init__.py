r"""The private way to the phone for programs of the same user: a Unix socket, on Windows a named pipe.

`connect` is for clients that block, and quick to import; `serving` has what asyncio needs. An address is the socket's path; on
Windows a pipe's name, `\\.\pipe\NAME`, or any other text, which means the pipe of that name.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from offhook.control.channel.pipe import Channel, connect
else:
    from offhook.control.channel.unix import Channel, connect

__all__ = ["Channel", "connect"]
