"""The kept corpus through every target, and some inputs made of it; coverage drives the targets in `make fuzz`."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from fuzzing import mutated
from targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
INPUTS = [(name, path) for name in TARGETS for path in sorted((CORPUS / name).glob("*"))]
MADE = 40
"""Inputs made of the corpus for each target."""


def test_every_target_has_a_corpus_and_says_what_must_hold() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
    assert all(target.__doc__ for target in TARGETS.values())


@pytest.mark.parametrize("name", TARGETS)
def test_the_kept_inputs(name: str) -> None:
    for path in sorted((CORPUS / name).glob("*")):
        TARGETS[name](path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_inputs_made_of_them(name: str) -> None:
    chance, known = random.Random(name), [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]
    for _ in range(MADE):
        TARGETS[name](mutated(chance, known))
