"""A phone, as a program holds it: one that runs in this program, or one that runs already and is reached over a socket."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from offhook.api.book import Book
from offhook.api.call import CallHandle
from offhook.api.conference import Conference
from offhook.api.failures import CLOSED, OperationFailed, PhoneGone
from offhook.api.links import Link, OwnPhone
from offhook.api.local_socket import LocalSocket
from offhook.api.pairs import Pairs, as_names, as_pairs
from offhook.api.remote import RemotePhone
from offhook.api.streams import EventStream, Stream, wait_until
from offhook.control.access import Client
from offhook.control.conditions import settled
from offhook.control.past_calls import moment_text
from offhook.control.schema import exact
from offhook.errors import ConfigError, InvalidArgument, NotFound
from offhook.media.messages import Detection, DeviceInfo
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.model import (
    AccountView,
    AudioStreamView,
    AudioView,
    CallDirection,
    Contact,
    ContactDetails,
    ImportedView,
    Snapshot,
    StatusView,
    TapView,
    WatchKind,
    WatchView,
)
from offhook.phone.settings import AccountSettings, AutoAnswer
from offhook.storage.config import Config, load, refusal
from offhook.storage.paths import socket_path as usual_socket

if TYPE_CHECKING:
    from offhook.app.running import RunningPhone

ConfigSource: TypeAlias = Config | str | os.PathLike[str] | None
Sound: TypeAlias = Literal["", "auto", "null", "miniaudio", "sounddevice"]
Event: TypeAlias = e.Event

LAST_EVENTS: Final = 2.0
"""Seconds that closing waits for the phone's last events after it has said that it is done."""


class Softphone:
    """A phone. Use it in `async with`; at the end of the block all iterators end and all waiters raise PhoneGone.

    `Softphone(…)` runs a phone in this program: `config` is a Config, or the path of an offhook.toml; `accounts` come in
    addition. `sound` "null" needs no sound card, "" leaves it to the configuration. `media` "thread" starts fast, "process"
    keeps sound smooth while the program is busy. `port` 0 takes any free one. `history`, `journal`, `contacts` and `kept_texts`
    are files for the past calls, the events, the people and the texts; without them these are kept in memory, or not at all.
    The phone ends with the block.

    `Softphone.connect()` drives one that runs already.
    """

    def __init__(
        self, config: ConfigSource = None, *, accounts: Iterable[AccountSettings] = (), sound: Sound = "",
        media: Literal["thread", "process"] = "thread", host: str = "", port: int | None = None,
        history: str | os.PathLike[str] = "", journal: str | os.PathLike[str] = "", contacts: str | os.PathLike[str] = "",
        kept_texts: str | os.PathLike[str] = "", name: str = "python",
    ) -> None:  # fmt: skip
        self._settings = (config, tuple(accounts), sound, media, host, port)
        self._history = Path(history) if history else None
        self._journal = Path(journal) if journal else None
        self._contacts = Path(contacts) if contacts else None
        self._texts = Path(kept_texts) if kept_texts else None
        self._link: Link = OwnPhone(self._start, Client(name))
        self._book = Book(self._link)
        self._opened = False

    @classmethod
    def connect(
        cls, socket_path: str | os.PathLike[str] = "", *, url: str = "", token: str = "", timeout: float = 10.0,
        reconnect: float = 60.0, name: str = "python",
    ) -> Softphone:  # fmt: skip
        """Return a phone that runs already, reached over its local socket ("": where `offhook run` listens).

        With `url` (http://127.0.0.1:5080) and `token` it is reached over its HTTP surface instead, also from Windows and from
        other machines; that needs the package `websockets`.

        `timeout` is seconds for an answer. A connection that breaks is made again for `reconnect` seconds, and events go on
        where they stopped; a request under way raises ConnectionLost. `name` is shown in the phone's audit events. Opening
        raises PhoneGone if no phone is there; at the end of the block the phone goes on.
        """
        if url:
            from offhook.api.websocket import WebSocket

            return cls._linked(RemotePhone(WebSocket(url, token), timeout=timeout, patience=reconnect))
        path = os.fspath(socket_path) or usual_socket()
        return cls._linked(RemotePhone(LocalSocket(path, name), timeout=timeout, patience=reconnect))

    @classmethod
    def _linked(cls, link: Link) -> Softphone:
        phone = cls()
        phone._link, phone._book = link, Book(link)
        return phone

    async def _start(self) -> RunningPhone:
        from offhook.app.running import Files, RunningPhone
        from offhook.app.settings import complete

        source, given, sound, media, host, port = self._settings
        if source is not None and not isinstance(source, Config) and not Path(source).exists():
            raise ConfigError(f"{source}: no such file; write it, or give a Config")
        for name, (table, key), value in (
            ("port", ("sip", "port"), port), ("sound", ("media", "sound"), sound or "auto"), ("media", ("media", "mode"), media)
        ):
            if value is not None and (wrong := refusal(table, key, value)):
                raise InvalidArgument.field(name, wrong)
        config = source if isinstance(source, Config) else complete(load(Path(source))) if source is not None else Config()
        accounts = [exact(c.AddAccount(account=account)).account for account in given]
        sip = replace(config.sip, host=host or config.sip.host, port=config.sip.port if port is None else port)
        config = replace(
            config,
            accounts=(*config.accounts, *accounts),
            sip=sip,
            media=replace(config.media, mode=media, sound=sound or config.media.sound),
        )
        files = Files(self._history, self._journal, contacts=self._contacts, texts=self._texts)
        running = await RunningPhone.start(config, files)
        if source is not None and not isinstance(source, Config):
            running.follow_file(Path(source))
        await running.people.loaded.wait()
        return running

    # --- life

    async def __aenter__(self) -> Softphone:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def address(self) -> str:
        """Where a phone in this program takes calls without an account ("127.0.0.1:5060"); "" for one that runs elsewhere.

        It tells the port where that was left open, or was another's already. Raises PhoneGone before the phone is open.
        """
        if not isinstance(self._link, OwnPhone):
            return ""
        host, port = self._link.phone.address
        return f"{host}:{port}"

    async def open(self) -> None:
        """Start the phone, or connect to it. `async with` does this."""
        if self._opened:
            raise RuntimeError("a Softphone is opened once; make another")
        self._opened = True
        try:
            await self._link.open()
            await self._book.open()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End the phone (hang up, unregister, stop), or only the connection to it. `async with` does this."""
        self._book.home.check()
        try:
            await self._book.settle(LAST_EVENTS)
            await self._link.close()
            if isinstance(self._link, OwnPhone) and self._book.is_open:
                await self._book.wait_stopped(LAST_EVENTS)
        finally:
            await self._book.close()

    # --- calls

    async def dial(
        self, to: str, *, account: str = "", headers: Pairs = (), user_to_user: str = "", ring_timeout: float = 0.0,
        hold_others: bool = True, digits: str = "", tags: Pairs = (), id: str = "", beside: str = "",
        codecs: Sequence[str] = (), detect: Sequence[Detection] = (), record: bool = False, play: str | os.PathLike[str] = "",
    ) -> CallHandle:  # fmt: skip
        """Call a number or URI; returns the call at once: `await call.wait_active()`.

        `account` is an id, label or username ("": the default one). `headers` go into the INVITE, as does `user_to_user` (RFC
        7433, as "48656c6c6f;encoding=hex"), `tags` only into the call's view. `ring_timeout` seconds without an answer end it.
        An active call is held unless `hold_others` is False. `digits` are sent after the answer. `id` names the call; a second
        call of the same name is refused, so a program that does not know whether its request arrived (ConnectionLost) can
        repeat it with the same `id`. `beside` is the id of a running call that this one is to be joined with, where there are
        several media workers. `codecs` are offered in place of the account's or the phone's ("opus", "G722", "PCMA" …).
        `detect` is what to listen for (see `CallHandle.detect`; "amd" begins with the answer), `record` and `play` what to do
        once it is answered. Cancelling `dial` hangs up.
        """
        return await self._book.dial(c.Dial(
            to=to, account=account, id=id or f"c_{secrets.token_hex(8)}", headers=as_pairs(headers),
            user_to_user=user_to_user, hold_others=hold_others,
            ring_timeout=ring_timeout, digits=digits, tags=as_pairs(tags), beside=beside, codecs=as_names(codecs),
            detect=as_names(detect), record=record, play=os.path.abspath(play) if play else "",
        ))  # fmt: skip

    @property
    def incoming(self) -> Stream[CallHandle]:
        """A new iterator over incoming calls: those that ring already, then each as it comes."""
        return self._book.incoming_stream()

    @property
    def calls(self) -> tuple[CallHandle, ...]:
        """The running calls, oldest first."""
        return self._book.calls

    def call(self, call_id: str) -> CallHandle:
        """Return a running call by its id; raises NotFound."""
        return self._book.call(call_id)

    async def taps(self) -> tuple[TapView, ...]:
        """Return which calls hear others (`CallHandle.tap`)."""
        found: tuple[TapView, ...] = (await self.execute(c.ListTaps())).value
        return found

    async def hangup_all(self) -> None:
        """End all calls."""
        calls = self.calls
        await self.execute(c.HangupAll())
        for call in calls:
            await call.wait_ended()

    # --- events

    def events(self, types: Sequence[str] = ("*",), *, after: str = "") -> EventStream:
        """Return the phone's events of these types ("call.ended", "call.*").

        They begin after the event with the id `after`; without it after the last one that the calls and accounts of this
        object have seen, so that nothing falls between what you know and what you hear.
        """
        self._book.home.check()
        names = (types,) if isinstance(types, str) else tuple(types)
        return EventStream(self._link.events(names, after or self._book.cursor), after or self._book.cursor)

    async def wait_event(self, *types: str, timeout: float | None = None) -> Event:
        """Wait for the next event of one of these types. Raises TimeoutError after `timeout` seconds, PhoneGone."""
        limit = asyncio.timeout(timeout)
        try:
            async with limit, self.events(types or ("*",)) as events:
                async for event in events:
                    return event
        except TimeoutError:
            if not limit.expired():
                raise
            raise TimeoutError(f"no {' or '.join(types) or 'event'} within {timeout:g} s") from None
        self._book.check()
        raise PhoneGone(CLOSED)

    # --- the phone

    async def execute(self, command: c.Command, *, wait: bool = False) -> c.Accepted:
        """Carry out any command of offhook.phone.commands; with `wait` until what it began is done (OperationFailed)."""
        return await self._book.execute(command, wait=wait)

    async def status(self) -> StatusView:
        """Return the one-glance state: `code` 0 idle, 1 ringing, 2 active, 3 hold, 4 disconnected."""
        found: StatusView = (await self.execute(c.Status())).value
        return found

    async def snapshot(self) -> Snapshot:
        """Return everything at one moment."""
        found: Snapshot = (await self.execute(c.GetSnapshot())).value
        return found

    async def history(
        self, limit: int = 50, *, before: str = "", direction: CallDirection | Literal[""] = "", missed: bool = False,
        account: str = "", remote: str = "", tag: str = "", since: datetime | None = None, until: datetime | None = None,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """Return past calls, newest first; those older than the entry `before`. Raises NotFound if none are kept.

        `remote` is found in the far end's address or name, `tag` is a tag's name or name=value; `since` and `until` are about
        the beginning of the call, in this machine's time where they have no zone.
        """
        found = await self._request("history", {
            "limit": limit, "before": before, "direction": direction, "missed": missed, "account": account, "remote": remote,
            "tag": tag, "since": moment_text(since), "until": moment_text(until),
        })  # fmt: skip
        entries: list[dict[str, Any]] = found["entries"]
        return entries

    async def texts(self, limit: int = 50, *, before: str = "") -> list[dict[str, Any]]:
        """Return texts that came and went, newest first; those older than `before`. Raises NotFound if none are kept."""
        found = await self._request("messages", {"limit": limit, "before": before})
        texts: list[dict[str, Any]] = found["messages"]
        return texts

    async def clear_texts(self) -> None:
        """Forget all texts."""
        await self._request("clear_messages", {})

    async def reload(self) -> dict[str, list[str]]:
        """Have the configuration file read again; returns what has changed, under `restart` what only the next start does."""
        found: dict[str, list[str]] = await self._request("reload", {})
        return {name: list(names) for name, names in found.items()}

    async def delete_history(self, entry: str) -> None:
        """Forget one past call."""
        await self._request("delete_history", {"entry": entry})

    async def clear_history(self) -> None:
        """Forget all past calls."""
        await self._request("clear_history", {})

    async def drain(self, enabled: bool = True) -> None:
        """Take no new calls while the running ones go on; or take them again."""
        await self.execute(c.Drain(enabled=enabled))

    async def quit(self) -> None:
        """Hang up, unregister and end the phone, also one that runs elsewhere."""
        await self.execute(c.Quit(), wait=True)

    async def _request(self, operation: str, params: dict[str, Any]) -> Any:
        self._book.check()
        return await self._link.request(operation, params)

    # --- accounts

    @property
    def accounts(self) -> tuple[AccountView, ...]:
        """The accounts as they are now, without their passwords."""
        return tuple(self._book.accounts.values())

    async def wait_registered(self, account: str = "", *, timeout: float | None = None) -> AccountView:
        """Wait until an account ("": all that register) is registered; returns it, or the first.

        Raises OperationFailed when the registrar refuses it for good or does not answer, NotFound (also if none registers),
        TimeoutError.
        """
        def known() -> bool:
            return self._book.ended or settled(account, self.accounts) is not None

        self._book.check()
        if not account and _nobody_registers(self.accounts):
            views: tuple[AccountView, ...] = (await self.execute(c.ListAccounts())).value
            if _nobody_registers(views):  # also by the phone: the event of a `register` may be under way
                raise NotFound("no account registers: `register` one, or name the one to wait for")
        missing = f"account {account} was not registered" if account else "not every account was registered"
        try:
            await wait_until(self._book.bell, known, timeout, missing)
        except TimeoutError as late:  # it names those that are waited for: one of many is enough
            raise TimeoutError(f"{late}: {_waited_for(account, self.accounts)}") from None
        self._book.check()
        view = settled(account, self.accounts)
        assert view is not None  # or the phone has ended
        if view.registration == "failed":
            raise OperationFailed("register", sip_status=view.sip_status, reason=f"{view.id}: {view.reason}")
        return view

    async def add_account(self, account: AccountSettings) -> AccountView:
        """Add an account, or replace the one with its id, for as long as the phone runs; registers if it says so."""
        view: AccountView = (await self.execute(c.AddAccount(account=account))).value
        self._book.accounts.setdefault(view.id, view)
        return view

    async def update_account(self, account: str, **changes: Any) -> AccountView:
        """Change some settings of an account, for as long as the phone runs; named as the fields of AccountSettings."""
        view: AccountView = (await self.execute(c.UpdateAccount(account=account, changes=changes))).value
        return view

    async def remove_account(self, account: str) -> None:
        """Unregister and forget an account."""
        await self.execute(c.RemoveAccount(account=account))

    async def register(self, account: str) -> None:
        """Register now, instead of waiting for the next attempt."""
        await self.execute(c.RegisterAccount(account=account))

    async def unregister(self, account: str) -> None:
        """Unregister and stay so."""
        await self.execute(c.UnregisterAccount(account=account))

    async def select_account(self, account: str) -> None:
        """Make this the account that dials when none is named."""
        await self.execute(c.SelectAccount(account=account))

    # --- contacts

    async def contacts(self, search: str = "", *, limit: int = 100, after: str = "") -> tuple[Contact, ...]:
        """Return contacts by name, those in which every word of `search` occurs; further ones `after` the id of the last."""
        found: tuple[Contact, ...] = (await self.execute(c.ListContacts(search=search, limit=limit, after=after))).value
        return found

    async def contact(self, contact: str) -> Contact:
        """Return one contact; raises NotFound."""
        found: Contact = (await self.execute(c.GetContact(contact=contact))).value
        return found

    async def add_contact(self, details: ContactDetails) -> Contact:
        """Add a contact; returns it with its id."""
        found: Contact = (await self.execute(c.AddContact(details=details))).value
        return found

    async def update_contact(self, contact: str, details: ContactDetails) -> None:
        """Replace what is known of a contact, as a whole."""
        await self.execute(c.UpdateContact(contact=contact, details=details))

    async def remove_contact(self, contact: str) -> None:
        """Forget a contact."""
        await self.execute(c.RemoveContact(contact=contact))

    async def import_contacts(self, contacts: Sequence[ContactDetails]) -> ImportedView:
        """Add up to 500 contacts, or bring them up to date: known again by `external_id`, else by name and number."""
        found: ImportedView = (await self.execute(c.ImportContacts(contacts=tuple(contacts)))).value
        return found

    # --- sound

    async def streams(self) -> tuple[AudioStreamView, ...]:
        """Return what is carried to programs' WebSockets: `call.stream(url)`."""
        found: tuple[AudioStreamView, ...] = (await self.execute(c.ListAudioStreams())).value
        return found

    async def audio(self) -> AudioView:
        """Return volumes, mute, devices, and what is done to the microphone."""
        return await self._audio(c.GetAudio())

    async def set_volume(self, volume: int) -> AudioView:
        """Set the loudspeaker to 0-100."""
        return await self._audio(c.SetVolume(volume=volume))

    async def volume_up(self, steps: int = 1) -> AudioView:
        """Raise the loudspeaker by 1-10 steps of 10."""
        return await self._audio(c.VolumeUp(steps=steps))

    async def volume_down(self, steps: int = 1) -> AudioView:
        """Lower the loudspeaker by 1-10 steps of 10."""
        return await self._audio(c.VolumeDown(steps=steps))

    async def set_mic_volume(self, volume: int) -> AudioView:
        """Set the microphone to 0-100."""
        return await self._audio(c.SetMicVolume(volume=volume))

    async def mute(self) -> AudioView:
        """Silence the microphone in all calls, present and future. For one call: `call.mute()`."""
        return await self._audio(c.Mute())

    async def unmute(self) -> AudioView:
        """Undo `mute`."""
        return await self._audio(c.Unmute())

    async def devices(self) -> tuple[DeviceInfo, ...]:
        """Return the sound devices."""
        found: tuple[DeviceInfo, ...] = (await self.execute(c.ListDevices())).value
        return found

    async def test_device(self, kind: Literal["input", "output", "ring"] = "output") -> None:
        """Let a device be heard for two seconds, while there is no call; raises OperationFailed if it is not.

        `input`: record the microphone for a second, play that, and raise OperationFailed if there is nothing to hear.
        """
        await self.execute(c.TestDevice(kind=kind), wait=True)

    async def set_device(self, kind: Literal["input", "output", "ring"], device: str) -> AudioView:
        """Use a sound device from now on: its id, index or a part of its name; "" is the system's default."""
        return await self._audio(c.SetDevice(kind=kind, device=device))

    async def set_voice(
        self, *, echo_cancellation: bool | None = None, noise_suppression: bool | None = None, gain_control: bool | None = None
    ) -> AudioView:
        """Choose what is done to the microphone from now on; what is left out stays as it is."""
        return await self._audio(
            c.SetVoice(echo_cancellation=echo_cancellation, noise_suppression=noise_suppression, gain_control=gain_control)
        )

    async def meter_audio(self, interval_ms: int = 200, seconds: float = 60.0) -> None:
        """Have AudioLevel events for a while: how loud microphone and loudspeaker are. 0 seconds ends it."""
        await self.execute(c.MeterAudio(interval_ms=interval_ms, seconds=seconds))

    async def _audio(self, command: c.Command) -> AudioView:
        found: AudioView = (await self.execute(command)).value
        return found

    # --- messages, conferences, settings

    async def send_message(self, to: str, text: str, *, account: str = "", wait: bool = True) -> None:
        """Send a text (SIP MESSAGE); waits until the far end's side has accepted it."""
        await self.execute(c.SendMessage(to=to, text=text, account=account), wait=wait)

    @property
    def messages(self) -> Stream[e.MessageReceived]:
        """A new iterator over the texts that come in from now on."""
        self._book.home.check()
        stream: Stream[e.MessageReceived] = Stream()
        self._book.messages.add(stream)
        return stream

    async def create_conference(self, calls: Iterable[CallHandle] = (), *, id: str = "") -> Conference:
        """Let answered calls hear each other."""
        command = c.CreateConference(id=id, calls=tuple(call.id for call in calls))
        return Conference(self._book, await self._book.change_conference(command))

    async def watch(self, kind: WatchKind, to: str = "", *, account: str = "", id: str = "") -> WatchView:
        """Watch somebody's presence or calls ("dialog"), or a mailbox ("mwi"); the events are watch.presence, .dialog, .mwi."""
        found: WatchView = (await self.execute(c.CreateWatch(kind=kind, to=to, account=account, id=id))).value
        return found

    async def unwatch(self, watch: str) -> None:
        """Watch no more; `watch` is the id."""
        await self.execute(c.DeleteWatch(watch=watch))

    async def watches(self) -> tuple[WatchView, ...]:
        """Return everything that is watched, and what is known."""
        found: tuple[WatchView, ...] = (await self.execute(c.ListWatches())).value
        return found

    async def pickup(self, to: str, *, account: str = "") -> CallHandle:
        """Take the call that rings at somebody else's phone; returns it at once: `await call.wait_active()`."""
        return await self._book.begin(c.Pickup(to=to, account=account))

    @property
    def conferences(self) -> tuple[Conference, ...]:
        """The conferences as they are now."""
        return tuple(Conference(self._book, view) for view in self._book.conferences.values())

    async def set_dnd(self, enabled: bool) -> None:
        """Do not disturb: refuse incoming calls as busy."""
        await self.execute(c.SetDnd(enabled=enabled))

    async def set_forwarding(self, to: str, *, delay: float = 0.0) -> None:
        """Send incoming calls to `to` ("" ends it), after `delay` seconds of ringing."""
        await self.execute(c.SetForwarding(to=to, delay=delay))

    async def set_auto_answer(self, mode: AutoAnswer, *, delay: float = 0.0) -> None:
        """Answer incoming calls without a program: "off", "header" (those that ask for it) or "all"."""
        await self.execute(c.SetAutoAnswer(mode=mode, delay=delay))


def _nobody_registers(views: Sequence[AccountView]) -> bool:
    return bool(views) and all(view.registration == "unregistered" for view in views)


def _waited_for(account: str, views: Iterable[AccountView]) -> str:
    """Return which of the accounts are not registered, and how far each has come."""
    waiting = (view for view in views if account in ("", view.id, view.label) and view.registration != "registered")
    return ", ".join(f"{view.id} ({view.uri}) is {view.registration}" for view in waiting)
