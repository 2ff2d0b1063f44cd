"""Reach somebody on call: ring the people of a CSV file, a few at a time; the first who answers gets the call.

    python examples/csv_dialer.py people.csv --at-once 3 --ring 20

The file has the columns name and number. All others are hung up the moment somebody answers.
"""

import argparse
import asyncio
import csv
import sys
from pathlib import Path

from offhook import CallFailed, CallHandle, Softphone
from offhook.errors import CommandError, OffhookError, reason_of

Person = tuple[str, str]  # name and number, a line of the file
Reached = tuple[Person, CallHandle]


def read_people(file: Path) -> list[Person]:
    """Return the people in the file, in its order."""
    with file.open(newline="", encoding="utf-8-sig") as lines:
        if not {"name", "number"} <= set((table := csv.DictReader(lines, restval="")).fieldnames or ()):
            raise ValueError(f"{file}: its first line must name the columns: name,number")
        return [(line["name"], line["number"]) for line in table]


async def ring(phone: Softphone, person: Person, seconds: float) -> CallHandle | None:
    """Ring one person; returns the call if it was answered. Cancelling this hangs up."""
    name, number, call = *person, None
    try:
        call = await phone.dial(number, ring_timeout=seconds, hold_others=False)
        await call.wait_active()
        return call
    except (CommandError, CallFailed) as failure:  # a slip in one line must not keep the others from being called
        print(f"{name}: {failure}")
        return None
    except asyncio.CancelledError:
        if call is not None:
            await call.hangup()
        raise


async def reach(phone: Softphone, people: list[Person], *, at_once: int = 3, seconds: float = 20.0) -> Reached | None:
    """Ring people until somebody answers; returns who, and the call. None: nobody."""
    waiting, first = iter(people), None

    async def one_after_the_other() -> Reached | None:
        for person in waiting:  # all lines take from the same list
            if (call := await ring(phone, person, seconds)) is not None:
                return person, call
        return None

    lines = [asyncio.create_task(one_after_the_other()) for _ in range(at_once)]
    try:
        for line in asyncio.as_completed(lines):
            if (first := await line) is not None:
                return first
        return None
    finally:
        for task in lines:
            task.cancel()
        for found in await asyncio.gather(*lines, return_exceptions=True):
            if isinstance(found, tuple) and found is not first:  # two at the same moment
                await found[1].hangup()


async def main() -> None:
    """Read the command line and dial."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--at-once", type=int, default=3, choices=range(1, 21), metavar="N", help="1 to 20")
    parser.add_argument("--ring", type=float, default=20.0, help="seconds each phone rings")
    options = parser.parse_args()
    async with Softphone.connect() as phone:
        reached = await reach(phone, read_people(options.file), at_once=options.at_once, seconds=options.ring)
        (name, _), call = reached or sys.exit("nobody answers")
        print(f"{name} has answered")
        async with call:  # hung up at the end of the block, also by Ctrl+C
            await call.wait_ended()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:  # Ctrl+C; what was begun is ended by its block
        sys.exit(130)
    except (OffhookError, OSError, ValueError) as error:  # no phone (`offhook run` starts one), a file that is no such list …
        sys.exit(reason_of(error))
