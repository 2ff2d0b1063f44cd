"""Let a supervisor listen to the active call, whisper to the agent at this phone, or speak to both.

    python examples/supervisor.py 1005

The supervisor at 1005 is called and hears both sides. Pressing 1 whispers to the agent, 2 speaks to the customer, 3 to both, 0
only listens again; hanging up ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from offhook import CallHandle, Softphone
from offhook.errors import OffhookError
from offhook.media.messages import Side

MODES: dict[str, Side] = {"0": "none", "1": "near", "2": "far", "3": "both"}


async def supervise(phone: Softphone, call: CallHandle, supervisor: str) -> str:
    """Let a supervisor into a call until one of the two ends; returns the keys that were pressed."""
    pressed = ""
    # The call that is supervised goes on, so it must not be put on hold; where there are several media workers both have to
    # be in the same one.
    async with await phone.dial(supervisor, hold_others=False, beside=call.id) as listening:
        await listening.wait_active()
        await listening.tap(call)
        async for key in listening.digits:
            if call.is_ended:
                break
            if key in MODES:
                pressed += key
                await listening.tap(call, speak=MODES[key])
                print(f"{supervisor} speaks to: {MODES[key]}")
    return pressed


async def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description="Let a supervisor hear the active call.")
    parser.add_argument("supervisor", help="whom to call")
    options = parser.parse_args()
    async with Softphone.connect() as phone:
        active = [call for call in phone.calls if call.state == "active"]
        if not active:
            raise SystemExit("there is no active call")
        await supervise(phone, active[0], options.supervisor)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:  # Ctrl+C; what was begun is ended by its block
        sys.exit(130)
    except OffhookError as error:  # no phone (`offhook run` starts one), a number that is none …
        sys.exit(str(error))
