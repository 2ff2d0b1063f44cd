"""The codecs there are: what SDP calls each, what it needs, and how one is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from offhook.media.codecs.g711 import Pcma, Pcmu

if TYPE_CHECKING:
    from offhook.media.codecs.contract import Codec

MAX_NAME: Final = 40  # characters of a codec's name that are looked at


@dataclass(frozen=True, slots=True)
class Kind:
    """One codec as configuration and StreamConfig name it (`name`).

    `text` is its rtpmap (RFC 8866 6.6), `payload_type` the static one or -1, `fmtp` what we ask of who sends it to us, `extra`
    the extra packages it needs, "" for none. `make` takes the far end's format parameters; `suits` says whether those are of
    this form of the codec, `forms` are others that who names this one takes as well.
    """

    name: str
    text: str
    make: Callable[[str], Codec]
    payload_type: int = -1
    fmtp: str = ""
    extra: str = ""
    suits: Callable[[str], bool] = lambda _fmtp: True
    forms: tuple[str, ...] = ()

    @property
    def format(self) -> tuple[str, int, int]:
        """Return (encoding in capitals, clock rate, channels) as rtpmap lines have them."""
        encoding, clock, *channels = self.text.split("/")
        return encoding.upper(), int(clock), int(channels[0]) if channels else 1


def _g722(_fmtp: str) -> Codec:
    from offhook.media.codecs.g722 import G722

    return G722()


def _l16(rate: int) -> Callable[[str], Codec]:
    def make(_fmtp: str) -> Codec:
        from offhook.media.codecs.l16 import L16

        return L16(rate)

    return make


def _opus(rate: int) -> Callable[[str], Codec]:
    def make(fmtp: str) -> Codec:
        from offhook.media.codecs.opus import Opus

        return Opus(rate, fmtp)

    return make


def _opus_kind(name: str, rate: int) -> Kind:
    # RFC 7587 6.1: both rates are hints, so that the other side does not send what is not played, or play what is not sent.
    hints = f"maxplaybackrate={rate};sprop-maxcapturerate={rate};" if rate != 48_000 else ""
    return Kind(name, "opus/48000/2", _opus(rate), fmtp=f"{hints}useinbandfec=1", extra="opus")


def _amr(aligned: bool) -> Callable[[str], Codec]:
    def make(fmtp: str) -> Codec:
        from offhook.media.codecs.amr import Amr

        return Amr(aligned, fmtp)

    return make


def _amr_suits(aligned: bool) -> Callable[[str], bool]:
    def suits(fmtp: str) -> bool:
        from offhook.media.codecs.amr import is_aligned, is_plain

        return (is_aligned if aligned else is_plain)(fmtp)

    return suits


KINDS: Final[dict[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind("PCMU", "PCMU/8000", lambda _fmtp: Pcmu(), 0),
        Kind("PCMA", "PCMA/8000", lambda _fmtp: Pcma(), 8),
        Kind("G722", "G722/8000", _g722, 9, extra="g722"),
        _opus_kind("OPUS", 48_000),
        _opus_kind("OPUS/24000", 24_000),
        _opus_kind("OPUS/16000", 16_000),
        _opus_kind("OPUS/8000", 8_000),
        Kind("AMR", "AMR/8000", _amr(False), extra="codecs", suits=_amr_suits(False), forms=("AMR/OCTETS",)),
        Kind("AMR/OCTETS", "AMR/8000", _amr(True), fmtp="octet-align=1", extra="codecs", suits=_amr_suits(True)),
        Kind("L16/8000", "L16/8000", _l16(8_000)),
        Kind("L16/16000", "L16/16000", _l16(16_000)),
        Kind("L16/48000", "L16/48000", _l16(48_000)),
    )
}
# What others write for the same: other phones' lists have NAME/RATE/CHANNELS, with the sampling rate for G.722.
OTHER_NAMES: Final = {
    "PCMU/8000": "PCMU", "PCMA/8000": "PCMA", "G722/8000": "G722", "G722/16000": "G722", "OPUS/48000": "OPUS",
    "L16": "L16/16000", "AMR/8000": "AMR", "ULAW": "PCMU", "ALAW": "PCMA", "G.722": "G722",
}  # fmt: skip


@lru_cache
def kind_of(name: str) -> Kind:
    """Return the codec of this name, in any case of letters ("opus", "PCMA/8000/1"). Raises LookupError for none of ours."""
    text = name.strip().upper()[:MAX_NAME]
    if text.count("/") == 2:
        text = text.rpartition("/")[0]
    return KINDS[OTHER_NAMES.get(text, text)]


def missing(name: str) -> str:
    """Return "" if this codec can be used here, else what to do about it, for people."""
    try:
        kind = kind_of(name)
    except LookupError:
        return f"there is no codec {name[:MAX_NAME]!r}: write some of {', '.join(KINDS)}"
    try:
        kind.make("")
    except ImportError:
        return f"{kind.name} needs a package that is not installed: pip install 'offhook[{kind.extra}]'"
    return ""


def usable() -> tuple[str, ...]:
    """Return the names of all codecs that can be used here."""
    return tuple(name for name in KINDS if not missing(name))
