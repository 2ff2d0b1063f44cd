"""baresip with everything encrypted: TLS to Kamailio, or straight to us, and SRTP; calls both ways, hold, digits, transfers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from baresips import THEIR_TONE, hear_each_other, recorded, says, started, tell

from offhook.media.codecs.kinds import missing
from offhook.media.security import Keying
from offhook.phone.commands import AcceptTransfer, Answer, Dial, Hangup, Hold, ListCalls, Resume, SendDtmf, Transfer
from offhook.phone.settings import AccountSettings, SrtpSettings
from offhook.testing.ears import dominant_frequency
from offhook.testing.kamailio import Kamailio, kamailio
from offhook.testing.live import LivePhone, live_phone, quiet_config
from offhook.testing.peers import Baresip

pytestmark = pytest.mark.interop

PASSWORDS = {"1001": "secret-1", "1002": "secret-2", "1003": "secret-3"}
OURS, THEIRS = "0159*", "37B#"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, certificates: Path) -> Iterator[Kamailio]:
    with kamailio(tmp_path_factory.mktemp("kamailio"), PASSWORDS, certificate=certificates / "peer.pem") as running:
        yield running


@asynccontextmanager
async def bob(proxy: Kamailio, certificates: Path, folder: Path, mediaenc: str = "srtp-mand") -> AsyncIterator[Baresip]:
    async with started(
        folder / "bob", user="1002", password=PASSWORDS["1002"], registrar=("127.0.0.1", proxy.tls_port), transport="tls",
        certificate=certificates / "peer.pem", trusted=certificates / "ca.pem", mediaenc=mediaenc,
        codecs="opus/48000/2,PCMU/8000/1", settings="module opus.so",
        account=f';outbound="sip:127.0.0.1:{proxy.tls_port};transport=tls"',
    ) as peer:  # fmt: skip
        yield peer


@asynccontextmanager
async def registered(
    proxy: Kamailio, certificates: Path, user: str = "1001", *, answer: str = "off", keying: Keying = "sdes"
) -> AsyncIterator[LivePhone]:
    account = AccountSettings(
        id="kam", domain=f"127.0.0.1:{proxy.tls_port}", username=user, password=PASSWORDS[user], transport="tls",
        tls_ca=str(certificates / "ca.pem"),
    )  # fmt: skip
    config = quiet_config(status_linger=0.2, auto_answer=answer)
    async with live_phone(replace(config, accounts=(account,), srtp=SrtpSettings("required", keying))) as running:
        await running.event("account.registered")
        yield running


@pytest.mark.parametrize(("mediaenc", "keying", "codec"), [
    ("srtp-mand", "sdes", "PCMU"), ("dtls_srtp", "dtls", "PCMU"), ("srtp-mand", "sdes", "OPUS"), ("dtls_srtp", "dtls", "OPUS"),
])  # fmt: skip
async def test_we_call_baresip(
    proxy: Kamailio, certificates: Path, tmp_path: Path, mediaenc: str, keying: Keying, codec: str
) -> None:
    if reason := missing(codec):
        pytest.skip(reason)
    async with bob(proxy, certificates, tmp_path, mediaenc) as peer, registered(proxy, certificates, keying=keying) as phone:
        phone.execute(Dial(to="1002", codecs=(codec, "PCMA")))
        await phone.reaches(2)
        await says(peer, "CALL_ESTABLISHED")
        await phone.event("media.started")
        media = phone.execute(ListCalls()).value[0].media
        assert (media.srtp, media.codec) == (keying, codec)
        assert (await phone.event("transport.up")).data["transport"] == "tls"
        await hear_each_other(phone, peer, tmp_path)


async def test_baresip_calls_us(proxy: Kamailio, certificates: Path, tmp_path: Path) -> None:
    async with bob(proxy, certificates, tmp_path) as peer, registered(proxy, certificates, answer="all") as phone:
        await tell(peer, "dial", f"sip:1001@127.0.0.1:{proxy.tls_port}")
        await phone.reaches(2)
        await says(peer, "CALL_ESTABLISHED")
        await hear_each_other(phone, peer, tmp_path)


async def test_hold_from_both_sides_and_digits(proxy: Kamailio, certificates: Path, tmp_path: Path) -> None:
    async with bob(proxy, certificates, tmp_path) as peer, registered(proxy, certificates) as phone:
        phone.execute(Dial(to="1002"))
        await phone.reaches(2)
        await says(peer, "CALL_ESTABLISHED")
        phone.execute(Hold())
        await phone.event("call.held")
        phone.execute(Resume())
        await phone.event("call.resumed")
        await tell(peer, "hold")
        await phone.event("call.remote_held")
        await tell(peer, "resume")
        await phone.event("call.remote_resumed")
        phone.execute(SendDtmf(digits=OURS, duration_ms=80, gap_ms=40))
        assert "".join([(await says(peer, "CALL_DTMF_START"))["param"] for _ in OURS]) == OURS
        for digit in THEIRS:
            await tell(peer, "sndcode", digit)
        await phone.until(lambda: phone.types.count("dtmf.received") == len(THEIRS), "baresip's digits")
        assert "".join(e.data["digit"] for e in phone.events if e.type == "dtmf.received") == THEIRS
        assert dominant_frequency(await recorded(phone, tmp_path / "after.wav")) == pytest.approx(THEIR_TONE, abs=5)
        await tell(peer, "hangup")
        await phone.over()


async def test_transfers_both_ways(proxy: Kamailio, certificates: Path, tmp_path: Path) -> None:
    async with (
        bob(proxy, certificates, tmp_path) as peer,
        registered(proxy, certificates) as phone,
        registered(proxy, certificates, "1003") as target,
    ):
        phone.execute(Dial(to="1002"))
        await phone.reaches(2)
        await says(peer, "CALL_ESTABLISHED")
        phone.execute(Transfer(to="1003"))
        await target.event("call.incoming")
        target.execute(Answer())
        await phone.event("transfer.completed")
        await phone.over()
        await target.reaches(2)
        assert dominant_frequency(await recorded(target, tmp_path / "ours.wav")) == pytest.approx(THEIR_TONE, abs=5)
        # Now baresip sends the phone it was given away to back to us.
        since = len(phone.events)
        await says(peer, "CALL_ESTABLISHED")
        await tell(peer, "transfer", f"sip:1001@127.0.0.1:{proxy.tls_port}")
        await target.event("transfer.requested")
        target.execute(AcceptTransfer())
        await phone.event("call.incoming", since)
        phone.execute(Answer())
        await phone.reaches(2)
        await says(peer, "CALL_CLOSED")
        await target.until(lambda: [c.state for c in target.execute(ListCalls()).value] == ["active"], "only the new call")
        phone.execute(Hangup())
        await phone.over()
        await target.over()


@pytest.mark.parametrize("caller", ["we", "baresip"])
async def test_a_call_without_a_proxy(certificates: Path, tmp_path: Path, caller: str) -> None:
    """Each is the TLS server once. baresip listens for TLS on the port behind its own."""
    config = quiet_config(status_linger=0.2, auto_answer="all")
    shown, trusted = certificates / "peer.pem", certificates / "ca.pem"
    sip = replace(config.sip, tls_port=0, tls_certificate=str(shown), tls_key=str(shown))
    account = AccountSettings(
        id="direct", domain="127.0.0.1", username="1001", register=False, transport="tls", tls_ca=str(trusted)
    )
    config = replace(config, sip=sip, srtp=SrtpSettings("required"), accounts=(account,))
    async with (
        started(tmp_path / "bob", transport="tls", certificate=shown, trusted=trusted, mediaenc="srtp-mand") as peer,
        live_phone(config) as phone,
    ):
        if caller == "we":
            phone.execute(Dial(to=f"sip:bob@127.0.0.1:{peer.port + 1};transport=tls"))
        else:
            await tell(peer, "dial", f"sip:offhook@127.0.0.1:{phone.running.transports.ports['tls']};transport=tls")
        await phone.reaches(2)
        await says(peer, "CALL_ESTABLISHED")
        await hear_each_other(phone, peer, tmp_path)
