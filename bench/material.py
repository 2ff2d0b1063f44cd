"""Sound to try detectors with, made here: voices of espeak-ng, the tones of networks, noise, and codecs in between."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from array import array
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Final

from offhook.media import pcm
from offhook.media.resample import resample
from offhook.media.tones import tone_source
from offhook.media.wav import read_header

RATE: Final = 8000

GREETINGS: Final = {
    "en-us": ("Hello?", "Hi, this is Mary.", "Yes?", "Good morning, Miller and Sons, how can I help you?"),
    "de": ("Hallo?", "Schneider.", "Ja, bitte?", "Guten Tag, Firma Krause, mein Name ist Weber."),
    "fr-fr": ("Allô?", "Oui, bonjour?", "Bonjour, Martin à l'appareil."),
    "es": ("¿Diga?", "¿Sí?", "Hola, soy Carmen.", "Buenos días, talleres García, dígame."),
    "it": ("Pronto?", "Sì, chi parla?", "Pronto, casa Rossi."),
    "pt-br": ("Alô?", "Pois não?", "Oi, quem fala?"),
    "pl": ("Halo?", "Tak, słucham?", "Dzień dobry, Kowalski."),
    "ru": ("Алло?", "Да, слушаю."),
}  # fmt: skip

ANNOUNCEMENTS: Final = {
    "en-us": (
        "Hi, you have reached the voicemail of John Smith. I cannot come to the phone right now. "
        "Please leave a message after the tone.",
        "The person you are calling is not available. At the tone, please record your message.",
    ),
    "de": (
        "Guten Tag, dies ist die Mailbox von Peter Weber. Ich bin gerade nicht erreichbar. "
        "Bitte hinterlassen Sie eine Nachricht nach dem Signalton.",
        "Der gewünschte Gesprächspartner ist zurzeit nicht erreichbar. Bitte sprechen Sie nach dem Ton.",
    ),
    "fr-fr": (
        "Bonjour, vous êtes bien sur la messagerie de Claire Dubois. Laissez un message après le signal sonore, merci.",
    ),
    "es": ("Hola, ha llamado al buzón de voz de Antonio. Ahora no puedo atenderle. Deje su mensaje después de la señal.",),
    "it": ("Risponde la segreteria telefonica. Al momento non siamo in casa. Lasciate un messaggio dopo il segnale acustico.",),
    "pt-br": ("Sua chamada está sendo encaminhada para a caixa postal e estará sujeita a cobrança após o sinal.",),
    "pl": ("Dodzwoniłeś się do poczty głosowej. Abonent nie może teraz rozmawiać. Zostaw wiadomość po sygnale.",),
    "ru": ("Здравствуйте. Абонент сейчас не может ответить на ваш звонок. Оставьте сообщение после сигнала.",),
}  # fmt: skip

VARIANTS: Final = ("", "+f2", "+m3", "+f4")
SPEEDS: Final = (140, 170, 200)


@lru_cache(512)
def voice(text: str, language: str = "en-us", variant: str = "", speed: int = 170) -> bytes:
    """Return a sentence as 8 kHz PCM with its edges trimmed, at about -20 dBFS while somebody speaks."""
    name = hashlib.sha256(f"{text}{language}{variant}{speed}".encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir(), f"offhook-voice-{name}.wav")
    if not path.exists():
        command = ["espeak-ng", "-v", language + variant, "-s", str(speed), "-w", str(path), text]
        subprocess.run(command, check=True, capture_output=True)
    with path.open("rb") as file:
        form = read_header(file, path.stat().st_size)
        file.seek(form.start)
        samples = resample(file.read(form.length), form.rate, RATE)
    return at_level(trimmed(samples), -20.0)


def trimmed(samples: bytes) -> bytes:
    """Return the sound without the silence at its ends."""
    frames = [samples[start : start + 320] for start in range(0, len(samples), 320)]
    loud = [place for place, frame in enumerate(frames) if pcm.rms(frame) > 200]
    return b"".join(frames[loud[0] : loud[-1] + 1]) if loud else b""


def at_level(samples: bytes, dbfs: float) -> bytes:
    """Return the sound at this level (0: a sine of full scale), measured where it is not silent."""
    frames = [pcm.rms(samples[start : start + 320]) for start in range(0, len(samples), 320)]
    loud = [rms for rms in frames if rms > 200] or frames
    mean = (sum(rms * rms for rms in loud) / len(loud)) ** 0.5
    return pcm.scale(samples, 23170 * 10 ** (dbfs / 20) / mean)


def silence(milliseconds: int) -> bytes:
    """Return digital silence."""
    return bytes(16 * milliseconds)


@lru_cache(16)
def _noise(kind: str, seed: int) -> bytes:
    """Return ten seconds of noise at about -20 dBFS: white, pink (as of a street), or hum of the mains."""
    chance, count = Random(seed), 10 * RATE
    if kind == "hum":
        tone = b"".join(iter(tone_source((100.0, 200.0, 300.0), 10_000).read, None))
        return at_level(tone[: 2 * count], -20.0)
    samples, smooth = [], [0.0] * 3
    for _ in range(count):
        white = chance.gauss(0, 1)
        if kind == "pink":  # three leaky sums of different lengths
            smooth = [0.997 * smooth[0] + 0.030 * white, 0.96 * smooth[1] + 0.10 * white, 0.75 * smooth[2] + 0.25 * white]
            white = sum(smooth)
        samples.append(white)
    peak = max(map(abs, samples))
    return at_level(array("h", (int(12000 * sample / peak) for sample in samples)).tobytes(), -20.0)


def with_noise(samples: bytes, kind: str, dbfs: float, seed: int = 1) -> bytes:
    """Return the sound with noise at this level beneath."""
    noise = pcm.scale(_noise(kind, seed), 10 ** ((dbfs + 20.0) / 20))
    noise = (noise * (len(samples) // len(noise) + 1))[: len(samples)]
    return pcm.add(samples, noise)


def through(samples: bytes, codec: str) -> bytes:
    """Return what is left behind a codec: PCMU, PCMA, or "lossy": PCMU with 5 % of the packets missing."""
    if codec == "PCMA":
        return pcm.alaw_to_linear(pcm.linear_to_alaw(samples))
    if codec in ("PCMU", "lossy"):
        samples = pcm.ulaw_to_linear(pcm.linear_to_ulaw(samples))
    if codec == "lossy":
        chance = Random(11)
        frames = [samples[start : start + 320] for start in range(0, len(samples), 320)]
        samples = b"".join(bytes(len(frame)) if chance.random() < 0.05 else frame for frame in frames)
    return samples


def tone(frequencies: tuple[float, ...], milliseconds: int, dbfs: float = -16.0) -> bytes:
    """Return a tone, each frequency at this level."""
    source = tone_source(frequencies, milliseconds, dbfs + 13.0)
    return b"".join(iter(source.read, None))[: 16 * milliseconds]


def frames_of(samples: bytes) -> list[bytes]:
    """Return whole frames of 20 ms."""
    return [samples[start : start + 320].ljust(320, b"\0") for start in range(0, len(samples), 320)]
