"""Dial a number, say whether somebody answered, and hang up after some seconds of talk.

    python examples/dial.py 1001 --seconds 20

It drives the phone that `offhook run` (or `make run`) has started; nothing here is asynchronous.
"""

from __future__ import annotations

import argparse
import sys

from offhook import Busy, CallFailed, NoAnswer
from offhook.errors import OffhookError
from offhook.sync import Softphone


def dial(phone: Softphone, number: str, *, seconds: float = 20.0, ring_timeout: float = 30.0) -> int:
    """Return 0 if the call was answered, 1 if not."""
    with phone.dial(number, ring_timeout=ring_timeout) as call:  # hung up at the end of the block, also by Ctrl+C
        print(f"calling {call.remote.uri} …")
        try:
            call.wait_active()
        except Busy:
            print("busy: try again later")
            return 1
        except NoAnswer:
            print("nobody answers")
            return 1
        except CallFailed as failure:  # declined, no such number, the network …
            print(f"that did not work: {failure}")
            return 1

        print(f"connected, {call.view.media.codec}")
        try:
            call.wait_ended(timeout=seconds)
            print("they have hung up")
        except TimeoutError:
            print("we hang up")
    return 0


def main() -> int:
    """Read the command line and dial."""
    parser = argparse.ArgumentParser(description="Dial a number.")
    parser.add_argument("number")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to talk at most")
    options = parser.parse_args()
    with Softphone.connect() as phone:
        return dial(phone, options.number, seconds=options.seconds)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # Ctrl+C; what was begun is ended by its block
        sys.exit(130)
    except OffhookError as error:  # no phone (`offhook run` starts one), a number that is none …
        sys.exit(str(error))
