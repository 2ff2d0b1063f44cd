"""rtpengine between two phones: one speaks SRTP, the other what its provider's other half speaks, and they hear each other."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from offhook.media.codecs.kinds import missing
from offhook.phone.commands import Answer, Dial, Hangup, Hold, ListCalls, Play, Record, Resume, SendDtmf, StopPlay
from offhook.phone.settings import AccountSettings, NatSettings, SrtpSettings
from offhook.testing.ears import dominant_frequency, read_wav
from offhook.testing.kamailio import Kamailio, kamailio
from offhook.testing.live import LivePhone, live_phone, over, quiet_config
from offhook.testing.rtpengine import DTLS, PLAIN, RELAYED_PORTS, SDES, rtpengine

pytestmark = pytest.mark.interop

USERS = {
    "plain": PLAIN, "sdes": SDES, "dtls": DTLS,
    "opus": f"{DTLS} codec-mask-PCMU codec-transcode-opus", "g711": f"{PLAIN} codec-mask-opus codec-transcode-PCMU",
    "ice": PLAIN.replace("remove", "force"), "dtls-ice": DTLS.replace("remove", "force"),
}  # fmt: skip
PASSWORDS = {user: f"secret-{user}" for user in USERS}
KEYING: dict[str, Literal["sdes", "dtls"]] = {"sdes": "sdes", "dtls": "dtls", "opus": "dtls", "dtls-ice": "dtls"}
TONES = (500.0, 800.0)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kamailio]:
    folder = tmp_path_factory.mktemp("proxy")
    with rtpengine(folder) as relay, kamailio(folder, PASSWORDS, sound=relay.route(USERS)) as running:
        yield running


@asynccontextmanager
async def phone_of(proxy: Kamailio, user: str, *codecs: str) -> AsyncIterator[LivePhone]:
    """Run the phone of a user, who speaks what the name says and nothing else."""
    account = AccountSettings(id="kam", domain=proxy.domain, username=user, password=PASSWORDS[user], codecs=codecs)
    config = replace(quiet_config(status_linger=0.2), accounts=(account,))
    config = replace(
        config,
        srtp=SrtpSettings("required", KEYING[user]) if user in KEYING else SrtpSettings("off"),
        nat=NatSettings(policy="ice") if "ice" in user else config.nat,
    )
    async with live_phone(config) as running:
        await running.event("account.registered")
        yield running


def received(phone: LivePhone) -> list[tuple[int, str]]:
    """Return port and profile of each description the phone was sent."""
    messages = phone.running.traced(phone.execute(ListCalls()).value[0].sip_call_id)
    found = [re.search(rb"m=audio ([0-9]+) ([A-Z/]+)", m.data) for m in messages if not m.sent]
    return [(int(line[1]), line[2].decode()) for line in found if line]


async def heard(phone: LivePhone, file: Path) -> float:
    """Return the frequency of what the far end sends, which is in the right channel."""
    since = len(phone.events)
    phone.execute(Record(file=str(file), channels="stereo", max_seconds=0.6))
    await phone.event("recording.finished", since)
    sound = read_wav(file)
    return dominant_frequency(sound.channels[1][sound.rate // 2:], sound.rate)


async def hear_each_other(ann: LivePhone, bob: LivePhone, folder: Path) -> None:
    talking = ((ann, TONES[0]), (bob, TONES[1]))
    for phone, tone in talking:
        phone.execute(Play(tone=str(tone)))
    found = await asyncio.gather(*(heard(phone, folder / f"{tone:g}-{len(phone.events)}.wav") for phone, tone in talking))
    for phone in (ann, bob):
        phone.execute(StopPlay())
    assert found == pytest.approx([TONES[1], TONES[0]], abs=5)


async def call(caller: LivePhone, callee: LivePhone, number: str) -> None:
    caller.execute(Dial(to=number))
    await callee.event("call.incoming")
    callee.execute(Answer())
    for phone in (caller, callee):
        await phone.reaches(2)
        await phone.event("media.started")


@pytest.mark.parametrize(("one", "other"), [
    ("plain", "sdes"), ("plain", "dtls"), ("dtls", "sdes"), ("sdes", "dtls"),
    ("ice", "plain"), ("plain", "ice"), ("dtls-ice", "plain"), ("plain", "dtls-ice"), ("dtls-ice", "sdes"),
])  # fmt: skip
async def test_two_who_speak_differently_hear_each_other(proxy: Kamailio, tmp_path: Path, one: str, other: str) -> None:
    low, high = RELAYED_PORTS
    async with phone_of(proxy, one) as ann, phone_of(proxy, other) as bob:
        await call(ann, bob, other)
        for phone, user in ((ann, one), (bob, other)):
            assert phone.execute(ListCalls()).value[0].media.srtp == KEYING.get(user, "")
            assert {(low <= port <= high, profile) for port, profile in received(phone)} == {(True, USERS[user].split()[0])}
        await hear_each_other(ann, bob, tmp_path)
        ann.execute(Hangup())
        await over(ann, bob)


@pytest.mark.parametrize("caller", ["opus", "g711"])
async def test_a_phone_with_opus_and_one_with_g711_hear_each_other(proxy: Kamailio, tmp_path: Path, caller: str) -> None:
    """rtpengine decodes and encodes: Opus over SRTP at one side, G.711 in the clear at the other."""
    if reason := missing("OPUS"):
        pytest.skip(reason)
    async with phone_of(proxy, "opus", "OPUS") as ann, phone_of(proxy, "g711", "PCMU") as bob:
        await (call(ann, bob, "g711") if caller == "opus" else call(bob, ann, "opus"))
        assert [phone.execute(ListCalls()).value[0].media.codec for phone in (ann, bob)] == ["OPUS", "PCMU"]
        await hear_each_other(ann, bob, tmp_path)
        ann.execute(Hangup())
        await over(ann, bob)


@pytest.mark.parametrize("one", ["sdes", "dtls"])
async def test_hold_and_digits_through_rtpengine(proxy: Kamailio, tmp_path: Path, one: str) -> None:
    async with phone_of(proxy, one) as ann, phone_of(proxy, "plain") as bob:
        await call(ann, bob, "plain")
        await hear_each_other(ann, bob, tmp_path)
        since = len(bob.events)
        ann.execute(Hold())
        await bob.event("call.remote_held", since)
        ann.execute(Resume())
        await bob.event("call.remote_resumed", since)
        bob.execute(SendDtmf(digits="4#", duration_ms=80, gap_ms=40))
        await ann.until(lambda: ann.types.count("dtmf.received") == 2, "two digits")
        await hear_each_other(ann, bob, tmp_path)
        bob.execute(Hangup())
        await over(ann, bob)


async def test_reports_pass_over_rtcp_with_a_handshake_of_its_own(proxy: Kamailio) -> None:
    """What rtpengine offers for a phone without rtcp-mux has none either: it makes a second handshake, and so do we."""
    async with phone_of(proxy, "plain") as ann, phone_of(proxy, "dtls") as bob:
        await call(ann, bob, "dtls")
        said = bob.running.traced(bob.execute(ListCalls()).value[0].sip_call_id)
        assert not any(b"a=rtcp-mux" in message.data for message in said if not message.sent)
        await bob.event("media.stats")
        await bob.until(lambda: bob.execute(ListCalls()).value[0].media.rtt_ms is not None, "a report")
        ann.execute(Hangup())
        await over(ann, bob)
