"""Programs that want to be called: the phone connects to their WebSocket and carries a call's sound there."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Final, TypeAlias

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.frames import CloseCode
from websockets.typing import Subprotocol

from offhook import __version__
from offhook.control.access import Client
from offhook.control.audio.conversation import Conversation
from offhook.control.audio.dialects import MAX_MESSAGE, Dialect, MediaStreams, Message, Native, Track
from offhook.control.operations import Operations
from offhook.control.outgoing import OutgoingUrls
from offhook.errors import CommandError
from offhook.io.web import ENDED_EARLY, verifying
from offhook.phone.commands import Scope
from offhook.phone.web_requests import ConnectStream, StreamConnected, StreamOver

NATIVE: Final = Subprotocol("offhook.audio.v1")

CONNECT_WITHIN: Final = 10.0
"""Seconds for a program to take the connection, from the name's look-up on: a caller waits."""

PING_EVERY: Final = 10.0
"""Seconds between two pings; a program that lets one wait as long again is gone."""

CLOSE_WITHIN: Final = 2.0
"""Seconds for a program to answer our goodbye."""

MAX_REASON: Final = 200
"""Characters of a reason that go into an event: some of them are a program's own words."""

Tell: TypeAlias = Callable[[StreamConnected | StreamOver], None]


class _Straight(connect):
    """A connection to the address that was named, and no other: redirects are not followed."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class Bots:
    """The connections of one phone. `tell` is how the phone learns what became of each."""

    def __init__(
        self, operations: Operations, urls: OutgoingUrls, tell: Tell, *, tls: Callable[[], ssl.SSLContext] = verifying
    ) -> None:
        self._operations = operations
        self._urls = urls
        self._tell = tell
        self._tls = tls
        self._bots: dict[str, _Bot] = {}

    def begin(self, wish: ConnectStream) -> None:
        """Connect; what becomes of it is told."""
        bot = self._bots[wish.stream] = _Bot(wish, self._operations, self._tell)
        bot.task = asyncio.get_running_loop().create_task(self._run(bot))

    def leave(self, stream: str, reason: str) -> None:
        """End one of them."""
        bot = self._bots.get(stream)
        if bot is not None:
            bot.leave(reason)

    async def close(self) -> None:
        """End all."""
        bots = [bot.task for bot in self._bots.values() if bot.task is not None]
        for bot in list(self._bots.values()):
            bot.leave("the phone ends")
        if bots:
            _, late = await asyncio.wait(bots, timeout=CLOSE_WITHIN)
            for task in late:
                task.cancel()

    async def _run(self, bot: _Bot) -> None:
        reason, failed = "the phone ends", True
        try:
            reason, failed = await bot.run(self._urls, self._tls)
        finally:
            del self._bots[bot.wish.stream]
            self._tell(StreamOver(bot.wish.stream, reason[:MAX_REASON], failed))


class _Bot:
    """One connection, from the wish to its end."""

    def __init__(self, wish: ConnectStream, operations: Operations, tell: Tell) -> None:
        self.wish = wish
        self.task: asyncio.Task[None] | None = None
        self._operations = operations
        self._tell = tell
        self._conversation: Conversation | None = None
        self._left: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def leave(self, reason: str) -> None:
        """End it, also while it is only being connected."""
        if not self._left.done():
            self._left.set_result(reason)
        if self._conversation is not None:
            self._conversation.close(reason)

    async def run(self, urls: OutgoingUrls, tls: Callable[[], ssl.SSLContext]) -> tuple[str, bool]:
        """Connect and talk until either side ends it; returns why it ended, and whether that was a failure."""
        connecting = asyncio.ensure_future(self._connect(urls, tls))
        self._left.add_done_callback(lambda _: connecting.cancel())
        await asyncio.wait({connecting})
        if connecting.cancelled():
            return self._left.result(), False
        try:
            wire = connecting.result()
        except (OSError, ValueError, TimeoutError, WebSocketException) as error:
            return _complaint(error), True
        try:
            return await self._talk(wire)
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_WITHIN):
                    await wire.close()
            wire.transport.abort()

    async def _connect(self, urls: OutgoingUrls, tls: Callable[[], ssl.SSLContext]) -> ClientConnection:
        url = urls.parse(self.wish.url)
        context = await asyncio.get_running_loop().run_in_executor(None, tls) if url.secure else None
        pcm = self.wish.dialect == "pcm"
        return await _Straight(
            url.text, ssl=context, subprotocols=[NATIVE] if pcm else None, compression=None, proxy=None,
            open_timeout=CONNECT_WITHIN, ping_interval=PING_EVERY, ping_timeout=PING_EVERY, close_timeout=CLOSE_WITHIN,
            max_size=MAX_MESSAGE, user_agent_header=f"offhook/{__version__}",
        )  # fmt: skip

    async def _talk(self, wire: ClientConnection) -> tuple[str, bool]:
        may: set[Scope] = {"read", "media", "call"} if self.wish.control else {"read", "media"}
        client = Client(f"stream {self.wish.stream}", frozenset(may))
        conversation = Conversation(self._operations, client, self._dialect(), lambda message: _send(wire, message))
        try:
            conversation.open(self.wish.call, hear=True, speak=self.wish.speak)
        except CommandError as error:
            return error.detail, True
        self._conversation = conversation
        self._tell(StreamConnected(self.wish.stream))
        if self._left.done():
            conversation.close(self._left.result())
        speaking = asyncio.ensure_future(conversation.run())
        listening = asyncio.ensure_future(self._listen(wire, conversation))
        try:
            await asyncio.wait({speaking, listening}, return_when=asyncio.FIRST_COMPLETED)
            if not conversation.end[0]:
                return await asyncio.wait_for(listening, CLOSE_WITHIN)  # whichever noticed first, this one knows how it ended
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_WITHIN):  # for the last words
                    await asyncio.shield(speaking)
            reason, lost = conversation.end
            return ("the program ended it", False) if reason == "closed" else (reason, lost)
        except TimeoutError:
            return "the connection broke", True
        finally:
            conversation.close()
            for task in (speaking, listening):
                task.cancel()
            await asyncio.wait({speaking, listening})

    async def _listen(self, wire: ClientConnection, conversation: Conversation) -> tuple[str, bool]:
        """Give the program's messages to the conversation; returns how the connection ended."""
        try:
            while True:
                conversation.take(await wire.recv())
        except ConnectionClosed as closed:
            if closed.sent is not None and closed.sent.code == CloseCode.MESSAGE_TOO_BIG:
                return f"the program sent a message of more than {MAX_MESSAGE} bytes", True
            if closed.rcvd is None:
                return "the connection broke", True
            words = f": {closed.rcvd.code} {closed.rcvd.reason}".rstrip()
            good = closed.rcvd.code in (1000, 1001, 1005)
            return ("the program ended it", False) if good else (f"the program ended it{words}", True)

    def _dialect(self) -> Dialect:
        wish, parameters = self.wish, dict(self.wish.parameters)
        tracks: tuple[Track, ...] = ("inbound", "outbound") if wish.track == "both" else (wish.track,)
        if wish.dialect == "twilio":
            return MediaStreams(parameters, tracks=tracks)
        return Native(wish.rate, tracks=tracks, parameters=parameters)


async def _send(wire: ClientConnection, message: Message) -> bool:
    try:
        await wire.send(message)
    except ConnectionClosed:
        return False
    return True


def _complaint(error: Exception) -> str:
    """Return in words why there is no connection."""
    if isinstance(error, InvalidStatus):
        return f"the answer is {error.response.status_code}, not a WebSocket"
    if isinstance(error, TimeoutError):
        return f"no connection within {CONNECT_WITHIN:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not good: {error.verify_message}"
    return f"no connection: {getattr(error, 'strerror', None) or str(error) or ENDED_EARLY}"
