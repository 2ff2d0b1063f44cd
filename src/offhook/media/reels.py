"""What runs in a stream besides talk: playbacks into the call, recordings of it; and the studio that has both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from offhook.errors import OffhookError, reason_of
from offhook.media import pcm
from offhook.media.messages import DtlsPeer, LocalToneKind, RecordingDone, RecordingFormat, StreamId, TurnServer
from offhook.media.rates import Changer, Rates
from offhook.media.sources import FRAME_MS, SAMPLE_RATE, SILENCE, Recorder, SoundCard, Source, solid

if TYPE_CHECKING:
    from offhook.media.handshakes import Handshake
    from offhook.media.route import RelayLink


class Studio(Protocol):
    """Where the engine gets sources, recorders and the sound card from; none of these calls may block."""

    def open_file(self, path: str, loop: bool, rate: int) -> Source:
        """Return the source of a sound file, with frames of this rate.

        Its read gives b"" while the file is still being opened, and raises OSError or OffhookError where it cannot be played.
        """
        ...

    def tone(self, frequencies: tuple[float, ...], duration_ms: int, gain_db: float, rate: int) -> Source:
        """Return a tone of these frequencies (Hz) at this rate; duration 0 is endless."""
        ...

    def signal(self, kind: LocalToneKind, rate: int) -> Source:
        """Return a call progress tone with its cadence, at this rate."""
        ...

    def digit(self, digit: str, duration_ms: int, rate: int) -> list[bytes]:
        """Return the frames of one DTMF digit as tones at this rate."""
        ...

    def recorder(
        self, path: str, channels: Literal["mono", "stereo"], rate: int, form: RecordingFormat, make_folder: bool
    ) -> Recorder:
        """Return a recorder that writes this file, of frames of this rate, and makes its folder where that is missing."""
        ...

    @property
    def silent(self) -> bool:
        """Return whether nobody hears the sound card, nor speaks there: then calls need not be decoded and mixed for it."""
        ...

    def sound_card(self) -> SoundCard:
        """Return the sound card; the same object at each call."""
        ...

    def handshake(self, peer: DtlsPeer) -> Handshake:
        """Return a DTLS handshake that has not begun. Raises SetupError where the packages for it are not installed."""
        ...

    def local_addresses(self) -> tuple[str, ...]:
        """Return this machine's own addresses, the one others are most likely to know first."""
        ...

    def relay_link(self, server: TurnServer) -> RelayLink:
        """Return a stream to a TURN server that is being connected. Raises OffhookError where it is known to be hopeless."""
        ...

    def fast_rates(self) -> bool:
        """Return whether `media.rates` can use numpy by now; the first call has it loaded, in the background."""
        ...

    def list_devices(self) -> None:
        """Have DevicesListed come out of the sound card's `poll` when the devices have been looked for."""
        ...


class Quiet:
    """A source of silence: `duration_ms` long, 0: endless."""

    __slots__ = ("_left",)

    def __init__(self, duration_ms: int) -> None:
        self._left = -1 if duration_ms <= 0 else -(-duration_ms // FRAME_MS)

    def read(self) -> bytes | None:
        """Return the next frame, or None at the end."""
        if self._left == 0:
            return None
        self._left -= 1
        return SILENCE

    def close(self) -> None:
        """End it."""
        self._left = 0


class Playback:
    """A source on its way into the call. After each `read`, `over` tells whether and how it ended.

    `rate` is the source's. A call that changes its own later hears the rest of it converted.
    """

    __slots__ = (
        "_changer", "_changer_rate", "_factor", "_rate", "_rates", "_source", "again", "error", "frames", "name", "over",
        "paused",
    )  # fmt: skip

    def __init__(self, name: str, source: Source, gain_db: float, rate: int, rates: Rates) -> None:
        self.name = name
        self._rate = self._changer_rate = rate
        self._rates = rates
        self._changer: Changer | None = None
        self.paused = False
        self.again = b""  # the frame in which it became silent when it was paused: it goes on with that
        self.frames = 0
        self.over: Literal["", "finished", "failed"] = ""
        self.error = ""
        self._source = source
        self._factor = pcm.factor(gain_db)

    @property
    def played_ms(self) -> int:
        """Return how much has gone out."""
        return self.frames * FRAME_MS

    def read(self, rate: int) -> bytes | None:
        """Return the next frame to send, at this rate, or None when there is none now."""
        if self.paused or self.over:
            return None
        try:
            frame = self._source.read()
        except (OSError, OffhookError) as error:
            self.over, self.error = "failed", reason_of(error)
            return None
        if frame is None:
            self.over = "finished"
            return None
        if not frame:
            return None  # the file is still being opened
        self.frames += 1
        if self._factor != 1.0 and frame is not SILENCE:
            frame = pcm.scale(frame, self._factor)
        return frame if rate == self._rate else self._changed(frame, rate)

    def _changed(self, frame: bytes, rate: int) -> bytes:
        if self._changer is None or self._changer_rate != rate:
            self._changer, self._changer_rate = self._rates.changer(self._rate, rate), rate
        return self._changer.feed(frame)

    def close(self) -> None:
        """Let go of the source."""
        self._source.close()


class Sides(Protocol):
    """What a recording needs of its stream."""

    def near_at(self, rate: int) -> bytes:
        """Return what is said in this tick."""
        ...

    def far_at(self, rate: int) -> bytes:
        """Return what is heard in this tick."""
        ...


class Recording:
    """A recorder, the rate of its frames (Hz), and how long it may run. `why` is how it ended, "" while it runs."""

    __slots__ = ("_limit", "_recorder", "announced", "frames", "name", "path", "paused", "rate", "why")

    def __init__(self, name: str, path: str, recorder: Recorder, max_ms: int, rate: int = SAMPLE_RATE) -> None:
        self.name = name
        self.rate = rate
        self.path = path
        self.paused = False
        self.announced = False
        self.frames = 0
        self.why: Literal["", "stopped", "limit", "closed"] = ""
        self._recorder = recorder
        self._limit = max_ms // FRAME_MS if max_ms > 0 else 0

    @property
    def is_open(self) -> bool:
        """Return whether there is a file."""
        return self._recorder.is_open

    @property
    def is_complete(self) -> bool:
        """Return whether the file is."""
        return self._recorder.is_complete

    def write(self, sides: Sides) -> bool:
        """Record one frame of both sides; return whether it goes on."""
        if self._recorder.error:
            return False
        if self.paused:
            return True
        rate = self.rate
        self._recorder.write(solid(sides.near_at(rate), rate), solid(sides.far_at(rate), rate))
        self.frames += 1
        if self._limit and self.frames >= self._limit:
            self.why = "limit"
            return False
        return True

    def finish(self) -> None:
        """Have the file completed."""
        self._recorder.finish()

    def wait(self) -> None:
        """Wait until the file is complete, for two seconds at most."""
        self._recorder.close()

    def done(self, stream: StreamId, error: str = "") -> RecordingDone:
        """Return how it ended."""
        error = self._recorder.error or error
        why = "failed" if error else self.why or "stopped"
        return RecordingDone(stream, self.name, self.path, why, self.frames * FRAME_MS, error, self._recorder.size)
