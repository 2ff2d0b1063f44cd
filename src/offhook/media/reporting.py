"""RTCP of one stream, both ways, and the figures that come of it: what we hear, and what the far end hears.

Reports go out every five seconds, a little at random (RFC 3550 6.3), extended ones (RFC 3611) to who asked for them. Nothing
here sends or keeps time; the stream asks for a packet when it is `due`.
"""

from __future__ import annotations

from typing import Final

from offhook.ids import Ids
from offhook.media import emodel, rtcp, xr
from offhook.media.jitter import MAX_TARGET_S
from offhook.media.losses import GMIN
from offhook.media.messages import StreamConfig, StreamId, StreamStats
from offhook.media.receiving import Receiver
from offhook.media.sending import Sender
from offhook.media.sources import FRAME_MS

RECEIVER_RTT: Final = "rcvr-rtt"
METRICS: Final = "voip-metrics"
REMOTE_BUFFER_MS: Final = 40.0  # what a far end's jitter buffer is thought to hold that does not tell
_DAY_MS: Final = 86_400_000


class Reporter:
    """Makes reports, reads the far end's, and rates the call by both (`media.emodel`)."""

    __slots__ = (
        "_asked", "_asked_at", "_asked_by", "_cname", "_codec", "_epoch", "_ids", "_last_sr", "_last_sr_at",
        "_last_sr_of", "_metrics", "_name", "_next", "_ptime", "_receiver", "_remote", "_reported", "_rtt", "_sender",
        "_sent", "_sent_at_block", "_wanted",
    )  # fmt: skip

    def __init__(self, name: StreamId, cname: str, ids: Ids, epoch: float, sender: Sender, receiver: Receiver) -> None:
        self._name = name
        self._cname = cname
        self._ids = ids
        self._epoch = epoch  # what makes `now` a time since 1970
        self._sender = sender
        self._receiver = receiver
        self._next = 0.0
        self._sent = 0  # packets, at the latest report
        self._reported = False
        self._codec = ""
        self._ptime = FRAME_MS
        self._wanted: tuple[str, ...] = ()  # the extended reports that the far end asks for
        self._last_sr = self._last_sr_of = 0
        self._last_sr_at = 0.0
        self._asked = self._asked_by = 0  # the latest RRTR, to be answered
        self._asked_at = 0.0
        self._remote: rtcp.Block | None = None  # how the far end hears us
        self._sent_at_block = 0
        self._metrics: xr.VoipMetrics | None = None  # the same, in its own judgement
        self._rtt: float | None = None

    def start(self, now: float) -> None:
        """Plan the first report."""
        self._next = now + rtcp.INTERVAL_S * self._ids.uniform(0.25, 0.75)

    def configure(self, config: StreamConfig) -> None:
        """Rate the call by what was negotiated."""
        self._codec = config.codec
        self._ptime = config.ptime_ms
        self._wanted = config.extended_reports

    # --- in --------------------------------------------------------------------------------------------------------

    def read(self, parts: list[rtcp.Part], now: float) -> None:
        """Take what the far end reports."""
        for part in parts:
            if isinstance(part, rtcp.Report):
                self._read_report(part, now)
            elif isinstance(part, xr.ExtendedReport):
                self._read_extended(part, now)
            elif self._receiver.ssrc in part.sources:
                self._receiver.lose()

    def _read_report(self, report: rtcp.Report, now: float) -> None:
        if report.ntp is not None and report.ssrc == self._receiver.ssrc:
            self._last_sr = rtcp.middle(report.ntp)
            self._last_sr_at = now
            self._last_sr_of = report.ssrc
        for block in report.blocks:
            if block.ssrc == self._sender.ssrc:
                self._remote = block
                self._sent_at_block = self._sender.totals()[0]
                if (expect_loss := self._sender.codec.expect_loss) is not None:
                    expect_loss(block.fraction)
                self._learn(rtcp.round_trip_ms(block, self._ntp(now)))

    def _read_extended(self, report: xr.ExtendedReport, now: float) -> None:
        for block in report.blocks:
            if isinstance(block, xr.ReceiverTime):
                self._asked, self._asked_by, self._asked_at = rtcp.middle(block.ntp), report.ssrc, now
            elif isinstance(block, xr.Delays):
                for one in block.delays:
                    if one.ssrc == self._sender.ssrc:
                        # RFC 3611 4.5: as with the LSR and DLSR of a report block
                        echo = rtcp.Block(one.ssrc, 0.0, 0, 0, 0, one.last_report, one.delay)
                        self._learn(rtcp.round_trip_ms(echo, self._ntp(now)))
            elif block.ssrc == self._sender.ssrc:
                self._metrics = block

    def _learn(self, rtt: float | None) -> None:
        self._rtt = self._rtt if rtt is None else rtt

    # --- out -------------------------------------------------------------------------------------------------------

    def due(self, now: float) -> bool:
        """Say whether a report is due, and plan the next one."""
        if now < self._next:
            return False
        # RFC 3550 6.3.1: vary between half and one and a half, so that not all reports come at once.
        self._next = now + rtcp.INTERVAL_S * self._ids.uniform(0.5, 1.5)
        return True

    @property
    def has_spoken(self) -> bool:
        """Say whether anything was sent, RTP or RTCP: only then may we say goodbye (RFC 3550 6.3.7)."""
        return self._reported or self._sender.totals()[0] > 0

    def packet(self, now: float, *, goodbye: bool = False) -> bytes:
        """Return SR (RR where nothing was sent since the last one), SDES, extended reports and maybe BYE."""
        sender = self._sender
        packets, octets = sender.totals()
        sending, self._sent = packets != self._sent, packets
        self._reported = True
        report = rtcp.Report(
            ssrc=sender.ssrc,
            ntp=self._ntp(now) if sending else None,
            timestamp=sender.timestamp,
            packets=packets,
            octets=octets,
            blocks=(self._block(now),) if self._receiver.ssrc >= 0 else (),
        )
        if report.blocks and (ask := sender.codec.ask) is not None:
            ask(report.blocks[0].fraction)
        packet = rtcp.print_report(report) + rtcp.print_description(sender.ssrc, self._cname)
        blocks = self._extended(now, sending)
        if blocks:
            packet += xr.print_extended(xr.ExtendedReport(sender.ssrc, blocks))
        return packet + rtcp.print_goodbye(sender.ssrc) if goodbye else packet

    def _ntp(self, now: float) -> int:
        return rtcp.ntp_time(now + self._epoch)

    def _block(self, now: float) -> rtcp.Block:
        receiver = self._receiver
        reception = receiver.reception
        known = self._last_sr != 0 and self._last_sr_of == receiver.ssrc
        return rtcp.Block(
            ssrc=receiver.ssrc,
            fraction=reception.fraction_since_last(),
            lost=reception.lost,
            highest=reception.top - 0x10000,
            jitter=int(receiver.buffer.jitter * receiver.buffer.clock),
            last_report=self._last_sr if known else 0,
            delay=int((now - self._last_sr_at) * 65536) if known else 0,
        )

    def _extended(self, now: float, sending: bool) -> tuple[xr.Block, ...]:
        blocks: list[xr.Block] = []
        if self._asked:
            delay = rtcp.word(int((now - self._asked_at) * 65536))
            blocks.append(xr.Delays((xr.Delay(self._asked_by, self._asked, delay),)))
            self._asked = 0
        if not sending and RECEIVER_RTT in self._wanted:
            blocks.append(xr.ReceiverTime(self._ntp(now)))  # who sends has the round trip from the reports already
        if METRICS in self._wanted and self._receiver.ssrc >= 0:
            blocks.append(self._our_metrics())
        return tuple(blocks)

    def _our_metrics(self) -> xr.VoipMetrics:
        figures, buffer = self.statistics(), self._receiver.buffer
        expected = max(1, figures.packets_received + figures.packets_lost)
        # RFC 3611 4.7.4: R goes to 100 there, also for wideband speech, whose own scale goes to 129
        share = emodel.MOST_NARROW / emodel.MOST_WIDE if emodel.equipment(self._codec).wide else 1.0
        return xr.VoipMetrics(
            ssrc=self._receiver.ssrc,
            lost=figures.loss,
            discarded=figures.packets_late / expected,
            burst_density=figures.burst_density,
            gap_density=figures.gap_density,
            burst_ms=figures.burst_ms,
            gap_ms=figures.gap_ms,
            round_trip_ms=int(self._rtt or 0),
            end_system_ms=int(figures.buffer_ms) + 2 * FRAME_MS,
            gmin=GMIN,
            rating=round(figures.rating * share),
            mos_listening=figures.mos_listening,
            mos_conversation=figures.mos,
            buffer_ms=int(buffer.target_ms),
            buffer_most_ms=int(max(figures.buffer_ms, buffer.target_ms)),
            buffer_limit_ms=int(1000 * MAX_TARGET_S),
        )

    # --- figures ---------------------------------------------------------------------------------------------------

    def statistics(self) -> StreamStats:
        """Return the figures so far."""
        receiver, buffer = self._receiver, self._receiver.buffer
        expected, lost = receiver.totals()
        sent, bytes_sent = self._sender.totals()
        unheard = min(1.0, (lost + buffer.late) / expected) if expected else 0.0
        held = max(buffer.delay_ms, 0.0)
        delay = (self._rtt or 0.0) / 2 + held + FRAME_MS
        bursts = receiver.losses.bursts(expected)
        codec = emodel.equipment(receiver.codec_name or self._codec)
        ratio = emodel.burst_ratio(unheard, bursts.mean_run)
        rating, mos, mos_listening = emodel.judged(codec, unheard, delay, ratio)
        remote, metrics = self._remote, self._metrics
        remote_rating, remote_mos = self._remote_rating()
        return StreamStats(
            stream=self._name,
            packets_sent=sent,
            packets_received=receiver.packets,
            bytes_sent=bytes_sent,
            bytes_received=receiver.bytes,
            packets_lost=lost,
            packets_late=buffer.late,
            packets_duplicate=buffer.duplicate,
            loss=lost / expected if expected else 0.0,
            jitter_ms=round(buffer.jitter_ms, 3),
            buffer_ms=round(held, 1),
            remote_loss=None if remote is None else remote.fraction,
            remote_jitter_ms=None if remote is None else rtcp.jitter_ms(remote, self._sender.codec.clock_rate),
            rtt_ms=self._rtt,
            mos=mos,
            rating=rating,
            mos_listening=mos_listening,
            delay_ms=round(delay, 1),
            bursts=bursts.bursts,
            burst_density=round(bursts.burst_density, 4),
            burst_ms=_milliseconds(bursts.burst_packets),
            gap_density=round(bursts.gap_density, 4),
            gap_ms=_milliseconds(bursts.gap_packets),
            packets_reordered=buffer.reordered,
            stretched=buffer.stretched,
            shrunk=buffer.shrunk,
            remote_packets_lost=None if remote is None else max(0, remote.lost),
            remote_mos=remote_mos,
            remote_rating=remote_rating,
            remote_burst_density=None if metrics is None else metrics.burst_density,
            remote_burst_ms=None if metrics is None else metrics.burst_ms,
            remote_buffer_ms=None if metrics is None else metrics.buffer_ms,
        )

    def _remote_rating(self) -> tuple[float | None, float | None]:
        """Return R and MOS of what the far end hears: in its own judgement, where it has one, else in ours."""
        remote, metrics = self._remote, self._metrics
        if metrics is not None and metrics.rating is not None and metrics.mos_conversation is not None:
            return float(metrics.rating), metrics.mos_conversation
        if remote is None:
            return None, None
        loss = max(0, remote.lost) / self._sent_at_block if self._sent_at_block else 0.0
        held = REMOTE_BUFFER_MS
        if metrics is not None:
            loss, held = metrics.lost + metrics.discarded, float(metrics.buffer_ms)
        codec = emodel.equipment(self._codec)
        rating = emodel.rating(codec, loss, (self._rtt or 0.0) / 2 + held + self._ptime)
        return round(rating, 1), round(emodel.opinion(rating, wide=codec.wide), 2)


def _milliseconds(packets: float) -> int:
    """Return how long so many packets last, of a frame each, as nearly all are."""
    return min(_DAY_MS, round(FRAME_MS * packets))
