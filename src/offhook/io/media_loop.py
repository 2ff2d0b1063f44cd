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
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias

from offhook.io.media_wire import Emit, MediaOptions
from offhook.io.poller import Poller
from offhook.io.ports import own_port
from offhook.media.engine import PHASES, Engine
from offhook.media.messages import (
    CloseStream,
    ConfigureStream,
    EngineTrouble,
    GatherCandidates,
    ListDevices,
    MediaCommand,
    MediaReport,
    OpenStream,
    PortsReady,
    SelectDevice,
    StreamFailed,
    StreamId,
)
from offhook.media.receiving import Address
from offhook.media.reels import Studio
from offhook.media.stream import Stream

PHASE_S: Final = 0.020 / PHASES
TOO_LATE_S: Final = 0.200  # further behind than this, the missed frames are given up
FEW: Final = 16  # so few streams can afford a wake-up for each packet, which measures jitter to the microsecond
READ_PASSES: Final = 8  # packets taken from one socket in 20 ms, and one in each other phase: the kernel drops the rest
MAX_DATAGRAM: Final = 2048
SHORT_DATAGRAM: Final = 479  # what fits into the small blocks of Python's allocator, and holds 40 ms of G.711
IDLE_S: Final = 0.5  # how often an idle loop asks the sound card for news
ATTENTIVE_S: Final = 1.0  # after a question about devices the answer of the card (a list of devices) is not kept waiting
BIND_ATTEMPTS: Final = 64
MOST_READY: Final = 128  # pairs of sockets kept ready after a rush
SEND_FAILURES: Final = 250  # five seconds in which nothing could be sent
EXPEDITED: Final = 46 << 2  # RFC 4594: voice is DSCP EF

_Handler: TypeAlias = Callable[[bytes, tuple[str, int], float], object]
_Input: TypeAlias = tuple[socket.socket, _Handler]
_TwinInput: TypeAlias = tuple[Callable[[int], bytes], int, _Handler, Address]  # how to read, how much, for whom, from whom


class Twin(NamedTuple):
    """A connected socket, whose audio it carries, and to whom."""

    end: socket.socket
    stream: Stream
    peer: Address


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


class PortPool:
    """Pairs of bound sockets, RTP on the even port and RTCP above it, ready before anybody asks.

    It is filled when half of them are taken, many at once, and holds more from then on when it was found empty: a rush of
    calls needs more than the eight that a desk phone does.
    """

    def __init__(self, options: MediaOptions) -> None:
        self._host = options.host
        self._range = options.port_range
        self._size = options.pool
        self._ready: dict[int, tuple[socket.socket, socket.socket]] = {}
        self._cursor = 0
        self._ready_once = False

    def fill(self) -> list[int]:
        """Bind what is missing and return the new RTP ports (fewer than wished where the range is used up)."""
        new: list[int] = []
        if len(self._ready) * 2 > self._size:
            return new
        if self._ready_once and not self._ready:
            self._size = min(self._size * 2, MOST_READY)
        self._ready_once = True
        while len(self._ready) < self._size and (pair := self._bind_pair()) is not None:
            port: int = pair[0].getsockname()[1]
            self._ready[port] = pair
            new.append(port)
        return new

    def take(self, port: int) -> tuple[socket.socket, socket.socket] | None:
        """Return the sockets of a ready port, which is ready no longer."""
        return self._ready.pop(port, None)

    def close(self) -> None:
        """Close what was not taken."""
        for pair in self._ready.values():
            for end in pair:
                end.close()
        self._ready.clear()

    def _bind_pair(self) -> tuple[socket.socket, socket.socket] | None:
        if self._range is None:
            for _ in range(BIND_ATTEMPTS):
                if (pair := self._bind_anywhere()) is not None:
                    return pair
            return None
        low = self._range[0] + self._range[0] % 2
        count = (self._range[1] - low + 1) // 2
        for _ in range(max(0, count)):
            port = low + 2 * (self._cursor % count)
            self._cursor += 1  # a port is not used again at once: stragglers of the last call are still on their way
            if (pair := self._bind_both(port)) is not None:
                return pair
        return None

    def _bind_anywhere(self) -> tuple[socket.socket, socket.socket] | None:
        first = _bind(self._host, 0)
        if first is None:
            return None
        port = first.getsockname()[1]
        second = _bind(self._host, port ^ 1)
        if second is None:
            first.close()
            return None
        return (first, second) if port % 2 == 0 else (second, first)

    def _bind_both(self, port: int) -> tuple[socket.socket, socket.socket] | None:
        first = _bind(self._host, port)
        if first is None:
            return None
        second = _bind(self._host, port + 1)
        if second is None:
            first.close()
            return None
        return first, second


def _bind(host: str, port: int) -> socket.socket | None:
    end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        end.setblocking(False)
        own_port(end)
        with contextlib.suppress(OSError):  # a wish; some systems refuse it
            end.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, EXPEDITED)
        end.bind((host, port))
    except OSError:
        end.close()
        return None
    return end


class Twins:
    """Second sockets on the RTP ports, each connected to the far end that its stream has latched on to (Linux).

    A connected socket saves the route and address of every packet. The first socket stays open beside it:
    the kernel gives the twin what comes from its peer and the first one everything else, so that a far end that moves is
    heard as before and nobody is told that the port is closed.
    """

    def __init__(self, poller: Poller) -> None:
        self.by_port: dict[int, Twin] = {}
        self.inputs: dict[int, _TwinInput] = {}
        self._poller = poller
        self._refused: set[int] = set()

    def follow(self, first: socket.socket, stream: Stream, source: Address) -> None:
        """Have a twin for the peer of this stream, if that is who sent just now."""
        if sys.platform != "linux" or not stream.straight or stream.peer != source or stream.port in self._refused:
            return
        twin = self.by_port.get(stream.port)
        if twin is None or twin.peer != source:
            self.close(stream.port)
            self._open(first, stream, source)

    def _open(self, first: socket.socket, stream: Stream, peer: Address) -> None:
        end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, first.getsockopt(socket.IPPROTO_IP, socket.IP_TOS))
            # Only now and only for the two of them: otherwise a busy port would not be noticed when it is bound.
            for one in (first, end):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            end.bind(first.getsockname())
            end.connect(peer)
            self._poller.add(end.fileno())
        except OSError:
            end.close()
            self._refused.add(stream.port)  # no descriptors left, perhaps; the first socket does everything
            return
        finally:
            first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        self.by_port[stream.port] = Twin(end, stream, peer)
        self.inputs[end.fileno()] = (end.recv, SHORT_DATAGRAM, stream.receive, peer)
        stream.connect(end.send)

    def widen(self, descriptor: int) -> None:
        """Read longer packets from this twin."""
        receive, _, handle, peer = self.inputs[descriptor]
        self.inputs[descriptor] = (receive, MAX_DATAGRAM, handle, peer)

    def close(self, port: int) -> None:
        """Close the twin of this port, if there is one."""
        self._refused.discard(port)
        twin = self.by_port.pop(port, None)
        if twin is not None:
            twin.stream.connect(None)
            del self.inputs[twin.end.fileno()]
            self._poller.remove(twin.end.fileno())
            twin.end.close()

    def close_all(self) -> None:
        """Close all of them."""
        for port in tuple(self.by_port):
            self.close(port)


class MediaLoop:
    """Runs an engine. `send` and `stop` may be called from any thread; reports go to `tell` on the loop's own.

    `tell` is a function, or the parent process, which commands the loop then, too.
    """

    def __init__(self, options: MediaOptions, studio: Studio, tell: Emit | Parent) -> None:
        self.ticks = 0
        self.latest_s = 0.0  # the greatest lateness of a tick
        self.engine = Engine(SystemIds(), studio, epoch=time.time() - time.perf_counter())
        self._parent = None if callable(tell) else tell
        self._emit: Emit = tell if callable(tell) else self._tell_parent
        self._options = options
        self._commands: deque[MediaCommand] = deque()
        self._stopping = False
        self._pool = PortPool(options)
        self._poller = Poller()
        self._twins = Twins(self._poller)
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._sockets: dict[int, socket.socket] = {}
        self._inputs: dict[int, _Input] = {}
        self._talkers: dict[int, Stream] = {}  # by the descriptor of the RTP port
        self._ports: dict[StreamId, int] = {}
        self._failures: dict[int, int] = {}
        self._own: list[MediaReport] = []
        self._attentive_until = 0.0

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
        self._inputs[self._wake_in.fileno()] = (self._wake_in, _ignore)
        if self._parent is not None:
            self._poller.add(self._parent.descriptor)
        try:
            with _fine_clock():
                self._fill_pool()
                self._flush()
                if self._options.dtls:
                    with contextlib.suppress(ImportError):  # half a second's work; in a call it would be heard
                        import offhook.io.dtls  # noqa: F401
                self._run()
        finally:
            self._close()

    def _run(self) -> None:
        engine, clock = self.engine, time.perf_counter
        deadline, phase = clock(), 0
        while not self._stopping:
            if engine.idle:
                self._rest()
                deadline = clock()
                continue
            self._wait(deadline)
            if engine.idle:
                continue
            now = clock()
            late = now - deadline
            if late > self.latest_s:
                self.latest_s = late
            if late > TOO_LATE_S:
                self._own.append(EngineTrouble("the media engine did not get to run in time", round(late * 1000, 1)))
                deadline = now
            # What is left after one packet of each socket can wait for 5 ms; asking again costs as much as it brings.
            self._read(now, 1 if phase else READ_PASSES)
            if self._commands:
                self._obey(now)
            # The deadline, not the clock: what was missed is caught up at its own time.
            engine.tick(phase, deadline)
            self._flush()
            self._pump(now)
            self.ticks += 1
            deadline += PHASE_S
            phase = (phase + 1) % PHASES

    def _rest(self) -> None:
        """Nothing is open: sleep until there is a command."""
        now = time.perf_counter()
        if not self._commands:
            patience = PHASE_S if now < self._attentive_until else IDLE_S
            due = self._parent.due if self._parent is not None else None
            if due is not None:
                patience = min(patience, max(0.0, due - now))
            self._read_ready(self._poller.ready(patience), now)
        now = time.perf_counter()
        if any(isinstance(command, ListDevices | SelectDevice) for command in self._commands):
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
            while (left := deadline - clock()) > 0.001:
                ready = self._poller.ready(int(left * 1000) / 1000)
                if ready:
                    now = clock()
                    self._read_ready(ready, now)
                    if self._commands and self._obey_early(now):
                        return
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
        twins = self._twins.inputs
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
                self._twins.widen(descriptor)  # it was cut off, perhaps, and is lost; the next one will not be
                continue
            handle(packet, peer, now)

    def _read_first(self, descriptor: int, now: float) -> None:
        """Read from a socket that hears everybody."""
        if descriptor not in self._inputs:
            if self._parent is not None and descriptor == self._parent.descriptor:
                self._hear_parent(self._parent)
            return  # or a twin that was closed in this very pass
        end, handle = self._inputs[descriptor]
        try:
            packet, source = end.recvfrom(MAX_DATAGRAM)
        except OSError:
            return  # nothing there after all, or (Windows) the far end's port was closed
        handle(packet, source, now)
        stream = self._talkers.get(descriptor)
        if stream is not None:
            self._twins.follow(end, stream, source)

    def _obey(self, now: float) -> None:
        commands = self._commands
        while commands:
            command = commands.popleft()
            if isinstance(command, OpenStream):
                self._open(command, now)
            elif isinstance(command, CloseStream):
                self.engine.execute(command, now)
                self._flush()
                self._release(command.stream)
            elif isinstance(command, ConfigureStream):
                self._configure(command, now)
            elif isinstance(command, GatherCandidates):
                self.engine.execute(command, now)
                if command.stream in self._ports:
                    self._listen(self.engine.streams[command.stream])
            else:
                self.engine.execute(command, now)

    def _configure(self, command: ConfigureStream, now: float) -> None:
        if error := _address_error(command):
            self._own.append(StreamFailed(command.stream, error))
            return
        # It may be that our own address has changed: the next packet finds a new twin its place.
        if command.stream in self._ports:
            self._twins.close(self._ports[command.stream])
        self.engine.execute(command, now)
        if command.stream in self._ports:
            self._listen(self.engine.streams[command.stream])  # its packets may go another way now

    def _open(self, command: OpenStream, now: float) -> None:
        if command.stream in self._ports:
            self._own.append(StreamFailed(command.stream, "already open"))
            return
        pair = self._pool.take(command.port)
        if pair is None:
            self._own.append(StreamFailed(command.stream, f"port {command.port} is not ready"))
            return
        self.engine.execute(command, now)
        stream = self.engine.streams[command.stream]
        self._ports[command.stream] = command.port
        for offset, end in enumerate(pair):
            self._sockets[command.port + offset] = end
            self._poller.add(end.fileno())
        self._listen(stream)
        self._talkers[pair[0].fileno()] = stream
        self._fill_pool()

    def _listen(self, stream: Stream) -> None:
        """Have what comes to the stream's ports go where it wants it now."""
        for port, handle in ((stream.port, stream.receive), (stream.port + 1, stream.receive_control)):
            end = self._sockets[port]
            self._inputs[end.fileno()] = (end, handle)

    def _release(self, stream: StreamId) -> None:
        port = self._ports.pop(stream, None)
        if port is None:
            return
        self._twins.close(port)
        self._talkers.pop(self._sockets[port].fileno(), None)
        for number in (port, port + 1):
            end = self._sockets.pop(number)
            self._poller.remove(end.fileno())
            del self._inputs[end.fileno()]
            self._failures.pop(number, None)
            end.close()
        self._fill_pool()

    def _fill_pool(self) -> None:
        new = self._pool.fill()
        if new:
            self._own.append(PortsReady(tuple(new)))

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
        """Send from the socket that is not connected."""
        try:
            self._sockets[port].sendto(packet, address)
        except BlockingIOError:
            pass  # the network card is behind; late audio is worth nothing
        except (OSError, OverflowError) as error:
            self._note_failure(port, error)

    def _note_failure(self, port: int, error: Exception) -> None:
        """A packet may fail now and then (no route for a moment); five seconds' worth are worth a report."""
        self._failures[port] = count = self._failures.get(port, 0) + 1
        broken = isinstance(error, OSError) and error.errno in (errno.EBADF, errno.ENOTSOCK)
        if count == SEND_FAILURES or (broken and count == 1):
            for stream, owned in self._ports.items():
                if owned == port:
                    self._own.append(StreamFailed(stream, f"cannot send: {error}"))

    def _close(self) -> None:
        self.engine.close(time.perf_counter())
        self._flush()
        self._twins.close_all()
        for end in self._sockets.values():
            end.close()
        self._sockets.clear()
        self._pool.close()
        self._poller.close()
        self._wake_in.close()
        self._wake_out.close()


def _ignore(packet: bytes, source: tuple[str, int], now: float) -> None:
    """The wake-up byte."""


def _address_error(command: ConfigureStream) -> str:
    """Say what is wrong with the far end's addresses: a name would make the loop wait for DNS."""
    for host, port in (command.config.remote, command.config.remote_rtcp):
        try:
            socket.inet_pton(socket.AF_INET, host)
        except OSError:
            return f"the far end's media address is not IPv4: {host}"
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
