"""The media engine's ICE against another one's (aioice), on real sockets, in both roles."""

from __future__ import annotations

import asyncio
import struct

import aioice
import pytest

from offhook.io.media_host import MediaHost
from offhook.io.media_wire import MediaOptions
from offhook.media.candidates import parse_candidate, print_candidate
from offhook.media.messages import (
    CandidatesGathered,
    ConfigureStream,
    GatherCandidates,
    IcePeer,
    MediaReport,
    OpenStream,
    PortsReady,
    StreamConfig,
    StreamRouted,
)

RTP = struct.Struct("!BBHII")


async def wanted(host: MediaHost, kind: type[MediaReport]) -> MediaReport:
    for _ in range(100):
        for report in await asyncio.to_thread(host.drain, 0.1):
            if isinstance(report, kind):
                return report
    raise AssertionError(f"no {kind.__name__}")


@pytest.mark.parametrize("controlling", [True, False])
async def test_aioice_and_we_find_each_other(controlling: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # aioice never offers loopback by itself, and from another address not every system lets it reach loopback.
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **_: ["127.0.0.1"])
    host = MediaHost(options=MediaOptions(host="127.0.0.1", sound="null"))
    host.start()
    other = aioice.Connection(ice_controlling=not controlling, components=1, stun_server=None)
    try:
        ports = await wanted(host, PortsReady)
        assert isinstance(ports, PortsReady)
        host.send(
            OpenStream("c", ports.ports[0], "c@test"), GatherCandidates("c", ("127.0.0.1",), ufrag="ourname", pwd="p" * 24)
        )
        found = await wanted(host, CandidatesGathered)
        assert isinstance(found, CandidatesGathered)
        await other.gather_candidates()
        for candidate in found.candidates:
            if candidate.component == 1:
                await other.add_remote_candidate(aioice.Candidate.from_sdp(print_candidate(candidate)))
        await other.add_remote_candidate(None)
        other.remote_username, other.remote_password = "ourname", "p" * 24
        theirs = [parse_candidate(each.to_sdp()) for each in other.local_candidates]
        ice = IcePeer(
            controlling, "ourname", "p" * 24, other.local_username, other.local_password,
            tuple(each for each in theirs if each is not None),
        )  # fmt: skip
        far = ("192.0.2.9", 9000)
        config = StreamConfig(far, far, "PCMU", 0, ((0, "PCMU"),), ice=ice, rtcp_mux=True)
        connecting = asyncio.create_task(other.connect())
        host.send(ConfigureStream("c", config))
        await asyncio.wait_for(connecting, 10.0)
        routed = await wanted(host, StreamRouted)
        assert isinstance(routed, StreamRouted)
        packet = await asyncio.wait_for(other.recv(), 5.0)
        assert RTP.unpack_from(packet)[0] == 0x80
        assert len(packet) == 172
    finally:
        await other.close()
        host.close()
