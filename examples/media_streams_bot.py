"""A voice bot written for Twilio's Media Streams, and a phone that calls it: every caller hears an echo after each pause.

    python examples/media_streams_bot.py

The bot is a WebSocket server that knows nothing of this phone: it answers the messages `start`, `media` and `stop`. The phone
answers each call and connects it with the bot; when the bot is done, the call ends. Needs no sound card.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from offhook import CallHandle, OperationFailed, Softphone
from offhook.errors import CommandError

QUIET = {0x7E, 0x7F, 0xFE, 0xFF}  # mu-law for (next to) nothing
PAUSE = 25  # messages of 20 ms
LONGEST = 500


class Bot:
    """One caller. It repeats what was said when there has been a pause, and goodbye is the digit 9."""

    def __init__(self, wire: ServerConnection) -> None:
        self.wire = wire
        self.stream = ""
        self.said = bytearray()
        self.pause = 0

    async def serve(self) -> None:
        """Read messages until the caller has gone."""
        async for text in self.wire:
            message: dict[str, Any] = json.loads(text)
            match message["event"]:
                case "start":
                    self.stream = message["start"]["streamSid"]
                    print("caller:", message["start"]["customParameters"]["from"])
                case "media":
                    await self.hear(base64.b64decode(message["media"]["payload"]))
                case "dtmf" if message["dtmf"]["digit"] == "9":
                    return
                case "stop":
                    return

    async def hear(self, sound: bytes) -> None:
        """Collect what is said; repeat it after a pause."""
        self.pause = self.pause + 1 if QUIET.issuperset(sound) else 0
        if not self.pause:
            self.said += sound
        if self.said and (self.pause > PAUSE or len(self.said) > LONGEST * 160):
            payload = base64.b64encode(self.said).decode()
            self.said.clear()
            await self.wire.send(json.dumps({"event": "media", "streamSid": self.stream, "media": {"payload": payload}}))


async def connect(call: CallHandle, bot: str) -> None:
    """Answer a call and hand it to the bot; it ends with the bot, or the bot with it."""
    try:
        await call.answer(hold_others=False)  # the callers before this one are served on
        stream = await call.stream(bot, parameters={"from": call.remote.uri}, end_call=True)
        print(f"{call.remote.uri}: {await stream.wait()}")
    except (CommandError, OperationFailed) as error:
        print(f"{call.remote.uri}: {error}")


async def answer_all(phone: Softphone, bot: str) -> None:
    """Connect every caller with the bot until the phone is closed."""
    async with asyncio.TaskGroup() as tasks:
        async for call in phone.incoming:
            tasks.create_task(connect(call, bot))


async def main() -> None:
    """Run the bot and the phone."""
    argparse.ArgumentParser(description="A bot, and a phone that connects every caller with it.").parse_args()
    async with serve(lambda wire: Bot(wire).serve(), "127.0.0.1", 0) as server, Softphone(sound="null") as phone:
        print(f"waiting for calls at {phone.address}; Ctrl+C ends")
        await answer_all(phone, f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl+C is how it ends
        asyncio.run(main())
