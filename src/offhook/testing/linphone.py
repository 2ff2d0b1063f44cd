"""linphone for tests: its daemon, driven over its socket, with a sound server of its own for what it hears and says.

It speaks the library of the linphone apps, with its own stacks for SIP (belle-sip, mbedTLS), media and SRTP.
"""

from __future__ import annotations

import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from offhook.testing.peers import LOOPBACK, START_TIMEOUT, PeerFailed, PeerMissing, Process, free_port, program
from offhook.testing.pulse import PulseServer

SAMPLE_RATE: Final = 8000
ASKED_TONE: Final = 440
TONE: Final = 430.7
"""Hz: what the sound server makes of it, whose tones are 21.5 Hz apart."""
LOOK_AGAIN: Final = 0.05
"""Seconds between two looks at what has changed: the daemon tells nothing by itself."""
LATENCY_MS: Final = 40
"""What it asks the sound server for: it would be two seconds otherwise, both ways."""
MOST_CALLS: Final = 50
OVER: Final = frozenset({"", "LinphoneCallEnd", "LinphoneCallReleased", "LinphoneCallError"})


class Linphone:
    """A running linphone daemon for one user."""

    def __init__(self, process: Process, port: int, control: socket.socket, pulse: PulseServer) -> None:
        self.process = process
        self.port = port
        self.uri = f"sip:linphone@{LOOPBACK}:{port}"
        self.pulse = pulse
        self._control = control

    def command(self, line: str) -> dict[str, str]:
        """Carry out a command ("call", "answer", "dtmf", "call-pause" …); returns what it says, by names in lower case."""
        self._control.sendall(line.encode() + b"\n")
        try:
            text = self._control.recv(65536).decode("utf-8", "replace")
        except TimeoutError:
            raise self.process.failed(f"no answer to {line}") from None
        words = [part.partition(":") for part in text.splitlines() if ":" in part]
        answer = {name.strip().lower(): value.strip() for name, _, value in words}
        if answer.get("status") != "Ok":
            raise self.process.failed(f"{line}: {text}")
        return answer

    def register(self, user: str, password: str, domain: str, proxy: str) -> None:
        """Register at a proxy (a SIP URI) as user@domain."""
        number = self.command(f"register sip:{user}@{domain} {proxy} {password}")["id"]
        self._wait(lambda: self.command(f"register-status {number}")["state"] == "LinphoneRegistrationOk", "registered")

    def use(self, *codecs: str) -> None:
        """Have it use these codecs and no other, by names such as "opus/48000/2"."""
        self.command("audio-codec-disable ALL")
        for codec in codecs:
            self.command(f"audio-codec-enable {codec}")

    def call(self, uri: str) -> str:
        """Call somebody; returns the call's number."""
        return self.command(f"call {uri}")["id"]

    def current(self) -> str:
        """Return the number of the newest call that talks."""
        numbers = [str(number) for number in range(1, MOST_CALLS)]
        return next(number for number in reversed(numbers) if self.state(number) == "LinphoneCallStreamsRunning")

    def wait_state(self, state: str, number: str = "") -> None:
        """Wait until the call is "IncomingReceived", "StreamsRunning", "Paused", "PausedByRemote" …"""
        self._wait(lambda: self.state(number) == f"LinphoneCall{state}", state)

    def state(self, number: str = "") -> str:
        """Return the state of a call, of the current one without its number; "" if there is none."""
        try:
            return self.command(f"call-status {number}".strip())["state"]
        except PeerFailed:
            return ""

    def wait_over(self) -> None:
        """Wait until there is no call."""
        self._wait(lambda: self.state() in OVER, "without a call")

    def events(self) -> list[dict[str, str]]:
        """Return what has happened since the last time."""
        found = []
        while (event := self.command("pop-event")).get("event-type"):
            found.append(event)
        return found

    def digits(self, count: int) -> str:
        """Wait for that many digits and return them."""
        heard = ""

        def enough() -> bool:
            nonlocal heard
            heard += "".join(event["tone"] for event in self.events() if event.get("event-type") == "receiving-tone")
            return len(heard) >= count

        self._wait(enough, f"hearing {count} digits")
        return heard

    def hear(self, seconds: float) -> bytes:
        """Return what it plays to its user from now on: 16-bit samples, 8000 a second."""
        recorder = self.pulse.record("one")
        try:
            if recorder.stdout is None:
                raise self.process.failed("nothing can be recorded")
            return recorder.stdout.read(int(seconds * SAMPLE_RATE) * 2)
        finally:
            recorder.terminate()
            recorder.communicate()

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not condition():
            if time.monotonic() > deadline:
                raise self.process.failed(f"not {what} within {START_TIMEOUT:g} s: {self.state()} {self.events()}")
            time.sleep(LOOK_AGAIN)


@contextmanager
def linphone(
    folder: Path, *, trusted: Path | None = None,
    encryption: Literal["none", "srtp", "zrtp", "dtls"] = "srtp", codecs: Sequence[str] = ("PCMU/8000/1",),
) -> Iterator[Linphone]:
    """Run linphone; TONE comes from its microphone. It believes who `trusted` vouches for.

    `encryption` is what every call must have.
    """
    if sys.platform == "win32":
        raise PeerMissing("linphone's daemon is driven over a Unix socket")
    command = program("linphone-daemon", "linphone-cli")
    # Without this folder for its database the library ends the program.
    (folder / ".local/share/linphone").mkdir(parents=True)
    port, name = free_port(), f"offhook-{uuid.uuid4()}"
    (folder / "linphonerc").write_text(_settings(port, trusted, encryption), "utf-8")
    pulse = PulseServer(folder)
    try:
        pulse.control("load-module", "module-sine-source", "source_name=mic", f"frequency={ASKED_TONE}")
        pulse.control("set-default-source", "mic")
        pulse.control("set-default-sink", "one")
        process = Process(
            [command, "--config", str(folder / "linphonerc"), "--log", str(folder / "messages.log"), "--pipe", name,
             "--disable-stats-events"],
            folder / "linphone.log", environment={**pulse.environment, "PULSE_LATENCY_MSEC": str(LATENCY_MS)},
        )  # fmt: skip
        way = Path("/tmp", name)  # noqa: S108 - where the daemon puts it
        try:
            process.wait_until(way.exists, "listening")
            with socket.socket(socket.AF_UNIX) as control:
                control.settimeout(START_TIMEOUT)
                process.wait_until(lambda: control.connect_ex(str(way)) == 0, "listening")
                peer = Linphone(process, port, control, pulse)
                peer.command("ipv6 disable")
                peer.use(*codecs)
                yield peer
        finally:
            process.stop()
            way.unlink(missing_ok=True)
    finally:
        pulse.close()


def _settings(port: int, trusted: Path | None, encryption: str) -> str:
    return f"""
[sip]
sip_port={port}
sip_tcp_port={port}
sip_tls_port=-1
bind_address={LOOPBACK}
use_ipv6=0
guess_hostname=0
register_only_when_network_is_up=0
media_encryption={encryption}
media_encryption_mandatory={int(encryption != "none")}
{f"root_ca={trusted}" if trusted else ""}
[rtp]
audio_rtp_port=-1
rtcp_mux=1
rtcp_xr_enabled=1
rtcp_xr_rcvr_rtt_mode=all
rtcp_xr_rcvr_rtt_max_size=10000
rtcp_xr_voip_metrics_enabled=1
[sound]
echocancellation=0
[misc]
uuid=00000000-0000-1000-8000-000000000001
"""
