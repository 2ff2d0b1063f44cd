"""The E-model against values that ITU-T has published."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.media.codecs import codec
from offhook.media.codecs.kinds import KINDS, missing
from offhook.media.emodel import (
    BASE,
    EQUIPMENT,
    MOST_WIDE,
    UNKNOWN,
    Equipment,
    burst_ratio,
    delay_impairment,
    effective_equipment,
    equipment,
    opinion,
    rating,
)

codecs = st.sampled_from(sorted(EQUIPMENT)).map(equipment)
shares = st.floats(0, 1)
delays = st.floats(0, 5000)


def test_all_defaults_give_the_published_rating() -> None:
    # G.107 table 2 and 7.7: "the default values give R = 93.2"; G.107 (03/2005) gives the MOS 4.41 for it.
    assert rating(equipment("PCMU"), 0.0, 0.0) == pytest.approx(93.2, abs=0.05)
    assert opinion(93.2) == pytest.approx(4.41, abs=0.005)


@pytest.mark.parametrize(("value", "mos"), [(90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58), (0, 1.0), (100, 4.5)])
def test_opinions_are_those_of_table_b_1(value: float, mos: float) -> None:
    assert opinion(value) == pytest.approx(mos, abs=0.01)


@pytest.mark.parametrize(
    ("percent", "impairment"), [(0, 0), (1, 5), (2, 7), (3, 10), (5, 15), (7, 20), (10, 25), (15, 35), (20, 45)]
)
def test_g711_with_concealment_loses_what_g113_measured(percent: float, impairment: float) -> None:
    # G.113 appendix I (2002), table I.3: G.711 with concealment, random loss
    assert effective_equipment(equipment("PCMU"), percent / 100) == pytest.approx(impairment, abs=3)


@pytest.mark.parametrize(
    ("codec", "impairments"),
    [("G729A", (11, 15, 19, 23, 26)), ("G723", (15, 19, 24, 27, 32)), ("GSM-EFR", (5, 16, 21, 26, 33))],
)
def test_low_rate_codecs_lose_what_g113_measured(codec: str, impairments: tuple[float, ...]) -> None:
    # G.113 appendix I (2002), table I.2: losses of 0 to 4 %
    for percent, impairment in enumerate(impairments):
        assert effective_equipment(equipment(codec), percent / 100) == pytest.approx(impairment, abs=4)


def test_delay_alone_costs_nothing_up_to_100_ms_and_then_what_equation_7_26_says() -> None:
    # at 200 ms X is 1: 25 (2^(1/6) - 3 (1 + 3^-6)^(1/6) + 2); the rest is the echo, which grows slowly
    alone = 25 * (2 ** (1 / 6) - 3 * (1 + 3**-6) ** (1 / 6) + 2)
    assert delay_impairment(100) < 2.8
    assert delay_impairment(100) < delay_impairment(200) - alone < 2 * delay_impairment(100)


@pytest.mark.parametrize(
    ("delay", "least", "most"), [(150, 89, 91), (200, 85, 88), (250, 79, 82), (300, 72, 76), (400, 61, 65)]
)
def test_delay_leaves_what_the_curve_of_g114_shows(delay: float, least: float, most: float) -> None:
    assert least <= rating(equipment("PCMA"), 0.0, delay) <= most


def test_the_common_shortcut_is_near() -> None:
    """Cole and Rosenbluth's two lines, 0.024 d + 0.11 (d - 177.3), are fitted to this curve."""
    for delay in range(0, 401, 10):
        line = 0.024 * delay + max(0.0, 0.11 * (delay - 177.3))
        assert delay_impairment(delay) == pytest.approx(line, abs=3.6), delay


def test_an_unlisted_codec_is_judged_with_caution() -> None:
    assert rating(equipment("NEWEST"), 0.0, 0.0) < rating(equipment("PCMA"), 0.0, 0.0)
    assert not equipment("opus/8000").wide
    assert equipment("L16/16000").wide


@pytest.mark.parametrize("name", KINDS)
def test_each_of_our_codecs_is_known_and_wide_where_it_is(name: str) -> None:
    assert equipment(name) is not UNKNOWN
    if missing(name):
        pytest.skip(missing(name))
    assert equipment(name).wide is (codec(name).rate > 8000)


def test_wide_speech_is_better_than_narrow_speech_can_be() -> None:
    wide = rating(equipment("L16/16000"), 0.0, 0.0)
    assert BASE < 100 < wide <= MOST_WIDE
    assert opinion(wide, wide=True) > opinion(rating(equipment("PCMU"), 0.0, 0.0))


def test_losses_in_a_row_are_worse_than_scattered_ones() -> None:
    assert burst_ratio(0.02, 1 / 0.98) == pytest.approx(1.0)
    assert burst_ratio(0.02, 4.0) == pytest.approx(3.92)
    assert burst_ratio(0.0, 0.0) == burst_ratio(1.0, 50.0) == 1.0
    g729 = equipment("G729A")
    assert effective_equipment(g729, 0.05, 3.0) > effective_equipment(g729, 0.05)


@given(codecs, shares, delays, st.floats(1, 100))
def test_a_rating_stays_on_its_scale_and_is_an_opinion(codec: Equipment, loss: float, delay: float, burst: float) -> None:
    value = rating(codec, loss, delay, burst=burst)
    assert 0.0 <= value <= 129.0
    assert 1.0 <= opinion(value, wide=codec.wide) <= 4.5


@given(codecs, shares, shares, st.floats(50, 5000))
def test_more_loss_is_never_better(codec: Equipment, one: float, other: float, delay: float) -> None:
    less, more = sorted((one, other))
    assert rating(codec, more, delay) <= rating(codec, less, delay)


@given(st.floats(10, 5000), st.floats(10, 5000))
def test_more_delay_is_never_better(one: float, other: float) -> None:
    less, more = sorted((one, other))
    assert delay_impairment(less) <= delay_impairment(more)
