"""A menu for callers: press 1 for the time, 2 for an echo, 0 for a person.

    python examples/ivr.py --operator 1002

A real one would play recorded prompts; tones of different height stand in for them here, so that the example needs no files.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable

from offhook import CallHandle, OperationFailed, Softphone
from offhook.errors import CommandError, OffhookError

PROMPT, TIME, WRONG = "660", "880", "220"


async def say(call: CallHandle, tone: str, *, milliseconds: int = 200) -> None:
    """Play a prompt to its end."""
    await (await call.play(tone=tone, duration_ms=milliseconds)).wait()


async def tell_time(call: CallHandle) -> None:
    """Say what time it is."""
    await say(call, TIME)


async def echo(call: CallHandle) -> None:
    """Let the caller hear himself until he presses a key."""
    await call.loopback()
    await call.digits.read(1, timeout=60)
    await call.loopback(False)


async def wrong(call: CallHandle) -> None:
    """Say that there is no such key."""
    await say(call, WRONG)


async def serve(call: CallHandle, operator: str) -> str:
    """Lead one caller through the menu; returns the keys that were pressed."""

    async def connect(call: CallHandle) -> None:
        await call.transfer(operator)  # the call ends here when the operator has answered

    menu: dict[str, Callable[[CallHandle], Awaitable[None]]] = {"1": tell_time, "2": echo, "0": connect}
    pressed = ""
    async with call:
        await call.answer(hold_others=False)  # the callers before this one are served on
        while not call.is_ended and len(pressed) < 10:
            await say(call, PROMPT)
            key = await call.digits.read(1, timeout=5)
            if not key:  # no key for five seconds, or hung up
                break
            pressed += key
            try:
                await menu.get(key, wrong)(call)
            except OperationFailed as error:
                print(f"{call.remote.uri}: key {key}: {error}")
    return pressed


async def guarded(call: CallHandle, operator: str) -> None:
    """Serve a caller who may hang up at any moment."""
    try:
        print(f"{call.remote.uri} pressed {await serve(call, operator) or 'nothing'}")
    except CommandError:
        print(f"{call.remote.uri} has hung up")


async def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description="A menu for callers.")
    parser.add_argument("--operator", default="1002", help="who gets those who press 0")
    options = parser.parse_args()
    async with Softphone.connect() as phone, asyncio.TaskGroup() as tasks:
        async for call in phone.incoming:
            tasks.create_task(guarded(call, options.operator))


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:  # Ctrl+C is how it ends
        pass
    except OffhookError as error:  # no phone (`offhook run` starts one) …
        sys.exit(str(error))
