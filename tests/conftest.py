"""What all tests share: the test data nobody here wrote, the rule about real peers, Hypothesis's two gears."""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

import offhook.sip.message
from offhook import Softphone
from offhook.exchange.server import Exchange
from offhook.testing.backend import FakeBackend
from offhook.testing.peers import PeerMissing
from offhook.testing.softphones import own_phone, phone_by
from offhook.testing.wire import Weather, Wire

if TYPE_CHECKING:
    import httpx

    from offhook.testing.http import Served
    from offhook.testing.windows import Windows

REPOSITORY = Path(__file__).resolve().parent.parent

# A slow machine is no bug: no deadlines. "fast" is for every save, "ci" (`make random`) looks longer. A test that wants more
# than the others says how many times as many: settings(max_examples=6 * settings().max_examples).
settings.register_profile("fast", deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
# Under Wine each test takes longer, and what it is about there is the system and not the input.
settings.register_profile("few", deadline=None, max_examples=8, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fast")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Read the tests without looking for garbage, of which there is none yet, and leave them out when it is looked for later.

    Thousands of tests and what they import are there until the end: going through them again and again was a tenth of the time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what cannot be where the rooms are compiled (`COMPILED=1`): replacing a constant or a method inside them."""
    if offhook.sip.message.__file__.endswith(".py"):
        return
    plain = [item for item in items if item.get_closest_marker("plain") is not None]
    if plain:
        config.hook.pytest_deselected(items=plain)
        items[:] = [item for item in items if item.get_closest_marker("plain") is None]


@pytest.fixture(scope="session", autouse=True)
def _nobody_to_ask() -> Iterator[None]:
    """Take away the boxes and dialogs that this machine would ask a person with: a test would wait for one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("offhook.cli.desktop.asking._message_box", lambda: None)
        for name in ("DISPLAY", "WAYLAND_DISPLAY"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _nobodys_phone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests away from the phone that may run here, and from what belongs to it; a home has a socket of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OFFHOOK_HOME", str(tmp_path_factory.mktemp("nobody")))
        patch.delenv("OFFHOOK_SOCKET", raising=False)
        yield


@pytest.fixture(scope="session")
def windows() -> Iterator[Windows]:
    """Return a Windows session, one for the whole run; the test is skipped where there can be none."""
    from offhook.testing.windows import windows as session

    with session() as running:
        yield running


def testdata_folder() -> Path | None:
    """Return where RFC torture messages, vectors and captures are: $OFFHOOK_TESTDATA, else beside the checkout."""
    chosen = os.environ.get("OFFHOOK_TESTDATA")
    folder = Path(chosen) if chosen else REPOSITORY.parent / "shared" / "testdata"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def testdata() -> Path:
    """Return the test data's folder; the test is skipped where it is absent."""
    folder = testdata_folder()
    if folder is None:
        pytest.skip("no test data: set OFFHOOK_TESTDATA to its folder")
    return folder


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with peer.pem, which a peer on loopback can show, and ca.pem, who signed it."""
    from offhook.io.certificates import Authority

    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority()
    authority.write(folder / "ca.pem")
    authority.issue(folder / "peer.pem")
    return folder


def _skipped_without_its_peer() -> Generator[None, object, object]:
    """Skip what asks for a peer that is not on this machine, with the words that say how to get it."""
    try:
        return (yield)
    except PeerMissing as missing:
        pytest.skip(str(missing))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    return (yield from _skipped_without_its_peer())


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    return (yield from _skipped_without_its_peer())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With OFFHOOK_REQUIRE_PEERS=1 a test that skips has failed if it needs a peer."""
    report = yield
    needs_peer = any(item.get_closest_marker(name) for name in ("interop", "sound", "windows"))
    if report.skipped and needs_peer and os.environ.get("OFFHOOK_REQUIRE_PEERS") == "1":
        report.outcome = "failed"
        report.longrepr = f"OFFHOOK_REQUIRE_PEERS=1, but the test was skipped: {call.excinfo and call.excinfo.value}"
    return report


@pytest.fixture
def backend() -> FakeBackend:
    """Return a stand-in phone that remembers the commands it was given."""
    return FakeBackend()


@pytest.fixture
async def served(backend: FakeBackend, tmp_path: Path) -> AsyncIterator[Served]:
    """Return a real HTTP server before the stand-in phone."""
    from offhook.testing.http import serving

    async with serving(backend, tmp_path) as found:
        yield found


@pytest.fixture
async def http(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of that server with a token that may do everything."""
    import httpx

    async with httpx.AsyncClient(base_url=served.url, headers=served.bearer, timeout=10, verify=False) as client:
        yield client


@pytest.fixture(
    params=[(0.0, 1), *((loss, seed) for loss in (0.1, 0.3) for seed in (1, 2, 3))], ids=lambda at: f"{at[0]:.0%}-{at[1]}"
)
def wire(request: pytest.FixtureRequest) -> Wire:
    """Return the networks every journey goes through: one that loses nothing, a tenth, nearly a third.

    What is lost is sent again: the outcome is the same in all of them. Where nothing is lost every seed is the same run.
    """
    loss, seed = request.param
    return Wire(seed, Weather(loss=loss, duplicate=loss / 2, jitter=0.03 if loss else 0.0))


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    """Return a practice exchange. Ask for it before `phone`, which then has somebody to say goodbye to."""
    running = Exchange(port=0)
    await running.start()
    yield running
    await running.close()


@pytest.fixture(params=["own", "socket", "web"])
async def phone(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Softphone]:
    """Return a phone, driven from inside, over its socket or over HTTP."""
    async with phone_by(request.param, tmp_path) as (driver, _):
        yield driver


@pytest.fixture
async def peer(tmp_path: Path) -> AsyncIterator[tuple[Softphone, str]]:
    """Return another phone and its address."""
    async with own_phone() as made:
        yield made
