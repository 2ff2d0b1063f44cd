"""Ports and descriptors: can the phone have the ports it is told to use, and enough of them."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from offhook.cli.doctor.case import Case
from offhook.cli.doctor.finding import Finding, Level, listed, milliseconds
from offhook.cli.doctor.running import own_address
from offhook.io import clock
from offhook.io.binding import bound
from offhook.io.ports import families_of
from offhook.sip.stack import host_port

SAMPLE = 16
"""Port pairs of the RTP range that are tried."""
DESCRIPTORS_A_FAMILY = 2
"""Sockets of a call in each address family: RTP and RTCP. With `sip.host = "::"` they stay open in both."""
DESCRIPTORS_A_CALL = 2 if sys.platform == "linux" else 1
"""Besides: a file that is played or recorded, and on Linux the socket that is connected to the far end."""
DESCRIPTORS_BESIDE = 64
"""What the phone has open besides calls: SIP, the local socket and its clients, the history, ports made ready."""
LOOPBACK_WITHIN = 1.0

SYMMETRIC = "sound goes back to where the far end's sound comes from (symmetric RTP), so a router needs no opened ports"


def look_at_sip_port(case: Case) -> Iterator[Finding]:
    """Say who has the SIP port: the phone, nobody, or another program."""
    wanted, host = case.config.sip.port, case.config.sip.host
    own = own_address(case)
    if own is not None and (own[1] == wanted or not wanted):
        yield Finding("SIP port", "ok", f"the phone has {own[1]}")
        return
    if not wanted:
        yield Finding("SIP port", "ok", "any free one will be taken (sip.port = 0)")
        return
    trouble = bind_trouble(host, wanted, socket.SOCK_DGRAM) or bind_trouble(host, wanted, socket.SOCK_STREAM)
    if own is not None:
        why = "another program has that one" if trouble else "it was taken when the phone started, or --port was given"
        yield Finding("SIP port", "warning", f"the phone has {own[1]}, not {wanted}: {why}{_holder(wanted)}",
                      f"registered calls work as ever; who calls this machine at port {wanted} does not find the phone")
    elif trouble is None:
        yield Finding("SIP port", "ok", f"{wanted} is free on {host} for UDP and TCP")
    else:
        yield _taken(host, wanted, trouble)


def _taken(host: str, port: int, error: OSError) -> Finding:
    if error.errno == errno.EADDRINUSE:
        return Finding("SIP port", "warning", f"another program has port {port} on {host}{_holder(port)}",
                       "the phone takes any free port in its place; stop that program, or set another sip.port")
    if error.errno == errno.EADDRNOTAVAIL:
        return Finding("SIP port", "wrong", f"{host} is no address of this machine", 'set sip.host = "0.0.0.0" or leave it out')
    if error.errno == errno.EACCES:
        return Finding("SIP port", "warning", f"this user may not have port {port}", "set sip.port to one above 1023, as 5060")
    text = f"cannot listen on {host_port((host, port))}: {error.strerror or error}"
    return Finding("SIP port", "wrong", text, "correct sip.host and sip.port")


def bind_trouble(host: str, port: int, kind: socket.SocketKind) -> OSError | None:
    """Return why the port cannot be bound, None if it can; it is let go at once."""
    for family in families_of(host):
        try:
            bound(family, kind, host, port).close()
        except OSError as error:
            return error
    return None


def _holder(port: int) -> str:
    """Return " (NAME, process N)" of the program that has the UDP or TCP port, "" where the system does not tell us."""
    inodes = {inode for table in ("udp", "udp6", "tcp", "tcp6") for inode in _inodes(Path("/proc/net") / table, port)}
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in Path("/proc").glob("[0-9]*") if wanted and sys.platform == "linux" else ():
        try:
            if any(os.readlink(handle) in wanted for handle in (process / "fd").iterdir()):
                return f" ({(process / 'comm').read_text().strip()}, process {process.name})"
        except OSError:  # not ours to look at, or gone meanwhile
            continue
    return ""


def _inodes(table: Path, port: int) -> Iterator[str]:
    try:
        lines = table.read_text("ascii", "replace").splitlines()[1:]
    except OSError:
        return
    for columns in map(str.split, lines):
        # A connection of somebody's to that port is no holder: listening TCP is state 0A, an unconnected UDP socket 07.
        if columns[1].endswith(f":{port:04X}") and columns[3] in ("0A", "07"):
            yield columns[9]


def look_at_rtp_ports(case: Case) -> Iterator[Finding]:
    """Try a sample of the range as the phone binds it: even ports for RTP, the next for RTCP."""
    low, high = (int(port) for port in case.fact("rtp_ports", case.config.media.rtp_ports))
    first = low + low % 2
    pairs = range(first, high, 2)
    text, most = f"UDP {low} to {high}", len(pairs)
    step = max(1, most // SAMPLE)
    tried = list(pairs[::step])[:SAMPLE]
    failed = [(port, error) for port in tried if (error := _pair_trouble(case.sip_host, port)) is not None]
    if len(failed) == len(tried):
        why = failed[0][1].strerror or str(failed[0][1])
        yield Finding("RTP ports", "wrong", f"none of {text} can be had on {case.sip_host}: {why}", _RTP_ADVICE)
        return
    if failed:
        text += f"; {len(failed)} of {len(tried)} tried are taken ({listed([str(port) for port, _ in failed], 3)})"
    # The running phone keeps some ports ready, so a few taken ones are its own.
    level: Level = "warning" if 2 * len(failed) > len(tried) else "ok"
    yield Finding("RTP ports", level, f"{text}; room for {most} call{'' if most == 1 else 's'}; {SYMMETRIC}",
                  _RTP_ADVICE if level == "warning" else "")
    limit = int(case.fact("max_calls", case.config.phone.max_calls))
    if limit > most:
        yield Finding("RTP ports", "warning", f"phone.max_calls is {limit}, but there are ports for {most} calls", _RTP_ADVICE)


_RTP_ADVICE = "set media.rtp_ports to another or larger range, as [40000, 40999]; sip.host must be an address of ours"


def _pair_trouble(host: str, port: int) -> OSError | None:
    return bind_trouble(host, port, socket.SOCK_DGRAM) or bind_trouble(host, port + 1, socket.SOCK_DGRAM)


def look_at_descriptors(case: Case) -> Iterator[Finding]:
    """Compare the limit on open files with the calls there may be."""
    limit = _descriptors(case)
    if limit is None:
        return
    each = descriptors_a_call(case.sip_host)
    calls = max(0, (limit - DESCRIPTORS_BESIDE) // each)
    wanted = int(case.fact("max_calls", case.config.phone.max_calls))
    text = f"{limit} may be open at once, enough for about {calls} calls"
    if wanted > calls or calls < 1:
        more = f", but phone.max_calls is {wanted}" if wanted else ""
        yield Finding("open files", "warning", text + more,
                      f"raise it before the start: ulimit -n {DESCRIPTORS_BESIDE + each * max(wanted, 1)}")
    else:
        yield Finding("open files", "ok", text)


def descriptors_a_call(host: str) -> int:
    """Return how many files and sockets one call has open, where `host` is listened on."""
    return DESCRIPTORS_A_FAMILY * len(families_of(host)) + DESCRIPTORS_A_CALL


def _descriptors(case: Case) -> int | None:
    """Return the limit of the running phone, where the system tells, else ours, which a phone started here inherits."""
    try:
        limits = Path(f"/proc/{int(case.fact('pid', 0))}/limits").read_text()
        return int(next(line for line in limits.splitlines() if line.startswith("Max open files")).split()[3])
    except (OSError, StopIteration, ValueError):
        pass
    if sys.platform == "win32":  # which has no such limit
        return None
    import resource

    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def look_at_loopback(case: Case) -> Iterator[Finding]:
    """Send a datagram to ourselves: a firewall that stops it stops the phone from talking to its own parts and neighbours."""
    host = "::1" if case.speaks_ipv6 else "127.0.0.1"
    began = clock.now()
    try:
        with socket.socket(socket.AF_INET6 if case.speaks_ipv6 else socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.bind((host, 0))
            end.settimeout(LOOPBACK_WITHIN)
            end.sendto(b"offhook", end.getsockname())
            end.recv(64)
    except TimeoutError:
        text = f"a datagram from {host} to itself does not arrive"
        yield Finding("loopback", "wrong", text, "a firewall on this machine stops UDP of loopback: let it pass")
        return
    except OSError as error:
        yield Finding("loopback", "wrong", f"{host} cannot be used: {error.strerror or error}", "bring its interface up")
        return
    yield Finding("loopback", "ok", f"a datagram to ourselves arrives after {milliseconds(clock.now() - began)}")
