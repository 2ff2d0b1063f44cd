"""What the phone and its media engine have in common: the options, and the messages on the pipe between them.

Light on purpose: a phone whose media runs in a worker process imports this, not the engine.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import IO, Final, TypeAlias

from offhook.media.messages import MediaReport

_LENGTH: Final = 4

Emit: TypeAlias = Callable[[Sequence[MediaReport]], object]


@dataclass(frozen=True, slots=True)
class MediaOptions:
    """Where media runs: the local address to bind ("::": all of IPv6 and of IPv4), the ports (inclusive; None: the system
    chooses), how many pairs to keep ready, the sound backend (`io.audio.sound.open_sound_card`), who cleans the microphone
    (`io.audio.voices`), whether to have DTLS and which `codecs` to have ready before a call needs them, and which of how many
    workers this is."""

    host: str = "0.0.0.0"
    port_range: tuple[int, int] | None = None
    pool: int = 8
    sound: str = "auto"
    voice: str = "own"
    dtls: bool = False
    codecs: tuple[str, ...] = ()
    worker: int = 0
    workers: int = 1

    def share(self, worker: int, workers: int) -> MediaOptions:
        """Return the options of one of several workers: each has a part of the ports of its own."""
        ports = self.port_range
        if ports is not None:
            low = ports[0] + ports[0] % 2
            pairs = max(0, (ports[1] + 1 - low) // 2)
            ports = low + 2 * (pairs * worker // workers), low + 2 * (pairs * (worker + 1) // workers) - 1
        return replace(self, port_range=ports, worker=worker, workers=workers)


def frame(message: object) -> bytes:
    """Return one message as it travels."""
    text = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return len(text).to_bytes(_LENGTH, "big") + text


def write_message(pipe: IO[bytes], message: object) -> None:
    """Write one message and flush."""
    pipe.write(frame(message))
    pipe.flush()


def read_message(pipe: IO[bytes]) -> object:
    """Return the next message. Raises EOFError at the end."""
    return _loads(_exactly(pipe, int.from_bytes(_exactly(pipe, _LENGTH), "big")))


def _exactly(pipe: IO[bytes], count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = pipe.read(count - len(data))  # of a pipe without a buffer this may be less
        if not more:
            raise EOFError
        data += more
    return data


class Frames:
    """Cuts what a pipe brings into messages."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[object]:
        """Return the messages that are complete now."""
        data, messages, place = self._rest + data, [], 0
        while len(data) - place >= _LENGTH:
            end = place + _LENGTH + int.from_bytes(data[place : place + _LENGTH], "big")
            if end > len(data):
                break
            messages.append(_loads(data[place + _LENGTH : end]))
            place = end
        self._rest = data[place:]
        return messages


def _loads(text: bytes) -> object:
    return pickle.loads(text)  # noqa: S301 - the other end of the pipe is our own process
