"""Every row of the two tables, sent by Windows programs to the phone under Wine, in calls with a phone on Linux."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from windows_scene import CODES, Scene

from offhook.phone.commands import AcceptTransfer, Answer, Hangup, HangupAll
from offhook.testing.live import LivePhone, live_phone

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "contract"))
from seed_tables import COPYDATA_TABLE, DDE_TABLE

pytest_plugins = ["windows_fixtures"]

pytestmark = [pytest.mark.windows, pytest.mark.timeout(180)]


# --- DDE


async def dde_dial(scene: Scene) -> None:
    """Initiate a call. If call active, puts current on hold."""
    async with live_phone(auto_answer="all") as third:
        await scene.execute("[Dial(1002)]")  # a number, through the account
        incoming = await scene.there.event("call.incoming")
        assert "1001@" in incoming.data["call"]["remote"]["uri"]
        scene.there.execute(Answer())
        await scene.reaches(2)
        await scene.execute(f'[Dial("{third.uri}")]')
        await scene.there.event("call.remote_held")
        await third.event("call.active")
        await goes(scene, third)


async def dde_call_to(scene: Scene) -> None:
    """Same as Dial, but does not hold existing call."""
    async with live_phone(auto_answer="all") as third:
        await scene.connected()
        await scene.execute(f"CallTo {third.uri}")
        await third.event("call.active")
        await scene.there.until(lambda: call_states(scene) == ["active"] * 2)
        assert "call.remote_held" not in scene.there.types
        await goes(scene, third)


async def dde_hangup(scene: Scene) -> None:
    """Terminates active call."""
    await scene.connected()
    await scene.execute("[Hangup]")
    assert (await scene.ended())["by"] == "remote"


async def dde_answer(scene: Scene) -> None:
    """Answers incoming call."""
    await scene.is_called()
    await scene.execute("[Answer]")
    await scene.there.reaches(2)


async def dde_reject(scene: Scene) -> None:
    """Rejects incoming."""
    await scene.is_called()
    await scene.execute("REJECT")
    assert (await scene.ended())["sip_status"] == 486


async def dde_hold(scene: Scene) -> None:
    """Holds/unholds current call (toggle)."""
    await scene.connected()
    await scene.execute("[Hold]")
    await scene.reaches(3)
    await scene.there.event("call.remote_held")
    await scene.execute("[Hold]")
    await scene.reaches(2)
    await scene.there.event("call.remote_resumed")


async def dde_transfer(scene: Scene) -> None:
    """Blind transfer active call to number."""
    await transferred(scene, lambda to: scene.execute(f"[Transfer({to})]"))


async def dde_send_dtmf(scene: Scene) -> None:
    """Sends DTMF (RFC 2833). Use , for pause."""
    await scene.connected()
    await scene.execute("[SendDTMF(12,A#)]")
    await digits(scene, "12A#")


async def dde_mute(scene: Scene) -> None:
    """Toggles microphone mute."""
    await scene.connected()
    for muted in (True, False):
        await scene.execute("[Mute]")
        assert scene.window.request("get_audio")["value"]["mic_muted"] is muted


async def dde_volume_up(scene: Scene) -> None:
    """Increases speaker volume by steps (1–10)."""
    await scene.execute("[SetVolume(50)][VolumeUp(2)]")
    assert volume(scene) == 70
    await scene.execute("VolumeUp 10")
    assert volume(scene) == 100


async def dde_volume_down(scene: Scene) -> None:
    """Decreases speaker volume."""
    await scene.execute("[SetVolume(50)][VolumeDown(2)]")
    assert volume(scene) == 30
    await scene.execute("[VolumeDown]")
    assert volume(scene) == 20


async def dde_set_volume(scene: Scene) -> None:
    """Absolute volume."""
    await scene.execute("[SetVolume(35)]")
    assert volume(scene) == 35
    assert await scene.dde.does("poke Volume 45") == "acknowledged"
    assert volume(scene) == 45
    assert not scene.dde.execute("[SetVolume(101)]")
    assert volume(scene) == 45


async def dde_set_mic_volume(scene: Scene) -> None:
    """Absolute mic level."""
    await scene.execute("[SetMicVolume(25)]")
    assert scene.window.request("get_audio")["value"]["mic_volume"] == 25


async def dde_set_device(scene: Scene) -> None:
    """Switch audio device (see below)."""
    listed = scene.dde.item("Devices")
    assert "input 0: Silence [null]" in listed
    await scene.execute("[SetDevice(input,null)]")
    await scene.execute('[SetDevice("output","null")]')
    assert scene.window.request("get_audio")["value"]["input_device"] == "null"
    assert not scene.dde.execute("[SetDevice(input,nothing like it)]")


async def dde_status(scene: Scene) -> None:
    """Returns current call status as DDE string."""
    assert scene.dde.item("Status") == "IDLE"
    await scene.connected()
    assert scene.dde.item("Status") == "ACTIVE"
    assert scene.dde.item("StatusCode") == "2"
    assert scene.dde.item("ActiveCall") == scene.there.uri
    await scene.execute("[Status]")
    assert scene.dde.item("ReturnMessage") == "ACTIVE"
    assert scene.there.uri in scene.dde.item("Calls")


async def dde_close(scene: Scene) -> None:
    """Exits MicroSIP."""
    await scene.connected()
    await closed(scene, scene.execute("[Close]"))


DDE_ROWS: dict[str, Callable[[Scene], Awaitable[None]]] = {
    "Dial": dde_dial, "CallTo": dde_call_to, "Hangup": dde_hangup, "Answer": dde_answer, "Reject": dde_reject, "Hold": dde_hold,
    "Transfer": dde_transfer, "SendDTMF": dde_send_dtmf, "Mute": dde_mute, "VolumeUp": dde_volume_up,
    "VolumeDown": dde_volume_down, "SetVolume": dde_set_volume, "SetMicVolume": dde_set_mic_volume,
    "SetDevice": dde_set_device, "Status": dde_status, "Close": dde_close,
}  # fmt: skip


# --- WM_COPYDATA


async def copydata_dial(scene: Scene) -> None:
    """Initiates call. Returns 1 if successful, 0 if line busy or invalid."""
    assert scene.send("DIAL", "") == 0
    assert scene.send("DIAL", "no number") == 0
    assert scene.send("DIAL", "1002") == 1
    await scene.there.event("call.incoming")
    assert scene.send("DIAL", scene.there.uri) == 0, "line busy"
    scene.there.execute(Hangup())


async def copydata_hangup(scene: Scene) -> None:
    """Hangs up active call."""
    assert scene.send("HANGUP") == 0
    await scene.connected()
    assert scene.send("HANGUP") == 1
    assert (await scene.ended())["by"] == "remote"


async def copydata_answer(scene: Scene) -> None:
    """Answers incoming call."""
    assert scene.send("ANSWER") == 0
    await scene.is_called()
    assert scene.send("ANSWER") == 1
    await scene.there.reaches(2)


async def copydata_status(scene: Scene) -> None:
    """Returns integer: 0=idle, 1=ringing, 2=active, 3=hold, 4=disconnected."""
    assert scene.status == 0
    await scene.is_called()
    scene.send("ANSWER")
    await scene.reaches(2)
    await scene.execute("[Hold]")
    await scene.reaches(3)
    scene.send("HANGUP")
    assert scene.status == 4
    await scene.reaches(0)


async def copydata_activecall(scene: Scene) -> None:
    """Returns remote party URI of active call."""
    assert scene.send("ACTIVECALL") == 0
    await scene.connected()
    scene.window.forget()
    atom = scene.send("ACTIVECALL")
    assert await scene.window.does(f"atom {atom}") == f"atom {scene.there.uri}"
    assert scene.window.told("got") == [f"5 {scene.there.uri}"]
    assert scene.window.send(CODES["ACTIVECALL"], sender=False) == atom
    scene.send("HANGUP")
    await scene.reaches(0)
    assert await scene.window.does(f"atom {atom}") == "atom ", "the phone has taken it back"
    assert scene.send("ACTIVECALL") == 0


async def copydata_mute(scene: Scene) -> None:
    """Mute/unmute microphone."""
    for word, muted in (("1", True), ("1", True), ("0", False)):
        assert scene.send("MUTE", word) == 1
        assert scene.window.request("get_audio")["value"]["mic_muted"] is muted
    assert scene.send("MUTE", "on") == 0


async def copydata_transfer(scene: Scene) -> None:
    """Blind transfer of active call."""
    assert scene.send("TRANSFER", "1002") == 0

    async def transfer(to: str) -> None:
        assert scene.send("TRANSFER", to) == 1

    await transferred(scene, transfer)


async def copydata_dtmf(scene: Scene) -> None:
    """Sends DTMF tones over active call."""
    assert scene.send("DTMF", "123#") == 0
    await scene.connected()
    assert scene.send("DTMF", "12x") == 0
    assert scene.send("DTMF", "123#") == 1
    await digits(scene, "123#")


async def copydata_volume(scene: Scene) -> None:
    """Sets speaker volume."""
    assert scene.send("VOLUME", "50") == 1
    assert volume(scene) == 50
    assert [scene.send("VOLUME", text) for text in ("101", "-1", "", "x")] == [0] * 4
    assert volume(scene) == 50


async def copydata_quit(scene: Scene) -> None:
    """Exits MicroSIP."""
    await scene.connected()

    async def quits() -> None:
        assert scene.send("QUIT") == 1

    await closed(scene, quits())


COPYDATA_ROWS: dict[str, Callable[[Scene], Awaitable[None]]] = {
    "DIAL": copydata_dial, "HANGUP": copydata_hangup, "ANSWER": copydata_answer, "STATUS": copydata_status,
    "ACTIVECALL": copydata_activecall, "MUTE": copydata_mute, "TRANSFER": copydata_transfer, "DTMF": copydata_dtmf,
    "VOLUME": copydata_volume, "QUIT": copydata_quit,
}  # fmt: skip


# --- what both need


def volume(scene: Scene) -> int:
    return int(scene.dde.item("Volume"))


async def goes(scene: Scene, third: LivePhone) -> None:
    """Let another phone hang up, and stay until the Windows phone knows."""
    third.execute(HangupAll())
    await scene.there.until(lambda: third.uri not in str(scene.window.request("list_calls")), "the end of the other call")


def call_states(scene: Scene) -> list[str]:
    return [call["state"] for call in scene.window.request("list_calls")["value"]]


async def digits(scene: Scene, wanted: str) -> None:
    received = "dtmf.received"
    await scene.there.until(lambda: scene.there.types.count(received) == len(wanted), f"{len(wanted)} digits")
    found = [event.data for event in scene.there.events if event.type == received]
    assert "".join(each["digit"] for each in found) == wanted
    assert {each["method"] for each in found} == {"rtp"}


async def transferred(scene: Scene, transfer: Callable[[str], Awaitable[None]]) -> None:
    async with live_phone(auto_answer="all") as third:
        await scene.connected()
        await transfer(third.uri)
        await scene.there.event("transfer.requested")
        scene.there.execute(AcceptTransfer())
        await third.event("call.active")
        await scene.reaches(0)
        await goes(scene, third)


async def closed(scene: Scene, closing: Awaitable[None]) -> None:
    """The phone hangs up, stops and ends with 0."""
    await closing
    assert (await scene.ended())["by"] == "remote"
    assert await asyncio.to_thread(scene.phone.process.finish, 20) == (0, scene.phone.process.text)
    assert "offhook has stopped." in scene.phone.process.text


# --- the tests


def test_every_row_has_its_test() -> None:
    assert list(DDE_ROWS) == [name for name, _, _ in DDE_TABLE]
    assert list(COPYDATA_ROWS) == [name for name, _, _ in COPYDATA_TABLE]
    for rows, table in ((DDE_ROWS, DDE_TABLE), (COPYDATA_ROWS, COPYDATA_TABLE)):
        assert [str(row.__doc__) for row in rows.values()] == [action for _, _, action in table]


@pytest.mark.parametrize("kind", ["ANSI", "Unicode"])
@pytest.mark.parametrize("name", [name for name, _, _ in DDE_TABLE])
async def test_dde(scene: Scene, name: str) -> None:
    await DDE_ROWS[name](scene)


@pytest.mark.parametrize("name", [name for name, _, _ in COPYDATA_TABLE])
async def test_copydata(scene: Scene, name: str) -> None:
    await COPYDATA_ROWS[name](scene)
