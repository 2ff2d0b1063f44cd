"""The phone as a process: killed in mid-call, fed garbage, ignored by its clients, given wrong passwords."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from offhook.control.client import Refused
from offhook.testing.ears import dominant_frequency
from offhook.testing.process import PhoneProcess, phone_process

pytestmark = pytest.mark.slow

@contextlib.contextmanager
def listening(near: PhoneProcess, types: str) -> Iterator[Callable[[], dict[str, Any]]]:
    """Subscribe to events; the function that this gives waits for the next one."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(10)
        listener.connect(near.socket)
        listener.sendall(json.dumps({"id": 1, "op": "subscribe", "types": [types]}).encode() + b"\n")
        lines = listener.makefile()
        assert json.loads(lines.readline())["ok"]
        yield lambda: json.loads(lines.readline())["event"]


AUTO = '[phone]\nauto_answer = "all"\n'


def test_kill_9_in_a_call_leaves_history_and_recording_and_the_next_start_works(tmp_path: Path) -> None:
    recording = tmp_path / "talk.wav"
    with phone_process(tmp_path / "b", AUTO) as far, phone_process(tmp_path / "a") as near:
        near.ask("dial", to=f"sip:offhook@127.0.0.1:{far.port}")
        near.until("status", lambda r: r["value"]["code"] == 2)
        near.ask("record", file=str(recording))
        far.ask("play", tone="440")
        near.until("status", lambda r: recording.exists() and recording.stat().st_size > 2 * 16000 + 44)
        near.until("history", lambda r: r["entries"] and r["entries"][0]["duration"] > 4)
        near.kill()
        with wave.open(str(recording)) as kept:
            seconds = kept.getnframes() / kept.getframerate()
            pcm = kept.readframes(kept.getnframes())
        assert seconds >= 1.0
        assert abs(dominant_frequency(pcm[-8000:], 8000) - 440) < 5
        near.start()
        entries = near.ask("history")["entries"]
        assert len(entries) == 1
        assert entries[0]["remote_uri"].endswith(str(far.port))
        assert entries[0]["answered"]
        assert 4 < entries[0]["duration"] < 10
        assert entries[0]["recording"] == str(recording)
        assert entries[0]["reason"] == "not ended when last seen"
        assert near.ask("status")["value"]["code"] == 0
        near.ask("dial", to=f"sip:offhook@127.0.0.1:{far.port}")
        near.until("status", lambda r: r["value"]["code"] == 2)


def test_the_media_worker_killed_in_a_call_is_started_again(tmp_path: Path) -> None:
    with phone_process(tmp_path / "b", AUTO) as far, phone_process(tmp_path / "a") as near:
        near.ask("dial", to=f"sip:offhook@127.0.0.1:{far.port}")
        near.until("status", lambda r: r["value"]["code"] == 2)
        workers = near.children()
        assert workers
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        near.until("status", lambda r: r["value"]["code"] in (0, 4))
        near.until("status", lambda r: r["value"]["code"] == 0)
        near.ask("dial", to=f"sip:offhook@127.0.0.1:{far.port}")
        near.until("status", lambda r: r["value"]["code"] == 2)


def test_garbage_on_the_sip_port_disturbs_nobody(tmp_path: Path) -> None:
    rng = random.Random(7)
    whole = (
        b"INVITE sip:offhook@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\n"
        b"To: <sip:c@d>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContact: <sip:a@127.0.0.1:9>\r\nMax-Forwards: 70\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    with phone_process(tmp_path / "b", AUTO) as far, phone_process(tmp_path / "a") as near:
        near.ask("dial", to=f"sip:offhook@127.0.0.1:{far.port}")
        near.until("status", lambda r: r["value"]["code"] == 2)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for number in range(1500):
                mutant = bytearray(whole if number % 3 else rng.randbytes(rng.randrange(1, 600)))
                for _ in range(rng.randrange(1, 8)):
                    mutant[rng.randrange(len(mutant))] = rng.randrange(256)
                stranger.sendto(bytes(mutant), ("127.0.0.1", near.port))
        with socket.create_connection(("127.0.0.1", near.port), 5) as stream:
            stream.sendall(b"\x00\xff" * 5000)
        assert near.until("status", lambda r: r["value"]["code"] == 2)["value"]["calls"] >= 1
        near.ask("hangup_all")
        printed = near.stop()
        assert "Traceback" not in printed, printed


def test_a_client_that_never_reads_costs_nobody_else_anything(tmp_path: Path) -> None:
    with phone_process(tmp_path / "b", AUTO) as far, phone_process(tmp_path / "a") as near:
        with socket.socket(socket.AF_UNIX) as deaf:
            deaf.connect(near.socket)
            deaf.sendall(b'{"id":1,"op":"subscribe","types":["*"]}\n')
            for number in range(40):
                deaf.sendall(b'{"id":%d,"op":"help"}\n' % number)
            for _ in range(3):
                near.ask("dial", to=f"sip:offhook@127.0.0.1:{far.port}")
                near.until("status", lambda r: r["value"]["code"] == 2)
                near.ask("hangup")
            for line in (b"{", b"[]\n", b'{"op":5}\n', b"\xff\xfe\n", b'{"id":1,"op":"dial","to":["x"]}\n'):
                with socket.socket(socket.AF_UNIX) as rude:
                    rude.connect(near.socket)
                    rude.sendall(line)
        assert near.ask("status")["value"]["code"] in (0, 4)


def test_a_wrong_exchange_is_said_plainly_and_the_phone_goes_on(tmp_path: Path) -> None:
    account = '[account.nobody]\ndomain = "127.0.0.1:9"\nusername = "1001"\npassword = "very-secret"\n'
    with phone_process(tmp_path / "b", AUTO) as far, phone_process(tmp_path / "a", account) as near:
        # Nobody is at port 9: the dial waits for the registration and then says so; a whole address needs no exchange.
        accounts = near.ask("list_accounts")["value"]
        assert accounts[0]["registration"] in ("registering", "failed")
        assert "very-secret" not in json.dumps(near.ask("get_snapshot"))
        near.ask("status")
        far.ask("dial", to=f"sip:1001@127.0.0.1:{near.port}")
        near.until("status", lambda r: r["value"]["code"] == 1)
        near.ask("answer")
        near.until("status", lambda r: r["value"]["code"] == 2)


@pytest.mark.parametrize("path", ["/nonexistent/x.wav", "/dev/full"])
def test_a_recording_that_cannot_be_written_is_an_event_and_the_call_goes_on(tmp_path: Path, path: str) -> None:
    with phone_process(tmp_path / "b", AUTO) as far, phone_process(tmp_path / "a") as near:
        with listening(near, "recording.*") as event:
            near.ask("dial", to=f"sip:offhook@127.0.0.1:{far.port}")
            near.until("status", lambda r: r["value"]["code"] == 2)
            near.ask("record", file=path)
            failed = event()
            assert failed["type"] == "recording.failed", failed
            assert failed["data"]["reason"]
        assert near.ask("status")["value"]["code"] == 2


def test_a_sound_that_is_no_file_leaves_the_media_process_alone(tmp_path: Path) -> None:
    """/dev/stdin of that process is what its commands come by. A command may not name it; the music on hold still can."""
    os.mkfifo(tmp_path / "pipe.wav")
    music = '[phone]\nhold_music = "/dev/stdin"\n'
    with phone_process(tmp_path / "b", AUTO) as far, phone_process(tmp_path / "a", music) as near:
        near.ask("dial", to=f"sip:offhook@127.0.0.1:{far.port}")
        near.until("status", lambda r: r["value"]["code"] == 2)
        for path in ("/dev/stdin", str(tmp_path / "pipe.wav"), str(tmp_path / "none.wav")):
            with pytest.raises(Refused, match=f"file: {path}: "):
                near.ask("play", file=path)
        with listening(near, "playback.*") as event:
            for _ in range(2):
                near.ask("hold")
                failed = event()
                assert failed["type"] == "playback.failed", failed
                assert failed["data"]["reason"].startswith("/dev/stdin: ")
                near.ask("resume")
            near.ask("play", tone="440", duration_ms=100)
            assert [event()["type"] for _ in range(2)] == ["playback.started", "playback.finished"]
