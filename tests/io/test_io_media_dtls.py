"""Keys by DTLS over real sockets, with a far end that answers from another address than the one it was called at."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from offhook.io.certificate import fingerprint_of, make_certificate
from offhook.io.media_host import MediaHost
from offhook.io.media_wire import MediaOptions
from offhook.media.messages import (
    ConfigureStream,
    DigitReceived,
    DtlsPeer,
    MediaReport,
    OpenStream,
    PortsReady,
    SendDigits,
    StreamConfig,
    StreamFailed,
    StreamSecured,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is nobody's elsewhere")

OURS, THEIRS = make_certificate(), make_certificate()
SAID = "127.0.0.2"
"""Where the far end says it is; it listens everywhere, and what it sends to 127.0.0.1 leaves from 127.0.0.1."""
STRANGER = "127.0.0.3"


async def wanted(host: MediaHost, kind: type[MediaReport]) -> MediaReport:
    for _ in range(100):
        for report in await asyncio.to_thread(host.drain, 0.1):
            assert not isinstance(report, StreamFailed), report
            if isinstance(report, kind):
                return report
    raise AssertionError(f"no {kind.__name__}")


@contextmanager
def hosts() -> Iterator[tuple[MediaHost, MediaHost]]:
    both = MediaHost(options=MediaOptions(host="127.0.0.1", sound="null")), MediaHost(options=MediaOptions(sound="null"))
    for host in both:
        host.start()
    try:
        yield both
    finally:
        for host in both:
            host.close()


def config(remote: tuple[str, int], shown: bytes, own: bytes, role: str, mux: bool) -> ConfigureStream:
    name, text = fingerprint_of(shown).split()
    return ConfigureStream("c", StreamConfig(
        remote, (remote[0], remote[1] + (not mux)), "PCMU", 0, ((0, "PCMU"),), telephone_event=101,
        receive_events=((101, 8000),), rtcp_mux=mux, security=DtlsPeer(role, ((name, text),), own),  # type: ignore[arg-type]
    ))  # fmt: skip


@pytest.mark.lengthy
@pytest.mark.parametrize("mux", [True, False])
async def test_a_far_end_that_answers_from_another_address_is_found(mux: bool) -> None:
    with hosts() as (here, there):
        ports = [(await wanted(host, PortsReady)).ports[0] for host in (here, there)]  # type: ignore[union-attr]
        for host, port in zip((here, there), ports, strict=True):
            host.send(OpenStream("c", port, f"{port}@test"))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind((STRANGER, 0))
            here.send(config((SAID, ports[1]), THEIRS, OURS, "client", mux))
            stranger.sendto(b"\x16\xfe\xfd" + bytes(9) + b"\x10" + bytes(16), ("127.0.0.1", ports[0]))  # is no answer
            await asyncio.sleep(0.1)
            there.send(config(("127.0.0.1", ports[0]), OURS, THEIRS, "server", mux))
            for host in (here, there):
                assert isinstance(await wanted(host, StreamSecured), StreamSecured)
            for one, other in ((here, there), (there, here)):
                one.send(SendDigits("c", "d", "7"))
                digit = await wanted(other, DigitReceived)
                assert isinstance(digit, DigitReceived)
                assert digit.digit == "7"
