"""Two phones of test_interop_link.py on addresses of one link, in a network namespace: they call, and say what they heard."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path

from offhook.phone.commands import Dial, Hangup, Play, Record
from offhook.testing.ears import dominant_frequency, read_wav
from offhook.testing.live import LivePhone, live_phone, over, quiet_config


async def heard(phone: LivePhone, file: Path) -> float:
    """Record the far end for a second and return its tone."""
    phone.execute(Record(file=str(file), channels="stereo", max_seconds=1.0))
    await phone.event("recording.finished")
    found = read_wav(file)
    return dominant_frequency(found.channels[1][found.rate // 2:], found.rate)


async def main(folder: Path, link: str, transport: str) -> None:
    """Call, listen, hang up."""
    config = quiet_config(auto_answer="all")
    one, other = (replace(config, sip=replace(config.sip, host=f"fe80::{last}%{link}", port=5060)) for last in "ab")
    async with live_phone(one) as caller, live_phone(other) as callee:
        caller.execute(Dial(to=f"sip:x@[fe80::b];transport={transport}"))
        for phone, tone in ((caller, "600"), (callee, "440")):
            await phone.event("media.started")
            phone.execute(Play(tone=tone, duration_ms=0))
        tones = [await heard(caller, folder / "caller.wav"), await heard(callee, folder / "callee.wav")]
        call = next(event.data["call"]["sip_call_id"] for event in caller.events if event.type == "call.calling")
        said = b"".join(message.data for message in caller.running.traced(call))
        caller.execute(Hangup())
        await over(caller, callee)
    print(json.dumps({"heard": tones, "named": link in said.decode()}))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
