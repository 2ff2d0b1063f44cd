"""WAV files as sources, recorders and as a sound card. The disk is touched by threads of this file only, never by the tick."""

from __future__ import annotations

import os
import threading
from collections import deque
from pathlib import Path
from typing import BinaryIO, Final, Literal

from offhook.errors import ParseError
from offhook.media import pcm
from offhook.media.messages import DeviceFailed, DeviceKind, DeviceRecovered, DevicesListed
from offhook.media.resample import resampler
from offhook.media.sources import SAMPLE_RATE, SILENCE, Recorder, Source, frame_bytes
from offhook.media.wav import HEADER_BYTES, MAX_DATA_BYTES, WavFormat, header, interleave, read_header, to_mono

CHUNK_MS: Final = 200
AHEAD_FRAMES: Final = 100  # two seconds: longer than a disk that has to spin up
LOW_FRAMES: Final = 50
WRITE_EVERY: Final = 0.25  # seconds; the header follows each write
MAX_PENDING: Final = 1_500  # 30 s of frames behind: the disk will not catch up
JOIN_SECONDS: Final = 2.0


def open_wav_source(path: str, loop: bool, gain_db: float = 0.0, rate: int = SAMPLE_RATE) -> Source:
    """Return a WAV file as a source of frames of this rate.

    The first moments are read at once, the rest ahead by a thread. Raises OSError if the file cannot be read and ParseError
    if it is no WAV file, its header does not fit the file, or its encoding is not supported.
    """
    file = Path(path).open("rb")  # noqa: SIM115 - the source owns it
    try:
        return _WavSource(_Decoder(file, loop, gain_db, rate))
    except BaseException:
        file.close()
        raise


class _Decoder:
    """Turns an open WAV file into frames, chunk by chunk."""

    def __init__(self, file: BinaryIO, loop: bool, gain_db: float, rate: int) -> None:
        self._file = file
        self._rate = rate
        self._frame = frame_bytes(rate)
        self._form: WavFormat = read_header(file, os.fstat(file.fileno()).st_size)
        self._loop = loop and self._form.length > 0
        self._factor = pcm.factor(gain_db)
        self._chunk = max(1, self._form.rate * CHUNK_MS // 1000) * self._form.frame_bytes
        self._rest = b""
        self._rewind()

    def _rewind(self) -> None:
        self._file.seek(self._form.start)
        self._left = self._form.length
        self._resampler = resampler(self._form.rate, self._rate)

    def frames(self) -> list[bytes] | None:
        """Return the frames of the next chunk (there may be none), None when the audio is over. Raises OSError."""
        data = self._file.read(min(self._chunk, self._left))
        self._left -= len(data)
        data = data[:len(data) - len(data) % self._form.frame_bytes]
        if data:
            return self._split(self._resampler.feed(to_mono(self._form, data)))
        if self._left:
            raise OSError(0, "the file became shorter while it was played")
        tail = self._resampler.flush()
        if self._loop:
            self._rewind()
            return self._split(tail)
        if not tail and not self._rest:
            return None
        self._resampler = resampler(self._rate, self._rate)  # flushed: the next call finds nothing more
        frames = self._split(tail)
        if self._rest:
            frames.append(self._rest.ljust(self._frame, b"\0"))
            self._rest = b""
        return frames

    def _split(self, samples: bytes) -> list[bytes]:
        if self._factor != 1.0:
            samples = pcm.scale(samples, self._factor)
        samples = self._rest + samples
        size = self._frame
        end = len(samples) - len(samples) % size
        self._rest = samples[end:]
        return [samples[start:start + size] for start in range(0, end, size)]

    def close(self) -> None:
        self._file.close()


class _WavSource:
    """Frames of a decoder, with a thread that keeps two seconds of them ready if the file is longer than one chunk."""

    def __init__(self, decoder: _Decoder) -> None:
        self._decoder = decoder
        self._frames: deque[bytes] = deque()
        self._finished = False
        self._closed = False
        self._wake = threading.Event()
        self.error = ""
        if self._fill(AHEAD_FRAMES // 10):
            self._finished = True
            decoder.close()
        else:
            threading.Thread(target=self._read_ahead, name="offhook-wav-reader", daemon=True).start()

    def read(self) -> bytes | None:
        """Return the next frame, silence while the disk is behind, None at the end."""
        if self._closed:
            return None
        finished = self._finished  # looked at first: frames are stored before it is set
        frames = self._frames
        if frames:
            if len(frames) == LOW_FRAMES:
                self._wake.set()
            return frames.popleft()
        self._wake.set()
        return None if finished else SILENCE

    def close(self) -> None:
        """Let the thread end and the file close."""
        self._closed = True
        self._wake.set()

    def _fill(self, until: int) -> bool:
        """Decode until `until` frames are ready; tell whether the audio is over."""
        while len(self._frames) < until:
            frames = self._decoder.frames()
            if frames is None:
                return True
            self._frames.extend(frames)
        return False

    def _read_ahead(self) -> None:
        try:
            while not self._closed:
                if self._fill(AHEAD_FRAMES):
                    break
                if len(self._frames) > LOW_FRAMES:
                    self._wake.wait()
                # Cleared before the flag is looked at, which close() sets before the event: no ending is missed.
                self._wake.clear()
        except OSError as problem:
            self.error = _reason(problem)
        finally:
            self._finished = True
            self._decoder.close()


def open_wav_recorder(path: str, channels: Literal["mono", "stereo"], rate: int = SAMPLE_RATE) -> Recorder:
    """Start a recording of frames of this rate into a new file; the file is a valid WAV file from now on.

    Raises FileExistsError if there is such a file already, another OSError if it cannot be made.
    """
    return _WavRecorder(Path(path), 2 if channels == "stereo" else 1, rate)


class _WavRecorder:
    """Takes frames into memory; a thread writes them out four times a second, and the header after them."""

    def __init__(self, path: Path, channels: int, rate: int) -> None:
        self._channels = channels
        self._rate = rate
        self._pending: deque[tuple[bytes, bytes]] = deque()
        self._written = 0
        self._closing = threading.Event()
        self.error = ""
        # Unbuffered: what is written has left the process and survives its death.
        self._file = path.open("xb", buffering=0)
        try:
            self._put(0, header(channels, rate, 0))
        except OSError:
            self._file.close()
            raise
        self._thread = threading.Thread(target=self._run, name="offhook-wav-writer", daemon=True)
        self._thread.start()

    def write(self, near: bytes, far: bytes) -> None:
        """Take one frame of each side; nothing more is taken after an error or close."""
        if self.error or self._closing.is_set():
            return
        if len(self._pending) >= MAX_PENDING:
            self.error = "the disk is too slow"
            return
        self._pending.append((near, far))

    def close(self) -> None:
        """Write the rest; waits for the disk, at most two seconds."""
        self._closing.set()
        self._thread.join(JOIN_SECONDS)
        if self._thread.is_alive() and not self.error:
            self.error = "the disk is too slow"

    def _run(self) -> None:
        try:
            while not self._closing.wait(WRITE_EVERY):
                self._drain()
            self._drain()
        except OSError as problem:
            self.error = _reason(problem)
        finally:
            self._finish()

    def _finish(self) -> None:
        try:
            self._file.close()
        except OSError as problem:
            self.error = self.error or _reason(problem)

    def _drain(self) -> None:
        pairs = [self._pending.popleft() for _ in range(len(self._pending))]
        if not pairs:
            return
        near = b"".join(pair[0] for pair in pairs)
        far = b"".join(pair[1] for pair in pairs)
        block = interleave(near, far) if self._channels == 2 else pcm.add(near, far)
        if self._written + len(block) > MAX_DATA_BYTES:
            raise OSError(0, "a WAV file cannot be longer than 4 GiB")
        # Audio first, header after: at every moment the header promises no more than is there.
        self._put(HEADER_BYTES + self._written, block)
        self._written += len(block)
        self._put(0, header(self._channels, self._rate, self._written))

    def _put(self, place: int, data: bytes) -> None:
        self._file.seek(place)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view):]


def _reason(problem: OSError) -> str:
    return problem.strerror or str(problem)


class FileCard:
    """A sound card of two files: the microphone is `source_path`, the loudspeaker writes `target_path`. Either may be ""."""

    rate = SAMPLE_RATE

    def __init__(self, source_path: str, target_path: str) -> None:
        self._reports: deque[DeviceFailed | DeviceRecovered | DevicesListed] = deque()
        self._source: Source | None = None
        self._target: Recorder | None = None
        try:
            if source_path:
                self._source = open_wav_source(source_path, loop=False)
        except (OSError, ParseError) as problem:
            self._reports.append(DeviceFailed("input", source_path, str(problem)))
        try:
            if target_path:
                self._target = open_wav_recorder(target_path, "mono")
        except OSError as problem:
            self._reports.append(DeviceFailed("output", target_path, str(problem)))

    def capture(self) -> bytes:
        """Return the next frame of the file, silence after its end."""
        return (self._source.read() if self._source is not None else None) or SILENCE

    def play(self, frame: bytes) -> None:
        """Append a frame to the file."""
        if self._target is not None:
            self._target.write(frame, SILENCE)

    def ring(self, frame: bytes) -> None:
        """Append a frame to the file."""
        self.play(frame)

    def select(self, kind: DeviceKind, device_id: str) -> None:
        """Ignore the choice: the files are what there is."""

    def devices(self) -> DevicesListed:
        """Return an empty list."""
        return DevicesListed((), ())

    def poll(self) -> DeviceFailed | DeviceRecovered | DevicesListed | None:
        """Return the failure to open a file, once."""
        return self._reports.popleft() if self._reports else None

    def close(self) -> None:
        """Close both files."""
        if self._source is not None:
            self._source.close()
        if self._target is not None:
            self._target.close()
