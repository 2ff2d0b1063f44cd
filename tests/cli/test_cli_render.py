"""What people read about the sound of a call, the flows of an account, what is watched, texts and streams."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import structs, to_builtins

from offhook.cli.render import account_line, stats_text, stream_line, text_line, watch_line
from offhook.media.messages import StreamStats
from offhook.phone.model import (
    AccountFlow,
    AccountView,
    AudioStreamView,
    CallMedia,
    CallState,
    PresenceView,
    StatsView,
    SummaryView,
    WatchView,
)
from offhook.phone.records import MessageEntry

FIGURES = StreamStats(
    stream="c_1", packets_sent=5000, packets_received=4950, bytes_sent=0, bytes_received=0, packets_lost=50, packets_late=0,
    packets_duplicate=0, loss=0.01, jitter_ms=2.34, buffer_ms=41.0, remote_loss=0.0, remote_jitter_ms=4.0, rtt_ms=22.4,
    mos=4.21, rating=88.4, delay_ms=72.2, remote_packets_lost=12, remote_mos=4.01, remote_rating=80.0,
)  # fmt: skip


def shown(stats: StreamStats | None) -> str:
    view = StatsView("c_1", CallState.HELD_LOCAL, False, CallMedia("PCMU", "sendonly"), stats)
    found: dict[str, Any] = to_builtins(view)
    return stats_text(found)


def test_both_ways_and_the_delay() -> None:
    assert shown(FIGURES) == (
        "c_1  held local  PCMU  sendonly\n"
        "we hear      MOS 4.21 (R 88), lost 50 of 5000 (1.0 %), jitter 2.3 ms, buffer 41 ms\n"
        "they hear    MOS 4.01 (R 80), lost 12 of 5000, jitter 4.0 ms\n"
        "delay        mouth to ear 72 ms, round trip 22 ms"
    )


def test_bursts_and_what_came_late() -> None:
    text = shown(structs.replace(FIGURES, packets_late=7, bursts=3, burst_ms=240, burst_density=0.5))
    assert "(1.0 %), late 7, 3 bursts of 240 ms with 50 % lost, jitter" in text


def test_packets_out_of_order_and_played_longer_or_shorter() -> None:
    text = shown(structs.replace(FIGURES, packets_reordered=5, stretched=2, shrunk=3))
    assert "(1.0 %), reordered 5, stretched 2, shrunk 3, jitter" in text


def test_a_far_end_that_reports_nothing() -> None:
    text = shown(structs.replace(FIGURES, remote_mos=None, remote_rating=None, rtt_ms=None))
    assert "they hear    nothing heard of it yet\ndelay        mouth to ear 72 ms" in text


def test_no_figures_yet() -> None:
    assert shown(None).endswith("no figures yet")


def test_an_account_with_two_flows() -> None:
    flows = (
        AccountFlow(1, "sip:one.example", "registered", "192.0.2.1:5061"),
        AccountFlow(2, "sip:two.example", "failed", reason="connection refused\x1b[2J", retry_in=118.4),
    )
    view = AccountView("office", "", "sip:1001@pbx", "", "tls", "registered", flows=flows)
    assert account_line(to_builtins(view)) == (
        "office  sip:1001@pbx  registered  (flow 1 stands, by sip:one.example at 192.0.2.1:5061; "
        "flow 2 is down, by sip:two.example: connection refused\\x1b[2J, next attempt in 118 s)"
    )
    assert "flow" not in account_line(to_builtins(structs.replace(view, flows=())))


@pytest.mark.parametrize(("known", "text"), [
    ({"kind": "presence", "presence": PresenceView("busy", ("on-the-phone",), "back at 3")}, "busy on-the-phone back at 3"),
    ({"kind": "mwi", "mwi": SummaryView(True, 2, 3)}, "2 new, 3 old messages"),
    ({"kind": "mwi", "mwi": SummaryView(True, 0, 0)}, "new messages"),
    ({"kind": "mwi", "mwi": SummaryView(False, 0, 3)}, "0 new, 3 old messages"),
    ({"kind": "mwi", "mwi": SummaryView(False, 0, 0)}, "no messages"),
    ({"kind": "dialog", "line": "ringing"}, "ringing"),
    ({"kind": "dialog", "state": "waiting", "reason": "Temporarily Unavailable"}, "waiting Temporarily Unavailable"),
])  # fmt: skip
def test_what_is_watched(known: dict[str, Any], text: str) -> None:
    view = WatchView(**{"id": "w", "target": "sip:bob@b", "account": "a", "state": "active", **known})
    assert watch_line(to_builtins(view)) == f"w  {view.kind} of sip:bob@b: {text}"


def test_a_text_that_did_not_arrive_and_a_stream() -> None:
    at = datetime(2026, 5, 1, tzinfo=UTC)
    text = MessageEntry("m", at, "outgoing", "a", "sip:bob@b", "Bob", "one\ntwo", "text/plain", "failed", 404, "Not Found")
    assert text_line(to_builtins(text)).endswith(r"  to Bob <sip:bob@b>: one\x0atwo  (failed: 404 Not Found)")
    stream = AudioStreamView("s_1", "c_1", "wss://bot.example", "twilio", 8000, "inbound", "connected")
    assert stream_line(to_builtins(stream)) == "s_1  connected  c_1 to wss://bot.example  (twilio, inbound)"
