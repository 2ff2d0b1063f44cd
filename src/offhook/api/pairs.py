"""Headers and tags as programs write them: a mapping, or pairs where a name comes twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias, TypeVar, cast

from offhook.phone.model import HeaderList

N = TypeVar("N", bound=str)

Pairs: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]


def as_names(given: Sequence[N]) -> tuple[N, ...]:
    """Return names as a tuple; one alone may be written without brackets, where Python would take it letter by letter."""
    return (cast(N, given),) if isinstance(given, str) else tuple(given)


def as_pairs(given: Pairs) -> HeaderList:
    """Return them as the phone's commands want them."""
    return tuple(given.items() if isinstance(given, Mapping) else given)
