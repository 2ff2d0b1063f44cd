"""A port that somebody else has."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from offhook.testing.live import connect, live_phone, quiet_config
from offhook.testing.peers import free_port
from offhook.testing.process import phone_process


async def test_a_taken_port_is_told_and_the_phone_is_on_another() -> None:
    config = quiet_config()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", free_port()))
        taken = other.getsockname()[1]
        async with live_phone(replace(config, sip=replace(config.sip, port=taken))) as phone, live_phone() as caller:
            port = phone.running.transports.port
            assert port != taken
            said = (await phone.event("system.error")).data["reason"]
            assert said == f"port {taken} cannot be had (another program has it?): SIP is on port {port}"
            await connect(caller, phone)


async def test_a_port_that_was_had_is_no_trouble() -> None:
    config, port = quiet_config(), free_port()
    async with live_phone(replace(config, sip=replace(config.sip, port=port))) as phone, live_phone() as caller:
        assert phone.running.transports.port == port
        await connect(caller, phone)
        assert "system.error" not in phone.types + caller.types


@pytest.mark.lengthy
def test_whoever_starts_the_phone_reads_it(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", free_port()))
        taken = other.getsockname()[1]
        with phone_process(tmp_path, "", "--port", str(taken)) as phone:
            assert f"offhook: port {taken} cannot be had" in phone.said
