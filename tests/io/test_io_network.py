"""Noticing another network and sleep, without a network and without sleeping."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest

from offhook.io import clock, network
from offhook.io.network import LOOK_EVERY, SOMEWHERE, NetworkWatch


class World:
    """Our address towards everybody, the clocks, and what the watch said."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ours: dict[str, str] = dict.fromkeys(SOMEWHERE, "192.0.2.7")
        self.told: dict[str, str] = {}
        self.now = self.through_sleep = 100.0
        self.said: list[str] = []
        monkeypatch.setattr(network, "source_towards", lambda address: self.ours.get(address, ""))
        monkeypatch.setattr(clock, "now", lambda: self.now)
        monkeypatch.setattr(clock, "awake_or_asleep", lambda: self.through_sleep)
        self.watch = NetworkWatch(self, self.said.append, look_every=LOOK_EVERY)
        self.watch.start()

    def watched(self) -> Mapping[str, str]:
        return self.told

    def look(self, after: float = LOOK_EVERY, asleep: float = 0.0) -> list[str]:
        self.now += after
        self.through_sleep += after + asleep
        said = len(self.said)
        self.watch._check()
        return self.said[said:]


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    made = World(monkeypatch)
    yield made
    made.watch.close()


async def test_the_same_network_is_no_news(world: World) -> None:
    assert world.look() == world.look(0.5) == []


async def test_another_address_no_address_and_one_again(world: World) -> None:
    world.ours[SOMEWHERE[0]] = "198.51.100.1"
    assert world.look() == ["our address is 198.51.100.1 now, it was 192.0.2.7"]
    assert world.look() == []
    world.ours[SOMEWHERE[0]] = ""
    assert world.look() == ["the network is gone (our address was 198.51.100.1)"]
    world.ours[SOMEWHERE[0]] = "198.51.100.1"
    assert world.look() == ["there is a network now (our address is 198.51.100.1)"]


async def test_somebody_new_is_no_news_but_one_who_was_told_another_address_is(world: World) -> None:
    world.ours["10.0.0.9"] = world.told["10.0.0.9"] = "10.0.0.1"
    assert world.look() == []
    world.ours["10.0.0.8"], world.told["10.0.0.8"] = "10.0.0.2", "10.0.0.1"
    assert world.look() == ["our address is 10.0.0.2 now, it was 10.0.0.1"]
    assert world.look() == [], "told once"


async def test_sleep_is_noticed_by_either_clock(world: World) -> None:
    assert world.look(asleep=3600) == ["this machine has slept for 3600 s"]
    assert world.look() == []
    assert world.look(LOOK_EVERY + 100) == ["this machine has slept for 100 s"]
    assert world.look(LOOK_EVERY + 5) == [], "a busy machine is no sleeping one"


def test_the_way_to_ourselves() -> None:
    assert network.source_towards("127.0.0.1") == "127.0.0.1"
