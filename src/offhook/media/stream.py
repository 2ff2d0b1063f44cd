"""One call's media: RTP in and out, RTCP, digits, playback and recording; two short calls every 20 ms.

The order of a tick is `hear` for all streams of a phase, then `speak` for all: so a conference hears every frame of this
very tick. Packets leave through the outbox; what is worth telling leaves as reports.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from offhook.errors import ParseError
from offhook.ids import Ids
from offhook.media import pcm, rtcp, rtp
from offhook.media.codecs import Codec, codec
from offhook.media.conceal import Concealer
from offhook.media.dtmf import EventReceiver
from offhook.media.jitter import JitterBuffer
from offhook.media.keypad import Keypad
from offhook.media.link import Link
from offhook.media.messages import (
    DigitReceived,
    DigitsDone,
    MediaReport,
    PlaybackDone,
    PlaybackStarted,
    RecordingDone,
    RecordingStarted,
    SendDigits,
    StreamClosed,
    StreamConfig,
    StreamId,
    StreamResumed,
    StreamStalled,
    StreamStats,
)
from offhook.media.reels import Playback, Recording, Studio
from offhook.media.sources import FRAME_MS, FRAME_SAMPLES, SILENCE

Address: TypeAlias = tuple[str, int]
Outbox: TypeAlias = list[tuple[int, bytes, Address]]  # local port, packet, destination

STATS_S: Final = 5.0
STALL_S: Final = 3.0
RELATCH_S: Final = 1.0  # the peer must be silent so long before packets from elsewhere are believed
CHECK_TICKS: Final = 10  # what need not be looked at every 20 ms is looked at every 200 ms
_UNSET: Final[Address] = ("", 0)
_pack: Final = rtp.HEADER.pack
_unpack: Final = rtp.HEADER.unpack_from


def _reachable(address: Address) -> bool:
    return address[1] != 0 and address[0] not in ("", "0.0.0.0", "::")


class Stream:
    """The media of one call. `now` is in seconds everywhere; nothing here raises whatever the far end sends."""

    __slots__ = (
        "_beep", "_buffer", "_candidate", "_check", "_cname", "_codec", "_conceal", "_config", "_control_peer",
        "_decoders", "_encode", "_epoch", "_event_in", "_events", "_expects", "_flowing", "_has_work", "_heard", "_heard_from",
        "_hears", "_ids", "_keypad", "_last_sr", "_last_sr_at", "_loopback", "_mark", "_next_rtcp", "_next_stats", "_outbox",
        "_past_expected", "_past_lost", "_payload_type", "_pending", "_per_packet", "_playback", "_reception", "_recordings",
        "_remote_jitter", "_remote_loss", "_report", "_rtt", "_sends", "_sent_at_report", "_sequence", "_silence", "_ssrc",
        "_ssrc_in", "_stalled", "_timestamp", "_timestamp_event", "_voices", "_whole", "bridge", "bytes_in", "bytes_out",
        "far", "foreign", "garbage", "muted", "name", "packets_in", "packets_out", "peer", "phase", "port", "sound",
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
    ) -> None:
        self.name = name
        self.port = port
        self.phase = 0
        self.sound = False  # connected to the sound card
        self.muted = False
        self.bridge: tuple[Stream, ...] = ()  # the other members of its conference
        self.far = SILENCE  # what was heard in the latest tick
        self.peer = _UNSET
        self.packets_in = self.packets_out = self.bytes_in = self.bytes_out = 0
        self.garbage = self.foreign = 0
        self._ids = ids
        self._report = report
        self._outbox = outbox
        self._epoch = epoch  # what makes `now` a time since 1970
        self._cname = cname
        self._config: StreamConfig | None = None
        self._loopback = False
        self._playback: Playback | None = None
        self._beep: Playback | None = None
        self._voices: tuple[Link, ...] = ()  # programs that speak in this call
        self._recordings: dict[str, Recording] = {}
        self._keypad = Keypad(name, report, studio.digit)
        self._begin_sending()
        self._begin_receiving()

    def _begin_sending(self) -> None:
        # RFC 3550 5.1: sequence number, timestamp and SSRC start at random values.
        self._sequence = self._ids.integer(16)
        self._timestamp = self._ids.integer(32)
        self._ssrc = self._ids.integer(32)
        self._timestamp_event = 0
        self._payload_type = 0
        self._codec: Codec = codec("PCMU")
        self._encode = self._codec.encode
        self._silence = self._encode(SILENCE)
        self._mark = rtp.MARKER
        self._per_packet = 1
        self._pending: list[bytes] = []
        self._sends = False
        self._has_work = False
        self._sent_at_report = 0
        self._next_rtcp = self._next_stats = 0.0
        self._check = CHECK_TICKS

    def _begin_receiving(self) -> None:
        self._decoders: dict[int, Callable[[bytes], bytes]] = {}
        self._event_in = -1
        self._hears = self._expects = False
        self._heard = 0.0
        self._heard_from: Address | None = None
        self._control_peer: Address = _UNSET
        self._flowing = self._stalled = False
        self._ssrc_in = -1
        self._candidate = (-1, -1)
        self._reception = rtp.Reception(0)
        self._past_expected = self._past_lost = 0
        self._buffer = JitterBuffer()
        self._conceal = Concealer()
        self._whole = False  # `far` came whole and is not concealment
        self._events = EventReceiver()
        self._last_sr = 0
        self._last_sr_at = 0.0
        self._remote_loss: float | None = None
        self._remote_jitter: float | None = None
        self._rtt: float | None = None

    # --- commands --------------------------------------------------------------------------------------------------

    def configure(self, config: StreamConfig, now: float) -> None:
        """Start or change. Raises LookupError for a codec that is not here; then nothing has changed."""
        chosen = codec(config.codec)
        decoders = {number: codec(name).decode for number, name in config.receive_types}
        old, self._config = self._config, config
        if old is None:
            self._next_rtcp = now + rtcp.INTERVAL_S * self._ids.uniform(0.25, 0.75)
            self._next_stats = now + STATS_S
        if old is None or old.remote != config.remote:
            # The far end moved, so whoever was heard before is believed no longer.
            self.peer = config.remote
            self._heard_from = None
        if old is None or old.remote_rtcp != config.remote_rtcp:
            self._control_peer = config.remote_rtcp
        self._decoders = decoders
        self._event_in = -1 if config.telephone_event_in is None else config.telephone_event_in
        self._codec = chosen
        self._encode = chosen.encode
        self._silence = chosen.encode(SILENCE)
        self._payload_type = config.payload_type
        self._per_packet = max(1, round(config.ptime_ms / FRAME_MS))
        self._pending.clear()
        # RFC 3264 8.4: 0.0.0.0 is how RFC 2543 put on hold; port 0 is nowhere either.
        self._turn(config.direction if _reachable(config.remote) else "inactive", now)

    def _turn(self, direction: str, now: float) -> None:
        """Obey the direction: RFC 3264 5.1."""
        could_send = self._sends
        self._sends = direction in ("sendrecv", "sendonly")
        self._hears = direction in ("sendrecv", "recvonly")
        if self._sends and not could_send:
            self._mark = rtp.MARKER  # RFC 3551 4.1: set on the first packet after silence
        if not self._sends:
            self._keypad.stop("on hold")
        if self._hears != self._expects:
            self._heard = now
            self._expects = self._hears
            self._stalled = False
        if not self._hears:
            self._buffer.reset()
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
        self._note_work()

    def set_loopback(self, enabled: bool) -> None:
        """Send back what is heard, or stop that."""
        self._loopback = enabled
        self._note_work()

    def set_sound(self, attached: bool) -> None:
        """Listen to the microphone, or stop that."""
        self.sound = attached
        self._note_work()

    def set_bridge(self, others: tuple[Stream, ...]) -> None:
        """Be in a conference with these (empty: alone again)."""
        self.bridge = others
        self._note_work()

    def set_voices(self, voices: tuple[Link, ...]) -> None:
        """Mix what these say into what is sent."""
        self._voices = voices
        self._note_work()

    def play(self, playback: Playback) -> None:
        """Play this in place of what plays now."""
        self._end_playback("replaced")
        self._playback = playback
        self._note_work()

    def pause_playback(self, name: str, paused: bool) -> None:
        """Pause or go on; nothing happens for a playback that is over."""
        if self._playback is not None and self._playback.name == name:
            self._playback.paused = paused

    def stop_playback(self, name: str) -> None:
        """Stop it."""
        if self._playback is not None and self._playback.name == name:
            self._end_playback("stopped")

    def record(self, recording: Recording, beep: Playback | None) -> None:
        """Start this recording, with `beep` played into the call."""
        if recording.name in self._recordings:
            self._end_recording(recording.name, "stopped")
        self._recordings[recording.name] = recording
        self._beep = beep
        self._report(RecordingStarted(self.name, recording.name))
        self._note_work()

    def pause_recording(self, name: str, paused: bool) -> None:
        """Pause or go on."""
        if name in self._recordings:
            self._recordings[name].paused = paused

    def stop_recording(self, name: str) -> None:
        """Stop it; the file is complete."""
        if name in self._recordings:
            self._end_recording(name, "stopped")

    def close(self, now: float) -> None:
        """Finish everything and say goodbye."""
        self._report_presses(self._events.finish())
        self._keypad.stop("stream closed")
        self._end_playback("closed")
        for name in tuple(self._recordings):
            self._end_recording(name, "closed")
        if self._config is not None:
            self._send_control(now, rtcp.print_goodbye(self._ssrc))
        self._report(StreamClosed(self.name, self.statistics()))

    # --- packets in ------------------------------------------------------------------------------------------------

    def receive(self, packet: bytes, source: Address, now: float) -> None:
        """Take a datagram from the RTP port."""
        if len(packet) < rtp.HEADER_BYTES:
            self.garbage += 1
            return
        first, second, sequence, timestamp, ssrc = _unpack(packet)
        decode = self._decoders.get(second & 0x7F)
        if decode is None or first != rtp.PLAIN:
            self._receive_rare(packet, source, now)
            return
        if source != self._heard_from and not self._latch(source, now):
            return
        if ssrc != self._ssrc_in and not self._meet(ssrc, sequence):
            return
        self._heard = now
        if not self._flowing:
            self._flow()
        reception = self._reception
        if (sequence - reception.top) & 0xFFFF == 1:
            reception.top += 1  # all that `note` would do
        elif (arrival := reception.note(sequence)) and not self._forgive(arrival):
            return
        self.packets_in += 1
        self.bytes_in += len(packet) - 12
        if self._hears and len(packet) > 12:
            self._buffer.put(timestamp, decode(packet[12:]), now * 1000.0)

    def _receive_rare(self, packet: bytes, source: Address, now: float) -> None:
        """Events, comfort noise, headers with options, RTCP on the wrong port, garbage."""
        span = rtp.payload_span(packet)
        if span is None or self._config is None:
            self.garbage += 1
            return
        _, second, sequence, timestamp, ssrc = _unpack(packet)
        if 200 <= second <= 207:
            self.receive_control(packet, source, now)  # RFC 5761 4: what multiplexed RTCP looks like
            return
        kind = second & 0x7F
        decode = self._decoders.get(kind)
        if decode is None and kind not in (self._event_in, rtp.COMFORT_NOISE):
            self.garbage += 1
            return
        if source != self._heard_from and not self._latch(source, now):
            return
        if ssrc != self._ssrc_in and not self._meet(ssrc, sequence):
            return
        payload = packet[span[0] : span[1]]
        self._heard = now
        if not self._flowing:
            self._flow()
        arrival = self._reception.note(sequence)
        if arrival and not self._forgive(arrival):
            return
        self.packets_in += 1
        self.bytes_in += len(payload)
        if kind == self._event_in:
            self._report_presses(self._events.receive(timestamp, payload, now * 1000.0))
        elif decode is not None and payload and self._hears:
            self._buffer.put(timestamp, decode(payload), now * 1000.0)

    def _flow(self) -> None:
        self._flowing = True
        self._stalled = False
        self._report(StreamResumed(self.name))

    def _forgive(self, arrival: rtp.Arrival) -> bool:
        """Count a sequence number that is not new, and say whether the packet is good nevertheless."""
        if arrival is rtp.Arrival.RESTART:
            self._events.restart()
            return True
        if arrival is rtp.Arrival.DUPLICATE:
            self._buffer.duplicate += 1
        else:
            self.garbage += 1
        return False

    def _latch(self, source: Address, now: float) -> bool:
        """Symmetric RTP (RFC 4961): the first who sends is the peer, until silent for a second."""
        if self._config is None or (self._heard_from is not None and now - self._heard < RELATCH_S):
            self.foreign += 1
            return False
        self._heard_from = self.peer = source
        return True

    def _meet(self, ssrc: int, sequence: int) -> bool:
        """Another source speaks: believe it at the second packet in sequence (RFC 3550 A.1), the very first at once."""
        if self._ssrc_in >= 0:
            expected, self._candidate = self._candidate, (ssrc, (sequence + 1) & 0xFFFF)
            if expected != (ssrc, sequence):
                self.foreign += 1
                return False
            self._past_expected += self._reception.expected
            self._past_lost += self._reception.lost
            self._buffer.reset()
            self._events.restart()
        self._ssrc_in = ssrc
        self._candidate = (-1, -1)
        self._reception = rtp.Reception(sequence)
        self._last_sr = 0
        return True

    def _report_presses(self, presses: list[tuple[str, int]]) -> None:
        for digit, duration_ms in presses:
            self._report(DigitReceived(self.name, digit, "rtp", duration_ms))

    def receive_control(self, packet: bytes, source: Address, now: float) -> None:
        """Take a datagram from the RTCP port."""
        if self._config is None or source[0] not in (self.peer[0], self._config.remote_rtcp[0]):
            self.foreign += 1
            return
        try:
            parts = rtcp.parse(packet)
        except ParseError:
            self.garbage += 1
            return
        self._control_peer = source
        for part in parts:
            if isinstance(part, rtcp.Report):
                self._read_report(part, now)
            elif self._ssrc_in in part.sources:
                self._candidate = (-1, -1)

    def _read_report(self, report: rtcp.Report, now: float) -> None:
        if report.ntp is not None and report.ssrc == self._ssrc_in:
            self._last_sr = rtcp.middle(report.ntp)
            self._last_sr_at = now
        for block in report.blocks:
            if block.ssrc == self._ssrc:
                self._remote_loss = block.fraction
                self._remote_jitter = block.jitter / 8.0
                rtt = rtcp.round_trip_ms(block, rtcp.ntp_time(now + self._epoch))
                self._rtt = self._rtt if rtt is None else rtt

    # --- the tick --------------------------------------------------------------------------------------------------

    def hear(self, now: float) -> None:
        """Bring `far` up to date: the frame that is to be heard in this tick."""
        frame = self._buffer.pull(now * 1000.0) if self._hears else None
        if frame is not None:
            self.far = frame
            self._whole = True
        else:
            self._miss()
        self._check -= 1
        if not self._check:
            self._check = CHECK_TICKS
            self._look_around(now)

    def _miss(self) -> None:
        if self._whole:
            self._whole = False
            self._conceal.good(self.far)
        self.far = self._conceal.lost()

    def speak(self, mic: bytes) -> None:
        """Send what is to be said in this tick; `mic` is the microphone's frame (`SILENCE` itself where there is none)."""
        timestamp = self._timestamp
        self._timestamp = (timestamp + FRAME_SAMPLES) & 0xFFFFFFFF
        if not self._sends:
            if self._recordings:
                self._write_recordings(SILENCE)
            return
        if self._has_work:
            self._speak_up(mic, timestamp)
        else:
            self._send(self._payload_type | self._mark, timestamp, self._silence)

    def _speak_up(self, mic: bytes, timestamp: int) -> None:
        """Send what may be more than silence, or needs more than sending."""
        if self._keypad.active:
            step = self._keypad.step()
            if isinstance(step, tuple):
                self._send_event(step[0], step[1], timestamp)
                return
            near = step if step is not None else self._mix(mic)
            self._note_work()
        else:
            near = self._mix(mic)
        payload = self._silence if near is SILENCE else self._encode(near)
        if self._per_packet == 1:
            self._send(self._payload_type | self._mark, timestamp, payload)
        else:
            self._gather(timestamp, payload)
        if self._recordings:
            self._write_recordings(near)

    def _send(self, second: int, timestamp: int, payload: bytes) -> None:
        sequence = self._sequence
        self._outbox.append((self.port, _pack(rtp.PLAIN, second, sequence, timestamp, self._ssrc) + payload, self.peer))
        self._sequence = (sequence + 1) & 0xFFFF
        self._mark = 0
        self.packets_out += 1
        self.bytes_out += len(payload)

    def _gather(self, timestamp: int, payload: bytes) -> None:
        """Send packets of more than one frame."""
        self._pending.append(payload)
        count = len(self._pending)
        if count >= self._per_packet:
            first = (timestamp - (count - 1) * FRAME_SAMPLES) & 0xFFFFFFFF
            self._send(self._payload_type | self._mark, first, b"".join(self._pending))
            self._pending.clear()

    def _send_event(self, payload: bytes, first: bool, timestamp: int) -> None:
        """RFC 4733 2.5.1.1: all packets of an event carry the timestamp of its beginning, the first one the marker."""
        self._pending.clear()
        if first:
            self._timestamp_event = timestamp
        number = self._config.telephone_event if self._config is not None else None
        if number is None:
            self._keypad.stop("telephone-event was not negotiated")
            return
        self._mark = rtp.MARKER if first else 0
        self._send(number | self._mark, self._timestamp_event, payload)
        if self._recordings:
            self._write_recordings(SILENCE)

    def _note_work(self) -> None:
        """Know beforehand whether anything but silence can go out: most streams of a big phone only listen."""
        self._has_work = bool(
            self.sound or self._loopback or self.bridge or self._voices or self._playback or self._beep or self._recordings
            or self._keypad.active or self._per_packet > 1
        )  # fmt: skip

    def _mix(self, mic: bytes) -> bytes:
        """Return what goes out: microphone, the others of the conference, the echo, the playback, the beep."""
        near = mic if self.sound and not self.muted else SILENCE
        for other in self.bridge:
            if other.far is not SILENCE:
                near = other.far if near is SILENCE else pcm.add(near, other.far)
        if self._loopback and self.far is not SILENCE:
            near = self.far if near is SILENCE else pcm.add(near, self.far)
        if self._playback is not None:
            frame = self._read_playback(self._playback)
            if frame is not SILENCE:
                near = frame if near is SILENCE else pcm.add(near, frame)
        for voice in self._voices:
            frame = voice.speak()
            if frame is not SILENCE:
                near = frame if near is SILENCE else pcm.add(near, frame)
        if self._beep is not None:
            frame = self._beep.read() or SILENCE
            near = frame if near is SILENCE else pcm.add(near, frame)
            if self._beep.over:
                self._beep = None
                self._note_work()
        return near

    def _read_playback(self, playback: Playback) -> bytes:
        frame = playback.read()
        if playback.frames == 1 and frame is not None:
            self._report(PlaybackStarted(self.name, playback.name))
        if playback.over:
            self._end_playback(playback.over)
        return SILENCE if frame is None else frame

    def _end_playback(self, reason: str) -> None:
        playback, self._playback = self._playback, None
        if playback is None:
            return
        playback.close()
        self._report(PlaybackDone(self.name, playback.name, reason, playback.played_ms, playback.error))  # type: ignore[arg-type]
        self._note_work()

    def _write_recordings(self, near: bytes) -> None:
        for recording in tuple(self._recordings.values()):
            reason = recording.write(near, self.far)
            if reason:
                self._end_recording(recording.name, reason)

    def _end_recording(self, name: str, reason: str) -> None:
        recording = self._recordings.pop(name)
        recording.close()
        self._note_work()
        error = recording.error
        self._report(
            RecordingDone(
                self.name, name, recording.path, "failed" if error else reason, recording.duration_ms, error  # type: ignore[arg-type]
            )
        )  # fmt: skip

    # --- now and then ----------------------------------------------------------------------------------------------

    def _look_around(self, now: float) -> None:
        if self._config is None:
            return
        if self._events.active:
            self._report_presses(self._events.expire(now * 1000.0))
        silent = now - self._heard
        if self._expects and not self._stalled and silent > STALL_S:
            self._stalled = True
            self._flowing = False
            self._report(StreamStalled(self.name, int(silent * 1000)))
        if now >= self._next_rtcp:
            # RFC 3550 6.3.1: vary between half and one and a half, so that not all reports come at once.
            self._next_rtcp = now + rtcp.INTERVAL_S * self._ids.uniform(0.5, 1.5)
            self._send_control(now, b"")
        if now >= self._next_stats:
            self._next_stats = now + STATS_S
            self._report(self.statistics())

    def _send_control(self, now: float, goodbye: bytes) -> None:
        """Send SR (RR where nothing was sent since the last one), SDES and maybe BYE."""
        sending = self.packets_out != self._sent_at_report
        self._sent_at_report = self.packets_out
        report = rtcp.Report(
            ssrc=self._ssrc,
            ntp=rtcp.ntp_time(now + self._epoch) if sending else None,
            timestamp=self._timestamp,
            packets=self.packets_out,
            octets=self.bytes_out,
            blocks=(self._block(now),) if self._ssrc_in >= 0 else (),
        )
        packet = rtcp.print_report(report) + rtcp.print_description(self._ssrc, self._cname) + goodbye
        if _reachable(self._control_peer):
            self._outbox.append((self.port + 1, packet, self._control_peer))

    def _block(self, now: float) -> rtcp.Block:
        reception = self._reception
        return rtcp.Block(
            ssrc=self._ssrc_in,
            fraction=reception.fraction_since_last(),
            lost=reception.lost,
            highest=reception.top - 0x10000,
            jitter=int(self._buffer.jitter_ms * 8),
            last_report=self._last_sr,
            delay=int((now - self._last_sr_at) * 65536) if self._last_sr else 0,
        )

    def statistics(self) -> StreamStats:
        """Return the figures so far."""
        buffer = self._buffer
        heard = self._ssrc_in >= 0
        expected = self._past_expected + (self._reception.expected if heard else 0)
        lost = self._past_lost + (self._reception.lost if heard else 0)
        unheard = min(1.0, (lost + buffer.late) / expected) if expected else 0.0
        one_way = (self._rtt or 0.0) / 2 + max(buffer.delay_ms, 0.0) + FRAME_MS
        return StreamStats(
            stream=self.name,
            packets_sent=self.packets_out,
            packets_received=self.packets_in,
            bytes_sent=self.bytes_out,
            bytes_received=self.bytes_in,
            packets_lost=lost,
            packets_late=buffer.late,
            packets_duplicate=buffer.duplicate,
            loss=lost / expected if expected else 0.0,
            jitter_ms=round(buffer.jitter_ms, 3),
            buffer_ms=round(max(buffer.delay_ms, 0.0), 1),
            remote_loss=self._remote_loss,
            remote_jitter_ms=self._remote_jitter,
            rtt_ms=self._rtt,
            mos=round(rtcp.mean_opinion(unheard, one_way), 2),
        )
