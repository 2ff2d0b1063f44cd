"""A UDP socket goes on hearing after it has sent to where nobody is. Runs where it is about, on Windows."""

from __future__ import annotations

import sys

import pytest

if sys.platform != "win32":
    pytest.skip("only Windows needs this", allow_module_level=True)
assert sys.platform == "win32"

import asyncio
import socket

from offhook.windows.sockets import hear_no_refusals


async def test_it_hears_after_a_refusal() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        end.bind(("127.0.0.1", 0))
        end.setblocking(False)
        assert hear_no_refusals(end)
        nobody.bind(("127.0.0.1", 0))
        gone = nobody.getsockname()
        nobody.close()
        heard = asyncio.get_running_loop().create_future()

        class Ear(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: object) -> None:
                heard.set_result(data)

        address = end.getsockname()
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Ear, sock=end)
        for _ in range(3):
            end.sendto(b"x", gone)
        end.sendto(b"still here", address)
        async with asyncio.timeout(5):
            assert await heard == b"still here"
        transport.close()
        await asyncio.sleep(0)
