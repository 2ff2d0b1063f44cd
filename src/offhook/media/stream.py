"""One call's media: RTP in and out, RTCP, digits, playback and recording; one or two short calls every 20 ms.

The order of a tick is `hear` for all streams of a phase, then `speak` for all: so a conference hears every frame of this
very tick. Where nobody hears another, `tick` does both at once. Packets leave through the sender; what is worth telling
leaves as reports.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from offhook.errors import ParseError
from offhook.ids import Ids
from offhook.media import pcm, rtcp, rtp
from offhook.media.address import Address, reachable
from offhook.media.codecs import codec
from offhook.media.fades import ramp
from offhook.media.keypad import Keypad
from offhook.media.link import Link
from offhook.media.messages import (
    Detection,
    DigitReceived,
    DigitsDone,
    MediaReport,
    SendDigits,
    StreamClosed,
    StreamConfig,
    StreamId,
    StreamLevels,
    StreamResumed,
    StreamStalled,
    StreamStats,
)
from offhook.media.pauses import Pauses
from offhook.media.playlist import Playlist
from offhook.media.rates import Rates, Shares
from offhook.media.receiving import Receiver
from offhook.media.recordings import Archive, Recordings
from offhook.media.reels import Playback, Recording, Studio
from offhook.media.reporting import Reporter
from offhook.media.sending import Outbox, Sender
from offhook.media.sources import FRAME_MS, SAMPLE_RATE, SILENCE, frame_bytes
from offhook.media.wiring import Wiring

if TYPE_CHECKING:
    from offhook.media.detect.ear import Ear
    from offhook.media.meter import Meter
    from offhook.media.taps import Tap

STATS_S: Final = 5.0
STALL_S: Final = 3.0


def _sum(near: bytes, frame: bytes) -> bytes:
    if frame is SILENCE:
        return near
    return frame if near is SILENCE else pcm.add(near, frame)


class Stream:
    """The media of one call. `now` is in seconds everywhere; nothing here raises whatever the far end sends.

    What is said (`near`) has the rate of the codec we send, `rate`; what is heard (`far`) that of the codec the far end sends,
    `far_rate`. Whoever works at a rate of their own asks `near_at` and `far_at`, in every tick.
    """

    __slots__ = (
        "_config", "_ear", "_echoes", "_expects", "_far_shares", "_former", "_has_work", "_keypad", "_leaves", "_loopback",
        "_meter", "_near_shares", "_next_stats", "_pauses", "_receiver", "_report", "_reporter", "_said_shares", "_same_codec",
        "_sender", "_sends", "_shared", "_stalled", "_tapped", "_turns", "_voices", "_waits", "bridge", "muted", "name", "near",
        "phase", "playlist", "port", "rate", "recordings", "said", "sound", "tapping", "taps", "wiring",
    )  # fmt: skip

    def __init__(
        self,
        name: StreamId,
        port: int,
        cname: str,
        *,
        ids: Ids,
        studio: Studio,
        outbox: Outbox,
        report: Callable[[MediaReport], object],
        epoch: float,
        rates: Rates,
        archive: Archive,
    ) -> None:
        self.name = name
        self.port = port
        self.phase = 0
        self.sound = False  # connected to the sound card
        self.muted = False
        self.bridge: tuple[Stream, ...] = ()  # the other members of its conference
        self._report = report
        self._config: StreamConfig | None = None
        self._former: dict[int, str] = {}  # payload types of the codecs before these
        self._sender = Sender(port, ids, outbox)
        self._receiver = Receiver(self._sender.move_to, self._flow, self._report_presses, self._receive_control, ids)
        self.wiring = Wiring(
            name, port, self._sender, outbox, self._receiver.receive, self._receive_control,
            ids=ids, report=report, handshake=studio.handshake,
        )  # fmt: skip
        self._sends = self._expects = self._stalled = False
        self._waits = False  # for keys, or for a way to the far end
        self._has_work = True  # there is more to do in a tick than to send a frame of silence
        self._echoes = False
        self._same_codec: frozenset[int] = frozenset()
        self._loopback = False
        self._turns = False  # the microphone was muted or taken away, or is heard again, since the latest frame
        self._leaves = False  # it was taken away: it is heard for one frame more, in which it becomes silent
        self.playlist = Playlist(name, report, self._note_work)
        self._meter: Meter | None = None
        self._ear: Ear | None = None  # what it is listened to for
        self._voices: tuple[Link, ...] = ()  # programs that speak in this call
        self._tapped = False  # programs want to hear what we send
        self.near = SILENCE  # what was sent in the latest tick, as long as somebody wants it
        self.rate = SAMPLE_RATE
        self._far_shares, self._near_shares = Shares(rates), Shares(rates)
        self._said_shares = Shares(rates)
        self._shared = False  # one of these is in use
        self.recordings = Recordings(name, report, archive)
        self.taps: tuple[Tap, ...] = ()  # streams that hear what is said here, and may speak here
        self.tapping: Tap | None = None  # the stream this one listens to so
        self.said = SILENCE  # as `near`, without what taps say; as long as there are any
        self._pauses: Pauses | None = None  # what decides that a pause is not sent as sound; None: everything is
        self._keypad = Keypad(name, report, lambda digit, duration_ms: studio.digit(digit, duration_ms, self.rate))
        self._next_stats = 0.0
        self._reporter = Reporter(name, cname, ids, epoch, self._sender, self._receiver)

    @property
    def peer(self) -> Address:
        """Return where RTP goes."""
        return self._sender.peer

    @property
    def far(self) -> bytes:
        """Return what was heard in the latest tick, `SILENCE` itself where there was nothing."""
        return self._receiver.far

    @property
    def far_rate(self) -> int:
        """Return the rate of `far` (Hz)."""
        return self._receiver.rate

    def far_at(self, rate: int) -> bytes:
        """Return `far` at this rate, `SILENCE` itself where there was nothing."""
        receiver = self._receiver
        if receiver.rate == rate:
            return receiver.far
        self._has_work = True
        self._shared = True
        return self._far_shares.at(receiver.far, receiver.rate, rate)

    def near_at(self, rate: int) -> bytes:
        """Return `near` at this rate, `SILENCE` itself where there was nothing."""
        if self.rate == rate:
            return self.near
        self._shared = True
        return self._near_shares.at(self.near, self.rate, rate)

    def said_at(self, rate: int) -> bytes:
        """Return what is said here at this rate, without what taps say: nobody hears themselves."""
        if self.rate == rate:
            return self.said
        self._shared = True
        return self._said_shares.at(self.said, self.rate, rate)

    def heard_at(self, rate: int) -> bytes:
        """Return `far` at this rate, with what taps say to our side."""
        heard = self.far_at(rate)
        for tap in self.taps:
            if tap.speaks_near and (frame := tap.by.far_at(rate)) is not SILENCE:
                heard = frame if heard is SILENCE else pcm.add(heard, frame)
        return heard

    @property
    def foreign(self) -> int:
        """Return how many packets came from others than the far end."""
        return self._receiver.foreign

    @property
    def garbage(self) -> int:
        """Return how many packets could not be understood, or were not sealed by the far end."""
        return self._receiver.garbage + self.wiring.refused

    # --- commands --------------------------------------------------------------------------------------------------

    def configure(self, config: StreamConfig, now: float) -> None:
        """Start or change. Raises LookupError for a codec that is not here, ParseError for keys that are none.

        Then nothing has changed.
        """
        old = self._config
        same = old is not None and (old.codec, old.fmtp) == (config.codec, config.fmtp)
        chosen = self._sender.codec if same else codec(config.codec, config.fmtp)
        codecs = {number: self._receiver.known(number, name) or codec(name) for number, name in config.receive_types}
        if old is not None and old.receive_types != config.receive_types:
            # RFC 3264 8.3.2: what the far end sent before it knew is still under way; the numbers keep their meaning.
            self._former = {number: name for number, name in old.receive_types if number not in codecs}
        codecs |= {number: known for number, name in self._former.items() if (known := self._receiver.known(number, name))}
        self.wiring.configure(config, now)
        self._config = config
        if old is None:
            self._reporter.start(now)
            self._next_stats = now + STATS_S
        self._reporter.configure(config)
        if old is None or old.remote != config.remote:
            self._sender.move_to(config.remote)
        self._receiver.configure(codecs, dict(config.receive_events))
        self._receiver.expect(config.remote, config.security is not None or config.ice is not None, now)
        for other in codecs.values():
            if other.steer is not None:
                other.steer(chosen)
        self._sender.configure(chosen, config.payload_type, max(1, round(config.ptime_ms / FRAME_MS)))
        self._keypad.clock = config.event_clock
        if chosen.rate != self.rate:
            self.rate = chosen.rate
            self.near = self.said = SILENCE
        self._pauses = (self._pauses or Pauses()) if config.comfort_noise else None
        self._same_codec = frozenset(
            number for number, other in codecs.items() if other.name == chosen.name and not chosen.remembers
        )
        if old is None:
            self.wiring.hear_early(now)
        self._waits = self.wiring.waits
        self._turn(config.direction, reachable(config.remote), now)

    def _turn(self, direction: str, reachable: bool, now: float) -> None:
        """Obey the direction: RFC 3264 5.1."""
        could_send = self._sends
        # What comes from who cannot be reached is heard; it need not come.
        self._sends = reachable and direction in ("sendrecv", "sendonly")
        hears = direction in ("sendrecv", "recvonly")
        expects = hears and reachable
        if self._sends and not could_send:
            self._sender.mark()
        if not self._sends:
            self._keypad.stop("on hold")
            self._turn_at_once()
        if expects != self._expects:
            self._receiver.heard = now
            self._expects = expects
            self._stalled = False
        self._receiver.listen(hears)
        self._note_work()

    def send_digits(self, request: SendDigits) -> None:
        """Put digits in the line, or answer at once why they cannot be sent."""
        error = ""
        if self._config is None:
            error = "not connected"
        elif not self._sends:
            error = "on hold"
        elif request.method == "rtp" and self._config.telephone_event is None:
            error = "telephone-event was not negotiated"
        if error:
            self._report(DigitsDone(self.name, request.request, error))
            return
        self._keypad.press(request)
        self._turn_at_once()
        self._note_work()

    def mute(self, muted: bool) -> None:
        """Keep the microphone from the far end, or let it be heard again."""
        if muted != self.muted:
            self._turns = self.sound and self._speaks_live
            self.muted = muted

    @property
    def _speaks_live(self) -> bool:
        """Return whether the next frame is of what is said now: behind a digit or a hold nothing of before may be heard."""
        return self._sends and not self._waits and not self._keypad.active

    def _turn_at_once(self) -> None:
        """What comes next is no frame in which the microphone could become silent."""
        self._turns = False
        if self._leaves:
            self._leaves = self.sound = False

    def set_loopback(self, enabled: bool) -> None:
        """Send back what is heard, or stop that."""
        self._loopback = enabled
        self._note_work()

    def set_sound(self, attached: bool) -> None:
        """Listen to the microphone, or stop that."""
        if attached == (self.sound and not self._leaves):
            return
        self._turns = not self.muted and self._speaks_live
        self._leaves = not attached and self._turns
        self.sound = attached or self._leaves
        self._note_work()

    def set_bridge(self, others: tuple[Stream, ...]) -> None:
        """Be in a conference with these (empty: alone again)."""
        self.bridge = others
        self._note_work()

    def set_voices(self, voices: tuple[Link, ...], *, tapped: bool) -> None:
        """Mix what these say into what is sent; `tapped`: keep what is sent in `near`."""
        self._voices, self._tapped = voices, tapped
        self._note_work()

    def set_taps(self, taps: tuple[Tap, ...], tapping: Tap | None) -> None:
        """Let these hear what is said here; listen to another stream oneself."""
        self.taps, self.tapping = taps, tapping
        self._note_work()

    def detect(self, what: frozenset[Detection]) -> None:
        """Listen to the far end for these things; what is listened for already goes on undisturbed."""
        if self._ear is not None and what:
            self._ear.change(what)
        elif self._ear is not None:
            self._ear.close()
            self._ear = None
        elif what:
            from offhook.media.detect.ear import Ear  # only who listens pays for it

            self._ear = Ear(self.name, what, self._report)
        self._note_work()

    def meter(self, interval_ms: int, duration_ms: int) -> None:
        """Tell how loud both directions are, for a while; 0: no more."""
        from offhook.media.meter import Meter  # only who looks pays for it

        self._meter = Meter(interval_ms, duration_ms) if duration_ms > 0 else None
        self._note_work()

    def record(self, recording: Recording, beep: Playback | None) -> None:
        """Start this recording, with `beep` played into the call."""
        self.recordings.start(recording)
        if beep is not None:
            self.playlist.beep(beep)
        self._note_work()

    def close(self, now: float) -> None:
        """Finish everything and say goodbye."""
        self._report_presses(self._receiver.events.finish())
        self._keypad.stop("stream closed")
        self.playlist.close()
        self.recordings.close()
        if self._ear is not None:
            self._ear.close()
            self._ear = None
        if self._config is not None and self._reporter.has_spoken:
            self.wiring.send_control(self._reporter.packet(now, goodbye=True))
        if self.wiring.route is not None:
            self.wiring.route.close(now)
        self._report(StreamClosed(self.name, self.statistics()))

    # --- packets in ------------------------------------------------------------------------------------------------

    def _flow(self) -> None:
        self._stalled = False
        self._report(StreamResumed(self.name))

    def _report_presses(self, presses: list[tuple[str, int]]) -> None:
        for digit, duration_ms in presses:
            self._report(DigitReceived(self.name, digit, "rtp", duration_ms))

    def _receive_control(self, packet: bytes, source: Address, now: float) -> None:
        receiver = self._receiver
        if self._config is None or source[0] not in (self.peer[0], self._config.remote_rtcp[0]):
            receiver.foreign += 1
            return
        try:
            parts = rtcp.parse(packet)
        except ParseError:
            receiver.garbage += 1
            return
        self.wiring.control_peer = source
        self._reporter.read(parts, now)

    # --- the tick --------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Do what `hear` and `speak` do."""
        if self._has_work:
            self.hear(now)
            self.speak(SILENCE)
        else:
            self._receiver.hear(now)
            sender = self._sender
            sender.say(sender.silence)

    def hear(self, now: float) -> None:
        """Bring `far` up to date: the frame that is to be heard in this tick."""
        self._receiver.hear(now)
        if self._shared:
            self._turn_shares()
        self.said = SILENCE
        if self._ear is not None:
            self._ear.feed(self.far_at(SAMPLE_RATE))

    def _turn_shares(self) -> None:
        self._far_shares.turn()
        self._near_shares.turn()
        self._said_shares.turn()
        if not self._far_shares:
            self._shared = bool(self._near_shares or self._said_shares)
            self._note_work()

    def speak(self, mic: bytes) -> None:
        """Send what is to be said in this tick; `mic` is the microphone's frame (`SILENCE` itself where there is none)."""
        sender = self._sender
        if not self._has_work:
            sender.say(sender.silence)
        elif not self._sends:
            sender.skip()
            self._record(SILENCE)
        elif self._waits and self._waits_on():
            sender.skip()
        elif self._keypad.active:
            self._type(mic)
        elif self._echoes and (packet := self._receiver.packet) is not None and packet[1] & 0x7F in self._same_codec:
            sender.say(packet[rtp.HEADER_BYTES :])
        else:
            self._say(self._mix(mic))

    def _waits_on(self) -> bool:
        """Keep digits and what is played until they can be heard there; what is said live is lost."""
        self._waits = self.wiring.waits
        if self._waits:
            for voice in self._voices:
                voice.speak(self.rate)
            self._record(SILENCE)
        else:
            self._note_work()
        return self._waits

    def _type(self, mic: bytes) -> None:
        """Send the next step of a digit: an event, a tone, or between the digits what is said."""
        step = self._keypad.step()
        if not isinstance(step, tuple):
            if step is not None and step is not SILENCE and len(step) != frame_bytes(self.rate):
                step = SILENCE  # the rest of a tone that was made for the codec before this one
            self._say(step if step is not None else self._mix(mic))
        elif self._config is None or self._config.telephone_event is None:
            self._keypad.stop("telephone-event was not negotiated")
            self._sender.skip()
        else:
            self._sender.press(self._config.telephone_event, *step)
            self._record(SILENCE)
        self._note_work()

    def _say(self, near: bytes) -> None:
        sender = self._sender
        if self._pauses is not None and (rest := self._pauses.hear(near)) is not None:
            sender.rest(rtp.COMFORT_NOISE, rest)
        elif sender.plain:
            sender.say(sender.silence if near is SILENCE else sender.codec.encode(near))
        else:
            sender.speak(near)
        if self.recordings or self._tapped or self._meter is not None:
            self._record(near)

    def _note_work(self) -> None:
        """Know beforehand whether anything but silence is to be sent: most streams of a big phone only listen."""
        others = bool(
            self.sound or self.bridge or self._voices or self.playlist or self.recordings or self.taps or self.tapping
            or self._tapped or self._keypad.active or not self._sender.plain or not self._sends
            or self._pauses is not None or self._meter is not None or self._waits
        )  # fmt: skip
        self._has_work = others or self._loopback or bool(self._far_shares) or self._ear is not None
        self._echoes = self._loopback and not others

    def _mix(self, mic: bytes) -> bytes:
        """Return what goes out: microphone, the others of the conference, the echo, what is played, programs, taps."""
        near = mic if self.sound and not self.muted else SILENCE
        if self._turns:
            near = self._turned(mic)
        rate = self.rate
        for other in self.bridge:
            near = _sum(near, other.heard_at(rate) if other.taps else other.far_at(rate))
        if self._loopback:
            near = _sum(near, self.far_at(rate))
        if self.playlist:
            near = self.playlist.mix(near, rate)
        for voice in self._voices:
            near = _sum(near, voice.speak(rate))
        if self.tapping is not None:
            near = self.tapping.mix(near, rate)
        if self.taps:
            self.said = near
            for tap in self.taps:
                if tap.speaks_far:
                    near = _sum(near, tap.by.far_at(rate))
        return near

    def _turned(self, mic: bytes) -> bytes:
        """Return the first frame of the microphone after it was muted or is heard again: without a step, that would click."""
        heard, falls = self.sound and mic is not SILENCE, self.muted or self._leaves
        self._turn_at_once()
        if not self.sound:
            self._note_work()
        if not heard:
            return SILENCE
        return ramp(mic, 1.0, 0.0) if falls else ramp(mic, 0.0, 1.0)

    def _record(self, near: bytes) -> None:
        self.near = near
        if self._meter is not None:
            self._measure(self._meter, near)
        if self.recordings:
            self.recordings.take(self)
            if not self.recordings:
                self._note_work()

    def _measure(self, meter: Meter, near: bytes) -> None:
        meter.feed(near, self.far)
        if meter.due:
            self._report(StreamLevels(self.name, *meter.take()))
        if meter.over:
            self._meter = None
            self._note_work()

    # --- now and then ----------------------------------------------------------------------------------------------

    def look_around(self, now: float) -> None:
        """Do what need not be done every 20 ms; to be called after every tenth tick."""
        if self._config is None:
            return
        receiver = self._receiver
        receiver.buffer.review(now)
        if receiver.events.active:
            self._report_presses(receiver.events.expire(now * 1000.0))
        if self.wiring.path is not None:
            self.wiring.path.timeout(now)
        silent = now - receiver.heard
        if self._expects and not self._stalled and not receiver.pauses and silent > STALL_S:
            self._stalled = True
            receiver.stall()
            self._report(StreamStalled(self.name, int(silent * 1000)))
        if self._reporter.due(now):
            self.wiring.send_control(self._reporter.packet(now))
        if now >= self._next_stats:
            self._next_stats = now + STATS_S
            self._report(self.statistics())

    def statistics(self) -> StreamStats:
        """Return the figures so far."""
        return self._reporter.statistics()
