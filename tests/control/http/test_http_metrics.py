"""Metrics and traces over HTTP: who may read them, and that they are in the form other programs expect."""

from __future__ import annotations

import re

import httpx
from msgspec import structs

from offhook.control.http.metrics import FIGURES_KEPT, Metrics
from offhook.media.messages import StreamStats
from offhook.phone.events import CallEnded, MediaStats
from offhook.phone.model import CallEnd, CallState, CallView, Party, wall
from offhook.testing.backend import FakeBackend
from offhook.testing.http import Served

LINE = re.compile(r'^(#.*|[a-z_]+(\{([a-z_]+="[^"]*",?)*\})? -?[0-9.e+]+)$')
FIGURES = StreamStats(
    stream="c_1", packets_sent=0, packets_received=0, bytes_sent=0, bytes_received=0, packets_lost=0, packets_late=0,
    packets_duplicate=0, loss=0.0, jitter_ms=0.0, buffer_ms=0.0, remote_loss=None, remote_jitter_ms=None, rtt_ms=None, mos=4.4,
)  # fmt: skip


def call(state: CallState = CallState.ENDED) -> CallView:
    party = Party("sip:x@h")
    return CallView("c_1", "a", "incoming", state, party, party, "x@y", wall(0), answered=wall(1), end=CallEnd("remote"))


async def test_metrics_are_text_that_prometheus_reads(http: httpx.AsyncClient, backend: FakeBackend) -> None:
    backend.emit(CallEnded(call=call(), duration=42.0))
    answer = await http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert not [line for line in lines if not LINE.match(line)]
    assert 'offhook_calls_ended_total{direction="incoming",outcome="answered"} 1' in lines
    assert 'offhook_call_duration_seconds_bucket{le="60"} 1' in lines
    assert 'offhook_call_duration_seconds_bucket{le="10"} 0' in lines
    backend.emit(CallEnded(call=call(), duration=1234567.0))
    assert "offhook_call_duration_seconds_sum 1234609\n" in (await http.get("/metrics")).text
    assert 'offhook_sip_messages_total{direction="sent"} 7' in lines
    assert f'offhook_info{{version="{backend.facts["version"]}"}} 1' in lines
    assert "offhook_start_time_seconds 1700000000" in lines
    names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(names) == len(set(names))


async def test_packets_of_running_and_ended_calls_are_counted_once(http: httpx.AsyncClient, backend: FakeBackend) -> None:
    running = structs.replace(FIGURES, packets_received=100, packets_reordered=3, stretched=2)
    later = structs.replace(running, packets_received=350, packets_reordered=4, stretched=2, shrunk=7)
    backend.emit(MediaStats(call=call(CallState.ACTIVE), stats=running))
    backend.emit(MediaStats(call=call(CallState.ACTIVE), stats=later))
    backend.emit(CallEnded(call=call(), duration=8.0))
    backend.emit(MediaStats(call=call(), stats=structs.replace(later, packets_received=400), final=True))
    other = structs.replace(call(CallState.ACTIVE), id="c_2")
    backend.emit(MediaStats(call=other, stats=structs.replace(FIGURES, packets_received=50, packets_late=1)))
    lines = (await http.get("/metrics")).text.splitlines()
    found = {line for line in lines if line.startswith(("offhook_media_packets_total", "offhook_media_time_scaled_total"))}
    assert found == {
        'offhook_media_packets_total{kind="received"} 450', 'offhook_media_packets_total{kind="sent"} 0',
        'offhook_media_packets_total{kind="lost"} 0', 'offhook_media_packets_total{kind="late"} 1',
        'offhook_media_packets_total{kind="duplicate"} 0', 'offhook_media_packets_total{kind="reordered"} 4',
        'offhook_media_time_scaled_total{kind="stretched"} 2', 'offhook_media_time_scaled_total{kind="shrunk"} 7',
    }  # fmt: skip


def test_figures_of_calls_that_never_had_final_ones_are_forgotten(backend: FakeBackend) -> None:
    metrics = Metrics(backend)
    for number in range(FIGURES_KEPT + 10):
        one = structs.replace(call(), id=f"c_{number}")
        backend.emit(MediaStats(call=one, stats=FIGURES))
        backend.emit(CallEnded(call=one, duration=1.0))
    assert len(metrics._figures) == FIGURES_KEPT


async def test_metrics_need_a_token(served: Served) -> None:
    async with httpx.AsyncClient(base_url=served.url, verify=False) as stranger:
        assert (await stranger.get("/metrics")).status_code == 401


async def test_a_trace_in_each_form(http: httpx.AsyncClient, backend: FakeBackend) -> None:
    backend.calls = (call(CallState.ACTIVE),)
    found = (await http.get("/v1/calls/c_1/trace")).json()
    assert [each["summary"] for each in found["messages"]] == ["INVITE", "200 OK (INVITE)"]
    text = await http.get("/v1/calls/c_1/trace", params={"format": "text"})
    assert text.headers["content-type"].startswith("text/plain")
    assert "INVITE" in text.text
    capture = await http.get("/v1/calls/c_1/trace", params={"format": "pcap"})
    assert capture.content[:4] == b"\xd4\xc3\xb2\xa1"
    refused = await http.get("/v1/calls/c_1/trace", params={"format": "xml"})
    assert refused.status_code == 422
