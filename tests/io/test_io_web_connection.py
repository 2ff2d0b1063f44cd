"""SIP over WebSocket: what a far end can make one connection cost."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from offhook.io.connection import MAX_PENDING
from offhook.io.connections import Connections
from offhook.io.web_connection import SIP, WebConnection
from offhook.sip.events import Datagram


class Far:
    """A far end that has connected; `owner` and `transport` tell what came of what it sent."""

    def __init__(self) -> None:
        self.owner, self.transport = MagicMock(), MagicMock()
        self.written = 0
        self.transport.is_closing.return_value = False
        self.transport.get_extra_info.side_effect = {"sockname": ("127.0.0.1", 1), "peername": ("127.0.0.1", 2)}.get
        self.transport.write.side_effect = self._write
        self.transport.get_write_buffer_size.side_effect = lambda: self.written
        self.owner.accept.side_effect = self._accept
        self.connection = WebConnection(self.owner, "ws")
        self.connection.connection_made(self.transport)
        client = ClientProtocol(parse_uri("ws://127.0.0.1/"), subprotocols=[SIP])
        client.send_request(client.connect())
        self.connection.data_received(b"".join(client.data_to_send()))
        assert self.connection.stood
        self.written = 0

    def _accept(self, connection: WebConnection, *_: Any) -> bool:
        connection.flow = MagicMock()
        return True

    def _write(self, data: bytes) -> None:
        self.written += len(data)

    def send(self, *frames: Frame) -> None:
        """Send frames in one piece."""
        self.connection.data_received(b"".join(frame.serialize(mask=True) for frame in frames))


@pytest.fixture
async def far() -> Far:
    return Far()


async def test_empty_pieces_of_a_message_are_not_kept(far: Far) -> None:
    far.send(Frame(Opcode.TEXT, b"a", fin=False), *[Frame(Opcode.CONT, b"", fin=False)] * 1000)
    assert len(far.connection._pieces) == 1
    far.send(Frame(Opcode.CONT, b"b"))
    (delivered,) = (call.args[0] for call in far.owner.deliver.call_args_list)
    assert isinstance(delivered, Datagram)
    assert delivered.data == b"ab"


async def test_who_pings_and_reads_no_answer_is_let_go(far: Far) -> None:
    far.send(*[Frame(Opcode.PING, bytes(100))] * 1000)
    far.owner.overflow.assert_not_called()
    far.send(*[Frame(Opcode.PING, bytes(100))] * (MAX_PENDING // 100))
    far.owner.overflow.assert_called_once_with(far.connection)
    far.transport.abort.assert_called_once()


@pytest.mark.parametrize(("stood", "over"), [(False, True), (True, False)])
async def test_a_handshake_that_does_not_go_on_is_given_up_like_silence(stood: bool, over: bool) -> None:
    connections = Connections(MagicMock(), first_bytes=30, accepted_idle=900)
    begun = MagicMock(heard=True, stood=stood, accepted=True, used_at=0.0)
    connections._connections[MagicMock()] = begun
    assert list(connections._idle(31.0)) == [begun] * over
