"""The runners of the real peers: each peer starts, does something, and is gone afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from offhook.testing import peers
from offhook.testing.ears import has_tone, read_wav
from offhook.testing.kamailio import kamailio
from offhook.testing.peers import PeerFailed, baresip, sipp

pytestmark = pytest.mark.interop

OPTIONS_ONCE = """<?xml version="1.0" encoding="ISO-8859-1"?>
<scenario name="options">
  <send retrans="500"><![CDATA[
OPTIONS sip:[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:sipp@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 OPTIONS
Contact: <sip:sipp@[local_ip]:[local_port]>
Max-Forwards: 70
Content-Length: 0

]]></send>
  <recv response="200"/>
</scenario>
"""


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    yield
    assert not peers._running


def test_sipp_calls_sipp(tmp_path: Path) -> None:
    with sipp("uas", tmp_path / "uas") as server, sipp("uac", tmp_path / "uac", remote=server.address) as client:
        client.wait(10)
        server.wait(10)
        assert "INVITE sip:phone@" in server.messages()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_kamailio_answers_sipp(tmp_path: Path, transport: str) -> None:
    with (
        kamailio(tmp_path / "kamailio", {"1001": "secret"}) as proxy,
        sipp(OPTIONS_ONCE, tmp_path / "sipp", remote=proxy.address, transport="udp" if transport == "udp" else "tcp") as client,
    ):
        client.wait(10)


def test_a_sipp_scenario_that_fails_says_so(tmp_path: Path) -> None:
    with (
        sipp("uas", tmp_path / "uas") as server,
        sipp(OPTIONS_ONCE, tmp_path / "uac", remote=server.address, options=("-recv_timeout", "300")) as client,
        pytest.raises(PeerFailed, match="exit code"),
    ):
        client.wait(10)


def test_baresip_calls_baresip_through_kamailio(tmp_path: Path) -> None:
    users = {"1001": "secret-1", "1002": "secret-2"}
    with (
        kamailio(tmp_path / "kamailio", users) as proxy,
        baresip(tmp_path / "ann", user="1001", password="secret-1", registrar=proxy.address) as ann,
        baresip(tmp_path / "bob", user="1002", password="secret-2", registrar=proxy.address) as bob,
    ):
        ann.command("dial", f"sip:1002@{proxy.domain}")
        bob.wait_event("CALL_ESTABLISHED")
        ann.wait_event("CALL_ESTABLISHED")
        bob.process.wait_until(lambda: bob.heard()[0].stat().st_size > 8000, "hearing")
        ann.command("hangup")
        bob.wait_event("CALL_CLOSED")
        assert has_tone(read_wav(bob.heard()[0]).channels[0], 440.0)


def test_baresip_calls_baresip_directly_and_rejects_by_hand(tmp_path: Path) -> None:
    with baresip(tmp_path / "ann", user="ann") as ann, baresip(tmp_path / "bob", answer="manual") as bob:
        ann.command("dial", bob.uri)
        bob.wait_event("CALL_INCOMING")
        bob.command("hangup")
        assert ann.wait_event("CALL_CLOSED")["peeruri"].startswith(bob.uri)


def test_a_baresip_with_a_wrong_password_does_not_register_at_kamailio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "START_TIMEOUT", 1.0)
    with kamailio(tmp_path / "kamailio", {"1001": "secret"}) as proxy:  # noqa: SIM117 - the proxy has to outlive the failure
        with pytest.raises(PeerFailed, match="not registered"):
            with baresip(tmp_path / "ann", user="1001", password="wrong", registrar=proxy.address):
                pass
