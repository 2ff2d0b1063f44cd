"""A page in a real browser drives the phone: EventSource, WebSocket and fetch, from an origin that was allowed, or not."""

from __future__ import annotations

import asyncio
import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from offhook.io.journal import Envelope
from offhook.phone.commands import Answer, ListCalls
from offhook.testing.browser import showing
from offhook.testing.http import serving
from offhook.testing.live import live_phone

pytestmark = pytest.mark.interop

PAGE = """<!doctype html><title>waiting</title><pre id=log></pre><script>
const [api, token, target] = decodeURIComponent(location.hash.slice(1)).split(" ");
const log = text => { document.getElementById("log").textContent += text + "\\n"; };
const seen = new Set();
const done = () => { if (seen.has("source:call.ended") && seen.has("socket:call.ended")) fetch("/done", {method: "POST",
  body: document.getElementById("log").textContent}); };
const source = new EventSource(`${api}/v1/events?types=call.*&access_token=${token}`);
for (const type of ["call.created", "call.active", "call.ended"])
  source.addEventListener(type, event => {
    seen.add("source:" + type);
    log("source " + type + " " + event.lastEventId);
    done();
  });
source.onerror = () => { log("source refused"); fetch("/done", {method: "POST", body: "refused"}); };
source.onopen = () => {
  const socket = new WebSocket(api.replace("http", "ws") + "/v1/socket", ["offhook.v1", "bearer." + token]);
  socket.onopen = () => socket.send(JSON.stringify({id: 1, op: "subscribe", types: ["call.*"]}));
  socket.onmessage = message => {
    const found = JSON.parse(message.data);
    if (found.id === 1)
      fetch(`${api}/v1/calls`, {method: "POST", body: JSON.stringify({to: target}),
        headers: {"Authorization": "Bearer " + token, "Content-Type": "application/json"}});
    if (!found.event) return;
    seen.add("socket:" + found.event.type);
    log("socket " + found.event.type);
    if (found.event.type === "call.active") socket.send(JSON.stringify({id: 2, op: "hangup"}));
    done();
  };
};
</script>"""


class Site(http.server.BaseHTTPRequestHandler):
    """Serves the page and takes what it has to say at the end."""

    def __init__(self, told: list[str], end: threading.Event, *args: object) -> None:
        self.told, self.end = told, end
        super().__init__(*args)  # type: ignore[arg-type]  # what the server gives

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE.encode())

    def do_POST(self) -> None:
        self.told.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(204)
        self.end_headers()
        self.end.set()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def site() -> Iterator[tuple[str, list[str], threading.Event]]:
    told: list[str] = []
    end = threading.Event()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Site, told, end))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", told, end
    server.shutdown()
    server.server_close()
    thread.join(5)


async def browse(url: str, end: threading.Event) -> None:
    """Show a page until it has said its word."""
    async with showing(url):
        assert await asyncio.to_thread(end.wait, 45), "the page said nothing"


async def test_a_page_dials_and_hears_every_event(
    site: tuple[str, list[str], threading.Event], tmp_path: Path
) -> None:
    origin, told, end = site
    async with live_phone() as here, live_phone() as there:
        def answer(envelope: Envelope) -> None:
            if envelope.type == "call.incoming":
                asyncio.get_running_loop().call_soon(there.execute, Answer())

        there.running.subscribe(answer)
        async with serving(here.running, tmp_path, origins=(origin,)) as served:
            await browse(f"{origin}/#{served.url}%20{served.token}%20{there.uri}", end)
            epoch = here.running.journal.head.epoch
        lines = told[0].split("\n")
        for type_ in ("call.created", "call.active", "call.ended"):
            assert any(line.startswith(f"source {type_} {epoch}-") for line in lines), lines
        assert "socket call.ended" in lines


async def test_a_page_of_another_origin_gets_nothing(site: tuple[str, list[str], threading.Event], tmp_path: Path) -> None:
    origin, told, end = site
    async with live_phone() as here, serving(here.running, tmp_path) as served:
        await browse(f"{origin}/#{served.url}%20{served.token}%20sip:nobody@127.0.0.1", end)
        assert here.execute(ListCalls()).value == ()
    assert told[0] == "refused"
