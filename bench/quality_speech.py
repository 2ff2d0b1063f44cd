"""Speech to measure quality with: sentences by espeak-ng in several voices, and how alike something is to them (PESQ).

There are two materials. `FIRST` is the one that filling gaps was made with; `OTHER` was looked at only to report it: other
voices, languages, sentences, speeds and levels, half of them with noise behind.
"""

from __future__ import annotations

import functools
import importlib
import io
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from offhook.media import resample as filters
from offhook.media.resample import resample
from offhook.media.wav import read_header
from offhook.testing.peers import program

LEAD_S: Final = 3.0  # of quiet in front: a call does not begin with a sentence
GAP_S: Final = 0.6
QUIET_DBOV: Final = -68.0
SEARCH_S: Final = 0.45  # how late something may be heard
MOST_SHIFT_S: Final = 2.0  # by which a recording is brought to the line of time
LEAST_PESQ: Final = 1.0
NOISE_POLE: Final = 0.95  # the noise behind falls by 6 dB an octave above some 60 Hz, like that of traffic
_Array: TypeAlias = Any  # numpy comes with the extra [quality] and not with the types


@dataclass(frozen=True)
class Spoken:
    """What somebody says: espeak-ng's voice, words a minute, the level of speech (ITU-T P.56) and of the noise behind it."""

    voice: str
    text: str
    speed: int = 150
    level_dbov: float = -26.0
    noise_dbov: float = QUIET_DBOV
    coloured: bool = False


Material: TypeAlias = tuple[Spoken, ...]
FIRST: Final[Material] = (
    Spoken("en-us", "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background."),
    Spoken("en-gb+f3", "It is easy to tell the depth of a well. These days a chicken leg is a rare dish."),
    Spoken("en-us+m3", "Rice is often served in round bowls. The juice of lemons makes fine punch."),
    Spoken("en-gb+f4", "The box was thrown beside the parked truck. The hogs were fed chopped corn and garbage."),
)
OTHER: Final[Material] = (
    Spoken("de+m7", "Vier Wochen lang hat es jeden Tag geregnet. Danach war das Wasser im Keller.", 165, -30.0),
    Spoken("fr+f5", "Le train de midi part toujours en retard. Nous attendrons sur le quai.", 140, -22.0),
    Spoken(
        "en-gb-scotland+f2", "A large size in stockings is hard to sell. The boy was there when the sun rose.",
        180, -26.0, -46.0, True,
    ),
    Spoken("es+m5", "La salud del hombre depende del agua clara. Mañana vendrá mi hermano.", 160, -26.0, -50.0),
    Spoken("en-us+m1", "A rod is used to catch pink salmon. The source of the huge river is the clear spring.", 190, -34.0),
    Spoken("it+f1", "Il gatto dorme sopra la sedia vecchia. Domani andremo tutti al mare.", 145, -20.0, -40.0, True),
)  # fmt: skip
MATERIALS: Final = {"first": FIRST, "other": OTHER}


def library(name: str) -> Any:
    """Return a module of the extra, or end with what to install."""
    try:
        return importlib.import_module(name)
    except ImportError:
        sys.exit(f"{name} is missing: pip install 'offhook[quality]'")


# What peers heard is not measured again each time (`quality_peers.json`); what they were sent was made with this filter, which
# is wider now.
filters.PASSBAND = 0.92  # type: ignore[misc]


@functools.lru_cache
def sentences(rate: int, material: Material = FIRST) -> tuple[_Array, ...]:
    """Return each voice's sentences as 16-bit samples, at its level."""
    numpy = library("numpy")
    chance = numpy.random.default_rng(1)
    found = []
    for spoken in material:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "spoken.wav")
            how = ["-v", spoken.voice, "-s", str(spoken.speed), "-w", str(path)]
            subprocess.run([program("espeak-ng", "espeak-ng"), *how, spoken.text], check=True)
            file = path.read_bytes()
        kind = read_header(io.BytesIO(file), len(file))
        raw = file[kind.start : len(file) - (len(file) - kind.start) % 2]
        sound = numpy.frombuffer(resample(raw, kind.rate, rate), "<i2").astype(float)
        loud = numpy.sqrt(numpy.mean(sound[numpy.abs(sound) > 300] ** 2))
        quiet = numpy.zeros(int(GAP_S * rate))
        sound = numpy.concatenate((quiet, sound * 32768 * 10 ** (spoken.level_dbov / 20) / loud, quiet))
        sound += _noise(chance, len(sound), spoken)
        whole = len(sound) // (rate // 50) * (rate // 50)
        found.append(numpy.clip(numpy.rint(sound[:whole]), -32768, 32767).astype("<i2"))
    return tuple(found)


def _noise(chance: Any, count: int, spoken: Spoken) -> _Array:
    numpy = library("numpy")
    noise = chance.normal(0, 1.0, count)
    if spoken.coloured:
        shape = NOISE_POLE ** numpy.arange(200)
        noise = numpy.convolve(noise, shape)[:count] * numpy.sqrt(1.0 - NOISE_POLE**2)
    return noise * 32768 * 10 ** (spoken.noise_dbov / 20)


@functools.lru_cache
def speech(rate: int, material: Material = FIRST) -> tuple[_Array, tuple[int, ...]]:
    """Return what is sent in one call, and where each voice begins in it."""
    numpy = library("numpy")
    chance = numpy.random.default_rng(2)
    pieces = [numpy.rint(chance.normal(0, 32768 * 10 ** (QUIET_DBOV / 20), int(LEAD_S * rate))).astype("<i2")]
    starts = []
    for sentence in sentences(rate, material):
        starts.append(sum(map(len, pieces)))
        pieces.append(sentence)
    return numpy.concatenate(pieces), tuple(starts)


def _likeness(heard: _Array, said: _Array) -> _Array:
    """Return how alike they are by how much later it is heard, in samples; the far end of it is for earlier ones."""
    numpy = library("numpy")
    size = 1 << (len(heard) + len(said)).bit_length()
    first, second = (numpy.fft.rfft(each.astype(float), size) for each in (heard, said))
    return numpy.fft.irfft(first * numpy.conj(second), size)


def placed(heard: bytes, rate: int, material: Material = FIRST) -> bytes:
    """Return a recording of which nobody knows when it began, so that it is as late as half of SEARCH_S."""
    numpy = library("numpy")
    played, most = numpy.frombuffer(heard, "<i2"), int(MOST_SHIFT_S * rate)
    alike = _likeness(played, speech(rate, material)[0])
    late = int(numpy.argmax(numpy.concatenate((alike[-most:], alike[:most])))) - most
    lead = int(SEARCH_S * rate / 2) - late
    return bytes(2 * lead) + heard if lead >= 0 else heard[-2 * lead :]


def score(heard: bytes, rate: int, material: Material = FIRST) -> tuple[float, float]:
    """Return the mean PESQ of all voices (narrow band at 8 kHz, else wide) and the mean delay of what is heard, in ms."""
    numpy, pesq = library("numpy"), library("pesq")
    _, starts = speech(rate, material)
    played = numpy.frombuffer(heard, "<i2")
    scores, delays = [], []
    for start, sentence in zip(starts, sentences(rate, material), strict=True):
        part = played[start : start + len(sentence) + int(SEARCH_S * rate)]
        part = numpy.concatenate((part, numpy.zeros(max(0, len(sentence) + int(SEARCH_S * rate) - len(part)), "<i2")))
        delay = int(numpy.argmax(_likeness(part, sentence)[: int(SEARCH_S * rate)]))
        delays.append(1000 * delay / rate)
        part = part[delay : delay + len(sentence)]
        try:
            scores.append(float(pesq.pesq(rate, sentence, part, "nb" if rate == 8000 else "wb")) if part.any() else LEAST_PESQ)
        except pesq.NoUtterancesError:
            scores.append(LEAST_PESQ)
    return sum(scores) / len(scores), sum(delays) / len(delays)
