"""Asks a program or a web address what becomes of an incoming call. It has two seconds, then the settings hold."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, get_args

import msgspec

from offhook.control import signing
from offhook.control.access import Client, Gate
from offhook.control.backend import Backend, Envelope, Unsubscribe
from offhook.control.hooks import arguments, foreign, variables
from offhook.errors import CommandError
from offhook.io.programs import Outcome, Programs, Run
from offhook.io.web import WebError, post
from offhook.phone.commands import Decide
from offhook.phone.events import CallIncoming, HookFailed
from offhook.phone.incoming import DECISION_WITHIN
from offhook.phone.settings import Decision
from offhook.phone.urls import Url

AT_ONCE: Final = 32
"""Calls decided about at the same time; a further one waits for its turn, within its two seconds."""

WAITING: Final = 200
MAX_ANSWER: Final = 4096
"""Bytes of an answer; the longest sensible one is a URI."""

_NAME: Final = "decide"


class DecisionError(Exception):
    """No decision, and why."""


@dataclass(frozen=True, slots=True)
class _Given:
    """A decision as a program writes it."""

    action: Decision
    status: int = 0
    to: str = ""


def decision_from(text: str, call: str) -> Decide:
    """Return what a program's or receiver's answer means for a call; DecisionError if it means nothing.

    One line: `answer`, `ring`, `dnd`, `default`, `reject`, `reject 603`, `redirect 1002`; or the same as a JSON object
    {"action": "redirect", "to": "1002"}. Nothing at all is `default`.
    """
    text = text.strip()
    if text.startswith("{"):
        try:
            given = msgspec.json.decode(text, type=_Given)
        except (msgspec.DecodeError, RecursionError) as error:
            raise DecisionError(f"the answer cannot be understood: {error}") from None
        return Decide(call=call, action=given.action, status=given.status, to=given.to)
    word, _, rest = text.partition(" ")
    rest = rest.strip()
    match (word or "default").lower(), rest:
        case ("reject", status) if status.isascii() and status.isdecimal() and len(status) == 3:
            return Decide(call=call, action="reject", status=int(status))
        case ("redirect", to) if to and "\n" not in to:
            return Decide(call=call, action="redirect", to=to)
        case (action, "") if action in get_args(Decision) and action != "redirect":
            return Decide(call=call, action=action)  # type: ignore[arg-type]  # it is one of them
    raise DecisionError(f"the answer {text[:64]!r} is none of: answer, reject [STATUS], redirect TO, ring, dnd, default")


Ask: TypeAlias = Callable[[Envelope], Awaitable[str]]


class Decisions:
    """Puts the question for each call that waits for a decision, and passes the answer on."""

    def __init__(self, backend: Backend, ask: Ask, source: str, close: Callable[[], Awaitable[None]] | None = None) -> None:
        self._backend = backend
        self._gate = Gate(backend, time.monotonic)
        self._client = Client(_NAME, frozenset({"call"}))
        self._ask = ask
        self._source = source
        self._close = close
        self._tasks: set[asyncio.Task[None]] = set()
        self._unsubscribe: Unsubscribe | None = None

    def start(self) -> None:
        """Ask from now on."""
        self._unsubscribe = self._backend.subscribe(self._heard, CallIncoming)

    async def close(self) -> None:
        """Ask no more."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._close is not None:
            await self._close()

    def _heard(self, envelope: Envelope) -> None:
        event = envelope.event
        # One that rings already does not wait for anybody.
        if isinstance(event, CallIncoming) and event.call.ringing is None:
            task = asyncio.get_running_loop().create_task(self._decide(envelope, event.call.id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _decide(self, envelope: Envelope, call: str) -> None:
        try:
            self._gate.execute(decision_from(await self._ask(envelope), call), self._client, envelope.id)
        except (DecisionError, CommandError) as error:
            self._backend.say(HookFailed(hook=_NAME, event=envelope.id, program=self._source, reason=str(error)))
            with contextlib.suppress(CommandError):  # the two seconds are over, or the caller has given up
                self._gate.execute(Decide(call=call, action="default"), self._client, envelope.id)


def by_program(backend: Backend, run: tuple[str, ...], environment: Mapping[str, str] | None = None) -> Decisions:
    """Return what asks a program: it gets what a hook gets, and prints its decision."""
    programs = Programs(AT_ONCE, WAITING)
    inherited = dict(os.environ if environment is None else environment)

    async def ask(envelope: Envelope) -> str:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + DECISION_WITHIN
        ended: asyncio.Future[Outcome] = loop.create_future()

        def prepare() -> Run:
            left = max(0.01, deadline - loop.time())
            environment = {**inherited, **variables(envelope)}
            return Run(arguments(run, envelope), environment, left, MAX_ANSWER, foreign(run, envelope))

        def done(outcome: Outcome) -> None:
            with contextlib.suppress(RuntimeError):  # the phone is gone
                loop.call_soon_threadsafe(_settle, ended, outcome)

        if not programs.start(prepare, done):
            raise DecisionError("too many calls wait for a decision")
        outcome = await ended
        if outcome.reason:
            raise DecisionError(f"{outcome.reason} {outcome.complaint.strip()}".strip())
        return outcome.output

    async def close() -> None:
        await asyncio.get_running_loop().run_in_executor(None, programs.close, 0.0)

    return Decisions(backend, ask, run[0], close)


def _settle(ended: asyncio.Future[Any], outcome: Outcome) -> None:
    if not ended.done():
        ended.set_result(outcome)


def by_web(backend: Backend, url: Url, secret: str = "") -> Decisions:
    """Return what asks a web address: it is sent the event, signed if there is a secret, and answers with its decision."""
    keys = [signing.key_of(secret)] if secret else []

    async def ask(envelope: Envelope) -> str:
        body = envelope.json
        headers = signing.headers(keys, envelope.id, int(time.time()), body)
        try:
            answer = await post(url, headers, body, within=DECISION_WITHIN, keep=MAX_ANSWER)
        except WebError as error:
            raise DecisionError(str(error)) from None
        if not 200 <= answer.status < 300:
            raise DecisionError(f"the answer is HTTP {answer.status}")
        return answer.body.decode("utf-8", "replace")

    return Decisions(backend, ask, url.text)
