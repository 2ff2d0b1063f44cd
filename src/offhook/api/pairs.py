"""Headers and tags as programs write them: a mapping, or pairs where a name comes twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from offhook.phone.model import HeaderList

Pairs: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]


def as_pairs(given: Pairs) -> HeaderList:
    """Return them as the phone's commands want them."""
    return tuple(given.items() if isinstance(given, Mapping) else given)
