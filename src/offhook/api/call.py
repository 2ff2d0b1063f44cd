"""One call, as a program holds it."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, Protocol

from msgspec import structs

from offhook.api.audio import Audio
from offhook.api.failures import CallFailed, PhoneGone, call_failure
from offhook.api.line import CallLine, Followed
from offhook.api.outgoing import AudioStream
from offhook.api.pairs import Pairs, as_names, as_pairs
from offhook.api.playing import Playback, Recording
from offhook.api.streams import DigitStream, Stream, Streams, wait_until
from offhook.errors import CommandError, InvalidState, NotFound
from offhook.media.messages import AudioRate, Detection, PlayMode, RecordingFormat, Side
from offhook.phone import commands as c
from offhook.phone import events as e
from offhook.phone.model import CallState, CallView, Party, PlaybackView, RecordingView, StatsView, StreamDialect, StreamTrack
from offhook.phone.settings import Decision, DtmfMethod

EVENTS_KEPT: Final = 256
"""Events of a call that `events` begins with: a call seldom has more before somebody looks."""

RUNG: Final = frozenset({CallState.RINGING, CallState.EARLY})


class Phone(Followed, Protocol):
    """The phone that has the call."""

    async def begin(self, command: c.Command) -> CallHandle:
        """Carry out a command that makes a call, and return the call."""
        ...


class CallHandle:
    """One call. `view` is always the call as it is now; what changes it comes by itself.

    Commands that need the far end wait for its answer and raise OperationFailed if that is no; with `wait=False` they return
    as soon as the phone has taken them. All raise CommandError for what cannot be done now (InvalidState, NotFound …), and
    PhoneGone. In `async with call:` the call is hung up at the end of the block.
    """

    def __init__(self, phone: Phone, view: CallView) -> None:
        self._phone = phone
        self._line = CallLine(phone, view.id)
        self._do = self._line.execute
        self._bell = self._line.bell
        self._rang = False
        self._show(view)
        self._events: deque[e.CallEvent] = deque(maxlen=EVENTS_KEPT)
        self._readers: Streams[e.CallEvent] = Streams()
        self._digits = DigitStream()
        self._audio: Audio | None = None
        self._amd: e.AmdResult | None = None

    def __repr__(self) -> str:
        return f"<CallHandle {self.id} {self.view.direction} {self.view.remote.uri} {self.state}>"

    async def __aenter__(self) -> CallHandle:
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self.is_ended:
            with contextlib.suppress(CommandError, PhoneGone):
                await self.hangup()

    # --- how it is

    @property
    def id(self) -> str:
        """Its name on every surface of the phone."""
        return self._view.id

    @property
    def view(self) -> CallView:
        """The whole call as it is now."""
        return self._view

    @property
    def state(self) -> CallState:
        """Where it is: calling, ringing, incoming, active, held_local … ended."""
        return self._view.state

    @property
    def remote(self) -> Party:
        """The far end."""
        return self._view.remote

    @property
    def is_ended(self) -> bool:
        """Whether it is over."""
        return self._view.state is CallState.ENDED

    @property
    def digits(self) -> DigitStream:
        """The keys that the far end presses, from the first on: `async for digit in call.digits`, `call.digits.read(4)`."""
        return self._digits

    @property
    def events(self) -> Stream[e.CallEvent]:
        """A new iterator over the call's events: those since this program knows the call (the latest 256), then what comes.

        It ends after call.ended.
        """
        stream: Stream[e.CallEvent] = Stream(self._events)
        self._readers.add(stream)
        return stream

    # --- waiting

    async def wait_ringing(self, *, timeout: float | None = None) -> None:
        """Wait until the far end rings, is `early` (its sound comes before the answer), or has answered without either.

        Raises CallFailed if it ends first, TimeoutError.
        """
        await self._wait(lambda: self._rang or self._view.answered is not None, timeout, "did not ring")

    async def wait_active(self, *, timeout: float | None = None) -> None:
        """Wait until the call is answered, by whichever side.

        Raises CallFailed if it ends first (Busy, Declined, NoAnswer, UnknownNumber, Barred, Unreachable or Cancelled, with
        `sip_status` and `reason`), TimeoutError after `timeout` seconds: the call goes on then.
        """
        await self._wait(lambda: self._view.answered is not None, timeout, "was not answered")

    async def wait_ended(self, *, timeout: float | None = None) -> CallView:
        """Wait until the call is over; returns its last view, whose `end` says by whom and why. Raises TimeoutError."""
        await wait_until(self._bell, lambda: self._line.is_over, timeout, f"call {self.id} was not over")
        if not self.is_ended and self._line.lost is not None:
            raise self._line.lost
        return self._view

    async def _wait(self, condition: Callable[[], bool], timeout: float | None, missing: str) -> None:
        def known() -> bool:
            return condition() or self._line.is_over

        await wait_until(self._bell, known, timeout, f"call {self.id} {missing}")
        if condition():
            return
        raise self._line.lost or call_failure(self._view)

    # --- doing

    async def answer(
        self, *, headers: Pairs = (), user_to_user: str = "", codecs: Sequence[str] = (), hold_others: bool = True,
        detect: Sequence[Detection] = (), record: bool = False, play: str | os.PathLike[str] = "",
    ) -> None:  # fmt: skip
        """Answer it; another active call is put on hold, unless `hold_others` is False.

        `headers` and `user_to_user` as in `dial`, for the answer. `codecs` in place of the account's or the phone's. `detect`,
        `record` and `play` as in `dial`.
        """
        answer = c.Answer(
            call=self.id, headers=as_pairs(headers), user_to_user=user_to_user, codecs=as_names(codecs),
            hold_others=hold_others, detect=as_names(detect), record=record, play=os.path.abspath(play) if play else "",
        )  # fmt: skip
        await self._do(answer, wait=True)
        with contextlib.suppress(CallFailed):  # it was answered; what comes later is seen in the state
            await self.wait_active()

    async def reject(self, status: int = 0, *, headers: Pairs = (), user_to_user: str = "") -> None:
        """Refuse it, as busy (486) unless `status` says otherwise (300-699)."""
        await self._do(c.Reject(call=self.id, status=status, headers=as_pairs(headers), user_to_user=user_to_user))
        await self.wait_ended()

    async def redirect(self, to: str) -> None:
        """Send the ringing incoming call to somebody else (302)."""
        await self._do(c.Redirect(call=self.id, to=to))
        await self.wait_ended()

    async def decide(self, action: Decision, *, status: int = 0, to: str = "") -> None:
        """Say what becomes of an incoming call that waits for a decision (setting `decide`; within 2 seconds)."""
        await self._do(c.Decide(action=action, call=self.id, status=status, to=to))

    async def hangup(self, *, headers: Pairs = (), user_to_user: str = "") -> None:
        """End it, in whatever state; harmless when it is over. `headers` and `user_to_user` as in `dial`, for the BYE."""
        if self.is_ended:
            return
        try:
            await self._do(c.Hangup(call=self.id, headers=as_pairs(headers), user_to_user=user_to_user))
        except CommandError:
            # It may have ended a moment ago, and the event of that is under way.
            view = (await self._do(c.GetCall(call=self.id))).value
            if view.state is not CallState.ENDED:
                raise
        await self.wait_ended()

    async def stats(self) -> StatsView:
        """Return how good its sound is, both ways; for some minutes after its end, too."""
        value: StatsView = (await self._do(c.CallStats(call=self.id))).value
        return value

    async def hold(self, *, wait: bool = True) -> None:
        """Put it on hold."""
        await self._do(c.Hold(call=self.id), wait=wait)

    async def resume(self, *, wait: bool = True) -> None:
        """Take it off hold."""
        await self._do(c.Resume(call=self.id), wait=wait)

    async def set_codecs(self, codecs: Sequence[str], *, wait: bool = True) -> None:
        """Go on with other codecs, offered in this order; [] stands for the account's or the phone's. Sound goes on meanwhile.

        Waits until the far end has answered; `view.media.codec` is what it chose. Raises OperationFailed where it refuses.
        """
        await self._do(c.SetCodecs(call=self.id, codecs=as_names(codecs)), wait=wait)

    async def tag(self, tags: Pairs) -> None:
        """Keep words of your own with the call, also after its end: `await call.tag({"order": "4711"})`.

        A tag of the same name is replaced, an empty value takes it away, the others stay. `view.tags` has them all.
        """
        accepted = await self._do(c.TagCall(call=self.id, tags=as_pairs(tags)))
        self._update(structs.replace(self._view, tags=accepted.value.tags))

    async def meter(self, interval_ms: int = 200, seconds: float = 60.0) -> None:
        """Have CallLevel events for a while: how loud the call is, both ways. 0 seconds ends it."""
        await self._do(c.MeterCall(call=self.id, interval_ms=interval_ms, seconds=seconds))

    async def mute(self) -> None:
        """Send silence in place of the microphone."""
        await self._do(c.Mute(call=self.id))
        await wait_until(self._bell, lambda: self._view.muted or self._line.is_over, None)

    async def unmute(self) -> None:
        """Undo `mute`."""
        await self._do(c.Unmute(call=self.id))
        await wait_until(self._bell, lambda: not self._view.muted or self._line.is_over, None)

    async def dtmf(
        self, digits: str, *, method: DtmfMethod | Literal[""] = "", duration_ms: int = 160, gap_ms: int = 80, wait: bool = True
    ) -> None:
        """Send digits 0-9 * # A-D, "," pauses; waits until all have gone out."""
        command = c.SendDtmf(call=self.id, digits=digits, method=method, duration_ms=duration_ms, gap_ms=gap_ms)
        await self._do(command, wait=wait)

    async def transfer(self, to: str, *, wait: bool = True) -> None:
        """Connect the far end with `to` (blind transfer). When the target has answered, this call ends."""
        await self._do(c.Transfer(call=self.id, to=to), wait=wait)

    async def transfer_attended(self, with_call: CallHandle, *, wait: bool = True) -> None:
        """Connect the far end with that of another answered call. When they talk to each other, both calls end."""
        await self._do(c.TransferAttended(call=self.id, with_call=with_call.id), wait=wait)

    async def accept_transfer(self) -> CallHandle:
        """Do what the far end asked for with `transfer.requested`: call its target. Returns the new call."""
        return await self._phone.begin(c.AcceptTransfer(call=self.id))

    async def reject_transfer(self) -> None:
        """Refuse what the far end asked for with `transfer.requested`."""
        await self._do(c.RejectTransfer(call=self.id))

    async def send_info(self, body: str, *, content_type: str = "text/plain", wait: bool = True) -> None:
        """Send a SIP INFO inside the call."""
        await self._do(c.SendInfo(call=self.id, body=body, content_type=content_type), wait=wait)

    async def play(
        self, file: str | os.PathLike[str] = "", *, url: str = "", tone: str = "", duration_ms: int = 0, loop: bool = False,
        gain_db: float = 0.0, mode: PlayMode = "replace",
    ) -> Playback:  # fmt: skip
        """Play a sound file, one from the web (`url`), or a tone ("440", "350+440" Hz), to the far end; without any, silence.

        `mode` "replace" ends what plays, "queue" waits for it, "mix" plays beside it. Returns at once; `await playback.wait()`.
        """
        path = os.path.abspath(file) if file else ""
        accepted = await self._do(c.Play(
            call=self.id, file=path, url=url, tone=tone, duration_ms=duration_ms, loop=loop, gain_db=gain_db, mode=mode
        ))  # fmt: skip
        return Playback(self, self._line, accepted.value["playback"])

    async def stop_playing(self) -> None:
        """Stop all that plays and waits to be played. Harmless when there is nothing."""
        with contextlib.suppress(InvalidState, NotFound):  # nothing plays, or the call is over
            await self._do(c.StopPlay(call=self.id))

    async def playbacks(self) -> tuple[PlaybackView, ...]:
        """Return what plays into the call, and what waits."""
        found: tuple[PlaybackView, ...] = (await self._do(c.ListPlaybacks(call=self.id))).value
        return found

    async def record(
        self, file: str | os.PathLike[str] = "", *, channels: Literal["mono", "stereo"] = "mono",
        max_seconds: float = 0.0, beep: bool = False, format: RecordingFormat | Literal[""] = "",
    ) -> Recording:  # fmt: skip
        """Record both ends into a new file; `path = await recording.stop()`.

        "" makes a name in the configuration's recordings folder (the current one, where there is no configuration). `format` is
        wav, flac, mp3 or opus; "" is what the file's suffix says, else the setting's.
        """
        path = os.path.abspath(file) if file else ""
        command = c.Record(
            call=self.id, file=path, channels=channels, max_seconds=max_seconds, beep=beep, format=format
        )
        accepted = await self._do(command)
        return Recording(self, self._line, accepted.value["recording"], Path(accepted.value["file"]))

    async def recordings(self) -> tuple[RecordingView, ...]:
        """Return the call's recordings, also those that are over."""
        found: tuple[RecordingView, ...] = (await self._do(c.ListRecordings(call=self.id))).value
        return found

    async def capture(self, *, seconds: float = 600.0, keys: bool = False) -> None:
        """Keep the packets of the call's sound as they are on the wire: `offhook call pcap ID FILE --media` writes them.

        They stay in memory, 10 MB of them at most. With `keys`, those that open an encrypted call's packets are kept, too.
        """
        await self._do(c.Capture(call=self.id, seconds=seconds, keys=keys))

    async def stop_capture(self) -> None:
        """End a capture; what there is of it can still be had. Raises NotFound where there is none."""
        await self._do(c.StopCapture(call=self.id))

    async def detect(self, *what: Detection) -> None:
        """Listen to the far end for "dtmf", "tones", "beep", "vad" and "amd", and for nothing else; without any, end it.

        What is heard comes as events: dtmf.received, tone.detected, vad.speech_started, vad.speech_stopped, amd.result.
        """
        await self._do(c.Detect(call=self.id, what=what))

    async def wait_amd(self, *, timeout: float | None = None) -> e.AmdResult:
        """Wait until it is known whether a person or a machine answered: `result` is human, machine or unknown.

        Ask for it by `dial(…, detect=["amd"])`. Raises CallFailed if the call ends first, TimeoutError.
        """
        await self._wait(lambda: self._amd is not None, timeout, "did not show who answered")
        assert self._amd is not None
        return self._amd

    async def tap(self, call: CallHandle, *, hear: Side = "both", speak: Side = "none") -> None:
        """Let this call's far end hear what is said in another call, and speak into it.

        `near` is this phone with the person or program at it, `far` the other call's far end. speak="near" whispers to us,
        "far" to the far end, "both" speaks to all. Again changes it.
        """
        await self._do(c.Tap(call=call.id, by=self.id, hear=hear, speak=speak))

    async def stop_tap(self) -> None:
        """End what `tap` began; both calls go on."""
        await self._do(c.StopTap(by=self.id))

    @property
    def audio(self) -> Audio:
        """The call's sound at 16 kHz, opened at its first use: `async for frame in call.audio`, `call.audio.write(pcm)`.

        It is the same each time until it is closed (by `async with call.audio`), then it is opened anew.
        """
        if self._audio is None or self._audio._closed:
            self._audio = Audio(self._line, 16000)
        return self._audio

    def open_audio(self, *, rate: AudioRate = 16000) -> Audio:
        """Return the call's sound at another rate, or for one more part of the program: each hears everything.

        Use it in `async with`, which opens it at once.
        """
        return Audio(self._line, rate)

    async def stream(
        self, url: str, *, dialect: StreamDialect = "twilio", rate: AudioRate | Literal[0] = 0, track: StreamTrack = "inbound",
        speak: bool = True, parameters: Mapping[str, str] | Iterable[tuple[str, str]] = (), control: bool = False,
        end_call: bool = False,
    ) -> AudioStream:  # fmt: skip
        """Connect to a program's WebSocket (ws, wss) and carry the call's sound there; returns when it is connected.

        `dialect` "twilio" are the messages of Twilio's Media Streams, "pcm" ours. With `control` the program may send digits
        and hang up, with `end_call` the call ends when the program ends the stream. Raises OperationFailed if it cannot be
        connected.
        """
        pairs = tuple(parameters.items()) if isinstance(parameters, Mapping) else tuple(parameters)
        accepted = await self._do(c.StreamAudio(
            call=self.id, url=url, dialect=dialect, rate=rate, track=track, speak=speak, parameters=pairs, control=control,
            end_call=end_call,
        ), wait=True)  # fmt: skip
        return AudioStream(self, self._line, accepted.value.id)

    async def loopback(self, enabled: bool = True) -> None:
        """Send the far end its own sound back, or stop that."""
        await self._do(c.Loopback(call=self.id, enabled=enabled))

    # --- for the book

    def _show(self, view: CallView) -> None:
        self._view = view
        self._rang = self._rang or view.state in RUNG
        self._line.ended = view.state is CallState.ENDED

    def _update(self, view: CallView) -> None:
        self._show(view)
        self._bell.ring()

    def _take(self, event: e.CallEvent) -> None:
        if not (self.is_ended and event.call.state is not CallState.ENDED):
            self._show(event.call)
        match event:
            case e.DtmfReceived():
                self._digits._digits._put(event.digit)
            case e.AmdResult():
                self._amd = event
            case _:
                self._line.take(event)
        if not isinstance(event, e.MediaStats):
            self._events.append(event)
        self._readers.put(event)
        if isinstance(event, e.CallEnded):
            self._digits._digits._end()
            self._readers.end()
        self._bell.ring()

    def _fall_silent(self, reason: str) -> None:
        """The phone that had this call is no more: nothing comes of what ran in it."""
        self._line.silent = PhoneGone(reason)
        self._bell.ring()

    def _leave(self, error: PhoneGone, *, quietly: bool) -> None:
        """Nothing more will be heard of this call. `quietly`: because we wanted so, then the iterators just end."""
        self._line.lost = error
        self._digits._digits._end(None if quietly else error)
        self._readers.end(None if quietly else error)
        self._bell.ring()
