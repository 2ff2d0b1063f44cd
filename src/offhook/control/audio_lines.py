"""Sound on the local socket: after the operation `audio` a connection carries nothing but one call's audio, as JSON lines.

    -> {"id":1,"op":"audio","call":"c_1","rate":16000}
    <- {"id":1,"ok":true,"result":{"audio":"aud_1","call":"c_1","rate":16000}}
    <- {"audio":"<base64>","gone_ms":40}          20 ms of the far end; how much of what we sent has been played or cleared
    -> {"audio":"<base64>"}                       say this after what was said before (s16le, mono)
    -> {"mark":"greeting"}                        <- {"mark":"greeting","played_ms":1200}  when all before it is played
    -> {"clear":1}                                <- {"clear":1,"played_ms":1300,"dropped_ms":700}  silent at once
    <- {"end":""}                                 the call is over (or why its sound broke), then the connection closes
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, get_args

import msgspec

from offhook.control.access import Client
from offhook.control.operations import Operations
from offhook.control.schema import problem
from offhook.errors import CommandError, InvalidArgument, MediaLost
from offhook.io.audio_link import AudioLink, Frame
from offhook.media.messages import AudioCleared, AudioMarkReached, AudioRate, AudioReport

Write = Callable[[bytes], None]

_encode = msgspec.json.Encoder().encode


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    audio: bytes = b""
    mark: str | None = None
    clear: int | None = None


_decode = msgspec.json.Decoder(_Line).decode


class AudioLines:
    """One connection that carries a call's sound. `write` sends a line, `over` ends the connection after what is written.

    `is_full` says that the client does not read: then it is not told what it would hear too late.
    """

    def __init__(self, link: AudioLink, write: Write, is_full: Callable[[], bool], over: Callable[[], None]) -> None:
        self._link = link
        self._write = write
        self._is_full = is_full
        self._over = over
        self._clears: set[asyncio.Future[AudioCleared]] = set()
        link.on_frame = self._heard
        link.on_report = self._reported
        link.on_end = self._ended

    def take(self, line: bytes) -> None:
        """Do what one line of the client says."""
        try:
            found = _decode(line)
            if found.audio:
                self._link.write(found.audio)
            if found.mark is not None:
                self._link.mark(found.mark)
            if found.clear is not None:
                self._clear(found.clear)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._say({"error": problem(InvalidArgument(f"the line is none of the audio lines: {error}"))})
        except CommandError as error:
            self._say({"error": problem(error)})

    def close(self) -> None:
        """The client has gone."""
        self._link.on_end = None
        self._link.close()

    def _say(self, line: Mapping[str, Any]) -> None:
        self._write(_encode(line) + b"\n")

    def _clear(self, number: int) -> None:
        done = self._link.clear()
        self._clears.add(done)

        def tell(found: asyncio.Future[AudioCleared]) -> None:
            self._clears.discard(found)
            cleared = found.result()
            self._say({"clear": number, "played_ms": cleared.played_ms, "dropped_ms": cleared.dropped_ms})

        done.add_done_callback(tell)

    def _heard(self, frame: Frame) -> None:
        if not self._is_full():
            self._say({"audio": frame.pcm, "gone_ms": self._link.gone_ms})

    def _reported(self, report: AudioReport) -> None:
        if isinstance(report, AudioMarkReached):
            self._say({"mark": report.name, "played_ms": report.played_ms})

    def _ended(self, error: MediaLost | None) -> None:
        self._say({"end": str(error) if error is not None else ""})
        self._over()


def open_audio(operations: Operations, client: Client, params: Mapping[str, Any]) -> AudioLink:
    """Open the link that the operation `audio` asks for; raises CommandError."""
    unknown = [name for name in params if name not in ("call", "rate")]
    if unknown:
        raise InvalidArgument.field(unknown[0][:64], "no such field; there are: call, rate")
    call, rate = params.get("call", ""), params.get("rate", 16000)
    if not isinstance(call, str):
        raise InvalidArgument.field("call", "must be a call's id")
    if rate not in get_args(AudioRate):
        raise InvalidArgument.field("rate", f"one of {', '.join(map(str, get_args(AudioRate)))}")
    return operations.open_audio(client, call, rate)
