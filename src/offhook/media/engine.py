"""All streams of one worker behind one tick: commands in, reports and packets out.

The host calls `tick` every 5 ms with the number of the phase (0-3); a quarter of the streams works in each, so the packets
of many calls leave spread over the 20 ms. Streams that hear one another at once (a conference, the sound card) share a phase,
and so do few streams, so that nobody need wake up for the others.
"""

from __future__ import annotations

from typing import Final, assert_never

from offhook.errors import OffhookError, ParseError, reason_of
from offhook.ids import Ids
from offhook.media import pcm
from offhook.media.address import Address
from offhook.media.codecs.kinds import missing
from offhook.media.handset import Handset
from offhook.media.jitter import REVIEW_TICKS
from offhook.media.link import Links
from offhook.media.messages import (
    AttachSound,
    CaptureStream,
    ClearAudio,
    CloseAudio,
    CloseStream,
    ConfigureStream,
    Detect,
    EndCapture,
    GatherCandidates,
    ListDevices,
    MarkAudio,
    MediaCommand,
    MediaReport,
    MeterStream,
    OpenAudio,
    OpenStream,
    PausePlayback,
    PauseRecording,
    PlaceStream,
    PlaybackDone,
    PlayLocalTone,
    SelectDevice,
    SendDigits,
    SetBridge,
    SetLevels,
    SetLoopback,
    SetMusic,
    SetStreamMute,
    SetTap,
    StartPlayback,
    StartRecording,
    StopPlayback,
    StopRecording,
    StreamFailed,
    StreamId,
    WriteAudio,
)
from offhook.media.messages.card import MeterLevels, TestMicrophone, VoiceProcessing
from offhook.media.playlist import HOLD_MUSIC
from offhook.media.rates import Rates, Shares
from offhook.media.recordings import Archive
from offhook.media.reels import Playback, Quiet, Recording, Studio
from offhook.media.sources import SILENCE, SoundCard, Source
from offhook.media.stream import Stream
from offhook.media.taps import Tap

PHASES: Final = 4
# To wake up costs 0.1 ms and more, and what the caches held; a stream's frame 0.01 ms. So many streams work in one phase, and
# so many in two.
TOGETHER: Final = 16
IN_TWO: Final = 800
SOUND_PHASE: Final = 0  # streams on the sound card work where the card does
BEEP_HZ: Final = 1400.0
BEEP_MS: Final = 200
BEEP_DB: Final = -20.0


class Engine:
    """Runs streams. `outbox` holds (local port, packet, destination) after `tick` and `execute`; the host empties it."""

    def __init__(self, ids: Ids, studio: Studio, *, epoch: float = 0.0) -> None:
        self.streams: dict[StreamId, Stream] = {}
        self.outbox: list[tuple[int, bytes, Address]] = []
        self._reports: list[MediaReport] = []
        self._ids = ids
        self._studio = studio
        self._epoch = epoch
        self._phases: list[list[Stream]] = [[] for _ in range(PHASES)]
        self._bridges: dict[str, SetBridge] = {}
        self._taps: dict[StreamId, SetTap] = {}  # by the stream that listens
        self._archive = Archive(self._reports.append)
        self._routed: list[Stream] = []  # those that look for a way, or follow one
        self._handset = Handset(studio, self._reports.append)
        self._round = 0  # a tenth of the streams looks around in each tick
        self._rates = Rates(studio.fast_rates)
        self._mic_shares = Shares(self._rates)
        self._links = Links(self._reports.append, self._rates)

    @property
    def idle(self) -> bool:
        """Return whether nothing needs a tick."""
        return not self.streams and self._handset.idle and not self._archive

    def poll(self) -> MediaReport | None:
        """Return the next report, or None."""
        return self._reports.pop(0) if self._reports else None

    def reports(self) -> list[MediaReport]:
        """Return all reports since the last call."""
        if not self._reports:
            return []
        taken = self._reports[:]
        self._reports.clear()
        return taken

    # --- the tick --------------------------------------------------------------------------------------------------

    def works_in(self, phase: int) -> bool:
        """Return whether there is anything to do in this phase; while `idle` there is nothing in any."""
        return phase == SOUND_PHASE or bool(self._phases[phase]) or bool(self._routed)

    def tick(self, phase: int, now: float) -> None:
        """Do the 20 ms of work of a quarter of the streams."""
        if phase == SOUND_PHASE and (card := self._handset.card) is not None:
            self._tick_with_sound(card, now)
        elif self._bridges or self._taps:
            for stream in self._phases[phase]:
                stream.hear(now)
            for stream in self._phases[phase]:
                stream.speak(SILENCE)
        else:
            for stream in self._phases[phase]:
                stream.tick(now)
        if self._links:
            self._links.tick(phase)
        for stream in self._routed:
            if stream.wiring.route is not None:
                stream.wiring.route.timeout(now)
        if phase == 0:
            if self._archive:
                self._archive.tick()
            self._round = (self._round + 1) % REVIEW_TICKS
        for stream in self._phases[phase][self._round :: REVIEW_TICKS]:
            stream.look_around(now)

    def _tick_with_sound(self, card: SoundCard, now: float) -> None:
        streams = self._phases[SOUND_PHASE]
        rate = card.rate
        for stream in streams:
            stream.hear(now)
        far = SILENCE
        talking = False
        for stream in streams:
            if stream.sound:
                talking = True
                heard = stream.heard_at(rate) if stream.taps else stream.far_at(rate)
                if heard is not SILENCE:
                    far = heard if far is SILENCE else pcm.add(far, heard)
        mic = self._handset.exchange(card, far, talking)
        if self._mic_shares:
            self._mic_shares.turn()
        for stream in streams:
            same = stream.rate == rate or not stream.sound
            stream.speak(mic if same else self._mic_shares.at(mic, rate, stream.rate))
        self._handset.poll()

    def poll_sound(self) -> None:
        """Ask the card for news while `idle`; otherwise the tick does."""
        self._handset.poll()

    # --- packets in ------------------------------------------------------------------------------------------------

    def receive(self, port: int, packet: bytes, source: Address, now: float) -> None:
        """Take a datagram that came to this local port. The host may call the stream's own methods to save the search."""
        for stream in self.streams.values():
            if stream.port == port:
                stream.wiring.receive(packet, source, now)
            elif stream.port + 1 == port:
                stream.wiring.receive_control(packet, source, now)

    # --- commands --------------------------------------------------------------------------------------------------

    def execute(self, command: MediaCommand, now: float) -> None:
        """Obey. A command for a stream that is gone does nothing: the reports about it are under way already."""
        match command:
            case OpenStream():
                self._open(command)
            case SetBridge():
                self._set_bridge(command)
            case PlaceStream() | CaptureStream() | EndCapture():
                pass  # these are for who runs the engine
            case SetTap():
                self._set_tap(command)
            case OpenAudio() | WriteAudio() | ClearAudio() | MarkAudio() | CloseAudio():
                self._links.execute(command, self.streams.get(command.stream))
            case (
                SetLevels() | SelectDevice() | PlayLocalTone() | ListDevices()
                | VoiceProcessing() | MeterLevels() | TestMicrophone()
            ):
                self._handset.execute(command)
            case _:
                stream = self.streams.get(command.stream)
                if stream is not None:
                    self._execute_in(stream, command, now)

    def _execute_in(  # noqa: C901 - one line for each command
        self,
        stream: Stream,
        command: ConfigureStream | GatherCandidates | CloseStream | AttachSound | SetLoopback | SetStreamMute | SendDigits
        | StartPlayback | PausePlayback | StopPlayback | SetMusic | StartRecording | PauseRecording | StopRecording | Detect
        | MeterStream,
        now: float,
    ) -> None:  # fmt: skip
        match command:
            case ConfigureStream():
                self._configure(stream, command, now)
            case GatherCandidates():
                self._gather(stream, command, now)
            case CloseStream():
                self._close(stream, now)
            case AttachSound():
                self._attach(stream, command.attached)
            case SetLoopback():
                stream.set_loopback(command.enabled)
            case SetStreamMute():
                stream.mute(command.muted)
            case SendDigits():
                stream.send_digits(command)
            case StartPlayback():
                self._start_playback(stream, command)
            case PausePlayback():
                stream.playlist.pause(command.playback, command.paused)
            case StopPlayback():
                stream.playlist.stop(command.playback)
            case SetMusic():
                self._set_music(stream, command)
            case StartRecording():
                self._start_recording(stream, command)
            case PauseRecording():
                stream.recordings.pause(command.recording, command.paused)
            case StopRecording():
                stream.recordings.stop(command.recording)
            case Detect():
                stream.detect(frozenset(command.what))
            case MeterStream():
                stream.meter(command.interval_ms, command.duration_ms)
            case _:
                assert_never(command)

    def _open(self, command: OpenStream) -> None:
        if command.stream in self.streams:
            self._reports.append(StreamFailed(command.stream, "already open"))
            return
        stream = Stream(
            command.stream, command.port, command.cname,
            ids=self._ids, studio=self._studio, outbox=self.outbox, report=self._reports.append, epoch=self._epoch,
            rates=self._rates, archive=self._archive,
        )  # fmt: skip
        self.streams[command.stream] = stream
        count = len(self.streams)
        phases = range(0, PHASES, PHASES if count <= TOGETHER else 2 if count <= IN_TWO else 1)
        stream.phase = min(phases, key=lambda phase: len(self._phases[phase]))
        self._phases[stream.phase].append(stream)
        self._links.open_stream(stream)
        stream.muted = command.muted
        if command.sound:
            self._attach(stream, True)

    def _configure(self, stream: Stream, command: ConfigureStream, now: float) -> None:
        try:
            stream.configure(command.config, now)
        except LookupError:
            self._reports.append(StreamFailed(stream.name, f"no such codec: {command.config.codec}"))
        except ImportError:
            self._reports.append(StreamFailed(stream.name, missing(command.config.codec) or "a package is not installed"))
        except ParseError as error:
            self._reports.append(StreamFailed(stream.name, error.detail))

    def _gather(self, stream: Stream, command: GatherCandidates, now: float) -> None:
        addresses = command.addresses or self._studio.local_addresses()
        stream.wiring.gather(command, addresses, self._studio.relay_link, now)
        if stream not in self._routed:
            self._routed.append(stream)

    def _close(self, stream: Stream, now: float) -> None:
        self._links.close_stream(stream.name)
        stream.close(now)
        if stream in self._routed:
            self._routed.remove(stream)
        del self.streams[stream.name]
        self._phases[stream.phase].remove(stream)
        for name, bridge in self._bridges.items():
            if stream.name in bridge.streams:
                left = tuple(member for member in bridge.streams if member != stream.name)
                self._bridges[name] = SetBridge(name, left, bridge.silent)
        self._join_bridges(())
        gone = [by for by, tap in self._taps.items() if stream.name in (by, tap.stream)]
        for by in gone:
            del self._taps[by]
        if gone:
            self._join_taps()

    def _move(self, stream: Stream, phase: int) -> None:
        if stream.phase != phase:
            self._phases[stream.phase].remove(stream)
            stream.phase = phase
            self._phases[phase].append(stream)
            if self._taps:
                self._order(phase)

    def _order(self, phase: int) -> None:
        """Let those who listen to others come last: what the others say in a tick is known when they have spoken."""
        self._phases[phase].sort(key=lambda stream: stream.tapping is not None)

    def _attach(self, stream: Stream, attached: bool) -> None:
        if self._studio.silent:
            return
        if attached:
            self._handset.open()
            self._move(stream, SOUND_PHASE)
        stream.set_sound(attached)
        self._join_bridges(())

    def _set_bridge(self, command: SetBridge) -> None:
        former = self._bridges.pop(command.bridge, None)
        if command.streams:
            self._bridges[command.bridge] = command
        self._join_bridges(former.streams if former else ())

    def _join_bridges(self, former: tuple[StreamId, ...]) -> None:
        """Tell every member of a conference who the others are, and let all members work in one phase."""
        others: dict[StreamId, dict[StreamId, Stream]] = {name: {} for name in former}
        for bridge in self._bridges.values():
            present = [self.streams[name] for name in bridge.streams if name in self.streams]
            phase = SOUND_PHASE if any(stream.sound for stream in present) else present[0].phase if present else 0
            for stream in present:
                self._move(stream, phase)
                mates = others.setdefault(stream.name, {})
                heard = (other for other in present if other is not stream and other.name not in bridge.silent)
                mates.update({other.name: other for other in heard})
        for name, mates in others.items():
            if name in self.streams:
                self.streams[name].set_bridge(tuple(mates.values()))

    def _set_tap(self, command: SetTap) -> None:
        self._taps.pop(command.by, None)
        if (command.hear, command.speak) != ("none", "none"):
            self._taps[command.by] = command
        self._join_taps()

    def _join_taps(self) -> None:
        """Tell every stream who listens to it, and to whom it listens."""
        taps = [
            Tap(command, self.streams[command.stream], self.streams[command.by])
            for command in self._taps.values()
            if command.stream in self.streams and command.by in self.streams
        ]
        tapping = {tap.by.name: tap for tap in taps}
        for stream in self.streams.values():
            stream.set_taps(tuple(tap for tap in taps if tap.target is stream), tapping.get(stream.name))
        for phase in range(PHASES):
            self._order(phase)

    def _start_playback(self, stream: Stream, command: StartPlayback) -> None:
        try:
            playback = self._playback(command.playback, command, stream.rate)
        except (OSError, OffhookError, ValueError) as error:
            self._reports.append(PlaybackDone(stream.name, command.playback, "failed", 0, reason_of(error)))
            return
        stream.playlist.start(playback, command.mode)

    def _playback(self, name: str, command: StartPlayback, rate: int) -> Playback:
        source: Source
        if command.kind == "file":
            source, gain_db = self._studio.open_file(command.path, command.loop, rate), command.gain_db
        elif command.kind == "tone":
            # A tone has its gain from the oscillator.
            source, gain_db = self._studio.tone(command.frequencies, command.duration_ms, command.gain_db, rate), 0.0
        else:
            source, gain_db = Quiet(command.duration_ms), 0.0
        return Playback(name, source, gain_db, rate, self._rates)

    def _set_music(self, stream: Stream, command: SetMusic) -> None:
        music = None
        if command.kind != "none":
            what = StartPlayback(
                stream.name, HOLD_MUSIC, command.kind, command.path, command.frequencies, loop=True
            )
            try:
                music = self._playback(HOLD_MUSIC, what, stream.rate)
            except (OSError, OffhookError, ValueError) as error:
                self._reports.append(PlaybackDone(stream.name, HOLD_MUSIC, "failed", 0, reason_of(error)))
        stream.playlist.set_music(music)

    def _start_recording(self, stream: Stream, command: StartRecording) -> None:
        rate = stream.rate
        recorder = self._studio.recorder(command.path, command.channels, rate, command.form, command.make_folder)
        beep = None
        if command.beep:
            beep = Playback("beep", self._studio.tone((BEEP_HZ,), BEEP_MS, BEEP_DB, rate), 0.0, rate, self._rates)
        stream.record(Recording(command.recording, command.path, recorder, command.max_ms, rate), beep)

    def close(self, now: float) -> None:
        """Close all streams (their reports and goodbyes are ready afterwards) and the sound card."""
        for stream in tuple(self.streams.values()):
            self._close(stream, now)
        self._archive.close()
        self._handset.close()
