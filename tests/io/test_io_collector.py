"""The collector stays on, and is seldom."""

from __future__ import annotations

import gc

from offhook.io.collector import keep_collector_quiet


def test_it_stays_on_and_is_seldom() -> None:
    before = gc.get_threshold()
    try:
        keep_collector_quiet()
        assert gc.isenabled()
        assert gc.get_threshold()[0] > before[0]
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
