"""The networks every journey goes through: one that loses nothing, one that loses a tenth, one nearly a third."""

from __future__ import annotations

import pytest

from offhook.testing.wire import Weather, Wire


@pytest.fixture(params=[(loss, seed) for loss in (0.0, 0.1, 0.3) for seed in (1, 2, 3)],
                ids=lambda at: f"{at[0]:.0%}-{at[1]}")
def wire(request: pytest.FixtureRequest) -> Wire:
    """Return a network; what is lost is sent again, so that the outcome is the same in all of them."""
    loss, seed = request.param
    return Wire(seed, Weather(loss=loss, duplicate=loss / 2, jitter=0.03 if loss else 0.0))
