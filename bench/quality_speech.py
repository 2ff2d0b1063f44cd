"""Speech to measure quality with: sentences by espeak-ng in four voices, and how alike something is to them (PESQ)."""

from __future__ import annotations

import functools
import importlib
import io
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, TypeAlias

from offhook.media.resample import resample
from offhook.media.wav import read_header
from offhook.testing.peers import program

SPOKEN = (
    ("en-us", "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background."),
    ("en-gb+f3", "It is easy to tell the depth of a well. These days a chicken leg is a rare dish."),
    ("en-us+m3", "Rice is often served in round bowls. The juice of lemons makes fine punch."),
    ("en-gb+f4", "The box was thrown beside the parked truck. The hogs were fed chopped corn and garbage."),
)
LEAD_S = 3.0  # of quiet in front: a call does not begin with a sentence
GAP_S = 0.6
LEVEL_DBOV = -26.0  # ITU-T P.56
NOISE_DBOV = -68.0
SEARCH_S = 0.45  # how late something may be heard
_Array: TypeAlias = Any  # numpy comes with the extra [quality] and not with the types


def library(name: str) -> Any:
    """Return a module of the extra, or end with what to install."""
    try:
        return importlib.import_module(name)
    except ImportError:
        sys.exit(f"{name} is missing: pip install 'offhook[quality]'")


@functools.lru_cache
def sentences(rate: int) -> tuple[_Array, ...]:
    """Return each voice's sentences as 16-bit samples, at equal loudness."""
    numpy = library("numpy")
    chance = numpy.random.default_rng(1)
    found = []
    for voice, text in SPOKEN:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "spoken.wav")
            subprocess.run([program("espeak-ng", "espeak-ng"), "-v", voice, "-s", "150", "-w", str(path), text], check=True)
            file = path.read_bytes()
        kind = read_header(io.BytesIO(file), len(file))
        raw = file[kind.start : len(file) - (len(file) - kind.start) % 2]
        sound = numpy.frombuffer(resample(raw, kind.rate, rate), "<i2").astype(float)
        loud = numpy.sqrt(numpy.mean(sound[numpy.abs(sound) > 300] ** 2))
        quiet = numpy.zeros(int(GAP_S * rate))
        sound = numpy.concatenate((quiet, sound * 32768 * 10 ** (LEVEL_DBOV / 20) / loud, quiet))
        sound += chance.normal(0, 32768 * 10 ** (NOISE_DBOV / 20), len(sound))
        whole = len(sound) // (rate // 50) * (rate // 50)
        found.append(numpy.clip(numpy.rint(sound[:whole]), -32768, 32767).astype("<i2"))
    return tuple(found)


@functools.lru_cache
def speech(rate: int) -> tuple[_Array, tuple[int, ...]]:
    """Return what is sent in one call, and where each voice begins in it."""
    numpy = library("numpy")
    chance = numpy.random.default_rng(2)
    pieces = [numpy.rint(chance.normal(0, 32768 * 10 ** (NOISE_DBOV / 20), int(LEAD_S * rate))).astype("<i2")]
    starts = []
    for sentence in sentences(rate):
        starts.append(sum(map(len, pieces)))
        pieces.append(sentence)
    return numpy.concatenate(pieces), tuple(starts)


def score(heard: bytes, rate: int) -> tuple[float, float]:
    """Return the mean PESQ of all voices (narrow band at 8 kHz, else wide) and the mean delay of what is heard, in ms."""
    numpy, pesq = library("numpy"), library("pesq")
    _, starts = speech(rate)
    played = numpy.frombuffer(heard, "<i2")
    scores, delays = [], []
    for start, sentence in zip(starts, sentences(rate), strict=True):
        part = played[start : start + len(sentence) + int(SEARCH_S * rate)]
        part = numpy.concatenate((part, numpy.zeros(max(0, len(sentence) + int(SEARCH_S * rate) - len(part)), "<i2")))
        size = 1 << (len(part) + len(sentence)).bit_length()
        likeness = numpy.fft.irfft(
            numpy.fft.rfft(part.astype(float), size) * numpy.conj(numpy.fft.rfft(sentence.astype(float), size)), size
        )
        delay = int(numpy.argmax(likeness[: int(SEARCH_S * rate)]))
        delays.append(1000 * delay / rate)
        try:
            scores.append(float(pesq.pesq(rate, sentence, part[delay : delay + len(sentence)], "nb" if rate == 8000 else "wb")))
        except pesq.NoUtterancesError:
            scores.append(1.0)
    return sum(scores) / len(scores), sum(delays) / len(delays)
