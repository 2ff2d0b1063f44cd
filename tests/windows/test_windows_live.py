"""A whole call as Windows programs see it: polled fifty times a second, pushed to a window and in advise loops."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from windows_drivers import Dde, Window, WindowsPhone, in_order
from windows_scene import CODES, Scene

from offhook.phone.commands import Answer, Hangup
from offhook.phone.model import STATUS_NAMES

pytest_plugins = ["windows_fixtures"]

pytestmark = [pytest.mark.windows, pytest.mark.timeout(180)]

OUTGOING = [
    "call.created", "call.calling", "call.ringing", "call.answered", "call.active", "call.held", "call.resumed", "call.ended",
]  # fmt: skip


async def whole_call(scene: Scene, sees: Callable[[int], bool] = lambda _: True) -> None:
    """Dial, be answered, hold, resume, hang up, and wait until it is over; who `sees` a status is given the time to."""

    async def seen(status: int) -> None:
        await scene.there.until(lambda: sees(status), f"a status of {status}, seen from outside")

    await seen(0)
    assert scene.send("DIAL", scene.there.uri) == 1
    await scene.there.event("call.incoming")
    await seen(1)
    scene.there.execute(Answer())
    await scene.reaches(2)
    await scene.there.reaches(2)
    await seen(2)
    await scene.execute("[Hold]")
    await scene.there.event("call.remote_held")
    await scene.reaches(3)
    await seen(3)
    await scene.execute("[Hold]")
    await scene.there.event("call.remote_resumed")
    await scene.reaches(2)
    await seen(2)
    assert scene.send("HANGUP") == 1
    await scene.there.event("call.ended")
    await scene.reaches(0)


async def test_a_poller_sees_0_1_2_3_2_4_0(scene: Scene, another: Callable[[str], Window]) -> None:
    poller = another("window")
    polling = asyncio.ensure_future(poller.does("poll 2000 20 0", 90))
    await whole_call(scene, lambda status: poller.told("status")[-1:] == [str(status)])
    statuses, _, took = (await polling).partition(" in ")
    assert statuses == "statuses 0 1 2 3 2 4 0", took


def events(texts: list[str]) -> list[dict[str, object]]:
    return [json.loads(line) for text in texts for line in text.rstrip("\0").split("|")]


async def test_every_event_is_pushed_to_a_window(scene: Scene) -> None:
    scene.window.forget()
    assert scene.window.send(100) == 1
    await whole_call(scene)
    await scene.there.until(lambda: "call.ended" in types(scene))
    assert in_order(types(scene), OUTGOING)
    got = [json.loads(text.removeprefix("100 ")) for text in scene.window.told("got") if text.startswith("100 ")]
    numbers = [event["seq"] for event in got]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "none is missing"
    assert scene.window.send(101) == 1
    scene.window.forget()
    assert scene.window.send(100, json.dumps({"types": ["call.*"], "after": got[0]["id"]})) == 1
    await scene.there.until(lambda: "call.ended" in types(scene))
    assert [kind for kind in types(scene) if not kind.startswith("call.")] == []
    assert in_order(types(scene), OUTGOING[1:])
    assert scene.window.send(101) == 1


def types(scene: Scene) -> list[str]:
    """Return the types of the events that were pushed to the window."""
    found = [text.removeprefix("100 ") for text in scene.window.told("got") if text.startswith("100 ")]
    return [str(json.loads(text)["type"]) for text in found]


@pytest.mark.parametrize("kind", ["ANSI", "Unicode"])
@pytest.mark.parametrize("flow", ["", " ack"])
async def test_advise_loops_push_what_changes(scene: Scene, another: Callable[[str], Dde], kind: str, flow: str) -> None:
    """One client at a time, and one that asks nothing meanwhile: Wine 8 gives a second one names of items that are gone
    already, and takes news for the answer to what is asked at that moment."""
    watcher = another(kind)
    assert watcher.ask("connect MicroSIP System") == "connected"
    for item in ("Status", "ActiveCall", "Event"):
        assert watcher.ask(f"advise {item}{flow}") == "advised"

    def told(status: int) -> bool:  # whoever has yet to acknowledge one status gets the latest only
        news = [text for text in watcher.told("news") if text.startswith("Status ")]
        return news[-1:] == [f"Status {name}" for name in STATUS_NAMES[status : status + 1] if status]

    await whole_call(scene, told)
    await scene.there.until(lambda: "Status IDLE" in watcher.told("news"))
    news = [text.partition(" ")[::2] for text in watcher.told("news")]
    statuses = [text for item, text in news if item == "Status"]
    assert statuses == ["RINGING", "ACTIVE", "HOLD", "ACTIVE", "DISCONNECTED", "IDLE"]
    assert [text for item, text in news if item == "ActiveCall"] == [scene.there.uri, ""]
    pushed = [event["type"] for item, text in news if item == "Event" for event in events([text])]
    assert in_order([str(each) for each in pushed], OUTGOING)
    assert watcher.ask("unadvise Event") == "unadvised"


async def test_a_warm_link_tells_that_there_is_news(scene: Scene, another: Callable[[str], Dde]) -> None:
    watcher = another("Unicode")
    assert watcher.ask("connect MicroSIP control") == "connected"
    assert watcher.ask("advise Event warm") == "advised"
    scene.send("MUTE", "1")
    await watcher.tells("news Event ?")
    answers: list[str] = []

    def asked() -> bool:
        answers.append(watcher.ask("request Event"))  # Wine 8 may take further news for the answer, as above
        return answers[-1].startswith("item {")

    await scene.there.until(asked)
    assert "audit.command" in answers[-1]


async def test_a_dde_client_that_hung_is_told_what_it_missed(scene: Scene, another: Callable[[str], Dde]) -> None:
    watcher = another("Unicode")
    assert watcher.ask("connect MicroSIP control") == "connected"
    assert watcher.ask("advise STATUS") == "advised"
    hanging = asyncio.ensure_future(watcher.does("hang 8000"))
    await asyncio.sleep(5.5)  # Windows takes a program for hung after 5 s
    assert scene.send("DIAL", scene.there.uri) == 1
    await scene.there.event("call.incoming")
    scene.there.execute(Hangup())
    await scene.reaches(0)
    assert watcher.told("news") == []
    assert await hanging == "back"
    await scene.there.until(lambda: watcher.told("news")[-1:] == ["STATUS IDLE"], "nothing changes any more, and it is told")


async def test_a_window_that_hangs_is_let_go_and_comes_back(scene: Scene, another: Callable[[str], Window]) -> None:
    sleeper = another("window")
    assert sleeper.send(100, '{"types":["audit.*"]}') == 1
    scene.send("MUTE", "1")
    await sleeper.tells("audit.command")
    last = json.loads(sleeper.told("got")[-1].removeprefix("100 "))["id"]
    hanging = asyncio.ensure_future(sleeper.does("hang 3000"))
    await sleeper.tells("hanging")
    for _ in range(20):
        assert scene.send("MUTE", "1") == 1
        assert scene.status == 0, "nobody else waits"
    await hanging
    before = len(sleeper.told("got"))
    assert sleeper.send(100, json.dumps({"types": ["audit.*"], "after": last})) == 1
    await scene.there.until(lambda: len(sleeper.told("got")) >= before + 20)
    numbers = [json.loads(text.removeprefix("100 "))["seq"] for text in sleeper.told("got")[before:]]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 20


async def test_the_window_closes_the_phone_when_windows_asks(scene: Scene) -> None:
    await scene.connected()
    assert scene.window.ask("post 0x10 0") == "posted 1"
    assert (await scene.ended())["by"] == "remote"
    assert (await asyncio.to_thread(scene.phone.process.finish, 20)).code == 0


async def test_logging_off_says_goodbye(scene: Scene) -> None:
    await scene.connected()
    assert scene.window.ask("post 0x16 1") == "posted 1"
    assert (await scene.ended())["by"] == "remote"
    assert (await asyncio.to_thread(scene.phone.process.finish, 20)).code == 0


def test_the_window_is_found_by_class_and_by_title(phones: Callable[[], WindowsPhone], window: Window) -> None:
    phones()
    assert window.ask("find").split()[2:] == ["MicroSIP", "MicroSIP"]
    assert window.send(CODES["STATUS"]) == 0


async def test_the_other_end_hangs_up(scene: Scene) -> None:
    """DISCONNECTED is seen then too, and the atom goes."""
    await scene.connected()
    atom = scene.send("ACTIVECALL")
    scene.there.execute(Hangup())
    await scene.reaches(4)
    # The window hears of the end a moment after the phone knows it.
    await scene.there.until(lambda: scene.window.ask(f"atom {atom}") == "atom ", "the atom taken back")
