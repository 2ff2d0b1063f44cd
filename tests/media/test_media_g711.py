"""G.711 and what conceals its gaps."""

from __future__ import annotations

import array
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.media import pcm
from offhook.media.codecs import codec
from offhook.media.conceal import FADE, Concealer, crossfade
from offhook.media.sources import FRAME_BYTES, SILENCE

NAMES = ("PCMU", "PCMA")

samples = st.lists(st.integers(-32768, 32767), min_size=1, max_size=160)


@pytest.mark.parametrize("name", NAMES)
@given(values=samples)
def test_round_trip_is_close(name: str, values: list[int]) -> None:
    chosen = codec(name)
    audio = array.array("h", values).tobytes()
    back = array.array("h", chosen.decode(chosen.encode(audio)))
    for value, result in zip(values, back, strict=True):
        # ITU-T G.711: 13 segments, a step of at most a sixteenth of the value; the top is clipped at 32124.
        assert abs(value - result) <= abs(value) / 16 + 16


@pytest.mark.parametrize("name", NAMES)
def test_every_octet_survives(name: str) -> None:
    chosen = codec(name)
    octets = bytes(range(256))
    again = chosen.encode(chosen.decode(octets))
    # mu-law has a negative zero, which no sample distinguishes.
    assert [octet for octet in octets if again[octet] != octet] in ([], [0x7F])


def test_known_values() -> None:
    assert codec("pcmu").encode(SILENCE) == b"\xff" * 160
    assert codec("PCMA").encode(SILENCE) == b"\xd5" * 160
    assert (codec("PCMU").payload_type, codec("PCMA").payload_type) == (0, 8)
    with pytest.raises(LookupError):
        codec("SILK")


def test_lost_frames_fade_away() -> None:
    concealer = Concealer()
    assert concealer.lost() is SILENCE
    concealer.good(array.array("h", [10000] * 160).tobytes())
    levels = [pcm.rms(concealer.lost()) for _ in range(len(FADE) + 1)]
    assert levels == sorted(levels, reverse=True)
    assert levels[0] >= 8000
    assert concealer.lost() is SILENCE
    concealer.good(array.array("h", [100] * 160).tobytes())
    assert pcm.rms(concealer.lost()) == 90


def test_crossfade_begins_as_one_and_ends_as_the_other() -> None:
    first, second = array.array("h", [8000] * 160).tobytes(), array.array("h", [-8000] * 160).tobytes()
    joined = array.array("h", crossfade(first, second))
    assert len(joined) * 2 == FRAME_BYTES
    assert joined[0] == 8000
    assert joined[-1] == pytest.approx(-7900, abs=100)
    assert all(before >= after for before, after in pairwise(joined))
