"""The users directory: a list of people at a web address, fetched again and again; calls never wait for it."""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
from collections.abc import Callable
from typing import Final, Protocol
from urllib.parse import quote

from offhook import __version__
from offhook.errors import UnreadableFile
from offhook.io import clock
from offhook.io.web import WebError, download, verifying
from offhook.phone.contacts import DirectoryListed
from offhook.phone.events import Event, SystemError
from offhook.phone.settings import AccountSettings, ContactSettings
from offhook.phone.urls import Url, is_loopback
from offhook.storage.takeover.people import People, read_people
from offhook.storage.takeover.texts import MAX_BYTES

WITHIN: Final = 30.0
"""Seconds for one fetch, from the look-up of the name to the last byte."""
LEAST: Final = 60
MOST: Final = 86400
USUALLY: Final = 3600
"""Seconds until the next fetch: at least, at most, and where the directory does not say (as in MicroSIP)."""
PART: Final = 100
"""People given to the phone at once: two milliseconds."""
LOOK_AGAIN: Final = 1.0
"""Seconds between looks whether the account is registered whose name stands in the address."""

_MASK: Final = re.compile(r"\{(label|server|domain|username|password|md5_password|time|version)\}")
_OF_ACCOUNT: Final = re.compile(r"\{(label|server|domain|username|password|md5_password)\}|%s")
_SECRET: Final = re.compile(r"\{(password|md5_password)\}|%s")
_MAX_AGE: Final = re.compile(r"(?:^|,)\s*max-age\s*=\s*\"?(\d{1,9})", re.IGNORECASE)


class Host(Protocol):
    """The running phone, as far as the directory needs it."""

    def inform(self, item: DirectoryListed) -> None:
        """Take people in."""
        ...

    def say(self, event: Event) -> None:
        """Add an event."""
        ...


def check_address(settings: ContactSettings) -> Url:
    """Return the address as it is without its masks; ValueError says what to write instead."""
    url = Url.parse(filled(settings.directory, _NOBODY, 0.0), plain=settings.allow_http, setting="contacts.allow_http")
    if not url.secure and _SECRET.search(settings.directory) and not is_loopback(url.host):
        raise ValueError("the password in it would travel in the clear: write https")
    return url


_NOBODY: Final = AccountSettings("x", "x", "x", label="x")


def filled(text: str, account: AccountSettings, now: float) -> str:
    """Return the address with its masks filled in: {username} … or MicroSIP's three %s (user name, password, server)."""
    md5 = hashlib.md5(account.password.encode(), usedforsecurity=False).hexdigest()  # a form of writing, no protection
    values = {
        "label": account.label, "server": account.domain, "domain": account.domain, "username": account.username,
        "password": account.password, "md5_password": md5, "time": str(int(now)), "version": __version__,
    }  # fmt: skip
    text = _MASK.sub(lambda mask: quote(values[mask[1]], safe=""), text)
    for name in ("username", "password", "server"):
        text = text.replace("%s", quote(values[name], safe=""), 1)
    return text


def refresh_after(people: People, cache_control: str) -> int:
    """Return the seconds until the next fetch: as the list says, else as HTTP does, else an hour; never less than a minute."""
    said = people.refresh
    if said is None:
        age = _MAX_AGE.search(cache_control)
        said = int(age[1]) if age else USUALLY
    return min(MOST, max(LEAST, said))


class Directory:
    """Fetches the list and gives it to the phone. `account` returns the account to speak for once it is registered, else None.

    What goes wrong is an event, once until it goes well again; the people from before stay, and it is tried again.
    """

    def __init__(
        self, host: Host, settings: ContactSettings, account: Callable[[], AccountSettings | None],
        *, tls: Callable[[], ssl.SSLContext] = verifying, pause: Callable[[float], asyncio.Future[None]] | None = None,
    ) -> None:  # fmt: skip
        self._host = host
        self._settings = settings
        self._account = account
        self._tls = tls
        self._pause = pause or (lambda seconds: asyncio.ensure_future(asyncio.sleep(seconds)))
        self._sequence = 0
        self._failures = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            await self._pause(await self.refresh())

    async def refresh(self) -> float:
        """Fetch it once; returns the seconds until the next time."""
        account = _NOBODY
        if _OF_ACCOUNT.search(self._settings.directory):
            found = self._account()
            if found is None:
                return LOOK_AGAIN
            account = found
        try:
            people, seconds = await self._fetch(account)
        except (WebError, UnreadableFile, ValueError) as error:
            return self._failed(str(error))
        self._failures = 0
        await self._give(people)
        return seconds

    async def _fetch(self, account: AccountSettings) -> tuple[People, int]:
        self._sequence += 1
        text = filled(self._settings.directory, account, clock.wall())
        text += f"{'&' if '?' in text else '?'}sequence={self._sequence}"
        url = Url.parse(text, plain=self._settings.allow_http, setting="contacts.allow_http")
        parts: list[bytes] = []

        async def take(part: bytes) -> None:
            parts.append(part)

        headers = await download(url, take, within=WITHIN, most=MAX_BYTES, tls=self._tls)
        body = b"".join(parts)
        if not body.strip():
            raise UnreadableFile("it was empty; an empty list is written [] or <contacts/>")
        people = await asyncio.get_running_loop().run_in_executor(None, read_people, body, "the list")
        return people, refresh_after(people, headers.get("cache-control", ""))

    async def _give(self, people: People) -> None:
        for start in range(0, len(people.contacts), PART):
            self._host.inform(DirectoryListed(tuple(people.contacts[start : start + PART])))
            await asyncio.sleep(0)
        self._host.inform(DirectoryListed((), complete=True, statuses=people.statuses))

    def _failed(self, why: str) -> float:
        if not self._failures:
            host = check_address(self._settings).host
            self._host.say(SystemError(reason=f"the users directory at {host}: {why}"))
        self._failures += 1
        return float(min(USUALLY, LEAST * 2 ** min(self._failures - 1, 10)))
