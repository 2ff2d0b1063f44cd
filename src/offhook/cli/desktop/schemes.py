"""The links that can be opened."""

from __future__ import annotations

SCHEMES = ("tel", "sip", "sips", "callto")
