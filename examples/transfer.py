"""A switchboard: the caller dials an extension and #, and is connected with it.

    python examples/transfer.py 101=sip:anna@pbx.example.org 102=sip:bert@pbx.example.org

If the extension does not answer, the caller is still there and may dial another.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping

from offhook import CallHandle, OperationFailed, Softphone
from offhook.errors import CommandError, OffhookError


async def switch(call: CallHandle, extensions: Mapping[str, str], *, tries: int = 3) -> str:
    """Serve one caller; returns the extension that has taken the call, "" if none."""
    async with call:
        await call.answer(hold_others=False)  # the callers before this one are served on
        for _ in range(tries):
            await (await call.play(tone="350+440", duration_ms=200)).wait()  # the dial tone
            extension = await call.digits.read(6, end="#", timeout=8)
            target = extensions.get(extension)
            if target is None:
                print(f"{call.remote.uri} dialled {extension or 'nothing'}, which is no extension")
                continue
            try:
                await call.transfer(target)
            except OperationFailed as error:
                print(f"{extension} does not take the call: {error}")
                continue
            return extension
    return ""


async def guarded(call: CallHandle, extensions: Mapping[str, str]) -> None:
    """Serve a caller who may hang up at any moment."""
    try:
        print(f"{call.remote.uri} talks to {await switch(call, extensions) or 'nobody'}")
    except CommandError:
        print(f"{call.remote.uri} has hung up")


async def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description="Connect callers with extensions.")
    parser.add_argument("extension", nargs="+", help="number=address")
    options = parser.parse_args()
    extensions = dict(entry.partition("=")[::2] for entry in options.extension)
    if not all(extensions) or not all(extensions.values()):
        parser.error("write each extension as number=address: 101=sip:anna@pbx.example.org")
    async with Softphone.connect() as phone, asyncio.TaskGroup() as tasks:
        async for call in phone.incoming:
            tasks.create_task(guarded(call, extensions))


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:  # Ctrl+C is how it ends
        pass
    except OffhookError as error:  # no phone (`offhook run` starts one) …
        sys.exit(str(error))
