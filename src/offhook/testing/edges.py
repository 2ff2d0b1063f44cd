"""Two edge proxies before a registrar, all of them Kamailio: what RFC 5626 (outbound) is made for."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from offhook.errors import SetupError
from offhook.testing.peers import LOOPBACK, Process, accepts, free_port, port_taken, program

FLOW_TIMER = 4
"""Seconds that the registrar names: how often a phone is to give a sign of life."""


class Kamailios:
    """A registrar at `port`, and an edge proxy at each of `edges`. Phones reach the registrar through these alone."""

    def __init__(self, folder: Path, users: Mapping[str, str]) -> None:
        self.folder = folder
        self.port = free_port()
        self.edges = (free_port(), free_port())
        self._users = users
        self._running: dict[int, Process] = {}

    @property
    def domain(self) -> str:
        """What belongs behind the @ of its users."""
        return f"{LOOPBACK}:{self.port}"

    def start(self, port: int) -> None:
        """Start the one with this port."""
        folder = self.folder / str(port)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "kamailio.cfg"
        file.write_text(_registrar(port, self._users) if port == self.port else _edge(port, self.port), "utf-8")
        kamailio = program("kamailio", "kamailio kamailio-outbound-modules")
        command = [kamailio, "-f", str(file), "-DD", "-E", "-m", "32", "-M", "4"]
        process = Process([*command, "-Y", str(folder), "-w", str(folder)], folder / "kamailio.log")
        self._running[port] = process
        process.wait_until(lambda: port_taken(port, socket.SOCK_DGRAM), "listening")
        process.wait_until(lambda: accepts(port), "listening")

    def stop(self, port: int) -> None:
        """End the one with this port; its connections break."""
        self._running.pop(port).stop()

    def log(self, port: int) -> str:
        """Return what it has written."""
        return (self.folder / str(port) / "kamailio.log").read_text("utf-8", "replace")


@contextmanager
def kamailios(folder: Path, users: Mapping[str, str]) -> Iterator[Kamailios]:
    """Run a registrar and two edge proxies for these users (name to password)."""
    if any(set('"\\\n$#') & set(name + password) for name, password in users.items()):
        raise SetupError("users and passwords for Kamailio: leave out quotes, backslashes, line ends, '$' and '#'")
    found = Kamailios(folder, users)
    try:
        for port in (found.port, *found.edges):
            found.start(port)
        yield found
    finally:
        for port in list(found._running):
            found.stop(port)


def _common(port: int, modules: str) -> str:
    loads = "\n".join(f'loadmodule "{name}.so"' for name in modules.split())
    return f"""#!KAMAILIO
debug=2
log_stderror=yes
children=1
tcp_children=1
auto_aliases=no
tcp_connect_timeout=2
listen=udp:{LOOPBACK}:{port}
listen=tcp:{LOOPBACK}:{port}
{loads}
"""


def _edge(port: int, registrar: int) -> str:
    """Return an edge proxy: a REGISTER gets a Path with a token of its flow, what comes back with the token takes the flow."""
    return f"""{_common(port, "tm sl outbound rr path pv maxfwd textops siputils stun")}
modparam("tm", "fr_timer", 2000)
modparam("rr", "append_fromtag", 0)

request_route {{
  if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
  if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
  if (is_method("REGISTER")) {{
    remove_hf("Route");
    add_path();
    $du = "sip:{LOOPBACK}:{registrar}";
    if (!t_relay()) sl_reply_error();
    exit;
  }}
  if (!has_totag() && is_method("INVITE")) record_route();
  if (loose_route()) {{
    # A call to a phone of ours has a token in its route, which names the connection.
    t_on_failure("FLOW");
    if (!t_relay()) sl_send_reply("430", "Flow Failed");
    exit;
  }}
  if (is_method("ACK")) {{ if (t_check_trans()) t_relay(); exit; }}
  if (has_totag()) {{ sl_send_reply("404", "Not Here"); exit; }}
  $du = "sip:{LOOPBACK}:{registrar}";
  t_relay();
}}

failure_route[FLOW] {{
  if (t_check_status("408|477|500") && !t_check_status("(18|20)[0-9]")) t_reply("430", "Flow Failed");
}}
"""


def _registrar(port: int, users: Mapping[str, str]) -> str:
    passwords = "\n".join(f'  if ($au == "{name}") $var(password) = "{word}";' for name, word in users.items())
    return f"""{_common(port, "tm sl rr pv maxfwd textops siputils usrloc registrar auth")}
modparam("tm", "fr_timer", 3000)
modparam("tm", "contacts_avp", "tm_contacts")
modparam("tm", "contact_flows_avp", "tm_contact_flows")
modparam("usrloc", "db_mode", 0)
modparam("registrar", "min_expires", 10)
modparam("registrar", "use_path", 1)
modparam("registrar", "path_mode", 0)
modparam("registrar", "outbound_mode", 1)
modparam("registrar", "flow_timer", {FLOW_TIMER})
modparam("registrar", "gruu_enabled", 0)
modparam("auth", "nonce_expire", 300)

request_route {{
  if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
  if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
  if (has_totag()) {{
    if (loose_route()) {{ t_relay(); exit; }}
    if (is_method("ACK")) {{ if (t_check_trans()) t_relay(); exit; }}
    sl_send_reply("404", "Not Here"); exit;
  }}
  if (is_method("ACK")) {{ t_relay(); exit; }}
  $var(password) = "";
{passwords}
  if (is_method("REGISTER")) {{
    if ($var(password) == "" || !pv_www_authenticate("$fd", "$var(password)", "0")) {{ www_challenge("$fd", "1"); exit; }}
    if (!save("location")) sl_reply_error();
    exit;
  }}
  if ($var(password) == "" || !pv_proxy_authenticate("$fd", "$var(password)", "0")) {{ proxy_challenge("$fd", "1"); exit; }}
  consume_credentials();
  record_route();
  if (!lookup("location")) {{ sl_send_reply("404", "Not Found"); exit; }}
  # One phone's contacts are flows to it: one at a time, the next when an edge says that the first has failed.
  t_load_contacts();
  t_next_contacts();
  t_on_branch_failure("flow");
  if (!t_relay()) sl_reply_error();
}}

event_route[tm:branch-failure:flow] {{
  if (t_check_status("408|430|477|500|503")) {{
    if (t_next_contact_flow()) {{ t_on_branch_failure("flow"); t_relay(); }}
  }}
}}
"""
