"""Media spread over several worker processes: each call's sound is in one of them, where the phone has placed it."""

from __future__ import annotations

from typing import Literal

from offhook.io.media_host import AudioCallback, MediaHost, ReportCallback
from offhook.io.media_wire import MediaOptions
from offhook.media.messages import (
    CloseStream,
    ListDevices,
    MediaCommand,
    PlaceStream,
    PlayLocalTone,
    SelectDevice,
    SetBridge,
    SetLevels,
    StreamId,
)
from offhook.media.messages.card import MeterLevels, TestMicrophone, VoiceProcessing


class MediaWorkers:
    """Several media hosts, spoken to as one.

    What is said about a stream goes to the worker that `PlaceStream` has named; a conference is where its members are (the
    phone sees to it that they are together); the sound card, its devices and tones are with worker 0. Reports come from all,
    each worker's own in their order.
    """

    def __init__(self, count: int, options: MediaOptions, on_reports: ReportCallback) -> None:
        self.hosts = [
            MediaHost(mode="process", options=options.share(worker, count), on_reports=on_reports) for worker in range(count)
        ]
        self._placed: dict[StreamId, int] = {}  # those that are not in worker 0
        self._bridges: dict[str, int] = {}

    def set_audio_callback(self, callback: AudioCallback) -> None:
        """Hand the frames of audio links to this."""
        for host in self.hosts:
            host.set_audio_callback(callback)

    def start(self) -> None:
        """Start all of them."""
        for host in self.hosts:
            host.start()

    def send(self, *commands: MediaCommand) -> None:
        """Give each worker its part."""
        shares: dict[int, list[MediaCommand]] = {}
        for command in commands:
            worker = self._worker_of(command)
            if worker is not None:
                shares.setdefault(worker, []).append(command)
        for worker, share in shares.items():
            self.hosts[worker].send(*share)

    def close(self) -> None:
        """Close all of them; the last reports have come when this returns."""
        for host in self.hosts:
            host.tell_to_end()
        for host in self.hosts:
            host.close()

    def _worker_of(self, command: MediaCommand) -> int | None:
        match command:
            case PlaceStream():
                self._placed[command.stream] = command.worker
                return None
            case CloseStream():
                return self._placed.pop(command.stream, 0)
            case SetBridge():
                return self._bridge(command)
            case (
                SetLevels() | SelectDevice() | PlayLocalTone() | ListDevices()
                | VoiceProcessing() | MeterLevels() | TestMicrophone()
            ):
                return 0
            case _:
                return self._placed.get(command.stream, 0)

    def _bridge(self, command: SetBridge) -> int:
        if not command.streams:
            return self._bridges.pop(command.bridge, 0)
        worker = self._bridges[command.bridge] = self._placed.get(command.streams[0], 0)
        return worker


def media_host(
    workers: int, mode: Literal["thread", "process"], options: MediaOptions, on_reports: ReportCallback
) -> MediaHost | MediaWorkers:
    """Return what runs the phone's media."""
    if workers > 1:
        return MediaWorkers(workers, options, on_reports)
    return MediaHost(mode=mode, options=options, on_reports=on_reports)
