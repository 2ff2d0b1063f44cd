"""Metrics and traces over HTTP: who may read them, and that they are in the form other programs expect."""

from __future__ import annotations

import re

import httpx

from offhook.phone.events import CallEnded
from offhook.phone.model import CallEnd, CallState, CallView, Party, wall
from offhook.testing.backend import FakeBackend
from offhook.testing.http import Served

LINE = re.compile(r'^(#.*|[a-z_]+(\{([a-z_]+="[^"]*",?)*\})? -?[0-9.e+]+)$')


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
    assert 'offhook_sip_messages_total{direction="sent"} 7' in lines
    names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(names) == len(set(names))


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
