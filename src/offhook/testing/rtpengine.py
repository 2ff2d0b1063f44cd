"""rtpengine for tests: the media proxy of many providers, in user space, told by Kamailio what each user speaks."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from offhook.testing.peers import LOOPBACK, Process, free_port, port_taken, program

RELAYED_PORTS = (30000, 30999)

PLAIN = "RTP/AVP ICE=remove"
SDES = "RTP/SAVP ICE=remove"
DTLS = "UDP/TLS/RTP/SAVP ICE=remove"
"""Flags of its `offer`: what it says to one user, whatever the other one speaks; ICE=force has it do ICE as well."""


@dataclass(frozen=True, slots=True)
class Rtpengine:
    """A running rtpengine, listening for its control protocol on `port`."""

    process: Process
    port: int

    def route(self, flags: Mapping[str, str]) -> str:
        """Return Kamailio's routes SOUND and for answers: the sound of each user goes through here, with these flags."""
        chosen = "".join(
            f'    if ($tU == "{user}") {{ rtpengine_offer("replace-origin {text}"); return; }}\n'
            for user, text in flags.items()
        )
        return f"""
loadmodule "rtpengine.so"
modparam("rtpengine", "rtpengine_sock", "udp:{LOOPBACK}:{self.port}")
route[SOUND] {{
  if (is_method("BYE|CANCEL")) {{ rtpengine_delete(); return; }}
  if (!has_body("application/sdp")) return;
  if (is_method("INVITE|UPDATE")) {{
{chosen}    rtpengine_offer("replace-origin {PLAIN}"); return;
  }}
  if (is_method("ACK|PRACK")) rtpengine_answer("replace-origin");
}}
onreply_route {{ if (has_body("application/sdp")) rtpengine_answer("replace-origin"); }}
"""


@contextmanager
def rtpengine(folder: Path) -> Iterator[Rtpengine]:
    """Run rtpengine on loopback, without the kernel's help."""
    command = program("rtpengine", "rtpengine-daemon")
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    low, high = RELAYED_PORTS
    process = Process([
        command, "--config-file=none", f"--interface={LOOPBACK}", f"--listen-ng={LOOPBACK}:{port}", "--foreground",
        "--table=-1", "--log-stderr", "--log-level=5", f"--port-min={low}", f"--port-max={high}", f"--pidfile={folder / 'pid'}",
        "--num-threads=2",
    ], folder / "rtpengine.log")  # fmt: skip
    try:
        process.wait_until(lambda: port_taken(port, socket.SOCK_DGRAM), "listening")
        yield Rtpengine(process, port)
    finally:
        process.stop()
