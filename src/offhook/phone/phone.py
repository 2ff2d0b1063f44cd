"""The phone: commands in, events out, and everything between them pure.

Five verbs, like the rooms below: `execute` takes a command, `receive` an input from the world, `timeout` is called when the
deadline has passed; then drain `poll` until None and ask `deadline` again. Nobody else touches a Phone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from offhook.errors import Draining
from offhook.ids import Ids
from offhook.media import messages as media
from offhook.media.messages import card
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.accounts import Accounts, same_address
from offhook.phone.audio import Audio
from offhook.phone.call import Call
from offhook.phone.calls import Calls
from offhook.phone.capacity import Capacity
from offhook.phone.captures import Captures
from offhook.phone.closing import Closing
from offhook.phone.conferences import Conferences
from offhook.phone.contacts import Contacts, ContactsLoaded, DirectoryListed
from offhook.phone.desk import Account, Desk, PhoneOutput
from offhook.phone.digits import Digits
from offhook.phone.incoming import Incoming
from offhook.phone.inputs import ClockSet, Configured, PhoneInput, Started
from offhook.phone.leaving import Leaving
from offhook.phone.legible import legible
from offhook.phone.listening import Listening
from offhook.phone.meters import Meters
from offhook.phone.model import CallState, Snapshot
from offhook.phone.offers import Offers
from offhook.phone.outgoing import FORK_ENDED, Outgoing
from offhook.phone.playing import Playing
from offhook.phone.preferences import Preferences
from offhook.phone.reach import NatServers, Reach
from offhook.phone.recording import Recordings
from offhook.phone.reports import Reports
from offhook.phone.secrecy import NoCertificate, OwnCertificate, Secrecy
from offhook.phone.settings import AccountSettings, NatSettings, PhoneSettings, SrtpSettings, WatchedBy
from offhook.phone.sound import Sound
from offhook.phone.streams import Streams
from offhook.phone.taps import Taps
from offhook.phone.texts import Texts
from offhook.phone.transfers import Transfers
from offhook.phone.ways import Ways
from offhook.phone.web_requests import SoundFetched, StreamConnected, StreamOver
from offhook.sip import events as s
from offhook.sip.door import Rules

if TYPE_CHECKING:
    from offhook.phone.watching.own import Own
    from offhook.phone.watching.watches import Watches

PACKAGES: Final[dict[WatchedBy, tuple[str, ...]]] = {
    "nobody": (), "server": ("dialog", "presence"), "anyone": ("dialog", "presence"),
}  # fmt: skip
"""What may be watched of us, by the setting `watched_by`."""


class Phone:
    """A softphone without a socket. `codecs` in order of preference; `country_code` is ours, for knowing callers by number;
    `rules` say what strangers may (None: anything). Ids of operations are `op_RUN-NUMBER`; give each `run` another name.
    """

    def __init__(
        self,
        settings: PhoneSettings,
        ids: Ids,
        *,
        codecs: tuple[str, ...] = ("PCMU", "PCMA"),
        user_agent: str = "offhook",
        country_code: str = "",
        srtp: SrtpSettings = SrtpSettings(),  # noqa: B008 - frozen
        nat: NatSettings = NatSettings(),  # noqa: B008 - as above
        certificate: OwnCertificate = NoCertificate(),  # noqa: B008 - as above
        rules: Rules | None = None,
        run: str = "",
    ) -> None:
        self.desk = Desk(settings, ids, user_agent, rules, run)
        self.desk.names.country_code = country_code
        policy = s.SetPolicy(settings.session_expires, settings.session_least, settings.reliable, PACKAGES[settings.watched_by])
        self.desk.sip.execute(policy, 0.0)
        self.capacity = Capacity(self.desk)
        self.closing = Closing(self.desk)
        self.secrecy = Secrecy(self.desk, srtp, certificate)
        self.reach = Reach(self.desk, nat)
        self.offers = Offers(self.desk, codecs, self.secrecy, self.reach)
        self.calls = Calls(self.desk, self.offers, self.closing)
        self.reports = Reports(self.desk, self.closing)
        self.digits = Digits(self.desk)
        self.audio = Audio(self.desk)
        self.outgoing = Outgoing(self.desk, self.offers, self.digits, self.closing, self.capacity)
        self.incoming = Incoming(self.desk, self.offers, self.closing, self.outgoing, self.capacity)
        self.transfers = Transfers(self.desk, self.outgoing, self.closing)
        self.accounts = Accounts(self.desk, self.outgoing)
        self.ways = Ways(self.desk, self.outgoing)
        self.texts = Texts(self.desk, self.outgoing)
        self.sound = Sound(self.desk)
        self.playing = Playing(self.desk)
        self.recordings = Recordings(self.desk)
        self.captures = Captures(self.desk)
        self.listening = Listening(self.desk)
        self.meters = Meters(self.desk)
        self.taps = Taps(self.desk)
        self.conferences = Conferences(self.desk, self.offers)
        self.offers.together = self.taps.together = self.conferences.together
        self.conferences.on_joined.append(self.taps.joined)
        self.offers.give_up = self.closing.hangup
        self.streams = Streams(self.desk, self.closing)
        self.incoming.on_replaced.append(self.conferences.replaced)
        self.transfers.on_placed.append(self.conferences.expect)
        self.outgoing.on_active += [self.incoming.took_over, self.conferences.answered]
        self.outgoing.on_active += [self.recordings.record_by_itself, self.playing.play_by_itself]
        self.accounts.on_registered.append(self._account_registered)
        self.accounts.on_changed.append(self._account_changed)
        self.accounts.on_removed.append(self._account_removed)
        self.contacts = Contacts(self.desk)
        self.preferences = Preferences(self.desk)
        self.leaving = Leaving(self.desk, self.closing, self._withdraw)
        self.closing.on_closed += [self.audio.call_closed, self.streams.call_closed]
        self.closing.on_closed += [
            self.outgoing.forget,
            self.digits.forget,
            self.transfers.closed,
            self.sound.call_closed,
            self.playing.call_closed,
            self.taps.call_closed,
            self.conferences.closed,
            lambda _: self.capacity.look(),
        ]
        self._watches: Watches | None = None
        self._own: Own | None = None
        self._commands = self._command_table()
        self._sip_events = self._sip_table()
        self._inputs = self._input_table()
        self.sound.start()

    # --- the five verbs

    def execute(self, command: c.Command, now: float) -> c.Accepted:
        """Carry out a command, or raise a CommandError and change nothing."""
        self.desk.now = now
        if self.desk.stopping and command.scope != "read":
            raise Draining("the phone is shutting down")
        accepted: c.Accepted = self._commands[type(command)](command)
        self._settle()
        return accepted

    def receive(self, item: PhoneInput, now: float) -> None:
        """Take something in from the world."""
        self.desk.now = now
        self._inputs[type(item)](item)
        self._settle()

    def timeout(self, now: float) -> None:
        """Do what is due."""
        self.desk.now = now
        self.desk.timers.expire(now)
        self.desk.sip.timeout(now)
        self._settle()
        self.sound.follow()  # the busy tone has its time

    def poll(self) -> PhoneOutput | None:
        """Return the next thing to be done outside, None when there is none."""
        return self.desk.outbox.popleft() if self.desk.outbox else None

    def deadline(self) -> float | None:
        """Return when `timeout` wants to be called."""
        ours, sip = self.desk.timers.deadline(), self.desk.sip.deadline()
        return min(ours, sip) if ours is not None and sip is not None else ours if sip is None else sip

    # --- watching: read when it is first needed, for most phones watch nobody

    @property
    def watches(self) -> Watches:
        """What we watch."""
        if self._watches is None:
            from offhook.phone.watching.watches import Watches

            self._watches = Watches(self.desk, self.outgoing)
        return self._watches

    @property
    def own(self) -> Own:
        """What others may know of us."""
        if self._own is None:
            from offhook.phone.watching.own import Own

            self._own = Own(self.desk)
        return self._own

    def _pickup(self, command: c.Pickup) -> c.Accepted:
        from offhook.phone.pickup import Pickups

        views = self._watches.views() if self._watches is not None else ()
        return Pickups(self.desk, self.outgoing).take(command, views)

    def _account_registered(self, account: Account) -> None:
        if account.settings.mwi:
            self.watches.account_registered(account)
        if account.settings.publish_presence:
            self.own.account_registered(account)

    def _account_changed(self, before: AccountSettings, after: AccountSettings) -> None:
        """End what the account watches and publishes of its own, if that is not wanted any more, or of another address."""
        moved = not same_address(before, after)
        if self._watches is not None and (moved or (before.mwi and not after.mwi)):
            self._watches.mailbox_left(after.id)
        if self._own is not None and (moved or not after.publish_presence):
            self._own.account_unregistered(after.id)

    def _account_removed(self, account: str) -> None:
        if self._watches is not None:
            self._watches.account_removed(account)
        if self._own is not None:
            self._own.account_unregistered(account)

    # --- inside

    def _settle(self) -> None:
        """Let what the SIP endpoint has to say take effect, until it is silent; then fit the local tone."""
        self._pass_on()
        if self._own is not None and self._own.wanted:
            self._own.follow()
            self._pass_on()
        if self.desk.outbox:  # no change of a call is without an event
            self.sound.follow()

    def _pass_on(self) -> None:
        sip = self.desk.sip
        while (item := sip.poll()) is not None:
            handler = self._sip_events.get(type(item))
            if handler is None:
                self.desk.outbox.append(item)  # type: ignore[arg-type]  # Transmit, Resolve and CloseFlow: all without a handler
            else:
                handler(legible(item))

    def _for_call(self, handler: Callable[[Any, Call], None]) -> Callable[[Any], None]:
        """Return a handler that finds the call of a session event, and is silent when the call is over."""

        def handle(event: Any) -> None:
            call = self.desk.calls.get(event.session)
            if call is not None:
                handler(event, call)

        return handle

    def _for_stream(self, handler: Callable[[Any, Call], None]) -> Callable[[Any], None]:
        """Return a handler that finds the call of a media report."""

        def handle(report: Any) -> None:
            call = self.desk.calls.get(report.stream)
            if call is not None:
                handler(report, call)

        return handle

    def _command_table(self) -> dict[type[c.Command], Callable[[Any], c.Accepted]]:
        sound, accounts, rooms, people = self.sound, self.accounts, self.conferences, self.contacts
        return {
            c.Dial: self.outgoing.dial,
            c.Answer: self.incoming.answer,
            c.Reject: self.incoming.reject,
            c.Redirect: self.incoming.redirect,
            c.Hangup: self.calls.hangup,
            c.HangupAll: self.calls.hangup_all,
            c.Hold: self.calls.hold,
            c.Resume: self.calls.resume,
            c.ToggleHold: self.calls.toggle_hold,
            c.SetCodecs: self.calls.set_codecs,
            c.TagCall: self.calls.tag,
            c.Mute: sound.mute,
            c.Unmute: sound.mute,
            c.ToggleMute: sound.toggle_mute,
            c.SendDtmf: self.digits.send,
            c.Transfer: self.transfers.start,
            c.TransferAttended: self.transfers.start_attended,
            c.AcceptTransfer: self.transfers.accept,
            c.RejectTransfer: self.transfers.refuse,
            c.SendInfo: self.texts.send_info,
            c.SendMessage: self.texts.send,
            c.Decide: self.incoming.decide,
            c.GetCall: self.calls.get_call,
            c.CallStats: self.calls.call_stats,
            c.ListCalls: lambda _: c.Accepted(value=tuple(call.view() for call in self.desk.calls.values())),
            c.Play: self.playing.play,
            c.StopPlay: self.playing.stop,
            c.PausePlay: self.playing.pause,
            c.ListPlaybacks: self.playing.list,
            c.Record: self.recordings.record,
            c.StopRecord: self.recordings.stop,
            c.PauseRecord: self.recordings.pause,
            c.ListRecordings: self.recordings.list,
            c.Capture: self.captures.start,
            c.StopCapture: self.captures.stop,
            c.Detect: self.listening.detect,
            c.MeterCall: self.meters.meter,
            c.Tap: self.taps.start,
            c.StopTap: self.taps.stop,
            c.ListTaps: self.taps.list,
            c.Loopback: sound.loopback,
            c.CreateConference: rooms.create,
            c.JoinConference: rooms.join,
            c.LeaveConference: rooms.leave,
            c.MuteMember: rooms.mute,
            c.UnmuteMember: rooms.mute,
            c.EndConference: rooms.end,
            c.ListConferences: rooms.list,
            c.CreateWatch: lambda x: self.watches.create(x),
            c.DeleteWatch: lambda x: self.watches.delete(x),
            c.ListWatches: lambda x: self.watches.list(x),
            c.Pickup: self._pickup,
            c.SetVolume: lambda x: sound.set_volume(x.volume),
            c.VolumeUp: lambda x: sound.step_volume(x.steps, 1),
            c.VolumeDown: lambda x: sound.step_volume(x.steps, -1),
            c.SetMicVolume: lambda x: sound.set_mic_volume(x.volume),
            c.SetDevice: lambda x: sound.devices.set_device(x, sound.changed),
            c.SetVoice: lambda x: sound.devices.set_voice(x, sound.changed),
            c.MeterAudio: sound.devices.meter,
            c.TestDevice: sound.devices.test,
            c.ListDevices: self._list_devices,
            c.GetAudio: lambda _: c.Accepted(value=self.desk.audio),
            c.AddAccount: accounts.add,
            c.RemoveAccount: accounts.remove,
            c.RegisterAccount: accounts.register,
            c.UnregisterAccount: accounts.unregister,
            c.UpdateAccount: accounts.update,
            c.SelectAccount: accounts.select,
            c.ListAccounts: lambda _: c.Accepted(value=accounts.views()),
            c.ListContacts: people.page,
            c.GetContact: people.get,
            c.AddContact: people.add,
            c.UpdateContact: people.update,
            c.RemoveContact: people.remove,
            c.ImportContacts: people.import_,
            c.SetDnd: self.preferences.set_dnd,
            c.SetForwarding: self.preferences.set_forwarding,
            c.SetAutoAnswer: self.preferences.set_auto_answer,
            c.Status: lambda _: c.Accepted(value=self.desk.status()),
            c.GetSnapshot: lambda _: c.Accepted(value=self.snapshot()),
            c.Drain: self.leaving.drain,
            c.Quit: self.leaving.quit,
            c.OpenAudio: self.audio.open,
            c.CloseAudio: self.audio.close,
            c.StreamAudio: self.streams.start,
            c.StopAudioStream: self.streams.stop,
            c.ListAudioStreams: self.streams.list,
        }

    def _sip_table(self) -> dict[type[object], Callable[[Any], object]]:
        for_call = self._for_call
        return {
            s.Registering: self.accounts.registering,
            s.Registered: self.accounts.registered,
            s.RegistrationLost: self.accounts.lost,
            s.RegistrationFailed: self.accounts.failed,
            s.RegistrationFlow: self.accounts.failover.flow,
            s.RegistrationEnded: self.accounts.ended,
            s.SessionIncoming: self.incoming.received,
            s.SessionCalling: for_call(self.outgoing.calling),
            s.SessionProgress: for_call(self._progress),
            s.PeerNamed: for_call(self._named),
            s.SessionRedirected: for_call(self.outgoing.redirected),
            s.SessionAnswered: for_call(self._answered),
            s.SessionConfirmed: for_call(self.incoming.confirmed),
            s.SessionEnded: for_call(self._session_ended),
            s.OfferReceived: for_call(self.offers.received),
            s.OfferWanted: for_call(self.offers.wanted),
            s.OfferAnswered: for_call(self.offers.answered),
            s.OfferFailed: for_call(self.offers.failed),
            s.RefreshWanted: for_call(self.offers.refresh),
            s.ReferRequested: for_call(self.transfers.requested),
            s.ReferProgress: for_call(self.transfers.progress),
            s.SubscriptionNotified: lambda x: self.watches.notified(x),
            s.SubscriptionEnded: lambda x: self.watches.ended(x),
            s.SummaryReceived: lambda x: self.watches.summary(x),
            s.WatcherAsks: lambda x: self.own.asked(x),
            s.WatcherRefreshed: lambda x: self.own.refreshed(x),
            s.WatcherGone: lambda x: self.own.gone(x),
            s.Published: lambda _: None,
            s.InfoReceived: for_call(self.digits.info_received),
            s.MessageReceived: self.texts.received,
            s.RequestDone: self._request_done,
            s.Dropped: lambda _: None,
            s.Refused: self._refused,
        }

    def _input_table(self) -> dict[type[object], Callable[[Any], object]]:
        for_stream, sound = self._for_stream, self.sound
        return {
            s.Datagram: self._sip_input,
            s.StreamChunk: self._sip_input,
            s.FlowFailed: self.ways.failed,
            s.FlowUp: self.ways.up,
            s.NetworkChanged: self.ways.network_changed,
            s.Resolved: self._resolved,
            ClockSet: self._set_clock,
            Configured: self._configure,
            Started: lambda x: self.desk.emit(e.SystemReady(address=x.address)),
            ContactsLoaded: self.contacts.loaded,
            DirectoryListed: self.contacts.directory,
            media.PortsReady: self._ports_ready,
            media.StreamFailed: for_stream(self.reports.stream_failed),
            media.StreamStalled: for_stream(
                lambda r, call: self.desk.emit(e.MediaStalled(call=call.view(), silent_ms=r.silent_ms))
            ),
            media.StreamResumed: for_stream(self.reports.stream_resumed),
            media.StreamStats: for_stream(self.reports.stream_stats),
            NatServers: self._nat_servers,
            media.CandidatesGathered: for_stream(self._gathered),
            media.StreamRouted: for_stream(self.reach.routed),
            media.StreamSecured: for_stream(lambda r, call: self.secrecy.secured(call, r.cipher)),
            media.StreamClosed: self.reports.stream_closed,
            media.DigitReceived: for_stream(self.digits.received),
            media.SpeechStarted: for_stream(self.listening.speech_started),
            media.SpeechStopped: for_stream(self.listening.speech_stopped),
            media.ToneHeard: for_stream(self.listening.tone_heard),
            media.AnswerJudged: for_stream(self.listening.judged),
            media.StreamLevels: for_stream(self.meters.measured),
            media.DigitSent: for_stream(self.digits.sent),
            media.DigitsDone: for_stream(self.digits.done),
            media.PlaybackStarted: for_stream(self.playing.began),
            media.PlaybackDone: self.playing.over,
            media.RecordingStarted: for_stream(self.recordings.began),
            media.RecordingDone: self.recordings.done,
            media.CaptureEnded: self.captures.ended,
            media.DevicesListed: sound.devices.listed,
            media.DeviceFailed: sound.devices.failed,
            media.DeviceRecovered: sound.devices.works,
            card.VoiceFailed: sound.devices.voice_failed,
            card.LevelsMeasured: sound.devices.measured,
            card.MicrophoneTested: sound.devices.microphone_tested,
            media.EngineTrouble: self._engine_trouble,
            media.EngineLoad: self.capacity.note,
            media.AudioFrames: lambda _: None,  # they go straight to who opened the link
            media.StreamCaptured: lambda _: None,  # as they do, and these, to who keeps them
            media.StreamKeys: lambda _: None,
            media.AudioMarkReached: for_stream(self.audio.mark_reached),
            media.AudioCleared: for_stream(self.audio.cleared),
            media.AudioUnderrun: for_stream(self.audio.underrun),
            media.AudioOverrun: for_stream(self.audio.overrun),
            media.AudioClosed: self.audio.closed,
            StreamConnected: self.streams.connected,
            StreamOver: self.streams.over,
            SoundFetched: self.playing.fetched,
        }

    def _sip_input(self, item: s.SipInput) -> None:
        self.desk.sip.receive(item, self.desk.now)

    def _resolved(self, item: s.Resolved) -> None:
        if item.query < 0:
            self.offers.routes.resolved(item)
        else:
            self._sip_input(item)

    def _set_clock(self, item: ClockSet) -> None:
        self.desk.clock = item.offset

    def _nat_servers(self, servers: NatServers) -> None:
        self.reach.servers = servers

    def _gathered(self, report: media.CandidatesGathered, call: Call) -> None:
        self.reach.gathered(report, call)
        if call.unanswered is not None:
            self.offers.answer_waiting(call)
        elif call.is_connected:
            self.offers.move(call)
        (self.outgoing if call.direction == "outgoing" else self.incoming).gathered(call)

    def _configure(self, item: Configured) -> None:
        before, self.desk.settings = self.desk.settings, item.settings
        self.desk.arrange_accounts(item.order)
        self.desk.workers.limit = item.settings.max_load
        self.sound.devices.configured(before, item.settings, self.sound.changed)
        self.preferences.configured(before, item.settings)

    # --- calls

    def _session_ended(self, event: s.SessionEnded, call: Call) -> None:
        if not self.outgoing.goes_on(event, call):
            self.closing.session_ended(event, call)

    def _progress(self, event: s.SessionProgress, call: Call) -> None:
        self.outgoing.progress(event, call)
        if event.status != FORK_ENDED:  # RFC 6228 4: it says nothing of the call as a whole
            self.transfers.tell(call, event.status, event.reason)

    def _named(self, event: s.PeerNamed, call: Call) -> None:
        account = self.desk.accounts.get(call.account)
        prefix = account.settings.dialing_prefix if account else ""
        before, call.remote = call.remote, self.desk.names.connected(call.remote, event.asserted, prefix)
        if call.remote != before and call.state is not CallState.CALLING:  # else what it does next tells it
            self.desk.emit(e.CallUpdated(call=call.view()))

    def _answered(self, event: s.SessionAnswered, call: Call) -> None:
        self.outgoing.answered(event, call)
        if call.is_connected:
            self.transfers.tell(call, 200, "OK")

    # --- media

    def _ports_ready(self, report: media.PortsReady) -> None:
        self.desk.workers.ready(report.worker, report.ports)
        self.incoming.ports_ready()
        self.outgoing.ports_ready()

    def _engine_trouble(self, report: media.EngineTrouble) -> None:
        if not report.late_ms:
            # The engine was started again: the ports it had made ready went with it, and the audio links of its calls.
            self.desk.workers.gone(report.worker)
            self.audio.lost(report.streams)
            self.captures.lost(report.streams)
        self.desk.emit(e.SystemError(reason=report.reason))

    def _list_devices(self, _command: c.ListDevices) -> c.Accepted:
        self.desk.media(media.ListDevices())
        return c.Accepted(value=self.desk.devices)

    def _request_done(self, event: s.RequestDone) -> None:
        if not (self.digits.request_done(event) or self.accounts.failover.request_done(event)):
            self.texts.done(event)

    def _refused(self, event: s.Refused) -> None:
        self.desk.emit(e.AuditDenied(surface="sip", reason=event.reason, peer=event.source, attempts=event.attempts))

    # --- the whole

    def snapshot(self) -> Snapshot:
        """Return everything at this moment."""
        desk = self.desk
        return Snapshot(
            status=desk.status(),
            accounts=self.accounts.views(),
            calls=tuple(call.view() for call in desk.calls.values()),
            audio=desk.audio,
            devices=desk.devices,
            dnd=desk.settings.dnd,
            forwarding=desk.settings.forwarding,
            auto_answer=desk.settings.auto_answer,
            conferences=self.conferences.views(),
            watches=self._watches.views() if self._watches is not None else (),
            draining=desk.draining or desk.stopping,
        )

    def _withdraw(self) -> None:
        """End what is watched and published."""
        for view in self._watches.views() if self._watches is not None else ():
            self.desk.attempt(s.Unsubscribe(view.id))
        for published in sorted(self._own.published) if self._own is not None else ():
            self.desk.attempt(s.Publish(published, "presence", None))
