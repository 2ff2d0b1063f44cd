"""The Node.js client: compiled, its own tests run against two real phones, one of which is killed on the way."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from offhook.testing.peers import free_port
from offhook.testing.process import PhoneProcess, phone_process

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

TESTS = 35
"""Of the client's own."""

HANDLERS = """\
import { Softphone, type Call } from "../dist/index.js";

declare const phone: Softphone;
declare const show: (text: string, number?: number) => void;

phone.on("*", (event) => { if (event.type === "call.ended") show(event.data.call.remote.number, event.data.duration); });
phone.on("dtmf.*", async (event) => show(event.type));
phone.on("call.incoming", async (call) => { await call.answer(); });
phone.on("call.ended", (call, event) => show(call.id, event.data.duration));
phone.on("operation.failed", (event) => show(event.data.reason));
phone.on("stream.gap", (note) => show(note.type));
phone.on("connection.back", () => show("back"));
for (const type of ["call.active", "call.ended"] as const) phone.on(type, (call, event) => show(call.id + event.data.call.id));
const known = (call: Call) => show(call.number);
phone.on("call.active", known);
// @ts-expect-error who listens to both gets a call with the one, and none with the other
phone.on("call.active" as "call.active" | "account.registered", known);
"""
"""What a program in TypeScript writes."""

CLIENT = Path(__file__).resolve().parents[2] / "clients" / "node"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the client, compiled as for publishing."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("no Node.js with npm here: install nodejs and npm")
    folder = tmp_path_factory.mktemp("node") / "client"
    shutil.copytree(CLIENT, folder, ignore=shutil.ignore_patterns("node_modules", "dist"))
    subprocess.run([npm, "ci"], cwd=folder, check=True, capture_output=True, timeout=120)
    subprocess.run([npm, "run", "build"], cwd=folder, check=True, capture_output=True, timeout=120)
    return folder


def run_node(folder: Path, environment: dict[str, str], *arguments: str) -> str:
    """Run node in the client's folder; return what it printed. AssertionError with that if it fails."""
    found = subprocess.run(
        ["node", *arguments], cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=200,
        check=False,
    )  # fmt: skip
    assert found.returncode == 0, f"{found.stdout[-8000:]}\n{found.stderr[-4000:]}"
    return found.stdout


def token_of(phone: PhoneProcess) -> str:
    found = next(phone.home.rglob("http-token"))
    return found.read_text().strip()


@contextlib.contextmanager
def controlled(phone: PhoneProcess) -> Iterator[int]:
    """Listen for the words "kill" and "start"; gives the port."""
    words: dict[str, Callable[[], None]] = {"kill": phone.kill, "start": phone.start}
    listener = socket.create_server(("127.0.0.1", 0))

    def listen() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return  # closed: the test is over
            with client, contextlib.suppress(OSError):
                try:
                    words[client.makefile().readline().strip()]()
                    client.sendall(b"done\n")
                except AssertionError as error:  # told at once: who waits for the phone would wait for ever
                    client.sendall(f"failed: {error}\n".encode())

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def options_for(websocket: str) -> str:
    """Return the options with which node has no WebSocket of its own, or has one (before version 22 only if asked)."""
    if websocket == "ours":
        return "--import=data:text/javascript,delete(globalThis.WebSocket)"
    version = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True, timeout=20).stdout
    return "--experimental-websocket" if int(version.strip("v").partition(".")[0]) < 22 else ""


@pytest.mark.parametrize("websocket", ["ours", "the platform's"])
def test_the_clients_own_tests(built: Path, tmp_path: Path, websocket: str) -> None:
    ports = {name: free_port() for name in ("near", "far")}
    with (
        phone_process(tmp_path / "far", "", "--http", str(ports["far"])) as far,
        phone_process(tmp_path / "near", "", "--http", str(ports["near"])) as near,
        controlled(near) as control,
    ):
        said = run_node(
            built,
            {
                "NODE_OPTIONS": options_for(websocket),
                "OFFHOOK_URL": f"http://127.0.0.1:{ports['near']}", "OFFHOOK_TOKEN": token_of(near),
                "OFFHOOK_PEER_URL": f"http://127.0.0.1:{ports['far']}", "OFFHOOK_PEER_TOKEN": token_of(far),
                "OFFHOOK_PEER_SIP": f"sip:offhook@127.0.0.1:{far.port}", "OFFHOOK_CONTROL": str(control),
            },
            "--test", "--test-reporter", "tap", "test/",
        )  # fmt: skip
    passed = re.search(r"^# pass (\d+)$", said, re.MULTILINE)
    assert passed, said[-2000:]
    assert int(passed[1]) >= TESTS


def test_the_example_without_the_package(built: Path, tmp_path: Path) -> None:
    port = free_port()
    with (
        phone_process(tmp_path / "far", '[phone]\nauto_answer = "all"\n') as far,
        phone_process(tmp_path / "near", "", "--http", str(port)) as near,
    ):
        environment = {"OFFHOOK_URL": f"http://127.0.0.1:{port}", "OFFHOOK_TOKEN": token_of(near)}
        said = run_node(built, environment, "examples/plain.mjs", f"sip:offhook@127.0.0.1:{far.port}")
    lines = said.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("call.")][:1] == ["call.created"]
    assert {"call.active", "call.ended"} <= {line.split()[0] for line in lines}


def test_handlers_have_the_types_of_what_they_get(built: Path) -> None:
    program = built / "program"
    program.mkdir()
    (program / "handlers.ts").write_text(HANDLERS)
    options = {"strict": True, "target": "ES2022", "module": "NodeNext", "types": [], "noEmit": True}
    (program / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": ["handlers.ts"]}))
    command = ["npx", "tsc", "--project", "program"]
    done = subprocess.run(command, cwd=built, capture_output=True, text=True, timeout=100, check=False)
    assert (done.stdout, done.returncode) == ("", 0)


def test_the_package_has_what_a_user_needs(built: Path) -> None:
    command = ["npm", "pack", "--dry-run", "--json", "--ignore-scripts"]
    packed = json.loads(subprocess.run(command, cwd=built, check=True, capture_output=True, text=True, timeout=60).stdout)
    (entry,) = packed if isinstance(packed, list) else packed.values()  # a list before npm 12
    names = {found["path"] for found in entry["files"]}
    assert {"package.json", "README.md", "dist/index.js", "dist/index.d.ts", "dist/websocket.js"} <= names
    assert not any(name.startswith(("src/", "test/", "node_modules/")) for name in names)
