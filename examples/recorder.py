"""Record every call that is answered on a running phone, each into a file of its own.

    python examples/recorder.py recordings/

It only watches: people use the phone as always. Both ends are kept apart, ours left, theirs right.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from pathlib import Path

from offhook import CallHandle, OperationFailed, PhoneGone, Softphone
from offhook.errors import CommandError, OffhookError, reason_of
from offhook.phone.events import CallActive


def file_for(call: CallHandle, folder: Path) -> Path:
    """Return a name that sorts by time and says who it was."""
    view = call.view
    who = re.sub(r"[^A-Za-z0-9+]+", "-", view.remote.uri.partition(":")[2]).strip("-")
    return folder / f"{view.created:%Y%m%d-%H%M%S}-{who}-{view.id}.wav"


async def record(call: CallHandle, folder: Path) -> None:
    """Record one call to its end."""
    try:
        recording = await call.record(file_for(call, folder), channels="stereo")
        file = await recording.wait()
    except (CommandError, OperationFailed, PhoneGone) as error:
        print(f"{call.remote.uri}: not recorded: {error}")
    else:
        print(f"{call.remote.uri}: {file.name}, {file.stat().st_size // 1024} KiB")


async def record_all(phone: Softphone, folder: Path) -> None:
    """Record every call that becomes active from now on."""
    folder.mkdir(parents=True, exist_ok=True)
    recorded = set[str]()
    async with asyncio.TaskGroup() as tasks:
        async for event in phone.events(["call.active"]):
            # A call becomes active again after each hold: its recording goes on meanwhile.
            if isinstance(event, CallActive) and event.call.id not in recorded:
                recorded.add(event.call.id)
                tasks.create_task(record(phone.call(event.call.id), folder))


async def main() -> None:
    """Read the command line and watch."""
    parser = argparse.ArgumentParser(description="Record every call.")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    async with Softphone.connect(name="recorder") as phone:
        await record_all(phone, options.folder)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:  # Ctrl+C is how it ends
        pass
    except (OffhookError, OSError) as error:  # no phone (`offhook run` starts one), a folder that cannot be written …
        sys.exit(reason_of(error))
