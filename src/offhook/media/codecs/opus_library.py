"""libopus by ctypes: where it is found, and the few functions of it that this program calls.

Nothing here believes a length: what is handed to C has its length beside it, what comes back is a number that was looked at.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

MAX_PACKET: Final = 1_500  # bytes a frame may be encoded to: RFC 6716 3.2.1 allows 1275 for each, and the network no more
MAX_FRAME_MS: Final = 120  # RFC 6716 3.2.5: no packet is longer

# Constants of opus_defines.h.
APPLICATION_VOIP: Final = 2048
SIGNAL_VOICE: Final = 3001
SET_BITRATE: Final = 4002
SET_VBR: Final = 4006
SET_COMPLEXITY: Final = 4010
SET_INBAND_FEC: Final = 4012
SET_PACKET_LOSS_PERC: Final = 4014
SET_DTX: Final = 4016
SET_SIGNAL: Final = 4024


class Missing(ImportError):
    """There is no libopus on this machine."""


@cache
def library() -> ctypes.CDLL:
    """Return libopus: the one that came as a package, else the system's, else PyAV's. Raises Missing."""
    for place in _places():
        try:
            return _declared(ctypes.CDLL(place))
        except (OSError, AttributeError):
            continue
    raise Missing("libopus is not on this machine")


def version() -> str:
    """Return what the library calls itself. Raises Missing."""
    text: bytes = library().opus_get_version_string()
    return text.decode("ascii", "replace")


def _places() -> Iterator[str]:
    bundled = {"win32": "opus.dll", "darwin": "libopus.dylib"}.get(sys.platform, "libopus.so")
    for folder in _folders("opuslib_next"):
        yield str(folder / "_native" / bundled)
    if sys.platform == "win32":
        yield from ("opus.dll", "libopus-0.dll")
    elif sys.platform == "darwin":
        yield from ("libopus.0.dylib", "/opt/homebrew/lib/libopus.0.dylib", "/usr/local/lib/libopus.0.dylib")
    else:
        yield "libopus.so.0"
    for folder in _folders("av"):
        for place in (folder.parent / "av.libs", folder / ".dylibs"):
            yield from sorted(str(file) for file in place.glob("libopus*"))


def _folders(package: str) -> list[Path]:
    """Return where a package is installed, without importing it."""
    spec = find_spec(package)
    return [Path(place) for place in spec.submodule_search_locations or ()] if spec is not None else []


def _declared(found: ctypes.CDLL) -> ctypes.CDLL:
    """Tell ctypes the types of all functions; AttributeError for a library that lacks one."""
    pointer, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    failure = ctypes.POINTER(ctypes.c_int)
    for name, result, arguments in (
        ("opus_get_version_string", text, []),
        ("opus_encoder_create", pointer, [ctypes.c_int32, number, number, failure]),
        ("opus_encoder_destroy", None, [pointer]),
        # Variadic: ctypes takes what stands beyond the declared arguments for that.
        ("opus_encoder_ctl", number, [pointer, number]),
        ("opus_encode", ctypes.c_int32, [pointer, text, number, pointer, ctypes.c_int32]),
        ("opus_decoder_create", pointer, [ctypes.c_int32, number, failure]),
        ("opus_decoder_destroy", None, [pointer]),
        ("opus_decode", number, [pointer, text, ctypes.c_int32, pointer, number, number]),
        ("opus_packet_parse", number, [text, ctypes.c_int32, pointer, pointer, pointer, pointer]),
    ):
        function = getattr(found, name)
        function.restype, function.argtypes = result, arguments
    return found


class Encoder:
    """One mono encoder. Methods raise nothing; `encode` returns b"" for what cannot be encoded."""

    def __init__(self, rate: int) -> None:
        self._library = library()
        failed = ctypes.c_int()
        self._state = self._library.opus_encoder_create(rate, 1, APPLICATION_VOIP, ctypes.byref(failed))
        if failed.value or not self._state:
            raise Missing(f"libopus makes no encoder (error {failed.value})")
        self._out = ctypes.create_string_buffer(MAX_PACKET)
        self._encode = self._library.opus_encode
        self.set(SET_SIGNAL, SIGNAL_VOICE)

    def set(self, request: int, value: int) -> None:
        """Change a setting (SET_…); one that the library refuses stays as it was."""
        self._library.opus_encoder_ctl(self._state, request, ctypes.c_int32(value))

    def encode(self, frames: bytes) -> bytes:
        """Return the packet for 2.5 to 60 ms of PCM."""
        length = self._encode(self._state, frames, len(frames) // 2, self._out, MAX_PACKET)
        return self._out.raw[:length] if 0 < length <= MAX_PACKET else b""

    def __del__(self) -> None:
        if getattr(self, "_state", None):
            self._library.opus_encoder_destroy(self._state)
            self._state = None


class Decoder:
    """One mono decoder; a stereo packet becomes mono within. Methods raise nothing."""

    def __init__(self, rate: int) -> None:
        self._library = library()
        failed = ctypes.c_int()
        self._state = self._library.opus_decoder_create(rate, 1, ctypes.byref(failed))
        if failed.value or not self._state:
            raise Missing(f"libopus makes no decoder (error {failed.value})")
        self._room = rate * MAX_FRAME_MS // 1000
        self._out = (ctypes.c_int16 * self._room)()
        self._decode = self._library.opus_decode

    def decode(self, packet: bytes | None, samples: int, *, recover: bool = False) -> bytes:
        """Return the PCM of a packet of at most `samples`, None: make them up; with `recover` those before the packet.

        b"" is what the library refuses.
        """
        if not 0 < samples <= self._room or packet == b"":
            return b""  # no data at all would mean to the library what None does
        size = 0 if packet is None else len(packet)
        count = self._decode(self._state, packet, size, self._out, samples, int(recover))
        return ctypes.string_at(self._out, 2 * count) if 0 < count <= samples else b""

    def __del__(self) -> None:
        if getattr(self, "_state", None):
            self._library.opus_decoder_destroy(self._state)
            self._state = None


def frames_in(packet: bytes) -> int:
    """Return how many frames a packet holds, 0 for one that is broken (RFC 6716 3.4)."""
    sizes, frames = (ctypes.c_int16 * 48)(), (ctypes.c_void_p * 48)()
    count = int(library().opus_packet_parse(packet, len(packet), None, frames, sizes, None)) if packet else 0
    return max(0, count)
