"""linphone tells by extended reports (RFC 3611) how it hears us, and is told how we hear it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from offhook.media.messages import StreamStats
from offhook.phone.commands import CallStats, HangupAll, Play
from offhook.testing.linphone import Linphone, linphone
from offhook.testing.live import LivePhone, live_phone

pytestmark = pytest.mark.interop


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Linphone]:
    with linphone(tmp_path, encryption="none") as running:
        yield running


def figures(phone: LivePhone) -> StreamStats | None:
    stats: StreamStats | None = phone.execute(CallStats(call="last")).value.stats
    return stats


async def test_linphone_says_how_it_hears_us(peer: Linphone) -> None:
    async with live_phone(auto_answer="all") as phone:
        await asyncio.to_thread(peer.call, phone.uri)
        await phone.event("media.started")
        phone.execute(Play(tone="600"))
        (call,) = phone.running.phone.desk.calls.values()
        assert call.remote_offer is not None
        assert b"a=rtcp-xr:" in call.remote_offer, "linphone asks for them"
        assert call.config is not None
        assert call.config.extended_reports == ("rcvr-rtt", "voip-metrics")
        await phone.event("media.stats")
        await phone.until(lambda: (seen := figures(phone)) is not None and seen.remote_buffer_ms is not None, "its report")
        found = figures(phone)
        assert found is not None
        assert found.remote_mos is not None
        assert found.remote_mos > 3.5
        assert found.remote_packets_lost == 0
        assert found.remote_buffer_ms is not None
        assert 20 <= found.remote_buffer_ms <= 500
        phone.execute(HangupAll())
        await asyncio.to_thread(peer.wait_over)
