"""Take a message when nobody answers.

    python examples/voicemail.py messages/ --after 20 --greeting greeting.wav

It stands beside a running phone: a call that rings too long is answered here, greeted, and recorded until the caller hangs up,
presses a key or has talked for two minutes. Very short recordings (a caller who hung up at the beep) are not kept.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from offhook import CallFailed, CallHandle, OperationFailed, PhoneGone, Softphone
from offhook.errors import CommandError, OffhookError, reason_of

HEADER = 44
"""Bytes of a WAV file before its first sample; a second of sound is 16000 more."""


async def take_message(call: CallHandle, folder: Path, greeting: str, *, longest: float, shortest: float) -> Path | None:
    """Answer and record; returns the message's file, None if there was none worth keeping."""
    folder.mkdir(parents=True, exist_ok=True)
    async with call:
        await call.answer(hold_others=False)  # whoever talks at this phone talks on,
        await call.mute()  # unheard by the caller
        playback = await call.play(greeting) if greeting else await call.play(tone="440", duration_ms=200)
        await playback.wait()
        name = f"{call.view.created:%Y%m%d-%H%M%S}-{call.id}.wav"
        recording = await call.record(folder / name, beep=True, max_seconds=longest)
        await call.digits.read(1, timeout=longest)  # a key, the caller's hanging up, or the longest time
        file = await recording.stop()
    if file.stat().st_size - HEADER < shortest * 16000:
        file.unlink()
        return None
    return file


async def watch(
    call: CallHandle, folder: Path, greeting: str = "", *, after: float = 20.0, longest: float = 120.0, shortest: float = 1.0
) -> Path | None:
    """Give people `after` seconds to answer one call; take a message if they do not."""
    try:
        await call.wait_active(timeout=after)
    except CallFailed:
        return None  # the caller gave up
    except TimeoutError:
        try:
            return await take_message(call, folder, greeting, longest=longest, shortest=shortest)
        except (CommandError, OperationFailed, PhoneGone) as error:
            print(f"{call.remote.uri}: no message: {error}")
    return None


async def main() -> None:
    """Read the command line and watch."""
    parser = argparse.ArgumentParser(description="Take messages.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--after", type=float, default=20.0)
    parser.add_argument("--greeting", default="")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)  # now, not when somebody calls, is the time to say that it cannot be
    async with Softphone.connect(name="voicemail") as phone, asyncio.TaskGroup() as tasks:
        async for call in phone.incoming:
            tasks.create_task(watch(call, options.folder, options.greeting, after=options.after))


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:  # Ctrl+C is how it ends
        pass
    except (OffhookError, OSError) as error:  # no phone (`offhook run` starts one), a folder that cannot be written …
        sys.exit(reason_of(error))
