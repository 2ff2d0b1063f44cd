"""How much of anything a client may use. Every number has its reason beside it."""

from __future__ import annotations

from typing import Final

MAX_BODY: Final = 64 * 1024
"""Bytes of a request's body: the longest command, a text message, has a quarter of that."""

MAX_DISCARDED: Final = 1024 * 1024
"""Bytes of a longer body that are read and thrown away: who is cut off while sending never sees why."""

MAX_DEPTH: Final = 16
"""Objects and lists inside each other; no command has more than three."""

MAX_HEAD: Final = 32 * 1024
"""Bytes of a request's headers together."""

MAX_TARGET: Final = 8 * 1024
"""Bytes of path and query (RFC 9110 4.1 recommends 8000 at least)."""

MAX_CONNECTIONS: Final = 512
"""Each costs a file descriptor that a call's sound may need."""

MAX_STREAMS: Final = 256
"""Event streams and WebSockets at once; the rest of the connections stays free for requests."""

SHARES: Final = 4
"""Into so many shares these are divided. The last one is for tokens that have less than a share: none takes it all, and no more
do those together who have not shown a token yet."""

HEAD_WITHIN: Final = 20.0
"""Seconds from a connection's first byte (or its opening) until the request is there whole."""

IDLE_SECONDS: Final = 75
"""How long a connection without a request is kept."""

UNHEARD_SECONDS: Final = 45.0
"""How long what was sent may stay unacknowledged by the client's machine (where the system can be told so)."""

AUTHENTICATE_WITHIN: Final = 10.0
"""Seconds a WebSocket may stay open without a token."""

MAX_WAIT: Final = 60.0
"""Longest wait of a request, in seconds; proxies and clients give up not much later."""

HEARTBEAT: Final = 15.0
"""Seconds of silence after which an event stream says that it lives."""

REVOKED_WITHIN: Final = 1.0
"""Seconds after which a long connection has noticed that its token was revoked."""

RETRY_MS: Final = 2000
"""What a browser waits before it comes back to an event stream."""

PING_SECONDS: Final = 20.0
"""How often a WebSocket is asked whether its client lives, and how long that may take to answer."""

MAX_KEYS: Final = 10_000
"""Idempotency keys remembered; the oldest make room."""

KEY_SECONDS: Final = 24 * 3600.0
"""How long an Idempotency-Key is remembered."""

KEY_BYTES: Final = 16 * 1024 * 1024
"""Of what is written down of them together; an answer has some hundred. The oldest make room."""

MAX_KEY: Final = 255
"""Characters of an Idempotency-Key."""

MAX_REQUEST_ID: Final = 64
"""Characters of an X-Request-Id that are kept."""
