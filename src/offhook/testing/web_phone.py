"""A phone in a web page as the far end (JsSIP or SIP.js, WebRTC): a browser shows it, and does what it is asked over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import queue
import shutil
import subprocess
import threading
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from offhook.testing.browser import TELEPHONE, showing
from offhook.testing.peers import PeerFailed, PeerMissing

SCRIPT: Final = "page.js"
WITHIN: Final = 30.0
"""Seconds the page may take for what it normally does in a fraction of one."""
_ASKS_AGAIN: Final = 20.0
_LOOK_EVERY: Final = 0.05

_PAGE: Final = f'<!doctype html><title>phone</title><script type="module" src="/{SCRIPT}"></script>'.encode()


PAGES: Final = ("page", "sipjs")
"""The page with JsSIP, and the one with SIP.js."""


def build(sources: Path, folder: Path) -> Path:
    """Fetch what the pages in `sources` are made of, and make a script of each in a new `folder`, which is returned.

    Raises PeerMissing, PeerFailed.
    """
    npm, npx = shutil.which("npm"), shutil.which("npx")
    if npm is None or npx is None:
        raise PeerMissing("no Node.js with npm here: install nodejs and npm")
    shutil.copytree(sources, folder, ignore=shutil.ignore_patterns("node_modules"))
    pages = [f"{page}.mjs" for page in PAGES]
    for command in ([npm, "ci"], [npx, "esbuild", *pages, "--bundle", "--format=esm", "--outdir=."]):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603 - a list
        if done.returncode:
            raise PeerFailed(f"{' '.join(command[1:])}: {done.stderr[-2000:]}")
    return folder


class WebPhone:
    """The page's other side: what it is to do, and what it has told."""

    def __init__(self, script: bytes) -> None:
        self.script = script
        self.told: list[dict[str, Any]] = []
        self.wishes: queue.Queue[dict[str, str] | None] = queue.Queue()

    def do(self, name: str, argument: str = "") -> None:
        """Have the page carry out one of its commands."""
        self.wishes.put({"name": name, "argument": argument})

    async def says(self, what: str, since: int = 0) -> dict[str, Any]:
        """Wait until it has told that, after the first `since` things; returns the whole of it. Raises PeerFailed."""
        deadline = time.monotonic() + WITHIN
        while time.monotonic() < deadline:
            for found in self.told[since:]:
                if found["what"] == what:
                    return found
                if found["what"] == "error":
                    raise PeerFailed(f"the page: {found['error']}")
            await asyncio.sleep(_LOOK_EVERY)
        raise PeerFailed(f"the page has not told {what!r}, but: {[found['what'] for found in self.told]}")

    async def hears(self) -> float:
        """Return the strongest frequency of what it hears, in Hz."""
        since = len(self.told)
        self.do("listen")
        return float((await self.says("heard", since))["hz"])


class _Site(http.server.BaseHTTPRequestHandler):
    def __init__(self, phone: WebPhone, *arguments: Any) -> None:
        self.phone = phone
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """Give the page, its script, or the next wish."""
        if self.path.startswith("/next"):
            try:
                wish = self.phone.wishes.get(timeout=_ASKS_AGAIN)
            except queue.Empty:
                wish = {}
            self._give("application/json", json.dumps(wish).encode())
        elif self.path == f"/{SCRIPT}":
            self._give("text/javascript", self.phone.script)
        else:
            self._give("text/html", _PAGE)

    def do_POST(self) -> None:
        """Take what it tells."""
        self.phone.told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def _give(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):  # the browser has gone meanwhile
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.asynccontextmanager
async def web_phone(script: Path, server: str, uri: str, password: str, *, max_bundle: bool = False) -> AsyncIterator[WebPhone]:
    """Run the page in a browser, registered as `uri` at the WebSocket `server`; with `max_bundle` on one transport or none."""
    phone = WebPhone(await asyncio.to_thread(script.read_bytes))
    site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Site, phone))
    thread = threading.Thread(target=site.serve_forever, daemon=True)
    thread.start()
    try:
        words = quote(" ".join((server, uri, password, "max-bundle" if max_bundle else "balanced")))
        async with showing(f"http://127.0.0.1:{site.server_port}/#{words}", *TELEPHONE):
            await phone.says("registered")
            yield phone
    finally:
        phone.wishes.put(None)
        site.shutdown()
        site.server_close()
        await asyncio.to_thread(thread.join, 5)
