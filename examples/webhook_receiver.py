"""Receive the phone's webhooks, with nothing but the standard library, and believe only those that are signed.

    python examples/webhook_receiver.py --secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw --port 8099

The signature is that of Standard Webhooks: HMAC-SHA256 over "id.timestamp.body" with the secret's bytes, in base64.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import sys
import time
from collections.abc import Callable, Mapping
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOLERANCE = 300
"""Seconds a message may be old: what was recorded yesterday must not be played again today."""

MAX_BODY = 1_000_000


def verify(headers: Mapping[str, str] | Message, body: bytes, secret: str, *, now: float | None = None) -> bool:
    """Whether the message was signed with the secret, not long ago. There may be two signatures while a secret is changed."""
    message, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not stamp.isdecimal() or abs((time.time() if now is None else now) - int(stamp)) > TOLERANCE:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = hmac.new(key, f"{message}.{stamp}.".encode() + body, hashlib.sha256).digest()
    given = [part[3:] for part in headers.get("webhook-signature", "").split() if part.startswith("v1,")]
    return any(hmac.compare_digest(base64.b64encode(expected).decode(), one) for one in given)


def server(secret: str, on_event: Callable[[dict[str, Any]], None], port: int = 0) -> ThreadingHTTPServer:
    """Return a server that gives `on_event` every good event once; run its `serve_forever`."""
    seen = dict[str, None]()  # an event may be sent again when our answer was lost

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length) if 0 <= length <= MAX_BODY else b""
            if not verify(self.headers, body, secret):
                self.send_error(401, "the signature does not fit")
                return
            name = self.headers["webhook-id"]
            if name not in seen:
                seen[name] = None
                if len(seen) > 10_000:
                    del seen[next(iter(seen))]
                on_event(json.loads(body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing of each request."""

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def main() -> None:
    """Read the command line and print events."""
    parser = argparse.ArgumentParser(description="Print the phone's webhooks.")
    parser.add_argument("--secret", required=True)
    parser.add_argument("--port", type=int, default=8099)
    options = parser.parse_args()
    try:
        base64.b64decode(options.secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        parser.error("--secret is what `offhook webhooks add` has shown: whsec_ and base64")
    server(options.secret, lambda event: print(event["type"], event["subject"], flush=True), options.port).serve_forever()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # Ctrl+C is how it ends
        pass
    except OSError as error:  # the port is taken
        sys.exit(str(error))
