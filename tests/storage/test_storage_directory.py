"""The users directory from a real web server: good lists, bad ones, huge ones, lying ones; and a phone that shows the names."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import ConfigError
from offhook.phone.commands import ListContacts
from offhook.phone.contacts import DirectoryListed
from offhook.phone.events import Event, SystemError
from offhook.phone.settings import AccountSettings, ContactSettings
from offhook.storage import directory as module
from offhook.storage.config import parse
from offhook.storage.directory import LEAST, LOOK_AGAIN, MOST, USUALLY, Directory, check_address, filled, refresh_after
from offhook.storage.takeover.people import People
from offhook.testing.live import live_phone

ACCOUNT = AccountSettings("office", "pbx.example", "10&01", password="p w/ü", label="Desk 1")
ADA = {"name": "Ada", "number": "1001"}


@dataclass
class Phone:
    """What the directory gives to a phone."""

    given: list[DirectoryListed] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def inform(self, item: DirectoryListed) -> None:
        self.given.append(item)

    def say(self, event: Event) -> None:
        assert isinstance(event, SystemError)
        self.said.append(event.reason)

    @property
    def names(self) -> list[str]:
        return [contact.name for item in self.given for contact in item.contacts]


@asynccontextmanager
async def web(*bodies: bytes, headers: str = "", status: str = "200 OK", tls: ssl.SSLContext | None = None
              ) -> AsyncIterator[tuple[str, list[str]]]:  # fmt: skip
    """Answer with these bodies, the last one again and again; gives the address and the targets asked for."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            asked.append(head.split()[1])
            body = bodies[min(len(asked), len(bodies)) - 1]
            writer.write(f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}/users", asked
    finally:
        server.close()


Account = Callable[[], AccountSettings | None]


def directory(phone: Phone, url: str, account: Account = lambda: ACCOUNT, **more: object) -> Directory:
    return Directory(phone, ContactSettings(directory=url), account, **more)  # type: ignore[arg-type]


# --- when and where ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("said", "header", "seconds"), [
    (None, "", USUALLY), (5, "", LEAST), (300, "max-age=99", 300), (10**8, "", MOST), (None, "private, max-age=120", 120),
    (None, "max-age=0", LEAST), (None, 'Max-Age = "90"', 90), (None, "no-store, s-maxage=10", USUALLY),
    (0, "max-age=500", LEAST),
])
def test_when_it_is_fetched_again(said: int | None, header: str, seconds: int) -> None:
    assert refresh_after(People(refresh=said), header) == seconds


def test_masks() -> None:
    text = filled("https://h/{label}?u={username}&d={domain}&s={server}&p={password}&t={time}&{x}", ACCOUNT, 12.7)
    assert text == "https://h/Desk%201?u=10%2601&d=pbx.example&s=pbx.example&p=p%20w%2F%C3%BC&t=12&{x}"
    assert filled("https://h/%s/%s/%s/%20", ACCOUNT, 0) == "https://h/10%2601/p%20w%2F%C3%BC/pbx.example/%20"
    plain = AccountSettings("a", "d", "u", password="password")
    assert filled("{md5_password}", plain, 0) == "5f4dcc3b5aa765d61d8327deb882cf99"


TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.lengthy
@given(TEXT, TEXT)
def test_no_name_leaves_its_place_in_the_address(name: str, password: str) -> None:
    account = AccountSettings("a", "d", name, password=password)
    text = filled("https://h/x?u={username}&p={password}", account, 0)
    assert text.startswith("https://h/x?u=")
    assert text.count("&") == 1
    assert not set(text.partition("?")[2]) & set("/#? \r\n")


@pytest.mark.parametrize(("settings", "why"), [
    (ContactSettings(directory="ftp://h/x"), "begins with https"),
    (ContactSettings(directory="http://h/x"), "contacts.allow_http"),
    (ContactSettings(directory="http://h/{password}", allow_http=True), "in the clear"),
    (ContactSettings(directory="https://h/ x"), "blanks"),
])
def test_addresses_that_will_not_do(settings: ContactSettings, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_address(settings)
    quoted = json.dumps(settings.directory)
    with pytest.raises(ConfigError, match=r"x:3: contacts\.directory"):
        parse(f"[contacts]\nallow_http = {str(settings.allow_http).lower()}\ndirectory = {quoted}\n", "x")


def test_addresses_that_will() -> None:
    for settings in (
        ContactSettings(directory="https://h/{username}?p=%s"), ContactSettings(directory="http://h/x", allow_http=True),
        ContactSettings(directory="http://localhost/{password}"),
    ):  # fmt: skip
        check_address(settings)


# --- fetching ------------------------------------------------------------------------------------------------------


async def test_a_list_is_fetched_and_numbered() -> None:
    bodies = json.dumps([ADA]).encode(), b'<contacts refresh="70"/>'
    async with web(*bodies, headers="Cache-Control: max-age=90\r\n") as (url, asked):
        phone = Phone()
        book = directory(phone, url + "?u={username}")
        assert [await book.refresh(), await book.refresh()] == [90, 70]
    assert asked == ["/users?u=10%2601&sequence=1", "/users?u=10%2601&sequence=2"]
    assert phone.names == ["Ada"]
    assert [item.complete for item in phone.given] == [False, True, True]


async def test_many_come_in_parts() -> None:
    items = [{"name": f"N{n}", "number": n} for n in range(600)]
    body = {"items": items, "presence": [{"number": "5", "status": "busy"}]}
    async with web(json.dumps(body).encode()) as (url, _):
        phone = Phone()
        await directory(phone, url).refresh()
    assert [len(item.contacts) for item in phone.given] == [100] * 6 + [0]
    assert phone.given[-1].statuses == {"5": ("busy", "")}


async def test_it_waits_for_the_account_it_speaks_for() -> None:
    accounts: list[AccountSettings | None] = [None, ACCOUNT]
    async with web(b"[]") as (url, asked):
        book = directory(Phone(), url + "/{username}", lambda: accounts.pop(0))
        assert await book.refresh() == LOOK_AGAIN
        assert asked == []
        assert await book.refresh() == USUALLY
    async with web(b"[]") as (url, asked):
        assert await directory(Phone(), url, lambda: None).refresh() == USUALLY


@pytest.mark.parametrize(("body", "status", "why"), [
    (b"<html>404</html>", "404 Not Found", "answer is 404"), (b"", "302 Found", "redirects are not followed"),
    (b" \n", "200 OK", "empty"), (b"<html/>", "200 OK", "no address book"), (b"{", "200 OK", "not JSON"),
    (b"<!DOCTYPE a><contacts/>", "200 OK", "document type"), (b"\x89PNG\0\0", "200 OK", "no text"),
])
async def test_a_bad_answer_is_told_once_and_changes_nothing(body: bytes, status: str, why: str) -> None:
    phone = Phone()
    async with web(body, body, b"[]", status=status) as (url, _):
        book = directory(phone, url + "?p={password}")
        assert [await book.refresh(), await book.refresh()] == [60, 120]
    assert len(phone.said) == 1
    assert why in phone.said[0]
    assert "p%20w" not in phone.said[0]
    assert phone.given == []


async def test_after_a_failure_all_is_well_again() -> None:
    phone = Phone()
    async with web(b"{", b"[]", b"{") as (url, _):
        book = directory(phone, url)
        assert [await book.refresh() for _ in range(3)] == [60, USUALLY, 60]
    assert len(phone.said) == 2


async def test_an_endless_list_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    phone = Phone()
    async with web(b" " * 2000) as (url, _):
        await directory(phone, url).refresh()
    assert "longer than 1000 bytes" in phone.said[0]


@pytest.mark.lengthy
async def test_a_server_that_says_nothing_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WITHIN", 0.1)
    gone = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while await reader.read(1000):
                pass
        writer.close()
        gone.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    phone = Phone()
    await directory(phone, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/").refresh()
    await asyncio.wait_for(gone.wait(), 10)
    server.close()
    assert "no answer within" in phone.said[0]


async def test_certificates_are_checked(certificates: Path) -> None:
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(certificates / "peer.pem")
    trusting = ssl.create_default_context(cafile=certificates / "ca.pem")
    async with web(b"[]", tls=own) as (url, _):
        phone = Phone()
        await directory(phone, url).refresh()
        assert "certificate is not good" in phone.said[0]
        assert await directory(phone, url, tls=lambda: trusting).refresh() == USUALLY


async def test_it_goes_on_until_it_is_closed() -> None:
    phone, paused = Phone(), asyncio.Event()
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waits: list[float] = []

    def pause(seconds: float) -> asyncio.Future[None]:
        waits.append(seconds)
        if len(waits) < 3:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            done.set_result(None)
            return done
        paused.set()
        return never

    async with web(json.dumps({"refresh": 61, "items": [ADA]}).encode()) as (url, asked):
        book = directory(phone, url, pause=pause)
        book.start()
        await asyncio.wait_for(paused.wait(), 10)
        await book.close()
    assert (waits, len(asked)) == ([61, 61, 61], 3)


async def test_a_phone_has_the_people_and_drops_who_is_gone() -> None:
    bodies = json.dumps([ADA, {"name": "Bob", "number": "2"}]).encode(), json.dumps([ADA]).encode()
    async with live_phone() as live, web(*bodies) as (url, _):
        book = Directory(live.running, ContactSettings(directory=url), live.running.account_to_speak_for)
        await book.refresh()
        assert [found.name for found in live.execute(ListContacts()).value] == ["Ada", "Bob"]
        await book.refresh()
        (ada,) = live.execute(ListContacts()).value
        assert (ada.name, ada.source) == ("Ada", "directory")
        await live.until(lambda: live.types.count("contacts.imported") == 2)
