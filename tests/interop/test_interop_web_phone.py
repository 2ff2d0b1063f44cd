"""A phone in a web page (WebRTC), by Kamailio or the practice exchange: heard, held, moved, with digits and a camera."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from offhook.exchange.server import Exchange
from offhook.media.codecs import codec
from offhook.phone.commands import Answer, Dial, Hangup, Hold, Play, Record, Resume, SendDtmf
from offhook.phone.settings import AccountSettings, NatSettings, SrtpSettings
from offhook.testing import ears
from offhook.testing.browser import chromium
from offhook.testing.kamailio import Kamailio, kamailio
from offhook.testing.live import LivePhone, live_phone, quiet_config
from offhook.testing.web_phone import PAGES, WebPhone, build, web_phone

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

SOURCES = Path(__file__).parent / "web"
OURS, THEIRS = 1000.0, 440.0
PASSWORDS = {"1001": "secret-1", "1002": "secret-2"}


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    chromium()
    return build(SOURCES, tmp_path_factory.mktemp("web") / "page")


@pytest.fixture
def script(scripts: Path) -> Path:
    return scripts / "page.js"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, certificates: Path) -> Iterator[Kamailio]:
    with kamailio(tmp_path_factory.mktemp("kamailio"), PASSWORDS, certificate=certificates / "peer.pem") as running:
        yield running


@asynccontextmanager
async def phones(
    proxy: Kamailio, script: Path, *, codecs: tuple[str, ...], transport: str, max_bundle: bool = False, fewest: bool = False
) -> AsyncIterator[tuple[LivePhone, WebPhone]]:
    """Register a phone of ours as 1001, with the fewest settings that do or all that help, and a page as 1002."""
    account = AccountSettings(
        id="kam", domain=f"127.0.0.1:{proxy.port}", proxy=f"sip:127.0.0.1:{proxy.port};lr", username="1001",
        password=PASSWORDS["1001"], transport=transport, codecs=codecs,  # type: ignore[arg-type]
    )
    srtp, nat = (SrtpSettings("optional"), NatSettings()) if fewest else (SrtpSettings("required", "dtls"), NatSettings("ice"))
    config = replace(quiet_config(), srtp=srtp, nat=nat, accounts=(account,))
    server, uri = f"ws://127.0.0.1:{proxy.port}", f"sip:1002@127.0.0.1:{proxy.port}"
    async with live_phone(config) as phone, web_phone(script, server, uri, PASSWORDS["1002"], max_bundle=max_bundle) as page:
        await phone.event("account.registered")
        yield phone, page


async def both_hear(phone: LivePhone, page: WebPhone, file: Path) -> None:
    """Have each hear the other's tone."""
    since = len(phone.events)
    phone.execute(Play(tone=str(int(OURS)), loop=True))
    phone.execute(Record(file=str(file), channels="stereo", max_seconds=2))
    await phone.event("recording.finished", since)
    wav = ears.read_wav(file)
    assert ears.dominant_frequency(wav.channels[1][wav.rate:], wav.rate) == pytest.approx(THEIRS, abs=5)
    assert await page.hears() == pytest.approx(OURS, abs=10)


@pytest.mark.parametrize(
    ("name", "transport", "max_bundle"), [("PCMU", "udp", False), ("opus", "ws", True)], ids=["PCMU", "Opus"]
)
async def test_a_page_is_called(
    proxy: Kamailio, script: Path, tmp_path: Path, name: str, transport: str, max_bundle: bool
) -> None:
    try:
        codec(name)
    except LookupError:
        pytest.skip("Opus is not installed: pip install 'offhook[codecs]'")
    async with phones(proxy, script, codecs=(name,), transport=transport, max_bundle=max_bundle) as (phone, page):
        phone.execute(Dial(to="1002"))
        await page.says("incoming")
        page.do("answer")
        await phone.event("call.active")
        secured = await phone.event("media.security")
        assert secured.data["srtp"] == "dtls"
        await page.says("connected")
        await both_hear(phone, page, tmp_path / "first.wav")

        since = len(phone.events)
        phone.execute(Hold())
        await phone.event("call.held", since)
        await page.says("hold remote")
        phone.execute(Resume())
        await phone.event("call.resumed", since)
        await page.says("unhold remote")
        await both_hear(phone, page, tmp_path / "resumed.wav")

        since = len(phone.events)
        page.do("hold")
        await phone.event("call.remote_held", since)
        await page.says("holds")
        page.do("unhold")
        await phone.event("call.remote_resumed", since)
        await page.says("holds no more")
        page.do("restartIce")
        await page.says("restarted")
        await both_hear(phone, page, tmp_path / "moved.wav")

        page.do("press", "12#")
        await phone.until(lambda: phone.types.count("dtmf.received") == 3, "three digits")
        digits = [event.data["digit"] for event in phone.events if event.type == "dtmf.received"]
        assert "".join(digits) == "12#"
        phone.execute(SendDtmf(digits="9"))
        await phone.event("dtmf.sent")
        phone.execute(Hangup())
        await page.says("ended")
        await phone.over()


@pytest.mark.parametrize("way", ["call", "callWithVideo"])
async def test_a_page_calls(proxy: Kamailio, script: Path, tmp_path: Path, way: str) -> None:
    async with phones(proxy, script, codecs=("PCMA",), transport="tcp") as (phone, page):
        page.do(way, f"sip:1001@127.0.0.1:{proxy.port}")
        await phone.event("call.incoming")
        phone.execute(Answer())
        await phone.event("media.started")
        since = len(phone.events)
        phone.execute(Play(tone=str(int(OURS)), loop=True))
        phone.execute(Record(file=str(tmp_path / "heard.wav"), channels="stereo", max_seconds=2))
        await phone.event("recording.finished", since)
        assert await page.hears() == pytest.approx(OURS, abs=10)
        wav = ears.read_wav(tmp_path / "heard.wav")
        assert ears.level_dbfs(wav.channels[1][wav.rate // 2:]) > -40  # its tone, or the beeps of a microphone that is none
        page.do("hangUp")
        assert (await phone.over())["by"] == "remote"


async def answers(page: WebPhone, phone: LivePhone) -> None:
    """Have the page answer, and again when it is offered what it can take."""
    await page.says("incoming")
    page.do("answer")
    since = len(page.told)
    await page.says("refused")
    await page.says("incoming", since)
    page.do("answer")
    await phone.event("call.active")


@pytest.mark.parametrize("library", PAGES)
async def test_with_the_fewest_settings(proxy: Kamailio, scripts: Path, tmp_path: Path, library: str) -> None:
    async with phones(proxy, scripts / f"{library}.js", codecs=("PCMU",), transport="udp", fewest=True) as (phone, page):
        page.do("call", f"sip:1001@127.0.0.1:{proxy.port}")
        await phone.event("call.incoming")
        phone.execute(Answer())
        await phone.event("media.security")
        await page.says("connected")
        await both_hear(phone, page, tmp_path / "from.wav")
        for wish, event, done in (
            ("hold", "call.remote_held", "holds"), ("unhold", "call.remote_resumed", "holds no more"),
            ("restartIce", "", "restarted"),
        ):
            since = len(phone.events)
            page.do(wish)
            await page.says(done)
            if event:
                await phone.event(event, since)
        await both_hear(phone, page, tmp_path / "moved.wav")
        page.do("press", "5")
        assert (await phone.event("dtmf.received")).data["digit"] == "5"
        page.do("hangUp")
        assert (await phone.over())["by"] == "remote"
    async with phones(proxy, scripts / f"{library}.js", codecs=("PCMU",), transport="udp", fewest=True) as (phone, page):
        phone.execute(Dial(to="1002"))
        await answers(page, phone)
        assert (await phone.event("media.security")).data["srtp"] == "dtls"
        await page.says("connected")
        await both_hear(phone, page, tmp_path / "to.wav")
        phone.execute(Hangup())
        await page.says("ended")
        await phone.over()


async def hears_soon(page: WebPhone, hz: float) -> None:
    """Wait until the page hears a tone: it takes a moment to come out of a browser."""
    async with asyncio.timeout(15):
        while abs(await page.hears() - hz) > 10:
            pass


@pytest.mark.parametrize("library", PAGES)
async def test_a_page_calls_the_practice_exchange(scripts: Path, tmp_path: Path, library: str) -> None:
    exchange = Exchange(port=0, tls=str(tmp_path / "ca.pem"))
    await exchange.start()
    try:
        domain = f"127.0.0.1:{exchange.address[1]}"
        server, uri = f"ws://127.0.0.1:{exchange.ports['ws']}", f"sip:1002@{domain}"
        async with web_phone(scripts / f"{library}.js", server, uri, "practice-1002") as page:
            page.do("call", f"sip:tone-1000@{domain}")
            await page.says("connected")
            await hears_soon(page, OURS)
            for wish, done in (("hold", "holds"), ("unhold", "holds no more"), ("restartIce", "restarted")):
                page.do(wish)
                await page.says(done)
            await hears_soon(page, OURS)
            page.do("hangUp")
            page.do("call", f"sip:callback@{domain}")
            await page.says("incoming")
            since = len(page.told)
            page.do("answer")
            await page.says("connected", since)
            await hears_soon(page, THEIRS)
    finally:
        await exchange.close()
