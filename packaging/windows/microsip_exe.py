"""What MicroSIP.exe runs: the `microsip` command, or the media worker when the phone starts its own program again as one."""

from __future__ import annotations

import sys

WORKER = ["-m", "offhook.io.media_worker"]
"""How the phone starts its media worker: `python -m …`, where this program stands in for python."""

if __name__ == "__main__":
    if sys.argv[1:3] == WORKER:
        from offhook.io.media_worker import main

        sys.exit(main())
    from offhook.cli import microsip_main

    sys.exit(microsip_main())
