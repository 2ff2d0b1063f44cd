"""What two streams tell each other about the sound, and what they make of it."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from virtual_media import Pair, Weather

from offhook.media import rtcp, xr
from offhook.media.messages import CloseStream, StreamClosed, StreamStats
from offhook.media.reporting import REMOTE_BUFFER_MS

BOTH = ("rcvr-rtt", "voip-metrics")


def figures(pair: Pair, side: int) -> StreamStats:
    return pair.engines[side].streams["c"].statistics()


def sent(pair: Pair, side: int) -> list[rtcp.Part]:
    """Return all parts of all RTCP packets from there."""
    return [part for who, port, packet in pair.sent if who == side and port == 4001 for part in rtcp.parse(packet)]


def metrics(pair: Pair, side: int) -> list[xr.VoipMetrics]:
    reports = [part for part in sent(pair, side) if isinstance(part, xr.ExtendedReport)]
    return [block for report in reports for block in report.blocks if isinstance(block, xr.VoipMetrics)]


def test_a_good_call_is_rated_well_by_both() -> None:
    pair = Pair()
    pair.run(20)
    for side in (0, 1):
        last = figures(pair, side)
        assert last.rating > 90
        assert last.mos > 4.3
        assert last.remote_mos is not None
        assert last.remote_mos > 4.3
        assert (last.bursts, last.burst_ms, last.burst_density, last.gap_density) == (0, 0, 0.0, 0.0)
        assert last.gap_ms == pytest.approx(20_000, abs=200)
        assert last.delay_ms == pytest.approx(10 + last.buffer_ms + 20, abs=12)
        assert last.remote_packets_lost == 0


@pytest.mark.lengthy
def test_both_ends_agree_on_what_each_hears() -> None:
    pair = Pair(Weather(loss=0.05, delay=0.04))
    pair.run(60)
    ours, theirs = figures(pair, 0), figures(pair, 1)
    assert ours.remote_mos == pytest.approx(theirs.mos, abs=0.35)
    assert ours.remote_packets_lost == pytest.approx(theirs.packets_lost, abs=25)
    assert ours.mos_listening >= ours.mos
    assert ours.remote_burst_density is None, "nobody asked for that"
    assert not metrics(pair, 0)


@pytest.mark.lengthy
def test_who_asks_is_told_more() -> None:
    pair = Pair(Weather(loss=0.05, delay=0.04), extended_reports=BOTH)
    pair.run(60)
    ours, theirs = figures(pair, 0), figures(pair, 1)
    assert ours.remote_mos == pytest.approx(theirs.mos, abs=0.3)
    assert ours.remote_rating == pytest.approx(theirs.rating, abs=8)
    assert ours.remote_burst_density == pytest.approx(theirs.burst_density, abs=0.05)
    assert ours.remote_burst_ms == pytest.approx(theirs.burst_ms, rel=0.5)
    told = metrics(pair, 1)[-1]
    assert told.lost == pytest.approx(0.05, abs=0.03)
    assert told.discarded < 0.02
    assert told.round_trip_ms == pytest.approx(80, abs=15)
    assert told.end_system_ms >= told.buffer_ms > 0
    assert told.gmin == 16
    assert told.buffer_limit_ms == 200


@pytest.mark.lengthy
def test_who_only_listens_knows_the_round_trip_nevertheless() -> None:
    pair = Pair(Weather(delay=0.05), extended_reports=BOTH)
    pair.configure(0, direction="recvonly", extended_reports=BOTH)
    pair.configure(1, direction="sendonly", extended_reports=BOTH)
    pair.run(0.5)
    pair.engines[0].streams["c"]._reporter._rtt = None  # from the moment when both talked
    pair.run(30)
    assert figures(pair, 0).rtt_ms == pytest.approx(100, abs=12)
    without = Pair(Weather(delay=0.05), direction="recvonly")
    without.configure(1, direction="sendonly")
    without.run(30)
    assert figures(without, 0).rtt_ms is None


@pytest.mark.lengthy
def test_losses_in_a_row_are_a_burst_and_worse_than_single_ones() -> None:
    def lossy(gap: bool) -> StreamStats:
        pair, chance = Pair(), random.Random(3)
        pair.run(2)
        for _ in range(10):
            if gap:
                pair.weather.loss = 1.0
                pair.run(0.2)
                pair.weather.loss = 0.0
                pair.run(1.8)
            else:
                for _ in range(10):
                    pair.run(0.02 * chance.randint(8, 11))
                    pair.weather.loss = 1.0
                    pair.run(0.02)
                    pair.weather.loss = 0.0
        pair.run(1)
        return figures(pair, 1)

    together, apart = lossy(True), lossy(False)
    assert together.packets_lost == pytest.approx(apart.packets_lost, abs=3)
    assert together.bursts == 10
    assert together.burst_ms == pytest.approx(200, abs=10)
    assert together.burst_density == 1.0
    assert together.mos_listening < apart.mos_listening


@pytest.mark.lengthy
def test_what_comes_too_late_was_not_heard() -> None:
    pair = Pair(Weather(jitter=0.4))
    pair.run(40)
    last = figures(pair, 0)
    assert last.packets_late > 0
    assert last.bursts > 0
    assert last.mos < 4.0


def test_the_final_figures_are_those_of_the_whole_call() -> None:
    pair = Pair(Weather(loss=0.02))
    pair.run(11)
    pair.do(0, CloseStream("c"))
    (closed,) = pair.of(0, StreamClosed)
    assert closed.stats.packets_received == pytest.approx(550 * 0.98, abs=15)
    assert closed.stats.remote_mos is not None


def reported(pair: Pair, block: rtcp.Block | None, *blocks: xr.Block) -> StreamStats:
    """Return the figures after the far end has said this about us."""
    pair.inject(0, 4001, rtcp.print_report(rtcp.Report(7, None, 0, 0, 0, () if block is None else (block,)))
                + xr.print_extended(xr.ExtendedReport(7, blocks)), ("10.0.0.2", 4001))  # fmt: skip
    return figures(pair, 0)


def test_the_far_ends_own_judgement_counts() -> None:
    pair = Pair()
    pair.run(1)
    ours = pair.engines[0].streams["c"]._sender.ssrc
    last = reported(pair, None, xr.VoipMetrics(ours, rating=61, mos_listening=3.4, mos_conversation=3.1, buffer_ms=80))
    assert (last.remote_rating, last.remote_mos, last.remote_buffer_ms) == (61.0, 3.1, 80)


def test_a_far_end_that_cannot_judge_is_judged() -> None:
    pair = Pair()
    pair.run(2)
    ours = pair.engines[0].streams["c"]._sender.ssrc
    half = rtcp.Block(ours, 0.5, figures(pair, 0).packets_sent // 2, 1000, 160, 0, 0)
    last = reported(pair, half)
    assert last.remote_mos is not None
    assert last.remote_mos < 2.0
    assert (last.remote_loss, last.remote_jitter_ms) == (0.5, 20.0)
    unset = reported(pair, replace(half, jitter=0x98765432))
    assert (unset.remote_loss, unset.remote_jitter_ms) == (0.5, None)
    mild = reported(pair, half, xr.VoipMetrics(ours, lost=0.01, buffer_ms=int(REMOTE_BUFFER_MS)))
    assert mild.remote_mos is not None
    assert mild.remote_mos > 4.0


def test_reports_about_others_say_nothing_about_us() -> None:
    pair = Pair()
    pair.run(1)
    other = (pair.engines[0].streams["c"]._sender.ssrc + 1) & 0xFFFFFFFF
    block = rtcp.Block(other, 1.0, 9, 9, 9, 9, 9)
    last = reported(pair, block, xr.VoipMetrics(other, rating=1), xr.Delays((xr.Delay(other, 1, 1),)))
    assert (last.remote_loss, last.remote_mos, last.rtt_ms) == (None, None, None)


def test_absurd_reports_do_no_harm() -> None:
    pair = Pair(extended_reports=BOTH)
    pair.run(1)
    ours = pair.engines[0].streams["c"]._sender.ssrc
    worst = rtcp.Block(ours, 255 / 256, 0x7FFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    last = reported(pair, worst, xr.ReceiverTime(2**64 - 1), xr.Delays((xr.Delay(ours, 0xFFFFFFFF, 0xFFFFFFFF),)))
    assert last.remote_mos is not None
    assert last.remote_mos < 1.2
    negative = rtcp.Block(ours, 0.0, -0x800000, 0, 0, 0, 0)
    assert reported(pair, negative).remote_packets_lost == 0
    pair.run(20)
    assert figures(pair, 0).mos > 1.0


def test_a_report_that_is_behind_its_question_says_no_delay() -> None:
    # The loop ticks by when a tick was due; a packet that came while it was behind is later than that.
    pair = Pair()
    pair.run(1)
    reporter = pair.engines[0].streams["c"]._reporter
    reported(pair, None, xr.ReceiverTime(0x0123456789ABCDEF))
    packet = reporter.packet(pair.now - 0.2)
    (answer,) = [block for part in rtcp.parse(packet) if isinstance(part, xr.ExtendedReport) for block in part.blocks]
    assert answer == xr.Delays((xr.Delay(7, 0x456789AB, 0),))


def test_a_round_trip_is_answered_once_for_each_question() -> None:
    pair = Pair()
    pair.run(1)
    reported(pair, None, xr.ReceiverTime(0x0123456789ABCDEF))
    pair.run(20)
    answers = [block for part in sent(pair, 0) if isinstance(part, xr.ExtendedReport) for block in part.blocks]
    (only,) = answers
    assert isinstance(only, xr.Delays)
    assert (only.delays[0].ssrc, only.delays[0].last_report) == (7, 0x456789AB)
