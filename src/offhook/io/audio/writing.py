"""Recordings on the disk, in whatever format. Only a thread of this file touches the disk and encodes, never the tick."""

from __future__ import annotations

import os
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal, Protocol

from offhook.errors import OffhookError, SetupError, reason_of
from offhook.io.threads import begin
from offhook.media import pcm
from offhook.media.messages import RecordingFormat
from offhook.media.sources import SAMPLE_RATE, Recorder
from offhook.media.wav import HEADER_BYTES, MAX_DATA_BYTES, header, interleave

if TYPE_CHECKING:
    from soundfile import SoundFile

WRITE_EVERY: Final = 0.25
"""Seconds. What was written has left this process and survives its death."""
MAX_PENDING: Final = 1_500
"""Frames: 30 s behind, and the disk will not catch up."""
JOIN_SECONDS: Final = 2.0

OGG_PAGE: Final = 0x1302
"""libsndfile's SFC_SET_OGG_PAGE_LATENCY_MS: how much sound it keeps to itself until a page is full."""
PAGE_MS: Final = 250.0
SYSTEM_ERROR: Final = 2
"""libsndfile's SF_ERR_SYSTEM: the system refused a write, and libsndfile keeps to itself why."""

# What soundfile calls them: format, subtype.
ENCODED: Final[dict[RecordingFormat, tuple[str, str]]] = {
    "flac": ("FLAC", "PCM_16"), "mp3": ("MP3", "MPEG_LAYER_III"), "opus": ("OGG", "OPUS"),
}  # fmt: skip


class Writer(Protocol):
    """A sound file that is being written; any of its methods may take its time, and raise OSError."""

    def put(self, block: bytes) -> None:
        """Append samples, interleaved where there are two channels."""
        ...

    def close(self) -> None:
        """Complete the file."""
        ...


def open_recorder(
    path: str, channels: Literal["mono", "stereo"], rate: int = SAMPLE_RATE, form: RecordingFormat = "wav",
    make_folder: bool = False,
) -> Recorder:  # fmt: skip
    """Start a recording of frames of this rate into a new file. What goes wrong is in `error`, at any time from now on."""
    return _FileRecorder(Path(path), 2 if channels == "stereo" else 1, rate, form, make_folder)


class _FileRecorder:
    """Takes frames into memory; a thread opens the file and writes them out four times a second."""

    def __init__(self, path: Path, channels: int, rate: int, form: RecordingFormat, make_folder: bool) -> None:
        self._path = path
        self._channels = channels
        self._rate = rate
        self._form = form
        self._make_folder = make_folder
        self._pending: deque[tuple[bytes, bytes]] = deque()
        self._closing = threading.Event()
        self.error = ""
        self.size = 0
        self.is_open = False
        self.is_complete = False
        self._thread: threading.Thread | None = None
        try:
            self._thread = begin(self._run, "offhook-recorder")
        except SetupError as problem:
            self.error, self.is_complete = str(problem), True

    def write(self, near: bytes, far: bytes) -> None:
        """Take one frame of each side; nothing more is taken after an error or `finish`."""
        if self.error or self._closing.is_set():
            return
        if len(self._pending) >= MAX_PENDING:
            self.error = "the disk is too slow"
            self._closing.set()
            return
        self._pending.append((near, far))

    def finish(self) -> None:
        """Have the rest written and the file completed; `is_complete` tells when that is done."""
        self._closing.set()

    def close(self) -> None:
        """Do that, and wait for it, at most two seconds."""
        self._closing.set()
        if self._thread is None:
            return
        self._thread.join(JOIN_SECONDS)
        if self._thread.is_alive() and not self.error:
            self.error = "the disk is too slow"

    # --- in the thread

    def _run(self) -> None:
        try:
            if self._make_folder:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            writer = _open(self._path, self._channels, self._rate, self._form)
            try:
                self.is_open = True
                while not self._closing.wait(WRITE_EVERY):
                    self._drain(writer)
                self._drain(writer)
            finally:
                writer.close()
        # soundfile's errors are RuntimeErrors, a NUL in the name is a ValueError
        except (OSError, OffhookError, RuntimeError, ValueError) as problem:
            self.error = self.error or reason_of(problem)
            self._pending.clear()
        finally:
            if self.is_open:
                self.size = _size(self._path)
            self.is_complete = True

    def _drain(self, writer: Writer) -> None:
        pairs = [self._pending.popleft() for _ in range(len(self._pending))]
        if not pairs:
            return
        near = b"".join(pair[0] for pair in pairs)
        far = b"".join(pair[1] for pair in pairs)
        writer.put(interleave(near, far) if self._channels == 2 else pcm.add(near, far))


def _open(path: Path, channels: int, rate: int, form: RecordingFormat) -> Writer:
    """Make a new file; raises FileExistsError if there is one of this name, SetupError where packages are missing."""
    return _WavWriter(path, channels, rate) if form == "wav" else _EncodedWriter(path, channels, rate, form)


class _WavWriter:
    """16-bit PCM. The file is valid at every moment: sound first, then the header that promises it."""

    def __init__(self, path: Path, channels: int, rate: int) -> None:
        self._channels = channels
        self._rate = rate
        self._written = 0
        self._file: BinaryIO = path.open("xb", buffering=0)
        try:
            self._put(0, header(channels, rate, 0))
        except OSError:
            self._file.close()
            raise

    def put(self, block: bytes) -> None:
        """Append samples."""
        if self._written + len(block) > MAX_DATA_BYTES:
            raise OSError(0, "a WAV file cannot be longer than 4 GiB")
        self._put(HEADER_BYTES + self._written, block)
        self._written += len(block)
        self._put(0, header(self._channels, self._rate, self._written))

    def close(self) -> None:
        """Close the file: it is complete."""
        self._file.close()

    def _put(self, place: int, data: bytes) -> None:
        self._file.seek(place)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]


class _EncodedWriter:
    """FLAC, MP3 or Opus, by libsndfile, which lets other threads run while it encodes."""

    def __init__(self, path: Path, channels: int, rate: int, form: RecordingFormat) -> None:
        try:
            import numpy
            import soundfile
        except (ImportError, OSError) as error:  # OSError: the library within the package does not load
            raise SetupError(f"recording {form} needs the extra packages: pip install 'offhook[recording]' ({error})") from None
        self._numpy = numpy
        self._channels = channels
        kind, subtype = ENCODED[form]
        path.open("xb").close()  # the name is ours now
        self._file: SoundFile = soundfile.SoundFile(str(path), "w", rate, channels, subtype, format=kind)
        if form == "opus":
            _flush_often(soundfile, self._file)

    def put(self, block: bytes) -> None:
        """Encode and append samples."""
        samples = self._numpy.frombuffer(block, self._numpy.int16).reshape(-1, self._channels)
        before = self._file.frames
        try:
            self._file.write(samples)
        except RuntimeError as problem:
            if getattr(problem, "code", 0) != SYSTEM_ERROR:
                raise
            raise OSError(0, "the disk is full, or refuses to be written") from problem
        if self._file.frames - before != len(samples):
            raise OSError(0, "the disk is full")

    def close(self) -> None:
        """Write what the encoder holds back, and the totals."""
        self._file.close()


def _flush_often(soundfile: Any, file: Any) -> None:
    """Have OGG pages written four times a second in place of once. soundfile has no door to that, so a window is tried."""
    try:
        soundfile._snd.sf_command(file._file, OGG_PAGE, soundfile._ffi.new("double*", PAGE_MS), 8)
    except (AttributeError, TypeError):
        return  # then a second is kept back


def _size(path: Path) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0
