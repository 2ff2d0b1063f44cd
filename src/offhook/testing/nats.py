"""Networks of NATs for tests, made of network namespaces (Linux, root): two phones behind two NATs, and a server outside.

    phone 1 (192.168.1.2) -- NAT 1 (203.0.113.11) --+-- server (203.0.113.1)
    phone 2 (192.168.2.2) -- NAT 2 (203.0.113.12) --+

Phones also share a network for signalling (10.99.0.1 and .2) that lets nothing but SIP through.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, Literal

from offhook.testing.peers import PeerMissing, program

SERVER: Final = "203.0.113.1"
SIP_PORT: Final = 5060
NatKind = Literal["keeps ports", "symmetric"]


class Nats:
    """The namespaces of one test; `run` gives the command line that runs a program in one of them."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def run(self, where: str, command: Sequence[str]) -> list[str]:
        """Return the command line that runs `command` in "server", "phone1" or "phone2"."""
        return [program("ip", "iproute2"), "netns", "exec", f"{self._prefix}{where}", *command]

    def do(self, where: str, text: str) -> None:
        """Run a short command there; raises CalledProcessError."""
        subprocess.run(self.run(where, text.split()), check=True, capture_output=True, timeout=10)  # noqa: S603


def _ip(text: str) -> None:
    subprocess.run([program("ip", "iproute2"), *text.split()], check=True, capture_output=True, timeout=10)  # noqa: S603


@contextmanager
def two_nats(kind: NatKind) -> Iterator[Nats]:
    """Make the network, and take it away again. Raises PeerMissing where this machine does not allow it."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise PeerMissing("network namespaces need Linux and root")
    program("iptables", "iptables")
    prefix = f"oh{os.getpid() % 10_000}"
    nats = Nats(prefix)
    places = ("core", "server", "nat1", "nat2", "phone1", "phone2")
    try:
        for place in places:
            _ip(f"netns add {prefix}{place}")
        _wire(nats, prefix)
        for number in (1, 2):
            _translate(nats, number, kind)
        yield nats
    except subprocess.CalledProcessError as error:
        words = error.stderr.decode("utf-8", "replace")[-200:]
        raise PeerMissing(f"network namespaces are not to be had here: {words}") from None
    finally:
        for place in places:
            with suppress(subprocess.SubprocessError):
                _ip(f"netns delete {prefix}{place}")


def _wire(nats: Nats, prefix: str) -> None:
    for bridge in ("wan", "sig"):
        nats.do("core", f"ip link add {bridge} type bridge")
        nats.do("core", f"ip link set {bridge} up")
    _plug(nats, prefix, "server", "wan", f"{SERVER}/24")
    nats.do("server", "ip route add default dev wan")  # coturn closes an allocation when it finds no route to a peer
    for number in (1, 2):
        _plug(nats, prefix, f"nat{number}", "wan", f"203.0.113.1{number}/24")
        _plug(nats, prefix, f"phone{number}", "sig", f"10.99.0.{number}/24")
        _ip(f"link add lan netns {prefix}nat{number} type veth peer name lan netns {prefix}phone{number}")
        for place, address in ((f"nat{number}", 1), (f"phone{number}", 2)):
            nats.do(place, f"ip address add 192.168.{number}.{address}/24 dev lan")
            nats.do(place, "ip link set lan up")
            nats.do(place, "ip link set lo up")
        nats.do(f"phone{number}", f"ip route add default via 192.168.{number}.1")


def _plug(nats: Nats, prefix: str, place: str, bridge: str, address: str) -> None:
    _ip(f"link add {bridge} netns {prefix}{place} type veth peer name {place}{bridge} netns {prefix}core")
    nats.do("core", f"ip link set {place}{bridge} master {bridge}")
    nats.do("core", f"ip link set {place}{bridge} up")
    nats.do(place, f"ip address add {address} dev {bridge}")
    nats.do(place, f"ip link set {bridge} up")
    nats.do(place, "ip link set lo up")


def _translate(nats: Nats, number: int, kind: NatKind) -> None:
    place = f"nat{number}"
    switch = "open('/proc/sys/net/ipv4/ip_forward','w').write('1')"
    subprocess.run(nats.run(place, [sys.executable, "-c", switch]), check=True, capture_output=True, timeout=10)  # noqa: S603
    random = "--random-fully" if kind == "symmetric" else ""
    nats.do(place, f"iptables -t nat -A POSTROUTING -o wan -j MASQUERADE {random}".strip())
    # Nothing gets in from outside that nobody inside has asked for.
    nats.do(place, "iptables -A FORWARD -i wan -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT")
    nats.do(place, "iptables -A FORWARD -i wan -j DROP")
    nats.do(place, "iptables -A INPUT -i wan -j DROP")
    for way in ("INPUT -i", "OUTPUT -o"):
        nats.do(f"phone{number}", f"iptables -A {way} sig -p udp --dport {SIP_PORT} -j ACCEPT")
        nats.do(f"phone{number}", f"iptables -A {way} sig -p udp -j DROP")
