"""What encryption costs: microseconds to seal and to open a packet of 20 ms, the same in the packet loop, and a DTLS handshake.

Run: python bench/bench_secure.py [--pairs 50] [--seconds 6]
"""

from __future__ import annotations

import argparse
import os
import statistics
import struct
import time

from bench_media import Meter

from offhook.io.certificate import Certificate, available
from offhook.io.collector import keep_collector_quiet
from offhook.media.messages import DtlsPeer
from offhook.media.sdes import SUITES, key_bytes
from offhook.media.srtp import Opening, Sealing

PACKETS = 20_000
ROUNDS = 5
HANDSHAKES = 30


def packet_cost(suite: str) -> tuple[float, float]:
    """Return the microseconds of CPU to seal and to open a packet of G.711, the best of some rounds."""
    sealing, opening = [], []
    for _ in range(ROUNDS):
        key = os.urandom(key_bytes(suite))
        seal, open_ = Sealing(suite, key).seal, Opening(suite, key).open
        packets = [struct.pack("!BBHII", 0x80, 0, n & 0xFFFF, 160 * n, 7) + bytes(160) for n in range(PACKETS)]
        start = time.process_time()
        sealed = [seal(packet) for packet in packets]
        middle = time.process_time()
        opened = [open_(packet) for packet in sealed]
        sealing.append(middle - start)
        opening.append(time.process_time() - middle)
        if opened != packets:
            raise SystemExit(f"{suite}: what was opened is not what was sealed")
    return min(sealing) / PACKETS * 1e6, min(opening) / PACKETS * 1e6


def loop_cost(suite: str, pairs: int, seconds: float) -> float:
    """Return the microseconds of CPU of the packet loop for each stream and frame of speech."""
    meter = Meter(2 * pairs, seconds, True, suite)
    meter.measure()
    return meter.cpu / meter.wall / (2 * pairs) / 50 * 1e6


def handshake_cost() -> float:
    """Return the milliseconds of CPU of one handshake, both sides together."""
    from offhook.io.dtls import DtlsHandshake

    one, other = Certificate(), Certificate()
    prints = [((each.fingerprint().split()[0], each.fingerprint().split()[1]),) for each in (one, other)]
    times = []
    for _ in range(HANDSHAKES):
        start = time.process_time()
        client, server = DtlsHandshake(DtlsPeer("client", prints[1], one.pem())), DtlsHandshake(
            DtlsPeer("server", prints[0], other.pem()))
        waiting = [(server, each) for each in client.timeout()]
        while waiting:
            who, datagram = waiting.pop(0)
            waiting += [(client if who is server else server, each) for each in who.receive(datagram)]
        times.append(time.process_time() - start)
    return statistics.median(times) * 1000


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=6.0)
    arguments = parser.parse_args()
    keep_collector_quiet()
    print(f"{'suite':26} {'seal us':>8} {'open us':>8}   us/stream-frame, {2 * arguments.pairs} streams of speech")
    plain = loop_cost("", arguments.pairs, arguments.seconds)
    print(f"{'none (RTP in the clear)':26} {'':8} {'':8}   {plain:.1f}")
    for suite in SUITES:
        seal, opened = packet_cost(suite)
        print(f"{suite:26} {seal:8.2f} {opened:8.2f}   {loop_cost(suite, arguments.pairs, arguments.seconds):.1f}")
    if available():
        print(f"{'DTLS handshake':26} {handshake_cost():.2f} ms CPU, both sides")


if __name__ == "__main__":
    main()
