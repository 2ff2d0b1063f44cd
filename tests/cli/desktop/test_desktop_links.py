"""Links that dial: registered and removed on both systems, asked about first, and unable to do anything but dial."""

from __future__ import annotations

import configparser
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from offhook.cli import main
from offhook.cli.desktop import command, this_desktop
from offhook.cli.desktop.asking import ID_YES, Asker
from offhook.cli.desktop.schemes import SCHEMES
from offhook.cli.desktop.windows import APPLICATIONS, CLASSES, DDE, OPEN, OURS, Windows
from offhook.cli.desktop.xdg import NAME, Xdg
from offhook.cli.outcome import Ended
from offhook.cli.parsing import parse
from offhook.cli.verbs import VERBS
from offhook.control.legacy.opening import open_uri
from offhook.errors import InvalidArgument, SetupError
from offhook.phone.commands import Dial
from offhook.storage.command_line import split
from offhook.testing.backend import FakeBackend
from offhook.testing.served import served

HOSTILE = [
    "tel:1 --yes", 'tel:1" --yes --socket "x', "tel:/exit", "tel:-1", "msip:hangupall", "file:///etc/passwd", "tel:1,2",
    "sip:a@b?X=y", "tel:%0d%0a1", "callto:msip:answer", "tel:../../x", "sip:a@b;x=y", "tel:1)][Close][Dial(2", "--yes", "tel:",
    "tel:$(id)", "tel:`id`", "tel:1;id", "tel:%", "javascript:alert(1)", "/account:1 /password:x",
]  # fmt: skip


def opened(text: str) -> Dial | None:
    try:
        return open_uri(text)
    except InvalidArgument:
        return None


LINKS = st.builds("{}:{}".format, st.sampled_from([*SCHEMES, "msip", "dtmf", "file"]), st.text(max_size=30))


@pytest.mark.lengthy
@given(st.text(max_size=40) | LINKS)
def test_a_link_can_only_dial_something_plain(text: str) -> None:
    found = opened(text)
    if found is not None:
        assert found == Dial(to=found.to)
        assert text.strip(" ").partition(":")[0].lower() in SCHEMES
        assert found.to.isascii()
        assert not found.to.startswith(("/", "-"))
        assert not set(found.to) & set(" \t\r\n\\/,<>\"%?|()")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_links(text: str) -> None:
    found = opened(text)
    assert found is None or re.fullmatch(r"[\w$]+", found.to), found


def test_marks_of_direction_are_not_dialled() -> None:
    """What is asked about, and then called, is what a person sees of the link."""
    assert opened("sip:\u202ea@b") == Dial(to="sip:a@b")
    assert opened("tel:\u202a+49301234\u202c") == Dial(to="+49301234")


# --- the command line that the system makes of it ------------------------------------------------------------------


def as_given(words: list[str], text: str) -> tuple[str, ...]:
    """Return what the program gets when Windows puts `text` for %1, quotes and all, and takes the line apart."""
    line = " ".join(f'"{word}"' if " " in word else word for word in words) + f' "{text}"'
    return split(line, platform="win32", is_file=lambda _: False)


@given(st.text(max_size=40))
@example('tel:1" --yes "')
@example('tel:1" "--socket=x')
@example("--yes")
def test_no_link_becomes_an_option(text: str) -> None:
    words = [r"C:\Program Files\Python\pythonw.exe", "-m", "offhook", "open", "--dialog", "--"]
    try:
        given = as_given(words, text)
    except ValueError:
        return  # Windows itself would not leave a quote open; then nothing is started
    assert list(given[:6]) == words
    try:
        use = parse(VERBS["open"], given[4:])
    except Ended:
        return
    assert not use.flag("yes")
    assert use.text("socket") == ""


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBackend]:
    backend = FakeBackend()
    monkeypatch.setenv("OFFHOOK_HOME", str(tmp_path / "home"))
    with served(backend, tmp_path / "s") as path:
        monkeypatch.setenv("OFFHOOK_SOCKET", path)
        yield backend


@given(st.sampled_from(HOSTILE) | st.text(max_size=20))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_but_calls_reaches_the_phone(phone: FakeBackend, text: str) -> None:
    main(["open", "--yes", "--", text])
    assert all(command == Dial(to=command.to) for command in phone.commands if isinstance(command, Dial))
    assert {type(command) for command in phone.commands} <= {Dial}


# --- asking --------------------------------------------------------------------------------------------------------


def test_without_anybody_to_ask_nobody_is_called(phone: FakeBackend, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["open", "tel:1001"]) == 1
    assert "nobody to ask" in capsys.readouterr().err
    assert phone.commands == []


def test_the_configuration_may_say_not_to_ask(phone: FakeBackend, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "offhook.toml").write_text("[desktop]\nask = false\n")
    assert main(["open", "--dialog", "--", "tel:1001"]) == 0
    assert phone.commands == [Dial(to="1001")]


@pytest.mark.parametrize(("there", "begins"), [
    ({"zenity": "/z"}, ["/z", "--question", "--no-markup"]), ({"kdialog": "/k"}, ["/k", "--title", "offhook", "--yesno"]),
])
@pytest.mark.parametrize("answer", [0, 1])
def test_the_desktops_own_dialog_asks(there: dict[str, str], begins: list[str], answer: int) -> None:
    ran: list[list[str]] = []

    def run(program: list[str]) -> int:
        ran.append(program)
        return answer

    asker = Asker(dialog=True, environ={"DISPLAY": ":0"}, find=there.get, run=run)
    assert asker.confirm("1001") is (answer == 0)
    assert ran[0][: len(begins)] == begins
    assert "Call 1001?" in ran[0][-1]
    asker.tell("no \x1b phone")
    assert ran[1][-1].endswith("no \\x1b phone")


def test_a_message_box_asks_on_windows() -> None:
    asked: list[str] = []

    def box(text: str, _kind: int) -> int:
        asked.append(text)
        return ID_YES

    asker = Asker(dialog=True, environ={}, find=lambda _: None, box=box)
    assert asker.confirm("sip:bob@pbx")
    asker.tell("busy")
    assert asked == ["Call sip:bob@pbx?", "busy"]


def test_a_dialog_without_a_screen_is_none() -> None:
    with pytest.raises(Ended, match="nobody to ask"):
        Asker(dialog=True, environ={}, find=lambda name: f"/bin/{name}").confirm("1001")


# --- Linux ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def xdg(tmp_path: Path) -> Xdg:
    return Xdg({"HOME": str(tmp_path)}, ["/opt/my python$/bin/python", "-m", "offhook", "open", "--dialog", "--"])


def test_a_linux_desktop(xdg: Xdg, tmp_path: Path) -> None:
    mime = tmp_path / ".config" / "mimeapps.list"
    mime.parent.mkdir()
    before = (
        "# mine\n[Default Applications]\ntext/html=web.desktop\nx-scheme-handler/tel=other.desktop;\n\n"
        "[Removed Associations]\na=b\n"
    )
    mime.write_text(before)
    assert xdg.status() == {"tel": "other.desktop", "sip": "", "sips": "", "callto": ""}
    assert len(xdg.install()) == 2
    assert xdg.status() == dict.fromkeys(SCHEMES, NAME)
    text = mime.read_text()
    assert f"x-scheme-handler/tel={NAME};other.desktop;\n" in text
    assert text.startswith("# mine\n[Default Applications]\n")
    assert "text/html=web.desktop\n" in text
    entry = configparser.RawConfigParser()
    entry.optionxform = str  # type: ignore[assignment,method-assign]  # keys keep their case
    entry.read(tmp_path / ".local/share/applications" / NAME)
    assert entry["Desktop Entry"]["MimeType"] == ";".join(f"x-scheme-handler/{scheme}" for scheme in SCHEMES) + ";"
    line = entry["Desktop Entry"]["Exec"].replace("\\\\", "\\").replace("\\$", "$")
    assert shlex.split(line) == ["/opt/my python$/bin/python", "-m", "offhook", "open", "--dialog", "--", "%u"]
    again = mime.read_text()
    xdg.install()
    assert mime.read_text() == again
    assert len(xdg.remove()) == 2
    assert mime.read_text() == before + "\n[Added Associations]\n"
    assert xdg.remove() == []


def test_a_linux_desktop_without_files(xdg: Xdg, tmp_path: Path) -> None:
    assert xdg.remove() == []
    assert list(tmp_path.iterdir()) == []
    xdg.install()
    assert xdg.status()["callto"] == NAME
    xdg.remove()
    assert xdg.status() == dict.fromkeys(SCHEMES, "")


def test_a_user_without_a_folder_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    with pytest.raises(SetupError, match="this user has no folder"):
        Xdg({}, ["python"])


LINES = st.sampled_from([
    "", "[Default Applications]", "[Added Associations]", "[Other]", "x-scheme-handler/tel=a.desktop;b.desktop",
    "x-scheme-handler/sip=;", "text/html=x", "# note", "x-scheme-handler/tel = offhook.desktop", "=",
])  # fmt: skip


@pytest.mark.lengthy
@given(st.lists(LINES, max_size=8))
def test_any_list_stays_what_it_was_but_for_us(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    home = tmp_path_factory.mktemp("home")
    mime = home / ".config" / "mimeapps.list"
    mime.parent.mkdir()
    mime.write_text("\n".join(lines))
    desktop = Xdg({"HOME": str(home)}, ["python"])
    desktop.install()
    assert desktop.status() == dict.fromkeys(SCHEMES, NAME)
    desktop.remove()
    assert NAME not in mime.read_text()
    others = [line for line in lines if line and "x-scheme-handler" not in line]
    assert [line for line in mime.read_text().splitlines() if line in others][: len(others)] == others


def test_the_verb_on_this_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OFFHOOK_HOME", str(tmp_path / "o"))
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert main(["desktop", "install"]) == 0
    assert main(["desktop"]) == 0
    assert f"tel: {NAME}" in capsys.readouterr().out
    assert main(["desktop", "remove"]) == 0
    assert main(["desktop", "paint"]) == 2
    assert main(["desktop", "install", "--dde"]) == 1
    assert "ask = false" in capsys.readouterr().err
    assert command()[-5:] == ["-m", "offhook", "open", "--dialog", "--"][-5:]
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(Ended, match="bundle"):
        this_desktop()


def test_links_that_nobody_can_be_asked_about_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("HOME", "OFFHOOK_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    there: list[str] = []
    monkeypatch.setattr("offhook.cli.desktop.asking.which", lambda name: name if name in there else None)
    assert main(["desktop", "install"]) == 0
    assert "neither is installed" in capsys.readouterr().err
    there.append("kdialog")
    assert main(["desktop", "install"]) == 0
    assert not capsys.readouterr().err
    there.clear()
    (tmp_path / "offhook.toml").write_text("[desktop]\nask = false\n")
    assert main(["desktop", "install"]) == 0
    assert not capsys.readouterr().err


# --- Windows, on a registry in memory (tests/windows runs the real one under Wine) ---------------------------------


class MemoryRegistry:
    def __init__(self) -> None:
        self.values: dict[tuple[str, str], str] = {}

    def get(self, path: str, name: str) -> str | None:
        return self.values.get((path.lower(), name))

    def set(self, path: str, name: str, value: str) -> None:
        self.values[path.lower(), name] = value

    def delete(self, path: str, name: str) -> None:
        self.values.pop((path.lower(), name), None)

    def delete_key(self, path: str) -> None:
        inside = path.lower() + "\\"
        self.values = {key: value for key, value in self.values.items() if not (key[0] + "\\").startswith(inside)}


LINE = [r"C:\Program Files\pythonw.exe", "-m", "offhook", "open", "--dialog", "--"]


def test_a_windows_desktop() -> None:
    registry = MemoryRegistry()
    registry.set(rf"{CLASSES}\tel\{OPEN}", "", '"C:\\MicroSIP.exe" "%1"')
    before = dict(registry.values)
    windows = Windows(registry, LINE)
    for _ in range(2):
        windows.install()
        assert set(windows.status().values()) == {r'"C:\Program Files\pythonw.exe" -m offhook open --dialog -- "%1"'}
    assert registry.get(rf"{CLASSES}\sip", "URL Protocol") == ""
    assert registry.get(rf"{CLASSES}\sip\{DDE}", "") is None
    assert registry.get(APPLICATIONS, "offhook") == rf"{OURS}\Capabilities"
    windows.remove()
    assert windows.status() == {"tel": '"C:\\MicroSIP.exe" "%1"', "sip": "", "sips": "", "callto": ""}
    assert {key: value for key, value in registry.values.items() if key[1] == "" and "command" in key[0]} == before
    assert windows.remove() == []


def test_a_windows_desktop_with_dde() -> None:
    registry = MemoryRegistry()
    Windows(registry, LINE, dde=True).install()
    assert registry.get(rf"{CLASSES}\tel\{DDE}", "") == "[Dial(%1)]"
    assert registry.get(rf"{CLASSES}\tel\{DDE}\application", "") == "MicroSIP"
    assert registry.get(rf"{CLASSES}\tel\{DDE}\topic", "") == "System"
    Windows(registry, LINE).install()
    assert registry.get(rf"{CLASSES}\tel\{DDE}\topic", "") is None


def test_who_came_after_us_stays() -> None:
    registry = MemoryRegistry()
    windows = Windows(registry, LINE)
    windows.install()
    registry.set(rf"{CLASSES}\tel\{OPEN}", "", "other.exe")
    windows.remove()
    assert windows.status()["tel"] == "other.exe"
