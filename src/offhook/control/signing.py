"""Signatures of what is sent to web addresses, in the form of Standard Webhooks, so that a receiver knows it came from here."""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Iterable
from typing import Final

PREFIX: Final = "whsec_"

SECRET_BYTES: Final = range(24, 65)
"""Lengths of a key; the specification's."""


def new_secret() -> str:
    """Return a fresh secret, as the receiver is given it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """Return the key a secret stands for; ValueError says what is wrong with it."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith(PREFIX) or len(key) not in SECRET_BYTES:
        raise ValueError(f"a secret is {PREFIX} and {SECRET_BYTES[0]} to {SECRET_BYTES[-1]} bytes in base64")
    return key


def signature(keys: Iterable[bytes], message: str, timestamp: int, body: bytes) -> str:
    """Return the value of webhook-signature: one `v1,…` for each key, so that a receiver may change its secret at leisure."""
    signed = f"{message}.{timestamp}.".encode() + body
    return " ".join("v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys)


def headers(keys: Iterable[bytes], message: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of one delivery. `message` is the event's id, `timestamp` the Unix time of this attempt."""
    return {
        "Content-Type": "application/json",
        "User-Agent": "offhook",
        "webhook-id": message,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(keys, message, timestamp, body),
    }
