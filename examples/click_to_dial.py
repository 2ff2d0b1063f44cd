"""A page whose numbers dial when they are clicked.

    python examples/click_to_dial.py --phone http://127.0.0.1:5080 --token-file ~/.local/state/offhook/http-token

The phone must serve HTTP (`offhook run --http`). The page never sees the token: this server keeps it, and passes on nothing
but `POST /dial` from its own page.
"""

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
onclick = async click => {{
  const headers = {{"Content-Type": "application/json"}}, body = JSON.stringify({{to: click.target.value}});
  if (click.target.value) said.textContent = await (await fetch("/dial", {{method: "POST", headers, body}})).text();
}};
</script>"""


def page(people: dict[str, str]) -> str:
    """Return the page; names and numbers are not trusted to be harmless."""
    rows = (f'<li><button value="{html.escape(number)}">{html.escape(name)}</button>' for name, number in people.items())
    return PAGE.format(items="".join(rows))


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
            self._answer(200, page(people), "html")

        def do_POST(self) -> None:
            # A form on somebody else's page cannot send this type without asking first, and we allow nobody. A page whose name
            # was made to point here (DNS rebinding) need not ask, but sends its own name.
            ours = {f"{name}:{self.connection.getsockname()[1]}" for name in ("127.0.0.1", "localhost")}
            strange = self.headers["Host"] not in ours or self.headers.get_content_type() != "application/json"
            if self.path == "/dial" and not strange:
                asked = json.loads(self.rfile.read(min(int(self.headers["Content-Length"]), 10_000)))
                self._answer(*dial(phone, token, str(asked["to"])))
            else:
                self.send_error(404)

        def _answer(self, status: int, text: str, kind: str = "plain") -> None:
            self.send_response(status)
            self.send_header("Content-Type", f"text/{kind}; charset=utf-8")
            self.end_headers()
            self.wfile.write(text.encode())

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--phone", default="http://127.0.0.1:5080")
    parser.add_argument("--token-file", type=Path, required=True, help="`offhook doctor` says where it is")
    parser.add_argument("--port", type=int, default=8088)
    options = parser.parse_args()
    token = options.token_file.read_text().strip()
    print(f"http://127.0.0.1:{options.port}")
    server(options.phone, token, {"Echo": "echo", "Music": "music", "Busy": "busy"}, options.port).serve_forever()


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, OSError) as end:  # Ctrl+C is how it ends; no such token file, or the port is taken
        sys.exit(str(end) or None)
