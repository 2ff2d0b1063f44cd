"""One phone of test_interop_nats.py, in a network namespace: calls or is called, and prints what it heard as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path

from offhook.phone.commands import Dial, Play, Record
from offhook.phone.settings import NatSettings, SrtpSettings
from offhook.storage.config import Config
from offhook.testing.ears import dominant_frequency, level_dbfs, read_wav
from offhook.testing.live import live_phone


async def main(role: str, folder: Path, nat: dict[str, str], srtp: str) -> None:
    """Run until both have heard each other for a second."""
    config = Config()
    config = replace(
        config, sip=replace(config.sip, port=5060), media=replace(config.media, sound="null"),
        phone=replace(config.phone, auto_answer="all"),
        nat=NatSettings(**nat), srtp=SrtpSettings(srtp, "dtls"),  # type: ignore[arg-type]
    )  # fmt: skip
    async with live_phone(config) as phone:
        await phone.until(lambda: phone.running.phone.reach.servers.stun is not None, "servers")
        if role == "caller":
            phone.execute(Dial(to="sip:offhook@10.99.0.2"))
        else:
            print("ready", flush=True)
            await phone.until(lambda: phone.status == 2, "a call")
        await phone.reaches(2)
        await phone.event("media.route")
        if srtp != "off":
            await phone.event("media.security")
        await phone.event("media.started")
        phone.execute(Play(tone="600" if role == "caller" else "440", duration_ms=0))
        await asyncio.sleep(1.0)
        phone.execute(Record(file=str(folder / f"{role}.wav"), channels="stereo", max_seconds=1.0))
        await phone.event("recording.finished")
        heard = read_wav(folder / f"{role}.wav").channels
        await asyncio.sleep(2.0)  # the other one still listens
    events = {event.type: event.data for event in phone.events}
    print(json.dumps({
        "heard": [dominant_frequency(channel) for channel in heard if level_dbfs(channel) > -60],
        "route": {key: events["media.route"][key] for key in ("local", "remote", "address")},
        "candidates": events["media.candidates"]["candidates"], "problems": events["media.candidates"]["problems"],
    }), flush=True)  # fmt: skip


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]), sys.argv[4]))
