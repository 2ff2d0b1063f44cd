"""What the phone and its media engine have in common: the options, and the messages on the pipe between them.

Light on purpose: a phone whose media runs in a worker process imports this, not the engine.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Final, TypeAlias

from offhook.media.messages import MediaReport

_LENGTH: Final = 4

Emit: TypeAlias = Callable[[Sequence[MediaReport]], object]


@dataclass(frozen=True, slots=True)
class MediaOptions:
    """Where media runs: the local IPv4 address to bind, the ports (inclusive; None: the system chooses), how many pairs to
    keep ready, and the sound backend (`io.audio.sound.open_sound_card`)."""

    host: str = "0.0.0.0"
    port_range: tuple[int, int] | None = None
    pool: int = 8
    sound: str = "auto"


def write_message(pipe: IO[bytes], message: object) -> None:
    """Write one message and flush."""
    text = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    pipe.write(len(text).to_bytes(_LENGTH, "big") + text)
    pipe.flush()


def read_message(pipe: IO[bytes]) -> object:
    """Return the next message. Raises EOFError at the end."""
    head = pipe.read(_LENGTH)
    if len(head) < _LENGTH:
        raise EOFError
    text = pipe.read(int.from_bytes(head, "big"))
    return pickle.loads(text)  # noqa: S301 - the other end of the pipe is our own process
