"""Kamailio as presence server: what one phone publishes another sees, and a mailbox's summary arrives."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from offhook.phone.commands import CreateWatch, DeleteWatch, ListWatches, SetDnd
from offhook.phone.settings import AccountSettings
from offhook.testing.live import LivePhone, live_phone, quiet_config
from offhook.testing.peers import Process, free_port, port_taken

pytestmark = pytest.mark.interop

TABLES = Path("/usr/share/kamailio/dbtext/kamailio")
MODULES = ("tm", "sl", "rr", "pv", "maxfwd", "textops", "siputils", "usrloc", "registrar", "db_text", "presence",
           "presence_xml", "presence_mwi", "presence_dialoginfo")

CONFIG = """#!KAMAILIO
debug=2
log_stderror=yes
children=1
auto_aliases=no
listen=udp:127.0.0.1:{port}
{loads}
modparam("usrloc", "db_mode", 0)
modparam("registrar", "max_expires", 3600)
modparam("presence", "db_url", "text://{folder}")
modparam("presence", "subs_db_mode", 0)
modparam("presence", "server_address", "sip:127.0.0.1:{port}")
modparam("presence", "max_expires", 3600)
modparam("presence_xml", "db_url", "text://{folder}")
modparam("presence_xml", "force_active", 1)
modparam("presence_dialoginfo", "force_single_dialog", 0)

request_route {{
  if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
  if (is_method("REGISTER")) {{ if (!save("location")) sl_reply_error(); exit; }}
  if (is_method("PUBLISH")) {{ if (t_newtran()) handle_publish(); exit; }}
  if (is_method("SUBSCRIBE")) {{ if (t_newtran()) handle_subscribe(); exit; }}
  sl_send_reply("404", "Not Here");
}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Return the port of a presence server."""
    command = shutil.which("kamailio")
    modules = list(Path("/usr/lib").glob("*/kamailio/modules/presence.so"))
    if command is None or not modules or not TABLES.is_dir():
        pytest.skip("no presence server (Debian packages kamailio, kamailio-presence-modules)")
    folder, port = tmp_path_factory.mktemp("presence"), free_port()
    tables = folder / "tables"
    shutil.copytree(TABLES, tables)
    file = folder / "kamailio.cfg"
    loads = "\n".join(f'loadmodule "{name}.so"' for name in MODULES)
    file.write_text(CONFIG.format(port=port, loads=loads, folder=tables), "utf-8")
    process = Process([command, "-f", str(file), "-DD", "-E", "-m", "32", "-M", "4", "-Y", str(folder), "-w", str(folder)],
                      folder / "kamailio.log")
    try:
        process.wait_until(lambda: port_taken(port, socket.SOCK_DGRAM), "listening")
        yield port
    finally:
        process.stop()


def account(port: int, user: str, *, mwi: bool = False, publish: bool = False) -> AccountSettings:
    return AccountSettings(id="p", domain=f"127.0.0.1:{port}", username=user, mwi=mwi, publish_presence=publish)


def presence(phone: LivePhone) -> str:
    """Return what is known of whom the phone watches."""
    (view,) = phone.execute(ListWatches()).value
    return view.presence.status if view.presence is not None else ""


async def test_what_one_phone_publishes_another_sees(server: int) -> None:
    publishes = replace(quiet_config(), accounts=(account(server, "1001", publish=True),))
    watches = replace(quiet_config(), accounts=(account(server, "1002"),))
    async with live_phone(publishes) as alice, live_phone(watches) as bob:
        await alice.event("account.registered")
        await bob.event("account.registered")
        bob.execute(CreateWatch(kind="presence", to="1001", id="lamp"))
        await bob.until(lambda: presence(bob) == "open", "open")
        alice.execute(SetDnd(enabled=True))
        await bob.until(lambda: presence(bob) == "busy", "busy")
        alice.execute(SetDnd(enabled=False))
        await bob.until(lambda: presence(bob) == "open", "open again")
        bob.execute(DeleteWatch(watch="lamp"))
        assert not bob.execute(ListWatches()).value


async def test_a_mailbox_is_watched(server: int) -> None:
    body = "Messages-Waiting: yes\r\nVoice-Message: 2/8 (0/2)\r\n"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mailbox:
        mailbox.bind(("127.0.0.1", 0))
        mailbox.sendto("\r\n".join([
            f"PUBLISH sip:1003@127.0.0.1:{server} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{mailbox.getsockname()[1]};branch=z9hG4bKmail", "Max-Forwards: 70",
            "From: <sip:mail@127.0.0.1>;tag=m", f"To: <sip:1003@127.0.0.1:{server}>", "Call-ID: mailbox", "CSeq: 1 PUBLISH",
            "Event: message-summary", "Expires: 600", "Content-Type: application/simple-message-summary",
            f"Content-Length: {len(body)}", "", body]).encode(), ("127.0.0.1", server))
    async with live_phone(replace(quiet_config(), accounts=(account(server, "1003", mwi=True),))) as phone:
        told = await phone.event("watch.mwi")
        assert told.data["watch"]["id"] == "mwi:p"
        assert (told.data["watch"]["mwi"]["new"], told.data["watch"]["mwi"]["old"]) == (2, 8)


async def test_a_line_is_watched_and_an_unknown_package_is_told(server: int) -> None:
    async with live_phone(replace(quiet_config(), accounts=(account(server, "1004"),))) as phone:
        await phone.event("account.registered")
        phone.execute(CreateWatch(kind="dialog", to="1001", id="line"))
        await phone.until(lambda: phone.execute(ListWatches()).value[0].state == "active", "active")
