"""The list of lines one can call on the practice exchange, and what each does. Data only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Act: TypeAlias = Literal["echo", "music", "tone", "keypad", "callback", "recorder", "conference"]

CONTACT_PREFIX: Final = "line-"
"""How the user part of a line's Contact begins."""

PATIENCE: Final = 60.0
"""Seconds until a line that is never answered gives up with 480."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line. `refuse` is the SIP status of a line that never takes the call, `ring` the seconds of 180 before the answer."""

    name: str
    about: str
    act: Act = "tone"
    frequencies: tuple[float, ...] = (440.0,)
    refuse: int = 0
    ring: float = 0.0


LINES: Final[dict[str, Line]] = {line.name: line for line in (
    Line("echo", "sends back what you say", "echo"),
    Line("music", "plays a melody again and again", "music"),
    Line("tone", "plays 440 Hz; tone-NNN any frequency from 100 to 3400"),
    Line("keypad", "plays back the digits you press", "keypad"),
    Line("recorder", "beeps, then records until you hang up", "recorder"),
    Line("conference", "joins all its callers", "conference"),
    Line("callback", "answers, hangs up and calls you back", "callback"),
    Line("ring", "rings for 3 seconds, then plays a tone; ring-N rings for N seconds", ring=3.0),
    Line("noanswer", "rings until you give up, or for a minute", refuse=480, ring=PATIENCE),
    Line("busy", "is busy (486)", refuse=486),
    Line("decline", "declines (603)", refuse=603),
    Line("forbidden", "forbids the call (403)", refuse=403),
    Line("redirect", "redirects to echo (302)", refuse=302),
)}

_TONE: Final = re.compile(r"tone-([1-9][0-9]{2,3})")
_RING: Final = re.compile(r"ring-([0-9]{1,2})")


def find_line(user: str) -> Line | None:
    """Return the line with this name (or with this user part of a Contact), None if there is none."""
    name = user.removeprefix(CONTACT_PREFIX)
    if name in LINES:
        return LINES[name]
    tone, ring = _TONE.fullmatch(name), _RING.fullmatch(name)
    if tone is not None and 100 <= int(tone[1]) <= 3400:
        return Line(name, f"plays {tone[1]} Hz", frequencies=(float(tone[1]),))
    if ring is not None:
        return Line(name, f"rings for {ring[1]} seconds, then plays a tone", ring=float(ring[1]))
    return None
