"""Jami as the far end, by its daemon: a phone made of PJSIP, as MicroSIP is. It answers every call by itself."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from offhook.testing.peers import PeerFailed, PeerMissing, Process, program
from offhook.testing.pulse import PulseServer

DAEMON: Final = Path("/usr/libexec/jamid")
BUS_NAME: Final = "cx.ring.Ring"
ASK_TIMEOUT: Final = 20.0
"""Seconds for one call over the bus."""
READY_WITHIN: Final = 20.0


_BUS: Final = """<busconfig><type>session</type><listen>{address}</listen><policy context="default">
<allow send_destination="*" eavesdrop="true"/><allow receive_sender="*"/><allow own="*"/></policy></busconfig>
"""
"""A bus that starts nothing by itself: a second daemon would be, by the first question that comes before ours is there."""


class Jami:
    """A running daemon with one account, `sip:jami@127.0.0.1:port`."""

    def __init__(self, environment: dict[str, str], port: int) -> None:
        self.uri = f"sip:jami@127.0.0.1:{port}"
        self._environment = environment
        self._gdbus = program("gdbus", "libglib2.0-bin")

    def ask(self, manager: str, method: str, *arguments: str) -> str:
        """Call a method of the CallManager or the ConfigurationManager; returns what gdbus writes. Raises PeerFailed."""
        command = [self._gdbus, "call", "--session", "--timeout", f"{ASK_TIMEOUT:g}", "--dest", BUS_NAME, "--object-path",
                   f"/cx/ring/Ring/{manager}", "--method", f"{BUS_NAME}.{manager}.{method}", *arguments]  # fmt: skip
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)  # noqa: S603 - a list
        if done.returncode:
            raise PeerFailed(f"jami: {method}: {done.stderr.strip()}")
        return done.stdout.strip()


@contextmanager
def jami(folder: Path, sound: PulseServer, port: int, *, encrypted: bool) -> Iterator[Jami]:
    """Run a bus and the daemon on it, with an account on `port`; without `encrypted` it speaks plain RTP, else SDES alone.

    Raises PeerMissing, PeerFailed.
    """
    bus = program("dbus-daemon", "dbus")
    if not DAEMON.exists():
        raise PeerMissing("jamid is not installed: apt-get install jami-daemon")
    address = f"unix:path={folder}/bus"
    homes = {name: str(folder / "home") for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")}
    environment = {**sound.environment, **homes, "DBUS_SESSION_BUS_ADDRESS": address}
    running: list[Process] = []
    try:
        config = folder / "bus.conf"
        config.write_text(_BUS.format(address=address))
        command = [bus, f"--config-file={config}", "--nofork", "--nopidfile"]
        running.append(Process(command, folder / "bus.log", environment=environment))
        running[0].wait_until(lambda: os.path.exists(folder / "bus"), "listens")
        daemon = Process([str(DAEMON), "-p", "-c", "-d"], folder / "jamid.log", environment=environment)
        running.append(daemon)
        found = Jami(environment, port)
        _add_account(found, daemon, port, encrypted=encrypted)
        yield found
    finally:
        for process in reversed(running):
            process.stop()


def _add_account(found: Jami, daemon: Process, port: int, *, encrypted: bool) -> None:
    details = {
        "Account.type": "SIP", "Account.alias": "a", "Account.hostname": "127.0.0.1", "Account.username": "jami",
        "Account.password": "x", "Account.localInterface": "lo", "Account.localPort": str(port), "Account.enable": "true",
        "Account.registrationEnabled": "false", "Account.autoAnswer": "true", "Account.upnpEnabled": "false",
        "STUN.enable": "false", "TURN.enable": "false",
        **({} if encrypted else {"SRTP.enable": "false", "SRTP.keyExchange": ""}),
    }  # fmt: skip
    deadline = time.monotonic() + READY_WITHIN
    while True:
        try:
            account = found.ask("ConfigurationManager", "addAccount", str(details))
            break
        except PeerFailed as error:  # it is not on the bus yet
            if time.monotonic() > deadline or not daemon.alive():
                raise daemon.failed(str(error)) from None
            time.sleep(0.1)
    if not re.search(r"'\w+'", account):
        raise daemon.failed(f"no account: {account}")
    listening = f":{port:04X} "
    daemon.wait_until(lambda: listening in Path("/proc/net/udp").read_text(), "listens for SIP")
