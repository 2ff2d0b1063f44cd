"""Write every finished call into a CSV file, and miss none, also while this program does not run.

    python examples/call_logger.py calls.csv

The place in the stream of events is kept in calls.csv.cursor, so that the next start goes on right behind the last line.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

from offhook import StreamGap
from offhook.errors import OffhookError, reason_of
from offhook.phone.events import CallEnded
from offhook.sync import Softphone

COLUMNS = ("ended", "direction", "account", "remote", "display", "seconds", "status", "reason")


def line(event: CallEnded) -> tuple[str, ...]:
    """Return a call's line."""
    call, end = event.call, event.call.end
    ended = call.ended.isoformat(timespec="seconds") if call.ended else ""
    how = (str(end.sip_status or ""), end.reason) if end else ("", "")
    return (ended, call.direction, call.account, call.remote.uri, call.remote.display, f"{event.duration:.1f}", *how)


def log_calls(phone: Softphone, file: Path, *, most: int = 0) -> int:
    """Append calls until the phone is closed, or until there were `most`; returns how many."""
    place = file.with_name(file.name + ".cursor")
    new, written = not file.exists(), 0
    with file.open("a", newline="", encoding="utf-8") as out:
        table = csv.writer(out)
        if new:
            table.writerow(COLUMNS)
        with phone.events(["call.ended"], after=place.read_text() if place.exists() else "") as events:
            place.write_text(events.cursor)
            for event in events:
                if isinstance(event, StreamGap):
                    print(f"the phone does not keep what happened after {event.after} any more")
                elif isinstance(event, CallEnded):
                    table.writerow(line(event))
                    out.flush()  # first the line, then the place: after a crash a call may be twice here, but never missing
                    place.write_text(events.cursor)
                    written += 1
                    if written == most:
                        break
    return written


def main() -> None:
    """Read the command line and write."""
    parser = argparse.ArgumentParser(description="Write finished calls into a CSV file.")
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    with Softphone.connect(name="call-logger") as phone:
        log_calls(phone, options.file)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # Ctrl+C is how it ends
        pass
    except (OffhookError, OSError) as error:  # no phone (`offhook run` starts one), a file that cannot be written …
        sys.exit(reason_of(error))
