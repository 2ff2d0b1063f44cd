"""Live phones for tests: whole phones on loopback sockets, with waiting on their events instead of sleeping."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from offhook.app.running import RunningPhone
from offhook.io.journal import Envelope
from offhook.phone.commands import Accepted, Command, ListCalls, Status
from offhook.storage.config import Config

PATIENCE = 30.0
"""Seconds a test waits for something that normally takes milliseconds: a machine may have much else to do."""


class LivePhone:
    """A running phone and everything it has said so far."""

    def __init__(self, running: RunningPhone) -> None:
        self.running = running
        self.events: list[Envelope] = []
        self._news = asyncio.Event()
        running.subscribe(self._note)

    def _note(self, envelope: Envelope) -> None:
        self.events.append(envelope)
        self._news.set()

    @property
    def uri(self) -> str:
        """An address this phone is reached under without an exchange."""
        return f"sip:offhook@127.0.0.1:{self.running.transports.port}"

    @property
    def types(self) -> list[str]:
        """The types of all events so far."""
        return [envelope.type for envelope in self.events]

    def execute(self, command: Command) -> Accepted:
        """Carry out a command."""
        return self.running.execute(command)

    @property
    def status(self) -> int:
        """What STATUS says."""
        code: int = self.execute(Status()).value.code
        return code

    async def until(self, condition: Callable[[], Any], what: str = "") -> None:
        """Wait until `condition()` holds, looking after each event (and now and then); fail loudly otherwise."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while not condition():
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"waited in vain for {what or condition}; events were {self.types}")
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), 0.05)
            except TimeoutError:
                continue

    async def event(self, type_: str, since: int = 0) -> Envelope:
        """Wait for an event of that type, at or after index `since`."""
        await self.until(lambda: any(e.type == type_ for e in self.events[since:]), type_)
        return next(e for e in self.events[since:] if e.type == type_)

    async def reaches(self, status: int) -> None:
        """Wait until STATUS is `status`."""
        await self.until(lambda: self.status == status, f"status {status}")

    @property
    def last_end(self) -> dict[str, Any]:
        """How the last call that is over ended; {} if none is."""
        return next((e.data["call"]["end"] for e in reversed(self.events) if e.type == "call.ended"), {})

    @property
    def _is_quiet(self) -> bool:
        # Subscribers hear a turn of the loop later than the phone knows, so both are asked.
        told = {e.data["call"]["id"] for e in self.events if e.type == "call.ended"}
        begun = {e.data["call"]["id"] for e in self.events if e.type in {"call.created", "call.incoming"}}
        return begun <= told and not self.execute(ListCalls()).value

    async def over(self) -> dict[str, Any]:
        """Wait until no call is left and the end of each was told; return how the last one ended."""
        await self.until(lambda: self._is_quiet, "no calls")
        return self.last_end


def quiet_config(**phone: Any) -> Config:
    """Return a configuration for tests: loopback, any port, no sound card, media in a thread."""
    config = Config()
    return replace(
        config,
        phone=replace(config.phone, **phone),
        sip=replace(config.sip, host="127.0.0.1", port=0),
        media=replace(config.media, mode="thread", sound="null"),
    )


@asynccontextmanager
async def live_phone(config: Config | None = None, **phone: Any) -> AsyncIterator[LivePhone]:
    """Run a phone for the time of the block."""
    running = await RunningPhone.start(config or quiet_config(**phone))
    try:
        yield LivePhone(running)
    finally:
        await running.close()


async def connect(caller: LivePhone, callee: LivePhone) -> None:
    """Call from one phone to the other and answer."""
    from offhook.phone.commands import Answer, Dial

    since = len(callee.events)
    caller.execute(Dial(to=callee.uri))
    await callee.event("call.incoming", since)
    callee.execute(Answer())
    await caller.reaches(2)
    await callee.reaches(2)


async def over(*phones: LivePhone) -> None:
    """Wait until no call is left on any of the phones."""
    for phone in phones:
        await phone.over()
