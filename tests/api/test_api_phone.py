"""The phone itself: events, accounts, sound, messages, settings; and that nothing is left when it is closed."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import offhook
from offhook import AccountSettings, OperationFailed, PhoneGone, Recording, Softphone, StreamGap
from offhook.api.links import OwnPhone
from offhook.control.schema import RESULTS
from offhook.errors import CommandError, ConfigError, InvalidArgument, NotFound, SetupError
from offhook.exchange.server import Exchange
from offhook.phone import commands as c
from offhook.phone.events import AudioChanged, CallEnded
from offhook.phone.model import ContactDetails
from offhook.testing.live import quiet_config
from offhook.testing.softphones import own_phone, own_uri, phone_by, served_phone

Peer = tuple[Softphone, str]


async def test_events_are_the_phones_own_classes_and_can_be_taken_up_again(phone: Softphone) -> None:
    async with phone.events(["audio.*"]) as events:
        await phone.set_volume(30)
        first = await anext(events)
        assert isinstance(first, AudioChanged)
        assert first.audio.output_volume == 30
        assert events.time.endswith("Z")
    with pytest.raises(StopAsyncIteration):
        await anext(events)
    await phone.set_volume(40)
    await phone.set_volume(50)
    async with phone.events("audio.changed", after=events.cursor) as later:
        heard = [await anext(later), await anext(later)]
    assert [event.audio.output_volume for event in heard if isinstance(event, AudioChanged)] == [40, 50]


async def test_a_cancelled_wait_for_an_event_loses_none(phone: Softphone) -> None:
    async with phone.events(["audio.changed"]) as events:
        heard = []
        for volume in range(10, 60, 10):
            await phone.set_volume(volume)
            for _ in range(3):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.0005):
                        heard.append(await anext(events))
        while len(heard) < 5:
            heard.append(await anext(events))
    assert [event.audio.output_volume for event in heard if isinstance(event, AudioChanged)] == [10, 20, 30, 40, 50]


async def test_a_wrong_event_type_or_place_is_refused_at_once(phone: Softphone) -> None:
    with pytest.raises(InvalidArgument):
        phone.events(["call.nothing"])
    with pytest.raises(InvalidArgument):
        phone.events(after="nonsense")


async def test_a_lost_range_is_told(phone: Softphone) -> None:
    async with phone.events(["audio.changed"], after="other1-5") as events:
        gap = await anext(events)
        assert isinstance(gap, StreamGap)
        assert gap.after == "other1-5"


async def test_wait_event(phone: Softphone, peer: Peer) -> None:
    waiting = asyncio.ensure_future(phone.wait_event("call.ended", timeout=5))
    await asyncio.sleep(0)  # so that it listens
    call = await phone.dial(peer[1])
    await call.hangup()
    assert isinstance(await waiting, CallEnded)
    with pytest.raises(TimeoutError):
        await phone.wait_event("call.ended", timeout=0.01)


async def test_sound(phone: Softphone) -> None:
    assert (await phone.set_volume(35)).output_volume == 35
    assert (await phone.set_mic_volume(45)).mic_volume == 45
    assert (await phone.mute()).mic_muted
    assert not (await phone.unmute()).mic_muted
    assert (await phone.audio()).output_volume == 35
    with pytest.raises(InvalidArgument):
        await phone.set_volume(101)
    assert isinstance(await phone.devices(), tuple)
    assert (await phone.set_device("output", "")).output_device == ""
    with pytest.raises(CommandError):
        await phone.set_device("input", "no such thing")


async def test_texts(phone: Softphone, peer: Peer) -> None:
    far, uri = peer
    messages = far.messages
    await phone.send_message(uri, "hello")
    assert (await anext(messages)).text == "hello"


async def test_accounts(exchange: Exchange, phone: Softphone) -> None:
    host, port = exchange.address
    good = AccountSettings(id="good", domain=f"{host}:{port}", username="1001", password="practice-1001")
    await phone.add_account(good)
    assert (await phone.wait_registered("good", timeout=5)).registration == "registered"
    await phone.add_account(replace(good, id="bad", username="1002", password="wrong"))
    with pytest.raises(OperationFailed) as caught:
        await phone.wait_registered("bad", timeout=5)
    assert caught.value.sip_status in (401, 403)
    assert {view.id for view in phone.accounts} == {"good", "bad"}
    await phone.select_account("good")
    await phone.remove_account("bad")
    await phone.unregister("good")
    async with asyncio.timeout(5):
        while phone.accounts[0].registration != "unregistered":
            await phone.wait_event("account.*", timeout=1)
    await phone.register("good")
    await phone.add_account(replace(good, id="quiet", username="1003", register=False))
    assert (await phone.wait_registered(timeout=5)).id == "good", "one that does not register is not waited for"
    call = await phone.dial("echo", account="good")
    await call.wait_active(timeout=5)
    await call.hangup()
    with pytest.raises(NotFound):
        await phone.wait_registered("nobody")
    with pytest.raises(OperationFailed) as caught:
        await phone.send_message("1009", "nobody is there")
    assert caught.value.command == "send_message"


async def test_settings_and_the_snapshot(phone: Softphone) -> None:
    await phone.set_dnd(True)
    await phone.set_forwarding("sip:desk@127.0.0.1", delay=5)
    await phone.set_auto_answer("header")
    await phone.drain()
    snapshot = await phone.snapshot()
    assert (snapshot.dnd, snapshot.forwarding, snapshot.auto_answer, snapshot.draining) == (
        True, "sip:desk@127.0.0.1", "header", True,
    )  # fmt: skip
    await phone.drain(False)


async def test_every_answer_is_the_same_from_inside_and_over_the_socket(phone: Softphone) -> None:
    commands = (
        c.Status(), c.GetAudio(), c.ListCalls(), c.ListAccounts(), c.ListDevices(), c.ListConferences(), c.GetSnapshot(),
    )  # fmt: skip
    for command in commands:
        value = (await phone.execute(command)).value
        assert type(value) is (getattr(RESULTS[type(command)], "__origin__", RESULTS[type(command)]))


async def test_the_history(tmp_path: Path, peer: Peer) -> None:
    async with Softphone(quiet_config(), history=tmp_path / "h.sqlite3") as phone:
        call = await phone.dial(peer[1])
        await call.hangup()
        assert [entry["id"] for entry in await phone.history()] == [call.id]
        began = call.view.created.astimezone().replace(tzinfo=None)  # as a program writes it, without a zone
        assert [entry["id"] for entry in await phone.history(since=began, direction="outgoing")] == [call.id]
        assert await phone.history(until=began) == await phone.history(missed=True) == await phone.history(tag="x") == []
        await phone.delete_history(call.id)
        assert await phone.history() == []
        await phone.clear_history()
    async with own_phone() as (without, _):
        with pytest.raises(NotFound):
            await without.history()


async def test_the_history_knows_the_recording(tmp_path: Path, peer: Peer) -> None:
    await peer[0].set_auto_answer("all")
    async with Softphone(quiet_config(), history=tmp_path / "h.sqlite3") as phone:
        for file in ("", str(tmp_path / "talk.wav")):
            call = await phone.dial(peer[1])
            await call.wait_active(timeout=5)
            if file:
                recording = await call.record(file)
                await recording.stop()
            await call.hangup()
            assert (await phone.history())[0]["recording"] == file
            await call.wait_ended()


async def test_contacts_are_there_again_and_calls_show_them(tmp_path: Path, peer: Peer) -> None:
    async with Softphone(quiet_config(), contacts=tmp_path / "c.sqlite3") as phone:
        await phone.add_contact(ContactDetails(name="Peer", number=peer[1]))
    async with Softphone(quiet_config(), contacts=tmp_path / "c.sqlite3") as phone:
        call = await phone.dial(peer[1])
        assert call.view.remote.contact == "Peer"
        await call.hangup()
        assert [found.name for found in await phone.contacts("peer")] == ["Peer"]


# --- its end ---------------------------------------------------------------------------------------------------------


@pytest.mark.lengthy
async def test_closing_ends_every_iterator_and_waiter(tmp_path: Path, peer: Peer) -> None:
    for made in (own_phone(), served_phone(tmp_path / "s")):
        before = asyncio.all_tasks()
        async with made as (phone, _):
            ended = await phone.dial(peer[1])
            await ended.wait_ringing(timeout=5)
            await ended.hangup()
            await ended.wait_ended(timeout=5)
            call = await phone.dial(peer[1])
            await call.wait_ringing(timeout=5)
            iterators = [phone.incoming, phone.messages, phone.events(), call.events, call.digits]

            async def drain(iterator: object) -> int:
                return len([thing async for thing in iterator])  # type: ignore[attr-defined]

            draining = [asyncio.ensure_future(drain(iterator)) for iterator in iterators]
            waiting = asyncio.ensure_future(call.wait_active())
            await asyncio.sleep(0)
            await phone.close()
            async with asyncio.timeout(5):
                await asyncio.gather(*draining)
                with pytest.raises((PhoneGone, offhook.CallFailed)):
                    await waiting
            with pytest.raises(PhoneGone):
                await phone.status()
            async with asyncio.timeout(1):  # nothing will tell any more how it ended
                with pytest.raises(PhoneGone):
                    await Recording(ended, ended._line, "rec_none", Path("none.wav")).wait()
            async with asyncio.timeout(5):
                for over in (phone.incoming, phone.events()):
                    with pytest.raises(StopAsyncIteration):
                        await anext(over)
        assert asyncio.all_tasks() == before


async def test_a_phone_that_is_not_open_says_so() -> None:
    phone = Softphone(quiet_config())
    with pytest.raises(PhoneGone, match="async with"):
        await phone.status()
    await phone.close()


@pytest.mark.parametrize(("command", "complaint"), [
    (c.SetDnd(enabled="yes"), "enabled: Expected bool, got str"),  # type: ignore[arg-type]
    (c.SetForwarding(to=1002), "to: Expected str, got int"),  # type: ignore[arg-type]
    (c.Dial(to="sip:a@127.0.0.1:9", headers=(("X-A", 5),)), "headers/0/1: Expected str, got int"),  # type: ignore[arg-type]
])  # fmt: skip
async def test_a_value_of_a_wrong_type_is_refused_and_nothing_else_suffers(
    phone: Softphone, command: c.Command, complaint: str
) -> None:
    with pytest.raises(InvalidArgument, match=complaint):
        await phone.execute(command)
    with pytest.raises(InvalidArgument, match="to: Expected str, got int"):
        await phone.dial(1001)  # type: ignore[arg-type]
    async with asyncio.timeout(5):
        async with phone.events("settings.changed") as events:
            await phone.set_dnd(True)  # the events are still followed
            await anext(events)


@pytest.mark.parametrize("thing", [object(), {1, 2}])
async def test_what_is_no_value_at_all_is_refused_inside_a_program(phone: Softphone, thing: object) -> None:
    with pytest.raises(InvalidArgument):
        await phone.send_message("sip:a@127.0.0.1:9", thing)  # type: ignore[arg-type]


async def test_what_was_a_byte_that_is_not_utf_8_is_refused(phone: Softphone, peer: Peer) -> None:
    call = await phone.dial(peer[1], tags={"job": "Jörg"})
    tagged, sent = phone.dial(peer[1], tags={"job": "\udcff"}), phone.send_message(peer[1], "\udcff")
    for doing in (call.record("M\udcfcller.wav"), tagged, sent):
        with pytest.raises(InvalidArgument, match=r"(file|tags|text): '\\udcf[cf]' is no character"):
            await doing
    await call.hangup()


async def test_whole_numbers_may_be_written_as_others(phone: Softphone) -> None:
    assert (await phone.set_volume(60.0)).output_volume == 60  # type: ignore[arg-type]


async def test_an_account_of_wrong_types_and_a_file_that_is_not_there_are_named(tmp_path: Path) -> None:
    account = AccountSettings(id="a", domain="127.0.0.1", username=1001)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="account/username: Expected str, got int"):
        await Softphone(quiet_config(), accounts=[account]).open()
    with pytest.raises(ConfigError, match=r"nosuch\.toml: no such file"):
        await Softphone(tmp_path / "nosuch.toml").open()


@pytest.mark.parametrize(("given", "complaint"), [
    ({"port": 99999}, "port: "), ({"port": "5060"}, "port: "), ({"sound": "none"}, "sound: "), ({"media": "fork"}, "media: "),
])  # fmt: skip
async def test_what_a_phone_is_made_with_is_looked_at(given: dict[str, Any], complaint: str) -> None:
    before = asyncio.all_tasks()
    with pytest.raises(InvalidArgument, match=complaint):
        await Softphone(quiet_config(), **given).open()
    assert asyncio.all_tasks() == before


async def test_a_phone_in_a_program_says_where_it_is_reached(phone: Softphone) -> None:
    async with Softphone(quiet_config()) as mine:
        host, _, port = mine.address.partition(":")
        assert host == "127.0.0.1"
        async with Softphone(quiet_config(), port=int(port)) as late:  # which gets another port
            assert late.address != mine.address
            call = await late.dial(f"sip:me@{mine.address}")
            assert (await anext(mine.incoming)).view.sip_call_id == call.view.sip_call_id
    with pytest.raises(PhoneGone):
        assert Softphone(quiet_config()).address
    assert phone.address == ("" if not isinstance(phone._link, OwnPhone) else own_uri(phone).partition("@")[2])


async def test_a_phone_is_opened_once() -> None:
    phone = Softphone(quiet_config())
    async with phone:
        with pytest.raises(RuntimeError, match="once"):
            await phone.open()


async def test_an_open_that_is_cancelled_leaves_nothing() -> None:
    before = asyncio.all_tasks()
    phone = Softphone(quiet_config())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await phone.open()
    await phone.close()
    assert asyncio.all_tasks() == before


async def test_quit_ends_the_phone(phone: Softphone) -> None:
    await phone.quit()


async def test_quit_ends_the_iterators_of_a_phone_in_this_program() -> None:
    async with own_phone() as (phone, _), asyncio.timeout(5):
        calls, events = phone.incoming, phone.events(["system.*"])
        waiting = asyncio.create_task(phone.wait_event("call.*"))
        await phone.quit()
        with pytest.raises(PhoneGone):
            await waiting
        assert [call async for call in calls] == []
        assert [event.type async for event in events] == ["system.stopping", "system.stopped"]
        with pytest.raises(PhoneGone):
            await phone.status()
        with pytest.raises(PhoneGone):
            await phone.wait_event("call.*")


async def test_events_of_an_earlier_run_end_nothing(tmp_path: Path) -> None:
    async with Softphone(quiet_config(), journal=tmp_path / "journal.db") as phone:
        seen = phone._book.cursor
    async with Softphone(quiet_config(), journal=tmp_path / "journal.db") as phone, asyncio.timeout(10):
        await phone.set_volume(30)
        types = []
        async for event in phone.events(["system.stopped", "audio.changed"], after=seen):
            types.append(event.type)
            if event.type == "audio.changed":
                break
        assert types[0] == "system.stopped"


@pytest.mark.parametrize("way", ["own", "socket", "web"])
async def test_a_phone_that_is_not_open_any_more_or_not_yet_does_nothing(tmp_path: Path, way: str) -> None:
    def asked(phone: Softphone) -> tuple[Awaitable[object], ...]:
        return (
            phone.history(), phone.texts(), phone.clear_texts(), phone.clear_history(), phone.delete_history("c_1"),
            phone.reload(), phone.status(), phone.wait_registered(),
        )

    async with phone_by(way, tmp_path) as (phone, _):
        pass
    for ask in asked(phone):
        with pytest.raises(PhoneGone, match="was closed"):
            await ask
    for ask in asked(Softphone() if way == "own" else Softphone.connect(tmp_path / "nothing")):
        with pytest.raises(PhoneGone, match="not open yet"):
            await ask


def test_in_another_loop_a_phone_says_so_and_waits_for_nothing() -> None:
    with asyncio.Runner() as runner:
        phone = Softphone(quiet_config())
        runner.run(phone.open())
        call = runner.run(phone.dial("sip:nobody@127.0.0.1:9"))

        async def elsewhere() -> None:
            async with asyncio.timeout(5):
                for wait in (phone.status(), phone.dial("1"), call.wait_ended(), call.digits.read(), phone.wait_registered(),
                             anext(call.audio), phone.wait_event("call.*"), call.hangup(), phone.close()):
                    with pytest.raises(RuntimeError, match="event loop"):
                        await wait
                for attribute in ("incoming", "messages"):
                    with pytest.raises(RuntimeError, match="event loop"):
                        getattr(phone, attribute)

        asyncio.run(elsewhere())
        runner.run(phone.close())


async def test_a_configuration_file_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "offhook.toml"
    file.write_text('[sip]\nhost = "127.0.0.1"\nport = 0\n[media]\nsound = "null"\n[phone]\nname = "from-file"\n')
    given = AccountSettings(id="given", domain="127.0.0.1:9", username="1001", register=False)
    async with Softphone(file, accounts=[given]) as phone:
        assert own_uri(phone).startswith("sip:offhook@127.0.0.1:")
        file.write_text(file.read_text() + "dnd = true\n")
        assert (await phone.reload())["settings"] == ["phone.dnd"]
        assert [view.id for view in phone.accounts] == ["given"], "what the program has given stays"


async def test_an_event_stream_that_is_forgotten_ends(phone: Softphone) -> None:
    feeds = phone._link._feeds  # type: ignore[attr-defined]  # both kinds of link have them
    before = len(feeds)
    events = phone.events()
    assert len(feeds) == before + 1
    del events
    gc.collect()
    await asyncio.sleep(0)
    assert len(feeds) == before


@pytest.mark.slow
async def test_media_in_a_process_of_its_own(peer: Peer) -> None:
    async with Softphone(quiet_config(), media="process") as phone:
        await peer[0].set_auto_answer("all")
        call = await phone.dial(peer[1])
        await call.wait_active(timeout=20)
        assert await (await call.play(tone="440", duration_ms=60)).wait(timeout=10) == 60
        await call.hangup()


async def test_an_account_that_cannot_be_leaves_nothing() -> None:
    before = asyncio.all_tasks()
    wrong = AccountSettings(id="", domain="pbx", username="1001")
    with pytest.raises(CommandError):
        await Softphone(quiet_config(), accounts=[wrong]).open()
    assert asyncio.all_tasks() == before


async def test_an_address_that_is_not_ours_leaves_nothing(tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    for _ in range(2):  # a program that waits for its network tries again
        with pytest.raises(SetupError, match=r"192\.0\.2\.1"):
            await Softphone(quiet_config(), host="192.0.2.1", journal=tmp_path / "journal", history=tmp_path / "history").open()
    assert asyncio.all_tasks() == before
    assert not [thread.name for thread in threading.enumerate() if thread.name in ("offhook-journal", "offhook-history")]


async def test_all_public_names_are_reached_from_the_package() -> None:
    from offhook import api

    for name in api.__all__:
        assert getattr(offhook, name) is getattr(api, name)
    with pytest.raises(AttributeError):
        _ = offhook.Nothing


async def test_contacts_volume_and_streams(phone: Softphone) -> None:
    ada = await phone.add_contact(ContactDetails(name="Ada", number="1001"))
    await phone.update_contact(ada.id, ContactDetails(name="Ada Lovelace", number="1001"))
    assert (await phone.contact(ada.id)).name == "Ada Lovelace"
    counted = await phone.import_contacts([ContactDetails(name="Bob", number="1002")])
    assert (counted.added, counted.updated) == (1, 0)
    assert [found.name for found in await phone.contacts("bob")] == ["Bob"]
    await phone.remove_contact(ada.id)
    with pytest.raises(NotFound):
        await phone.contact(ada.id)
    before = (await phone.set_volume(50)).output_volume
    assert (await phone.volume_up(2)).output_volume == before + 20
    assert (await phone.volume_down()).output_volume == before + 10
    assert await phone.streams() == ()


async def test_a_wait_for_registrations_says_which_are_missing(phone: Softphone) -> None:
    for name in ("silent", "mute"):  # port 9 answers nobody
        await phone.add_account(AccountSettings(id=name, domain="127.0.0.1:9", username="1"))
    with pytest.raises(TimeoutError, match=r"within 0\.01 s: silent \(sip:1@127\.0\.0\.1:9\) is registering, mute \(.*\) is "):
        await phone.wait_registered(timeout=0.01)
    with pytest.raises(TimeoutError, match=r"^account mute was not registered within 0\.01 s: mute \(.*\) is registering$"):
        await phone.wait_registered("mute", timeout=0.01)


async def test_a_wait_that_takes_too_long_says_for_what(phone: Softphone, peer: Peer) -> None:
    await phone.add_account(AccountSettings(id="away", domain="127.0.0.1:9", username="1", register=False))
    with pytest.raises(NotFound, match="no account registers"):  # nothing would ever come
        await phone.wait_registered()
    await phone.register("away")
    for account, words in (("away", "account away was not registered within"), ("", "not every account was registered within")):
        with pytest.raises(TimeoutError, match=words):
            await phone.wait_registered(account, timeout=0.01)
    with pytest.raises(TimeoutError, match=r"no call\.ended or call\.active within 0\.01 s"):
        await phone.wait_event("call.ended", "call.active", timeout=0.01)
    call = await phone.dial(peer[1], hold_others=False)
    with pytest.raises(TimeoutError, match=f"call {call.id} was not answered within 0.01 s"):
        await call.wait_active(timeout=0.01)
    with pytest.raises(TimeoutError, match=f"call {call.id} was not over within 0.01 s"):
        await call.wait_ended(timeout=0.01)
    with pytest.raises(TimeoutError, match=f"call {call.id} did not show who answered within 0.01 s"):
        await call.wait_amd(timeout=0.01)
