"""Every command line that the documents print can be understood."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from offhook.cli import _is_legacy
from offhook.cli.outcome import Ended
from offhook.cli.parsing import parse
from offhook.cli.verbs import VERBS

ROOT = Path(__file__).parents[2]
PAGES = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]


def printed(page: Path) -> Iterator[str]:
    """Yield what stands behind `offhook` in a page's blocks of commands, and between its backquotes."""
    text = page.read_text("utf-8")
    for block in re.findall(r"^```(?:sh)?\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        yield from re.findall(r"^(?:\$ )?offhook (.+)", block, re.MULTILINE)
    yield from (found.replace("\n", " ") for found in re.findall(r"`offhook ([a-z][^`]*)`", text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_the_documents_print_is_understood(page: Path) -> None:
    for line in printed(page):
        words = shlex.split(line.partition(" | ")[0].replace("…", ""), comments=True)
        verb = VERBS.get(words[0])
        if verb is None:
            assert _is_legacy(words[0]) or words[0].startswith("--"), f"{page.name}: offhook {line}"
            continue
        try:
            parse(verb, words[1:])
        except Ended as end:
            if "is missing" not in end.text:  # `offhook dial` alone names the verb
                pytest.fail(f"{page.name}: offhook {line}: {end.text}")
