"""Real peers for tests: SIPp, baresip and coturn, started on free loopback ports and gone when the test is.

Kamailio, linphone, Jami, rtpengine and browsers have files of their own.

Each is a context manager; `folder` (pytest's `tmp_path`) keeps its configuration and logs. Everything here blocks for a
moment: inside an event loop call `wait…` and `command` through `asyncio.to_thread`. A peer that is not installed raises
PeerMissing, which a test suite turns into a skip.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias

from offhook.errors import SetupError

Address: TypeAlias = tuple[str, int]

LOOPBACK = "127.0.0.1"
# Below those that systems give to connections out (32768 on, 49152 on), one of which could be there first, and rtpengine's.
PORTS = range(20000, 30000)
PORT_ATTEMPTS = 200
START_TIMEOUT = 10.0
STOP_TIMEOUT = 3.0
BARESIP_EXTRAS = ("srtp", "dtls_srtp", "stun", "turn", "ice")
BARESIP_MODULES = (Path("/usr/lib/baresip/modules"), Path("/usr/local/lib/baresip/modules"))

_running: set[Process] = set()


class PeerMissing(SetupError):
    """The program is not installed; the text names its Debian package."""


class PeerFailed(SetupError):
    """The program did not start, or said something else than expected; the text ends with its log."""


class Process:
    """One program we started, with its output in `log`. It is ended by its own process group, never by name."""

    def __init__(
        self, command: Sequence[str], log: Path, *, stdin: int = subprocess.DEVNULL, stdout: int | None = None,
        environment: Mapping[str, str] | None = None, folder: Path | None = None,
    ) -> None:
        """Start it in `folder`, the log's own if not given. `environment` takes the place of the usual one."""
        quiet = {**os.environ, "TERM": "dumb", "HOME": str(log.parent), "LC_ALL": "C"}
        self.log = log
        with log.open("wb") as output:
            self._child = subprocess.Popen(  # noqa: S603 - an argument list, for tests
                command, stdin=stdin, stdout=output if stdout is None else stdout, stderr=subprocess.STDOUT,
                cwd=folder or log.parent, start_new_session=True, env=quiet if environment is None else environment,
            )
        _running.add(self)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    def alive(self) -> bool:
        """Say whether it still runs."""
        return self._child.poll() is None

    def wait(self, timeout: float) -> int:
        """Wait for its end and return the exit code; PeerFailed when it is not over in `timeout` seconds."""
        try:
            return self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise self.failed(f"still runs after {timeout:g} s") from None

    def wait_until(self, condition: Callable[[], bool], what: str, timeout: float = START_TIMEOUT) -> None:
        """Look until `condition` holds; PeerFailed if the program ends, or time is up, before that."""
        deadline = time.monotonic() + timeout
        while not condition():
            if not self.alive():
                raise self.failed(f"ended with exit code {self._child.returncode} before {what}")
            if time.monotonic() > deadline:
                raise self.failed(f"not {what} within {timeout:g} s")
            time.sleep(0.01)

    def failed(self, text: str) -> PeerFailed:
        """Return the error with the end of the log."""
        tail = self.log.read_text("utf-8", "replace")[-2000:]
        return PeerFailed(f"{Path(self._child.args[0]).name}: {text}\n{tail}")  # type: ignore[index, arg-type]

    def stop(self) -> None:
        """End it: politely, then at once. Calling it again does nothing."""
        if self.alive():
            self._signal(signal.SIGTERM)
            try:
                self._child.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                self._child.wait()
        # Children of a killed parent stay behind in its group.
        self._signal(signal.SIGKILL)
        _running.discard(self)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, number)


@atexit.register
def _stop_all() -> None:
    for process in list(_running):
        process.stop()


def program(name: str, package: str) -> str:
    """Return the path of a program. Raises PeerMissing that names its Debian package."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")
    if found is None:
        raise PeerMissing(f"{name} is not installed: apt-get install {package}")
    return found


def free_port() -> int:
    """Return a port number that is free for UDP and TCP on loopback, the next one for TCP too (baresip takes it for TLS)."""
    return _free(PORTS, (socket.SOCK_DGRAM, socket.SOCK_STREAM), (socket.SOCK_STREAM,))


def free_pair() -> int:
    """Return an even UDP port on loopback that is free, as is the next: one for RTP, one for RTCP."""
    return _free(PORTS[::2], (socket.SOCK_DGRAM,), (socket.SOCK_DGRAM,))


def _free(ports: range, here: Sequence[socket.SocketKind], behind: Sequence[socket.SocketKind]) -> int:
    for port in random.sample(ports, PORT_ATTEMPTS):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for number, kinds in ((port, here), (port + 1, behind)):
                for kind in kinds:
                    stack.enter_context(socket.socket(socket.AF_INET, kind)).bind((LOOPBACK, number))
            return port
    raise PeerFailed("no port is free")


def port_taken(port: int, kind: socket.SocketKind) -> bool:
    """Say whether somebody has this loopback port."""
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return True
    return False


class Listener:
    """A UDP port that is listened at, for tests that want to see whether sound comes there."""

    def __init__(self, opened: socket.socket) -> None:
        self.port = int(opened.getsockname()[1])
        self._opened = opened

    async def received(self) -> bytes:
        """Return the next datagram; TimeoutError if none comes within START_TIMEOUT."""
        async with asyncio.timeout(START_TIMEOUT):
            return await asyncio.get_running_loop().sock_recv(self._opened, 65535)

    def empty(self) -> int:
        """Throw away what has come so far; returns how many datagrams that were."""
        count = 0
        with contextlib.suppress(BlockingIOError):
            while self._opened.recv(65535):
                count += 1
        return count


@contextmanager
def listening(port: int = 0, host: str = LOOPBACK) -> Iterator[Listener]:
    """Have a UDP port for the time of the block, 0 any free one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind((host, port))
        opened.setblocking(False)
        yield Listener(opened)


# --- SIPp ----------------------------------------------------------------------------------------------------------


class Sipp:
    """A running SIPp scenario."""

    def __init__(self, process: Process, port: int, messages: Path) -> None:
        self.process = process
        self.port = port
        self._messages = messages

    @property
    def address(self) -> Address:
        """Where it listens."""
        return LOOPBACK, self.port

    def wait(self, timeout: float = 30.0) -> None:
        """Wait until the scenario is over; PeerFailed, with SIPp's own words, unless every call succeeded."""
        code = self.process.wait(timeout)
        if code != 0:
            raise self.process.failed(f"exit code {code} (1: a call failed)\n{self.errors()}")

    def messages(self) -> str:
        """Return every message it sent and received so far."""
        return self._messages.read_text("latin-1") if self._messages.exists() else ""

    def errors(self) -> str:
        """Return what did not go as the scenario says."""
        file = self._messages.with_name("errors.log")
        return file.read_text("latin-1") if file.exists() else ""


@contextmanager
def sipp(
    scenario: str, folder: Path, *, remote: Address | None = None, service: str = "phone", calls: int = 1,
    rate: float = 10.0, transport: Literal["udp", "tcp"] = "udp", options: Sequence[str] = (), host: str = LOOPBACK,
) -> Iterator[Sipp]:
    """Run a scenario (XML text; or the name of one that SIPp has built in: "uac", "uas").

    With `remote` SIPp calls `service` there, `calls` times, `rate` a second; without, it waits for `calls` calls.
    """
    command = [program("sipp", "sip-tester")]
    folder.mkdir(parents=True, exist_ok=True)
    if scenario.lstrip().startswith("<"):
        file = folder / "scenario.xml"
        file.write_text(scenario, "utf-8")
        command += ["-sf", str(file)]
    else:
        command += ["-sn", scenario]
    port, messages = free_port(), folder / "messages.log"
    command += [
        "-i", host, "-mi", host, "-p", str(port), "-s", service, "-m", str(calls), "-r", f"{rate:g}",
        "-t", "u1" if transport == "udp" else "t1", "-nostdin", "-trace_msg", "-message_file", str(messages),
        "-trace_err", "-error_file", str(folder / "errors.log"), *options,
    ]
    command += [f"{remote[0]}:{remote[1]}"] if remote else []
    process = Process(command, folder / "sipp.log")
    try:
        if remote is None:
            kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
            process.wait_until(lambda: port_taken(port, kind), "listening")
        peer = Sipp(process, port, messages)
        try:
            yield peer
        except Exception as failure:
            failure.add_note(f"SIPp in {folder}: {peer.errors() or 'nothing unexpected'}")
            raise
    finally:
        process.stop()


# --- baresip -------------------------------------------------------------------------------------------------------


class Baresip:
    """A running baresip, driven over its ctrl_tcp socket (netstrings around JSON)."""

    def __init__(self, process: Process, port: int, user: str, control: socket.socket) -> None:
        self.process = process
        self.port = port
        self.uri = f"sip:{user}@{LOOPBACK}:{port}"
        self.events: list[dict[str, Any]] = []
        """Every event so far, oldest first: `type` is CALL_INCOMING, CALL_ESTABLISHED, CALL_CLOSED, REGISTER_OK …"""
        self._control = control
        self._buffer = b""
        self._answers: list[dict[str, Any]] = []

    def command(self, name: str, parameters: str = "", timeout: float = 5.0) -> str:
        """Carry out a command ("dial", "hangup", "accept", "hold", "resume", "sndcode" …) and return its text."""
        message = json.dumps({"command": name, "params": parameters, "token": "t"}).encode()
        self._control.sendall(b"%d:%s," % (len(message), message))
        self._read_until(lambda: bool(self._answers), f"an answer to {name}", timeout)
        answer = self._answers.pop(0)
        if not answer.get("ok"):
            raise self.process.failed(f"{name} {parameters}: {answer.get('data')}")
        return str(answer.get("data", ""))

    def wait_event(self, kind: str, timeout: float = 10.0) -> dict[str, Any]:
        """Wait for an event of this type that has not been taken yet, and take it."""
        self._read_until(lambda: any(event.get("type") == kind for event in self.events), kind, timeout)
        found = next(event for event in self.events if event.get("type") == kind)
        self.events.remove(found)
        return found

    def heard(self) -> list[Path]:
        """Return the WAV files of what it heard, one a call, oldest first (complete when the call is over)."""
        return sorted(self.process.log.parent.glob("*-dec.wav"))

    def _read_until(self, condition: Callable[[], bool], what: str, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            self._control.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                piece = self._control.recv(65536)
            except TimeoutError:
                raise self.process.failed(f"no {what} within {timeout:g} s; events: {self.events}") from None
            if not piece:
                raise self.process.failed(f"ended before {what}")
            self._buffer += piece
            self._sort()

    def _sort(self) -> None:
        while b":" in self._buffer:
            length, _, rest = self._buffer.partition(b":")
            if len(rest) <= int(length):
                return
            message = json.loads(rest[:int(length)])
            self._buffer = rest[int(length) + 1:]
            (self.events if message.get("event") else self._answers).append(message)


@contextmanager
def baresip(
    folder: Path, *, user: str = "bob", password: str = "", registrar: Address | None = None,
    transport: Literal["udp", "tcp", "tls"] = "udp", source: str = "ausine,440",
    answer: Literal["auto", "manual"] = "auto", codecs: str = "PCMU,PCMA", settings: str = "",
    mediaenc: str = "", medianat: str = "", account: str = "", certificate: Path | None = None, trusted: Path | None = None,
) -> Iterator[Baresip]:
    """Run baresip with one account. It plays `source` into calls ("ausine,440", "aufile,/x.wav").

    With `registrar` it registers there as `user` and that has happened when the block begins. `settings` is
    added to its config, `account` (";name=value" …) to its account. `mediaenc` is "", "srtp", "srtp-mand" or "dtls_srtp",
    `medianat` "", "stun", "turn" or "ice". For TLS it shows `certificate` and believes who `trusted` vouches for;
    the registrar's port is that for TLS then, and calls without a registrar come to the port behind baresip's own.
    """
    command = program("baresip", "baresip-core")
    modules = next((each for each in BARESIP_MODULES if each.is_dir()), None)
    if modules is None:
        raise PeerMissing("baresip's modules are not installed: apt-get install baresip-core")
    folder.mkdir(parents=True, exist_ok=True)
    port, control_port = free_port(), free_port()
    extra = [f"module {name}.so" for name in BARESIP_EXTRAS if name in (mediaenc.removesuffix("-mand"), medianat)]
    secure = [f"sip_certificate {certificate}"] * bool(certificate) + [f"sip_cafile {trusted}"] * bool(trusted)
    (folder / "config").write_text(
        _baresip_config(modules, port, control_port, source, "\n".join([*extra, *secure, settings])), "utf-8")
    domain = f"{registrar[0]}:{registrar[1]}" if registrar else f"{LOOPBACK}:{port}"
    (folder / "accounts").write_text(
        f"<sip:{user}@{domain};transport={transport}>;auth_user={user};auth_pass={password};answermode={answer}"
        f";regint={60 if registrar else 0};audio_codecs={codecs};dtmfmode=rtpevent;mediaenc={mediaenc};medianat={medianat}"
        f"{account}\n", "utf-8")
    (folder / "contacts").write_text("", "utf-8")
    process = Process([command, "-4", "-f", str(folder)], folder / "baresip.log")
    try:
        process.wait_until(lambda: port_taken(control_port, socket.SOCK_STREAM), "listening")
        process.wait_until(lambda: port_taken(port, socket.SOCK_DGRAM), "listening")
        with socket.create_connection((LOOPBACK, control_port), START_TIMEOUT) as control:
            peer = Baresip(process, port, user, control)
            if registrar:
                _wait_registered(peer)
            yield peer
    finally:
        process.stop()


def _wait_registered(peer: Baresip) -> None:
    # The registration may be over before the control socket has a listener; the log tells it then.
    deadline = time.monotonic() + START_TIMEOUT
    while "200 OK" not in peer.process.log.read_text("utf-8", "replace"):
        if time.monotonic() > deadline:
            raise peer.process.failed(f"not registered within {START_TIMEOUT:g} s")
        time.sleep(0.02)


def _baresip_config(modules: Path, port: int, control: int, source: str, settings: str) -> str:
    media = "\n".join(f"module {name}.so" for name in ("g711", "ausine", "aufile", "aubridge", "sndfile"))
    # ausine makes 48 kHz stereo only; files are taken at the codec's rate.
    rate = "ausrc_srate 48000\nausrc_channels 2" if source.startswith("ausine") else ""
    return f"""
sip_listen {LOOPBACK}:{port}
net_interface {LOOPBACK}
audio_source {source}
{rate}
audio_player aubridge,nobody
audio_alert aubridge,nobody
snd_path .
module_path {modules}
{media}
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen {LOOPBACK}:{control}
{settings}
"""


# --- coturn --------------------------------------------------------------------------------------------------------


def accepts(port: int) -> bool:
    """Say whether something takes TCP connections there."""
    try:
        socket.create_connection((LOOPBACK, port), 1.0).close()
    except OSError:
        return False
    return True


class Coturn:
    """A running STUN and TURN server (UDP and TCP) for one user."""

    def __init__(self, process: Process, port: int, user: str, password: str) -> None:
        self.process = process
        self.port = port
        self.user = user
        self.password = password

    @property
    def address(self) -> Address:
        """Where it listens."""
        return LOOPBACK, self.port


@contextmanager
def coturn(
    folder: Path, *, user: str = "phone", password: str = "relay-secret", options: Sequence[str] = (),  # noqa: S107
    host: str = LOOPBACK, port: int = 0, inside: Callable[[list[str]], list[str]] | None = None,
) -> Iterator[Coturn]:
    """Run coturn on loopback, on a free port unless one is given; its relayed ports are 50000 to 50999.

    `inside` turns its command line into one that runs it somewhere else, where `host` is its address.
    """
    command = program("turnserver", "coturn")
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    line = [
        command, "-n", "--listening-ip", host, "--relay-ip", host, "--listening-port", str(port), "--lt-cred-mech",
        "--user", f"{user}:{password}", "--realm", "offhook.test", "--allow-loopback-peers", "--no-tls", "--no-dtls",
        "--no-cli", "--min-port", "50000", "--max-port", "50999", "--log-file", "stdout", "--pidfile", str(folder / "pid"),
        "--userdb", str(folder / "db"), *options,
    ]  # fmt: skip
    process = Process(inside(line) if inside is not None else line, folder / "coturn.log")
    try:
        if inside is None:
            process.wait_until(lambda: port_taken(port, socket.SOCK_DGRAM), "listening")
            process.wait_until(lambda: accepts(port), "listening")
        else:
            process.wait_until(lambda: "SQLite DB connection success" in process.log.read_text("utf-8", "replace"), "listening")
        yield Coturn(process, port, user, password)
    finally:
        process.stop()
