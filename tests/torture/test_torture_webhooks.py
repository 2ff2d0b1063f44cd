"""A phone process with hooks and webhooks: killed in the middle, its receiver rude, its programs slow. Nothing is lost."""

from __future__ import annotations

import http.server
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from offhook.cli import main
from offhook.testing.process import PhoneProcess, phone_process

pytestmark = pytest.mark.slow

AUTO = '[phone]\nauto_answer = "all"\n'
PATIENCE = 30.0

HTTP = http.server.BaseHTTPRequestHandler


class Receiver:
    """A real HTTP server in its own thread. `behave` answers; what was answered with 2xx is `accepted`."""

    def __init__(self) -> None:
        self.accepted: list[dict[str, Any]] = []
        self.asked = 0
        self.behave: Callable[[HTTP, dict[str, Any]], None] = says(200)
        receiver = self

        class Handler(HTTP):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.asked += 1
                receiver.behave(self, json.loads(body))

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain for {what}; {len(self.accepted)} accepted"
            time.sleep(0.02)

    def types(self, subject: str) -> list[str]:
        """The types of a subject's events, each once, in the order they came first."""
        seen: dict[str, str] = {}
        for event in self.accepted:
            if event["subject"] == subject:
                seen.setdefault(event["id"], event["type"])
        return list(seen.values())


def says(status: int, then: Callable[[HTTP], None] = lambda handler: None) -> Callable[[HTTP, dict[str, Any]], None]:
    def behave(handler: HTTP, event: dict[str, Any]) -> None:
        if 200 <= status < 300:
            receivers[handler.server.server_address[1]].accepted.append(event)  # type: ignore[index]  # an IPv4 address
        handler.send_response(status)
        handler.end_headers()
        then(handler)

    return behave


receivers: dict[int, Receiver] = {}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    port = found.server.server_address[1]
    assert isinstance(port, int)
    receivers[port] = found
    yield found
    del receivers[port]
    found.close()


def rude(number: int, handler: HTTP, event: dict[str, Any]) -> None:
    """Behave badly in turn: errors, silence, an end in the middle, an endless answer, a redirect; then accept."""
    turn = number % 7
    if turn == 0:
        says(500)(handler, event)
    elif turn == 1:
        time.sleep(0.6)  # longer than the webhook's time limit
        handler.close_connection = True
    elif turn == 2:
        handler.wfile.write(b"HTTP/1.1 2")
        handler.close_connection = True
    elif turn == 3:
        handler.send_response(302)
        handler.send_header("Location", "/elsewhere")
        handler.end_headers()
    elif turn == 4:
        says(200, lambda h: _flood(h))(handler, event)
    else:
        says(204)(handler, event)


def _flood(handler: HTTP) -> None:
    try:
        for _ in range(1000):
            handler.wfile.write(b"x" * 65536)
    except OSError:
        handler.close_connection = True


def talk(near: PhoneProcess, far: PhoneProcess) -> str:
    call: str = near.ask("dial", to=f"sip:offhook@127.0.0.1:{far.port}")["call"]
    near.until("get_call", lambda r: r["value"]["state"] == "active", call=call)
    return call


WHOLE = ["call.created", "call.calling", "call.ringing", "call.answered", "call.active", "call.ended"]


def lifecycle(types: list[str]) -> list[str]:
    return [kind for kind in types if kind in WHOLE]


def test_kill_9_in_the_middle_and_every_event_arrives_in_order(tmp_path: Path, receiver: Receiver) -> None:
    with phone_process(tmp_path / "b", AUTO) as far, phone_process(tmp_path / "a") as near:
        near.ask("create_webhook", url=receiver.url, types=["call.*", "history.*"])
        first = talk(near, far)
        near.ask("hangup")
        receiver.until(lambda: "call.ended" in receiver.types(f"calls/{first}"), "the first call's end")
        receiver.behave = says(503)
        second = talk(near, far)
        near.ask("hangup")
        third = talk(near, far)
        near.kill()
        receiver.behave = says(200)
        near.start()
        fourth = talk(near, far)
        near.ask("hangup")
        receiver.until(lambda: "call.ended" in receiver.types(f"calls/{fourth}"), "the fourth call's end")
        for call in (first, second, fourth):
            found = lifecycle(receiver.types(f"calls/{call}"))
            assert found == [kind for kind in WHOLE if kind in found]
            assert {"call.created", "call.calling", "call.active", "call.ended"} <= set(found)
        assert lifecycle(receiver.types(f"calls/{third}"))[-1] == "call.active", "killed in the call; all before was kept"


def test_killed_again_and_again_under_load(tmp_path: Path, receiver: Receiver) -> None:
    """Calls come and go while the receiver is slow; each run is killed at a random moment; in the end nothing is missing."""
    receiver.behave = says(200, lambda handler: time.sleep(0.01))
    with phone_process(tmp_path / "a") as near:
        near.ask("create_webhook", url=receiver.url, types=["audit.command"])
        asked: list[int] = []
        for _ in range(3):
            for _ in range(40):
                asked.append(len(asked))
                near.ask("set_volume", volume=asked[-1] % 100)
            near.kill()
            near.start()
        near.ask("set_dnd", enabled=True)
        receiver.until(lambda: any(event["data"]["command"] == "set_dnd" for event in receiver.accepted), "the last event")
    ids = list(dict.fromkeys(event["id"] for event in receiver.accepted if event["data"]["command"] == "set_volume"))
    assert len(ids) >= len(asked) - 3, "at most the very last of each run, killed before it was said"
    epochs = list(dict.fromkeys(name.rpartition("-")[0] for name in ids))
    for epoch in epochs:
        numbers = [int(name.rpartition("-")[2]) for name in ids if name.startswith(epoch)]
        assert numbers == sorted(numbers)


@pytest.mark.slow
def test_a_rude_receiver_gets_everything_in_order(tmp_path: Path, receiver: Receiver) -> None:
    counter = iter(range(1_000_000))
    receiver.behave = lambda handler, event: rude(next(counter), handler, event)
    with phone_process(tmp_path / "b", AUTO) as far, phone_process(tmp_path / "a") as near:
        near.ask("create_webhook", url=receiver.url, types=["call.*"], timeout=0.3)
        call = talk(near, far)
        near.ask("hangup")
        receiver.until(lambda: "call.ended" in receiver.types(f"calls/{call}"), "the call's end")
        found = receiver.types(f"calls/{call}")
        assert lifecycle(found) == [kind for kind in WHOLE if kind in found]
        assert near.ask("list_webhooks")["webhooks"][0]["enabled"]
        assert "Traceback" not in near.stop()


def test_the_command_line(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with phone_process(tmp_path / "a") as near:
        monkeypatch.setenv("OFFHOOK_SOCKET", near.socket)
        assert main(["webhooks"]) == 0
        assert capsys.readouterr().out == "no webhooks\n"
        assert main(["webhooks", "add", receiver.url, "--types", "call.*,dtmf.received", "--description", "shop"]) == 0
        text = capsys.readouterr().out
        name, secret = text.split(":")[0], text.split("secret: ")[1].split()[0]
        assert secret.startswith("whsec_")
        assert main(["webhooks", "test", name]) == 0
        assert f"{name}: HTTP 200 after " in capsys.readouterr().out
        assert receiver.accepted[0]["type"] == "webhook.test"
        receiver.behave = says(410)
        assert main(["webhooks", "test", name]) == 4
        assert main(["webhooks", "list"]) == 0
        text = capsys.readouterr().out
        assert f"{name} (shop)  {receiver.url}  call.*,dtmf.received  ok" in text
        assert secret not in text
        assert main(["webhooks", "disable", name]) == main(["webhooks"]) == main(["webhooks", "enable", name, "--skip"]) == 0
        assert "disabled: switched off" in capsys.readouterr().out
        assert main(["webhooks", "rotate", name]) == 0
        assert "whsec_" in capsys.readouterr().out
        assert main(["webhooks", "remove", name]) == 0
        assert main(["webhooks", "remove", name]) == 1
        assert main(["webhooks", "add", "http://pbx.example/"]) == 1
        assert "in the clear" in capsys.readouterr().err
        assert main(["webhooks", "remove"]) == main(["webhooks", "burn", name]) == 2


LOG = """
import json, os, sys
line = json.dumps([os.environ["OFFHOOK_EVENT"], *sys.argv[2:]]) + "\\n"
os.write(os.open(sys.argv[1], os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600), line.encode())
"""


def test_hooks_and_a_deciding_program_of_a_configuration_file(tmp_path: Path) -> None:
    log = tmp_path / "log"
    (tmp_path / "log.py").write_text(LOG)
    decide = tmp_path / "de cide"
    decide.write_text('#!/bin/sh\ntest "$OFFHOOK_SOCKET" && echo reject 603\n')
    decide.chmod(0o700)
    run = json.dumps([sys.executable, str(tmp_path / "log.py"), str(log), "{number}", "busy"])
    config = (
        f"[hooks]\ndecide = '{decide}'\non_call_busy = {run}\n"
        f"[[hook]]\nevents = ['call.decided']\nrun = {json.dumps([sys.executable, str(tmp_path / 'log.py'), str(log)])}\n"
    )
    with phone_process(tmp_path / "b", config) as far, phone_process(tmp_path / "a") as near:
        call = near.ask("dial", to=f"sip:offhook@127.0.0.1:{far.port}")["call"]
        near.until("get_call", lambda r: r["value"]["state"] == "ended", call=call)
        assert near.ask("get_call", call=call)["value"]["end"]["sip_status"] == 603
        assert "Traceback" not in far.stop()
        lines = sorted(json.loads(line) for line in log.read_text().splitlines())
        assert lines == [["call.decided", "offhook"], ["call.ended", "offhook", "busy"]]
