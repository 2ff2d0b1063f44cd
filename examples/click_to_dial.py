"""A page whose numbers dial when they are clicked.

    python examples/click_to_dial.py --phone http://127.0.0.1:5080 --token-file ~/.local/state/offhook/http-token

The phone must serve HTTP (`offhook run --http`). The page never sees the token: this little server keeps it, and passes on
nothing but `POST /dial` from its own page.
"""

from __future__ import annotations

import argparse
import html
import json
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PAGE = """<!doctype html><meta charset="utf-8"><title>Click to dial</title><ul>{items}</ul><p id="said"></p>
<script>
for (const link of document.querySelectorAll("a")) link.onclick = async click => {{
  click.preventDefault();
  const answer = await fetch("/dial", {{method: "POST", headers: {{"Content-Type": "application/json"}},
                                       body: JSON.stringify({{to: link.dataset.number}})}});
  document.getElementById("said").textContent = (await answer.json()).text;
}};
</script>"""


def page(people: dict[str, str]) -> bytes:
    """Return the page; names and numbers are not trusted to be harmless."""
    row = '<li><a href="tel:{0}" data-number="{0}">{1}</a></li>'
    items = "".join(row.format(html.escape(number), html.escape(name)) for name, number in people.items())
    return PAGE.format(items=items).encode()


def dial(phone: str, token: str, to: str) -> tuple[int, str]:
    """Ask the phone to call; returns the HTTP status and what to show."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{phone}/v1/calls", json.dumps({"to": to}).encode(), headers)  # noqa: S310 - our own URL
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return 200, f"calling {to}: {json.load(answer)['call']}"
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, str(json.load(answer).get("detail", answer.reason))  # RFC 9457: the phone says why
    except (OSError, ValueError) as error:
        return 502, f"the phone does not answer: {error}"


def server(phone: str, token: str, people: dict[str, str], port: int = 0) -> ThreadingHTTPServer:
    """Return the page's server; run its `serve_forever`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200, "text/html; charset=utf-8", page(people))

        def do_POST(self) -> None:
            # A form on somebody else's page cannot send this type without asking first, and we allow nobody. A page whose name
            # was made to point here (DNS rebinding) need not ask, but sends its own name.
            ours = {f"{name}:{self.connection.getsockname()[1]}" for name in ("127.0.0.1", "localhost")}
            strange = self.headers["Host"] not in ours or self.headers.get_content_type() != "application/json"
            if self.path != "/dial" or strange:
                self.send_error(404)
                return
            asked = json.loads(self.rfile.read(min(int(self.headers["Content-Length"]), 10_000)))
            status, text = dial(phone, token, str(asked["to"]))
            self._answer(status, "application/json", json.dumps({"text": text}).encode())

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(body)

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="A page that dials.")
    parser.add_argument("--phone", default="http://127.0.0.1:5080")
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--port", type=int, default=8088)
    options = parser.parse_args()
    try:
        token = options.token_file.read_text().strip()
    except OSError as error:
        parser.error(f"cannot read the token: {error}; `offhook doctor` says where it is")
    print(f"http://127.0.0.1:{options.port}")
    server(options.phone, token, {"Echo": "echo", "Music": "music", "Busy": "busy"}, options.port).serve_forever()


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, OSError) as end:  # Ctrl+C is how it ends; the port may be taken
        sys.exit(str(end) or None)
