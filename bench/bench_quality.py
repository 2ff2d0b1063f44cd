"""How well a stream is heard over a bad network: PESQ over loss and jitter, ours in virtual time, beside real peers.

Run: python bench/bench_quality.py [--codec PCMU] [--peers baresip] [--write FILE]. Ours is the same in each run. A peer gets
the very same packets at the very same times over loopback, in real time; what it plays is recorded. Needs the extra [quality]
and espeak-ng; for baresip baresip-core.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from quality_speech import score, speech

from offhook.media.codecs import Codec, codec
from offhook.media.codecs.kinds import kind_of, missing
from offhook.media.receiving import Receiver
from offhook.media.sources import SILENCE, frame_bytes
from offhook.testing.badnet import FAR, BadNetwork, listen, stream

LOSSES: Final = (0.0, 0.01, 0.03, 0.05, 0.10, 0.20)
BURSTS: Final = (1.0, 3.0)
JITTERS: Final = (0.0, 0.020, 0.040, 0.060, 0.100)
FEW_LOSSES: Final = (0.0, 0.05, 0.20)
FEW_JITTERS: Final = (0.0, 0.060)
AT_ONCE: Final = 10  # calls with a peer
DYNAMIC: Final = 96
BEHIND: Final = 0.05  # PESQ: less is within what two seeds differ


@dataclass(frozen=True)
class Cell:
    """One network."""

    loss: float
    burst: float
    jitter: float

    @property
    def network(self) -> BadNetwork:
        """Return it, with its seed."""
        return BadNetwork(self.loss, self.burst, self.jitter, seed=1 + round(1000 * self.loss + 10 * self.burst))

    @property
    def row(self) -> str:
        """Return what the line of the table is called."""
        kind = "" if not self.loss else " in bursts of 3" if self.burst > 1.0 else " at random"
        return f"{100 * self.loss:g} %{kind}"


def grid() -> Iterator[Cell]:
    """Yield all networks."""
    for loss in LOSSES:
        for burst in BURSTS if loss else (1.0,):
            for jitter in JITTERS:
                yield Cell(loss, burst, jitter)


class Stream:
    """Speech in one codec, as packets."""

    def __init__(self, name: str, loss: float) -> None:
        self.name = name
        form = kind_of(name)
        self.kind = form.payload_type if form.payload_type >= 0 else DYNAMIC
        used: Codec = codec(name, form.fmtp)
        self.rate = used.rate
        raw = speech(self.rate)[0].tobytes()
        size = frame_bytes(self.rate)
        if used.expect_loss is not None:
            used.encode(raw[:size])
            used.expect_loss(loss)  # as the far end's reports tell in the middle of a call
        payloads = [used.encode(raw[at : at + size]) for at in range(0, len(raw) - size + 1, size)]
        self.packets = stream(payloads, self.kind, used.clock_rate // 50)

    def ours(self, cell: Cell) -> tuple[float, float]:
        """Return PESQ and delay of what we play, sent on in the same codec as the peer's is."""
        receiver = Receiver(lambda *_: None, lambda: None, lambda *_: None, lambda *_: None)
        receiver.configure({self.kind: codec(self.name)}, None)
        receiver.expect(FAR, False)
        receiver.listen(True)
        silent = bytes(frame_bytes(self.rate))
        frames = listen(receiver, self.packets, cell.network.arrivals(len(self.packets)))
        again, back = codec(self.name), codec(self.name)
        heard = b"".join(back.decode(again.encode(silent if frame is SILENCE else frame)) for frame in frames)
        return score(heard, self.rate)


def peers(name: str, cells: list[Cell], who: str) -> dict[Cell, tuple[float, float]]:
    """Return PESQ and delay of what a peer plays."""
    import quality_peers

    hears = getattr(quality_peers, f"{who}_hears")
    found = {}
    for first in range(0, len(cells), AT_ONCE):
        some = cells[first : first + AT_ONCE]
        made = [Stream(name, cell.loss) for cell in some]
        sent = [(each.packets, cell.network.arrivals(len(each.packets))) for each, cell in zip(made, some, strict=True)]
        for cell, each, heard in zip(some, made, hears(name, made[0].kind, sent), strict=True):
            found[cell] = score(heard, each.rate)
            print(f"  {who} {name} {cell.row}, {1000 * cell.jitter:g} ms: {found[cell][0]:.2f}", file=sys.stderr, flush=True)
    return found


def table(name: str, ours: dict[Cell, tuple[float, float]], theirs: dict[str, dict[Cell, tuple[float, float]]]) -> str:
    """Return one codec's table in Markdown."""
    lines = [
        "| loss | " + " | ".join(f"{1000 * jitter:g} ms" for jitter in JITTERS) + " |",
        "|---" * (1 + len(JITTERS)) + "|",
    ]
    behind = []
    for row in dict.fromkeys(cell.row for cell in ours):
        fields = []
        for cell in (cell for cell in ours if cell.row == row):
            figures = [f"**{ours[cell][0]:.2f}**"]
            for who, found in theirs.items():
                if cell in found:
                    figures.append(f"{found[cell][0]:.2f}")
                    if found[cell][0] > ours[cell][0] + BEHIND:
                        behind.append(f"{row}, {1000 * cell.jitter:g} ms: {who} {found[cell][0]:.2f}, we {ours[cell][0]:.2f}")
            fields.append(" / ".join(figures))
        lines.append(f"| {row} | " + " | ".join(fields) + " |")
    all_of_them = (ours, *theirs.values())
    delays = " · ".join(
        f"{1000 * jitter:g} ms: " + " / ".join(f"{_delay(found, jitter):.0f}" for found in all_of_them) for jitter in JITTERS
    )
    who = " / ".join(["**offhook**", *theirs])
    lines += ["", f"{who}. Delay by jitter, ms: {delays}.", ""]
    if theirs:
        lines += [f"Behind by more than {BEHIND:g} in {len(behind)} of {len(ours)} cells" + (":" if behind else "."), ""]
        lines += [f"- {text}" for text in behind]
    return f"## {name}\n\n" + "\n".join(lines).rstrip() + "\n"


def _delay(found: dict[Cell, tuple[float, float]], jitter: float) -> float:
    values = [delay for cell, (_, delay) in found.items() if cell.jitter == jitter]
    return sum(values) / len(values) if values else float("nan")


def main() -> None:
    """Measure and print, or write, the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--codec", action="append", help="PCMU, G722, OPUS/16000; several times for several")
    parser.add_argument("--peers", action="append", choices=("baresip",), default=[])
    parser.add_argument("--write", type=Path)
    parser.add_argument("--few", action="store_true", help="a tenth of the grid")
    arguments = parser.parse_args()
    tables = []
    for name in arguments.codec or ["PCMU"]:
        if reason := missing(name):
            sys.exit(reason)
        cells = [cell for cell in grid() if not arguments.few or (cell.loss in FEW_LOSSES and cell.jitter in FEW_JITTERS)]
        ours = {cell: Stream(name, cell.loss).ours(cell) for cell in cells}
        theirs = {who: peers(name, cells, who) for who in arguments.peers}
        tables.append(table(name, ours, theirs))
        print(tables[-1], flush=True)
    if arguments.write:
        arguments.write.write_text(HEAD + "\n" + "\n".join(tables), "utf-8")


HEAD = """# Sound over bad networks

PESQ (ITU-T P.862, 1 to 4.5; for 16 kHz P.862.2) of four synthetic voices, by share of lost packets (at random, or in bursts
of three on average) and by jitter (each packet is late by a random part of it, so packets overtake each other). Made by
`bench/bench_quality.py`. offhook's figures are made in virtual time and the same in each run. A peer has got the very same
packets at the same times over loopback, in real time, and what it plays was recorded: as it comes, with its module for packet
loss. Its delay has the way back in it, at least a frame of 20 ms. Each sound has been through the codec twice, because a peer
sends what it plays back that way: a score of wide band at 0 % is the codec's.

What it rests on: packets wait as long as 99 % of the latest ones need; where some are lost, long enough for the next one to
be here, because then a gap is filled from both of its ends; and the delay is changed in pauses, by whole pitch periods.
"""


if __name__ == "__main__":
    main()
