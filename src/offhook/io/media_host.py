"""Runs the media engine for a phone: in a thread of this process or in a worker process, and again when it dies."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal

import offhook
from offhook.errors import reason_of
from offhook.io.media_watch import Watchdog
from offhook.io.media_wire import Emit, MediaOptions, read_message, write_message
from offhook.media.messages import (
    AudioFrames,
    AudioId,
    CloseAudio,
    CloseStream,
    EngineAlive,
    EngineTrouble,
    MediaCommand,
    MediaReport,
    OpenAudio,
    OpenStream,
    SelectDevice,
    SetLevels,
    StreamClosed,
    StreamFailed,
    StreamId,
)
from offhook.media.messages.card import VoiceProcessing

if TYPE_CHECKING:
    from offhook.io.media_loop import MediaLoop

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 10.0
STEADY_S: Final = 30.0  # a worker that lived so long may be started again at once
GRACE_S: Final = 3.0  # how long closing waits before it kills

ReportCallback = Callable[[list[MediaReport]], object]
AudioCallback = Callable[[AudioFrames], object]


class MediaHost:
    """The media engine at arm's length.

    `send` does not wait, except for a worker that hangs, until the watchdog has ended it. Reports come to the callback in
    lists, on a thread of the host (an asyncio user passes `lambda reports: loop.call_soon_threadsafe(take, reports)`), or
    collect for `drain` while there is no callback. PortsReady names only ports that are new. When the engine dies or its worker
    hangs, it is started again: EngineTrouble (late_ms 0) comes first, StreamFailed for every stream that was open, then
    PortsReady; ports named before are gone.
    """

    def __init__(
        self, *, mode: Literal["thread", "process"] = "thread", options: MediaOptions | None = None,
        on_reports: ReportCallback | None = None,
    ) -> None:  # fmt: skip
        self._mode = mode
        self._options = options if options is not None else MediaOptions()
        self._on_reports = on_reports
        self._on_audio: AudioCallback | None = None
        self._waiting: deque[MediaReport] = deque()
        self._lock = threading.RLock()
        self._arrived = threading.Condition(threading.Lock())
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: MediaLoop | None = None
        self._worker: subprocess.Popen[bytes] | None = None
        self._unsent: list[MediaCommand] = []  # while no engine is up
        self._open: set[StreamId] = set()
        self._links: dict[AudioId, StreamId] = {}  # they may be open before their stream is
        self._name = f"media worker {self._options.worker}" if self._options.workers > 1 else "the media worker"
        self._settings: dict[str, MediaCommand] = {}

    def set_report_callback(self, callback: ReportCallback) -> None:
        """Hand all reports to this from now on, those that wait already first."""
        with self._arrived:
            self._on_reports = callback
            waiting = list(self._waiting)
            self._waiting.clear()
        if waiting:
            callback(waiting)

    def set_audio_callback(self, callback: AudioCallback) -> None:
        """Hand the frames of audio links to this, as soon as they come and not among the reports; it must not wait."""
        self._on_audio = callback

    def drain(self, timeout_s: float = 0.0) -> list[MediaReport]:
        """Return the reports since the last call; wait at most so long for the first one."""
        with self._arrived:
            if not self._waiting and timeout_s > 0:
                self._arrived.wait(timeout_s)
            reports = list(self._waiting)
            self._waiting.clear()
        return reports

    def start(self) -> None:
        """Start the engine; PortsReady is its first report."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._supervise, name="offhook-media", daemon=True)
            self._thread.start()

    def send(self, *commands: MediaCommand) -> None:
        """Give the engine commands. After `close` they are dropped."""
        with self._lock:
            for command in commands:
                self._remember(command)
            if self._loop is not None:
                for command in commands:
                    self._loop.send(command)
            elif self._worker is not None and self._worker.stdin is not None:
                # A broken pipe is a dead worker; the supervisor sees that too and reports it.
                with contextlib.suppress(OSError, ValueError):
                    write_message(self._worker.stdin, commands)
            elif not self._closing.is_set():
                self._unsent += commands

    def tell_to_end(self) -> None:
        """Begin what `close` waits for."""
        self._closing.set()
        with self._lock:
            if self._loop is not None:
                self._loop.stop()
            if self._worker is not None and self._worker.stdin is not None:
                with contextlib.suppress(OSError, ValueError):
                    write_message(self._worker.stdin, None)

    def close(self) -> None:
        """Close all streams and the engine; the last reports have come when this returns. Harmless when repeated."""
        self.tell_to_end()
        if self._thread is None or self._thread is threading.current_thread():
            return
        self._thread.join(GRACE_S)
        if self._thread.is_alive() and self._worker is not None:
            self._worker.kill()
            self._thread.join(GRACE_S)

    def _remember(self, command: MediaCommand) -> None:
        """Keep what a new engine must know, and what it cannot continue."""
        if isinstance(command, OpenStream):
            self._open.add(command.stream)
        elif isinstance(command, CloseStream):
            self._open.discard(command.stream)
            if self._links:
                self._links = {link: stream for link, stream in self._links.items() if stream != command.stream}
        elif isinstance(command, OpenAudio):
            self._links[command.audio] = command.stream
        elif isinstance(command, CloseAudio):
            self._links.pop(command.audio, None)
        elif isinstance(command, SetLevels):
            self._settings["levels"] = command
        elif isinstance(command, SelectDevice):
            self._settings[command.kind] = command
        elif isinstance(command, VoiceProcessing):
            self._settings["voice"] = command

    def _deliver(self, reports: list[MediaReport]) -> None:
        reports = [report for report in reports if not isinstance(report, EngineAlive)]
        if not reports:
            return
        on_audio = self._on_audio
        if on_audio is not None:
            for report in reports:
                if isinstance(report, AudioFrames):
                    on_audio(report)
            reports = [report for report in reports if not isinstance(report, AudioFrames)]
            if not reports:
                return
        for report in reports:
            if isinstance(report, StreamClosed):
                self._open.discard(report.stream)
        with self._arrived:
            callback = self._on_reports
            if callback is None:
                self._waiting.extend(reports)
                self._arrived.notify_all()
        if callback is not None:
            # A loop that is closed already takes no reports; nothing here can mend that.
            with contextlib.suppress(RuntimeError):
                callback(reports)

    # --- the supervisor --------------------------------------------------------------------------------------------

    def _supervise(self) -> None:
        """Run engines one after the other until closed."""
        pause = FIRST_PAUSE_S
        run = self._run_loop if self._mode == "thread" else self._run_worker
        while not self._closing.is_set():
            began = time.monotonic()
            reason = run()
            if self._closing.is_set():
                return
            pause = FIRST_PAUSE_S if time.monotonic() - began > STEADY_S else min(LONGEST_PAUSE_S, 2 * pause)
            self._mourn(reason)
            self._closing.wait(pause)

    def _mourn(self, reason: str) -> None:
        with self._lock:
            failed, lost = sorted(self._open), tuple(sorted(self._open.union(self._links.values())))
            self._open.clear()
            self._links.clear()
            self._unsent = list(self._settings.values())
        trouble = EngineTrouble(reason, worker=self._options.worker, streams=lost)
        self._deliver([trouble, *(StreamFailed(stream, reason) for stream in failed)])

    def _run_loop(self) -> str:
        """Run the engine on this very thread; return why it died."""
        # Here, not above: a phone whose media runs in a worker process never needs the engine itself.
        from offhook.io.media_loop import MediaLoop
        from offhook.io.media_studio import LocalStudio

        emit: Emit = lambda reports: self._deliver(list(reports))  # noqa: E731 - typed in place
        try:
            options = self._options
            loop = MediaLoop(options, LocalStudio(options.sound, options.host, voice=options.voice), emit)
            with self._lock:
                self._loop = loop
                for command in self._unsent:
                    loop.send(command)
                self._unsent = []
                if self._closing.is_set():
                    loop.stop()
            loop.run()
        except Exception as error:
            # The outermost loop: whatever it is, calls must be possible again. The trace goes where a person may see it.
            traceback.print_exc(file=sys.stderr)
            return f"the media engine failed: {error!r}"
        finally:
            with self._lock:
                self._loop = None
        return "the media engine stopped"

    def _run_worker(self) -> str:
        """Start a worker and read its reports until it ends; return why it did."""
        try:
            worker = self._spawn()
        except OSError as error:
            return f"{self._name} cannot be started: {error}"
        watchdog = Watchdog(worker, self._name)
        with worker:
            try:
                watchdog.start()
            except RuntimeError as error:  # no thread is to be had; a worker that nobody watches could hang for ever
                with self._lock:
                    self._worker = None
                worker.kill()
                return f"{self._name} cannot be started: {reason_of(error)}"
            self._read_reports(worker, watchdog)
            watchdog.stop()
            with self._lock:
                self._worker = None
            with contextlib.suppress(OSError):
                if worker.stdin is not None:
                    worker.stdin.close()
            try:
                code = worker.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                worker.kill()
                code = worker.wait()
        if watchdog.barked:
            return f"{self._name} did not answer any more and was ended"
        return f"{self._name} ended with exit code {code}"

    def _spawn(self) -> subprocess.Popen[bytes]:
        environment = dict(os.environ)
        home = os.path.dirname(os.path.dirname(os.path.abspath(offhook.__file__)))
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (home, environment.get("PYTHONPATH"))))
        command = [sys.executable, "-m", "offhook.io.media_worker"]
        flags = 0
        if sys.platform == "win32":
            flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        # A session of its own: the terminal's interrupt goes to the phone, which then closes the worker.
        worker = subprocess.Popen(  # noqa: S603 - our own module
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, creationflags=flags,
            start_new_session=sys.platform != "win32",
        )  # fmt: skip
        with self._lock:
            self._worker = worker
            unsent, self._unsent = self._unsent, []
            last: list[object] = [None] if self._closing.is_set() else []
            if worker.stdin is not None:
                with contextlib.suppress(OSError):
                    for message in [self._options, unsent, *last]:
                        write_message(worker.stdin, message)
        return worker

    def _read_reports(self, worker: subprocess.Popen[bytes], watchdog: Watchdog) -> None:
        if worker.stdout is None:
            return
        with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
            while True:
                reports = read_message(worker.stdout)
                watchdog.heard()
                if isinstance(reports, list):
                    self._deliver(reports)
