"""Sound files as sources: WAV by ourselves, MP3 and FLAC by miniaudio, Ogg by soundfile; threads of this file read them."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections import deque
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol

from offhook.errors import OffhookError, ParseError, SetupError, reason_of
from offhook.io.threads import begin
from offhook.media import pcm
from offhook.media.containers import HEAD_BYTES, Container, look, tag_bytes
from offhook.media.resample import resampler
from offhook.media.sources import SAMPLE_RATE, SILENCE, Source, frame_bytes
from offhook.media.wav import WavFormat, read_header, to_mono

if TYPE_CHECKING:
    from soundfile import SoundFile

CHUNK_MS: Final = 200
_READ: Final = os.O_RDONLY | sum(getattr(os, flag, 0) for flag in ("O_BINARY", "O_NONBLOCK", "O_NOCTTY"))
AHEAD_FRAMES: Final = 100
"""Two seconds: longer than a disk that has to spin up."""
LOW_FRAMES: Final = 50
SHORTER: Final = 0.98
"""A file that promises more than it has by more than this share broke off; encoders round a little."""


class Samples(Protocol):
    """What a file holds, as 16-bit mono at `rate`, piece by piece."""

    rate: int

    def read(self) -> bytes:
        """Return the next piece, b"" at the end. Raises OSError or ParseError for a file that breaks off."""
        ...

    def rewind(self) -> None:
        """Begin again."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


def open_source(path: str, loop: bool, gain_db: float = 0.0, rate: int = SAMPLE_RATE) -> Source:
    """Return a sound file as a source of frames of this rate.

    The first moments are read at once, the rest ahead by a thread. Raises OSError if the file cannot be read, ParseError if it
    is no sound file, its header does not fit it or its encoding is not supported, SetupError where a package is missing.
    """
    samples = open_samples(path)
    try:
        return _FileSource(_Decoder(samples, loop, gain_db, rate))
    except BaseException:
        samples.close()
        raise


def open_samples(path: str) -> Samples:
    """Return what a sound file holds; raises what `open_source` does."""
    file = _regular(path)
    try:
        head = file.read(HEAD_BYTES)
        if (tag := tag_bytes(head)) > 0:
            file.seek(tag)
            head = file.read(HEAD_BYTES)
        found = look(head)
        if found.kind == "wav":
            return _WavSamples(file)
    except BaseException:
        file.close()
        raise
    file.close()
    return _decoded(path, found)


def _regular(path: str) -> BinaryIO:
    """Open what is a file and nothing else: a pipe has no end, and /dev/stdin is what the phone's commands come by."""
    descriptor = os.open(path, _READ)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a file", path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _decoded(path: str, found: Container) -> Samples:
    if found.kind in ("flac", "mp3"):  # miniaudio knows no Opus, and a damaged Vorbis file makes it end the process
        try:
            return _MiniaudioSamples(path, found)
        except ImportError:
            pass
    try:
        return _SoundfileSamples(path)
    except (ImportError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise SetupError(f"playing {found.kind} needs the extra packages: pip install 'offhook[recording]'") from None


class _WavSamples:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        file.seek(0)
        self._form: WavFormat = read_header(file, os.fstat(file.fileno()).st_size)
        self.rate = self._form.rate
        self._chunk = max(1, self._form.rate * CHUNK_MS // 1000) * self._form.frame_bytes
        self.rewind()

    def read(self) -> bytes:
        """Return the next piece."""
        data = self._file.read(min(self._chunk, self._left))
        self._left -= len(data)
        data = data[: len(data) - len(data) % self._form.frame_bytes]
        if not data and self._left:
            raise OSError(0, "the file became shorter while it was played")
        return to_mono(self._form, data) if data else b""

    def rewind(self) -> None:
        """Begin again."""
        self._file.seek(self._form.start)
        self._left = self._form.length

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class _MiniaudioSamples:
    """MP3 and FLAC."""

    def __init__(self, path: str, found: Container) -> None:
        import miniaudio  # raises ImportError where there is no wheel of it

        self._miniaudio = miniaudio
        self._path = path
        self._found = found
        self.rate = found.rate
        self._pieces: Generator[Any, int, None] | None = None
        self.rewind()

    def rewind(self) -> None:
        """Begin again."""
        self.close()
        self._count = 0
        try:
            self._pieces = self._miniaudio.stream_file(
                self._path, self._miniaudio.SampleFormat.SIGNED16, 1, self.rate, self.rate * CHUNK_MS // 1000
            )
        except self._miniaudio.MiniaudioError as problem:
            raise ParseError(f"{self._found.kind} file: {problem.args[0] if problem.args else problem}") from None

    def read(self) -> bytes:
        """Return the next piece."""
        assert self._pieces is not None
        try:
            piece = next(self._pieces, None)
        except self._miniaudio.MiniaudioError as problem:
            raise ParseError(f"{self._found.kind} file: {problem}") from None
        if piece is not None and len(piece):
            self._count += len(piece)
            return bytes(piece)
        if self._count < self._found.samples * SHORTER:
            raise ParseError(f"{self._found.kind} file: it breaks off after {self._count / self.rate:.1f} s")
        if not self._count:
            raise ParseError(f"{self._found.kind} file: nothing in it can be played")
        return b""

    def close(self) -> None:
        """Let go of the file."""
        if self._pieces is not None:
            self._pieces.close()


class _SoundfileSamples:
    """Ogg, and everything else where there is no miniaudio."""

    def __init__(self, path: str) -> None:
        import numpy
        import soundfile

        self._numpy = numpy
        self._trouble: type[Exception] = soundfile.LibsndfileError
        try:
            self._file: SoundFile = soundfile.SoundFile(path)
        except soundfile.LibsndfileError as problem:
            raise ParseError(f"sound file: {problem.error_string}") from None
        self.rate = self._file.samplerate

    def read(self) -> bytes:
        """Return the next piece."""
        try:
            # As whole numbers the library lets what is too loud begin again at the other end; and what is as loud as can be
            # comes out of Vorbis and Opus louder than that.
            piece = self._file.read(self.rate * CHUNK_MS // 1000, "float32", always_2d=True)
        except self._trouble as problem:
            raise ParseError(f"sound file: {problem}") from None
        mono = piece[:, 0] if piece.shape[1] == 1 else piece.mean(axis=1)
        return bytes(self._numpy.clip(self._numpy.rint(mono * 32768), -32768, 32767).astype("<i2").tobytes())

    def rewind(self) -> None:
        """Begin again."""
        self._file.seek(0)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class _Decoder:
    """Makes frames of what a file holds."""

    def __init__(self, samples: Samples, loop: bool, gain_db: float, rate: int) -> None:
        self._samples = samples
        self._rate = rate
        self._frame = frame_bytes(rate)
        self._loop = loop
        self._heard = False  # anything since the beginning: an empty file cannot be repeated
        self._factor = pcm.factor(gain_db)
        self._rest = b""
        self._resampler = resampler(samples.rate, rate)

    def frames(self) -> list[bytes] | None:
        """Return the frames of the next piece (there may be none), None when the sound is over. Raises what `read` does."""
        piece = self._samples.read()
        if piece:
            self._heard = True
            return self._split(self._resampler.feed(piece))
        tail = self._resampler.flush()
        if self._loop and self._heard:
            self._samples.rewind()
            self._heard = False
            self._resampler = resampler(self._samples.rate, self._rate)
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
        return [samples[start : start + size] for start in range(0, end, size)]

    def close(self) -> None:
        self._samples.close()


class _FileSource:
    """Frames of a decoder, with a thread that keeps two seconds of them ready if the file is longer than a moment."""

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
            begin(self._read_ahead, "offhook-sound-reader")

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
        """Decode until `until` frames are ready; tell whether the sound is over."""
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
        except (OSError, OffhookError) as problem:
            self.error = reason_of(problem)
        finally:
            self._finished = True
            self._decoder.close()
