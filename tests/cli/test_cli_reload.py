"""A configuration file that is changed while the phone runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from offhook.app import reload
from offhook.errors import InvalidArgument, InvalidState
from offhook.phone.commands import AddAccount, Dial, HangupAll, ListAccounts, SelectAccount, SetDnd
from offhook.storage.config import parse
from offhook.testing.live import LivePhone, live_phone

FIRST = """
[phone]
reject_status = 486
output_volume = 50
[account.a]
domain = "127.0.0.1:9"
username = "1"
password = "x"
register = false
[account.b]
domain = "127.0.0.1:9"
username = "2"
password = "x"
register = false
"""


def test_what_differs() -> None:
    changed = FIRST.replace("486", "603").replace("= 50", "= 60").replace('"2"', '"3"')
    after = changed + "[sip]\nport = 5070\n[http]\nenabled = true\n"
    found = reload.changes(parse(FIRST), parse(after))
    assert (found.added, found.changed, found.removed) == ((), ("b",), ())
    assert set(found.settings) == {"phone.reject_status", "phone.output_volume"}
    assert set(found.restart) == {"sip.port", "http.enabled"}
    assert reload.changes(parse(FIRST), parse(FIRST)) == reload.Changes((), (), (), (), ())
    assert reload.changes(parse(FIRST), parse(FIRST + '[[hook]]\nevents = ["*"]\nrun = "x"\n')).restart == ("hook",)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OFFHOOK_HOME", str(tmp_path))
    path = tmp_path / "offhook.toml"
    path.write_text(FIRST)
    return path


def write(file: Path, text: str) -> None:
    file.write_text(text)


def accounts(phone: LivePhone) -> dict[str, str]:
    return {view.id: view.uri for view in phone.execute(ListAccounts()).value}


async def test_a_running_phone_does_what_the_file_says(file: Path) -> None:
    async with live_phone() as phone:
        with pytest.raises(InvalidState, match="without a configuration file"):
            await phone.running.reload()
        phone.running.follow_file(file)
        phone.execute(SetDnd(enabled=True))
        text = FIRST.replace("486", "603").replace("= 50", "= 60").replace("[account.b]", "[account.c]")
        write(file, text + "[sip]\nport = 5070\n")
        found = await phone.running.reload()
        assert (found["added"], found["removed"], found["restart"]) == (("c",), ("b",), ("sip.port",))
        assert set(accounts(phone)) == {"c"}, "a was not in the phone, and has not changed"
        settings, audio = phone.running.phone.desk.settings, phone.running.phone.desk.audio
        assert (settings.reject_status, audio.output_volume, settings.dnd) == (603, 60, True)
        assert (await phone.running.reload())["settings"] == ()
        write(file, text.replace("[phone]\n", "[phone]\ndnd = true\nforwarding = \"5\"\n"))
        since = len(phone.events)
        assert set((await phone.running.reload())["settings"]) == {"phone.dnd", "phone.forwarding"}
        assert (await phone.event("settings.changed", since)).data["forwarding"] == "5"


async def test_an_account_that_is_written_first_is_the_one_that_dials(file: Path) -> None:
    async with live_phone() as phone:
        for account in parse(FIRST).accounts:
            phone.execute(AddAccount(account=account))
        phone.running.follow_file(file)
        new = '[account.new]\ndomain = "127.0.0.1:9"\nusername = "0"\nregister = false\n'
        write(file, FIRST.replace("[account.a]", new + "[account.a]"))
        await phone.running.reload()
        views = phone.execute(ListAccounts()).value
        assert [(view.id, view.default) for view in views] == [("new", True), ("a", False), ("b", False)]
        phone.execute(SelectAccount(account="b"))
        write(file, FIRST)
        await phone.running.reload()
        views = phone.execute(ListAccounts()).value
        assert [(view.id, view.default) for view in views] == [("a", False), ("b", True)], "what was chosen stays"


async def test_a_mistake_changes_nothing(file: Path) -> None:
    async with live_phone() as phone, live_phone() as there:
        phone.running.follow_file(file)
        write(file, FIRST.replace("486", "9"))
        with pytest.raises(InvalidArgument, match=r"offhook\.toml:3: phone\.reject_status"):
            await phone.running.reload()
        write(file, FIRST + '[account.c]\ndomain = "127.0.0.1:9"\nusername = "3"\npassword = "x"\nregister = false\n')
        await phone.running.reload()
        phone.execute(Dial(to=there.uri, account="c"))
        write(file, FIRST.replace("486", "603"))
        with pytest.raises(InvalidState, match="account c has calls"):
            await phone.running.reload()
        assert phone.running.phone.desk.settings.reject_status == 486
        phone.execute(HangupAll())
        write(file, FIRST.replace("486", "603").replace('"2"\n', '"2"\nproxy = "x y"\n').replace("[account.a]", "[account.d]"))
        with pytest.raises(InvalidArgument, match=r"offhook\.toml:13: account\.b\.proxy: not a host name or address"):
            await phone.running.reload()
        assert phone.running.phone.desk.settings.reject_status == 486
        assert set(accounts(phone)) == {"c"}
        phone.running.file = file.with_name("gone.toml")
        with pytest.raises(InvalidArgument, match="nothing was changed"):
            await phone.running.reload()
        assert set(accounts(phone)) == {"c"}


async def test_a_device_that_is_not_plugged_in_is_remembered(file: Path) -> None:
    async with live_phone() as phone:
        phone.running.follow_file(file)
        write(file, FIRST.replace("[phone]\n", '[phone]\noutput_device = "USB"\n'))
        assert (await phone.running.reload())["settings"] == ("phone.output_device",)
        assert phone.running.phone.desk.audio.output_device == "USB"
