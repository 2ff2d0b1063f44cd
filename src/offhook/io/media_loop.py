"""The packet loop: sockets, absolute deadlines and the media engine, on whatever thread calls `run`."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from offhook.io.media_capture import Capture
from offhook.io.media_failures import Failures
from offhook.io.media_load import LoadMeter
from offhook.io.media_ports import MAX_DATAGRAM, PortPool
from offhook.io.media_sockets import StreamSockets
from offhook.io.media_wire import Emit, MediaOptions
from offhook.io.poller import Poller
from offhook.media.address import Address
from offhook.media.codecs import codec
from offhook.media.engine import PHASES, TOGETHER, Engine
from offhook.media.messages import (
    CaptureEnd,
    CaptureEnded,
    CaptureStream,
    CloseStream,
    ConfigureStream,
    EndCapture,
    EngineAlive,
    EngineTrouble,
    GatherCandidates,
    ListDevices,
    MediaCommand,
    MediaReport,
    OpenStream,
    PauseRecording,
    PortsReady,
    SelectDevice,
    StopRecording,
    StreamCaptured,
    StreamFailed,
    StreamId,
)
from offhook.media.reels import Studio

PHASE_S: Final = 0.020 / PHASES
TOO_LATE_S: Final = 0.200  # further behind than this, the missed frames are given up
FEW: Final = TOGETHER  # so few streams can afford a wake-up for each packet, which measures jitter to the microsecond
READ_PASSES: Final = 8  # packets taken from one socket in 20 ms, and one in each other phase: the kernel drops the rest
IDLE_S: Final = 0.5  # how often an idle loop asks the sound card for news
ALIVE_S: Final = 2.0  # how often an idle loop says that it is there; one with streams tells its load each second
ATTENTIVE_S: Final = 1.0  # after a question about devices the answer of the card (a list of devices) is not kept waiting



class SystemIds:
    """Identifiers from the operating system, without the weight of the `random` and `secrets` modules."""

    def token(self, length: int) -> str:
        """Return `length` characters of `[0-9a-z]`."""
        return "".join("0123456789abcdefghijklmnopqrstuvwxyz"[byte % 36] for byte in os.urandom(length))

    def integer(self, bits: int) -> int:
        """Return an unsigned integer of at most `bits` bits."""
        return int.from_bytes(os.urandom((bits + 7) // 8), "big") & ((1 << bits) - 1)

    def uniform(self, low: float, high: float) -> float:
        """Return a number between `low` and `high`."""
        return low + (high - low) * self.integer(32) / 0xFFFFFFFF


class Parent(Protocol):
    """Who commands the loop through a pipe (`io.media_pipe`). `due`: when `pump` wants to be called."""

    descriptor: int
    due: float | None

    def receive(self) -> list[object]:
        """Return the messages that have come: lists of commands, None for the end. Raises EOFError when it is gone."""
        ...

    def put(self, batch: Sequence[MediaReport], now: float) -> None:
        """Send reports."""
        ...

    def pump(self, now: float) -> None:
        """Send what has waited."""
        ...


class MediaLoop:
    """Runs an engine. `send` and `stop` may be called from any thread; reports go to `tell` on the loop's own.

    `tell` is a function, or the parent process, which commands the loop then, too.
    """

    def __init__(self, options: MediaOptions, studio: Studio, tell: Emit | Parent) -> None:
        self._meter = LoadMeter(options.worker)
        self._told_load = False  # and not yet that it is over
        self.engine = Engine(SystemIds(), studio, epoch=time.time() - time.perf_counter())
        self._parent = None if callable(tell) else tell
        self._emit: Emit = tell if callable(tell) else self._tell_parent
        self._options = options
        self._commands: deque[MediaCommand] = deque()
        self._stopping = False
        self._pool = PortPool(options)
        self._poller = Poller()
        self._sockets = StreamSockets(self._poller)
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._ports: dict[StreamId, int] = {}
        self._failures = Failures()
        self._captures: dict[StreamId, Capture] = {}
        self._own: list[MediaReport] = []
        self._attentive_until = 0.0
        self._alive_due = 0.0

    def send(self, command: MediaCommand) -> None:
        """Have this command obeyed within 5 ms."""
        self._commands.append(command)
        self._wake()

    def stop(self) -> None:
        """Make `run` return soon, with everything closed."""
        self._stopping = True
        self._wake()

    def _wake(self) -> None:
        # A full buffer wakes as well as another byte; a closed socket means that there is nobody to wake.
        with contextlib.suppress(OSError):
            self._wake_out.send(b"\0")

    def run(self) -> None:
        """Work until `stop`."""
        self._poller.add(self._wake_in.fileno())
        if self._parent is not None:
            self._poller.add(self._parent.descriptor)
        try:
            with _fine_clock():
                self._fill_pool()
                self._flush()
                self._read_libraries()
                self._run()
        finally:
            self._close()

    def _read_libraries(self) -> None:
        """Read now what would be heard in a call: DTLS takes half a second, Opus and AMR a tenth of one."""
        if self._options.dtls:
            with contextlib.suppress(ImportError):
                import offhook.io.dtls  # noqa: F401
        for name in self._options.codecs:
            with contextlib.suppress(LookupError, ImportError):
                codec(name)

    def _run(self) -> None:
        engine, clock, meter = self.engine, time.perf_counter, self._meter
        deadline, phase = clock(), 0
        while not self._stopping:
            if engine.idle:
                self._rest()
                deadline = clock()
                meter.rest(deadline)
                continue
            self._wait(deadline)
            if engine.idle:
                continue
            now = clock()
            late = now - deadline
            meter.note(late)
            if late > TOO_LATE_S:
                self._own.append(
                    EngineTrouble("the media engine did not get to run in time", round(late * 1000, 1), self._options.worker)
                )
                deadline = now
            if now >= meter.due:
                self._tell_load(now)
            # What is left after one packet of each socket can wait for 5 ms; asking again costs as much as it brings.
            self._read(now, 1 if phase else READ_PASSES)
            if self._commands:
                self._obey(now, behind=now - deadline > PHASE_S)
            # The deadline, not the clock: what was missed is caught up at its own time.
            engine.tick(phase, deadline)
            self._flush()
            self._pump(now)
            deadline += PHASE_S
            phase = (phase + 1) % PHASES
            while not engine.works_in(phase):
                deadline += PHASE_S
                phase = (phase + 1) % PHASES

    def _tell_load(self, now: float) -> None:
        self._own.append(self._meter.report(now, len(self._ports)))
        self._told_load = True

    def _rest(self) -> None:
        """Nothing is open: sleep until there is a command."""
        now = time.perf_counter()
        if self._told_load:
            self._tell_load(now)
            self._told_load = False
            self._flush()
        if now >= self._alive_due:
            self._alive_due = now + ALIVE_S
            self._own.append(EngineAlive(self._options.worker))
        if not self._commands:
            patience = PHASE_S if now < self._attentive_until else IDLE_S
            due = self._parent.due if self._parent is not None else None
            if due is not None:
                patience = min(patience, max(0.0, due - now))
            self._read_ready(self._poller.ready(patience), now)
        now = time.perf_counter()
        # A copy, made in one step: other threads add commands at any moment.
        if any(isinstance(command, ListDevices | SelectDevice) for command in tuple(self._commands)):
            self._attentive_until = now + ATTENTIVE_S
        self._obey(now)
        self.engine.poll_sound()
        self._flush()
        self._pump(now)

    def _pump(self, now: float) -> None:
        parent = self._parent
        if parent is not None and parent.due is not None and parent.due <= now:
            parent.pump(now)

    def _tell_parent(self, reports: Sequence[MediaReport]) -> None:
        if self._parent is not None:
            self._parent.put(reports, time.perf_counter())

    def _hear_parent(self, parent: Parent) -> None:
        try:
            for message in parent.receive():
                if message is None:
                    self._stopping = True
                else:
                    self._commands += message  # type: ignore[arg-type]  # the parent sends lists of commands and at last None
        except (EOFError, pickle.UnpicklingError):
            self._poller.remove(parent.descriptor)
            self._stopping = True

    def _wait(self, deadline: float) -> None:
        clock = time.perf_counter
        if len(self._ports) <= FEW:
            # epoll counts whole milliseconds; the rest is slept.
            while (left := deadline - (now := clock())) > 0.001:
                due = self._parent.due if self._parent is not None else None
                if due is not None and due <= now:
                    self._pump(now)
                    continue
                patience = left if due is None else min(left, due - now)
                ready = self._poller.ready(max(1, int(patience * 1000)) / 1000)
                if ready:
                    now = clock()
                    self._read_ready(ready, now)
                    if self._commands and self._obey_early(now):
                        return
                    self._flush()  # a digit, say: it need not wait for the tick
        left = deadline - clock()
        if left > 0:
            time.sleep(left)

    def _obey_early(self, now: float) -> bool:
        """Obey before the next tick is due; True if there is nothing to tick for any more (or all is to end)."""
        self._obey(now)
        self._flush()
        return self.engine.idle or self._stopping

    def _read(self, now: float, passes: int) -> None:
        for _ in range(passes):
            ready = self._poller.ready(0)
            if not ready:
                return
            self._read_ready(ready, now)

    def _read_ready(self, ready: list[int], now: float) -> None:
        twins = self._sockets.twins.inputs
        for descriptor in ready:
            twin = twins.get(descriptor)
            if twin is None:
                self._read_first(descriptor, now)
                continue
            receive, size, handle, peer = twin
            try:
                packet = receive(size)
            except OSError:
                continue  # nothing there after all, or the far end's port was closed
            if len(packet) == size:
                self._sockets.twins.widen(descriptor)  # it was cut off, perhaps, and is lost; the next one will not be
                continue
            handle(packet, peer, now)

    def _read_first(self, descriptor: int, now: float) -> None:
        """Read from what is no twin; or it is one that was closed in this very pass."""
        if self._sockets.read(descriptor, now):
            return
        if descriptor == self._wake_in.fileno():
            with contextlib.suppress(OSError):
                self._wake_in.recv(MAX_DATAGRAM)
        elif self._parent is not None and descriptor == self._parent.descriptor:
            self._hear_parent(self._parent)

    def _obey(self, now: float, *, behind: bool = False) -> None:
        """Obey all commands; `behind`: up to one that ends a recording before the ticks that are missing were made up for."""
        commands = self._commands
        while commands and not (behind and isinstance(commands[0], StopRecording | PauseRecording)):
            command = commands.popleft()
            if isinstance(command, OpenStream):
                self._open(command, now)
            elif isinstance(command, CloseStream):
                self.engine.execute(command, now)
                self._flush()
                self._end_capture(command.stream, "call ended")
                self._release(command.stream)
            elif isinstance(command, CaptureStream):
                self._capture(command)
            elif isinstance(command, EndCapture):
                self._end_capture(command.stream, command.reason)
            elif isinstance(command, ConfigureStream):
                self._configure(command, now)
            elif isinstance(command, GatherCandidates):
                self.engine.execute(command, now)
                if command.stream in self._ports:
                    self._sockets.listen(self.engine.streams[command.stream])
            else:
                self.engine.execute(command, now)

    def _configure(self, command: ConfigureStream, now: float) -> None:
        if error := _address_error(command, self._pool.families):
            self._own.append(StreamFailed(command.stream, error))
            return
        # It may be that our own address has changed: the next packet finds a new twin its place.
        if command.stream in self._ports:
            self._sockets.twins.close(self._ports[command.stream])
        self.engine.execute(command, now)
        if command.stream in self._ports:
            self._sockets.listen(self.engine.streams[command.stream])  # its packets may go another way now

    def _open(self, command: OpenStream, now: float) -> None:
        if command.stream in self._ports:
            self._own.append(StreamFailed(command.stream, "already open"))
            return
        pairs = self._pool.take(command.port)
        if not pairs:
            self._own.append(StreamFailed(command.stream, f"port {command.port} is not ready"))
            return
        self.engine.execute(command, now)
        stream = self.engine.streams[command.stream]
        self._ports[command.stream] = command.port
        self._sockets.open(stream, pairs)
        self._fill_pool()

    def _capture(self, wish: CaptureStream) -> None:
        self._end_capture(wish.stream, "stopped")
        port = self._ports.get(wish.stream)
        if port is None:
            self._own.append(CaptureEnded(wish.stream, "engine failed", 0, 0))
            return
        stream = self.engine.streams[wish.stream]
        self._own.append(StreamCaptured(wish.stream, ()))
        capture = self._captures[wish.stream] = Capture(wish, lambda report: self._own.append(report))
        stream.wiring.watch_streams(
            lambda sent, component, relay, message: capture.note(sent, ("0.0.0.0", port + component - 1), relay, message)
        )
        if wish.keys:
            stream.wiring.watch_keys(capture.take_keys)
        self._sockets.capture(stream, capture)

    def _end_capture(self, name: StreamId, reason: CaptureEnd) -> None:
        capture, stream = self._captures.pop(name, None), self.engine.streams.get(name)
        if capture is None:
            return
        capture.end(reason)
        if stream is None or name not in self._ports:
            return
        stream.wiring.watch_keys(None)
        stream.wiring.watch_streams(None)
        self._sockets.end_capture(stream)

    def _release(self, stream: StreamId) -> None:
        port = self._ports.pop(stream, None)
        if port is None:
            return
        self._sockets.close(port)
        for number in (port, port + 1):
            self._failures.forget(number)
        self._fill_pool()

    def _fill_pool(self) -> None:
        new = self._pool.fill()
        if new:
            self._own.append(PortsReady(tuple(new), self._options.worker))

    def _flush(self) -> None:
        """Send what the engine has to send, tell what it has to tell."""
        outbox = self.engine.outbox
        for port, packet, address in outbox:
            self._send_first(port, packet, address)
        outbox.clear()
        reports = self.engine.reports()
        if self._own:
            reports = self._own + reports
            self._own = []
        if reports:
            self._emit(reports)

    def _send_first(self, port: int, packet: bytes, address: Address) -> None:
        """Send from the socket that is not connected. ICE may want to try a family that we do not speak: that leads nowhere."""
        end = self._sockets.leaving(port, address)
        if end is None:
            return
        try:
            end.sendto(packet, address)
        except BlockingIOError:
            pass  # the network card is behind; late audio is worth nothing
        except (OSError, OverflowError) as error:
            self._note_failure(port, error)
        else:
            if self._failures:
                self._failures.forget(port)

    def _note_failure(self, port: int, error: Exception) -> None:
        """Packets may fail for a while (there is no route just now); a socket that is broken stays so."""
        broken = isinstance(error, OSError) and error.errno in (errno.EBADF, errno.ENOTSOCK)
        if self._failures.failed(port, time.perf_counter(), for_good=broken):
            for stream, owned in self._ports.items():
                if owned == port:
                    self._own.append(StreamFailed(stream, f"cannot send: {error}"))

    def _close(self) -> None:
        self.engine.close(time.perf_counter())
        self._flush()
        self._sockets.close_all()
        self._pool.close()
        self._poller.close()
        self._wake_in.close()
        self._wake_out.close()


def _address_error(command: ConfigureStream, spoken: Sequence[socket.AddressFamily]) -> str:
    """Say what is wrong with the far end's addresses: a name would make the loop wait for DNS."""
    for host, port in (command.config.remote, command.config.remote_rtcp):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            socket.inet_pton(family, host)
        except OSError:
            return f"the far end's media address is no IP address: {host}"
        if family not in spoken and host != "0.0.0.0":  # RFC 3264 8.4: which is how one who holds us says so
            ours, theirs = ("IPv4", "IPv6") if ":" in host else ("IPv6", "IPv4")
            return f'the far end\'s media is on {theirs} ({host}), ours on {ours} only: sip.host = "::" speaks both'
        if not 0 <= port <= 65535:
            return f"the far end's media port is out of range: {port}"
    return ""


@contextlib.contextmanager
def _fine_clock() -> Iterator[None]:
    """Have Windows wake sleepers to the millisecond while media runs."""
    if sys.platform != "win32":
        yield
        return
    import ctypes

    winmm = ctypes.WinDLL("winmm")
    winmm.timeBeginPeriod(1)
    try:
        yield
    finally:
        winmm.timeEndPeriod(1)
