"""Kamailio as the registrar and proxy of a test: digest, calls between its users, and what browsers and RFC 5626 need of it."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from offhook.errors import SetupError
from offhook.testing.peers import LOOPBACK, Address, Process, accepts, free_port, port_taken, program

SECURE_PACKAGES: Final = "kamailio kamailio-tls-modules kamailio-websocket-modules kamailio-outbound-modules"


class Kamailio:
    """A running registrar and proxy; `realm` is also its domain."""

    def __init__(self, process: Process, port: int, tls_port: int = 0) -> None:
        self.process = process
        self.port = port
        self.tls_port = tls_port

    @property
    def address(self) -> Address:
        """Where it listens, UDP and TCP."""
        return LOOPBACK, self.port

    @property
    def domain(self) -> str:
        """What belongs behind the @ of its users."""
        return f"{LOOPBACK}:{self.port}"


@contextmanager
def kamailio(
    folder: Path, users: Mapping[str, str], *, port: int = 0, certificate: Path | None = None, host: str = LOOPBACK,
    sound: str = "",
) -> Iterator[Kamailio]:
    """Run Kamailio for these users (name to password): digest for REGISTER and calls, locations in memory.

    `port` 0 is any free one. With a `certificate` (PEM, its key in the same file) it speaks TLS too, on the port behind it, and
    WebSocket on both, and takes registrations by RFC 5626. `sound` has a route[SOUND] that each request in a call goes through.
    Raises PeerMissing, PeerFailed.
    """
    command = program("kamailio", SECURE_PACKAGES if certificate is not None else "kamailio")
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    file = folder / "kamailio.cfg"
    file.write_text(_kamailio_config(port, users, certificate, host, sound), "utf-8")
    process = Process(
        [command, "-f", str(file), "-DD", "-E", "-m", "32", "-M", "4", "-Y", str(folder), "-w", str(folder)],
        folder / "kamailio.log",
    )
    try:
        process.wait_until(lambda: port_taken(port, socket.SOCK_DGRAM), "listening")
        process.wait_until(lambda: accepts(port), "listening")
        if certificate is not None:
            process.wait_until(lambda: accepts(port + 1), "listening for TLS")
        yield Kamailio(process, port, port + 1 if certificate is not None else 0)
    finally:
        process.stop()


_SECURE_MODULES = ("sl", "tls", "xhttp", "websocket", "outbound", "nathelper")

_OUTBOUND = """
modparam("registrar", "outbound_mode", 1)
modparam("registrar", "flow_timer", 20)
modparam("nathelper|registrar", "received_avp", "$avp(RECEIVED)")
"""

# A page in a browser names a Contact that nobody can find (RFC 7118 5): it is reached through the connection it came by.
_WEB_COMES = """
  if (nat_uac_test("64")) {
    if (is_method("REGISTER")) fix_nated_register();
    else if (is_present_hf("Contact")) add_contact_alias();
  }
"""

_WEB_ROUTE = """
onreply_route {
  if (nat_uac_test("64")) add_contact_alias();
}

event_route[xhttp:request] {
  if ($hdr(Upgrade) =~ "websocket") { if (ws_handle_handshake()) exit; }
  xhttp_reply("404", "Not Found", "", "");
}
"""


def _kamailio_secure(port: int, certificate: Path, host: str) -> str:
    loads = "\n".join(f'loadmodule "{name}.so"' for name in _SECURE_MODULES)
    return f"""
enable_tls=yes
listen=tls:{host}:{port + 1}
tcp_accept_no_cl=yes
{loads}
modparam("tls", "certificate", "{certificate}")
modparam("tls", "private_key", "{certificate}")
modparam("tls", "tls_method", "TLSv1.2+")
modparam("tls", "verify_certificate", 0)
modparam("tls", "require_certificate", 0)
"""


def _kamailio_config(
    port: int, users: Mapping[str, str], certificate: Path | None = None, host: str = LOOPBACK, sound: str = "",
) -> str:
    if any(set('"\\\n$#') & set(name + password) for name, password in users.items()):
        raise SetupError("users and passwords for Kamailio: leave out quotes, backslashes, line ends, '$' and '#'")
    passwords = "\n".join(f'  if ($au == "{name}") $var(password) = "{word}";' for name, word in users.items())
    loads = "\n".join(
        f'loadmodule "{name}.so"'
        for name in ("tm", "sl", "rr", "pv", "maxfwd", "textops", "siputils", "usrloc", "registrar", "auth")
        if certificate is None or name not in _SECURE_MODULES
    )
    through = "route(SOUND);" if sound else ""
    outbound = _OUTBOUND if certificate else ""
    web, alias = (_WEB_COMES, 'if ($du == "") handle_ruri_alias();') if certificate else ("", "")
    return f"""#!KAMAILIO
debug=2
log_stderror=yes
children=1
tcp_children=1
auto_aliases=no
listen=udp:{host}:{port}
listen=tcp:{host}:{port}
{_kamailio_secure(port, certificate, host) if certificate is not None else ""}
{loads}
{outbound}
modparam("usrloc", "db_mode", 0)
modparam("registrar", "min_expires", 10)
modparam("registrar", "max_expires", 3600)
modparam("registrar", "gruu_enabled", 0)
modparam("auth", "nonce_expire", 300)

request_route {{
  if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
  if (is_method("CANCEL")) {{ if (t_check_trans()) {{ {through} t_relay(); }} exit; }}
  {web}
  if (has_totag()) {{
    if (loose_route()) {{ {alias} {through} t_relay(); exit; }}
    if (is_method("ACK")) {{ if (t_check_trans()) t_relay(); exit; }}
    sl_send_reply("404", "Not Here"); exit;
  }}
  if (is_method("ACK")) {{ t_relay(); exit; }}
  if (is_method("OPTIONS") && uri == myself && $rU == $null) {{ sl_send_reply("200", "OK"); exit; }}
  $var(password) = "";
{passwords}
  if (is_method("REGISTER")) {{
    if ($var(password) == "" || !pv_www_authenticate("$fd", "$var(password)", "0")) {{ www_challenge("$fd", "1"); exit; }}
    if ($au != $tU) {{ sl_send_reply("403", "Not Your Address"); exit; }}
    if (!save("location")) sl_reply_error();
    exit;
  }}
  if ($var(password) == "" || !pv_proxy_authenticate("$fd", "$var(password)", "0")) {{ proxy_challenge("$fd", "1"); exit; }}
  consume_credentials();
  record_route();
  if (!lookup("location")) {{ sl_send_reply("404", "Not Found"); exit; }}
  {through}
  if (!t_relay()) sl_reply_error();
}}
{_WEB_ROUTE if certificate is not None else ""}
{sound}
"""
