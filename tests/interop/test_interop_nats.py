"""Two phones behind two NATs: what each hears of the other, directly where the NATs let it, over the relay where not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from offhook.testing.nats import SERVER, NatKind, Nats, two_nats
from offhook.testing.peers import Process, coturn

pytestmark = pytest.mark.interop
PHONE = str(Path(__file__).with_name("nat_phone.py"))


def call(nats: Nats, folder: Path, relay: dict[str, str], srtp: str = "off") -> tuple[dict[str, Any], dict[str, Any]]:
    """Have phone 1 call phone 2 and return what each of them says."""
    started = []
    try:
        for number, role in ((2, "callee"), (1, "caller")):
            line = nats.run(f"phone{number}", [sys.executable, PHONE, role, str(folder), json.dumps(relay), srtp])
            process = Process(line, folder / f"{role}.log")
            started.append(process)
            if role == "callee":
                process.wait_until(lambda: "ready" in started[0].log.read_text("utf-8", "replace"), "ready")
        for process in started[::-1]:
            if process.wait(40.0) != 0:
                raise process.failed("did not hear the other one")
    finally:
        for process in started:
            process.stop()
    said = [json.loads((folder / f"{role}.log").read_text("utf-8").splitlines()[-1]) for role in ("caller", "callee")]
    return said[0], said[1]


@pytest.mark.parametrize(("kind", "transport", "srtp"), [
    ("keeps ports", "udp", "off"), ("symmetric", "udp", "required"), ("symmetric", "tcp", "off"),
])  # fmt: skip
@pytest.mark.timeout(120)
def test_two_phones_behind_two_nats_hear_each_other(tmp_path: Path, kind: NatKind, transport: str, srtp: str) -> None:
    try:
        with two_nats(kind) as nats, coturn(
            tmp_path, host=SERVER, inside=lambda line: nats.run("server", line), options=["--verbose"]
        ) as relay:
            servers = {
                "policy": "ice", "stun": f"{SERVER}:{relay.port}", "turn": f"turn:{SERVER}:{relay.port}?transport={transport}",
                "turn_username": relay.user, "turn_password": relay.password,
            }  # fmt: skip
            caller, callee = call(nats, tmp_path, servers, srtp)
    except subprocess.TimeoutExpired as exc:
        pytest.fail(str(exc))
    assert any(frequency == pytest.approx(440, abs=5) for frequency in caller["heard"])
    assert any(frequency == pytest.approx(600, abs=5) for frequency in callee["heard"])
    assert caller["problems"] == callee["problems"] == []
    relayed = [side["route"]["local"] == "relay" or side["route"]["remote"] == "relay" for side in (caller, callee)]
    if kind == "symmetric":
        assert all(relayed)
    else:
        assert not any(relayed)
        assert caller["route"]["address"].startswith("203.0.113.12:")
