"""What all tests of the command line share: nobody sits before the machine they run on."""

from __future__ import annotations

import pytest

from offhook.cli.desktop import asking


@pytest.fixture(autouse=True)
def _nobody_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away the boxes and dialogs that this machine would ask with: they would wait for a person."""
    monkeypatch.setattr(asking, "_message_box", lambda: None)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
