"""Asks one peer one question over a WebSocket, as the phone itself would speak to it. Blocking, for the doctor."""

from __future__ import annotations

import asyncio

from offhook.errors import ParseError
from offhook.io import clock
from offhook.io.probe import Build, Reply
from offhook.io.transport import Transports
from offhook.sip.events import Address, ConnectionTerms, Datagram, FlowFailed, FlowUp, StreamChunk, TransportName
from offhook.sip.message import Response
from offhook.sip.parsing import parse_message


def ask_over_web(transport: TransportName, remote: Address, build: Build, terms: ConnectionTerms, *, patience: float) -> Reply:
    """Connect, send the request and wait for its final response. Never raises for what the network or the peer does."""
    return asyncio.run(_ask(transport, remote, build, terms, patience))


async def _ask(transport: TransportName, remote: Address, build: Build, terms: ConnectionTerms, patience: float) -> Reply:
    began = clock.now()
    arrived: asyncio.Queue[Datagram | StreamChunk | FlowUp | FlowFailed] = asyncio.Queue()
    transports = Transports("::" if ":" in remote[0] else "0.0.0.0", 0, arrived.put_nowait, connect_timeout=patience)
    await transports.start()
    local: Address = ("", 0)
    try:
        flow = transports.flow_to(remote, transport, terms)
        local, request = flow.local, build(flow.local)
        transports.send(flow, request.encode())
        async with asyncio.timeout(patience):
            while True:
                item = await arrived.get()
                if isinstance(item, FlowFailed):
                    return Reply("refused", local, clock.now() - began, None, item.reason)
                response = _response(item.data) if isinstance(item, Datagram) else None
                if response is not None and response.via.branch == request.via.branch:
                    return Reply("answered", local, clock.now() - began, response, "", remote)
    except TimeoutError:
        return Reply("silent", local, clock.now() - began)
    except OSError as error:
        return Reply("unreachable", local, clock.now() - began, None, error.strerror or str(error))
    finally:
        await transports.close()


def _response(data: bytes) -> Response | None:
    try:
        message = parse_message(data)
    except ParseError:
        return None
    return message if isinstance(message, Response) and message.status >= 200 else None
