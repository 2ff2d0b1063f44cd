"""Callers whose numbers are quotes, switches and line ends: carried as data to atoms, events and hooks, or refused."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from windows_drivers import Window, WindowsPhone
from windows_scene import CODES

from offhook.testing.windows import Windows, windows_path

pytest_plugins = ["windows_fixtures"]

pytestmark = [pytest.mark.windows, pytest.mark.timeout(240)]

NUMBERS = [
    "%22%26%20calc.exe", "/transfer:1002", "%25COMSPEC%25", "a%0D%0ABYE", "a%0A", "1001&calc", "'$(calc)'", "-rf", "%00x",
    "/exit", "~!*+",
]  # fmt: skip
"""Written as a URI has to be."""

RAW = ["1001|more", '"&calc', "a b", "<x>", "a\\b", "1;x=\"y", "ü"]


def invite(user: str, display: str, port: int, here: int, number: int) -> bytes:
    """Return an INVITE from a caller with this number and name."""
    sdp = f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {here} RTP/AVP 0\r\n"
    return (
        f"INVITE sip:1001@127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{here};branch=z9hG4bKx{number};rport\r\n"
        f"From: {display} <sip:{user}@127.0.0.1:{here}>;tag=t{number}\r\nTo: <sip:1001@127.0.0.1:{port}>\r\n"
        f"Call-ID: hostile{number}\r\nCSeq: 1 INVITE\r\nContact: <sip:x@127.0.0.1:{here}>\r\nMax-Forwards: 70\r\n"
        f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n\r\n{sdp}"
    ).encode()


def cancel(request: bytes) -> bytes:
    """Return the CANCEL of an INVITE."""
    head = request.decode().partition("Contact:")[0].replace("INVITE sip:", "CANCEL sip:").replace("1 INVITE", "1 CANCEL")
    return f"{head}Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n".encode()


def final(caller: socket.socket, number: int) -> bytes:
    """Return the next answer to this INVITE beyond 100 Trying."""
    while True:
        answer = caller.recv(4096)
        if f"Call-ID: hostile{number}\r\nCSeq: 1 INVITE".encode() in answer and not answer.startswith(b"SIP/2.0 100"):
            return answer


def called(window: Window, phone: WindowsPhone, numbers: list[str]) -> list[str]:
    """Let each of these call and give up again; return the URIs of those that rang, as ACTIVECALL tells them."""
    rang = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
        caller.bind(("127.0.0.1", 0))
        caller.settimeout(10)
        here = caller.getsockname()[1]
        for count, user in enumerate(numbers):
            display = '"/transfer:1002 \\" & calc %PATH%"' if count % 2 else "hangupall"
            request = invite(user, display, phone.port, here, count)
            caller.sendto(request, ("127.0.0.1", phone.port))
            answer = final(caller, count)
            if not answer.startswith(b"SIP/2.0 18"):
                assert answer.startswith(b"SIP/2.0 4"), answer
                assert user in RAW, "what is escaped is well-formed, and rings"
                continue
            rang.append(carried(window))
            caller.sendto(cancel(request), ("127.0.0.1", phone.port))
            while not final(caller, count).startswith(b"SIP/2.0 487"):
                pass
    return rang


def carried(window: Window) -> str:
    """Return the far end's URI, which is the same by JSON, by atom and by message; and there is the one call."""
    remote: str = window.request("status")["value"]["remote"]
    window.forget()
    atom = window.send(CODES["ACTIVECALL"])
    assert window.ask(f"atom {atom}") == f"atom {remote}"
    assert f"5 {remote}" in window.told("got")
    assert len(window.request("list_calls")["value"]) == 1
    return remote


def test_callers_with_strange_numbers(windows: Windows, tmp_path: Path, window: Window) -> None:
    """They ring or are refused, and are carried as data: to hooks, atoms, events, DDE. Nothing else happens."""
    script, log = tmp_path / "hook.py", tmp_path / "log.jsonl"
    script.write_text("import json, sys\nopen(sys.argv[1], 'a').write(json.dumps(sys.argv[2:]) + '\\n')\n", "utf-8")
    python = windows.run("-c", "import sys; print(sys.executable)").output.strip()
    hook = json.dumps([python, windows_path(script), windows_path(log), "{number}", "{name}"])
    settings = f"[phone]\nstatus_linger = 0.0\n[hooks]\non_call_ring = {hook}\n"
    with WindowsPhone(windows, tmp_path, settings) as phone:
        assert window.send(100, '{"types":["call.*"]}') == 1
        rang = called(window, phone, [*NUMBERS, *RAW])
        assert len(rang) >= len(NUMBERS)
        assert window.send(CODES["STATUS"]) == 0
        assert window.send(CODES["QUIT"]) == 1
        assert phone.process.finish(20).code == 0
    arguments = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert len(arguments) == len(rang)
    assert all(len(each) == 2 for each in arguments), "one number is one argument, whatever stands in it"
