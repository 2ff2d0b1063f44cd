"""What is kept of captures: the latest of each call, all together bounded, and no key in what is printed."""

from __future__ import annotations

import pytest

from offhook.io import captures
from offhook.io.captures import Captures
from offhook.media.messages import CapturedPacket, SdesKeys, StreamCaptured, StreamKeys

KEYS = SdesKeys("AES_CM_128_HMAC_SHA1_80", b"ours" * 8, b"hers" * 8)


def packet(size: int = 100, at: float = 1.0) -> CapturedPacket:
    return at, True, ("10.0.0.1", 4000), ("10.0.0.2", 4000), bytes(size)


def test_packets_and_keys_of_a_call() -> None:
    kept = Captures()
    kept.take(StreamCaptured("c", (packet(),)))  # of a capture that never began here
    kept.take(StreamKeys("c", 1.0, 1, KEYS))
    assert kept.about("c") is None
    kept.take(StreamCaptured("c", ()))
    for _ in range(2):
        kept.take(StreamCaptured("c", (packet(), packet())))
        kept.take(StreamKeys("c", 1.0, 1, KEYS))
    found = kept.about("c")
    assert found is not None
    assert (len(found.packets), found.size, len(found.keys)) == (4, 400, 2)
    assert "ours" not in repr(found)
    kept.take(StreamCaptured("c", ()))  # another capture of the same call
    again = kept.about("c")
    assert again is not None
    assert (again.packets, again.keys) == ([], [])


def test_the_oldest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captures, "KEPT_BYTES", 1000)
    kept = Captures()
    for name in "abc":
        kept.take(StreamCaptured(name, ()))
        kept.take(StreamCaptured(name, (packet(400),)))
    assert [name for name in "abc" if kept.about(name) is not None] == ["b", "c"]
    for number in range(2 * captures.KEPT):
        kept.take(StreamCaptured(str(number), ()))
    assert kept.about("c") is None
    assert kept.about(str(captures.KEPT)) is not None


def test_a_flood_of_keys_is_bounded() -> None:
    kept = Captures()
    kept.take(StreamCaptured("c", ()))
    for _ in range(1000):
        kept.take(StreamKeys("c", 1.0, 1, KEYS))
    found = kept.about("c")
    assert found is not None
    assert len(found.keys) == captures.MOST_KEYS
