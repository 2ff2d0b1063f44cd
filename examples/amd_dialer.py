"""Call a list of numbers, play a message to people and leave another on answering machines after their beep.

    python examples/amd_dialer.py 1001 1002 --message hello.wav --voicemail later.wav

Without files tones stand in for the messages. `--record` keeps each call.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from offhook import CallFailed, CallHandle, OperationFailed, Softphone
from offhook.errors import CommandError, OffhookError

BEEP_WITHIN = 40.0
"""Seconds: an announcement that is longer has no beep."""


async def speak(call: CallHandle, file: str, tone: str) -> None:
    """Play a message to its end."""
    playback = await (call.play(file) if file else call.play(tone=tone, duration_ms=600))
    await playback.wait()


async def beep(call: CallHandle) -> bool:
    """Wait for the beep of an answering machine; whether there was one."""
    try:
        async with asyncio.timeout(BEEP_WITHIN):
            async for event in call.events:
                if event.type == "tone.detected":
                    return True
    except TimeoutError:
        pass
    return False


async def reach(phone: Softphone, number: str, message: str, voicemail: str, *, record: bool = False) -> str:
    """Call one number; returns what became of it."""
    async with await phone.dial(number, detect=["amd"], record=record, ring_timeout=30.0) as call:
        try:
            await call.wait_active()
            found = await call.wait_amd(timeout=10)
            if found.result == "machine":
                if found.reason == "fax":
                    return "a fax machine"
                if not await beep(call):
                    return "a machine without a beep"
                await speak(call, voicemail, "660")
                return "left a message"
            await speak(call, message, "880")
            return f"spoke to a person ({found.result}, {found.reason})"
        except CallFailed as failure:
            return str(failure)
        except OperationFailed as failure:
            return f"hung up ({failure})"


async def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description="Call numbers; people and machines hear different messages.")
    parser.add_argument("numbers", nargs="+")
    parser.add_argument("--message", default="", help="a sound file for people")
    parser.add_argument("--voicemail", default="", help="a sound file for answering machines")
    parser.add_argument("--record", action="store_true", help="record each call")
    options = parser.parse_args(arguments)
    async with Softphone.connect() as phone:
        for number in options.numbers:
            try:
                became = await reach(phone, number, options.message, options.voicemail, record=options.record)
            except CommandError as error:  # a slip in one number must not keep the others from being called
                became = str(error)
            print(f"{number}: {became}")


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:  # Ctrl+C; what was begun is ended by its block
        sys.exit(130)
    except OffhookError as error:  # no phone (`offhook run` starts one), a number that is none …
        sys.exit(str(error))
