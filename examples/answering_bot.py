"""Answer every call, play a greeting, and hang up.

    python examples/answering_bot.py greeting.wav

The phone runs inside this program; it needs no sound card. Without an account it can be called at its address. Each call has
a task of its own, so that ten callers are greeted at once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from pathlib import Path

from offhook import CallHandle, OperationFailed, PhoneGone, Softphone
from offhook.errors import CommandError


async def greet(call: CallHandle, greeting: str) -> None:
    """Serve one caller. A caller who hangs up in the middle is no mistake of ours."""
    try:
        async with call:  # whatever happens in here, the call is hung up at the end
            await call.answer(hold_others=False)  # the callers before this one are served on
            playback = await call.play(greeting) if greeting else await call.play(tone="440", duration_ms=300)
            played = await playback.wait()
            print(f"{call.remote.uri}: heard {played / 1000:.1f} s of the greeting")
    except (CommandError, OperationFailed) as error:
        print(f"{call.remote.uri}: {error}")


async def answer_all(phone: Softphone, greeting: str = "") -> None:
    """Greet every caller until the phone is closed."""
    async with asyncio.TaskGroup() as tasks:
        async for call in phone.incoming:
            tasks.create_task(greet(call, greeting))


async def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description="Answer calls with a greeting.")
    parser.add_argument("greeting", nargs="?", default="", help="a WAV file; without it a tone")
    options = parser.parse_args()
    if options.greeting and not Path(options.greeting).is_file():
        parser.error(f"there is no file {options.greeting}")
    async with Softphone(sound="null") as phone:
        print(f"waiting for calls at {phone.address}; Ctrl+C ends")
        try:
            await answer_all(phone, options.greeting)
        except* PhoneGone as gone:
            print(f"the phone has gone: {gone.exceptions[0]}")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl+C is how it ends
        asyncio.run(main())
