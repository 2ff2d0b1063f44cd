"""A name with two addresses, of which the first is silent: a call gets through all the same, in seconds."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

import pytest

from offhook.phone.commands import Answer, Dial
from offhook.sip.outgoing import INVITE_FAILOVER_AFTER
from offhook.testing.live import live_phone, quiet_config
from offhook.testing.nameserver import name_server


@pytest.mark.slow
async def test_a_call_is_answered_at_the_second_address_of_a_name() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        async with live_phone() as callee:
            records = {
                ("_sip._udp.pbx.test", "SRV"): (
                    f"1 1 {silent.getsockname()[1]} one.pbx.test.", f"2 1 {callee.running.transports.port} one.pbx.test.",
                ),
                ("one.pbx.test", "A"): ("127.0.0.1",),
            }  # fmt: skip
            async with name_server(records) as server:
                config = quiet_config()
                config = replace(config, sip=replace(config.sip, nameservers=(server.address,)))
                async with live_phone(config) as caller:
                    clock = asyncio.get_running_loop().time
                    began = clock()
                    caller.execute(Dial(to="sip:offhook@pbx.test"))
                    await callee.event("call.incoming")
                    took = clock() - began
                    callee.execute(Answer())
                    await caller.reaches(2)
                    await callee.reaches(2)
                    assert took > INVITE_FAILOVER_AFTER - 0.1
                    # the next call does not wait for it again
                    since, began = len(callee.events), clock()
                    caller.execute(Dial(to="sip:offhook@pbx.test"))
                    await callee.event("call.incoming", since)
                    assert clock() - began < INVITE_FAILOVER_AFTER / 2
        silent.setblocking(False)
        copies = 0
        try:
            while True:
                assert silent.recv(4096).startswith(b"INVITE sip:offhook@pbx.test SIP/2.0\r\n")
                copies += 1
        except BlockingIOError:
            pass
        assert copies == 4
