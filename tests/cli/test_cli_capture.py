"""Captures by the command line: what is asked for, and that what is written is for its user alone."""

from __future__ import annotations

import json
import stat
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from offhook.cli import main
from offhook.io.captures import Captured
from offhook.media.messages import CapturedPacket, SdesKeys, StreamKeys
from offhook.media.srtp import Sealing
from offhook.phone import commands as c
from offhook.phone.captures import MOST_BYTES
from offhook.phone.model import CallState, CallView, Party, wall
from offhook.testing.backend import FakeBackend
from offhook.testing.served import served

CALL = CallView("c_1", "a_1", "outgoing", CallState.ACTIVE, Party("sip:me@h"), Party("sip:1001@h"), "x@y", wall(0))
KEYS = SdesKeys("AES_CM_128_HMAC_SHA1_80", bytes(range(30)), bytes(range(30, 60)))
RTP = struct.pack("!BBHII", 0x80, 0, 7, 1120, 99) + b"sound" * 32
MANY = MOST_BYTES // (len(RTP) + 10 + 44)
"""As many packets as one capture can have, sealed and with all that stands before them in a file."""


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBackend]:
    backend = FakeBackend()
    backend.calls = (CALL,)
    packet: CapturedPacket = 1.6, True, ("10.0.0.1", 4000), ("10.0.0.2", 5000), Sealing(KEYS.suite, KEYS.send).seal(RTP)
    backend.capture = Captured([packet], [StreamKeys("c_1", 1.5, 1, KEYS)])
    with served(backend, tmp_path / "s") as path:
        monkeypatch.setenv("OFFHOOK_SOCKET", path)
        yield backend


def private(file: Path) -> bytes:
    """Return what is in a file that must be readable for its user alone."""
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    return file.read_bytes()


@pytest.mark.parametrize(("line", "command"), [
    ("capture", c.Capture()),
    ("capture start --call c_1 --seconds 30 --keys", c.Capture(call="c_1", seconds=30.0, keys=True)),
    ("capture stop --call c_1", c.StopCapture(call="c_1")),
])  # fmt: skip
def test_what_is_asked_for(phone: FakeBackend, line: str, command: c.Command) -> None:
    assert main(line.split()) == 0
    assert phone.commands[-1] == command


def test_files_with_sound_and_without(phone: FakeBackend, tmp_path: Path) -> None:
    plain, sealed, clear = (tmp_path / name for name in ("sip.pcap", "sealed.pcap", "open.pcap"))
    plain.write_text("a file of everybody's")
    plain.chmod(0o644)
    assert main(["call", "pcap", "c_1", str(plain)]) == 0
    assert main(["call", "pcap", "c_1", str(sealed), "--media"]) == 0
    assert main(["call", "pcap", "c_1", str(clear), "--media", "--opened"]) == 0
    assert [RTP[12:] in private(file) for file in (plain, sealed, clear)] == [False, False, True]
    assert len(private(plain)) < len(private(sealed)) > len(private(clear))


def test_a_file_of_keys(phone: FakeBackend, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "call.keys"
    assert main(["call", "keys", "c_1", str(file), "--json"]) == 0
    lines = private(file).decode().splitlines()
    assert [line.split()[1:3] for line in lines if line[0] != "#"] == [["rtp", "sent"], ["rtp", "received"]]
    assert json.loads(capsys.readouterr().out) == {"file": str(file)}  # and no key where others look


def test_a_dash_is_a_pipe(phone: FakeBackend, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["call", "pcap", "c_1", str(tmp_path / "call.pcap"), "--media"]) == 0
    capfdbinary.readouterr()
    assert main(["call", "pcap", "c_1", "-", "--media"]) == 0
    assert capfdbinary.readouterr().out == private(tmp_path / "call.pcap")


def test_what_cannot_be(phone: FakeBackend, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["call", "keys", "c_1"]) == 2
    assert main(["capture", "everything"]) == 2
    assert main(["call", "pcap", "c_1", str(tmp_path / "no" / "file"), "--media"]) == 1
    phone.capture = None
    assert main(["call", "pcap", "c_1", str(tmp_path / "file"), "--media"]) == 1
    assert "captured" in capsys.readouterr().err
    assert not (tmp_path / "file").exists()


@pytest.mark.lengthy
def test_the_longest_capture_there_can_be(phone: FakeBackend, tmp_path: Path) -> None:
    assert phone.capture is not None
    phone.capture.packets *= MANY
    file = tmp_path / "long.pcap"
    assert main(["call", "pcap", "c_1", str(file), "--media"]) == 0
    assert private(file).count(phone.capture.packets[0][4]) == MANY
    assert MOST_BYTES * 0.99 < file.stat().st_size < MOST_BYTES + 1000
