"""Sounds from the web: each is fetched into a file of its own, which is deleted when it has been played."""

from __future__ import annotations

import asyncio
import os
import ssl
import tempfile
from collections.abc import Callable
from typing import IO, Final

from offhook.io.web import WebError, download, verifying
from offhook.media.containers import ENOUGH, is_sound
from offhook.phone.urls import Url
from offhook.phone.web_requests import FetchSound, SoundFetched

FETCH_WITHIN: Final = 20.0
"""Seconds for a whole sound: somebody listens to silence meanwhile."""

MAX_BYTES: Final = 64 * 1024 * 1024
"""Bytes of a sound: an hour of telephone quality, six minutes of CD quality."""

NO_SOUND: Final = "it is no WAV, MP3, FLAC or Ogg file"
AT_ONCE: Final = 16
"""Sounds that are fetched at a time; further ones wait, within their time."""

SWEEP_EVERY: Final = 0.1
"""Seconds between attempts to delete a file that is still read: Windows deletes none that somebody has open."""

SWEEP_WITHIN: Final = 5.0
"""Seconds the end waits for such a file."""


class WebSounds:
    """The sounds of one phone. `tell` is how the phone learns that one is here; `parse` says which URLs may be used."""

    def __init__(
        self, parse: Callable[[str], Url], tell: Callable[[SoundFetched], None], *,
        tls: Callable[[], ssl.SSLContext] = verifying, within: float = FETCH_WITHIN, most: int = MAX_BYTES,
    ) -> None:  # fmt: skip
        self._parse = parse
        self._tell = tell
        self._tls = tls
        self._within = within
        self._most = most
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._fetching: dict[str, asyncio.Task[None]] = {}
        self._files: dict[str, str] = {}
        self._read_still: set[str] = set()
        self._sweeping: asyncio.Task[None] | None = None

    def fetch(self, wish: FetchSound) -> None:
        """Get it, beside everything else."""
        self._fetching[wish.playback] = asyncio.get_running_loop().create_task(self._fetch(wish))

    def drop(self, playback: str) -> None:
        """Delete its file, or stop fetching it."""
        task = self._fetching.pop(playback, None)
        if task is not None:
            task.cancel()
        path = self._files.pop(playback, "")
        if path and not _delete(path):
            self._read_still.add(path)
            if self._sweeping is None:
                self._sweeping = asyncio.get_running_loop().create_task(self._sweep())

    async def close(self) -> None:
        """Leave nothing behind."""
        tasks = list(self._fetching.values())
        for playback in {*self._fetching, *self._files}:
            self.drop(playback)
        if tasks:
            await asyncio.wait(tasks)
        if sweeping := self._sweeping:
            await asyncio.wait({sweeping}, timeout=SWEEP_WITHIN)
            sweeping.cancel()

    async def _sweep(self) -> None:
        """Delete what the media process had open when it was dropped."""
        while self._read_still:
            await asyncio.sleep(SWEEP_EVERY)
            self._read_still -= {path for path in self._read_still if _delete(path)}
        self._sweeping = None

    async def _fetch(self, wish: FetchSound) -> None:
        handle, path = await asyncio.get_running_loop().run_in_executor(None, _new_file)
        error = ""
        try:
            with os.fdopen(handle, "wb") as file:
                async with asyncio.timeout(self._within), self._turns:
                    await self._copy(wish.url, file)
        except asyncio.CancelledError:
            _delete(path)
            raise
        except TimeoutError:
            error = f"not here within {self._within:g} s"
        except (WebError, ValueError, OSError) as wrong:
            error = str(wrong)
        self._fetching.pop(wish.playback, None)
        if error:
            _delete(path)
            self._tell(SoundFetched(wish.playback, wish.call, error=f"{wish.url.partition('?')[0]}: {error}"))
        else:
            self._files[wish.playback] = path
            self._tell(SoundFetched(wish.playback, wish.call, path))

    async def _copy(self, url: str, file: IO[bytes]) -> None:
        begun = b""

        async def take(part: bytes) -> None:
            nonlocal begun
            if len(begun) < ENOUGH:
                begun += part[: ENOUGH - len(begun)]
                if len(begun) == ENOUGH and not is_sound(begun):
                    raise WebError(NO_SOUND)
            await asyncio.get_running_loop().run_in_executor(None, file.write, part)

        await download(self._parse(url), take, within=self._within, most=self._most, tls=self._tls)
        if len(begun) < ENOUGH:
            raise WebError(NO_SOUND)


def _new_file() -> tuple[int, str]:
    return tempfile.mkstemp(prefix="offhook-", suffix=".sound")


def _delete(path: str) -> bool:
    """Delete a file; False where that has to wait until nobody has it open."""
    try:
        os.unlink(path)
    except PermissionError:
        return False
    except OSError:
        pass
    return True
