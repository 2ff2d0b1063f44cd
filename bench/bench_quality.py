"""How well a stream is heard over a bad network: PESQ over loss and jitter, ours in virtual time, beside real peers.

Run: python bench/bench_quality.py [--codec PCMU] [--peers baresip] [--write FILE]; what docs/bad-networks.md is made with:

    python bench/bench_quality.py --all --write docs/bad-networks.md [--again]

Ours is the same in each run. A peer gets the very same packets at the very same times over loopback, in real time; what it
plays is recorded. What peers had is kept in bench/quality_peers.json and measured once more with --again, which takes more
than an hour; of two runs the better one counts. Needs the extras [quality] and [codecs], and espeak-ng; for the peers
baresip-core and linphone-cli.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from quality_speech import MATERIALS, placed, score, speech

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
AT_ONCE: Final = 11  # calls with a peer
DYNAMIC: Final = 96
BEHIND: Final = 0.05  # PESQ: less is within what two seeds differ
ALL_CODECS: Final = ("PCMU", "PCMA", "G722", "OPUS/16000", "L16/8000", "L16/16000", "AMR/OCTETS")
ALL_PEERS: Final = ("baresip", "linphone")
TELLS_NO_DELAY: Final = ("linphone",)
LACKS: Final = {"linphone": ("AMR/OCTETS",)}
KEPT: Final = Path(__file__).with_name("quality_peers.json")
Heard: TypeAlias = tuple[float, float]  # PESQ and delay in ms


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

    def __init__(self, name: str, loss: float, material: str = "first") -> None:
        self.name, self.material = name, MATERIALS[material]
        form = kind_of(name)
        self.kind = form.payload_type if form.payload_type >= 0 else DYNAMIC
        used: Codec = codec(name, form.fmtp)
        self.rate = used.rate
        raw = speech(self.rate, self.material)[0].tobytes()
        size = frame_bytes(self.rate)
        if used.expect_loss is not None:
            used.encode(raw[:size])
            used.expect_loss(loss)  # as the far end's reports tell in the middle of a call
        payloads = [used.encode(raw[at : at + size]) for at in range(0, len(raw) - size + 1, size)]
        self.packets = stream(payloads, self.kind, used.clock_rate // 50)

    def ours(self, cell: Cell) -> Heard:
        """Return what it is worth as we play it."""
        receiver = Receiver(lambda *_: None, lambda: None, lambda *_: None, lambda *_: None)
        receiver.configure({self.kind: codec(self.name)}, {})
        receiver.expect(FAR, False, 0.0)
        receiver.listen(True)
        silent = bytes(frame_bytes(self.rate))
        frames = listen(receiver, self.packets, cell.network.arrivals(len(self.packets)))
        return self.worth(b"".join(silent if frame is SILENCE else frame for frame in frames))

    def worth(self, heard: bytes, *, begins: bool = True) -> Heard:
        """Return PESQ and delay of what is heard; `begins`: from when the first packet was sent."""
        return score(heard if begins else placed(heard, self.rate, self.material), self.rate, self.material)


class Peers:
    """What peers have heard, measured once."""

    def __init__(self, path: Path, again: bool) -> None:
        self._path = path
        self._again = again
        self._kept: dict[str, list[float]] = json.loads(path.read_text("utf-8")) if path.exists() else {}
        self.made = time.strftime("%Y-%m-%d")

    def heard(self, who: str, name: str, cells: list[Cell], material: str) -> dict[Cell, Heard]:
        """Return what one of them has heard in these networks."""
        keys = {cell: f"{who} {name} {material} {cell.row} {1000 * cell.jitter:g} ms" for cell in cells}
        left = [cell for cell in cells if self._again or keys[cell] not in self._kept]
        for first in range(0, len(left), AT_ONCE):
            for cell, (pesq, delay) in self._measured(who, name, left[first : first + AT_ONCE], material).items():
                self._kept[keys[cell]] = max(self._kept.get(keys[cell], []), [round(pesq, 3), round(delay)])
                print(f"  {keys[cell]}: {pesq:.2f}", file=sys.stderr, flush=True)
            self._path.write_text(json.dumps(self._kept, indent=0, sort_keys=True) + "\n", "utf-8")
        return {cell: (self._kept[keys[cell]][0], self._kept[keys[cell]][1]) for cell in cells}

    def _measured(self, who: str, name: str, cells: list[Cell], material: str) -> dict[Cell, Heard]:
        import quality_peers

        hears = getattr(quality_peers, f"{who}_hears")
        made = [Stream(name, cell.loss, material) for cell in cells]
        sent = [(each.packets, cell.network.arrivals(len(each.packets))) for each, cell in zip(made, cells, strict=True)]
        heard = hears(name, made[0].kind, sent)
        begins = who not in TELLS_NO_DELAY
        return {cell: each.worth(sound, begins=begins) for cell, each, sound in zip(cells, made, heard, strict=True)}


def table(ours: dict[Cell, Heard], theirs: dict[str, dict[Cell, Heard]]) -> str:
    """Return the table of one codec in Markdown."""
    jitters = list(dict.fromkeys(cell.jitter for cell in ours))
    lines = [
        "| loss | " + " | ".join(f"{1000 * jitter:g} ms" for jitter in jitters) + " |",
        "|---" * (1 + len(jitters)) + "|",
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
    timed = {"**offhook**": ours, **{who: found for who, found in theirs.items() if who not in TELLS_NO_DELAY}}
    delays = " · ".join(
        f"{1000 * jitter:g} ms: " + " / ".join(f"{_delay(found, jitter):.0f}" for found in timed.values()) for jitter in jitters
    )
    lines += ["", f"{' / '.join(['**offhook**', *theirs])}. Delay by jitter, ms, of {' / '.join(timed)}: {delays}.", ""]
    if theirs:
        lines += [f"Behind by more than {BEHIND:g} in {len(behind)} of {len(ours)} cells" + (":" if behind else "."), ""]
        lines += [f"- {text}" for text in behind]
    return "\n".join(lines).rstrip() + "\n"


def _delay(found: dict[Cell, Heard], jitter: float) -> float:
    values = [delay for cell, (_, delay) in found.items() if cell.jitter == jitter]
    return sum(values) / len(values) if values else float("nan")


def is_few(cell: Cell) -> bool:
    """Say whether a network is of those that are enough for a look."""
    return cell.loss in FEW_LOSSES and cell.jitter in FEW_JITTERS


def main() -> None:
    """Measure and print, or write, the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--codec", action="append", help="PCMU, G722, OPUS/16000; several times for several")
    parser.add_argument("--peers", action="append", choices=ALL_PEERS, default=[])
    parser.add_argument("--material", action="append", choices=MATERIALS, help="what is said; the first without this")
    parser.add_argument("--all", action="store_true", help="all codecs and peers, and the other material in few networks")
    parser.add_argument("--few", action="store_true", help="a tenth of the grid")
    parser.add_argument("--again", action="store_true", help="measure peers once more; their better run counts")
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    peers = Peers(KEPT, arguments.again)
    who = list(ALL_PEERS) if arguments.all else arguments.peers
    parts = []
    for material in MATERIALS if arguments.all else arguments.material or ["first"]:
        parts.append(f"## {TITLES[material]}\n")
        for name in ALL_CODECS if arguments.all else arguments.codec or ["PCMU"]:
            if reason := missing(name):
                sys.exit(reason)
            few = arguments.few or (arguments.all and material != "first")
            cells = [cell for cell in grid() if not few or is_few(cell)]
            ours = {cell: Stream(name, cell.loss, material).ours(cell) for cell in cells}
            theirs = {each: peers.heard(each, name, cells, material) for each in who if name not in LACKS.get(each, ())}
            parts.append(f"### {name}\n\n{table(ours, theirs)}")
            print(parts[-1], flush=True)
    if arguments.write:
        arguments.write.write_text(HEAD + "\n" + "\n".join(parts), "utf-8")


TITLES: Final = {
    "first": "The voices it was made with",
    "other": "Other voices, languages, levels, and noise",
}
HEAD = """# Sound over bad networks

PESQ (ITU-T P.862, 1 to 4.5; for 16 kHz P.862.2) of synthetic voices as the user hears them, by share of lost packets (at
random, or in bursts of three on average) and by jitter (each packet is late by a random part of it, so packets overtake each
other). Made by `python bench/bench_quality.py --all --write docs/bad-networks.md`; with `--few`, a tenth of it.

offhook's figures are made in virtual time and the same in each run. A peer has got the very same packets at the same times
over loopback, in real time. baresip (with its module for packet loss) plays into what it sends back, which is uncompressed:
its delay has the way back in it, at least a frame of 20 ms. linphone writes a file in place of playing, of which nobody knows
when it began: there is no delay of it. What peers had stands in `bench/quality_peers.json`, for all networks.

Peers were measured on 2026-11-27 on two cores that had little else to do; in PCMU, PCMA, G.722 and Opus on the day before too,
of which the better run counts. What a run of theirs had to wait for cost them what it cannot cost us in virtual time: a lead of
less than 0.1 over a peer proves nothing. Debian's linphone has no AMR.

What it rests on: packets wait as long as 99 % of the latest ones need; where some are lost, long enough for the next one to
be here, because then a gap is filled from both of its ends; where several in a row are lost, 40 ms longer, because then gaps
of up to three frames are; and the delay is changed in pauses, by whole pitch periods. G.722 is decoded after a gap as if what
was heard in it had been sent. Opus packets carry a copy of the one before from 1 % of loss on.

Where we are not ahead: without loss all play what was sent, and the figure is the codec's. linphone is level with us in Opus
in most networks: both use the copies in the packets. It is ahead of us in 7 of 455 cells. In Opus at 1 % in bursts (by 0.07
and 0.11), as far as we can tell because bursts are so rare there that we do not keep waiting for the packets with the copies.
In Opus at 10 and 20 % and 100 ms (by 0.06): some copies come later than we wait. At 3 % in bursts and 100 ms in G.722 (by
0.26) and L16 (by 0.05 and 0.06): the neighbouring networks do not show it, it is which packets were late. In G.722 the
decoder needs 30 ms after each gap to be in step again, whatever it is told: it falls further behind PCMU with each loss.
"""


if __name__ == "__main__":
    main()
