"""G.711."""

from __future__ import annotations

import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.media.codecs import codec
from offhook.media.sources import SILENCE

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
