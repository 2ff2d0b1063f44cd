"""Sound files as a sound card: one is what the microphone hears, another what the loudspeaker says."""

from __future__ import annotations

from collections import deque

from offhook.errors import OffhookError, reason_of
from offhook.io.audio.reading import open_source
from offhook.io.audio.writing import open_recorder
from offhook.media.messages import CardReport, DeviceFailed, DeviceKind, DevicesListed
from offhook.media.messages.card import VoiceProcessing
from offhook.media.sources import SAMPLE_RATE, SILENCE, Recorder, Source


class FileCard:
    """A sound card of two files: the microphone is `source_path`, the loudspeaker writes `target_path`. Either may be ""."""

    rate = SAMPLE_RATE

    def __init__(self, source_path: str, target_path: str) -> None:
        self._reports: deque[CardReport] = deque()
        self._source: Source | None = None
        self._target: Recorder | None = None
        try:
            if source_path:
                self._source = open_source(source_path, loop=False)
        except (OSError, OffhookError) as problem:
            self._reports.append(DeviceFailed("input", source_path, reason_of(problem)))
        self._target_path = target_path
        if target_path:
            self._target = open_recorder(target_path, "mono")

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

    def process(self, wanted: VoiceProcessing) -> None:
        """Leave the file as it is."""

    def devices(self) -> DevicesListed:
        """Return an empty list."""
        return DevicesListed((), ())

    def poll(self) -> CardReport | None:
        """Return the failure to open or write a file, once."""
        if self._target is not None and self._target.error:
            self._reports.append(DeviceFailed("output", self._target_path, self._target.error))
            self._target = None
        return self._reports.popleft() if self._reports else None

    def close(self) -> None:
        """Close both files."""
        if self._source is not None:
            self._source.close()
        if self._target is not None:
            self._target.close()
