"""What the media engine plays from and records to on this machine: files, tones, the sound card. None of it blocks a tick."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from offhook.errors import OffhookError, SetupError
from offhook.io.audio.backend import CARD_RATE
from offhook.io.audio.null import NullCard
from offhook.io.ports import families_of, without_link
from offhook.io.threads import begin
from offhook.media.messages import (
    CardReport,
    DeviceFailed,
    DeviceKind,
    DevicesListed,
    DtlsPeer,
    LocalToneKind,
    RecordingFormat,
    TurnServer,
)
from offhook.media.messages.card import VoiceProcessing
from offhook.media.sources import SAMPLE_RATE, SILENCE, Recorder, SoundCard, Source
from offhook.media.tones import cadence_source, dtmf_frames, tone_source

if TYPE_CHECKING:
    from offhook.media.handshakes import Handshake
    from offhook.media.route import RelayLink


class LateSource:
    """A source that is opened on a thread of its own; `read` gives b"" until then and raises what opening raised.

    Raises SetupError where there is no thread to be had.
    """

    def __init__(self, opening: Callable[[], Source]) -> None:
        self._opening = opening
        self._source: Source | None = None
        self._error: Exception | None = None
        self._closed = False
        self._lock = threading.Lock()
        begin(self._open, "offhook-open-file")

    def _open(self) -> None:
        try:
            source = self._opening()
        except (OSError, OffhookError, ValueError, EOFError) as error:
            self._error = error if isinstance(error, OSError | OffhookError) else OSError(str(error))
            return
        with self._lock:
            if not self._closed:
                self._source = source
                return
        source.close()

    def read(self) -> bytes | None:
        """Return the next frame, b"" while there is none yet, None at the end."""
        if self._source is not None:
            frame = self._source.read()
            # A file that breaks off while it is played ends like any other and tells why beside.
            if frame is None and (reason := getattr(self._source, "error", "")):
                raise OSError(reason)
            return frame
        if self._error is not None:
            raise self._error
        return None if self._closed else b""

    def close(self) -> None:
        """Let go of the file, also when it is only being opened."""
        with self._lock:
            self._closed = True
            if self._source is not None:
                self._source.close()


class LateCard:
    """A sound card that is opened on a thread of its own: silence until it is there, then all that was asked for.

    Where there is no thread to be had, it has failed and is silent.
    """

    def __init__(self, opening: Callable[[], SoundCard], rate: int) -> None:
        self.rate = rate
        self._opening = opening
        self._card: SoundCard | None = None
        self._asked: deque[Callable[[SoundCard], object]] = deque()
        self._news: deque[CardReport] = deque()
        self._closed = False
        self._work = threading.Semaphore(0)
        self._thread: threading.Thread | None = None
        try:
            self._thread = begin(self._run, "offhook-sound")
        except SetupError as error:
            self._news.append(DeviceFailed("output", "", str(error)))
            self._card = NullCard(rate)

    def _run(self) -> None:
        """Open the card, then do what takes tens of milliseconds: selecting and listing devices."""
        try:
            card = self._opening()
        except (OSError, OffhookError, ImportError) as error:
            self._news.append(DeviceFailed("output", "", str(error)))
            card = NullCard(self.rate)
        self._card = card
        while True:
            self._work.acquire()
            if self._closed:
                break
            self._asked.popleft()(card)
        card.close()

    def _ask(self, wish: Callable[[SoundCard], object]) -> None:
        if self._thread is None:
            wish(NullCard(self.rate))
            return
        self._asked.append(wish)
        self._work.release()

    def capture(self) -> bytes:
        """Return one frame from the microphone."""
        return SILENCE if self._card is None else self._card.capture()

    def play(self, frame: bytes) -> None:
        """Queue one frame for the loudspeaker."""
        if self._card is not None:
            self._card.play(frame)

    def ring(self, frame: bytes) -> None:
        """Queue one frame for the ring device."""
        if self._card is not None:
            self._card.ring(frame)

    def select(self, kind: DeviceKind, device_id: str) -> None:
        """Use this device from now on."""
        self._ask(lambda card: card.select(kind, device_id))

    def process(self, wanted: VoiceProcessing) -> None:
        """Clean the microphone in these ways."""
        self._ask(lambda card: card.process(wanted))

    def list_devices(self) -> None:
        """Have the devices listed; the answer comes out of `poll`."""
        self._ask(lambda card: self._news.append(card.devices()))

    def devices(self) -> DevicesListed:
        """Return no devices at all where the card is not there yet; else those there are now."""
        return DevicesListed((), ()) if self._card is None else self._card.devices()

    def poll(self) -> CardReport | None:
        """Return the next thing to report."""
        if self._news:
            return self._news.popleft()
        return None if self._card is None else self._card.poll()

    def close(self) -> None:
        """Close all devices."""
        self._closed = True
        self._work.release()
        if self._thread is not None:
            self._thread.join(timeout=2.0)


class LocalStudio:
    """The engine's `Studio` on this machine."""

    def __init__(self, sound: str, host: str = "0.0.0.0", voice: str = "own") -> None:
        self._sound = sound
        self._voice = voice
        self._host = host
        self._card: LateCard | None = None
        self._numpy: bool | None = None  # None: nobody has asked

    def open_file(self, path: str, loop: bool, rate: int) -> Source:
        """Return a source that opens the sound file in the background."""

        def opening() -> Source:
            from offhook.io.audio.reading import open_source

            return open_source(path, loop, rate=rate)

        return LateSource(opening)

    def tone(self, frequencies: tuple[float, ...], duration_ms: int, gain_db: float, rate: int) -> Source:
        """Return a tone."""
        return tone_source(frequencies, duration_ms, gain_db, rate)

    def signal(self, kind: LocalToneKind, rate: int) -> Source:
        """Return a call progress tone."""
        if kind == "none":
            return tone_source((), 20, 0.0, rate)
        return cadence_source(kind, rate)

    def digit(self, digit: str, duration_ms: int, rate: int) -> list[bytes]:
        """Return a DTMF digit as frames."""
        return dtmf_frames(digit, duration_ms, rate)

    def recorder(
        self, path: str, channels: Literal["mono", "stereo"], rate: int, form: RecordingFormat, make_folder: bool
    ) -> Recorder:
        """Return a recorder that writes this file."""
        from offhook.io.audio.writing import open_recorder

        return open_recorder(path, channels, rate, form, make_folder)

    @property
    def silent(self) -> bool:
        """Return whether sound is switched off."""
        return self._sound == "null"

    def sound_card(self) -> SoundCard:
        """Return the sound card, which opens in the background."""
        if self._card is None:
            system = self._sound != "null" and not self._sound.startswith("file:")
            self._card = LateCard(self._open_card, CARD_RATE if system else SAMPLE_RATE)
        return self._card

    def handshake(self, peer: DtlsPeer) -> Handshake:
        """Return a DTLS handshake that has not begun; raises SetupError where the packages for it are not installed."""
        try:
            from offhook.io.dtls import DtlsHandshake
        except ImportError as error:
            raise SetupError(f"DTLS-SRTP needs the extra packages: pip install 'offhook[dtls]' ({error})") from None
        return DtlsHandshake(peer)

    def local_addresses(self) -> tuple[str, ...]:
        """Return this machine's addresses of the families that are spoken; only one where the media ports are bound to it."""
        both = len(families_of(self._host)) > 1
        if not both and self._host != "0.0.0.0":
            return (without_link(self._host),)
        from offhook.io.nat import local_addresses

        return local_addresses(ipv6=both)

    def relay_link(self, server: TurnServer) -> RelayLink:
        """Return a stream to a TURN server that is being connected."""
        from offhook.io.relay_link import LateRelayLink

        return LateRelayLink(server)

    def fast_rates(self) -> bool:
        """Return whether numpy is loaded: a tenth of a second on a thread of its own, never where it is not installed."""
        if self._numpy is None:
            self._numpy = False
            with contextlib.suppress(SetupError):  # without it all is as right, and slower
                begin(self._load_numpy, "offhook-numpy")
        return self._numpy

    def _load_numpy(self) -> None:
        try:
            import numpy  # noqa: F401 - only so that it is there
        except ImportError:
            return
        self._numpy = True

    def list_devices(self) -> None:
        """Have DevicesListed come out of the sound card."""
        self.sound_card()
        if self._card is not None:
            self._card.list_devices()

    def _open_card(self) -> SoundCard:
        from offhook.io.audio.sound import open_sound_card

        return open_sound_card(self._sound, self._voice)
