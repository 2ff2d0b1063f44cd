"""Call several people and let them talk to each other.

    python examples/conference.py 1001 1002 1003

Who answers is in; who comes late is let in while the others talk already. The conference is over when at most one is left.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys

from offhook import CallFailed, CallHandle, Conference, Softphone
from offhook.errors import CommandError, NotFound, OffhookError


async def invite(phone: Softphone, room: Conference, number: str, *, ring_timeout: float = 30.0) -> CallHandle | None:
    """Call somebody and let him in; returns the call, None if nobody answered. Cancelling this hangs up."""
    try:
        call = await phone.dial(number, hold_others=False, ring_timeout=ring_timeout)
    except CommandError as error:  # a slip in one number must not keep the others from being called
        print(f"{number}: {error}")
        return None
    try:
        await call.wait_active()
    except CallFailed as failure:
        print(f"{number}: {type(failure).__name__}")
        return None
    except asyncio.CancelledError:
        await call.hangup()
        raise
    await room.add(call)
    print(f"{number} is in, with {len(room.members) - 1} others")
    return call


async def wait_alone(calls: list[CallHandle]) -> None:
    """Wait until at most one of the calls is left."""
    ends = [asyncio.create_task(call.wait_ended()) for call in calls]
    try:
        for left, end in zip(range(len(ends), 1, -1), asyncio.as_completed(ends), strict=False):
            view = await end
            print(f"{view.remote.uri} has left, {left - 1} remain")
    finally:
        for task in ends:
            task.cancel()


async def confer(phone: Softphone, numbers: list[str], *, ring_timeout: float = 30.0) -> int:
    """Hold a conference; returns how many people took part."""
    room = await phone.create_conference()
    try:
        invited = await asyncio.gather(*(invite(phone, room, number, ring_timeout=ring_timeout) for number in numbers))
        calls = [call for call in invited if call is not None]
        await wait_alone(calls)
    finally:  # also when Ctrl+C ends it
        for call in room.members:
            await call.hangup()
        with contextlib.suppress(NotFound):  # it is over with its last member; one that nobody has joined is not
            await room.end()
    return len(calls)


async def main() -> None:
    """Read the command line and call."""
    parser = argparse.ArgumentParser(description="A conference of several people.")
    parser.add_argument("number", nargs="+")
    options = parser.parse_args()
    async with Softphone.connect() as phone:
        print(f"{await confer(phone, options.number)} people took part")


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:  # Ctrl+C; what was begun is ended by its block
        sys.exit(130)
    except OffhookError as error:  # no phone (`offhook run` starts one), a number that is none …
        sys.exit(str(error))
