"""How busy the running phone is: whether sound is in time, and for how many more calls there is room."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

from offhook.cli.doctor.case import Case
from offhook.cli.doctor.finding import Finding
from offhook.phone.workers import LATE_MOST, LATE_STREAMS, MARGIN_MOST

MEASURED_STREAMS: Final = 20
"""From so many calls on what one costs is measured; with fewer, most of it is what the worker costs by itself."""
LITTLE_ROOM: Final = 0.1
"""Share of the calls there could be: with less room than this the limit is near."""
SLOW_LOOP_MS: Final = 50.0
"""Commands and events that wait so long are noticed."""
TICKS_TO_JUDGE: Final = 500
"""Ticks (some seconds of a call) until their lateness says anything."""


def look_at_load(case: Case) -> Iterator[Finding]:
    """Say how the media workers fare; nothing where no phone runs, or one too old to tell."""
    load = case.fact("load", None)
    if not isinstance(load, Mapping) or not load.get("workers"):
        return
    workers: list[Mapping[str, Any]] = list(load["workers"])
    yield _capacity(case, workers)
    yield from _punctuality(workers)
    lag = float(load.get("lag_ms", 0.0))
    if lag >= SLOW_LOOP_MS:
        most = float(load["lag_most_ms"])
        text = f"commands and events wait {lag:.0f} ms for the phone's own process (the longest so far: {most:.0f} ms)"
        advice = "let fewer programs ask for all events, or look what else uses this machine"
        yield Finding("capacity, commands", "warning", text, advice)


# --- room ----------------------------------------------------------------------------------------------------------


def _capacity(case: Case, workers: list[Mapping[str, Any]]) -> Finding:
    calls = sum(int(worker["calls"]) for worker in workers)
    limit, stated = float(case.config.phone.max_load), int(case.fact("max_calls", case.config.phone.max_calls))
    used = ", ".join(f"{100 * float(worker['cpu']):.0f} %" for worker in workers)
    text = f"{_count(calls, 'call')}; the media uses {used} of a core{' each' if len(workers) > 1 else ''}"
    if not limit:
        text += ", without a limit (phone.max_load = 0)"
    left = _left(calls, workers, limit, stated)
    if stated:
        text += f"; phone.max_calls is {stated}"
    if left is None:
        return Finding("capacity", "warning", text, "set phone.max_load = 0.85: running calls are worth more than further ones")
    if left <= 0:
        return Finding("capacity", "wrong", f"{text}: new calls are refused", _more(case, workers, calls >= stated > 0))
    about = "about " if not stated or left < stated - calls else ""
    text += f": room for {about}{_count(left, 'more call', 'more calls')}"
    if left < LITTLE_ROOM * (calls + left):
        return Finding("capacity", "warning", text, _more(case, workers, bool(stated) and left == stated - calls))
    return Finding("capacity", "ok", text)


def _left(calls: int, workers: list[Mapping[str, Any]], limit: float, stated: int) -> int | None:
    """Return for how many more calls there is room, None where nothing bounds them."""
    bounds = []
    if stated:
        bounds.append(stated - calls)
    if limit:
        bounds.append(sum(_room(worker, limit) for worker in workers))
    return max(0, min(bounds)) if bounds else None


def _room(worker: Mapping[str, Any], limit: float) -> int:
    """Return for how many more calls a worker has room, as far as its processor time tells."""
    if worker["full"]:
        return 0
    streams, cpu = int(worker["streams"]), float(worker["cpu"])
    each = cpu / streams if streams >= MEASURED_STREAMS and cpu else MARGIN_MOST
    return max(0, int((limit - cpu) / each + 1e-6))


def _more(case: Case, workers: list[Mapping[str, Any]], by_number: bool) -> str:
    if by_number:
        return "raise phone.max_calls, or let callers go elsewhere"
    cores = os.cpu_count() or 1
    if len(workers) < cores:
        sound = "" if case.config.media.sound == "null" else ', sound = "null"'
        return f"this machine has {cores} cores: set media.workers = {len(workers) + 1}{sound} (docs/capacity.md)"
    return "all cores of this machine are in use: share the calls with another machine"


# --- punctuality ---------------------------------------------------------------------------------------------------


def _punctuality(workers: list[Mapping[str, Any]]) -> Iterator[Finding]:
    judged = [worker for worker in workers if int(worker["ticks"]) >= TICKS_TO_JUDGE]
    late = [worker for worker in judged if _share(worker) > LATE_MOST]
    if judged and not late:
        share = max(map(_share, judged))
        yield Finding("capacity, sound", "ok", f"in time: {100 * share:.1f} % of the media's ticks came more than 10 ms late")
    for worker in late:
        text = f"{100 * _share(worker):.1f} % of media worker {worker['worker']}'s ticks came more than 10 ms late"
        if worker["latest_ms"] and worker["streams"]:
            text += f", the latest of the last second by {float(worker['latest_ms']):.0f} ms"
        few = int(worker["streams"]) < LATE_STREAMS
        advice = "take fewer calls: phone.max_calls"
        if few:
            advice = "something else keeps this machine busy: see what takes its time"
        yield Finding("capacity, sound", "warning", f"{text}: callers hear gaps", advice)


def _share(worker: Mapping[str, Any]) -> float:
    """Return which share of its ticks is late: of the last second while it has calls, else of all."""
    total = int(worker["late_ticks"]) / max(1, int(worker["ticks"]))
    return max(float(worker["late"]), total) if worker["streams"] else total


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
