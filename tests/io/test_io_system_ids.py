"""Identifiers from the operating system, and the clock beside them."""

from __future__ import annotations

import pytest

from offhook.ids import Ids
from offhook.io import clock
from offhook.io.system_ids import ALPHABET, SystemIds

IDS: Ids = SystemIds()


@pytest.mark.parametrize("length", [1, 16, 64])
def test_a_token_has_its_length_and_alphabet(length: int) -> None:
    token = IDS.token(length)
    assert len(token) == length
    assert set(token) <= set(ALPHABET)


def test_tokens_differ() -> None:
    assert len({IDS.token(16) for _ in range(1000)}) == 1000


def test_every_character_occurs() -> None:
    assert set(IDS.token(4000)) == set(ALPHABET)


def test_integers_fit() -> None:
    assert all(0 <= IDS.integer(5) < 32 for _ in range(200))


def test_uniform_stays_inside() -> None:
    assert all(2.1 <= IDS.uniform(2.1, 4.0) <= 4.0 for _ in range(200))


def test_the_clock_goes_forward() -> None:
    moment = clock.now()
    assert clock.now() >= moment
