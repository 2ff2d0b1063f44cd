"""The phone for programs without asyncio: the classes of `offhook` again, with the same names and no `await`.

    from offhook.sync import Softphone

    with Softphone.connect() as phone:
        call = phone.dial("1001")
        call.wait_active(timeout=30)

The work is done by a background thread, so the same object may be used from several threads, and at the interactive prompt
(`phone.open()` … `phone.close()`). Ctrl+C interrupts every wait. Written by `python -m offhook.api.twin`; do not edit.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from offhook import api
from offhook.api.pairs import Pairs
from offhook.api.phone import ConfigSource, Event, Sound
from offhook.api.portal import Portal, Twin, bare, made
from offhook.media.messages import AudioRate, Detection, DeviceInfo, PlayMode, RecordingFormat, Side
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.model import (
    AccountView,
    AudioStreamView,
    AudioView,
    CallDirection,
    CallState,
    CallView,
    ConferenceView,
    Contact,
    ContactDetails,
    ImportedView,
    Party,
    PlaybackView,
    RecordingView,
    Snapshot,
    StatsView,
    StatusView,
    StreamDialect,
    StreamTrack,
    TapView,
    WatchKind,
    WatchView,
)
from offhook.phone.settings import AccountSettings, AutoAnswer, Decision, DtmfMethod

if TYPE_CHECKING:
    from typing_extensions import Buffer

T = TypeVar("T")


class Softphone(Twin[api.Softphone]):
    """A phone. Use it in `with`; at the end of the block all iterators end and all waiters raise PhoneGone.

    `Softphone(…)` runs a phone in this program: `config` is a Config, or the path of an offhook.toml; `accounts` come in
    addition. `sound` "null" needs no sound card, "" leaves it to the configuration. `media` "thread" starts fast, "process"
    keeps sound smooth while the program is busy. `port` 0 takes any free one. `history`, `journal`, `contacts` and `kept_texts`
    are files for the past calls, the events, the people and the texts; without them these are kept in memory, or not at all.
    The phone ends with the block.

    `Softphone.connect()` drives one that runs already.
    """

    def __init__(
        self,
        config: ConfigSource = None,
        *,
        accounts: Iterable[AccountSettings] = (),
        sound: Sound = "",
        media: Literal['thread', 'process'] = "thread",
        host: str = "",
        port: int | None = None,
        history: str | os.PathLike[str] = "",
        journal: str | os.PathLike[str] = "",
        contacts: str | os.PathLike[str] = "",
        kept_texts: str | os.PathLike[str] = "",
        name: str = "python",
    ) -> None:
        super().__init__(api.Softphone(
            config, accounts=accounts, sound=sound, media=media, host=host, port=port, history=history, journal=journal, contacts=contacts, kept_texts=kept_texts, name=name,
        ), Portal())
        self._portal.farewell = self._inner.close

    @classmethod
    def connect(
        cls,
        socket_path: str | os.PathLike[str] = "",
        *,
        url: str = "",
        token: str = "",
        timeout: float = 10.0,
        reconnect: float = 60.0,
        name: str = "python",
    ) -> Softphone:
        """Return a phone that runs already, reached over its local socket ("": where `offhook run` listens).

        With `url` (http://127.0.0.1:5080) and `token` it is reached over its HTTP surface instead, also from Windows and from
        other machines; that needs the package `websockets`.

        `timeout` is seconds for an answer. A connection that breaks is made again for `reconnect` seconds, and events go on
        where they stopped; a request under way raises ConnectionLost. `name` is shown in the phone's audit events. Opening
        raises PhoneGone if no phone is there; at the end of the block the phone goes on.
        """
        found: Softphone = made(cls, api.Softphone.connect(
            socket_path, url=url, token=token, timeout=timeout, reconnect=reconnect, name=name,
        ), Portal())
        found._portal.farewell = found._inner.close
        return found

    @property
    def address(self) -> str:
        """Where a phone in this program takes calls without an account ("127.0.0.1:5060"); "" for one that runs elsewhere.

        It tells the port where that was left open, or was another's already. Raises PhoneGone before the phone is open.
        """
        return self._inner.address

    def open(self) -> None:
        """Start the phone, or connect to it. `with` does this."""
        self._run(self._inner.open())

    def close(self) -> None:
        """End the phone (hang up, unregister, stop), or only the connection to it. `with` does this."""
        self._portal.close()

    def dial(
        self,
        to: str,
        *,
        account: str = "",
        headers: Pairs = (),
        user_to_user: str = "",
        ring_timeout: float = 0.0,
        hold_others: bool = True,
        digits: str = "",
        tags: Pairs = (),
        id: str = "",
        beside: str = "",
        codecs: Sequence[str] = (),
        detect: Sequence[Detection] = (),
        record: bool = False,
        play: str | os.PathLike[str] = "",
    ) -> CallHandle:
        """Call a number or URI; returns the call at once: `call.wait_active()`.

        `account` is an id, label or username ("": the default one). `headers` go into the INVITE, as does `user_to_user` (RFC
        7433, as "48656c6c6f;encoding=hex"), `tags` only into the call's view. `ring_timeout` seconds without an answer end it.
        An active call is held unless `hold_others` is False. `digits` are sent after the answer. `id` names the call; a second
        call of the same name is refused, so a program that does not know whether its request arrived (ConnectionLost) can
        repeat it with the same `id`. `beside` is the id of a running call that this one is to be joined with, where there are
        several media workers. `codecs` are offered in place of the account's or the phone's ("opus", "G722", "PCMA" …).
        `detect` is what to listen for (see `CallHandle.detect`; "amd" begins with the answer), `record` and `play` what to do
        once it is answered. Cancelling `dial` hangs up.
        """
        found: CallHandle = self._wrap(self._run(self._inner.dial(
            to, account=account, headers=headers, user_to_user=user_to_user, ring_timeout=ring_timeout, hold_others=hold_others, digits=digits, tags=tags, id=id, beside=beside, codecs=codecs, detect=detect, record=record, play=play,
        )))
        return found

    @property
    def incoming(self) -> Stream[CallHandle]:
        """A new iterator over incoming calls: those that ring already, then each as it comes."""
        found: Stream[CallHandle] = self._wrap(self._call(lambda: self._inner.incoming))
        return found

    @property
    def calls(self) -> tuple[CallHandle, ...]:
        """The running calls, oldest first."""
        found: tuple[CallHandle, ...] = self._wrap(self._call(lambda: self._inner.calls))
        return found

    def call(self, call_id: str) -> CallHandle:
        """Return a running call by its id; raises NotFound."""
        found: CallHandle = self._wrap(self._call(lambda: self._inner.call(call_id)))
        return found

    def taps(self) -> tuple[TapView, ...]:
        """Return which calls hear others (`CallHandle.tap`)."""
        return self._run(self._inner.taps())

    def hangup_all(self) -> None:
        """End all calls."""
        self._run(self._inner.hangup_all())

    def events(self, types: Sequence[str] = ("*",), *, after: str = "") -> EventStream:
        """Return the phone's events of these types ("call.ended", "call.*").

        They begin after the event with the id `after`; without it after the last one that the calls and accounts of this
        object have seen, so that nothing falls between what you know and what you hear.
        """
        found: EventStream = self._wrap(self._call(lambda: self._inner.events(types, after=after)))
        return found

    def wait_event(self, *types: str, timeout: float | None = None) -> Event:
        """Wait for the next event of one of these types. Raises TimeoutError after `timeout` seconds, PhoneGone."""
        return self._run(self._inner.wait_event(*types, timeout=timeout))

    def execute(self, command: c.Command, *, wait: bool = False) -> c.Accepted:
        """Carry out any command of offhook.phone.commands; with `wait` until what it began is done (OperationFailed)."""
        return self._run(self._inner.execute(command, wait=wait))

    def status(self) -> StatusView:
        """Return the one-glance state: `code` 0 idle, 1 ringing, 2 active, 3 hold, 4 disconnected."""
        return self._run(self._inner.status())

    def snapshot(self) -> Snapshot:
        """Return everything at one moment."""
        return self._run(self._inner.snapshot())

    def history(
        self,
        limit: int = 50,
        *,
        before: str = "",
        direction: CallDirection | Literal[''] = "",
        missed: bool = False,
        account: str = "",
        remote: str = "",
        tag: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[dict[str, Any]]:
        """Return past calls, newest first; those older than the entry `before`. Raises NotFound if none are kept.

        `remote` is found in the far end's address or name, `tag` is a tag's name or name=value; `since` and `until` are about
        the beginning of the call, in this machine's time where they have no zone.
        """
        return self._run(self._inner.history(
            limit, before=before, direction=direction, missed=missed, account=account, remote=remote, tag=tag, since=since, until=until,
        ))

    def texts(self, limit: int = 50, *, before: str = "") -> list[dict[str, Any]]:
        """Return texts that came and went, newest first; those older than `before`. Raises NotFound if none are kept."""
        return self._run(self._inner.texts(limit, before=before))

    def clear_texts(self) -> None:
        """Forget all texts."""
        self._run(self._inner.clear_texts())

    def reload(self) -> dict[str, list[str]]:
        """Have the configuration file read again; returns what has changed, under `restart` what only the next start does."""
        return self._run(self._inner.reload())

    def delete_history(self, entry: str) -> None:
        """Forget one past call."""
        self._run(self._inner.delete_history(entry))

    def clear_history(self) -> None:
        """Forget all past calls."""
        self._run(self._inner.clear_history())

    def drain(self, enabled: bool = True) -> None:
        """Take no new calls while the running ones go on; or take them again."""
        self._run(self._inner.drain(enabled))

    def quit(self) -> None:
        """Hang up, unregister and end the phone, also one that runs elsewhere."""
        self._run(self._inner.quit())

    @property
    def accounts(self) -> tuple[AccountView, ...]:
        """The accounts as they are now, without their passwords."""
        return self._inner.accounts

    def wait_registered(self, account: str = "", *, timeout: float | None = None) -> AccountView:
        """Wait until an account ("": all that register) is registered; returns it, or the first.

        Raises OperationFailed when the registrar refuses it for good or does not answer, NotFound (also if none registers),
        TimeoutError.
        """
        return self._run(self._inner.wait_registered(account, timeout=timeout))

    def add_account(self, account: AccountSettings) -> AccountView:
        """Add an account, or replace the one with its id, for as long as the phone runs; registers if it says so."""
        return self._run(self._inner.add_account(account))

    def update_account(self, account: str, **changes: Any) -> AccountView:
        """Change some settings of an account, for as long as the phone runs; named as the fields of AccountSettings."""
        return self._run(self._inner.update_account(account, **changes))

    def remove_account(self, account: str) -> None:
        """Unregister and forget an account."""
        self._run(self._inner.remove_account(account))

    def register(self, account: str) -> None:
        """Register now, instead of waiting for the next attempt."""
        self._run(self._inner.register(account))

    def unregister(self, account: str) -> None:
        """Unregister and stay so."""
        self._run(self._inner.unregister(account))

    def select_account(self, account: str) -> None:
        """Make this the account that dials when none is named."""
        self._run(self._inner.select_account(account))

    def contacts(self, search: str = "", *, limit: int = 100, after: str = "") -> tuple[Contact, ...]:
        """Return contacts by name, those in which every word of `search` occurs; further ones `after` the id of the last."""
        return self._run(self._inner.contacts(search, limit=limit, after=after))

    def contact(self, contact: str) -> Contact:
        """Return one contact; raises NotFound."""
        return self._run(self._inner.contact(contact))

    def add_contact(self, details: ContactDetails) -> Contact:
        """Add a contact; returns it with its id."""
        return self._run(self._inner.add_contact(details))

    def update_contact(self, contact: str, details: ContactDetails) -> None:
        """Replace what is known of a contact, as a whole."""
        self._run(self._inner.update_contact(contact, details))

    def remove_contact(self, contact: str) -> None:
        """Forget a contact."""
        self._run(self._inner.remove_contact(contact))

    def import_contacts(self, contacts: Sequence[ContactDetails]) -> ImportedView:
        """Add up to 500 contacts, or bring them up to date: known again by `external_id`, else by name and number."""
        return self._run(self._inner.import_contacts(contacts))

    def streams(self) -> tuple[AudioStreamView, ...]:
        """Return what is carried to programs' WebSockets: `call.stream(url)`."""
        return self._run(self._inner.streams())

    def audio(self) -> AudioView:
        """Return volumes, mute, devices, and what is done to the microphone."""
        return self._run(self._inner.audio())

    def set_volume(self, volume: int) -> AudioView:
        """Set the loudspeaker to 0-100."""
        return self._run(self._inner.set_volume(volume))

    def volume_up(self, steps: int = 1) -> AudioView:
        """Raise the loudspeaker by 1-10 steps of 10."""
        return self._run(self._inner.volume_up(steps))

    def volume_down(self, steps: int = 1) -> AudioView:
        """Lower the loudspeaker by 1-10 steps of 10."""
        return self._run(self._inner.volume_down(steps))

    def set_mic_volume(self, volume: int) -> AudioView:
        """Set the microphone to 0-100."""
        return self._run(self._inner.set_mic_volume(volume))

    def mute(self) -> AudioView:
        """Silence the microphone in all calls, present and future. For one call: `call.mute()`."""
        return self._run(self._inner.mute())

    def unmute(self) -> AudioView:
        """Undo `mute`."""
        return self._run(self._inner.unmute())

    def devices(self) -> tuple[DeviceInfo, ...]:
        """Return the sound devices."""
        return self._run(self._inner.devices())

    def test_device(self, kind: Literal['input', 'output', 'ring'] = "output") -> None:
        """Let a device be heard for two seconds, while there is no call; raises OperationFailed if it is not.

        `input`: record the microphone for a second, play that, and raise OperationFailed if there is nothing to hear.
        """
        self._run(self._inner.test_device(kind))

    def set_device(self, kind: Literal['input', 'output', 'ring'], device: str) -> AudioView:
        """Use a sound device from now on: its id, index or a part of its name; "" is the system's default."""
        return self._run(self._inner.set_device(kind, device))

    def set_voice(
        self,
        *,
        echo_cancellation: bool | None = None,
        noise_suppression: bool | None = None,
        gain_control: bool | None = None,
    ) -> AudioView:
        """Choose what is done to the microphone from now on; what is left out stays as it is."""
        return self._run(self._inner.set_voice(
            echo_cancellation=echo_cancellation, noise_suppression=noise_suppression, gain_control=gain_control,
        ))

    def meter_audio(self, interval_ms: int = 200, seconds: float = 60.0) -> None:
        """Have AudioLevel events for a while: how loud microphone and loudspeaker are. 0 seconds ends it."""
        self._run(self._inner.meter_audio(interval_ms, seconds))

    def send_message(self, to: str, text: str, *, account: str = "", wait: bool = True) -> None:
        """Send a text (SIP MESSAGE); waits until the far end's side has accepted it."""
        self._run(self._inner.send_message(to, text, account=account, wait=wait))

    @property
    def messages(self) -> Stream[e.MessageReceived]:
        """A new iterator over the texts that come in from now on."""
        found: Stream[e.MessageReceived] = self._wrap(self._call(lambda: self._inner.messages))
        return found

    def create_conference(self, calls: Iterable[CallHandle] = (), *, id: str = "") -> Conference:
        """Let answered calls hear each other."""
        found: Conference = self._wrap(self._run(self._inner.create_conference(bare(calls), id=id)))
        return found

    def watch(self, kind: WatchKind, to: str = "", *, account: str = "", id: str = "") -> WatchView:
        """Watch somebody's presence or calls ("dialog"), or a mailbox ("mwi"); the events are watch.presence, .dialog, .mwi."""
        return self._run(self._inner.watch(kind, to, account=account, id=id))

    def unwatch(self, watch: str) -> None:
        """Watch no more; `watch` is the id."""
        self._run(self._inner.unwatch(watch))

    def watches(self) -> tuple[WatchView, ...]:
        """Return everything that is watched, and what is known."""
        return self._run(self._inner.watches())

    def pickup(self, to: str, *, account: str = "") -> CallHandle:
        """Take the call that rings at somebody else's phone; returns it at once: `call.wait_active()`."""
        found: CallHandle = self._wrap(self._run(self._inner.pickup(to, account=account)))
        return found

    @property
    def conferences(self) -> tuple[Conference, ...]:
        """The conferences as they are now."""
        found: tuple[Conference, ...] = self._wrap(self._call(lambda: self._inner.conferences))
        return found

    def set_dnd(self, enabled: bool) -> None:
        """Do not disturb: refuse incoming calls as busy."""
        self._run(self._inner.set_dnd(enabled))

    def set_forwarding(self, to: str, *, delay: float = 0.0) -> None:
        """Send incoming calls to `to` ("" ends it), after `delay` seconds of ringing."""
        self._run(self._inner.set_forwarding(to, delay=delay))

    def set_auto_answer(self, mode: AutoAnswer, *, delay: float = 0.0) -> None:
        """Answer incoming calls without a program: "off", "header" (those that ask for it) or "all"."""
        self._run(self._inner.set_auto_answer(mode, delay=delay))

    def __enter__(self) -> Softphone:
        self._run(self._inner.__aenter__())
        return self

    def __exit__(self, *details: object) -> None:
        self.close()


class CallHandle(Twin[api.CallHandle]):
    """One call. `view` is always the call as it is now; what changes it comes by itself.

    Commands that need the far end wait for its answer and raise OperationFailed if that is no; with `wait=False` they return
    as soon as the phone has taken them. All raise CommandError for what cannot be done now (InvalidState, NotFound …), and
    PhoneGone. In `with call:` the call is hung up at the end of the block.
    """

    @property
    def id(self) -> str:
        """Its name on every surface of the phone."""
        return self._inner.id

    @property
    def view(self) -> CallView:
        """The whole call as it is now."""
        return self._inner.view

    @property
    def state(self) -> CallState:
        """Where it is: calling, ringing, incoming, active, held_local … ended."""
        return self._inner.state

    @property
    def remote(self) -> Party:
        """The far end."""
        return self._inner.remote

    @property
    def is_ended(self) -> bool:
        """Whether it is over."""
        return self._inner.is_ended

    @property
    def digits(self) -> DigitStream:
        """The keys that the far end presses, from the first on: `for digit in call.digits`, `call.digits.read(4)`."""
        found: DigitStream = self._wrap(self._call(lambda: self._inner.digits))
        return found

    @property
    def events(self) -> Stream[e.CallEvent]:
        """A new iterator over the call's events: those since this program knows the call (the latest 256), then what comes.

        It ends after call.ended.
        """
        found: Stream[e.CallEvent] = self._wrap(self._call(lambda: self._inner.events))
        return found

    def wait_ringing(self, *, timeout: float | None = None) -> None:
        """Wait until the far end rings, is `early` (its sound comes before the answer), or has answered without either.

        Raises CallFailed if it ends first, TimeoutError.
        """
        self._run(self._inner.wait_ringing(timeout=timeout))

    def wait_active(self, *, timeout: float | None = None) -> None:
        """Wait until the call is answered, by whichever side.

        Raises CallFailed if it ends first (Busy, Declined, NoAnswer, UnknownNumber, Barred, Unreachable or Cancelled, with
        `sip_status` and `reason`), TimeoutError after `timeout` seconds: the call goes on then.
        """
        self._run(self._inner.wait_active(timeout=timeout))

    def wait_ended(self, *, timeout: float | None = None) -> CallView:
        """Wait until the call is over; returns its last view, whose `end` says by whom and why. Raises TimeoutError."""
        return self._run(self._inner.wait_ended(timeout=timeout))

    def answer(
        self,
        *,
        headers: Pairs = (),
        user_to_user: str = "",
        codecs: Sequence[str] = (),
        hold_others: bool = True,
        detect: Sequence[Detection] = (),
        record: bool = False,
        play: str | os.PathLike[str] = "",
    ) -> None:
        """Answer it; another active call is put on hold, unless `hold_others` is False.

        `headers` and `user_to_user` as in `dial`, for the answer. `codecs` in place of the account's or the phone's. `detect`,
        `record` and `play` as in `dial`.
        """
        self._run(self._inner.answer(
            headers=headers, user_to_user=user_to_user, codecs=codecs, hold_others=hold_others, detect=detect, record=record, play=play,
        ))

    def reject(self, status: int = 0, *, headers: Pairs = (), user_to_user: str = "") -> None:
        """Refuse it, as busy (486) unless `status` says otherwise (300-699)."""
        self._run(self._inner.reject(status, headers=headers, user_to_user=user_to_user))

    def redirect(self, to: str) -> None:
        """Send the ringing incoming call to somebody else (302)."""
        self._run(self._inner.redirect(to))

    def decide(self, action: Decision, *, status: int = 0, to: str = "") -> None:
        """Say what becomes of an incoming call that waits for a decision (setting `decide`; within 2 seconds)."""
        self._run(self._inner.decide(action, status=status, to=to))

    def hangup(self, *, headers: Pairs = (), user_to_user: str = "") -> None:
        """End it, in whatever state; harmless when it is over. `headers` and `user_to_user` as in `dial`, for the BYE."""
        self._run(self._inner.hangup(headers=headers, user_to_user=user_to_user))

    def stats(self) -> StatsView:
        """Return how good its sound is, both ways; for some minutes after its end, too."""
        return self._run(self._inner.stats())

    def hold(self, *, wait: bool = True) -> None:
        """Put it on hold."""
        self._run(self._inner.hold(wait=wait))

    def resume(self, *, wait: bool = True) -> None:
        """Take it off hold."""
        self._run(self._inner.resume(wait=wait))

    def set_codecs(self, codecs: Sequence[str], *, wait: bool = True) -> None:
        """Go on with other codecs, offered in this order; [] stands for the account's or the phone's. Sound goes on meanwhile.

        Waits until the far end has answered; `view.media.codec` is what it chose. Raises OperationFailed where it refuses.
        """
        self._run(self._inner.set_codecs(codecs, wait=wait))

    def tag(self, tags: Pairs) -> None:
        """Keep words of your own with the call, also after its end: `call.tag({"order": "4711"})`.

        A tag of the same name is replaced, an empty value takes it away, the others stay. `view.tags` has them all.
        """
        self._run(self._inner.tag(tags))

    def meter(self, interval_ms: int = 200, seconds: float = 60.0) -> None:
        """Have CallLevel events for a while: how loud the call is, both ways. 0 seconds ends it."""
        self._run(self._inner.meter(interval_ms, seconds))

    def mute(self) -> None:
        """Send silence in place of the microphone."""
        self._run(self._inner.mute())

    def unmute(self) -> None:
        """Undo `mute`."""
        self._run(self._inner.unmute())

    def dtmf(
        self,
        digits: str,
        *,
        method: DtmfMethod | Literal[''] = "",
        duration_ms: int = 160,
        gap_ms: int = 80,
        wait: bool = True,
    ) -> None:
        """Send digits 0-9 * # A-D, "," pauses; waits until all have gone out."""
        self._run(self._inner.dtmf(
            digits, method=method, duration_ms=duration_ms, gap_ms=gap_ms, wait=wait,
        ))

    def transfer(self, to: str, *, wait: bool = True) -> None:
        """Connect the far end with `to` (blind transfer). When the target has answered, this call ends."""
        self._run(self._inner.transfer(to, wait=wait))

    def transfer_attended(self, with_call: CallHandle, *, wait: bool = True) -> None:
        """Connect the far end with that of another answered call. When they talk to each other, both calls end."""
        self._run(self._inner.transfer_attended(bare(with_call), wait=wait))

    def accept_transfer(self) -> CallHandle:
        """Do what the far end asked for with `transfer.requested`: call its target. Returns the new call."""
        found: CallHandle = self._wrap(self._run(self._inner.accept_transfer()))
        return found

    def reject_transfer(self) -> None:
        """Refuse what the far end asked for with `transfer.requested`."""
        self._run(self._inner.reject_transfer())

    def send_info(self, body: str, *, content_type: str = "text/plain", wait: bool = True) -> None:
        """Send a SIP INFO inside the call."""
        self._run(self._inner.send_info(body, content_type=content_type, wait=wait))

    def play(
        self,
        file: str | os.PathLike[str] = "",
        *,
        url: str = "",
        tone: str = "",
        duration_ms: int = 0,
        loop: bool = False,
        gain_db: float = 0.0,
        mode: PlayMode = "replace",
    ) -> Playback:
        """Play a sound file, one from the web (`url`), or a tone ("440", "350+440" Hz), to the far end; without any, silence.

        `mode` "replace" ends what plays, "queue" waits for it, "mix" plays beside it. Returns at once; `playback.wait()`.
        """
        found: Playback = self._wrap(self._run(self._inner.play(
            file, url=url, tone=tone, duration_ms=duration_ms, loop=loop, gain_db=gain_db, mode=mode,
        )))
        return found

    def stop_playing(self) -> None:
        """Stop all that plays and waits to be played. Harmless when there is nothing."""
        self._run(self._inner.stop_playing())

    def playbacks(self) -> tuple[PlaybackView, ...]:
        """Return what plays into the call, and what waits."""
        return self._run(self._inner.playbacks())

    def record(
        self,
        file: str | os.PathLike[str] = "",
        *,
        channels: Literal['mono', 'stereo'] = "mono",
        max_seconds: float = 0.0,
        beep: bool = False,
        format: RecordingFormat | Literal[''] = "",
    ) -> Recording:
        """Record both ends into a new file; `path = recording.stop()`.

        "" makes a name in the configuration's recordings folder (the current one, where there is no configuration). `format` is
        wav, flac, mp3 or opus; "" is what the file's suffix says, else the setting's.
        """
        found: Recording = self._wrap(self._run(self._inner.record(
            file, channels=channels, max_seconds=max_seconds, beep=beep, format=format,
        )))
        return found

    def recordings(self) -> tuple[RecordingView, ...]:
        """Return the call's recordings, also those that are over."""
        return self._run(self._inner.recordings())

    def capture(self, *, seconds: float = 600.0, keys: bool = False) -> None:
        """Keep the packets of the call's sound as they are on the wire: `offhook call pcap ID FILE --media` writes them.

        They stay in memory, 10 MB of them at most. With `keys`, those that open an encrypted call's packets are kept, too.
        """
        self._run(self._inner.capture(seconds=seconds, keys=keys))

    def stop_capture(self) -> None:
        """End a capture; what there is of it can still be had. Raises NotFound where there is none."""
        self._run(self._inner.stop_capture())

    def detect(self, *what: Detection) -> None:
        """Listen to the far end for "dtmf", "tones", "beep", "vad" and "amd", and for nothing else; without any, end it.

        What is heard comes as events: dtmf.received, tone.detected, vad.speech_started, vad.speech_stopped, amd.result.
        """
        self._run(self._inner.detect(*what))

    def wait_amd(self, *, timeout: float | None = None) -> e.AmdResult:
        """Wait until it is known whether a person or a machine answered: `result` is human, machine or unknown.

        Ask for it by `dial(…, detect=["amd"])`. Raises CallFailed if the call ends first, TimeoutError.
        """
        return self._run(self._inner.wait_amd(timeout=timeout))

    def tap(self, call: CallHandle, *, hear: Side = "both", speak: Side = "none") -> None:
        """Let this call's far end hear what is said in another call, and speak into it.

        `near` is this phone with the person or program at it, `far` the other call's far end. speak="near" whispers to us,
        "far" to the far end, "both" speaks to all. Again changes it.
        """
        self._run(self._inner.tap(bare(call), hear=hear, speak=speak))

    def stop_tap(self) -> None:
        """End what `tap` began; both calls go on."""
        self._run(self._inner.stop_tap())

    @property
    def audio(self) -> Audio:
        """The call's sound at 16 kHz, opened at its first use: `for frame in call.audio`, `call.audio.write(pcm)`.

        It is the same each time until it is closed (by `with call.audio`), then it is opened anew.
        """
        found: Audio = self._wrap(self._call(lambda: self._inner.audio))
        return found

    def open_audio(self, *, rate: AudioRate = 16000) -> Audio:
        """Return the call's sound at another rate, or for one more part of the program: each hears everything.

        Use it in `with`, which opens it at once.
        """
        found: Audio = self._wrap(self._call(lambda: self._inner.open_audio(rate=rate)))
        return found

    def stream(
        self,
        url: str,
        *,
        dialect: StreamDialect = "twilio",
        rate: AudioRate | Literal[0] = 0,
        track: StreamTrack = "inbound",
        speak: bool = True,
        parameters: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        control: bool = False,
        end_call: bool = False,
    ) -> AudioStream:
        """Connect to a program's WebSocket (ws, wss) and carry the call's sound there; returns when it is connected.

        `dialect` "twilio" are the messages of Twilio's Media Streams, "pcm" ours. With `control` the program may send digits
        and hang up, with `end_call` the call ends when the program ends the stream. Raises OperationFailed if it cannot be
        connected.
        """
        found: AudioStream = self._wrap(self._run(self._inner.stream(
            url, dialect=dialect, rate=rate, track=track, speak=speak, parameters=parameters, control=control, end_call=end_call,
        )))
        return found

    def loopback(self, enabled: bool = True) -> None:
        """Send the far end its own sound back, or stop that."""
        self._run(self._inner.loopback(enabled))

    def __enter__(self) -> CallHandle:
        self._run(self._inner.__aenter__())
        return self

    def __exit__(self, *details: object) -> None:
        self._run(self._inner.__aexit__(*details))


class Playback(Twin[api.Playback]):
    """Something that plays into a call."""

    @property
    def id(self) -> str:
        return self._inner.id

    @property
    def is_finished(self) -> bool:
        """Whether it is over."""
        return self._inner.is_finished

    def wait(self, *, timeout: float | None = None) -> int:
        """Wait until it is over, stopped or not; returns how many milliseconds were played, also when the call ended meanwhile.

        Raises OperationFailed for a file that cannot be played, TimeoutError.
        """
        return self._run(self._inner.wait(timeout=timeout))

    def stop(self) -> int:
        """Stop it; returns how many milliseconds were played. Harmless when it is over."""
        return self._run(self._inner.stop())

    def pause(self) -> None:
        """Pause it."""
        self._run(self._inner.pause())

    def go_on(self) -> None:
        """Go on after `pause`."""
        self._run(self._inner.go_on())


class Recording(Twin[api.Recording]):
    """A recording of a call. `file` is where it is written: not complete before `wait` or `stop` has returned."""

    @property
    def id(self) -> str:
        return self._inner.id

    @property
    def file(self) -> Path:
        return self._inner.file

    @property
    def is_finished(self) -> bool:
        """Whether its file is complete."""
        return self._inner.is_finished

    def wait(self, *, timeout: float | None = None) -> Path:
        """Wait until it is over (the call ended, or its longest time has passed); returns the complete file.

        Raises OperationFailed if it broke off (disk full, no such folder), PhoneGone if nobody will ever tell, TimeoutError.
        """
        return self._run(self._inner.wait(timeout=timeout))

    def stop(self) -> Path:
        """Finish it; returns the complete file. Harmless when it is over."""
        return self._run(self._inner.stop())

    def pause(self) -> None:
        """Write nothing until `go_on`."""
        self._run(self._inner.pause())

    def go_on(self) -> None:
        """Go on after `pause`."""
        self._run(self._inner.go_on())


class Conference(Twin[api.Conference]):
    """Calls that hear each other. It is over when its last member leaves."""

    @property
    def id(self) -> str:
        """Its name."""
        return self._inner.id

    @property
    def view(self) -> ConferenceView:
        """Who is in it, and who is not heard by the others, as it is now."""
        return self._inner.view

    @property
    def members(self) -> tuple[CallHandle, ...]:
        """Its calls, in the order of joining."""
        found: tuple[CallHandle, ...] = self._wrap(self._call(lambda: self._inner.members))
        return found

    def add(self, call: CallHandle) -> None:
        """Let one more answered call in."""
        self._run(self._inner.add(bare(call)))

    def remove(self, call: CallHandle) -> None:
        """Take a call out; it stays connected. Raises NotFound for a call that is not in this conference."""
        self._run(self._inner.remove(bare(call)))

    def mute(self, call: CallHandle) -> None:
        """Keep the others from hearing this call. Raises NotFound for a call that is not in this conference."""
        self._run(self._inner.mute(bare(call)))

    def unmute(self, call: CallHandle) -> None:
        """Undo `mute`."""
        self._run(self._inner.unmute(bare(call)))

    def end(self) -> None:
        """Take every call out; they stay connected."""
        self._run(self._inner.end())


class Audio(Twin[api.Audio]):
    """The sound of one call: 16-bit little-endian mono samples at `rate` Hz, both ways. It ends with the call.

    Iterating gives what the far end says, 20 ms of bytes at a time; a program that is more than a second late misses the
    oldest. What is written goes to the far end besides the microphone.
    """

    @property
    def rate(self) -> AudioRate:
        return self._inner.rate

    def close(self) -> None:
        """End it; the call goes on."""
        self._run(self._inner.close())

    def write(self, pcm: Buffer) -> None:
        """Say this after what was said before; any length. Waits while more than a second is not played yet.

        Bytes, or an array of 16-bit integers (numpy, `array`). A `clear` meanwhile ends it, too. Raises InvalidState when the
        call is over, InvalidArgument for an array of anything else.
        """
        self._run(self._inner.write(pcm))

    def clear(self) -> int:
        """Be silent at once; returns how many milliseconds of what was written were not played.

        That includes what a `write` in another task still waits to say.
        """
        return self._run(self._inner.clear())

    def drain(self) -> None:
        """Wait until all that was written has been played, or the call is over."""
        self._run(self._inner.drain())

    @property
    def buffered_ms(self) -> int:
        """How much of what was written is not played yet."""
        return self._inner.buffered_ms

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        found: bytes = self._next()
        return found

    def __enter__(self) -> Audio:
        self._run(self._inner.__aenter__())
        return self

    def __exit__(self, *details: object) -> None:
        self._run(self._inner.__aexit__(*details))


class AudioStream(Twin[api.AudioStream]):
    """A stream of a call's sound to a program. It ends with the call, and is not connected again."""

    @property
    def id(self) -> str:
        return self._inner.id

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._inner.is_over

    def wait(self, *, timeout: float | None = None) -> str:
        """Wait until it is over; returns why: "stopped", "the call ended", "the program ended it".

        Raises OperationFailed if it broke, PhoneGone if nobody will ever tell, TimeoutError.
        """
        return self._run(self._inner.wait(timeout=timeout))

    def stop(self) -> str:
        """End it; the call goes on. Harmless when it is over."""
        return self._run(self._inner.stop())


class DigitStream(Twin[api.DigitStream]):
    """The keys that the far end of one call presses, from the first moment of the call. It ends with the call.

    All readers take from the same row: a key that `read` has returned does not come again in `for`.
    """

    def read(self, count: int = 1, *, end: str = "", timeout: float | None = None) -> str:
        """Return the next keys: `count` of them, or those before a key in `end`, or what came before the call ended.

        `timeout` seconds are the longest pause before each key; a pause that is longer ends the reading too. So "" means that
        nothing, or only an `end` key, was pressed. A reading that is cancelled leaves its keys to the next.
        """
        return self._run(self._inner.read(count, end=end, timeout=timeout))

    def clear(self) -> str:
        """Forget the keys that nobody has read yet; returns them."""
        return self._call(lambda: self._inner.clear())

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        found: str = self._next()
        return found


class EventStream(Twin[api.EventStream]):
    """The phone's events, straight from its journal: none is lost however slowly they are read.

    `cursor` is the id of the latest event: keep it, and `phone.events(after=cursor)` goes on behind it, also in another
    program and after a restart. `time` is when that event happened (RFC 3339, UTC). A StreamGap among the events says that
    some are not kept any more. Close it with `close`, or use it in `with`.
    """

    @property
    def cursor(self) -> str:
        return self._inner.cursor

    @property
    def time(self) -> str:
        return self._inner.time

    def close(self) -> None:
        """End the stream."""
        self._call(lambda: self._inner.close())

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        found: Event = self._next()
        return found

    def __enter__(self) -> EventStream:
        self._run(self._inner.__aenter__())
        return self

    def __exit__(self, *details: object) -> None:
        self._run(self._inner.__aexit__(*details))


class Stream(Twin[api.Stream[Any]], Generic[T]):
    """Things that come one after another, from the moment it was made; what is not taken yet waits. It ends with its source.

    For one reader. `for` may be left and taken up again.
    """

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        found: T = self._next()
        return found


Twin.classes[api.Softphone] = Softphone
Twin.classes[api.CallHandle] = CallHandle
Twin.classes[api.Playback] = Playback
Twin.classes[api.Recording] = Recording
Twin.classes[api.Conference] = Conference
Twin.classes[api.Audio] = Audio
Twin.classes[api.AudioStream] = AudioStream
Twin.classes[api.DigitStream] = DigitStream
Twin.classes[api.EventStream] = EventStream
Twin.classes[api.Stream] = Stream

__all__ = [
    "Audio",
    "AudioStream",
    "CallHandle",
    "Conference",
    "DigitStream",
    "EventStream",
    "Playback",
    "Recording",
    "Softphone",
    "Stream",
]
