"""The phone under Wine, Windows programs that drive it, and a phone on Linux it can call."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

from windows_drivers import Dde, Window, WindowsPhone

from offhook.phone.commands import Answer, Dial
from offhook.testing.live import LivePhone

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "contract"))
from seed_tables import COPYDATA_TABLE

CODES = {name: number for number, (name, _, _) in enumerate(COPYDATA_TABLE, 1)}


@dataclass
class Scene:
    """The Windows phone, who drives it, and the Linux phone it can call."""

    phone: WindowsPhone
    window: Window
    dde: Dde
    there: LivePhone

    def send(self, name: str, text: str = "") -> int:
        """Send one of the ten as WM_COPYDATA."""
        return self.window.send(CODES[name], text)

    async def execute(self, text: str) -> None:
        """Have an execute string done."""
        assert await asyncio.to_thread(self.dde.execute, text), (text, self.dde.item("ReturnMessage"))

    @property
    def status(self) -> int:
        return self.send("STATUS")

    async def reaches(self, status: int) -> None:
        await self.there.until(lambda: self.status == status, f"status {status} of the Windows phone")

    async def connected(self) -> None:
        """Be in a call that the Windows phone has made."""
        since = len(self.there.events)
        assert self.send("DIAL", self.there.uri) == 1
        await self.there.event("call.incoming", since)
        self.there.execute(Answer())
        await self.reaches(2)
        await self.there.reaches(2)

    async def is_called(self) -> None:
        """Be called by the Linux phone."""
        self.there.execute(Dial(to=self.phone.uri))
        await self.reaches(1)

    async def ended(self, since: int = 0) -> dict[str, object]:
        """Return how the Linux phone says that its call ended."""
        end: dict[str, object] = (await self.there.event("call.ended", since)).data["call"]["end"]
        return end
