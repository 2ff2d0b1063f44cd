"""Phones on addresses of one link (fe80::…), which mean nothing without it: calls, and no word of the link to the other one."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from offhook.testing.peers import PeerMissing, program

pytestmark = pytest.mark.interop

PHONES = str(Path(__file__).with_name("link_phones.py"))
LINK = "ohlink0"


def ip(*arguments: str) -> None:
    done = subprocess.run([program("ip", "iproute2"), *arguments], capture_output=True, text=True, timeout=20, check=False)
    if done.returncode:
        raise PeerMissing(f"ip {' '.join(arguments)}: {done.stderr.strip()} (network namespaces need root)")


@pytest.fixture
def place() -> Iterator[str]:
    """Return a namespace with a link that has two addresses of its own."""
    name = f"offhook-l{os.getpid()}"
    try:
        ip("netns", "add", name)
        ip("-n", name, "link", "set", "lo", "up")
        ip("-n", name, "link", "add", LINK, "type", "veth", "peer", "name", f"{LINK}p")
        for last in "ab":
            ip("-n", name, "addr", "add", f"fe80::{last}/64", "dev", LINK, "nodad")
        for end in (LINK, f"{LINK}p"):
            ip("-n", name, "link", "set", end, "up")
        yield name
    finally:
        with contextlib.suppress(PeerMissing):
            ip("netns", "delete", name)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_call_between_addresses_of_a_link(place: str, tmp_path: Path, transport: str) -> None:
    line = ["ip", "netns", "exec", place, sys.executable, PHONES, str(tmp_path), LINK, transport]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["heard"] == pytest.approx([440, 600], abs=5)
    assert not found["named"], "RFC 4007 11.2: what a link is called is known here only"
