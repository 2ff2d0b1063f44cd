"""Bursts and gaps against their definition, worked out the slow way."""

from __future__ import annotations

from dataclasses import astuple
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.media.losses import GMIN, RUNS_KEPT, Bursts, Losses


def by_definition(heard: list[bool]) -> Bursts:
    """RFC 3611 4.7.2, in words: clusters of losses that fewer than GMIN packets part; two losses at least make a burst."""
    lost = [place for place, good in enumerate(heard) if not good]
    if not lost:
        return Bursts(gap_packets=float(len(heard)))
    clusters: list[list[int]] = []
    for place in lost:
        if clusters and place - clusters[-1][-1] - 1 < GMIN:
            clusters[-1].append(place)
        else:
            clusters.append([place])
    bursts = [cluster for cluster in clusters if len(cluster) > 1]
    inside = sum(cluster[-1] - cluster[0] + 1 for cluster in bursts)
    lost_inside = sum(map(len, bursts))
    lone = len(lost) - lost_inside
    runs = sum(place - 1 not in lost for place in lost)
    return Bursts(
        bursts=len(bursts),
        burst_density=lost_inside / inside if bursts else 0.0,
        burst_packets=inside / len(bursts) if bursts else 0.0,
        gap_density=lone / (len(heard) - inside) if len(heard) > inside else 0.0,
        gap_packets=(len(heard) - inside) / (len(bursts) + 1),
        mean_run=len(lost) / runs,
    )


def follow(heard: list[bool], start: int = 70_000) -> Losses:
    """Tell of them as a receiver does: when the next one comes."""
    losses, last = Losses(), start - 1
    for place, good in enumerate(heard):
        if good:
            if start + place > last + 1:
                losses.missed(last + 1, start + place - 1)
            last = start + place
    if last < start + len(heard) - 1:
        losses.missed(last + 1, start + len(heard) - 1)
    return losses


sparse = st.lists(st.integers(0, 9).map(bool), max_size=400)
dense = st.lists(st.booleans(), max_size=60)


@given(sparse | dense)
def test_losses_are_as_defined(heard: list[bool]) -> None:
    assert follow(heard).bursts(len(heard)) == by_definition(heard)


def test_a_call_of_minutes_is_as_defined() -> None:
    """What is settled is counted as it goes, and not kept."""
    random, heard = Random(7), [True] * 12_000
    for _ in range(120):
        place, count = random.randrange(11_000), random.choice((1, 1, 1, 4, 30))
        heard[place : place + count] = [False] * count
    losses = follow(heard)
    assert len(losses._open) < RUNS_KEPT // 2
    assert astuple(losses.bursts(len(heard))) == pytest.approx(astuple(by_definition(heard)))


@pytest.mark.lengthy
@given(st.lists(st.integers(0, 5).map(bool), min_size=1, max_size=100), st.randoms(use_true_random=False))
def test_who_comes_in_the_end_was_not_lost(heard: list[bool], random: Random) -> None:
    losses = follow(heard)
    late = [place for place, good in enumerate(heard) if not good and random.random() < 0.5]
    random.shuffle(late)
    for place in late:
        losses.came(70_000 + place)
        heard[place] = True
    assert losses.bursts(len(heard)) == by_definition(heard)


@pytest.mark.lengthy
@given(st.lists(st.integers(0, 5).map(bool), min_size=1, max_size=100), st.data())
def test_who_comes_too_late_is_not_heard(heard: list[bool], data: st.DataObject) -> None:
    losses = follow(heard)
    if sum(not good for good in heard) > RUNS_KEPT // 2:
        return
    here = [place for place, good in enumerate(heard) if good]
    for place in data.draw(st.lists(st.sampled_from(here), max_size=20, unique=True)) if here else ():
        losses.discarded(70_000 + place)
        heard[place] = False
    for place, good in enumerate(heard):
        if not good:
            losses.discarded(70_000 + place)  # said twice, counted once
    assert losses.bursts(len(heard)) == by_definition(heard)


def test_a_long_silence_is_one_burst_and_costs_nothing() -> None:
    losses = Losses()
    losses.missed(100, 3_000_000)
    assert losses.bursts(3_000_000) == Bursts(1, 1.0, 2_999_901, 0.0, 49.5, 2_999_901)


def test_what_a_hostile_sender_makes_us_keep_is_bounded() -> None:
    losses = Losses()
    for step in range(10_000):
        losses.missed(70_000 + 2 * step, 70_000 + 2 * step)
        losses.discarded(70_000 + 2 * step + 1)
        assert len(losses._open) <= RUNS_KEPT + 1
    assert losses.bursts(20_000).bursts == 1


def test_a_restart_ends_the_burst_and_keeps_the_count() -> None:
    losses = Losses()
    losses.missed(1000, 1003)
    losses.restart()
    losses.missed(70, 71)
    assert astuple(losses.bursts(1000)) == pytest.approx((2, 1.0, 3.0, 0.0, 994 / 3, 3.0))
