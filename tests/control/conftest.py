"""What the control tests share."""

from __future__ import annotations

import pytest

from offhook.testing.backend import FakeBackend


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()
