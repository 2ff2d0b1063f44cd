"""Every file of the repository that is made from the phone's lists: `python -m offhook.control.generated [--check]`."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

from offhook.control import asyncapi, http_page, json_schema, openapi, reference, typescript

DIFFERENCES: Final = 20
"""Lines of a difference that are shown."""


def _as_json(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


FILES: Final[Mapping[str, Callable[[], str]]] = {
    "docs/commands.md": reference.markdown,
    "docs/http-api.md": http_page.markdown,
    "docs/schema.json": lambda: _as_json(json_schema.document()),
    "docs/openapi.json": lambda: _as_json(openapi.document()),
    "docs/asyncapi.json": lambda: _as_json(asyncapi.document()),
    "clients/node/src/types.ts": typescript.source,
    "clients/node/src/problems.ts": typescript.problems,
}
"""Paths below the repository, and what makes their text."""


def write(root: Path) -> None:
    """Write all of them."""
    for name, make in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(make(), "utf-8")


def old(root: Path) -> dict[str, str]:
    """Return the files that are not as they would be written, with the first lines of the difference."""
    found = {}
    for name, make in FILES.items():
        path = root / name
        before, after = path.read_text("utf-8") if path.exists() else "", make()
        if before != after:
            lines = difflib.unified_diff(before.splitlines(), after.splitlines(), name, "as it should be", lineterm="", n=0)
            found[name] = "\n".join(islice(lines, DIFFERENCES))
    return found


def main(arguments: list[str]) -> int:
    """Write the files below the current folder; with --check only say which are old, and return 1 if any is."""
    if arguments != ["--check"]:
        write(Path())
        return 0
    found = old(Path())
    for name, difference in found.items():
        print(f"{difference}\n{name} is old: run  make docs", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
