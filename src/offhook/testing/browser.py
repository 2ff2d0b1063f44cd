"""A real browser without a screen, for pages of the tests' own."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from typing import Final

from offhook.testing.peers import PeerMissing

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS: Final = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-port=0",
)  # fmt: skip

TELEPHONE: Final = (
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
)  # fmt: skip
"""Further options for a page that is a phone: a microphone that beeps, sound without a click, calls within this machine."""


def chromium() -> str:
    """Return the browser's program; raises PeerMissing."""
    found = next((path for name in _NAMES if (path := shutil.which(name)) is not None), None)
    if found is None:
        raise PeerMissing("chromium is not installed: apt-get install chromium")
    return found


@contextlib.asynccontextmanager
async def showing(url: str, *options: str) -> AsyncIterator[None]:
    """Show a page for the time of the block. Raises PeerMissing."""
    program = chromium()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = await asyncio.create_subprocess_exec(
            program, *_OPTIONS, *options, f"--user-data-dir={profile}", url,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield
        finally:
            browser.terminate()
            await browser.wait()
