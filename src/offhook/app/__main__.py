"""`python -m offhook.app`: what `make run` starts, a phone with its practice exchange."""

from __future__ import annotations

import sys
from types import SimpleNamespace

from offhook.app.practice import run_practice
from offhook.errors import SetupError


def main() -> int:
    """Run until interrupted."""
    try:
        return run_practice(SimpleNamespace(port=0, sound="", socket=""))
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
