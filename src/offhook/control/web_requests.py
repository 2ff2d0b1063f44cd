"""Does on the web what the phone wants done there: sounds to fetch, programs to connect to. Read when the first one comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias, assert_never

from offhook.control.backend import Backend
from offhook.control.operations import Operations
from offhook.control.outgoing import OutgoingUrls
from offhook.io.sounds import WebSounds
from offhook.phone.web_requests import (
    ConnectStream,
    DropSound,
    FetchSound,
    LeaveStream,
    SoundFetched,
    StreamConnected,
    StreamOver,
    WebRequest,
)

if TYPE_CHECKING:
    from offhook.control.audio.bots import Bots

Outcome: TypeAlias = StreamConnected | StreamOver | SoundFetched


class WebRequests:
    """The web requests of one phone. `tell` is how it learns what became of them; never from inside `do`."""

    def __init__(self, backend: Backend, tell: Callable[[Outcome], None], urls: OutgoingUrls) -> None:
        self._backend = backend
        self._tell = tell
        self._urls = urls
        self._sounds = WebSounds(urls.parse, tell)
        self._bots: Bots | None = None

    def do(self, wanted: WebRequest) -> None:
        """Begin it, or end it."""
        match wanted:
            case ConnectStream():
                self._with_bots().begin(wanted)
            case LeaveStream(stream=stream, reason=reason):
                self._with_bots().leave(stream, reason)
            case FetchSound():
                self._sounds.fetch(wanted)
            case DropSound(playback=playback):
                self._sounds.drop(playback)
            case _:
                assert_never(wanted)

    def _with_bots(self) -> Bots:
        if self._bots is None:
            from offhook.control.audio.bots import Bots  # with its WebSocket library

            self._bots = Bots(Operations(self._backend), self._urls, self._tell)
        return self._bots

    async def close(self) -> None:
        """End all of them."""
        await self._sounds.close()
        if self._bots is not None:
            await self._bots.close()
