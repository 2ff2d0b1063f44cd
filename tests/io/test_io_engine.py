"""Commands and their causes, the order of events, and what a subscriber's mistake costs."""

from __future__ import annotations

import asyncio

import pytest

from offhook.errors import CommandError
from offhook.io.journal import Cause
from offhook.phone import commands as c
from offhook.phone.events import SystemError
from offhook.testing.live import connect, live_phone


async def test_events_say_which_command_of_whom_brought_them_about() -> None:
    async with live_phone() as caller, live_phone() as callee:
        accepted = caller.running.execute(c.Dial(to=callee.uri), Cause(client="crm", request_id="r7"))
        await callee.event("call.incoming")
        callee.execute(c.Answer())
        outcome = await caller.event("operation.succeeded")
        created = await caller.event("call.created")
        assert created.cause == outcome.cause == Cause(accepted.operation, "crm", "r7")
        assert (await caller.event("call.ringing")).cause is None, "the far end did that"
        muted = len(caller.events)
        caller.running.execute(c.Mute(), Cause(client="crm"))
        assert (await caller.event("call.muted", muted)).cause == Cause(client="crm")


async def test_nobody_asked_and_the_outcome_names_the_operation_still() -> None:
    async with live_phone() as caller, live_phone() as callee:
        accepted = caller.execute(c.Dial(to=callee.uri))
        await callee.event("call.incoming")
        callee.execute(c.Answer())
        assert (await caller.event("operation.succeeded")).cause == Cause(accepted.operation)


async def test_the_journal_has_every_event_in_the_order_they_were_told() -> None:
    async with live_phone() as caller, live_phone() as callee:
        start = caller.running.journal.head  # the latest of these may not have been told yet
        await connect(caller, callee)
        caller.execute(c.Hangup())
        caller.running.say(SystemError(reason="from a surface"))
        await caller.event("system.error")
        await caller.over()
        page = await caller.running.journal.read(start, 1000)
        await caller.until(lambda: caller.events[-1].cursor == page.events[-1].cursor)
        assert [event.cursor for event in page.events] == [each.cursor for each in caller.events if each.cursor.seq > start.seq]
        assert [event.cursor.seq for event in page.events] == list(
            range(start.seq + 1, start.seq + 1 + len(page.events))
        )


async def test_a_refused_command_brings_no_event() -> None:
    async with live_phone() as phone:
        await asyncio.sleep(0)
        head = phone.running.journal.head
        with pytest.raises(CommandError):
            phone.running.execute(c.SetVolume(volume=101), Cause(client="crm"))
        await asyncio.sleep(0)
        assert phone.running.journal.head == head


async def test_a_subscriber_that_fails_costs_the_others_nothing() -> None:
    async with live_phone() as phone:
        failures: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context["message"]))
        phone.running.subscribe(lambda envelope: 1 / 0)  # type: ignore[arg-type]  # it fails before it returns
        seen = len(phone.events)
        phone.execute(c.SetVolume(volume=7))
        await phone.event("audio.changed", seen)
        assert "a subscriber failed at audio.changed" in failures
