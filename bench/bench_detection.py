"""How well detectors do on sound made here, and what they cost: the figures of docs/detection.md.

    python bench/bench_detection.py

Needs `espeak-ng` for voices. Where `webrtcvad` is installed, its voice activity detector is measured beside ours.
"""

from __future__ import annotations

import math
import sys
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Final

from material import (
    ANNOUNCEMENTS,
    GREETINGS,
    SPEEDS,
    VARIANTS,
    frames_of,
    silence,
    through,
    tone,
    voice,
    with_noise,
)

from offhook.media import pcm
from offhook.media.detect.digits import DtmfDetector
from offhook.media.detect.machine import Judge
from offhook.media.detect.speech import Speech
from offhook.media.detect.tones import Progress, Signals
from offhook.media.detect.whistle import Whistle
from offhook.media.messages import Judgement
from offhook.media.tones import DTMF

LINES: Final = (("", 0), ("white", -45), ("pink", -38), ("hum", -40))
"""Noise beneath speech at -20 dBFS: its kind and its level."""


def sentences(table: dict[str, tuple[str, ...]]) -> Iterator[bytes]:
    """Yield every sentence in every voice and speed."""
    for language, texts in table.items():
        for text in texts:
            for variant in VARIANTS:
                for speed in SPEEDS:
                    yield voice(text, language, variant, speed)


# --- who answered --------------------------------------------------------------------------------------------------


def judged(samples: bytes) -> Judgement | None:
    speech, judge = Speech(), Judge()
    for frame in frames_of(samples):
        found = judge.feed(speech.feed(frame, pcm.rms(frame)))
        if found is not None:
            return found
    return None


def machines() -> None:
    print("\n## Person or machine\n")
    print("| line | | calls | human | machine | unknown | right | decided after |")
    print("|---|---|---|---|---|---|---|---|")
    for kind, level in LINES:
        for truth, table in (("human", GREETINGS), ("machine", ANNOUNCEMENTS)):
            chance, verdicts, after = Random(5), Counter[str](), 0
            for said in sentences(table):
                samples = silence(chance.randrange(200, 1500)) + said + silence(4500)
                found = judged(through(with_noise(samples, kind, level) if kind else samples, "PCMU"))
                assert found is not None
                verdicts[found.verdict] += 1
                after += found.after_ms
            count = sum(verdicts.values())
            cells = " | ".join(str(verdicts[each]) for each in ("human", "machine", "unknown"))
            line, share, seconds = f"{kind} {level}" if kind else "quiet", verdicts[truth] / count, after / count / 1000
            print(f"| {line} | {truth} | {count} | {cells} | {share:.1%} | {seconds:.1f} s |")


# --- speech --------------------------------------------------------------------------------------------------------


def ours() -> Callable[[bytes], bool]:
    speech = Speech()
    return lambda frame: speech.feed(frame, pcm.rms(frame))


def theirs(mode: int) -> Callable[[bytes], bool]:
    """Return WebRTC's detector with the same onset and hangover as ours."""
    import webrtcvad  # type: ignore[import-untyped,unused-ignore,import-not-found]

    detector, recent, hang = webrtcvad.Vad(mode), 0, 0

    def feed(frame: bytes) -> bool:
        nonlocal recent, hang
        heard = bool(detector.is_speech(frame, 8000))
        recent = (recent << 1 | heard) & 63
        hang = 12 if heard and recent.bit_count() >= 3 else max(0, hang - 1)
        return hang > 0

    return feed


def speech() -> None:
    print("\n## Speech\n\nFrames within 100 ms of its beginning and 280 ms of its end are left out.\n")
    print("| line | detector | speech found | false alarms | µs a frame |\n|---|---|---|---|---|")
    detectors: dict[str, Callable[[], Callable[[bytes], bool]]] = {"offhook": ours}
    try:
        theirs(3)
        detectors |= {"WebRTC, mode 2": lambda: theirs(2), "WebRTC, mode 3": lambda: theirs(3)}
    except ImportError:
        print("webrtcvad is not installed: ours alone", file=sys.stderr)
    for kind, level, codec in (
        ("", 0, "PCMU"), ("white", -50, "PCMU"), ("white", -40, "PCMU"), ("white", -32, "PCMU"), ("pink", -40, "PCMU"),
        ("pink", -32, "PCMU"), ("hum", -40, "PCMU"), ("white", -45, "lossy"),
    ):  # fmt: skip
        for name, make in detectors.items():
            hits, false, spent = [0, 0], [0, 0], 0.0
            frames = 0
            for said in sentences({language: texts[:2] for language, texts in GREETINGS.items()}):
                clean = silence(1500) + said + silence(2000)
                first, last = 75, 75 + len(frames_of(said))
                samples = through(with_noise(clean, kind, level) if kind else clean, codec)
                feed = make()
                begun = time.perf_counter()
                found = [feed(frame) for frame in frames_of(samples)]
                spent += time.perf_counter() - begun
                frames += len(found)
                for place, heard in enumerate(found):
                    if first + 5 <= place < last:
                        hits = [hits[0] + heard, hits[1] + 1]
                    elif place < first or place >= last + 14:
                        false = [false[0] + heard, false[1] + 1]
            print(
                f"| {kind or 'quiet'} {level or ''} {codec} | {name} | {hits[0] / hits[1]:.1%} | {false[0] / false[1]:.1%} "
                f"| {spent / frames * 1e6:.0f} |"
            )


# --- digits --------------------------------------------------------------------------------------------------------


def press(digit: str, duration_ms: int, dbfs: float, twist: float = 0.0, off: float = 1.0) -> bytes:
    """Return a digit with each frequency at this level, the column `twist` dB louder, both off by a factor."""
    row, column = DTMF[digit]
    low, high = (32767 * 10 ** (level / 20) for level in (dbfs, dbfs + twist))
    return array("h", (
        int(low * math.sin(math.tau * row * off * place / 8000) + high * math.sin(math.tau * column * off * place / 8000))
        for place in range(8 * duration_ms)
    )).tobytes()  # fmt: skip


def found_digits(samples: bytes) -> str:
    detector = DtmfDetector()
    found = [digit for frame in frames_of(samples) for digit, _ in detector.feed(frame)]
    return "".join(found + [digit for digit, _ in detector.finish()])


def digits() -> None:
    print("\n## Digits in the sound\n\nAll sixteen, three times each, through G.711.\n\n| case | found |\n|---|---|")
    keys = "".join(DTMF) * 3
    cases: list[tuple[str, dict[str, float], int, tuple[str, float] | None]] = [
        (f"{level} dBFS each, 40 ms and 40 ms pause", {"dbfs": level}, 40, None) for level in (-10, -20, -28, -34, -38)
    ]
    cases += [(f"-20 dBFS each in white noise {gap} dB below", {"dbfs": -20}, 50, ("white", -20 - gap)) for gap in (15, 10, 6)]
    cases += [(f"twist {twist:+d} dB", {"dbfs": -16, "twist": twist}, 60, None) for twist in (-12, -10, -8, -4, 4, 8, 10, 12)]
    cases += [(f"{off:+.1f} % off frequency", {"dbfs": -16, "off": 1 + off / 100}, 60, None)
              for off in (-3.5, -3, -2, -1.5, 1.5, 2, 3, 3.5)]
    cases += [(f"{length} ms long", {"dbfs": -16}, length, None) for length in (20, 25, 30, 35)]
    for name, options, length, noise in cases:
        pause = 40 if "40 ms pause" in name else 60
        samples = b"".join(press(key, length, **options) + silence(pause) for key in keys)
        if noise is not None:
            samples = with_noise(samples, *noise)
        found = found_digits(through(samples, "PCMU"))
        print(f"| {name} | {'all 48' if found == keys else 'none' if not found else f'{len(found)} of 48'} |")
    seconds, false, spent = 0.0, 0, 0.0
    for table in (GREETINGS, ANNOUNCEMENTS):
        for said in sentences(table):
            samples = through(said, "PCMU")
            begun = time.perf_counter()
            false += len(found_digits(samples))
            spent += time.perf_counter() - begun
            seconds += len(samples) / 16000
    print(f"\nTalk-off: {false} digits in {seconds / 60:.0f} minutes of speech; {spent / seconds / 50 * 1e6:.0f} µs a frame.")


# --- tones ---------------------------------------------------------------------------------------------------------


def cadence(frequencies: tuple[float, ...], *pattern: tuple[int, int], times: int) -> bytes:
    return b"".join(tone(frequencies, on, -19.0) + silence(off) for _ in range(times) for on, off in pattern)


SIGNALS: Final[dict[str, tuple[bytes, str]]] = {
    "dial tone, 350+440 Hz": (tone((350, 440), 4000), "dial"),
    "dial tone, 425 Hz": (tone((425,), 4000), "dial"),
    "ringback, 440+480 Hz, 2 s and 4 s": (cadence((440, 480), (2000, 4000), times=2), "ringback"),
    "ringback, 425 Hz, 1 s and 4 s": (cadence((425,), (1000, 4000), times=2), "ringback"),
    "ringback, 400+450 Hz, twice 0.4 s": (cadence((400, 450), (400, 200), (400, 2000), times=2), "ringback"),
    "busy, 480+620 Hz, 0.5 s": (cadence((480, 620), (500, 500), times=4), "busy"),
    "busy, 425 Hz, 0.5 s": (cadence((425,), (500, 500), times=4), "busy"),
    "busy, 400 Hz, 0.375 s": (cadence((400,), (375, 375), times=4), "busy"),
    "congestion, 480+620 Hz, 0.25 s": (cadence((480, 620), (250, 250), times=5), "congestion"),
    "congestion, 425 Hz, 0.24 s": (cadence((425,), (240, 240), times=5), "congestion"),
    "special information, 950 1400 1800 Hz": (b"".join(tone((f,), 330) for f in (950, 1400, 1800)), "special_information"),
    "fax calls, 1100 Hz": (cadence((1100,), (500, 3000), times=1), "fax_calling"),
    "fax answers, 2100 Hz": (tone((2100,), 3000), "fax_answer"),
    "beep, 1000 Hz, 0.4 s": (tone((1000,), 400), "beep"),
    "beep, 1400 Hz, 0.2 s": (tone((1400,), 200), "beep"),
    "beep, 440 Hz, 0.5 s": (tone((440,), 500), "beep"),
}


def heard(samples: bytes, *, beeps: bool) -> list[str]:
    progress, whistle, signals = Progress(), Whistle(), Signals()
    found: list[str] = []
    for frame in frames_of(samples):
        for signal in (progress.feed(frame), signals.feed(whistle.feed(frame, pcm.rms(frame)), beeps=beeps)):
            if signal is not None:
                found.append(signal.tone)
    return found


def tones() -> None:
    print("\n## Tones\n\nEach frequency at -16 to -19 dBFS.\n")
    print("| signal | quiet | 20 dB quieter | pink -42 | white -40 |\n|---|---|---|---|---|")
    for name, (samples, expected) in SIGNALS.items():
        padded = silence(300) + samples + silence(2500)
        forms = (padded, pcm.scale(padded, 0.1), with_noise(padded, "pink", -42), with_noise(padded, "white", -40))
        cells = [
            "yes" if set(heard(through(form, "PCMU"), beeps=expected == "beep")) == {expected} else "no" for form in forms
        ]
        print(f"| {name} | {' | '.join(cells)} |")
    seconds, false, spent = 0.0, 0, 0.0
    for table in (GREETINGS, ANNOUNCEMENTS):
        for said in sentences(table):
            samples = through(said, "PCMU")
            begun = time.perf_counter()
            false += len(heard(samples, beeps=True))
            spent += time.perf_counter() - begun
            seconds += len(samples) / 16000
    print(f"\nFalse signals, beeps included: {false} in {seconds / 60:.0f} minutes of speech; "
          f"{spent / seconds / 50 * 1e6:.0f} µs a frame.")


if __name__ == "__main__":
    machines()
    speech()
    digits()
    tones()
